"""Moving averages of weights (use_ema): an optimizer keeps them beside the weights it trains.

Keras evaluates with them, and ``fit`` writes them over the weights at its end. They are averaged
before a constraint is applied, so that they may cross zero, and lose the exact zeros.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from v1sim.checkpoints.checkpoint import VariableReader
from v1sim.checkpoints.evidence import TABLES, Evidence, Table, TableEvidence
from v1sim.checkpoints.variables import Variables
from v1sim.errors import CheckpointError

__all__ = ["Averages", "averages_of"]

WeightsChoice = Literal["raw", "average"]
#: What a sign that changed may come from, where there are averages.
_ON_SIGNS = (
    "these are moving averages of the weights (use_ema), which are averaged before the sign "
    "constraint is applied and may cross zero: "
)


@dataclass(frozen=True)
class Averages:
    """The tables of a checkpoint whose optimizer averages them."""

    tables: Mapping[Table, TableEvidence]

    def in_place_of_weights(self, variables: Variables, where: str) -> Variables:
        """The same variables with averages where there are any.

        Raises
        ------
        CheckpointError
            If the recurrent weights have none, or one that no update has touched.
        """
        if "recurrent" not in self.tables:
            raise CheckpointError(
                "its optimizer keeps no average of the recurrent weights",
                where=where,
                expected="an optimizer with use_ema, for --weights average",
                hint="convert the weights themselves: --weights raw",
            )
        entries = {}
        for table, found in self.tables.items():
            assert found.average is not None
            if found.average.is_zero:
                raise CheckpointError(
                    f"the average of the {table} weights is all 0: no update has touched it",
                    where=where,
                    hint="convert the weights themselves: --weights raw",
                )
            entries[TABLES[table]] = found.average
        return variables.with_weights(entries)

    def on_signs(self, weights: WeightsChoice) -> dict[str, str]:
        """What to say of signs that changed, by table."""
        told = {}
        for table, found in self.tables.items():
            if weights == "average":
                told[str(table)] = _ON_SIGNS + "convert the weights themselves, --weights raw"
            elif found.is_average:
                told[str(table)] = (
                    _ON_SIGNS + "fit() wrote them over the weights at its end; take a checkpoint "
                    "that was saved during fit(), or train without use_ema"
                )
        return told

    def record(
        self, read: VariableReader | None, weights: WeightsChoice
    ) -> dict[Table, dict[str, Any]]:
        """For the provenance, by table: the average, how far it is from the weights, its use."""
        return {
            table: {
                "variable": found.average.name if found.average is not None else "",
                "relative_difference": _difference(found, read),
                "used": weights == "average",
            }
            for table, found in self.tables.items()
        }

    def notes(self, read: VariableReader | None, weights: WeightsChoice | None) -> tuple[str, ...]:
        """The same in words; ``weights`` is what was taken, None where nothing was."""
        lines = []
        for table, found in self.tables.items():
            assert found.average is not None
            far = _difference(found, read)
            if far == 0:
                what = "is what the weights are: fit() writes it over them at its end"
            elif far is None:
                what = "is not what the weights are; how far it is, the data would tell"
            else:
                what = f"differs from the weights by {far:.2g} (L2, relative)"
            taken = {
                "average": "; the average was taken",
                "raw": "; the weights were taken (--weights average takes it)",
                None: "",
            }[weights]
            lines.append(
                f"the optimizer keeps a moving average of the {table} weights "
                f"({found.average.name}), which {what}{taken}"
            )
        return tuple(lines)


def averages_of(evidence: Evidence) -> Averages:
    """The tables that have an average."""
    return Averages({t: found for t, found in evidence.tables.items() if found.average is not None})


def _difference(found: TableEvidence, read: VariableReader | None) -> float | None:
    """Distance of the average from the weights, relative to them (L2)."""
    assert found.average is not None
    if found.is_average:
        return 0.0
    if read is None:
        return None
    raw, average = (read(e).astype(np.float64).ravel() for e in (found.variable, found.average))
    size = float(raw @ raw)
    away = average - raw
    return float((away @ away / size) ** 0.5) if size else None

"""What the types of edges say: factors of weights, delays, ports and weight functions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from v1sim.errors import NetworkFileError
from v1sim.files.identify import printable
from v1sim.sources.sonata.manifest import kind_of, nearest, read_json
from v1sim.sources.sonata.remarks import Remarks
from v1sim.sources.sonata.types import NumberColumn, TypeTable
from v1sim.sources.sonata.weights import weight_function

__all__ = ["DEFAULT_DELAY_MS", "EdgeTypes"]

#: NEST's delay of synapses that say nothing of it.
DEFAULT_DELAY_MS = 1.0
_STATIC = ("static_synapse",)


class EdgeTypes:
    """What the types of edges say: factors of weights, delays, ports, functions.

    The JSON file of a type is read when the first of its edges is.
    """

    def __init__(self, table: TypeTable, folder: str | None, remarks: Remarks) -> None:
        self.table, self._folder, self._remarks = table, folder, remarks
        n = len(table)
        self.syn_weight = table.numbers("syn_weight")
        nsyns = table.numbers("nsyns")
        null = np.isnan(nsyns.values)
        #: Texts such as "nan" are null too: BMTK refuses to multiply by them.
        self.nsyns = NumberColumn(
            np.where(null, 1.0, nsyns.values), nsyns.is_integer or bool(null.all())
        )
        self.nsyns_is_one = not table.has("nsyns")
        self._delay = table.numbers("delay")
        self.delay_ms = np.where(np.isnan(self._delay.values), DEFAULT_DELAY_MS, self._delay.values)
        self.has_default_delay = np.isnan(self._delay.values)
        self.port = np.zeros(n, dtype=np.int64)
        self.functions: tuple[str, ...] = ()
        self.function_number = np.full(n, -1, dtype=np.int64)
        self._loaded = np.zeros(n, dtype=bool)
        self.n_loaded = 0
        self._files: dict[Path, dict[str, Any]] = {}

    def __len__(self) -> int:
        return len(self.table)

    def functions_of(self, type_row: NDArray[np.integer]) -> list[int]:
        """Numbers of the functions of edges of these types."""
        if not self.functions:
            return []
        used = np.bincount(type_row, minlength=len(self)) > 0
        return sorted(set(self.function_number[used].tolist()) - {-1})

    def load(self, rows: NDArray[np.intp]) -> None:
        """Look at types of which there are edges."""
        for row in rows[~self._loaded[rows]].tolist():
            self._loaded[row] = True
            self.n_loaded += 1
            self._look_at_model(row)
            self._look_at_function(row)
            self._look_at_parameters(row)

    def _text(self, name: str, row: int) -> str | None:
        return self.table.texts(name)[row]

    def _name(self, row: int) -> str:
        return f"the edge type {self.table.ids[row]}"

    def _look_at_model(self, row: int) -> None:
        template = self._text("model_template", row) or self._text("synapse_model", row)
        model = (template or "static_synapse").removeprefix("nest:")
        gap_junction = (self._text("is_gap_junction", row) or "").lower() in ("true", "1")
        if model not in _STATIC or gap_junction:
            seen = "are gap junctions" if gap_junction else f"are of {printable(model)}"
            raise NetworkFileError(
                f"synapses of {self._name(row)} {seen}, which v1sim does not simulate",
                where=self.table.where,
                expected="static_synapse: weights that stay as they are",
                hint="where only the weights at the start are of interest, write static_synapse",
            )

    def _look_at_function(self, row: int) -> None:
        name = self._text("weight_function", row)
        if name is None:
            return
        weight_function(name, f"{self.table.where}: {self._name(row)}")
        if name not in self.functions:
            self.functions = (*self.functions, name)
        self.function_number[row] = self.functions.index(name)

    def _look_at_parameters(self, row: int) -> None:
        given = self._text("dynamics_params", row)
        if given is None:
            return
        if self._folder is None and not Path(given).is_absolute():
            raise NetworkFileError(
                f"{self._name(row)} has its parameters in {printable(given)}, but the "
                "configuration names no folder of such files",
                where=self.table.where,
                expected="components.synaptic_models_dir",
            )
        path = Path(self._folder or "", given)
        first = path not in self._files
        if first:
            self._files[path] = read_json(path, expected="parameters of static_synapse")
        parameters = self._files[path]
        unknown = sorted(set(parameters) - {"receptor_type", "weight", "delay"})
        if unknown:
            near = nearest(unknown[0], ("receptor_type", "weight", "delay"))
            raise NetworkFileError(
                f"{printable(unknown[0])} is no parameter of static_synapse",
                where=str(path),
                expected="receptor_type, or nothing",
                hint=f"did you mean {near}?" if near else "NEST refuses it, too",
            )
        port = parameters.get("receptor_type", 0)
        if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port < 1 << 31:
            seen = str(port) if isinstance(port, int | float) else kind_of(port)
            raise NetworkFileError(
                f"receptor_type is {seen}", where=str(path), expected="a whole number from 1 on"
            )
        self.port[row] = port
        if "delay" in parameters and "delay" not in self.table.columns:
            delay = parameters["delay"]
            if isinstance(delay, bool) or not isinstance(delay, int | float):
                raise NetworkFileError(
                    f"delay is {kind_of(delay)}", where=str(path), expected="a number, ms"
                )
            self.delay_ms[row], self.has_default_delay[row] = float(delay), False
            if first:
                self._remarks.add(
                    "sonata.delay_of_parameters",
                    str(path),
                    f"{self._name(row)} has its delay here: {float(delay):g} ms where the edges "
                    "have none",
                    hint="write it into the column delay of the table of types, which BMTK reads",
                )
        unread = [
            name
            for name in ("weight", "delay")
            if name in parameters and (name == "weight" or "delay" in self.table.columns)
        ]
        if unread and first:
            self._remarks.add(
                "sonata.unread_parameter",
                str(path),
                f"{' and '.join(unread)} of {self._name(row)} have no effect: those of the edges "
                "win",
                hint="take them out, so that nobody relies on them",
                n=len(unread),
                total=len(parameters),
                examples=unread,
            )

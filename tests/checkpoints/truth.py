"""What is true of a checkpoint, known from its making, as plain values beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

__all__ = ["TABLES", "Case", "OptimizerTruth", "TableTruth", "Truth", "read_cases"]

#: Tables of weights that a checkpoint may hold.
TABLES = ("recurrent", "input", "background", "readout")

#: How a checkpoint is stored.
Storage = Literal["whole", "shards", "slices", "index", "savedmodel", "keras"]
#: What the saved slots of a table show, to one who knows its optimizer: that gradients came, that
#: none came, nothing (they start or end at the same values either way), or there are none.
Slots = Literal["gradients", "no gradients", "nothing", "none"]


@dataclass(frozen=True)
class TableTruth:
    """One table of weights.

    Parameters
    ----------
    n, n_changed, n_zero : int
        Values, those that differ from the initial ones, those that are exactly zero.
    relative_change : float
        Mean absolute change over mean absolute initial value: rounding alone is below 1e-3.
    trained : bool
        Whether updates by gradients other than zero reached it, now or in an earlier training
        whose result it continues.
    trainable : bool
        Whether the program that saved it would train it.
    held_by : str or None
        The saved optimizer that holds it, as it is tracked; None where none was built for it.
    slots : str
        What the saved slots show, see `Slots`.
    average : bool
        Whether an average of its values is in the checkpoint.
    """

    n: int
    n_changed: int
    n_zero: int
    relative_change: float
    trained: bool
    trainable: bool
    held_by: str | None = None
    slots: Slots = "none"
    average: bool = False


@dataclass(frozen=True)
class OptimizerTruth:
    """One optimizer: what it is, its counter as saved, updates it really made, its rate."""

    family: str
    counter: int | None
    updates: int
    learning_rate: float | None
    batches_per_update: int = 1


@dataclass(frozen=True)
class Truth:
    """A checkpoint.

    Parameters
    ----------
    name : str
        Where it stands in the matrix: program, family, situation.
    program, family, situation : str
        The same, one by one.
    tables : dict
        By table, of `TABLES` those that the checkpoint holds.
    optimizers : dict
        By the name that they are tracked as.
    expected : str
        What v1sim has to do with it, where it is not to be converted: "refused" for files that
        are no complete checkpoint.
    notes : tuple of str
        Facts that no other field has, for the judge's exceptions.
    """

    name: str
    program: str
    family: str
    situation: str
    tables: dict[str, TableTruth]
    optimizers: dict[str, OptimizerTruth]
    expected: str = ""
    notes: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """What the network is: "trained", "mixed" or "untrained"."""
        recurrent, lgn = self.tables["recurrent"], self.tables["input"]
        if recurrent.trained:
            return "trained" if lgn.trained or not lgn.trainable else "mixed"
        return "mixed" if lgn.trained else "untrained"


@dataclass(frozen=True)
class Case:
    """A checkpoint on disk, its truth, and files that others would have of the same training.

    ``checkpoint`` is what a user would name; ``now`` and ``start`` are network files without
    provenance with the checkpoint's weights and with the initial ones; ``initial`` is
    a checkpoint before training, ``data_dir`` the training data.
    """

    truth: Truth
    storage: Storage
    checkpoint: Path
    now: Path | None
    start: Path
    initial: Path
    data_dir: Path | None
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.truth.name}/{self.storage}"

    def write(self, root: Path) -> None:
        """Note the case in a folder's list of cases, with paths relative to it."""
        paths = {
            key: None if path is None else path.relative_to(root).as_posix()
            for key, path in (
                ("checkpoint", self.checkpoint), ("now", self.now), ("start", self.start),
                ("initial", self.initial), ("data_dir", self.data_dir),
            )
        }  # fmt: skip
        line = {"storage": self.storage, **paths, "extra": self.extra, "truth": asdict(self.truth)}
        with (root / "cases.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")


def read_cases(root: Path) -> Iterator[Case]:
    """The cases of a folder that `Case.write` wrote."""
    for text in (root / "cases.jsonl").read_text(encoding="utf-8").splitlines():
        line = json.loads(text)
        truth = line.pop("truth")
        tables = {name: TableTruth(**table) for name, table in truth.pop("tables").items()}
        optimizers = {
            name: OptimizerTruth(**values) for name, values in truth.pop("optimizers").items()
        }
        notes = tuple(truth.pop("notes"))
        made = Truth(**truth, tables=tables, optimizers=optimizers, notes=notes)
        paths = {
            key: None if (value := line.pop(key)) is None else root / value
            for key in ("checkpoint", "now", "start", "initial", "data_dir")
        }
        yield Case(made, line["storage"], extra=line["extra"], **paths)  # type: ignore[arg-type]

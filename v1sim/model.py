"""The frozen types that flow through v1sim. Arrays in them are read-only.

Letters in shapes: n neurons, t cell types, s synapses, q spikes, c LGN cells.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from v1sim import units
from v1sim.cell_types import CellTypeTable
from v1sim.paging import forget
from v1sim.receptors import ReceptorScheme

__all__ = [
    "CRASHED",
    "MIN_CHANGE",
    "MIN_UPDATES",
    "ArrayOrigin",
    "ArrayRequirements",
    "ArrayVerdict",
    "CellTypeTable",
    "CheckReport",
    "Finding",
    "LgnCellTable",
    "NetworkModel",
    "NeuronTable",
    "Presentation",
    "Proof",
    "Provenance",
    "Requirement",
    "Severity",
    "SourceFile",
    "SpikeTable",
    "SynapseTable",
    "TrainingMinimum",
    "Trial",
    "Verdict",
    "VoltageTraces",
]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


def _freeze(obj: object) -> None:
    """Make every array field of a frozen dataclass read-only."""
    for f in fields(obj):  # type: ignore[arg-type]
        value = getattr(obj, f.name)
        if isinstance(value, np.ndarray):
            value.flags.writeable = False


@dataclass(frozen=True, eq=False)
class NeuronTable:
    """Cell type (u2) and position in um (n, 3: x, y, z; |y| is depth) of each neuron."""

    cell_type: NDArray[np.uint16]
    position_um: NDArray[np.floating] | None = None

    def __post_init__(self) -> None:
        _freeze(self)

    def __len__(self) -> int:
        return len(self.cell_type)


@dataclass(frozen=True, eq=False)
class SynapseTable:
    """Synapses as columns in the file's order; the weight is normalised as in the file."""

    pre: NDArray[np.int32]
    post: NDArray[np.int32]
    receptor: NDArray[np.uint8]
    delay_ms: F32
    weight: F32

    def __post_init__(self) -> None:
        _freeze(self)

    def __len__(self) -> int:
        return len(self.pre)

    @classmethod
    def empty(cls) -> SynapseTable:
        """A table without synapses."""
        index, number = np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float32)
        return cls(index, index, np.empty(0, dtype=np.uint8), number, number)

    @property
    def columns(self) -> dict[str, NDArray[Any]]:
        """The columns by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def forget(self) -> None:
        """Drop columns that lie in scratch files from memory until they are next read."""
        for column in self.columns.values():
            forget(column)

    def weight_pa(self, network: NetworkModel) -> F64:
        """Physical weight of each synapse, pA, shape (s,)."""
        return units.to_pa(self.weight, self.post, network.voltage_scale_mv)


@dataclass(frozen=True, eq=False)
class LgnCellTable:
    """LGN cells and their spatiotemporal filters (REFERENCE: Billeh et al. 2020).

    ``model_id`` (c,) names the class ("sON_TF1", "sONsOFF_001", ...). Positions
    and sizes are in degrees of visual field. ``*_dom`` (c, 2) is the dominant
    subunit's temporal kernel, ``*_non_dom`` (c, 2) the other subunit's (NaN for
    single cells), ``subunit_angle_deg`` and ``subunit_distance_deg`` place the second one.
    """

    model_id: NDArray[np.str_]
    x_deg: F64
    y_deg: F64
    spatial_size_deg: F64
    kpeak_dom_ms: F64
    weight_dom: F64
    delay_dom_ms: F64
    kpeak_non_dom_ms: F64
    weight_non_dom: F64
    delay_non_dom_ms: F64
    subunit_angle_deg: F64
    subunit_distance_deg: F64
    field_deg: tuple[float, float] = (120.0, 80.0)

    def __post_init__(self) -> None:
        _freeze(self)

    def __len__(self) -> int:
        return len(self.x_deg)

    def take(self, index: NDArray[np.integer]) -> LgnCellTable:
        """The cells at ``index``, in that order."""
        columns = {
            f.name: getattr(self, f.name)[index]
            for f in fields(self)
            if isinstance(getattr(self, f.name), np.ndarray)
        }
        return LgnCellTable(**columns, field_deg=self.field_deg)


@dataclass(frozen=True)
class ArrayOrigin:
    """Where one array came from, and its sha256 (of canonical bytes)."""

    origin: Literal[
        "trained variable", "initial value", "undetermined", "recomputed", "constructed", "copied"
    ]
    sha256: str
    detail: str = ""


@dataclass(frozen=True)
class Provenance:
    """What the maker of a network says it is, with a digest of every array.

    ``arrays`` is by the names of `v1sim.sources.provenance.canonical_arrays`;
    ``synapse_digests`` has a digest for each synapse table that ignores order.
    """

    kind: Literal["trained", "untrained", "mixed", "constructed", "undetermined"]
    made_by: str
    made_at: str
    command: str
    arrays: Mapping[str, ArrayOrigin]
    synapse_digests: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    checkpoint: Mapping[str, Any] | None = None
    details: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class SourceFile:
    """What a network was read from.

    ``format`` is that of its reader (`v1sim.sources.READERS`), or what it was made by:
    "column", "checkpoint" or "training_data". ``stored_dtype`` has the dtype of each array
    as it is on disk; ``assumed`` names the sizes that the file does not state and that its
    arrays were taken to say. ``name_of`` gives what an array ("recurrent.weight") is called
    there, for people who look for it.
    """

    path: str
    sha256: str
    format: str
    stored_dtype: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    assumed: tuple[str, ...] = ()
    name_of: Callable[[str], str] = str


@dataclass(frozen=True, eq=False)
class NetworkModel:
    """A network as its file says it is: nothing converted, nothing checked.

    ``background_weight`` (n, receptors) is normalised and ten times the training's
    per-draw weight (see the file format); ``readout`` has one array of neuron
    indices a class; ``readout_weight`` (cells, classes) and ``readout_bias`` (classes,)
    are there where training used a dense readout. ``provenance_problem`` says why a
    provenance that the file has could not be read. ``step_ms`` is the time step that the
    network was made for, training's for those of training.
    """

    neurons: NeuronTable
    cell_types: CellTypeTable
    recurrent: SynapseTable
    lgn: SynapseTable
    n_lgn: int
    source: SourceFile
    background_weight: F32 | None = None
    readout: tuple[NDArray[np.int32], ...] = ()
    readout_weight: F32 | None = None
    readout_bias: F32 | None = None
    lgn_cells: LgnCellTable | None = None
    provenance: Provenance | None = None
    provenance_problem: str | None = None
    step_ms: float = units.MODEL_STEP_MS

    def __post_init__(self) -> None:
        _freeze(self)
        for group in self.readout:
            group.flags.writeable = False

    @property
    def n_neurons(self) -> int:
        """Number of V1 neurons."""
        return len(self.neurons)

    @property
    def receptors(self) -> ReceptorScheme:
        """What the receptors of its cells are."""
        return self.cell_types.receptors

    def presynaptic_kind(
        self, table: SynapseTable, rows: slice | NDArray[np.integer] = slice(None)
    ) -> NDArray[np.uint8]:
        """Kind of the cell that each synapse of a table comes from, by its receptor, shape (s,).

        Receptors must be in range, and targets too where kinds depend on the cell type.
        """
        of_target = None
        if not self.receptors.same_for_all_types:
            of_target = self.neurons.cell_type[table.post[rows]]
        return self.receptors.presynaptic_kind(table.receptor[rows], of_target)

    def without_synapses(self) -> NetworkModel:
        """Neurons, cell types, LGN cells and readout alone, for other processes to know."""
        source = replace(self.source, stored_dtype={})
        none = SynapseTable.empty()
        return replace(self, recurrent=none, lgn=none, provenance=None, source=source)

    @cached_property
    def voltage_scale_mv(self) -> F64:
        """``V_th - E_L`` of each neuron, shape (n,)."""
        scale = self.cell_types.voltage_scale_mv[self.neurons.cell_type]
        scale.flags.writeable = False
        return scale


class Severity(StrEnum):
    """How much a finding matters. ``error`` refuses; a warning and information do not."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class Verdict(StrEnum):
    """What the weights are."""

    TRAINED = "trained"
    UNTRAINED = "untrained"
    MIXED = "mixed"
    CONSTRUCTED = "constructed"
    UNDETERMINED = "undetermined"


#: What a verdict rests on; None where nothing tells.
Proof = Literal["provenance", "checkpoint", "baseline", "evidence"] | None
#: What weights must be. "any" accepts trained and constructed weights, and those whose history
#: cannot be told; of a single array, whatever it is.
Requirement = Literal["trained", "constructed", "any"]


@dataclass(frozen=True)
class ArrayRequirements:
    """What each array of weights must be, where not all are to be the same."""

    recurrent: Requirement = "trained"
    input: Requirement = "any"
    background: Requirement = "any"

    def __str__(self) -> str:
        return ", ".join(f"{f.name} {getattr(self, f.name)}" for f in fields(self))


#: Updates of the optimizer and relative change (L2) of the recurrent weights against those before
#: training, from which on there was a training to speak of. Seen after five steps: 5 or 10 updates
#: (an older optimizer counts each variable), a change of 0.02..0.08; after trainings: 40 updates
#: and more, a change of 0.14..0.9. Step by step, in three trainings: a change of 0.03..0.05 after
#: 10 steps, 0.05..0.09 after 20, 0.09..0.17 after 40. See docs/calibration.md.
MIN_UPDATES, MIN_CHANGE = 20, 0.1


@dataclass(frozen=True)
class TrainingMinimum:
    """The least that counts as a training; weights that had less of it count as untrained.

    Parameters
    ----------
    updates : int
        Updates of the optimizer, where provenance or checkpoint tell how many it made. Fewer
        are enough where exact zeros show a training, or where updates times learning rate
        reach ``change`` times the root mean square of the recurrent weights.
    change : float
        Relative change (L2) of the recurrent weights, where there is a baseline.
    """

    updates: int = MIN_UPDATES
    change: float = MIN_CHANGE


#: Name of the finding about a check that crashed; it names the check as the place.
CRASHED = "guard.crash"


@dataclass(frozen=True)
class Finding:
    """One thing that one check saw.

    ``where`` names it as the network's source does; ``array`` is v1sim's own name, where it
    is about one array. ``examples`` holds up to five readable examples; ``n_bad`` of
    ``n_seen`` values were bad; ``observed`` holds the numbers behind the message.
    """

    check: str
    severity: Severity
    where: str
    message: str
    hint: str = ""
    n_bad: int = 0
    n_seen: int = 0
    examples: tuple[str, ...] = ()
    observed: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    array: str = field(default="", compare=False)

    @property
    def waived_as(self) -> str:
        """The name that a waiver of it gives: that of its check, also where the check crashed."""
        return self.where if self.check == CRASHED else self.check


@dataclass(frozen=True)
class ArrayVerdict:
    """What one array of weights is, the proof it rests on, and why."""

    verdict: Verdict
    proof: Proof
    why: str = ""


@dataclass(frozen=True)
class CheckReport:
    """Everything the guards saw in one network.

    ``arrays`` has a verdict for each array of weights, ``groups`` statistics for each synapse
    table, by what the network's source calls them. ``doubts`` says in sentences what is not
    shown of a network that passes, or was waived.
    """

    findings: tuple[Finding, ...]
    checks_run: tuple[str, ...]
    waived: Mapping[str, str]
    verdict: Verdict
    proof: Proof
    network_sha256: str
    network_path: str
    require: Requirement | ArrayRequirements
    doubts: tuple[str, ...] = ()
    groups: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: MappingProxyType({}))
    arrays: Mapping[str, ArrayVerdict] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def blocking(self) -> tuple[Finding, ...]:
        """Errors that no waiver covers."""
        return tuple(
            f
            for f in self.findings
            if f.severity is Severity.ERROR and f.waived_as not in self.waived
        )

    @property
    def passed(self) -> bool:
        """Whether nothing refuses the network."""
        return not self.blocking


@dataclass(frozen=True, eq=False)
class SpikeTable:
    """Spikes of a run, sorted by trial, then time, then neuron.

    ``time_ms`` (q,) is the start of the step in which the neuron spiked, counted
    from the start of its trial: a spike at t fell in [t, t + dt). A TensorFlow
    spike tensor ``z[trial, step, neuron]`` has the same indices with dt = 1 ms.
    """

    trial: NDArray[np.int32]
    neuron: NDArray[np.int32]
    time_ms: F64

    def __post_init__(self) -> None:
        _freeze(self)

    def __len__(self) -> int:
        return len(self.neuron)


@dataclass(frozen=True)
class Presentation:
    """One thing that a trial shows, from ``onset_ms`` up to ``end_ms`` of the trial (excluded).

    ``kind`` names it ("drifting_grating", "flash", "image", ...); ``values`` are plain
    ("direction_deg": 45.0, "contrast": 0.8, "file": "cat.png").
    """

    onset_ms: float
    end_ms: float
    kind: str
    values: Mapping[str, float | int | str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class Trial:
    """One trial: where it lies on the run's time line and what was shown.

    ``stimulus`` holds plain values ("direction_deg": 45.0, "repeat": 3,
    "label": 7); ``window_ms`` is the part that analyses read, start included,
    stop excluded. ``presentations`` are what was shown when, in order of their onsets.
    """

    index: int
    start_ms: float
    duration_ms: float
    window_ms: tuple[float, float]
    stimulus: Mapping[str, float | int | str]
    presentations: tuple[Presentation, ...] = ()


@dataclass(frozen=True, eq=False)
class VoltageTraces:
    """Membrane potential of chosen neurons: ``v_mv`` (trials, steps, m) for ``neuron`` (m,)."""

    neuron: NDArray[np.int32]
    v_mv: F32
    dt_ms: float

    def __post_init__(self) -> None:
        _freeze(self)

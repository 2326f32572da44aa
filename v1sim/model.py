"""The frozen types that flow through v1sim. Arrays in them are read-only.

Letters in shapes: n neurons, t cell types, s synapses, q spikes, c LGN cells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from v1sim import units
from v1sim.card import Tone, card
from v1sim.cell_types import CellTypeTable
from v1sim.paging import forget
from v1sim.receptors import Kind, ReceptorScheme

__all__ = [
    "CRASHED",
    "MIN_CHANGE",
    "MIN_UPDATES",
    "V1",
    "ArrayOrigin",
    "ArrayRequirements",
    "ArrayVerdict",
    "CellTypeTable",
    "CheckReport",
    "Finding",
    "IndexColumn",
    "LgnCellTable",
    "NetworkModel",
    "NeuronPopulation",
    "NeuronTable",
    "Presentation",
    "Projection",
    "Proof",
    "Provenance",
    "Requirement",
    "Role",
    "Severity",
    "SourceFile",
    "SourcePopulation",
    "SourceRemark",
    "SpikeTable",
    "Strength",
    "SynapseTable",
    "TrainingDynamics",
    "TrainingMinimum",
    "Trial",
    "Verdict",
    "VoltageTraces",
]

#: Name of the neurons' population in files that name none.
V1 = "v1"

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


def _freeze(obj: object) -> None:
    """Make every array field of a frozen dataclass read-only."""
    for f in fields(obj):  # type: ignore[arg-type]
        value = getattr(obj, f.name)
        if isinstance(value, np.ndarray):
            value.flags.writeable = False


@dataclass(frozen=True, eq=False)
class NeuronPopulation:
    """A population as the network's source names it, and the id of each of its neurons there."""

    name: str
    node_id: NDArray[np.int64]

    def __post_init__(self) -> None:
        _freeze(self)

    def __len__(self) -> int:
        return len(self.node_id)


@dataclass(frozen=True, eq=False)
class NeuronTable:
    """Cell type (u2) and position in um (n, 3: x, y, z; |y| is depth) of each neuron.

    Neurons of all populations share one index: those of the first of ``populations`` come first.
    There are none where the source has one population without a name, whose ids are the indices.
    """

    cell_type: NDArray[np.uint16]
    position_um: NDArray[np.floating] | None = None
    populations: tuple[NeuronPopulation, ...] = ()

    def __post_init__(self) -> None:
        _freeze(self)
        n = sum(map(len, self.populations))
        if self.populations and n != len(self):
            msg = f"populations of {n} neurons for {len(self)}"
            raise ValueError(msg)

    def __len__(self) -> int:
        return len(self.cell_type)


@dataclass(frozen=True, eq=False)
class SynapseTable:
    """Synapses as columns in the file's order.

    ``weight`` is in the ``unit`` of the file: pA, or normalised, which is pA divided by the
    target's ``V_th - E_L`` in mV.
    """

    pre: NDArray[np.int32]
    post: NDArray[np.int32]
    receptor: NDArray[np.uint8]
    delay_ms: NDArray[np.floating]
    weight: NDArray[np.floating]
    unit: Literal["normalised", "pA"] = "normalised"

    def __post_init__(self) -> None:
        _freeze(self)

    def __len__(self) -> int:
        return len(self.pre)

    @classmethod
    def empty(cls) -> SynapseTable:
        """A table without synapses."""
        index, number = np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float32)
        return cls(index, index, np.empty(0, dtype=np.uint8), number, number)

    @classmethod
    def from_matrix(cls, weight: NDArray[np.floating], delay_ms: float) -> SynapseTable:
        """Synapses of one cell onto every neuron and receptor, from weights (n, receptors)."""
        n_neurons, n_receptors = weight.shape
        return cls(
            pre=np.zeros(weight.size, dtype=np.int32),
            post=np.repeat(np.arange(n_neurons, dtype=np.int32), n_receptors),
            receptor=np.tile(np.arange(n_receptors, dtype=np.uint8), n_neurons),
            delay_ms=np.full(weight.size, delay_ms, dtype=np.float32),
            weight=weight.reshape(-1),
        )

    def as_matrix(self, n_neurons: int, n_receptors: int) -> NDArray[Any] | None:
        """The weights that `from_matrix` made a table of; None where it is no such table."""
        if len(self) != n_neurons * n_receptors or self.pre.any():
            return None
        post = self.post.reshape(n_neurons, n_receptors)
        receptor = self.receptor.reshape(n_neurons, n_receptors)
        if (post != np.arange(n_neurons)[:, np.newaxis]).any():
            return None
        if (receptor != np.arange(n_receptors)).any():
            return None
        return self.weight.reshape(n_neurons, n_receptors)

    @property
    def columns(self) -> dict[str, NDArray[Any]]:
        """The columns by name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "unit"}

    def forget(self) -> None:
        """Drop columns that lie in scratch files from memory until they are next read."""
        for column in self.columns.values():
            forget(column)

    def normalised(
        self, network: NetworkModel, rows: slice | NDArray[np.integer] = slice(None)
    ) -> F32:
        """Normalised weight of each synapse, float32, shape (s,): what checks are calibrated on."""
        weight = self.weight[rows]
        if self.unit == "pA":
            with np.errstate(all="ignore"):  # of a scale that has a finding of its own
                weight = weight / network.voltage_scale_mv[self.post[rows]]
        return weight.astype(np.float32, copy=False)

    def weight_pa(self, network: NetworkModel) -> F64:
        """Physical weight of each synapse, pA, shape (s,)."""
        if self.unit == "pA":
            return self.weight.astype(np.float64)
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
    there, for people who look for it. ``table_files`` has the files of each table of synapses,
    where a network is read from several.
    """

    path: str
    sha256: str
    format: str
    stored_dtype: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    assumed: tuple[str, ...] = ()
    name_of: Callable[[str], str] = str
    table_files: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class TrainingDynamics:
    """The equations that a network was trained in, as its file or its trainer says.

    GLIF3 neurons with alpha-shaped currents, one a receptor (a trainer's basis functions are
    receptors); a spike subtracts ``V_th - V_reset`` one step later, and the refractory period
    suppresses spikes alone (`v1sim.simulation.reference`). With the reset ``hard`` the membrane
    is in addition held at ``V_reset`` while the neuron is refractory. ``step_ms`` is the step of
    training, ms. ``trainer`` ("billeh", "dpointnet") says how the constants of a step are rounded.
    """

    reset: Literal["subtractive", "hard"] = "subtractive"
    step_ms: float = units.MODEL_STEP_MS
    trainer: str = "billeh"

    @property
    def text(self) -> tuple[str, str, str]:
        """Its fields as text: for digests."""
        return (self.reset, repr(float(self.step_ms)), self.trainer)


#: What the cells are that a projection comes from: the network's own, or a source population.
Role = Literal["recurrent", "lgn", "background", "other"]


@dataclass(frozen=True, eq=False)
class SourcePopulation:
    """Cells outside of the network that send to it: what they send is given, not simulated.

    ``node_id`` (size,) are their ids in the network's source, where these are not the indices;
    ``cells`` are the filters of LGN cells; ``kind`` (size,) is the `Kind` of each cell, where the
    source says it.
    """

    role: Literal["lgn", "background", "other"]
    size: int
    node_id: NDArray[np.int64] | None = None
    cells: LgnCellTable | None = None
    kind: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        _freeze(self)

    @property
    def ids(self) -> NDArray[np.int64]:
        """Ids of its cells in the network's source, shape (size,)."""
        return np.arange(self.size, dtype=np.int64) if self.node_id is None else self.node_id


@dataclass(frozen=True, eq=False)
class Projection:
    """Synapses from a source population, or, where ``source`` is None, from neuron to neuron."""

    synapses: SynapseTable
    source: str | None = None


@dataclass(frozen=True, eq=False)
class IndexColumn:
    """The sources ("pre") or targets ("post") of a projection, and how many cells there are."""

    projection: str
    column: Literal["pre", "post"]
    index: NDArray[np.int32]
    n_cells: int

    @property
    def array(self) -> str:
        """Its name."""
        return f"{self.projection}.{self.column}"

    @property
    def in_range(self) -> bool:
        """Whether every index is that of a cell."""
        index = self.index
        return not len(index) or bool(index.min() >= 0 and index.max() < self.n_cells)


@dataclass(frozen=True, eq=False, repr=False)
class NetworkModel:
    """A network as its source says it is: nothing converted, nothing checked.

    Projections end on the network's own neurons. Their names and those of ``source_populations``
    are the source's; in the Billeh model's files they are ``recurrent``, ``lgn`` and
    ``background`` (`billeh`). ``readout`` has one array of neuron indices a class;
    ``readout_weight`` (cells, classes) and ``readout_bias`` (classes,) are there where training
    used a dense readout. ``provenance_problem`` says why a provenance that the file has could
    not be read. ``step_ms`` is the time step that the network was made for, training's for those
    of training. ``dynamics`` are those that it was trained in; None where its source does not
    say. ``remarks`` are what its reader saw in the source that is odd or wrong.
    """

    neurons: NeuronTable
    cell_types: CellTypeTable
    projections: Mapping[str, Projection]
    source_populations: Mapping[str, SourcePopulation]
    source: SourceFile
    readout: tuple[NDArray[np.int32], ...] = ()
    readout_weight: F32 | None = None
    readout_bias: F32 | None = None
    provenance: Provenance | None = None
    provenance_problem: str | None = None
    step_ms: float = units.MODEL_STEP_MS
    dynamics: TrainingDynamics | None = None
    remarks: tuple[SourceRemark, ...] = ()

    def __post_init__(self) -> None:
        _freeze(self)
        for group in self.readout:
            group.flags.writeable = False

    def __repr__(self) -> str:
        return f"<NetworkModel {self.source.path}: {self._size}; not checked>"

    def _repr_html_(self) -> str:
        claim = self.provenance.kind if self.provenance else "nothing"
        return card(
            "NOT CHECKED",
            self.source.path,
            {
                "size": self._size,
                "its file says": f"{claim} (v1sim.check tells whether that is so)",
                "populations": ", ".join(f"{p.name} {len(p):,}" for p in self.populations),
                "projections": ", ".join(f"{k} {len(v):,}" for k, v in self.tables.items()),
                "time step": f"{self.step_ms:g} ms",
                "file sha256": self.source.sha256[:16],
            },
        )

    @property
    def _size(self) -> str:
        n_synapses = sum(map(len, self.tables.values()))
        return (
            f"{self.n_neurons:,} neurons of {len(self.cell_types):,} cell types, "
            f"{n_synapses:,} synapses"
        )

    @classmethod
    def billeh(
        cls,
        *,
        recurrent: SynapseTable,
        lgn: SynapseTable,
        n_lgn: int,
        lgn_cells: LgnCellTable | None = None,
        background_weight: F32 | None = None,
        **rest: Any,
    ) -> NetworkModel:
        """A network of the Billeh model's files: one recurrent table, one of the LGN.

        Parameters
        ----------
        recurrent, lgn : SynapseTable
            Their synapses.
        n_lgn : int
            Number of LGN cells.
        lgn_cells : LgnCellTable, optional
            Their filters.
        background_weight : float array, shape (n, receptors), optional
            Normalised, and ten times the training's weight for each draw.
        **rest
            Other fields.
        """
        network = cls(
            projections={
                "recurrent": Projection(recurrent),
                "lgn": Projection(lgn, source="lgn"),
            },
            source_populations={"lgn": SourcePopulation("lgn", n_lgn, cells=lgn_cells)},
            **rest,
        )
        return network.with_background(background_weight)

    @property
    def n_neurons(self) -> int:
        """Number of neurons, of all populations."""
        return len(self.neurons)

    @property
    def populations(self) -> tuple[NeuronPopulation, ...]:
        """Its populations of neurons, in the order of their indices."""
        everyone = NeuronPopulation(V1, np.arange(self.n_neurons, dtype=np.int64))
        return self.neurons.populations or (everyone,)

    @property
    def tables(self) -> dict[str, SynapseTable]:
        """The synapses of each projection by its name."""
        return {name: projection.synapses for name, projection in self.projections.items()}

    def tables_of(self, *roles: Role) -> dict[str, SynapseTable]:
        """The synapses of the projections whose sources have one of these roles."""
        return {name: table for name, table in self.tables.items() if self.role(name) in roles}

    def role(self, projection: str) -> Role:
        """What the cells are that a projection comes from."""
        source = self.projections[projection].source
        return "recurrent" if source is None else self.source_populations[source].role

    def n_pre(self, projection: str) -> int:
        """How many cells a projection may come from."""
        source = self.projections[projection].source
        return self.n_neurons if source is None else self.source_populations[source].size

    @property
    def lgn(self) -> SourcePopulation:
        """The population of LGN cells; one without cells where there is none."""
        populations = self.source_populations.values()
        none = SourcePopulation("lgn", 0)
        return next((population for population in populations if population.role == "lgn"), none)

    @cached_property
    def background_weight(self) -> F32 | None:
        """Weight of the background onto each neuron and receptor, (n, receptors).

        None where there is no background, or one of several cells.
        """
        for table in self.tables_of("background").values():
            return table.as_matrix(self.n_neurons, self.receptors.n)
        return None

    def index_columns(self) -> Iterator[IndexColumn]:
        """The sources and targets of all projections."""
        for name, table in self.tables.items():
            yield IndexColumn(name, "pre", table.pre, self.n_pre(name))
            yield IndexColumn(name, "post", table.post, self.n_neurons)

    def with_tables(self, **tables: SynapseTable) -> NetworkModel:
        """The same network with other synapses in the projections that are named."""
        changed = {
            name: replace(self.projections[name], synapses=table) for name, table in tables.items()
        }
        return replace(self, projections={**self.projections, **changed})

    def with_lgn(self, **changes: Any) -> NetworkModel:
        """The same network with another size or other filters of its LGN."""
        populations = {
            name: replace(population, **changes) if population is self.lgn else population
            for name, population in self.source_populations.items()
        }
        return replace(self, source_populations=populations)

    def with_background(self, weight: F32 | None) -> NetworkModel:
        """The same network with a background of one cell, of weights (n, receptors), or without.

        Its spikes arrive one step of training later.
        """
        name = "background"
        projections = {key: value for key, value in self.projections.items() if key != name}
        populations = {key: v for key, v in self.source_populations.items() if key != name}
        if weight is not None:
            table = SynapseTable.from_matrix(weight, units.MODEL_STEP_MS)
            projections[name] = Projection(table, source=name)
            populations[name] = SourcePopulation("background", 1)
        return replace(self, projections=projections, source_populations=populations)

    @property
    def receptors(self) -> ReceptorScheme:
        """What the receptors of its cells are."""
        return self.cell_types.receptors

    def presynaptic_kind(
        self, table: SynapseTable, rows: slice | NDArray[np.integer] = slice(None)
    ) -> NDArray[np.uint8]:
        """Kind of the cell that each synapse of a table comes from, shape (s,).

        By its receptor where receptors say it, otherwise by the cell itself where the source of
        the network says it. Receptors and sources must be in range, and targets too where kinds
        depend on the cell type.
        """
        if (self.receptors.presynaptic == Kind.UNKNOWN).all():
            kind = self._source_kind(table)
            if kind is not None:
                return kind[table.pre[rows]]
        of_target = None
        if not self.receptors.same_for_all_types:
            of_target = self.neurons.cell_type[table.post[rows]]
        return self.receptors.presynaptic_kind(table.receptor[rows], of_target)

    def source_kind(self, projection: str) -> NDArray[np.uint8] | None:
        """`Kind` of each cell that a projection may come from; None where the source is silent."""
        source = self.projections[projection].source
        if source is not None:
            return self.source_populations[source].kind
        kind = self.cell_types.kind
        return None if kind is None else kind[self.neurons.cell_type]

    def _source_kind(self, table: SynapseTable) -> NDArray[np.uint8] | None:
        """As `source_kind`, of the projection that has this table."""
        for name, held in self.tables.items():
            if held is table:
                return self.source_kind(name)
        return None

    def without_synapses(self) -> NetworkModel:
        """Neurons, cell types, sources and readout alone, for other processes to know."""
        names = self.tables_of("recurrent", "lgn", "other")
        network = self.with_tables(**dict.fromkeys(names, SynapseTable.empty()))
        source = replace(self.source, stored_dtype={})
        return replace(network, provenance=None, source=source)

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


@dataclass(frozen=True)
class SourceRemark:
    """What a reader saw in a network's source that is odd or wrong, and yet a network was read.

    The reader collects, the guards judge: ``check`` is the name of a registered check, which
    yields the remarks of its name.

    Parameters
    ----------
    check : str
        Name of the check ("sonata.edge_group_index").
    severity : Severity
        How much it matters.
    where : str
        File, and group or dataset in it, for people.
    message : str
        What was seen, with counts and rows.
    hint : str
        What to do.
    n, total : int
        How many of how many values.
    examples : tuple of str
        At most five.
    """

    check: str
    severity: Severity
    where: str
    message: str
    hint: str = ""
    n: int = 1
    total: int = 1
    examples: tuple[str, ...] = ()


class Verdict(StrEnum):
    """What the weights are."""

    TRAINED = "trained"
    UNTRAINED = "untrained"
    MIXED = "mixed"
    CONSTRUCTED = "constructed"
    UNDETERMINED = "undetermined"


#: What a verdict rests on; None where nothing tells.
Proof = Literal["signature", "provenance", "checkpoint", "baseline", "evidence"] | None
#: How sure it must be what the weights are.
Strength = Literal["signed", "proof", "evidence"]
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


@dataclass(frozen=True, repr=False)
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

    def __repr__(self) -> str:
        return f"<CheckReport {self.outcome}, weights {self._weights}: {self.network_path}>"

    def _repr_html_(self) -> str:
        tones: dict[str, Tone] = {"PASSED": "good", "REFUSED": "bad"}
        shown = [
            finding
            for severity in (Severity.ERROR, Severity.WARNING)
            for finding in self.findings
            if finding.severity is severity
        ]
        return card(
            self.outcome,
            self.network_path,
            {
                "weights": self._weights,
                "required": self.require,
                "checks": f"{len(self.checks_run)}, {len(shown)} errors and warnings",
                "network sha256": self.network_sha256[:16],
            },
            tone=tones.get(self.outcome, "doubtful"),
            notes=[
                *self.doubts,
                *(f"{f.severity}, {f.check}: {f.where}: {f.message}. {f.hint}" for f in shown),
            ],
        )

    @property
    def outcome(self) -> str:
        """The gate's answer: ``PASSED``, ``PASSED, WITH DOUBTS`` or ``REFUSED``."""
        if not self.passed:
            return "REFUSED"
        return "PASSED, WITH DOUBTS" if self.doubts else "PASSED"

    @property
    def _weights(self) -> str:
        return f"{self.verdict} ({f'proof: {self.proof}' if self.proof else 'no proof'})"

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

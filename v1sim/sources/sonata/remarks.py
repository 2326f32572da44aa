"""What may be odd or wrong in SONATA files from which a network can still be read, by name.

Readers note what they see (`Remarks`), each under a name of `REMARKS`; the check of that name
hands it on to the gate (`v1sim.checks`). Where BMTK would build another network than the files
describe, v1sim builds what they describe, and the remark says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from v1sim.model import Severity, SourceRemark

__all__ = ["REMARKS", "RemarkKind", "Remarks"]

_MOST_EXAMPLES = 5


@dataclass(frozen=True)
class RemarkKind:
    """A kind of remark: how much it matters, and why."""

    name: str
    severity: Severity
    reason: str


_E, _W, _I = Severity.ERROR, Severity.WARNING, Severity.INFO

_KINDS = (
    # --- the configuration
    RemarkKind(
        "sonata.misspelt_key",
        _E,
        "BMTK passes over keys that it does not know: with `input` in place of `inputs` a "
        "network runs without any input.",
    ),
    RemarkKind(
        "sonata.unknown_key",
        _W,
        "A key that neither BMTK nor v1sim reads has no effect, whatever its author meant.",
    ),
    RemarkKind(
        "sonata.duplicate_key",
        _E,
        "JSON keeps the last of several values of one key: the others are lost in silence.",
    ),
    RemarkKind(
        "sonata.section_replaced",
        _W,
        "Where a configuration and one that it names have the same section, BMTK takes that of "
        "the named one, whole.",
    ),
    RemarkKind(
        "sonata.relative_path",
        _W,
        "v1sim takes relative paths from the folder of the configuration, BMTK from the folder "
        "that it is started in.",
    ),
    RemarkKind(
        "sonata.edges_disabled",
        _I,
        "Edges with `enabled: false` are no part of the network.",
    ),
    # --- inputs
    RemarkKind(
        "sonata.input_population",
        _E,
        "An input that names no population of virtual cells reaches nobody.",
    ),
    RemarkKind(
        "sonata.input_disabled",
        _I,
        "An input with `enabled: false` sends nothing.",
    ),
    RemarkKind(
        "sonata.input_module",
        _E,
        "BMTK passes over inputs whose module it does not know, with a warning in its log.",
    ),
    RemarkKind(
        "sonata.fed_twice",
        _E,
        "BMTK makes all synapses of a population again for each input that names it: its weights "
        "act twice.",
    ),
    RemarkKind(
        "sonata.not_fed",
        _W,
        "A population of virtual cells that no input names sends nothing; BMTK does not even "
        "make its synapses.",
    ),
    RemarkKind(
        "sonata.node_set_part",
        _W,
        "BMTK gives spikes to all cells of a population, also where the node set of the input "
        "names some of them.",
    ),
    RemarkKind(
        "sonata.spike_file",
        _W,
        "An input whose file is not there, cannot be read or has no spikes of its population sends "
        "nothing that is meant: the network is as good as ever, a run is refused.",
    ),
    RemarkKind(
        "sonata.spike_population",
        _W,
        "BMTK takes the first population of a spike file, whichever the input wants; v1sim takes "
        "the one that is wanted.",
    ),
    RemarkKind(
        "sonata.spike_units",
        _W,
        "BMTK takes all times of spikes as ms, whatever units the file states; v1sim converts "
        "them.",
    ),
    RemarkKind(
        "sonata.spike_node_ids",
        _E,
        "BMTK drops spikes of node ids that the population does not have.",
    ),
    RemarkKind(
        "sonata.spike_times",
        _E,
        "Spikes at 0 ms or before cannot be sent; BMTK refuses them.",
    ),
    # --- columns of nodes and edges
    RemarkKind(
        "sonata.edge_group_index",
        _W,
        "BMTK takes the rows of an edge group in their order and ignores edge_group_index; v1sim "
        "takes the row that it names.",
    ),
    RemarkKind(
        "sonata.edge_group_range",
        _E,
        "An edge whose group or row of the group does not exist has no properties.",
    ),
    RemarkKind(
        "sonata.unused_rows",
        _W,
        "Rows of an edge group that no edge names, or that several share, are a sign that group "
        "and index do not belong together.",
    ),
    RemarkKind(
        "sonata.weight_function",
        _I,
        "Weights that a function of another package computes are as right as that package.",
    ),
    RemarkKind(
        "sonata.weight_function_groups",
        _W,
        "With a weight function BMTK takes an edge's row in the file for its row in the edge "
        "group: with several groups the weights are those of other edges, or NaN, which becomes "
        "1.0.",
    ),
    RemarkKind(
        "sonata.not_finite",
        _E,
        "NEST takes a weight or delay of NaN for 1.0, and accepts infinite weights.",
    ),
    RemarkKind(
        "sonata.integer_overflow",
        _W,
        "BMTK multiplies syn_weight and nsyns in the type in which they are stored: small "
        "integers overflow. v1sim multiplies them exactly.",
    ),
    RemarkKind(
        "sonata.misspelt_column",
        _E,
        "BMTK passes over columns that it does not know: with `delays` in place of `delay` every "
        "synapse has NEST's 1.0 ms.",
    ),
    RemarkKind(
        "sonata.nsyns_name",
        _W,
        "Only `nsyns` multiplies the weights. `n_syns_`, as the model of 2026 has it, does not: "
        "its weights are those of all synapses of a pair.",
    ),
    RemarkKind(
        "sonata.no_delay",
        _I,
        "Edges without a delay get NEST's 1.0 ms.",
    ),
    RemarkKind(
        "sonata.unknown_node",
        _E,
        "An edge from or to a node that its population does not have is no synapse.",
    ),
    RemarkKind(
        "sonata.receptor_port",
        _E,
        "NEST refuses a receptor that the target's model does not have.",
    ),
    RemarkKind(
        "sonata.parameters_in_h5",
        _E,
        "BMTK takes the model of a node and its parameters, and those of synapses, from the types "
        "alone: what the HDF5 groups say of them is ignored.",
    ),
    RemarkKind(
        "sonata.suffix_untrained",
        _E,
        "Trained edges are files of their own beside the plain ones "
        "(`v1_v1_edges_bio_trained.h5`). One that has the plain file's weights is the initial "
        "network under a trained one's name.",
    ),
    # --- parameters of cells and synapses
    RemarkKind(
        "sonata.default_start",
        _W,
        "Cells whose parameters have no V_m start at the default of NEST's model, not at E_L.",
    ),
    RemarkKind(
        "sonata.allowed_model",
        _I,
        "Of a model that the configuration allows by name v1sim knows nothing but its parameters: "
        "no guard judges what its synapses do.",
    ),
    RemarkKind(
        "sonata.no_after_spike_currents",
        _W,
        "NEST's GLIF models have no after-spike currents unless `after_spike_currents` is true, "
        "whatever asc_amps says.",
    ),
    RemarkKind(
        "sonata.default_parameter",
        _W,
        "A parameter that is left out is NEST's default, that of a cell of no V1 model.",
    ),
    RemarkKind(
        "sonata.delay_of_parameters",
        _W,
        "Where the edges have no delay, that in the JSON of a synapse holds. BMTK hands it to NEST "
        "as one number, which NEST 3 refuses; BMTK hides NEST's words behind an AttributeError.",
    ),
    RemarkKind(
        "sonata.function_without_nsyns",
        _W,
        "BMTK's weight functions need nsyns: without it they stop with an AttributeError of pandas "
        "that names no file. v1sim takes 1.",
    ),
    RemarkKind(
        "sonata.unread_parameter",
        _W,
        "Weight and delay in the parameters of a synapse have no effect where the edges have "
        "their own.",
    ),
)

#: All kinds by name.
REMARKS = MappingProxyType({kind.name: kind for kind in _KINDS})


class Remarks:
    """Remarks while they are collected; a kind may come several times.

    ``kinds`` are those of SONATA's files, or of another source.
    """

    def __init__(self, kinds: Mapping[str, RemarkKind] = REMARKS) -> None:
        self._kinds = kinds
        self._found: list[SourceRemark] = []

    def add(
        self,
        check: str,
        where: str,
        message: str,
        *,
        hint: str = "",
        n: int = 1,
        total: int = 1,
        examples: Iterable[str] = (),
    ) -> None:
        """Note one; see `v1sim.model.SourceRemark`."""
        self._found.append(
            SourceRemark(
                check=check,
                severity=self._kinds[check].severity,
                where=where,
                message=message,
                hint=hint,
                n=n,
                total=total,
                examples=tuple(examples)[:_MOST_EXAMPLES],
            )
        )

    def all(self) -> tuple[SourceRemark, ...]:
        """Those noted so far, in their order."""
        return tuple(self._found)

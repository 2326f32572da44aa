"""Checks of what a reader saw in SONATA files: what BMTK accepts without a word.

The reader notes it with counts and rows (`v1sim.sources.sonata.remarks`), as it is lost once there
is a network. Each kind of remark is a check here, so that it is waived, documented and reported
as every other finding.
"""

from __future__ import annotations

from v1sim.checks.remarks import Rule, register_remarks
from v1sim.sources.sonata.remarks import REMARKS

__all__ = ["RULES"]


#: By the name of the remark. Numbers of spikes: BMTK 1.2.0 on NEST 3.10 on a circuit of 50 cells
#: of three models, of 1,200 spikes as it was made.
RULES = {
    "sonata.misspelt_key": Rule(
        "Keys of the configuration are spelt as BMTK reads them.",
        "`input` in place of `inputs`: 0 of 1,200 spikes. A key that is as far from a known one as "
        "a letter or two; none in five public networks.",
    ),
    "sonata.unknown_key": Rule(
        "Keys of the configuration are known.",
        "Exact: what BMTK 1.2.0 reads, and what SONATA's specification has.",
    ),
    "sonata.duplicate_key": Rule(
        "No key of the configuration is there twice.",
        "Exact: two inputs of one name are one input.",
    ),
    "sonata.section_replaced": Rule(
        "A section is in one of the files of a configuration only.",
        "Exact.",
    ),
    "sonata.relative_path": Rule(
        "Paths do not depend on the folder that a program is started in.",
        "Exact: a path that begins with no `/` and no variable.",
    ),
    "sonata.edges_disabled": Rule(
        "Which edges are disabled.",
        "Information.",
    ),
    "sonata.input_population": Rule(
        "Inputs name populations that the network has.",
        "Exact; BMTK stops at a name that it does not know, and is silent where no cell is "
        "virtual.",
    ),
    "sonata.input_disabled": Rule(
        "Which inputs are disabled.",
        "Information; with the input of its LGN disabled, 147 of 1,200 spikes.",
    ),
    "sonata.input_module": Rule(
        "Inputs are of a kind that can be sent.",
        "Exact.",
    ),
    "sonata.fed_twice": Rule(
        "One input names a population.",
        "Exact; with its LGN in two inputs, 1,894 spikes in place of 1,200.",
    ),
    "sonata.not_fed": Rule(
        "Every population of virtual cells has an input.",
        "Exact; without the input of its LGN, 147 of 1,200 spikes.",
    ),
    "sonata.node_set_part": Rule(
        "The node set of an input is a whole population.",
        "Exact; with a node set of 2 of 20 cells, BMTK gives all 20 their spikes.",
    ),
    "sonata.spike_file": Rule(
        "Files of spikes are there and have spikes of the population that they are for.",
        "Exact.",
    ),
    "sonata.spike_population": Rule(
        "The population that an input wants is the first of its spike file.",
        "Exact; with another population before it, 215 of 1,200 spikes.",
    ),
    "sonata.spike_units": Rule(
        "Times of spikes are in ms.",
        "Exact; with `units: seconds`, 350 of 1,200 spikes.",
    ),
    "sonata.spike_node_ids": Rule(
        "Spikes are of cells that the population has.",
        "Exact; with ids of another population, 714 of 1,200 spikes.",
    ),
    "sonata.spike_times": Rule(
        "Spikes come after the start.",
        "Exact: a time of 0 ms, or before, or that is no number.",
    ),
    "sonata.edge_group_index": Rule(
        "edge_group_index is 0, 1, 2, ... within each group.",
        "Exact; permuted, BMTK gives 1,626 spikes in place of 1,200.",
    ),
    "sonata.edge_group_range": Rule(
        "Every edge has a row in its group.",
        "Exact.",
    ),
    "sonata.unused_rows": Rule(
        "Every row of an edge group belongs to one edge.",
        "Exact; none in five public networks.",
    ),
    "sonata.weight_function": Rule(
        "Which weight functions another package brings.",
        "Information.",
    ),
    "sonata.allowed_model": Rule(
        "Which cells have a model of NEST that the configuration allows by name.",
        "Information.",
    ),
    "sonata.weight_function_groups": Rule(
        "Weight functions act on populations of one edge group.",
        "Exact; with two groups, BMTK gives 1,396 spikes in place of 1,200.",
    ),
    "sonata.not_finite": Rule(
        "Weights, numbers of synapses and delays are finite where the edges have them.",
        "Exact; one NaN in syn_weight or nsyns: 1,258 spikes in place of 1,200, one infinite "
        "weight: 5,398.",
    ),
    "sonata.integer_overflow": Rule(
        "syn_weight times nsyns fits into the type that they are stored in.",
        "Exact; int8 times uint8: 2,028 spikes in place of 1,200.",
    ),
    "sonata.misspelt_column": Rule(
        "Columns of types and edges are spelt as BMTK reads them.",
        "A delay misspelt: 1,203 spikes in place of 1,200. As far from a known name as a letter "
        "or two; none in five public networks.",
    ),
    "sonata.nsyns_name": Rule(
        "Numbers of synapses stand in nsyns.",
        "Exact; `n_syns_`: 1,248 spikes in place of 1,200. The public model of 2026 has "
        "`n_syns_` and means no factor.",
    ),
    "sonata.no_delay": Rule(
        "Which edges have no delay.",
        "Information: the external edges of a public network have none.",
    ),
    "sonata.suffix_untrained": Rule(
        "Files whose names claim a training have other weights than the plain ones beside them.",
        "Exact in float32, row by row, or by source, target and type. A name claims it by "
        "`trained`, `bio`, `naive`, `learned`, `optimized`, `tuned`, `fitted` or `epoch` after the "
        "plain file's name; in the model of 2026 trained and plain files differ in all of it.",
    ),
    "sonata.unknown_node": Rule(
        "Edges connect nodes that their populations have.",
        "Exact.",
    ),
    "sonata.receptor_port": Rule(
        "Edges end on ports that their targets have.",
        "Exact: a port is 1 or more and at most the number of the target's time constants.",
    ),
    "sonata.parameters_in_h5": Rule(
        "Parameters of cells and synapses are where BMTK reads them.",
        "Exact: `dynamics_params` with content, or a column of the name of a parameter (V_th), in "
        "a group of nodes or edges.",
    ),
    "sonata.default_start": Rule(
        "Cells say where their potential starts.",
        "Exact; without V_m in one of five JSON files, 1,207 spikes in place of 1,200.",
    ),
    "sonata.no_after_spike_currents": Rule(
        "GLIF cells say whether they have after-spike currents.",
        "Exact; without `after_spike_currents`, 2,160 spikes in place of 1,200.",
    ),
    "sonata.default_parameter": Rule(
        "Cells have all parameters of their model.",
        "Exact: what NEST's model has of its own.",
    ),
    "sonata.delay_of_parameters": Rule(
        "Delays stand in the columns of edges or their types.",
        "Exact: `delay` in the JSON of a synapse, where no column has it.",
    ),
    "sonata.function_without_nsyns": Rule(
        "Edges with a weight function that multiplies by nsyns have it.",
        "Exact.",
    ),
    "sonata.unread_parameter": Rule(
        "Parameters of synapses have an effect.",
        "Exact: `weight` or `delay` in the JSON of a synapse.",
    ),
}

register_remarks(REMARKS, RULES)

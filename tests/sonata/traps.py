"""Files that BMTK accepts without a word, or refuses with words that mislead, one by one.

Each is `tests.sonata.base.base_circuit` with one thing changed: what BMTK 1.2.0 on NEST 3.10 makes
of it, as counted in spikes, and what v1sim finds. ``python -m tests.sonata.traps docs/sonata.md``
writes the table of the documentation again.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tests.sonata.base import base_circuit
from tests.sonata.circuits import Circuit, Row, write_spike_group

#: Spikes of the circuit without a trap.
N_SPIKES = 841


@dataclass(frozen=True)
class Trap:
    """One thing that is wrong, or looks so.

    ``bmtk`` is how many spikes BMTK gives, or how its error begins. ``finds`` is the check or
    the error of v1sim; ``builds`` says whether v1sim then builds what the files mean, so that its
    spikes are those of the circuit without the trap ("right"), others that the files do describe
    ("as written"), or nothing ("refused", by the check or "refused when run").
    """

    name: str
    what: str
    make: Callable[[Path], Path]
    bmtk: int | str
    finds: str
    builds: str = "refused"

    @property
    def is_silent(self) -> bool:
        """Whether BMTK runs it."""
        return isinstance(self.bmtk, int)


def _made(change: Callable[[Circuit], None]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        circuit = base_circuit()
        change(circuit)
        return circuit.write(folder)

    return make


def _edited(edit: Callable[[Path], None]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = base_circuit().write(folder)
        edit(folder)
        return path

    return make


def _json(name: str, change: Callable[[Row], None]) -> Callable[[Path], Path]:
    def edit(folder: Path) -> None:
        content = json.loads((folder / name).read_text())
        change(content)
        (folder / name).write_text(json.dumps(content, indent=1))

    return _edited(edit)


def _h5(name: str, change: Callable[[h5py.File], None]) -> Callable[[Path], Path]:
    def edit(folder: Path) -> None:
        with h5py.File(folder / name, "r+") as file:
            change(file)

    return _edited(edit)


def _text(name: str, change: Callable[[str], str]) -> Callable[[Path], Path]:
    def edit(folder: Path) -> None:
        (folder / name).write_text(change((folder / name).read_text()))

    return _edited(edit)


_SIMULATION = "simulation_config.json"
_V1 = "network/v1_to_v1_edges.h5"


def _edges(circuit: Circuit, name: str) -> Any:
    return next(edges for edges in circuit.edges if edges.name == name)


def _column(name: str, group: int, column: str, value: Any) -> Callable[[Path], Path]:
    """The circuit with a column of edges changed by a function of its values."""

    def change(circuit: Circuit) -> None:
        columns = _edges(circuit, name).columns[group]
        columns[column] = value(columns[column])

    return _made(change)


def _with(values: Any, row: int, value: float) -> Any:
    values = np.array(values, dtype=float)
    values[row] = value
    return values


def _permuted_index(file: h5py.File) -> None:
    root = file["edges/v1_to_v1"]
    index, group = root["edge_group_index"][:], root["edge_group_id"][:]
    rows = np.flatnonzero(group == 0)
    order = np.random.default_rng(3).permutation(len(rows))
    moved = index.copy()
    moved[rows] = index[rows][order]
    root["edge_group_index"][:] = moved
    for values in root["0"].values():  # the rows move along: the edges are the same
        before = values[:]
        after = np.empty_like(before)
        after[order] = before
        values[:] = after


def _weight_function(circuit: Circuit) -> None:
    edges = _edges(circuit, "v1_to_v1")
    for row in edges.types.values():
        row["weight_function"] = "wmax"


def _twice(content: Row) -> None:
    content["inputs"]["LGN_again"] = dict(content["inputs"]["LGN"])


def _left_out(content: Row) -> None:
    del content["inputs"]["LGN"]


def _disabled(content: Row) -> None:
    content["inputs"]["LGN"]["enabled"] = False


def _input(content: Row) -> None:
    content["input"] = content.pop("inputs")


def _node_set(content: Row) -> None:
    content["inputs"]["LGN"]["node_set"] = {"population": "lgn", "node_id": [0, 1]}


def _other_first(folder: Path) -> None:
    circuit = base_circuit()
    spikes = circuit.inputs["LGN"][1]
    assert spikes is not None
    with h5py.File(folder / "inputs" / "LGN.h5", "w") as file:
        write_spike_group(file, "aaa", np.array([0, 1]), np.array([20.0, 30.0]))
        write_spike_group(file, "lgn", spikes.node_id, spikes.time_ms)


def _seconds(file: h5py.File) -> None:
    times = file["spikes/lgn/timestamps"]
    times[:] = times[:] / 1000
    times.attrs["units"] = "seconds"


def _unknown_ids(file: h5py.File) -> None:
    ids = file["spikes/lgn/node_ids"]
    values = ids[:]
    values[::2] += 20
    ids[:] = values


def _times_at_zero(file: h5py.File) -> None:
    file["spikes/lgn/timestamps"][0] = 0.0


def _small_nsyns(circuit: Circuit) -> None:
    columns = _edges(circuit, "v1_to_v1").columns[0]
    columns["syn_weight"] = np.where(columns["syn_weight"] > 0, 9, -14).astype(np.int8)
    columns["nsyns"] = (columns["nsyns"] * 5).astype(np.int8)


def _renamed(name: str, group: int, column: str, to: str) -> Callable[[Path], Path]:
    def change(circuit: Circuit) -> None:
        columns = _edges(circuit, name).columns[group]
        columns[to] = columns.pop(column)

    return _made(change)


def _misspelt_delay(circuit: Circuit) -> None:
    for row in _edges(circuit, "lgn_to_v1").types.values():
        row["delays"] = row.pop("delay")


def _parameters_in_h5(circuit: Circuit) -> None:
    circuit.nodes[0].columns[0]["V_th"] = np.full(30, -60.0)


def _dynamics_params_in_h5(file: h5py.File) -> None:
    group = file["nodes/v1/0"].create_group("dynamics_params")
    group["V_th"] = np.full(30, -60.0)


def _without(model: str, key: str) -> Callable[[Path], Path]:
    def change(circuit: Circuit) -> None:
        values = dict(circuit.cell_models[model])
        del values[key]
        circuit.cell_models = circuit.cell_models | {model: values}

    return _made(change)


def _run_key(content: Row) -> None:
    content["run"]["tstopp"] = 100.0


def _unknown_run_key(content: Row) -> None:
    content["run"]["temperature_kelvin"] = 300.0


def _negative_integers(circuit: Circuit) -> None:
    for i, row in _edges(circuit, "v1_to_lm").types.items():
        row["syn_weight"] = 30 if i == 20 else -5


def _function_without_nsyns(circuit: Circuit) -> None:
    edges = _edges(circuit, "lgn_to_v1")
    del edges.columns[0]["nsyns"]
    for row in edges.types.values():
        row["weight_function"] = "wmax"


def _null_weight(circuit: Circuit) -> None:
    for row in _edges(circuit, "v1_to_lm").types.values():
        row["syn_weight"] = None


def _target_out_of_range(circuit: Circuit) -> None:
    _edges(circuit, "lgn_to_v1").target_id[7] = 40


def _source_out_of_range(circuit: Circuit) -> None:
    _edges(circuit, "lgn_to_v1").source_id[7] = 20


def _no_port(circuit: Circuit) -> None:
    circuit.synaptic_models = circuit.synaptic_models | {"e2e.json": {}}


def _port_beyond(circuit: Circuit) -> None:
    circuit.synaptic_models = circuit.synaptic_models | {"to_lm_i.json": {"receptor_type": 3}}


def _delay_of_json(circuit: Circuit) -> None:
    for row in _edges(circuit, "lgn_to_v1").types.values():
        del row["delay"]
    more = {name: values | {"delay": 1.7} for name, values in circuit.synaptic_models.items()}
    circuit.synaptic_models = more


def _below_half_a_step(circuit: Circuit) -> None:
    columns = _edges(circuit, "v1_to_v1").columns[0]
    columns["delay"] = _with(columns["delay"], 4, 0.1)


def _plastic(circuit: Circuit) -> None:
    for row in _edges(circuit, "v1_to_lm").types.values():
        row["model_template"] = "stdp_synapse"


def _biophysical(circuit: Circuit) -> None:
    for row in circuit.nodes[1].types.values():
        row["model_type"] = "biophysical"


def _missing_population(content: Row) -> None:
    content["inputs"]["LGN"]["node_set"] = "LGN"


def _unknown_module(content: Row) -> None:
    content["inputs"]["LGN"]["module"] = "sonatas"


def _unknown_type(circuit: Circuit) -> None:
    _edges(circuit, "lgn_to_v1").type_id[3] = 47


def _no_type_column(file: h5py.File) -> None:
    del file["edges/lgn_to_v1/edge_type_id"]


def _no_weight(circuit: Circuit) -> None:
    for row in _edges(circuit, "v1_to_lm").types.values():
        del row["syn_weight"]


def _separator(separator: str) -> Callable[[str], str]:
    return lambda text: text.replace(" ", separator)


#: Every trap, silent ones first.
TRAPS = (
    Trap(
        "edge_group_index",
        "edge_group_index is not 0, 1, 2, ...",
        _h5(_V1, _permuted_index),
        1156,
        "sonata.edge_group_index",
        "right",
    ),
    Trap(
        "weight_function",
        "a weight_function on edges of two groups",
        _made(_weight_function),
        1361,
        "sonata.weight_function_groups",
        "right",
    ),
    Trap(
        "fed_twice",
        "one population in two inputs",
        _json(_SIMULATION, _twice),
        1405,
        "sonata.fed_twice",
    ),
    Trap(
        "not_fed",
        "a population in no input",
        _json(_SIMULATION, _left_out),
        252,
        "sonata.not_fed",
        "refused when run",
    ),
    Trap(
        "disabled",
        "an input with `enabled: false`",
        _json(_SIMULATION, _disabled),
        252,
        "sonata.input_disabled",
        "as written",
    ),
    Trap(
        "input_for_inputs",
        "key `input` in place of `inputs`",
        _json(_SIMULATION, _input),
        0,
        "sonata.misspelt_key",
    ),
    Trap(
        "spike_population",
        "the wanted population is not the first of its spike file",
        _edited(_other_first),
        265,
        "sonata.spike_population",
        "right",
    ),
    Trap(
        "seconds",
        "spike times in s, stated as `units: seconds`",
        _h5("inputs/LGN.h5", _seconds),
        425,
        "sonata.spike_units",
        "right",
    ),
    Trap(
        "spike_node_ids",
        "spikes of node ids that there are not",
        _h5("inputs/LGN.h5", _unknown_ids),
        521,
        "sonata.spike_node_ids",
    ),
    Trap(
        "node_set",
        "a `node_set` of 2 of 20 cells: all get their spikes",
        _json(_SIMULATION, _node_set),
        841,
        "sonata.node_set_part",
        "as written",
    ),
    Trap(
        "nan_weight",
        "NaN in syn_weight is 1.0",
        _column("v1_to_v1", 0, "syn_weight", lambda v: _with(v, 5, np.nan)),
        835,
        "sonata.not_finite",
    ),
    Trap(
        "nan_nsyns",
        "NaN in nsyns: the weight is 1.0",
        _column("v1_to_v1", 0, "nsyns", lambda v: _with(v, 5, np.nan)),
        835,
        "sonata.not_finite",
    ),
    Trap(
        "nan_delay",
        "NaN in delay is 1.0 ms",
        _column("v1_to_v1", 0, "delay", lambda v: _with(v, slice(0, 50), np.nan)),
        835,
        "sonata.not_finite",
    ),
    Trap(
        "infinite",
        "an infinite weight",
        _column("v1_to_v1", 0, "syn_weight", lambda v: _with(v, 5, np.inf)),
        903,
        "sonata.not_finite",
    ),
    Trap(
        "overflow",
        "int8 weights times int8 nsyns overflow",
        _made(_small_nsyns),
        1090,
        "sonata.integer_overflow",
        "as written",
    ),
    Trap(
        "n_syns_",
        "`n_syns_` in place of `nsyns`",
        _renamed("lgn_to_v1", 0, "nsyns", "n_syns_"),
        437,
        "sonata.nsyns_name",
        "as written",
    ),
    Trap(
        "delays",
        "`delays` in place of `delay`: 1.0 ms",
        _made(_misspelt_delay),
        844,
        "sonata.misspelt_column",
    ),
    Trap(
        "v_th_in_h5",
        "V_th in a group of nodes is ignored",
        _made(_parameters_in_h5),
        841,
        "sonata.parameters_in_h5",
    ),
    Trap(
        "dynamics_params_in_h5",
        "`dynamics_params` in a group of nodes is ignored",
        _h5("network/v1_nodes.h5", _dynamics_params_in_h5),
        841,
        "sonata.parameters_in_h5",
    ),
    Trap(
        "no_v_m",
        "JSON without V_m: NEST's default, not E_L",
        _without("e4.json", "V_m"),
        840,
        "sonata.default_start",
        "as written",
    ),
    Trap(
        "no_after_spike_currents",
        "JSON without `after_spike_currents`: off",
        _without("e4.json", "after_spike_currents"),
        1218,
        "sonata.no_after_spike_currents",
        "as written",
    ),
    Trap(
        "no_c_m",
        "JSON without C_m: NEST's default",
        _without("e4.json", "C_m"),
        983,
        "sonata.default_parameter",
        "as written",
    ),
    Trap(
        "run_key",
        "`tstopp` in section run",
        _json(_SIMULATION, _run_key),
        841,
        "sonata.unknown_key",
        "right",
    ),
    Trap(
        "unknown_run_key",
        "a key that nothing reads in section run",
        _json(_SIMULATION, _unknown_run_key),
        841,
        "sonata.unknown_key",
        "right",
    ),
    Trap(
        "unknown_module",
        "an input with an unknown module",
        _json(_SIMULATION, _unknown_module),
        252,
        "sonata.input_module",
    ),
    Trap(
        "tabs",
        "tabs in a csv",
        _text("network/lgn_to_v1_edge_types.csv", _separator("\t")),
        "Exception: No edges types csv files specified.",
        "error",
    ),
    Trap(
        "commas",
        "commas in a csv",
        _text("network/lgn_to_v1_edge_types.csv", _separator(",")),
        "Exception: No edges types csv files specified.",
        "error",
    ),
    Trap(
        "null_weight",
        "syn_weight NULL in a csv",
        _made(_null_weight),
        "TypeError: unsupported operand type(s) for *: 'int' and 'NoneType'",
        "error",
    ),
    Trap(
        "no_weight",
        "no syn_weight anywhere",
        _made(_no_weight),
        "Exception: Could not find syn_weight or weight_function properties.",
        "error",
    ),
    Trap(
        "negative_integer",
        "a negative whole number as syn_weight in a csv, nsyns uint32",
        _made(_negative_integers),
        "OverflowError: Python integer -5 out of bounds for uint32",
        "sonata.integer_overflow",
        "right",
    ),
    Trap(
        "function_without_nsyns",
        "a weight_function `wmax` without nsyns",
        _made(_function_without_nsyns),
        "AttributeError: 'DataFrame' object has no attribute 'nsyns'",
        "sonata.function_without_nsyns",
        "as written",
    ),
    Trap(
        "target_id",
        "a target id beyond the population",
        _made(_target_out_of_range),
        "KeyError: '[40] not in index'",
        "sonata.unknown_node",
    ),
    Trap(
        "source_id",
        "a source id beyond the population",
        _made(_source_out_of_range),
        "KeyError: '[20] not in index'",
        "sonata.unknown_node",
    ),
    Trap(
        "edge_type_id",
        "an edge type that the csv does not have",
        _made(_unknown_type),
        "Exception: edge_type_id 47 not found",
        "error",
    ),
    Trap(
        "no_edge_type_id",
        "no edge_type_id",
        _h5("network/lgn_to_v1_edges.h5", _no_type_column),
        'KeyError: "Unable to synchronously open object',
        "error",
    ),
    Trap(
        "no_port",
        "no receptor_type onto glif_psc",
        _made(_no_port),
        "AttributeError: module 'nest' has no attribute 'kernel'",
        "sonata.receptor_port",
    ),
    Trap(
        "port",
        "a receptor_type beyond the target's",
        _made(_port_beyond),
        "AttributeError: module 'nest' has no attribute 'kernel'",
        "sonata.receptor_port",
    ),
    Trap(
        "json_delay",
        "a delay in the JSON of a synapse alone",
        _made(_delay_of_json),
        "AttributeError: module 'nest' has no attribute 'kernel'",
        "sonata.delay_of_parameters",
        "right",
    ),
    Trap(
        "short_delay",
        "a delay below half a step",
        _made(_below_half_a_step),
        "AttributeError: module 'nest' has no attribute 'kernel'",
        "values.delay",
    ),
    Trap(
        "spike_at_zero",
        "a spike at 0 ms",
        _h5("inputs/LGN.h5", _times_at_zero),
        "Exception: spike train [",
        "sonata.spike_times",
    ),
    Trap(
        "missing_population",
        "an input that names a population that there is not",
        _json(_SIMULATION, _missing_population),
        'Exception: Unable to load or find node_set "LGN"',
        "sonata.input_population",
    ),
    Trap(
        "plastic",
        "a plastic synapse",
        _made(_plastic),
        "AttributeError: module 'nest' has no attribute 'kernel'",
        "error",
    ),
    Trap(
        "biophysical",
        "biophysical nodes",
        _made(_biophysical),
        "Exception: No network component set with name biophysical_neuron_models_dir",
        "error",
    ),
)


def table() -> str:
    """The traps as a table in Markdown."""
    lines = ["| what | BMTK | v1sim |", "|---|---|---|"]
    for trap in TRAPS:
        said = f"{trap.bmtk:,} spikes" if trap.is_silent else f"`{trap.bmtk}`"
        found = "an error" if trap.finds == "error" else f"`{trap.finds}`"
        lines.append(f"| {trap.what} | {said} | {found}; {_BUILDS[trap.builds]} |")
    return "\n".join(lines)


_BUILDS = {
    "refused": "refused",
    "right": "runs as the files mean it",
    "as written": "runs as the files say",
    "refused when run": "a run refuses it",
}

#: Where the table stands in a page.
_MARKS = re.compile(r"(<!--traps-->\n).*?(\n<!--/traps-->)", re.DOTALL)


def with_table(page: str) -> str:
    """A page with the table between its marks as it is now."""
    return _MARKS.sub(lambda marks: marks[1] + table() + marks[2], page)


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(with_table(path.read_text()))

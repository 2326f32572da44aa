"""SONATA circuits as networks: values as the files say them, and what is odd by name."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import h5py
import numpy as np
import pytest

from tests.sonata.base import base_circuit
from tests.sonata.circuits import Nodes
from v1sim.errors import NetworkFileError
from v1sim.model import NetworkModel
from v1sim.receptors import Kind
from v1sim.sources import open_network
from v1sim.sources.sonata import edges as edges_module
from v1sim.sources.sonata import projection as projection_module
from v1sim.sources.sonata.remarks import REMARKS
from v1sim.stimulus.lgn import LGN_COLUMNS


@pytest.fixture
def circuit():
    return copy.deepcopy(base_circuit())  # its models are everybody's


def read(circuit, tmp_path) -> NetworkModel:
    return open_network(circuit.write(tmp_path))


def remark(network: NetworkModel, check: str):
    (found,) = [r for r in network.remarks if r.check == check]
    assert found.severity is REMARKS[check].severity
    return found


def edge_file(tmp_path, name):
    return h5py.File(tmp_path / "network" / f"{name}_edges.h5", "r+")


def change_types(tmp_path, name, old, new):
    path = tmp_path / "network" / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_the_network_is_what_the_files_say(circuit, tmp_path):
    network = read(circuit, tmp_path)
    assert not network.remarks
    assert [p.name for p in network.populations] == ["v1", "lm"]
    assert {name: p.role for name, p in network.source_populations.items()} == {
        "lgn": "lgn",
        "bkg": "other",
    }
    assert network.step_ms == 0.25
    assert network.cell_types.model == ("glif_psc",) * 2 + (
        "iaf_psc_alpha",
        "glif_psc_double_alpha",
    )
    assert network.cell_types.kind.tolist() == [0, 1, 0, 0]
    for edges in circuit.edges:
        table = network.tables[edges.name]
        first = {"v1": 0, "lm": 40}
        assert table.unit == "pA"
        assert table.weight.dtype == table.delay_ms.dtype == np.float64
        np.testing.assert_array_equal(table.pre, edges.source_id + first.get(edges.source, 0))
        np.testing.assert_array_equal(table.post, edges.target_id + first[edges.target])
        for i in range(len(edges)):  # edge by edge, by the rules
            row = edges.types[int(edges.type_id[i])]
            group = int(edges.group[i])
            at = int(np.flatnonzero(edges.group == group).searchsorted(i))
            own = {name: values[at] for name, values in edges.columns[group].items()}
            given = {"nsyns": 1, "delay": 1.0, **row, **own}
            assert table.weight[i] == float(given["syn_weight"]) * float(given["nsyns"])
            assert table.delay_ms[i] == given["delay"]
            port = circuit.synaptic_models[row["dynamics_params"]].get("receptor_type", 0)
            by_sign = int(table.weight[i] < 0)
            assert table.receptor[i] == (port - 1 if port else by_sign)


def test_kinds_go_by_the_source_cell(circuit, tmp_path):
    network = read(circuit, tmp_path)
    kind = network.presynaptic_kind(network.tables["v1_to_v1"])
    inhibitory = circuit.nodes[0].type_id[circuit.edges[0].source_id] == 101
    np.testing.assert_array_equal(kind == Kind.INHIBITORY, inhibitory)
    assert set(network.presynaptic_kind(network.tables["lgn_to_v1"])) == {Kind.EXCITATORY}
    # bkg's class is of no known cell line, but its ei says it
    assert set(network.source_kind("bkg_to_v1")) == {Kind.EXCITATORY}


def test_blocks_and_scratch_files_change_nothing(circuit, tmp_path, monkeypatch):
    path = circuit.write(tmp_path)
    with edge_file(tmp_path, "v1_to_v1") as file:  # rows of groups far from their edges
        index = file["edges/v1_to_v1/edge_group_index"]
        index[:] = index[:][::-1] % np.where(file["edges/v1_to_v1/edge_group_id"][:] == 0, 360, 120)
    whole = open_network(path)
    monkeypatch.setattr(edges_module, "_BLOCK", 7)
    monkeypatch.setattr(projection_module, "_PAGED_ABOVE", 50)
    parts = open_network(path)
    for name, table in whole.tables.items():
        for column, values in table.columns.items():
            np.testing.assert_array_equal(values, parts.tables[name].columns[column])
    assert [r.message for r in whole.remarks] == [r.message for r in parts.remarks]
    assert whole.source.sha256 == parts.source.sha256


def test_rows_of_groups_are_those_named(circuit, tmp_path):
    plain = read(circuit, tmp_path)
    rng = np.random.default_rng(1)
    with edge_file(tmp_path, "v1_to_v1") as file:
        root = file["edges/v1_to_v1"]
        for group, n in ((0, 360), (1, 120)):
            order = rng.permutation(n)
            rows = root["edge_group_id"][:] == group
            index = root["edge_group_index"][:]
            index[rows] = order
            root["edge_group_index"][:] = index
            for dataset in root[str(group)].values():
                values = dataset[:]
                moved = np.empty_like(values)
                moved[order] = values
                dataset[:] = moved
    network = open_network(tmp_path / "simulation_config.json")
    for column, values in plain.tables["v1_to_v1"].columns.items():
        np.testing.assert_array_equal(values, network.tables["v1_to_v1"].columns[column])
    found = remark(network, "sonata.edge_group_index")
    assert found.total == 480
    assert 470 < found.n <= 480
    assert "BMTK takes row" in found.examples[0]


def test_an_edge_without_a_row(circuit, tmp_path):
    circuit.write(tmp_path)
    with edge_file(tmp_path, "v1_to_v1") as file:
        root = file["edges/v1_to_v1"]
        root["edge_group_index"][5] = 360
        root["edge_group_id"][9] = 7
    network = open_network(tmp_path / "simulation_config.json")
    found = remark(network, "sonata.edge_group_range")
    assert (found.n, found.examples) == (2, ("edge 5", "edge 9"))
    assert np.flatnonzero(np.isnan(network.tables["v1_to_v1"].weight)).tolist() == [5, 9]


@pytest.mark.parametrize("column", ["syn_weight", "delay"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_stays(circuit, tmp_path, column, value):
    circuit.edges[0].columns[0][column][3] = value
    edge = int(np.flatnonzero(circuit.edges[0].group == 0)[3])
    network = read(circuit, tmp_path)
    found = remark(network, "sonata.not_finite")
    assert found.n == 1
    assert found.examples == (f"edge {edge}: {column} {value:g}",)
    table = network.tables["v1_to_v1"]
    held = table.weight if column == "syn_weight" else table.delay_ms
    assert np.flatnonzero(~np.isfinite(held)).tolist() == [edge]


@pytest.mark.parametrize(("dtype", "overflows"), [("u1", True), ("u2", True), ("i8", False)])
def test_small_integers_do_not_overflow(circuit, tmp_path, dtype, overflows):
    columns = circuit.edges[0].columns[0]
    columns["syn_weight"] = np.full(360, 200).astype(dtype)
    columns["nsyns"] = np.full(360, 1 if dtype == "u2" else 2).astype(dtype)
    columns["nsyns"][8] = 2 if dtype != "u2" else 400
    with np.errstate(over="ignore"):
        by_numpy = columns["syn_weight"] * columns["nsyns"]
    exact = 200.0 * columns["nsyns"]
    wrong = int((by_numpy != exact).sum())
    assert bool(wrong) is overflows
    network = read(circuit, tmp_path)
    weight = network.tables["v1_to_v1"].weight[circuit.edges[0].group == 0]
    np.testing.assert_array_equal(weight, exact)
    checks = {r.check: r.n for r in network.remarks}
    assert checks == ({"sonata.integer_overflow": wrong} if overflows else {})


def test_float32_is_multiplied_as_bmtk_does_it(circuit, tmp_path):
    columns = circuit.edges[0].columns[0]
    columns["syn_weight"] = columns["syn_weight"].astype("f4")
    expected = (columns["syn_weight"] * columns["nsyns"]).astype(np.float64)
    weight = read(circuit, tmp_path).tables["v1_to_v1"].weight[circuit.edges[0].group == 0]
    np.testing.assert_array_equal(weight, expected)


def test_nodes_that_are_not_there(circuit, tmp_path):
    circuit.edges[0].source_id[4] = 40
    circuit.edges[0].target_id[7] = 2**40
    network = read(circuit, tmp_path)
    found = remark(network, "sonata.unknown_node")
    assert (found.n, found.total) == (2, 960)
    assert found.examples == ("edge 4: source 40 of v1", f"edge 7: target {2**40} of v1")
    table = network.tables["v1_to_v1"]
    assert table.pre[4] == -1
    assert table.post[7] == -1


def test_ids_in_any_order(circuit, tmp_path):
    """Ids are looked up: neither the row nor the order."""
    plain = read(circuit, tmp_path)
    v1: Nodes = circuit.nodes[0]
    new_id = np.random.default_rng(0).permutation(40) * 3 + 5
    circuit.nodes[0] = replace(v1, node_id=new_id)
    for edges in circuit.edges:
        for end in ("source", "target"):
            if getattr(edges, end) == "v1":
                setattr(edges, f"{end}_id", new_id[getattr(edges, f"{end}_id")])
    network = read(circuit, tmp_path)
    assert not network.remarks
    np.testing.assert_array_equal(network.populations[0].node_id, new_id)
    for name, table in plain.tables.items():
        np.testing.assert_array_equal(table.pre, network.tables[name].pre)
        np.testing.assert_array_equal(table.post, network.tables[name].post)


@pytest.mark.parametrize(("port", "where"), [(0, "e2e.json"), (5, "e2e.json"), (1, "to_lif.json")])
def test_ports_that_are_not_there(circuit, tmp_path, port, where):
    circuit.synaptic_models[where] = {"receptor_type": port}
    network = read(circuit, tmp_path)
    found = [r for r in network.remarks if r.check == "sonata.receptor_port"]
    assert found
    assert f"port {port} of" in found[0].examples[0]


@pytest.mark.parametrize(
    ("rename", "check", "seen"),
    [
        (("nsyns", "n_syns_"), "sonata.nsyns_name", "n_syns_"),
        (("delay", "delays"), "sonata.misspelt_column", "delays"),
        (("nsyns", "nsyn"), "sonata.misspelt_column", "nsyn"),
    ],
)
def test_misspelt_columns(circuit, tmp_path, rename, check, seen):
    old, new = rename
    edges = circuit.edges[0]
    for row in edges.types.values():
        row.pop(old, None)
    edges.columns[0][new] = edges.columns[0].pop(old)
    found = [r for r in read(circuit, tmp_path).remarks if r.check == check]
    assert len(found) == 1
    assert seen in found[0].message


def test_what_groups_say_of_models_is_not_read(circuit, tmp_path):
    plain = read(circuit, tmp_path)
    with h5py.File(tmp_path / "network" / "v1_nodes.h5", "r+") as file:
        file["nodes/v1/0/V_th"] = np.full(30, -60.0)
        file["nodes/v1/1/dynamics_params/C_m"] = np.full(10, 90.0)
        file.create_group("nodes/v1/0/dynamics_params")  # as older files have it, empty
    with edge_file(tmp_path, "lgn_to_v1") as file:
        file["edges/lgn_to_v1/0/receptor_type"] = np.full(340, 2)
    network = open_network(tmp_path / "simulation_config.json")
    found = [r for r in network.remarks if r.check == "sonata.parameters_in_h5"]
    assert [r.examples for r in found] == [("V_th",), ("dynamics_params/C_m",), ("receptor_type",)]
    np.testing.assert_array_equal(network.cell_types.v_th_mv, plain.cell_types.v_th_mv)
    assert network.source.sha256 != plain.source.sha256


def test_old_layouts(circuit, tmp_path):
    plain = read(circuit, tmp_path)
    for name in ("v1_to_v1", "lgn_to_v1"):
        change_types(tmp_path, f"{name}_edge_types.csv", "model_template", "synapse_model")
    with h5py.File(tmp_path / "network" / "lgn_nodes.h5", "r+") as file:
        for name in ("node_id", "node_group_id", "node_group_index"):
            del file[f"nodes/lgn/{name}"]
    with edge_file(tmp_path, "lgn_to_v1") as file:
        for name in ("edge_group_id", "edge_group_index"):
            del file[f"edges/lgn_to_v1/{name}"]
    network = open_network(tmp_path / "simulation_config.json")
    assert not network.remarks
    for column, values in plain.tables["lgn_to_v1"].columns.items():
        np.testing.assert_array_equal(values, network.tables["lgn_to_v1"].columns[column])


def test_a_delay_of_the_parameters(circuit, tmp_path):
    """It counts where no column gives one, and is said to have no effect where one does."""
    for row in circuit.edges[3].types.values():  # bkg_to_v1
        del row["delay"]
    circuit.synaptic_models["e2i.json"] = {"receptor_type": 3, "delay": 2.5, "weight": 3.0}
    network = read(circuit, tmp_path)
    onto_inhibitory = circuit.edges[3].type_id == 51
    delay = network.tables["bkg_to_v1"].delay_ms
    assert set(delay[onto_inhibitory]) == {2.5}
    assert set(delay[~onto_inhibitory]) == {1.0}
    unread = [r.message for r in network.remarks if r.check == "sonata.unread_parameter"]
    assert any(text.startswith("weight and delay of the edge type 12") for text in unread)
    assert remark(network, "sonata.no_delay").n == int((~onto_inhibitory).sum())


def test_weight_functions(circuit, tmp_path):
    """By type, with columns of nodes; wrong in BMTK where there are several groups."""
    edges = circuit.edges[0]
    for type_id, row in edges.types.items():
        if type_id == 10:
            row |= {"weight_function": "DirectionRule_others", "weight_sigma": 60.0}
    network = read(circuit, tmp_path)
    assert {r.check for r in network.remarks} == {
        "sonata.weight_function_groups",
        "sonata.not_finite",  # the cells of the other group have no tuning_angle
    }
    angle = np.full(40, np.nan)
    angle[:30] = circuit.nodes[0].columns[0]["tuning_angle"]
    rows = np.flatnonzero(edges.type_id == 10)
    difference = np.abs(angle[edges.target_id[rows]] - angle[edges.source_id[rows]])
    like = np.exp(-((np.minimum(difference, 360 - difference) / 60.0) ** 2))
    (tmp_path / "plain").mkdir()
    plain = read(base_circuit(), tmp_path / "plain").tables["v1_to_v1"].weight
    weight = network.tables["v1_to_v1"].weight
    np.testing.assert_allclose(weight[rows], plain[rows] * like, rtol=1e-12)
    others = np.flatnonzero(edges.type_id != 10)
    np.testing.assert_array_equal(weight[others], plain[others])


def test_lgn_cells_have_their_filters(circuit, tmp_path):
    lgn = circuit.nodes[2]
    names = [name for group in LGN_COLUMNS.values() for name in group]
    rng = np.random.default_rng(2)
    lgn.columns[0] = {name: rng.uniform(1, 50, 20) for name in names}
    cells = read(circuit, tmp_path).lgn.cells
    assert set(cells.model_id) == {"sON_TF4"}
    np.testing.assert_array_equal(cells.kpeak_dom_ms[:, 1], lgn.columns[0]["kpeaks_dom_1"])
    lgn.columns[0].pop("sf_sep")
    (tmp_path / "less").mkdir()
    assert read(circuit, tmp_path / "less").lgn.cells is None


@pytest.mark.parametrize(
    ("inputs", "check"),
    [
        ({"LGN": None}, "sonata.not_fed"),
        ({"MORE": {"node_set": "lgn"}}, "sonata.fed_twice"),
        ({"MORE": {"node_set": "lgm"}}, "sonata.input_population"),
        ({"MORE": {"node_set": "v1"}}, "sonata.input_population"),
        ({"LGN": {"node_set": {"population": "lgn", "node_id": [0, 1]}}}, "sonata.node_set_part"),
        ({"LGN": {"enabled": False}}, "sonata.not_fed"),
    ],
)
def test_who_is_fed(circuit, tmp_path, inputs, check):
    path = circuit.write(tmp_path)
    config = json.loads(path.read_text())
    for name, changes in inputs.items():
        if changes is None:
            del config["inputs"][name]
        else:
            base = config["inputs"].get(name, config["inputs"]["LGN"])
            config["inputs"][name] = {**base, **changes}
    path.write_text(json.dumps(config))
    assert check in [r.check for r in open_network(path).remarks]


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("v1_node_types.csv", "100 point_neuron", "100 biophysical", "model_type 'biophysical'"),
        ("v1_node_types.csv", "100 point_neuron", "100 virtual", "virtual cells and cells to"),
        ("v1_node_types.csv", "100 point", "99 point", "types that the table does not: 100"),
        ("v1_to_v1_edge_types.csv", "static_synapse", "stdp_synapse", "are of stdp_synapse"),
        ("v1_to_v1_edge_types.csv", "\n10 ", "\n9 ", "has the type 10"),
        ("v1_to_lm_edge_types.csv", "syn_weight", "weight", "edges have no syn_weight"),
        ("v1_to_lm_edge_types.csv", "30.0", "NONE", "their types 20 have none"),
        ("v1_to_v1_edge_types.csv", "e2e.json", "gone.json", "gone.json: cannot be read"),
    ],
)
def test_what_cannot_be_built(circuit, tmp_path, file, old, new, message):
    circuit.write(tmp_path)
    change_types(tmp_path, file, old, new)
    with pytest.raises(NetworkFileError) as caught:
        open_network(tmp_path / "simulation_config.json")
    assert message in str(caught.value)


def test_files_that_are_not_configurations(circuit, tmp_path):
    circuit.write(tmp_path)
    with pytest.raises(NetworkFileError, match=r"circuit_config.json, simulation_config.json"):
        open_network(tmp_path)
    with pytest.raises(NetworkFileError, match=r"circuit_config.json that names"):
        open_network(tmp_path / "network")
    for name in ("v1_nodes.h5", "v1_to_v1_edges.h5"):
        with pytest.raises(NetworkFileError, match=r"give the circuit_config.json"):
            open_network(tmp_path / "network" / name)
    (tmp_path / "network" / "lm_nodes.h5").unlink()
    with pytest.raises(NetworkFileError, match=r"1 file.* not there, .*lm_nodes.h5"):
        open_network(tmp_path / "circuit_config.json")


def test_damaged_files_have_one_message(circuit, tmp_path):
    circuit.write(tmp_path)
    path = tmp_path / "network" / "v1_to_v1_edges.h5"
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(NetworkFileError, match="cut off"):
        open_network(tmp_path / "circuit_config.json")


@pytest.mark.parametrize("values", [np.ones((360, 2)), np.array([b"1"] * 360), np.ones(360, "?")])
def test_factors_are_one_number_an_edge(circuit, tmp_path, values):
    circuit.edges[0].columns[0]["nsyns"] = values
    with pytest.raises(NetworkFileError, match=r"0/nsyns: has the shape"):
        read(circuit, tmp_path)

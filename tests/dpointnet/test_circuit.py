"""What DPointNet makes of a circuit and what training leaves, against TensorFlow's own arrays."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest

from tests.dpointnet.replay import counts_of, replay, spikes_of
from v1sim.errors import ConfigError, InputError, NetworkFileError
from v1sim.model import SourceFile
from v1sim.sources.dpointnet import read_circuit
from v1sim.sources.dpointnet.basis import BasisFactors
from v1sim.sources.dpointnet.delays import delay_limit_ms, delay_steps
from v1sim.sources.dpointnet.pairing import EdgeKeys, paired
from v1sim.sources.dpointnet.remarks import Remarks
from v1sim.sources.dpointnet.trained import from_folder

NOWHERE = SourceFile("made", "", "dpointnet")


def remarks_of(circuit, weights=None) -> dict[str, list]:
    found: dict[str, list] = {}
    for remark in circuit.remarks if weights is None else weights.all():
        found.setdefault(remark.check, []).append(remark)
    return found


@pytest.fixture(scope="module")
def opened(sample):
    """Circuit, weights and network of the sample."""
    circuit = read_circuit(sample / "config.json")
    weights = from_folder(circuit, sample / "training" / "trained_weights", Remarks())
    return circuit, weights, circuit.network(weights.internal, NOWHERE)


def test_wiring_delays_and_weights_are_those_inside_tensorflow(sample, opened):
    circuit, weights, _ = opened
    truth = np.load(sample / "weights" / "internal.npz")
    edges, n = circuit.recurrent, len(circuit.neurons.node_id)
    target, delayed = truth["recurrent_indices"].T
    theirs = np.lexsort((truth["recurrent"], delayed, target))
    mine_delayed = edges.source + n * (circuit.delays.steps - 1)
    mine = np.lexsort((weights.internal["v1"], mine_delayed, edges.target))
    np.testing.assert_array_equal(target[theirs], edges.target[mine])
    np.testing.assert_array_equal(delayed[theirs], mine_delayed[mine])
    # What training wrote in pA lost a last bit here and there: within one unit of it.
    a, b = truth["recurrent"][theirs], weights.internal["v1"][mine]
    np.testing.assert_array_max_ulp(a, b, maxulp=1)
    for population in ("lgn", "bkg"):
        a = truth[f"{population}_input_weight_values"]
        b = weights.internal[population]
        np.testing.assert_array_max_ulp(a, b, maxulp=1)
        np.testing.assert_array_equal(
            truth[f"{population}_input_indices"],
            np.column_stack([circuit.edges[population].target, circuit.edges[population].source]),
        )
    frozen = weights.internal["lgn"]
    np.testing.assert_array_equal(frozen, truth["lgn_input_weight_values"])


def test_basis_functions_and_export_factors_are_those_inside_tensorflow(sample, opened):
    circuit, _, network = opened
    truth = np.load(sample / "weights" / "internal.npz")
    stems = [f.rpartition("/")[2] for f in circuit.models.files]
    by_model = dict(zip(stems, circuit.basis.factor.tolist(), strict=True))
    assert {tuple(f) for f in by_model.values()} == {tuple(f) for f in truth["basis_weights"]}
    for population in ("lgn", "bkg"):
        np.testing.assert_array_equal(
            circuit.export_factor(population), truth[f"{population}_export_factor"]
        )
    assert network.tables["v1_to_v1"].receptor.max() == 3
    assert network.receptors.names == ("basis_0", "basis_1", "basis_2", "basis_3")


def test_spikes_of_the_network_are_tensorflows(sample, opened):
    _, _, network = opened
    given = {
        name: counts_of(sample / f"{name}_spikes.h5", name, held.size, 200, once=True)
        for name, held in network.source_populations.items()
    }
    mine = replay(network, given)
    assert mine == spikes_of(sample / "spikes_trained.h5")
    assert len(mine) == 226


def test_dynamics_and_cells_are_those_of_training(opened):
    _, _, network = opened
    assert network.dynamics is not None
    assert (network.dynamics.reset, network.dynamics.trainer) == ("subtractive", "dpointnet")
    types = network.cell_types
    np.testing.assert_array_equal(types.v_reset_mv, types.e_l_mv)
    assert types.t_ref_ms.tolist() == [3.0, 3.0]
    assert types.tau_syn_ms.tolist() == [[5.5, 8.5, 2.8, 5.8]] * 2
    assert types.k_per_ms.tolist() == [[0.003, 0.1]] * 2


def test_what_changed_is_told_by_class_and_frozen_weights_are_not_changed(opened):
    _, weights, _ = opened
    recurrent, lgn, bkg = (weights.change[name] for name in ("v1", "lgn", "bkg"))
    assert (recurrent.n_changed, recurrent.n, recurrent.n_flipped) == (74, 74, 0)
    assert (lgn.n_changed, bkg.n_changed) == (0, 18)
    pairs = {(c.source, c.target): c.n for c in recurrent.classes}
    assert set(pairs) == {(a, b) for a in ("e4", "pv") for b in ("e4", "pv")}
    assert sum(pairs.values()) == 74


def test_an_untrained_export_has_no_change_beyond_rounding(sample):
    circuit = read_circuit(sample / "config.json")
    weights = from_folder(circuit, sample / "untrained_export", Remarks())
    assert [change.n_changed for change in weights.change.values()] == [0, 0, 0]
    edges = circuit.recurrent
    with h5py.File(sample / "untrained_export" / "v1_v1_edges.h5", "r") as file:
        written = file["edges/v1_to_v1/0/syn_weight"][()]
    # The round trip is known to the bit, and it is no identity.
    np.testing.assert_array_equal(np.sort(circuit.written("v1")), np.sort(written))
    assert 0 < (circuit.written("v1") != edges.weight_pa).sum() < len(edges)
    np.testing.assert_array_equal(weights.internal["v1"], circuit.internal("v1"))


# --- delays --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("delay", "limit", "steps"),
    [
        ([7.0, 1.0], 5, [5, 1]),  # clipped
        ([2.5, 1.0], 5, [2, 1]),  # the limit itself is rounded half to even
        ([1.5, 2.5, 3.5, 4.0], 5, [2, 2, 4, 4]),
        ([0.2, 0.6, 3.0], 5, [1, 1, 3]),  # raised to a step
        ([7.4, 6.5], None, [7, 6]),
        ([7.4, 6.5], 0, [7, 6]),
        ([1.2, 3.0], 2.4, [1, 2]),
    ],
)
def test_delays_follow_its_rule(delay, limit, steps):
    assert delay_steps(delay, 1.0, limit).steps.tolist() == steps


def test_delays_say_what_happened_to_them():
    made = delay_steps([7.0, 0.2, 2.5, 3.5, 1.2, 2.0], 1.0, 5)
    assert delay_limit_ms([7.0], 5) == 5
    assert made.clipped.tolist() == [True, False, False, False, False, False]
    assert made.raised.tolist() == [False, True, False, False, False, False]
    assert made.rounded.tolist() == [False, False, True, True, True, False]
    assert made.to_even.tolist() == [False, False, True, False, False, False]


# --- basis functions -----------------------------------------------------------------------------


def test_an_edge_acts_on_every_basis_function_whose_factor_is_not_zero():
    basis = BasisFactors(
        ("a", "b", "c"), np.array([[0.5, 0, -2], [0, 0, 0], [0, 1, 0]], dtype=np.float32)
    )
    edge, receptor, factor = basis.expanded(np.array([2, 0, 1, 0]))
    assert edge.tolist() == [0, 1, 1, 3, 3]
    assert receptor.tolist() == [1, 0, 2, 0, 2]
    assert factor.tolist() == [1, 0.5, -2, 0.5, -2]


# --- pairing -------------------------------------------------------------------------------------


def keys(*rows: tuple[int, int, int]) -> EdgeKeys:
    table = np.array(rows, dtype=np.int64)
    return EdgeKeys(*table.T)


def pair(before, after, old, new, delay=None):
    old, new = np.array(old, dtype=np.float32), np.array(new, dtype=np.float32)
    delay = None if delay is None else np.array(delay)
    return paired(before, after, old, new, delay=delay, where="trained", original="original")


def test_edges_are_paired_by_source_target_and_type():
    before = keys((0, 1, 7), (2, 1, 7), (0, 1, 8))
    after = keys((0, 1, 8), (0, 1, 7), (2, 1, 7))
    assert pair(before, after, [1, 2, 3], [30, 10, 20], [1, 1, 4]).tolist() == [1, 2, 0]


def test_edges_of_one_pair_and_type_are_paired_by_their_weights():
    before = keys((0, 1, 7), (0, 1, 7))
    assert pair(before, before, [5, 1], [1.5, 4.0], [2, 2]).tolist() == [1, 0]


def test_edges_that_cannot_be_told_apart_are_refused_where_their_delays_differ():
    before = keys((0, 1, 7), (0, 1, 7), (1, 1, 7))
    with pytest.raises(InputError, match=r"edges of 1 pairs.*2 and 3 steps"):
        pair(before, before, [5, 1, 1], [5, 1, 1], [2, 3, 1])
    assert len(pair(before, before, [5, 1, 1], [5, 1, 1], None)) == 3  # delays that do not act


def test_other_edges_are_refused_with_counts():
    before, after = keys((0, 1, 7), (2, 1, 7)), keys((0, 1, 7), (2, 1, 8))
    with pytest.raises(InputError, match=r"1 of 2 edges are in the original only") as caught:
        pair(before, after, [1, 2], [1, 2])
    assert "2 -> 1 of type 8" in str(caught.value)
    with pytest.raises(InputError, match=r"1 of 3 edges are in the trained file only"):
        pair(before, keys((0, 1, 7), (2, 1, 7), (2, 1, 7)), [1, 2], [1, 2, 3])


def test_edges_without_a_type_are_those_that_a_second_group_overwrote():
    before = keys((3, 1, 7), (2, 1, 7), (1, 1, 7))
    after = keys((1, 1, 7), (0, 0, 0), (0, 0, 0))
    with pytest.raises(InputError, match="2 trained edges have no type: DPointNet reads one file"):
        pair(before, after, [1, 2, 3], [1, 0, 0])


# --- configurations and circuits that are refused ------------------------------------------------


def changed(folder, change):
    """The circuit after a change of its configuration."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))
    return path


def test_a_configuration_of_pointnet_is_told_apart(circuit_folder):
    path = changed(circuit_folder(), lambda c: c.pop("rnn_cell_params"))
    with pytest.raises(ConfigError, match="no configuration of DPointNet"):
        read_circuit(path)


def test_keys_of_later_versions_are_refused_by_name(circuit_folder):
    path = changed(circuit_folder(), lambda c: c["rnn_cell_params"].update(dynamics="nest"))
    with pytest.raises(ConfigError, match="dynamics"):
        read_circuit(path)


@pytest.mark.parametrize("given", [None, [], [1.0, -2.0], "no.npy"])
def test_a_basis_is_needed(circuit_folder, given):
    path = changed(circuit_folder(), lambda c: c["rnn_cell_params"].update(tau_basis=given))
    with pytest.raises(NetworkFileError):
        read_circuit(path)


def test_a_basis_may_lie_in_a_file(circuit_folder):
    folder = circuit_folder()
    np.save(folder / "tau.npy", np.array([5.5, 8.5, 2.8, 5.8]))
    path = changed(folder, lambda c: c["rnn_cell_params"].update(tau_basis="tau.npy"))
    assert read_circuit(path).config.tau_basis_ms.tolist() == [5.5, 8.5, 2.8, 5.8]


def test_models_without_basis_weights_are_named(circuit_folder):
    path = changed(circuit_folder(), lambda c: c["rnn_cell_params"].pop("basis_weights_file"))
    with pytest.raises(
        NetworkFileError, match="4 of 4 synaptic models have no basis weights: e2e"
    ) as caught:
        read_circuit(path)
    (finding,) = caught.value.findings
    assert (finding.check, finding.n_bad) == ("dpointnet.basis_weights", 4)


def test_the_number_of_factors_must_be_that_of_the_basis(circuit_folder):
    path = changed(
        circuit_folder(), lambda c: c["rnn_cell_params"].update(tau_basis=[5.5, 8.5, 2.8])
    )
    with pytest.raises(NetworkFileError, match="do not have 3 basis weights"):
        read_circuit(path)


def test_factors_in_the_models_files_are_read(circuit_folder):
    factors = {"e2e": [0.7, -0.2], "i2e": [0.0, 0.5], "e2i": [0.9, 0.1], "i2i": [0.0, 1.0]}
    folder = circuit_folder(factors_in="json", factors=factors, tau_basis=[1.0, 9.0])
    circuit = read_circuit(folder / "config.json")
    network = circuit.network({p: circuit.internal(p) for p in circuit.edges}, NOWHERE)
    n_edges = {p: len(e) for p, e in circuit.edges.items()}
    assert len(network.tables["lgn_to_v1"]) == 2 * n_edges["lgn"]
    row = network.tables["lgn_to_v1"]
    first = circuit.internal("lgn")[0]
    np.testing.assert_array_equal(
        row.weight[:2], first * np.float32([0.7, -0.2]) if row.post[0] < 6 else row.weight[:2]
    )


def test_two_files_of_one_source_are_refused_with_counts(circuit_folder):
    folder = circuit_folder()

    def twice(config):
        config["networks"]["edges"].append(config["networks"]["edges"][1])

    path = changed(folder, twice)
    with pytest.raises(
        NetworkFileError, match=r"the edges from lgn lie in .* and .*overwrites"
    ) as caught:
        read_circuit(path)
    (finding,) = caught.value.findings
    assert (finding.check, 2 * finding.n_bad) == ("dpointnet.lost_edges", finding.n_seen)


def test_a_second_edge_group_is_refused(circuit_folder):
    folder = circuit_folder()
    with h5py.File(folder / "network" / "v1_v1_edges.h5", "r+") as file:
        file["edges/v1_to_v1/1/syn_weight"] = np.zeros(3, dtype=np.float32)
        n = len(file["edges/v1_to_v1/edge_group_id"])
        file["edges/v1_to_v1/edge_group_id"][:3] = 1
    with pytest.raises(NetworkFileError, match="has 2 edge groups") as caught:
        read_circuit(folder / "config.json")
    (finding,) = caught.value.findings
    assert (finding.check, finding.n_bad, finding.n_seen) == ("dpointnet.lost_edges", 3, n)


# --- remarks on circuits -------------------------------------------------------------------------


def test_a_plain_circuit_has_no_remark_that_it_does_not_deserve(circuit_folder):
    ones = dict.fromkeys(("e2e", "e2i", "i2e", "i2i"), 2.0)
    folder = circuit_folder(delays=ones, cells={"V_reset": -70.0, "t_ref": 3.0, "E_L": -70.0,
                                                "V_m": -70.0, "V_th": -50.0})  # fmt: skip
    found = remarks_of(read_circuit(folder / "config.json"))
    assert set(found) == {"dpointnet.input_delays"}  # the maker's: 2 ms from the LGN


@pytest.mark.parametrize(
    ("what", "name", "n", "text"),
    [
        ({"nsyns": 3}, "dpointnet.nsyns", None, "up to 3"),
        ({"cells": {"asc_decay": [1.5, 0.1]}}, "dpointnet.dead_cells", 9, "never spike"),
        ({"cells": {"asc_decay": [-0.1, 0.1]}}, "dpointnet.dead_cells", 9, "never spike"),
        ({"run": {"dt": 0.1}}, "dpointnet.run_dt", 1, "run.dt is 0.1 ms"),
        ({"run": {"dtype": "float16"}}, "dpointnet.precision", 1, "float16"),
        ({"cells": {"tau_syn": [1, 2, 3, 4]}}, "dpointnet.tau_syn", 9, "another tau_syn"),
        ({"cells": {"V_reset": -60.0}}, "dpointnet.v_reset", 9, "V_reset that is not E_L"),
        ({"cells": {"V_m": -60.0}}, "dpointnet.start_potential", 9, "V_m that is not E_L"),
        ({"cells": {"t_ref": 2.5}}, "dpointnet.refractory_steps", 9, "rounded up"),
        ({"delays": {"e2e": 2.5}}, "dpointnet.delays", None, "to the even one"),
        ({"delays": {"e2e": 9.0}}, "dpointnet.delays", None, "above the limit of 5 ms"),
        ({"permute_ids": True}, "dpointnet.node_ids", None, "writes other ids"),
        ({"rnn": {"recurrent_weight_scale": 2.0}}, "dpointnet.weight_scale", None, "times 2"),
    ],
)
def test_what_it_does_in_silence_is_noted(circuit_folder, what, name, n, text):
    found = remarks_of(read_circuit(circuit_folder(**what) / "config.json"))
    remark = found[name][0]
    assert text in remark.message
    assert n is None or remark.n == n
    assert 0 < remark.n <= remark.total


def test_ports_of_other_time_courses_are_noted(circuit_folder):
    folder = circuit_folder()
    path = folder / "components" / "syn" / "e2e.json"
    path.write_text(json.dumps({"receptor_type": 2}))
    found = remarks_of(read_circuit(folder / "config.json"))["dpointnet.receptor_type"]
    assert "e2e: port 2, basis weights 1, 0, 0, 0" in found[0].examples


def test_edges_that_act_on_nothing_are_noted(circuit_folder):
    factors = {"e2e": [0, 0, 0, 0], "i2e": [0, 1, 0, 0], "e2i": [0, 0, 1, 0], "i2i": [0, 0, 0, 1]}
    circuit = read_circuit(circuit_folder(factors=factors) / "config.json")
    found = remarks_of(circuit)["dpointnet.silent_edges"]
    assert sum(remark.n for remark in found) == sum(
        int((circuit.model[p] == 0).sum()) for p in circuit.edges
    )


# --- trained folders that are refused ------------------------------------------------------------


@pytest.fixture
def copied(sample, tmp_path):
    """The sample's trained edges, to be damaged."""
    import shutil

    folder = tmp_path / "trained_weights"
    shutil.copytree(sample / "training" / "trained_weights", folder)
    folder.chmod(0o755)
    for path in folder.iterdir():
        path.chmod(0o644)
    return folder


def test_a_folder_that_lacks_a_population_is_refused(sample, copied):
    (copied / "lgn_v1_edges.h5").unlink()
    with pytest.raises(InputError, match="has no trained edges from lgn"):
        from_folder(read_circuit(sample / "config.json"), copied, Remarks())


def test_weights_that_are_not_finite_are_refused(sample, copied):
    with h5py.File(copied / "v1_v1_edges.h5", "r+") as file:
        file["edges/v1_to_v1/0/syn_weight"][3] = np.nan
    with pytest.raises(InputError, match="1 of 74 trained weights are not finite"):
        from_folder(read_circuit(sample / "config.json"), copied, Remarks())


def test_a_weight_of_another_sign_is_noted(sample, copied):
    with h5py.File(copied / "v1_v1_edges.h5", "r+") as file:
        file["edges/v1_to_v1/0/syn_weight"][5] *= -1
    noted = Remarks()
    from_folder(read_circuit(sample / "config.json"), copied, noted)
    (remark,) = remarks_of(None, noted)["dpointnet.unequal_signs"]
    assert (remark.n, remark.total) == (1, 74)


def test_frozen_weights_that_changed_are_noted(sample, copied):
    with h5py.File(copied / "lgn_v1_edges.h5", "r+") as file:
        file["edges/lgn_to_v1/0/syn_weight"][5] *= np.float32(1 + 4e-7)
    noted = Remarks()
    from_folder(read_circuit(sample / "config.json"), copied, noted)
    (remark,) = remarks_of(None, noted)["dpointnet.frozen_changed"]
    assert (remark.n, remark.total) == (1, 33)


def test_an_edge_of_another_type_is_refused(sample, copied):
    with h5py.File(copied / "v1_v1_edges.h5", "r+") as file:
        types = file["edges/v1_to_v1/edge_type_id"]
        types[0] = 103 if types[0] != 103 else 100
    with pytest.raises(InputError, match="1 of 74 edges are in the original only"):
        from_folder(read_circuit(sample / "config.json"), copied, Remarks())

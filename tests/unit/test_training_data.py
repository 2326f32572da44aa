"""The training-data folder: read safely, selected and sorted as the published loader does."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from tests.checkpoints import model_variables, optimizer_variables, save, save_trained, tensorflow
from tests.networks import tiny_network
from tests.training_folder import N_FAR, write_training_folder
from v1sim import guard
from v1sim.checkpoints.baseline import write_baseline
from v1sim.conversion.convert import convert
from v1sim.errors import InputError
from v1sim.model import NetworkModel
from v1sim.sources import open_network
from v1sim.sources.difference import compare_networks
from v1sim.sources.readout_groups import published_readout_groups, read_readout_groups
from v1sim.sources.training_data import initial_network, open_folder, select_neurons

NETWORK = tiny_network(seed=6)


@pytest.fixture
def folder(tmp_path) -> Path:
    return write_training_folder(tmp_path / "GLIF_network", NETWORK)


def assert_same(made: NetworkModel) -> None:
    """Equal to `NETWORK` up to the rounding of pA and back."""
    difference = compare_networks(NETWORK, made)
    for table in difference.tables.values():
        assert table.same_wiring
        assert table.n_delay_changed == 0
        assert (table.weights.relative_change or 0) < 1e-6
    np.testing.assert_allclose(made.background_weight, NETWORK.background_weight, rtol=1e-6)
    for key in NETWORK.cell_types.columns:
        ours = getattr(made.cell_types, key)[made.neurons.cell_type]
        theirs = getattr(NETWORK.cell_types, key)[NETWORK.neurons.cell_type]
        assert np.array_equal(ours, theirs.astype("f4")), key
    assert np.array_equal(made.neurons.position_um, NETWORK.neurons.position_um)


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_pass_the_untrained_network(tmp_path, protocol):
    data = open_folder(write_training_folder(tmp_path / "data", NETWORK, protocol=protocol))
    made = initial_network(data, select_neurons(data, 60))
    assert_same(made)
    assert made.cell_types.cell_class == NETWORK.cell_types.name
    assert made.lgn.size == NETWORK.lgn.size
    key = (
        made.tables["recurrent"].post * 4 + made.tables["recurrent"].receptor
    ) * 60 + made.tables["recurrent"].pre
    assert (np.diff(key) > 0).all()


def test_selections(folder):
    data = open_folder(folder)
    assert len(select_neurons(data)) == 60 + N_FAR
    core = select_neurons(data, selection="core")
    assert np.array_equal(core, select_neurons(data, 60))
    # The published loader draws like this.
    rng = np.random.RandomState(3000)
    expected = np.sort(rng.choice(core, size=20, replace=False))
    assert np.array_equal(select_neurons(data, 20, "core"), expected)
    assert not np.array_equal(select_neurons(data, 20, "core", seed=1), expected)
    assert len(select_neurons(data, 20, "random")) == 20
    with pytest.raises(InputError, match="61 neurons are wanted of 60"):
        select_neurons(data, 61, "core")


def test_published_delays_are_those_of_other_synapses(folder):
    data = open_folder(folder)
    nodes = select_neurons(data, 60)
    own = initial_network(data, nodes)
    mixed = initial_network(data, nodes, delays="published")
    assert np.array_equal(
        np.sort(own.tables["recurrent"].delay_ms), np.sort(mixed.tables["recurrent"].delay_ms)
    )
    difference = compare_networks(own, mixed)
    assert difference.same_network
    assert difference.tables["recurrent"].n_delay_changed > 100


def test_baseline_is_written_as_untrained(folder, tmp_path):
    out = tmp_path / "untrained.h5"
    write_baseline(folder, out, command="v1sim baseline", n_neurons=60)
    made = open_network(out)
    assert_same(made)
    report = guard.examine(made, guard.Policy())
    assert (report.verdict, report.proof, report.passed) == ("untrained", "provenance", False)


@pytest.mark.parametrize("delays", ["own", "published"])
def test_baseline_like_a_checkpoint(folder, tmp_path, delays):
    """Neurons, selection and delays are found from the index."""
    tensorflow()
    data = open_folder(folder)
    network = initial_network(data, select_neurons(data, 60, "core"), delays=delays)
    prefix = save_trained(tmp_path / "ckpt", network)
    done = write_baseline(folder, tmp_path / "u.h5", command="", checkpoint=prefix)
    assert done.delays == delays
    assert compare_networks(network, done.network).equal


def test_baseline_of_another_folder(folder, tmp_path):
    prefix = save_trained(tmp_path / "ckpt", tiny_network(seed=8))
    with pytest.raises(InputError, match=r"no selection of 60 of its 85 nodes has the wiring"):
        write_baseline(folder, tmp_path / "u.h5", command="", checkpoint=prefix)
    assert not (tmp_path / "u.h5").exists()


# --- beside a checkpoint -----------------------------------------------------------------------


def test_conversion_takes_names_and_positions(folder, tmp_path):
    tensorflow()
    data = open_folder(folder)
    network = initial_network(data, select_neurons(data, 60))
    out = tmp_path / "net.h5"
    prefix = save_trained(tmp_path / "ckpt", network)
    with pytest.raises(Exception, match=r"not all 0 .*; they are those of the training data"):
        convert(prefix, out, command="", data_dir=folder)
    convert(prefix, out, command="", data_dir=folder, allow_untrained=True)
    made = open_network(out)
    assert compare_networks(network, made).equal
    assert made.cell_types.cell_class == NETWORK.cell_types.name
    assert np.array_equal(made.neurons.position_um, NETWORK.neurons.position_um)
    assert made.lgn.size == NETWORK.lgn.size
    assert made.provenance.arrays["neurons.x_um"].detail == "network/v1_nodes.h5"


def test_the_initial_weights_settle_a_checkpoint_without_optimizer(folder, tmp_path):
    tensorflow()
    data = open_folder(folder)
    network = initial_network(data, select_neurons(data, 60))
    variables = model_variables(network)
    prefix = save(tmp_path / "bare", variables)
    with pytest.raises(Exception, match="they are those of the training data"):
        convert(prefix, tmp_path / "net.h5", command="", data_dir=folder)
    name = next(n for n in variables if n.endswith("recurrent_weight_values"))
    variables[name] = variables[name] * np.float32(1.25)
    prefix = save(tmp_path / "later", variables)
    assert convert(prefix, tmp_path / "net.h5", command="", data_dir=folder).kind == "trained"


@pytest.mark.parametrize("change", ["parameter", "wiring"])
def test_folder_of_another_network_is_refused(folder, tmp_path, change):
    tensorflow()
    data = open_folder(folder)
    variables = model_variables(initial_network(data, select_neurons(data, 60)))
    if change == "parameter":
        name = next(n for n in variables if n.endswith("voltage_offset"))
        variables[name] = variables[name] + np.float32(0.5)
        expected = "these are not the neurons of the checkpoint: voltage_offset of"
    else:
        for end in ("recurrent_indices", "recurrent_weight_values", "recurrent_weight_positive"):
            name = next(n for n in variables if n.endswith(end))
            variables[name] = variables[name][1:]
        expected = "1 recurrent synapses of the training data are not in the checkpoint"
    prefix = save(tmp_path / "ckpt", variables | optimizer_variables(variables))
    with pytest.raises(InputError, match=expected):
        convert(prefix, tmp_path / "net.h5", command="", data_dir=folder)
    assert not (tmp_path / "net.h5").exists()


# --- pickles -----------------------------------------------------------------------------------


class _Harmful:
    """Runs a command when it is unpickled."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self):
        return os.system, (f"touch {self.witness}",)


@pytest.mark.parametrize("name", ["network_dat.pkl", "input_dat.pkl"])
def test_harmful_pickle_does_not_run(folder, tmp_path, name):
    witness = tmp_path / "ran"
    content = pickle.loads((folder / name).read_bytes())
    harmful = {"nodes": _Harmful(witness), "edges": content} if name[0] == "n" else [
        *content, _Harmful(witness)
    ]  # fmt: skip
    (folder / name).write_bytes(pickle.dumps(harmful))
    pickle.loads((folder / name).read_bytes())
    assert witness.exists()  # the pickle does what it is made for
    witness.unlink()
    with pytest.raises(InputError, match=rf"(?s){name}: the pickle wants to use (posix|nt).system"):
        open_folder(folder)
    assert not witness.exists()


@pytest.mark.parametrize(
    ("stream", "named"),
    [
        (b"cbuiltins\neval\n(S'1+1'\ntR.", "builtins.eval"),
        (b"cbuiltins\ngetattr\n.", "builtins.getattr"),
        (b"\x80\x04\x8c\x05numpy\x8c\x0cndarray.view\x93.", "numpy.ndarray.view"),
        (b"cnumpy\nload\n.", "numpy.load"),
        (b"cnumpy.core.multiarray\nfromfile\n.", "numpy.core.multiarray.fromfile"),
        (b"cpandas.core.frame\nDataFrame\n.", "pandas.core.frame.DataFrame"),
        (b"Pid\n.", "an object kept outside the file"),
        (b"c_codecs\nencode\n(V00\nVhex\ntR.", "codecs.encode for 'hex'"),
    ],
)
def test_everything_but_arrays_and_containers_is_refused_by_name(folder, stream, named):
    (folder / "network_dat.pkl").write_bytes(stream)
    with pytest.raises(InputError, match="the pickle wants to use") as caught:
        open_folder(folder)
    assert named in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"garbage", pickle.dumps([1, 2])[:-3]])
def test_broken_pickle_is_an_error(folder, content):
    (folder / "input_dat.pkl").write_bytes(content)
    with pytest.raises(InputError, match="is no whole pickle"):
        open_folder(folder)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("network_dat.pkl", [1], "a dict with 'nodes' and 'edges'"),
        ("network_dat.pkl", {"nodes": [{"ids": [0]}], "edges": []}, "nodes with ids and params"),
        ("input_dat.pkl", {}, "a list of populations"),
        ("input_dat.pkl", [{"ids": [0]}], "populations of"),
    ],
)
def test_other_structures_are_errors(folder, name, content, expected):
    (folder / name).write_bytes(pickle.dumps(content))
    with pytest.raises(InputError) as caught:
        open_folder(folder)
    assert expected in str(caught.value)


def test_ids_out_of_range(folder):
    content = pickle.loads((folder / "network_dat.pkl").read_bytes())
    content["edges"][0]["source"] = content["edges"][0]["source"] + 1000
    (folder / "network_dat.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(InputError, match="an edge has the source 1"):
        open_folder(folder)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(InputError, match=r"network_dat.pkl and input_dat.pkl missing"):
        open_folder(tmp_path)


# --- readout groups ----------------------------------------------------------------------------


def test_published_readout_groups():
    rng = np.random.default_rng(0)
    n = 60_000
    radius, angle = 400 * np.sqrt(rng.random(n)), 2 * np.pi * rng.random(n)
    depth = rng.uniform(-640, -430, n)
    position = np.column_stack([radius * np.cos(angle), depth, radius * np.sin(angle)])
    name = np.where(rng.random(n) < 0.8, "e5Rbp4", "i5Pvalb")
    groups = published_readout_groups(position, name)
    assert [len(group) for group in groups] == [30] * 10
    first = position[groups[0]]
    assert (np.linalg.norm(first - [0, (depth.min() + depth.max()) / 2, 260], axis=1) < 55).all()
    assert (name[np.concatenate(groups)] == "e5Rbp4").all()


def test_no_published_groups_in_a_small_column():
    names = np.array(NETWORK.cell_types.name)[NETWORK.neurons.cell_type]
    assert published_readout_groups(NETWORK.neurons.position_um, names) == ()
    assert published_readout_groups(np.zeros((2, 3)), np.array(["e4", "i4Sst"])) == ()


@pytest.mark.parametrize("suffix", [".json", ".txt", ".csv", ".npy", ".h5"])
def test_readout_files(tmp_path, suffix):
    groups = [[3, 5, 7], [2, 4, 6]]
    file = tmp_path / f"groups{suffix}"
    if suffix == ".npy":
        np.save(file, np.array(groups))
    elif suffix == ".h5":
        from dataclasses import replace

        from v1sim.sources.hdf5 import write_network

        readout = tuple(np.array(group, np.int32) for group in groups)
        write_network(replace(NETWORK, readout=readout, provenance=None), file)
    else:
        text = {".json": "[[3, 5, 7], [2, 4, 6]]", ".txt": "# class 0, 1\n3 5 7\n2 4 6\n"}
        file.write_text(text.get(suffix, "3,5,7\n2,4,6\n"))
    assert [g.tolist() for g in read_readout_groups(file, 60)] == groups


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[]", "has no groups"),
        ("[[1], []]", "or an empty one"),
        ("[[1, 2], [3]]", "groups of 2, 1 cells"),
        ("[[1, 2], [2, 3]]", "names a cell twice"),
        ("[[1, 2], [3, -1]]", "names cells from -1 to 3"),
        ("[[1.5, 2]]", "not a list of whole numbers"),
        ("{", "holds no readout groups"),
        ("5", "holds no readout groups"),
    ],
)
def test_bad_readout_files(tmp_path, text, expected):
    file = tmp_path / "groups.json"
    file.write_text(text)
    with pytest.raises(InputError) as caught:
        read_readout_groups(file, 60)
    assert expected in str(caught.value)

"""Conversion: what it makes of checkpoints of all layouts, and every way it refuses one."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.checkpoints import (
    CELL,
    INPUT_LAYER,
    model_variables,
    optimizer_variables,
    save,
    save_trained,
    tensorflow,
)
from tests.networks import N_LGN, tiny_network, with_parts
from v1sim import guard
from v1sim.conversion.convert import convert
from v1sim.errors import CheckpointError, InputError, MissingExtraError, OutputError
from v1sim.model import NetworkModel
from v1sim.sources import open_network
from v1sim.sources.difference import compare_networks


@pytest.fixture(scope="module")
def network() -> NetworkModel:
    tensorflow()
    return tiny_network(seed=3, zeros=0.2)


@pytest.fixture
def trained(tmp_path, network) -> Path:
    """A checkpoint in the published layout, 850 updates."""
    return save_trained(tmp_path / "ckpt_60-425", network)


def converted(checkpoint: Path, **options) -> NetworkModel:
    out = checkpoint.parent / "net.h5"
    convert(checkpoint, out, command="v1sim convert", **options)
    return open_network(out)


def refused(checkpoint: Path, error: type = CheckpointError, **options) -> str:
    """The message of the refusal; no file may be left."""
    out = checkpoint.parent / "net.h5"
    before = sorted(checkpoint.parent.iterdir())
    with pytest.raises(error) as caught:
        convert(checkpoint, out, command="v1sim convert", **options)
    assert sorted(checkpoint.parent.iterdir()) == before
    assert caught.value.exit_code == 2
    return str(caught.value)


def altered(tmp_path: Path, network: NetworkModel, change, **optimizer) -> Path:
    """A checkpoint whose model variables were changed before it was saved."""
    variables = model_variables(network)
    change(variables)
    prefix = tmp_path / "ckpt_60-425"
    return save(prefix, variables | optimizer_variables(variables, **optimizer))


# --- what it makes -----------------------------------------------------------------------------


def test_pass_the_network_comes_back(trained, network):
    made = converted(trained)
    difference = compare_networks(network, made)
    assert all(table.equal for table in difference.tables.values())
    for column in network.cell_types.columns:
        ours = getattr(made.cell_types, column)[made.neurons.cell_type]
        theirs = getattr(network.cell_types, column)[network.neurons.cell_type]
        np.testing.assert_allclose(ours, theirs, rtol=3e-6, err_msg=column)
    assert np.array_equal(made.background_weight, network.background_weight)
    assert made.lgn.size == int(network.tables["lgn"].pre.max()) + 1


def test_simple_parameters_come_back_exactly(trained, network):
    made = converted(trained)
    for column in ("c_m_pf", "tau_syn_ms", "k_per_ms", "t_ref_ms", "g_ns", "e_l_mv", "v_th_mv"):
        ours = getattr(made.cell_types, column)[made.neurons.cell_type]
        theirs = getattr(network.cell_types, column)[network.neurons.cell_type]
        assert np.array_equal(ours.astype("f4"), theirs.astype("f4")), column


def test_check_proves_it_from_the_provenance_and_notices_an_edit(trained):
    made = converted(trained)
    report = guard.examine(made, guard.Policy())
    assert (report.verdict, report.proof, report.passed) == ("trained", "provenance", True)
    path = Path(made.source.path)
    with h5py.File(path, "r+") as file:
        file["recurrent/weights"][7] *= 1.001
    report = guard.examine(open_network(path), guard.Policy())
    assert not report.passed
    assert "provenance.digests" in {f.check for f in report.blocking}


def test_provenance_says_where_everything_comes_from(trained):
    provenance = converted(trained).provenance
    assert provenance is not None and provenance.checkpoint is not None
    assert provenance.kind == "trained"
    assert provenance.command == "v1sim convert"
    assert provenance.checkpoint["iterations"] == 850
    assert set(provenance.checkpoint["files"]) == {
        "ckpt_60-425.index", "ckpt_60-425.data-00000-of-00001",
    }  # fmt: skip
    assert provenance.arrays["recurrent.weight"].origin == "trained variable"
    assert provenance.arrays["cell_types.c_m_pf"].origin == "recomputed"
    assert f"{CELL}/decay" in provenance.arrays["cell_types.c_m_pf"].detail
    variables = provenance.checkpoint["variables"]
    assert variables["recurrent_sign"]["name"] == f"{CELL}/recurrent_weight_positive"
    assert len(variables["recurrent_sign"]["crc32c"]) == 8


@pytest.mark.parametrize("given", ["index", "data-00000-of-00001"])
def test_index_or_shard_may_name_the_checkpoint(trained, given):
    assert len(converted(trained.with_name(f"{trained.name}.{given}")).tables["recurrent"]) > 0


def test_other_layer_numbers_and_names(tmp_path, network):
    variables = model_variables(network, input_layer="net/lgn", cell="net/stack/3/rsnn")
    prefix = save(tmp_path / "other", variables | optimizer_variables(variables))
    assert compare_networks(network, converted(prefix)).tables["lgn"].equal


def test_several_shards(tmp_path, network):
    variables = model_variables(network)
    variables |= optimizer_variables(variables)
    prefix = save(tmp_path / "ckpt", variables, n_shards=3)
    assert len(list(tmp_path.glob("ckpt.data-*-of-00003"))) == 3
    made = converted(prefix)
    assert compare_networks(network, made).tables["recurrent"].equal
    assert len(made.provenance.checkpoint["files"]) == 4


def test_float16_weights_and_parameters(tmp_path, network):
    variables = {
        name: values.astype(np.float16) if values.dtype == np.float32 else values
        for name, values in model_variables(network).items()
    }
    made = converted(save(tmp_path / "half", variables | optimizer_variables(variables)))
    expected = network.tables["recurrent"].weight.astype(np.float16).astype(np.float32)
    half = with_parts(network, recurrent=replace(network.tables["recurrent"], weight=expected))
    assert compare_networks(half, made).tables["recurrent"].equal
    tau = made.cell_types.tau_syn_ms[made.neurons.cell_type]
    np.testing.assert_allclose(tau, np.tile([5.5, 8.5, 2.8, 5.8], (60, 1)), rtol=1e-2)
    c_m = made.cell_types.c_m_pf[made.neurons.cell_type]
    wanted = network.cell_types.c_m_pf[network.neurons.cell_type]
    np.testing.assert_allclose(c_m, wanted, rtol=5e-3)


def test_float64_variables(tmp_path, network):
    variables = {
        name: values.astype(np.float64) if values.dtype == np.float32 else values
        for name, values in model_variables(network).items()
    }
    made = converted(save(tmp_path / "double", variables | optimizer_variables(variables)))
    assert compare_networks(network, made).tables["recurrent"].equal


def test_variables_without_names(tmp_path, network):
    """Weights, background and several kernels that only their shapes tell apart."""
    variables = model_variables(network)
    for name, new in (
        (f"{INPUT_LAYER}/_bkg_weights", "model/_variables/3"),
        (f"{INPUT_LAYER}/_weights", "optimizer/_trainable_variables/1"),
    ):
        variables[new] = variables.pop(name)
    variables["model/lateral/kernel"] = np.ones((7, 3), np.float32)
    variables["model/projection/kernel"] = np.ones((60, 3), np.float32)
    variables["model/lateral/bias"] = np.zeros(3, np.float32)
    variables["model/projection/bias"] = np.ones(3, np.float32)
    made = converted(save(tmp_path / "bare", variables))
    assert compare_networks(network, made).tables["lgn"].equal
    assert np.array_equal(made.background_weight, network.background_weight)
    assert made.readout_weight.shape == (60, 3)
    assert made.readout_bias.tolist() == [1, 1, 1]


def test_variables_computed_in_float64(tmp_path, network):
    variables = model_variables(network)
    types = network.cell_types
    of = network.neurons.cell_type
    variables[f"{CELL}/decay"] = np.exp(-types.g_ns / types.c_m_pf)[of].astype("f4")
    factor = (1 - np.exp(-types.g_ns / types.c_m_pf)) / types.g_ns
    variables[f"{CELL}/current_factor"] = factor[of].astype("f4")
    variables[f"{CELL}/syn_decay"] = np.exp(-1 / types.tau_syn_ms)[of].astype("f4")
    made = converted(save(tmp_path / "wide", variables | optimizer_variables(variables)))
    np.testing.assert_allclose(
        made.cell_types.c_m_pf[made.neurons.cell_type], types.c_m_pf[of], rtol=3e-6
    )


def test_dense_readout_is_kept(tmp_path, network):
    variables = model_variables(network)
    rng = np.random.default_rng(0)
    variables["model/layer_with_weights-2/kernel"] = rng.normal(size=(60, 10)).astype("f4")
    variables["model/layer_with_weights-2/bias"] = rng.normal(size=10).astype("f4")
    made = converted(save(tmp_path / "dense", variables | optimizer_variables(variables)))
    assert np.array_equal(made.readout_weight, variables["model/layer_with_weights-2/kernel"])
    assert np.array_equal(made.readout_bias, variables["model/layer_with_weights-2/bias"])
    with h5py.File(made.source.path) as file:
        assert file["readout/readout_weights"].shape == (60, 10)


def test_other_inputs_are_told_from_the_lgn_and_named(tmp_path, network):
    """By the sign mask, which has the length of the LGN's edges."""
    rng = np.random.default_rng(0)
    noise = "model/layer_with_weights-2"
    made = converted(
        altered(
            tmp_path,
            network,
            lambda variables: variables.update(
                {
                    f"{noise}/_indices": rng.integers(0, 100, (77, 2)),
                    f"{noise}/_weights": rng.random(77).astype(np.float32),
                }
            ),
        )
    )
    assert compare_networks(network, made).tables["lgn"].same_wiring
    [beyond] = [text for text in made.provenance.details["missing"] if "beyond" in text]
    assert f"{noise}/_indices, {noise}/_weights" in beyond


def test_two_inputs_alike_are_refused(tmp_path, network):
    def add(variables):
        for name in ("_indices", "_weights"):
            variables[f"model/other/{name}"] = variables[f"{INPUT_LAYER}/{name}"]

    message = refused(altered(tmp_path, network, add))
    assert f"could be {INPUT_LAYER}/_indices or model/other/_indices" in message
    assert "missing: " not in message


def test_dense_layers_of_which_none_is_the_readout_are_named(tmp_path, network):
    def add(variables):
        for name, n in (("a", 20), ("b", 30)):
            variables[f"model/{name}/kernel"] = np.ones((n, 10), np.float32)

    made = converted(altered(tmp_path, network, add))
    assert made.readout_weight is None
    assert "model/a/kernel, model/b/kernel" in made.provenance.details["missing"][-1]


@pytest.mark.parametrize("dtype", [np.int32, np.uint32, np.int64])
def test_integers_of_any_width_and_long_delays(tmp_path, network, dtype):
    delay_ms = (1 + np.arange(len(network.tables["recurrent"])) % 12).astype(np.float32)
    slow = with_parts(network, recurrent=replace(network.tables["recurrent"], delay_ms=delay_ms))

    def narrow(variables):
        for name in (f"{CELL}/recurrent_indices", f"{INPUT_LAYER}/_indices"):
            variables[name] = variables[name].astype(dtype)

    made = converted(altered(tmp_path, slow, narrow))
    assert all(table.same_wiring for table in compare_networks(slow, made).tables.values())


def test_another_number_of_receptors_is_refused(tmp_path, network):
    def widen(variables):
        for name in ("syn_decay", "psc_initial"):
            values = variables[f"{CELL}/{name}"]
            variables[f"{CELL}/{name}"] = np.concatenate([values, values[:, :1]], axis=1)

    message = refused(altered(tmp_path, network, widen))
    assert "syn_decay is float32 [60, 5], expected floats [60, 4]" in message


def test_frozen_input_is_allowed_and_marked(tmp_path, network):
    prefix = save_trained(tmp_path / "frozen", network, moments={"recurrent_weight_values": 1e-3})
    provenance = converted(prefix).provenance
    assert provenance.kind == "trained"
    assert provenance.arrays["lgn.weight"].origin == "initial value"
    assert "frozen" in provenance.arrays["lgn.weight"].detail
    assert provenance.arrays["recurrent.weight"].origin == "trained variable"


def test_no_optimizer_but_the_zeros_of_training(tmp_path, network):
    provenance = converted(save(tmp_path / "weights_only", model_variables(network))).provenance
    assert provenance.kind == "trained"
    assert "no optimizer" in provenance.checkpoint["why"]


def test_keras_3_names(tmp_path, network):
    """A model, an optimizer and a checkpoint as Keras 3 makes them."""
    tf = tensorflow()
    keras = pytest.importorskip("keras")
    variables = model_variables(network)

    class Weights(keras.layers.Layer):
        def __init__(self, prefix: str, trained: str, **options):
            super().__init__(**options)
            for name, values in variables.items():
                if not name.startswith(prefix + "/"):
                    continue
                short = name.rsplit("/", 1)[-1]
                if short == trained:
                    setattr(self, short, self.add_weight(
                        shape=values.shape, name=f"sparse_{short.strip('_')}",
                        initializer=lambda shape, dtype, values=values: tf.constant(values),
                    ))  # fmt: skip
                    self._trained_name = short
                else:
                    setattr(self, short, tf.Variable(values, trainable=False))

        def call(self, inputs):
            return inputs + tf.reduce_sum(tf.square(getattr(self, self._trained_name)))

    outer = keras.Input((1,))
    hidden = Weights(INPUT_LAYER, "_weights", name="lgn")(outer)
    model = keras.Model(outer, Weights(CELL, "recurrent_weight_values", name="v1")(hidden))
    optimizer = keras.optimizers.Adam(1e-9)
    model.compile(optimizer, "mse", jit_compile=False)
    model.train_on_batch(np.ones((2, 1)), np.ones((2, 1)))
    saved = tf.train.Checkpoint(model=model, optimizer=optimizer).save(str(tmp_path / "k3"))
    made = converted(Path(saved))
    table = compare_networks(network, made).tables["recurrent"]
    assert table.same_wiring
    np.testing.assert_allclose(table.weights.relative_change, 0, atol=1e-5)
    provenance = made.provenance
    assert provenance.kind == "trained"
    assert provenance.checkpoint["iterations"] == 1
    tables = provenance.checkpoint["tables"]
    assert {table: found["origin"] for table, found in tables.items()} == {
        "recurrent": "trained", "input": "trained", "background": "frozen",
    }  # fmt: skip
    assert {tables[t]["family"] for t in ("recurrent", "input")} == {"Adam"}
    assert not any("beyond this model" in text for text in provenance.details["missing"])


def test_readout_groups_from_a_file(trained):
    groups = [[1, 2, 3], [40, 41, 42]]
    file = trained.parent / "groups.json"
    file.write_text(json.dumps(groups))
    made = converted(trained, readout=file)
    assert [group.tolist() for group in made.readout] == groups


def test_more_lgn_cells_than_the_highest_index(trained):
    assert converted(trained, n_lgn=N_LGN + 5).lgn.size == N_LGN + 5


@pytest.mark.parametrize(
    ("folder", "step", "kind"),
    [("trained", 425, "trained"), ("few_steps", 5, "trained"), ("untrained", 0, "untrained")],
)
def test_reference_checkpoints_become_their_files(shared_data, tmp_path, folder, step, kind):
    tensorflow()
    reference = shared_data / "trained_a"
    out = tmp_path / "net.h5"
    done = convert(
        reference / folder / f"ckpt_1000-{step}",
        out,
        command="",
        readout=reference / f"net_A_{folder}.h5",
        allow_untrained=kind == "untrained",
    )
    difference = compare_networks(open_network(reference / f"net_A_{folder}.h5"), open_network(out))
    assert all(table.equal for table in difference.tables.values())
    # C_m and asc_amps are known to a rounding of the variables only; positions not at all.
    differing = {a.array: a.max_relative_change for a in difference.arrays}
    assert differing.pop("neurons.position_um", None) is None
    assert set(differing) <= {"cell_types.c_m_pf", "cell_types.asc_amp_pa"}
    assert all(change < 1e-6 for change in differing.values())
    assert done.kind == kind
    report = guard.examine(open_network(out), guard.Policy())
    # Ten updates are fewer than the policy takes for a training.
    verdict = "trained" if folder == "trained" else "untrained"
    assert (report.verdict, report.proof) == (verdict, "provenance")


# --- every refusal -----------------------------------------------------------------------------


def test_wrong_path_lists_the_checkpoints_there(trained):
    message = refused(trained.with_name("ckpt_60-500"))
    assert "no such checkpoint" in message
    assert "ckpt_60-425" in message


def test_folder_lists_the_checkpoints_there(trained):
    with pytest.raises(CheckpointError, match=r"(?s)is a folder.*ckpt_60-425"):
        convert(trained.parent, trained.parent / "net.h5", command="")


def test_missing_folder(tmp_path):
    with pytest.raises(CheckpointError, match="there is no folder"):
        convert(tmp_path / "nowhere" / "ckpt", tmp_path / "net.h5", command="")


def test_data_without_their_index(trained):
    trained.with_name(f"{trained.name}.index").unlink()
    assert f"index file {trained.name}.index is missing" in refused(trained)


def test_file_of_another_format(trained):
    other = trained.with_name("weights.h5")
    with h5py.File(other, "w") as file:
        file["x"] = 1
    assert "is an HDF5 file, not a TensorFlow checkpoint" in refused(other)


def test_missing_shard(trained):
    shard = trained.with_name(f"{trained.name}.data-00000-of-00001")
    shard.unlink()
    assert f"the data file {shard.name} is missing" in refused(trained)


def test_truncated_shard_names_a_variable_that_is_lost(trained):
    shard = trained.with_name(f"{trained.name}.data-00000-of-00001")
    shard.write_bytes(shard.read_bytes()[:-3000])
    message = refused(trained)
    assert "is cut off" in message
    assert "is not whole" in message


def test_damaged_data_name_the_variable(trained):
    shard = trained.with_name(f"{trained.name}.data-00000-of-00001")
    content = bytearray(shard.read_bytes())
    weights = np.frombuffer(content, np.uint8)
    wanted = tiny_network(seed=3, zeros=0.2).background_weight.tobytes()
    at = bytes(weights).find(wanted)
    assert at >= 0
    content[at + 5] ^= 1
    shard.write_bytes(content)
    assert f"the data of {INPUT_LAYER}/_bkg_weights are damaged" in refused(trained)


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "foreign"])
def test_damaged_index(trained, damage):
    index = trained.with_name(f"{trained.name}.index")
    content = bytearray(index.read_bytes())
    if damage == "flipped":
        content[len(content) // 3] ^= 0x10
    index.write_bytes(
        {"cut": content[:-20], "flipped": content, "empty": b"", "foreign": b"#!/bin/sh\n" * 30}[
            damage
        ]
    )
    assert "the index is damaged" in refused(trained)


def test_index_of_another_save(trained, network):
    """Index and data are each whole, but not of one save."""
    other = trained.with_name("other")
    weight = network.tables["recurrent"].weight * np.float32(0.5)
    save_trained(
        other, with_parts(network, recurrent=replace(network.tables["recurrent"], weight=weight))
    )
    shutil.copy(other.with_name("other.index"), trained.with_name(f"{trained.name}.index"))
    assert "recurrent_weight_values are damaged" in refused(trained)


@pytest.mark.parametrize(
    "name",
    [
        f"{CELL}/recurrent_weight_values", f"{CELL}/recurrent_indices", f"{CELL}/voltage_scale",
        f"{CELL}/decay", f"{CELL}/psc_initial", f"{CELL}/recurrent_weight_positive",
        f"{INPUT_LAYER}/_weights", f"{INPUT_LAYER}/_indices",
    ],
)  # fmt: skip
def test_missing_variable_is_named(tmp_path, network, name):
    prefix = altered(tmp_path, network, lambda variables: variables.pop(name))
    message = refused(prefix)
    assert "missing: " in message
    assert name.rsplit("/", 1)[-1] in message


def test_renamed_variable_is_named_with_the_closest(tmp_path, network):
    def rename(variables):
        variables[f"{CELL}/recurrent_wait_values"] = variables.pop(
            f"{CELL}/recurrent_weight_positive"
        )

    message = refused(altered(tmp_path, network, rename))
    assert "missing: recurrent_weight_positive (closest: " in message
    assert "recurrent_wait_values" in message


def test_untracked_layers_say_that_nothing_is_recognised(tmp_path, network):
    tensorflow()
    prefix = save(tmp_path / "wrapper", {"wrapper/step": np.int64(5)})
    message = refused(prefix)
    assert "none of this model's layers can be recognised" in message
    assert "wrapper/step" in message


def test_the_input_layer_was_not_tracked(tmp_path, network):
    def drop(variables):
        for name in [n for n in variables if n.startswith(INPUT_LAYER)]:
            del variables[name]

    message = refused(altered(tmp_path, network, drop))
    assert "missing: _indices (of the input layer); _weights (of the input layer)" in message
    assert "missing: input_weight_positive" not in message


def test_only_the_input_layer_was_tracked(tmp_path, network):
    def drop(variables):
        for name in [n for n in variables if n.startswith(CELL)]:
            del variables[name]

    message = refused(altered(tmp_path, network, drop))
    assert "recurrent_indices" in message
    assert "missing: " in message


@pytest.mark.parametrize(
    ("name", "cut", "expected"),
    [
        (f"{CELL}/recurrent_weight_values", lambda a: a[:-1], "recurrent_weight_values"),
        (f"{CELL}/decay", lambda a: a[:-1], "expected floats [60]"),
        (f"{CELL}/syn_decay", lambda a: a[:, :3], "expected floats [60, 4]"),
        (f"{CELL}/recurrent_indices", lambda a: a[:, 0], "expected [synapses, 2] integers"),
        (f"{INPUT_LAYER}/_bkg_weights", lambda a: a[:-4], "4 receptors of 60 neurons"),
        (f"{INPUT_LAYER}/_weights", lambda a: a[:-1], "_weights"),
    ],
)
def test_unexpected_shape_is_named(tmp_path, network, name, cut, expected):
    prefix = altered(tmp_path, network, lambda v: v.update({name: np.ascontiguousarray(cut(v[name]))}))  # fmt: skip  # noqa: E501
    message = refused(prefix)
    assert name in message
    assert expected in message


def test_no_step_and_no_zeros_is_undetermined(tmp_path):
    tensorflow()
    initial = tiny_network(seed=3)
    prefix = save_trained(tmp_path / "start", initial, iterations=0, moments={})
    message = refused(prefix)
    assert (
        "nothing shows that this checkpoint was trained: optimizer has not taken a step" in message
    )
    assert "saved before training" not in message
    assert "--allow-untrained" in message
    assert "--initial" in message
    provenance = converted(prefix, allow_untrained=True).provenance
    assert provenance.kind == "undetermined"
    assert provenance.arrays["recurrent.weight"].origin == "undetermined"
    report = guard.examine(open_network(tmp_path / "net.h5"), guard.Policy())
    assert (report.verdict, report.proof, report.passed) == ("undetermined", None, False)


@pytest.mark.parametrize("moments", [{}, {"recurrent_weight_values": 0.0, "/_weights": 0.0}])
def test_no_step_on_weights_with_the_zeros_of_training(tmp_path, network, moments):
    """A new optimizer on trained weights."""
    prefix = save_trained(tmp_path / "again", network, iterations=0, moments=moments)
    made = converted(prefix)
    assert made.provenance.kind == "trained"
    assert made.provenance.checkpoint["tables"]["recurrent"]["rests_on"] == "exact zeros"
    report = guard.examine(made, guard.Policy(strength="proof"))
    assert (report.verdict, report.proof, report.passed) == ("trained", "evidence", False)


def test_the_weights_before_training_decide_where_no_optimizer_does(tmp_path, network):
    initial = tiny_network(seed=3)
    sgd = {"iterations": 20, "moments": {}}
    first = save_trained(tmp_path / "ckpt-0", initial, **sgd)
    same = save_trained(tmp_path / "ckpt-1", initial, **sgd)
    message = refused(same)
    assert "does not tell of which weights" in message
    message = refused(same, initial=first)
    assert "the recurrent and input weights were not trained" in message
    assert "those of ckpt-0" in message
    moved = initial.tables["recurrent"].weight * np.linspace(
        1, 2, len(initial.tables["recurrent"])
    ).astype("f4")
    later = with_parts(initial, recurrent=replace(initial.tables["recurrent"], weight=moved))
    prefix = save_trained(tmp_path / "ckpt-2", later, **sgd)
    made = converted(prefix, initial=first)
    claimed = made.provenance.checkpoint["tables"]["recurrent"]
    assert (claimed["origin"], claimed["rests_on"]) == ("trained", "initial weights")
    report = guard.examine(made, guard.Policy(strength="proof"))
    assert (report.verdict, report.proof) == ("trained", "provenance")
    decayed = initial.tables["recurrent"].weight * np.float32(0.97)
    later = with_parts(initial, recurrent=replace(initial.tables["recurrent"], weight=decayed))
    prefix = save_trained(tmp_path / "ckpt-3", later, **sgd)
    assert "times 0.97, as by decay" in refused(prefix, initial=first)


def test_a_checkpoint_of_other_synapses_is_no_earlier_one(tmp_path, network):
    first = save_trained(tmp_path / "ckpt-0", tiny_network(seed=8))
    prefix = save_trained(tmp_path / "ckpt-1", network)
    assert "has other recurrent synapses" in refused(prefix, InputError, initial=first)


def test_optimizer_without_variables(shared_data, tmp_path):
    tensorflow()
    with pytest.raises(CheckpointError, match=r"has no variables, .* as before training"):
        convert(shared_data / "trained_a/untrained/ckpt_1000-0", tmp_path / "net.h5", command="")
    assert list(tmp_path.iterdir()) == []


def test_moments_all_zero(tmp_path):
    tensorflow()
    zero = {"recurrent_weight_values": 0.0, "/_weights": 0.0}
    message = refused(save_trained(tmp_path / "zero", tiny_network(seed=3), moments=zero))
    assert "the recurrent and input weights were not trained" in message
    assert "momentum and velocity are all 0 after 850 updates, so no gradient" in message


def test_input_with_zero_moments_is_refused(tmp_path, network):
    half = {"recurrent_weight_values": 1e-3, "/_weights": 0.0}
    prefix = save_trained(tmp_path / "half", network, moments=half)
    assert "the input weights were not trained: their momentum and velocity are" in refused(prefix)
    assert converted(prefix, allow_untrained=True).provenance.kind == "mixed"


def test_only_the_input_was_trained(tmp_path):
    tensorflow()
    initial = tiny_network(seed=3)
    prefix = save_trained(tmp_path / "input", initial, moments={"/_weights": 1e-3})
    message = refused(prefix)
    assert "the recurrent weights were not trained" in message
    assert "optimizer holds other weights" in message
    assert converted(prefix, allow_untrained=True).provenance.kind == "mixed"


@pytest.mark.parametrize("moments", [{}, {"recurrent_weight_values": 0.0}])
def test_the_zeros_of_an_earlier_training(tmp_path, network, moments):
    """The recurrent weights were trained before, and only the input now."""
    now = {"/_weights": 1e-3, **moments}
    prefix = save_trained(tmp_path / "tuned", network, moments=now)
    claimed = converted(prefix).provenance.checkpoint["tables"]["recurrent"]
    assert (claimed["origin"], claimed["rests_on"]) == ("trained", "exact zeros")


def test_no_optimizer_and_no_zeros(tmp_path, network):
    initial = tiny_network(seed=3)
    message = refused(save(tmp_path / "bare", model_variables(initial)))
    assert "nothing shows that this checkpoint was trained" in message
    assert "--data-dir" in message


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize(
    "name",
    [f"{CELL}/recurrent_weight_values", f"{INPUT_LAYER}/_weights", f"{INPUT_LAYER}/_bkg_weights",
     f"{CELL}/decay"],
)  # fmt: skip
def test_values_that_are_not_finite(tmp_path, network, name, value):
    def spoil(variables):
        variables[name] = variables[name].copy()
        variables[name][3] = value

    message = refused(altered(tmp_path, network, spoil))
    assert "not finite" in message
    assert name.rsplit("/", 1)[-1] in message


@pytest.mark.parametrize("name", [f"{CELL}/recurrent_weight_values", f"{INPUT_LAYER}/_weights"])
def test_sign_constraint_violated(tmp_path, network, name):
    def flip(variables):
        variables[name] = variables[name].copy()
        nonzero = np.flatnonzero(variables[name])[:2]
        variables[name][nonzero] *= -1

    message = refused(altered(tmp_path, network, flip))
    assert "2 of" in message
    assert "other sign than at the start of training" in message
    assert "Dale" in message


@pytest.mark.parametrize(
    ("name", "factor", "expected"),
    [
        ("current_factor", 1.01, "not (1 - decay) / param_g"),
        ("psc_initial", 1.01, "not the decay that psc_initial implies"),
        ("v_th", 30.0, "not 1 (normalised)"),
        ("voltage_scale", -1.0, "not above 0"),
        ("decay", 2.0, "not between 0 and 1"),
    ],
)
def test_contradicting_parameters(tmp_path, network, name, factor, expected):
    def scale(variables):
        values = variables[f"{CELL}/{name}"].copy()
        values[5] *= factor
        variables[f"{CELL}/{name}"] = values

    message = refused(altered(tmp_path, network, scale))
    assert name in message
    assert expected in message
    assert "neuron 5" in message or name == "psc_initial"


def test_another_time_step(tmp_path, network):
    def halve(variables):
        variables[f"{CELL}/syn_decay"] = np.sqrt(variables[f"{CELL}/syn_decay"])

    assert "time step of 0.5 ms" in refused(altered(tmp_path, network, halve))


@pytest.mark.parametrize(("column", "meaning"), [(0, "target * 4 + receptor"), (1, "source + N")])
def test_indices_of_another_network(tmp_path, network, column, meaning):
    def shift(variables):
        values = variables[f"{CELL}/recurrent_indices"].copy()
        values[:, column] += 60 * 60
        variables[f"{CELL}/recurrent_indices"] = values

    assert meaning in refused(altered(tmp_path, network, shift))


def test_output_folder_missing(trained):
    with pytest.raises(OutputError, match="there is no folder"):
        convert(trained, trained.parent / "nowhere" / "net.h5", command="")


def test_readout_that_does_not_fit(trained):
    file = trained.parent / "groups.json"
    file.write_text("[[1, 2], [3, 60]]")
    assert "names cells from 1 to 60" in refused(trained, InputError, readout=file)


def test_without_tensorflow_it_names_the_extra(trained, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    assert "pip install 'v1sim[convert]'" in refused(trained, MissingExtraError)

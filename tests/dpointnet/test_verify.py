"""`v1sim verify-dynamics --config`: NEST against what DPointNet wrote, spike by spike."""

from __future__ import annotations

import json
import shutil

import h5py
import numpy as np
import pytest

from v1sim import verification
from v1sim.conversion.dpointnet import convert
from v1sim.errors import InputError
from v1sim.sources.dpointnet import read_document
from v1sim.sources.dpointnet.config import dpointnet_config
from v1sim.sources.dpointnet.recorded import (
    inference_steps,
    read_inputs,
    read_spikes,
    read_voltages,
)

IDS = np.arange(9)
POPULATIONS = {"lgn": np.arange(5), "bkg": np.arange(2)}


@pytest.fixture(scope="module")
def net(sample, tmp_path_factory):
    """The sample's trained network."""
    out = tmp_path_factory.mktemp("verified") / "net.h5"
    convert(sample / "training" / "trained_weights", sample / "config.json", out, command="tests")
    return out


def verified(net, folder, truth="spikes_trained.h5", **options):
    return verification.verify_dpointnet(
        net, folder / "config.json", folder / truth, progress=lambda *_: None, **options
    )


@pytest.mark.parametrize("threads", [1, 2])
def test_every_spike_of_the_sample_is_tensorflows(net, sample, threads):
    result = verified(net, sample, voltages=sample / "voltages_trained.h5", threads=threads)
    assert result.proven
    (group,) = result.groups
    by_name = {a.name: a for a in group.agreements}
    assert list(by_name)[:3] == ["training", "training_float32", "training_single"]
    for agreement in by_name.values():
        assert agreement.all_equal, agreement.name
        assert agreement.spikes[0].n_truth == 226
        (voltages,) = agreement.voltages
        assert voltages.n == 200 * 9
        assert voltages.largest < 2e-4  # mV: weights in pA lost their last bits


def test_the_untrained_network_too(sample, tmp_path):
    out = tmp_path / "net.h5"
    convert(
        *(sample / "untrained_export", sample / "config.json", out),
        command="tests",
        allow_untrained=True,
    )
    result = verified(out, sample, "spikes_untrained.h5")
    assert result.proven
    assert result.groups[0].agreements[0].spikes[0].n_equal == 304


def test_the_command_counts_and_ends_with_0_or_1(net, sample, run, tmp_path):
    truth = ("--config", sample / "config.json", "--truth", sample / "spikes_trained.h5")
    code, out, err = run("verify-dynamics", net, *truth, "--json", tmp_path / "a.json")
    assert code == 0, err
    assert "226 spikes compared, different: 0 in training, 0 in training_float32" in out
    assert json.loads((tmp_path / "a.json").read_text())["proven"] is True
    other = (*truth[:3], sample / "spikes_untrained.h5")
    code, out, err = run("verify-dynamics", net, *other)
    assert code == 1
    assert "304 spikes compared, different: 308 in training" in out
    assert "every spike equal" in err


def test_one_spike_that_differs_is_found(net, sample, copied):
    with h5py.File(copied / "spikes_trained.h5", "r+") as file:
        file["spikes/v1/timestamps"][100] += 1.0
    result = verified(net, copied)
    assert not result.proven
    assert result.groups[0].agreements[0].n_different == 2


def test_recorded_input_takes_the_place_of_the_configurations(net, sample, copied):
    config = json.loads((copied / "config.json").read_text())
    config["inputs"]["bkg"] = {"input": "spikes", "module": "poisson_spikes", "node_set": "bkg"}
    (copied / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"what bkg sends is drawn \(poisson_spikes\)"):
        verified(net, copied)
    assert verified(net, copied, replayed=[sample / "bkg_spikes.h5"]).proven
    assert not verified(
        net, copied, replayed=[sample / "bkg_spikes.h5"] * 2
    ).proven  # twice as many


def settings(folder):
    path = folder / "config.json"
    return dpointnet_config(read_document(path), path)


def test_spikes_of_files_act_as_in_dpointnet(copied):
    """In step floor(t), several of a cell in one step once; recorded ones as often as they are."""
    with h5py.File(copied / "lgn_spikes.h5", "w") as file:
        file["spikes/other/node_ids"] = [0, 0, 1, 4]  # the only population, whatever its name
        file["spikes/other/timestamps"] = [9.0, 9.999999, 0.0, 199.5]
    counts = read_inputs(settings(copied), POPULATIONS, 200)
    step, cell = np.nonzero(counts["lgn"])
    assert list(zip(step.tolist(), cell.tolist(), strict=True)) == [(0, 1), (9, 0), (199, 4)]
    assert counts["lgn"].max() == 1
    assert counts["bkg"].sum() == 40
    with h5py.File(copied / "recorded.h5", "w") as file:
        file["spikes/lgn/node_ids"] = [0, 0, 1]
        file["spikes/lgn/timestamps"] = [9.0, 9.0, 0.0]
    counts = read_inputs(settings(copied), POPULATIONS, 200, [copied / "recorded.h5"])
    assert counts["lgn"][9, 0] == 2


@pytest.mark.parametrize(
    ("times", "nodes", "message"),
    [
        ([200.0], [0], "from step 200 to 200"),
        ([-1.0], [0], "from step -1 to -1"),
        ([3.0], [5], "not in the network, for example 5"),
    ],
)
def test_input_that_dpointnet_would_not_take_is_refused(copied, times, nodes, message):
    with h5py.File(copied / "lgn_spikes.h5", "w") as file:
        file["spikes/lgn/node_ids"], file["spikes/lgn/timestamps"] = nodes, times
    with pytest.raises(InputError, match=message):
        read_inputs(settings(copied), POPULATIONS, 200)


def test_of_several_files_none_is_taken(copied):
    shutil.copy(copied / "lgn_spikes.h5", copied / "lgn_spikes_2.h5")
    config = json.loads((copied / "config.json").read_text())
    config["inputs"]["lgn"]["spikes_paths"] = "lgn_*.h5"
    (copied / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"2 files for lgn[\s\S]*one at random"):
        read_inputs(settings(copied), POPULATIONS, 200)


def test_trials_of_a_batch(tmp_path):
    path = tmp_path / "spikes.h5"
    with h5py.File(path, "w") as file:
        file["spikes/v1/node_ids"] = [12, 10, 12]
        file["spikes/v1/timestamps"] = [0.0, 1.0, 2.5]
        file["spikes/v1/batch_num"] = [1, 0, 1]
    spike = read_spikes(path, "v1", np.array([10, 11, 12]), 6, 0.5)
    assert np.argwhere(spike).tolist() == [[0, 2, 0], [1, 0, 2], [1, 5, 2]]
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["report/v1/data/batch_0"] = np.zeros((6, 2), np.float32)
        file["report/v1/data/batch_1"] = np.ones((6, 2), np.float32)
        file["report/v1/mapping/node_id"] = [12, 10]
    held = read_voltages(tmp_path / "v.h5", "v1", np.array([10, 11, 12]), 2, 6)
    assert held.neuron.tolist() == [2, 0]
    assert held.v.shape == (2, 6, 2)
    assert held.v[1].all() and not held.v[0].any()


@pytest.mark.parametrize(
    ("dataset", "values", "message"),
    [
        ("timestamps", [0.0, 1.25], "between steps of 1 ms"),
        ("timestamps", [0.0, 6.0], "from step 0 to 6"),
        ("node_ids", [10, 9], "1 of 2 are of nodes that are not in the network"),
    ],
)
def test_spikes_that_are_none_of_this_inference_are_refused(tmp_path, dataset, values, message):
    path = tmp_path / "spikes.h5"
    held = {"node_ids": [10, 11], "timestamps": [0.0, 1.0], dataset: values}
    with h5py.File(path, "w") as file:
        for name, column in held.items():
            file[f"spikes/v1/{name}"] = column
    with pytest.raises(InputError, match=message):
        read_spikes(path, "v1", np.array([10, 11, 12]), 6, 1.0)
    with pytest.raises(InputError, match="has no spikes of v2"):
        read_spikes(path, "v2", np.array([10, 11, 12]), 6, 1.0)


@pytest.mark.parametrize(
    ("document", "n_steps"),
    [
        ({"run": {"seq_len": 5}}, 5),
        ({"run": {"seq_len": 5}, "training": {"seq_len": 4}}, 4),
        ({"run": {"seq_len": 5}, "training": {"seq_len": 4}, "inference": [{"seq_len": 3}]}, 3),
    ],
)
def test_how_long_an_inference_is(document, n_steps):
    assert inference_steps(document, "config.json") == n_steps


@pytest.mark.parametrize("document", [{}, {"run": {"seq_len": "long"}}])
def test_an_inference_of_unknown_length_is_refused(document):
    with pytest.raises(InputError, match="steps"):
        inference_steps(document, "config.json")


def test_a_network_of_another_trainer_is_refused(sample, tmp_path):
    from tests.networks import write_tiny

    write_tiny(tmp_path / "net.h5")
    with pytest.raises(InputError, match="does not say that DPointNet trained it"):
        verified(tmp_path / "net.h5", sample)


def test_another_start_state_is_refused(net, copied):
    config = json.loads((copied / "config.json").read_text())
    config["inference"]["initial_state"] = {"module": "random_state"}
    (copied / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="starts from random_state"):
        verified(net, copied)


def test_without_a_truth_it_is_the_numpy_reference(net, run):
    """Input of every source population is drawn then."""
    code, out, err = run("verify-dynamics", net)
    assert code == 0, err
    assert "PROVEN" in out

from __future__ import annotations

from dataclasses import replace

import h5py
import numpy as np
import pytest

from tests.networks import tiny_network, with_parts
from v1sim.errors import OutputError, StimulusError
from v1sim.stimulus.drawn import FixedProbabilities
from v1sim.stimulus.kinds.probabilities import Probabilities
from v1sim.stimulus.random_streams import stream
from v1sim.stimulus.stimulus_file import open_stimulus_file, write_stimulus_file
from v1sim.stimulus.trials import Schedule, repeated_trials

N_SAMPLES, N_STEPS, N_INPUT = 3, 20, 8


@pytest.fixture
def good():
    values = np.random.default_rng(1).uniform(0, 0.1, (N_SAMPLES, N_STEPS, N_INPUT))
    return {
        "spike_trains": values.astype(np.float32),
        "labels": np.array([4, 0, 9], dtype=np.int32),
        "response_window": np.array([10, 15], dtype=np.int32),
        "time_windows": np.array([[0, 10], [10, 20]], dtype=np.int32),
    }


def shown_from(path, n_lgn=N_INPUT, **keys):
    network = with_parts(tiny_network(), n_lgn=n_lgn)
    return Probabilities(kind="probabilities", file=path, **keys).made_for(network)


def write(path, datasets):
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file[name] = values
    return path


def test_values_are_probabilities_times_1_3(tmp_path, good):
    path = write(tmp_path / "s.h5", good)
    shown = shown_from(path, samples=[2, 0], trials=2)
    assert [t.stimulus["sample"] for t in shown.trials] == [2, 2, 0, 0]
    assert [t.stimulus["label"] for t in shown.trials] == [9, 9, 4, 4]
    assert [t.start_ms for t in shown.trials] == [0, 20, 40, 60]
    assert shown.trials[0].window_ms == (10, 15)
    assert shown.strength(0).dtype == np.float32
    np.testing.assert_allclose(shown.strength(1), good["spike_trains"][2] / 1.3, rtol=1e-6)
    np.testing.assert_allclose(shown.strength(2), good["spike_trains"][0] / 1.3, rtol=1e-6)


def test_describes_the_file(tmp_path, good):
    file = open_stimulus_file(write(tmp_path / "s.h5", good), N_INPUT)
    assert (file.n_samples, file.n_steps, file.n_input) == (N_SAMPLES, N_STEPS, N_INPUT)
    assert file.label.tolist() == [4, 0, 9]


def test_the_small_datasets_may_be_absent(tmp_path, good):
    path = write(tmp_path / "s.h5", {"spike_trains": good["spike_trains"]})
    shown = shown_from(path)
    assert len(shown.trials) == N_SAMPLES
    assert "label" not in shown.trials[0].stimulus
    assert shown.trials[0].window_ms == (0, N_STEPS)


def test_window_given_by_the_user_wins(tmp_path, good):
    path = write(tmp_path / "s.h5", good)
    assert shown_from(path, response_window_ms=(0.0, 5.0)).trials[0].window_ms == (0, 5)


def test_values_above_1_3_are_cut_off_and_noted(tmp_path, good):
    good["spike_trains"][0, 0, 0] = 2.6
    shown = shown_from(write(tmp_path / "s.h5", good))
    assert shown.remarks() == ()
    assert shown.strength(0)[0, 0] == 1
    said, cut = shown.remarks()
    assert "divided by 1.3" in said
    assert "the largest value is 2.6" in said
    assert cut.startswith(f"1 of {N_STEPS * N_INPUT:,} values of s.h5 are above 1.3")


def test_what_remarks_say_is_of_all_that_was_read(tmp_path, good):
    shown = shown_from(write(tmp_path / "s.h5", good), divide_by=1.0)
    mean_hz = 1000 * np.mean([shown.strength(i).mean(dtype=float) for i in range(N_SAMPLES)])
    (said,) = shown.remarks()
    assert f"divided by 1, {mean_hz:.1f} Hz on average" in said
    assert "training code hold 1.3 times" in said


def test_another_division(tmp_path, good):
    path = write(tmp_path / "s.h5", good)
    plain, divided = (shown_from(path, divide_by=d) for d in (1.0, 1.3))
    np.testing.assert_allclose(plain.strength(1), 1.3 * divided.strength(1), rtol=1e-6)


def test_plain_probabilities_are_noticed_where_they_stop_at_1(tmp_path, good):
    good["spike_trains"][0, :3, 0] = 1
    path = write(tmp_path / "s.h5", good)
    shown, plain = (shown_from(path, divide_by=d) for d in (1.3, 1.0))
    for file in (shown, plain):
        file.strength(0)
    _, noticed = shown.remarks()
    assert noticed.startswith("3 values of s.h5 are exactly 1 and none is above")
    assert "divide_by" in noticed
    assert len(plain.remarks()) == 1
    good["spike_trains"][0, 4, 0] = 1.1
    shown = shown_from(write(tmp_path / "s.h5", good))
    shown.strength(0)
    assert len(shown.remarks()) == 1


@pytest.mark.parametrize("divide_by", [1.0, 1.3])
def test_analog_input_is_the_quotient_itself(tmp_path, good, divide_by):
    good["spike_trains"][0, 0, :2] = 1.3, 1.2  # below a certain spike's stored value, above 1
    path = write(tmp_path / "s.h5", good)
    shown = shown_from(path, divide_by=divide_by, input="analog")
    assert shown.analog
    assert not shown_from(path, divide_by=divide_by).analog
    values = np.stack([shown.strength(i) for i in range(N_SAMPLES)])
    np.testing.assert_array_equal(values, good["spike_trains"] / np.float32(divide_by))
    (said,) = shown.remarks()
    assert f"divided by {divide_by:g} enter the synapses as numbers" in said
    assert f"{values.mean():.3g} on average" in said
    assert "the largest value of the file is 1.3" in said


def test_analog_values_above_a_certain_spikes_are_cut_off_and_noted(tmp_path, good):
    good["spike_trains"][0, 0, 0] = 2.6
    shown = shown_from(write(tmp_path / "s.h5", good), divide_by=1.0, input="analog")
    assert shown.strength(0)[0, 0] == np.float32(1.3)
    _, cut = shown.remarks()
    assert cut.startswith(f"1 of {N_STEPS * N_INPUT:,} values of s.h5 are above 1.3")


def test_rates_are_no_analog_input(tmp_path, good):
    good["spike_trains"] = good["spike_trains"] * np.float32(1000)
    shown = shown_from(write(tmp_path / "s.h5", good), divide_by=1.0, input="analog")
    with pytest.raises(StimulusError, match="rates or counts"):
        shown.strength(0)


@pytest.mark.parametrize("factor", [60.0, 1000.0])
def test_rates_are_refused(tmp_path, good, factor):
    good["spike_trains"] = good["spike_trains"] * np.float32(factor)
    shown = shown_from(write(tmp_path / "s.h5", good))
    with pytest.raises(StimulusError, match=r"rates or counts[\s\S]*stimulus.divide_by"):
        shown.strength(0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("spike_trains"), "no dataset 'spike_trains'"),
        (lambda d: d.update(spike_trains=d["spike_trains"][0]), r"shape \(20, 8\)"),
        (lambda d: d.update(spike_trains=d["spike_trains"][:0]), r"shape \(0, 20, 8\)"),
        (lambda d: d.update(spike_trains=d["spike_trains"][:, :, :7]), "7 LGN cells"),
        (lambda d: d.update(spike_trains=d["spike_trains"].swapaxes(1, 2)), "look swapped"),
        (lambda d: d.update(spike_trains=d["spike_trains"].T.copy()), r"look reversed(?s:.*)Julia"),
        (lambda d: d.update(labels=np.array([0, np.nan, 1])), "no whole numbers"),
        (lambda d: d.update(labels=np.zeros(2)), "labels"),
        (lambda d: d.update(labels=np.array([b"a"] * 3)), "labels"),
        (lambda d: d.update(response_window=np.array([15, 10])), "window from 15 to 10"),
        (lambda d: d.update(response_window=np.array([10, 21])), "within the 20 ms"),
    ],
)
def test_refuses_files(tmp_path, good, change, message):
    change(good)
    with pytest.raises(StimulusError, match=message):
        shown_from(write(tmp_path / "s.h5", good))


@pytest.mark.parametrize(
    ("value", "message"),
    [(np.nan, "not finite"), (np.inf, "not finite"), (-0.1, "negative")],
)
def test_refuses_broken_values(tmp_path, good, value, message):
    good["spike_trains"][1, 3, 3] = value
    shown = shown_from(write(tmp_path / "s.h5", good))
    shown.strength(0)
    with pytest.raises(StimulusError, match=message):
        shown.strength(1)


@pytest.mark.parametrize("dtype", ["f4", "u1", "?", "i8", "f2"])
@pytest.mark.parametrize("divide_by", [1.0, 1.3])
def test_zeros_and_ones_are_spikes_that_are_given_as_they_are(tmp_path, good, dtype, divide_by):
    spike = (good["spike_trains"] > 0.09).astype(dtype)
    shown = shown_from(
        write(tmp_path / "s.h5", good | {"spike_trains": spike}), divide_by=divide_by
    )
    for sample in range(N_SAMPLES):
        for seed in (1, 2):
            given = shown.input(sample, seed)
            step, source = np.nonzero(spike[sample])
            np.testing.assert_array_equal(given.step, step)
            np.testing.assert_array_equal(given.source, source)
    (said,) = shown.remarks()
    assert said.startswith("Samples of s.h5 hold nothing but zeros and ones (3 that were read)")


def test_zeros_and_ones_are_no_analog_input(tmp_path, good):
    good["spike_trains"] = (good["spike_trains"] > 0.09).astype(np.float32)
    shown = shown_from(write(tmp_path / "s.h5", good), input="analog")
    with pytest.raises(StimulusError, match=r"these are spikes(?s:.*)stimulus.input=spikes"):
        shown.strength(0)


def test_a_window_in_seconds_is_named_and_the_way_out_works(tmp_path, good):
    path = write(tmp_path / "s.h5", good | {"response_window": np.array([0.01, 0.015])})
    with pytest.raises(StimulusError, match=r"look like seconds(?s:.*)\[10, 15\]"):
        shown_from(path)
    assert shown_from(path, response_window_ms=(10.0, 15.0)).trials[0].window_ms == (10, 15)


@pytest.mark.parametrize("window", [[10.5, 15.0], [0.5, 12.0]])
def test_a_window_off_the_steps_is_refused_as_in_yaml(tmp_path, good, window):
    path = write(tmp_path / "s.h5", good | {"response_window": np.array(window)})
    with pytest.raises(StimulusError, match="whole ms"):
        shown_from(path)


def test_whole_seconds_are_no_window_of_a_millisecond(tmp_path):
    values = np.full((1, 2000, N_INPUT), 0.01, dtype=np.float32)
    window = np.array([1, 2], dtype=np.int32)
    path = write(tmp_path / "s.h5", {"spike_trains": values, "response_window": window})
    with pytest.raises(StimulusError, match=r"look like seconds(?s:.*)\[1000, 2000\]"):
        shown_from(path)
    assert shown_from(path, response_window_ms=(1.0, 2.0)).trials[0].window_ms == (1, 2)


def test_the_window_in_seconds_of_the_examples(shared_data):
    path = shared_data / "cases" / "files" / "win_in_s.h5"
    if not path.exists():
        pytest.skip("no examples")
    with pytest.raises(StimulusError, match="look like seconds"):
        shown_from(path, 600)


def test_vectors_and_labels_of_matlab(tmp_path, good):
    of_matlab = {
        "labels": np.array([[1.0], [2.0], [10.0]]),
        "response_window": np.array([[10.0, 15.0]]),
    }
    shown = shown_from(write(tmp_path / "s.h5", good | of_matlab), first_label=1)
    assert [t.stimulus["label"] for t in shown.trials] == [0, 1, 9]
    assert shown.trials[0].window_ms == (10, 15)


def test_refuses_paths(tmp_path, good):
    text = tmp_path / "text.h5"
    text.write_text("no HDF5")
    whole = write(tmp_path / "s.h5", good).read_bytes()
    (tmp_path / "cut.h5").write_bytes(whole[: len(whole) // 2])
    for path in (tmp_path / "absent.h5", tmp_path, text, tmp_path / "cut.h5"):
        with pytest.raises(StimulusError, match=str(path)):
            open_stimulus_file(path, N_INPUT)


@pytest.mark.parametrize(
    "wrong", [{"samples": [3]}, {"samples": [2, 7]}, {"response_window_ms": (10.0, 30.0)}]
)
def test_refuses_selections(tmp_path, good, wrong):
    with pytest.raises(StimulusError, match=r"s\.h5"):
        shown_from(write(tmp_path / "s.h5", good), **wrong)


def test_reference_file(shared_data):
    shown = shown_from(shared_data / "trained_a" / "stimuli_A.h5", 600, samples=[5])
    probability = shown.strength(0)
    assert probability.shape == (200, 600)
    assert 0 < probability.mean() < 0.05
    assert shown.trials[0].window_ms == (150, 200)


def test_a_stimulus_of_another_shape_than_its_trial_is_refused(tmp_path, good):
    shown = shown_from(write(tmp_path / "s.h5", good))
    broken = FixedProbabilities(N_INPUT, shown.schedule, [np.zeros((5, N_INPUT))] * 3)
    with pytest.raises(StimulusError, match=r"shape \(5, 8\)"):
        broken.strength(0)
    with pytest.raises(ValueError, match="3 trials, but 1 stimuli"):
        Schedule(shown.trials, (0,))


def stimulus_of(probabilities, stimuli, repeats=1, window_ms=(5.0, 15.0)):
    n_steps = probabilities.shape[1]
    schedule = repeated_trials(
        stimuli, repeats=repeats, duration_ms=n_steps, window_ms=window_ms, where="test"
    )
    return FixedProbabilities(N_INPUT, schedule, probabilities)


def test_what_is_written_draws_the_same_spikes(tmp_path):
    rng = np.random.default_rng(2)
    probability = rng.uniform(0, 0.25, (3, 4000, N_INPUT)).astype(np.float32)
    probability[0, :50] = 0
    probability[1, :50] = 1
    # Probabilities that uniform numbers meet exactly, and their neighbours.
    uniform = stream(9, "lgn spikes", 4).random((4000, N_INPUT), dtype=np.float32)
    near = uniform < 0.25
    probability[2][near] = uniform[near]
    probability[2, ::2][near[::2]] = np.nextafter(uniform[::2][near[::2]], np.float32(1))
    stimuli = [{"direction_deg": 45.0 * i, "name": f"n{i}"} for i in range(3)]
    shown = stimulus_of(probability, stimuli, repeats=2)
    path = tmp_path / "s.h5"
    assert write_stimulus_file(shown, path) == 3
    again = shown_from(path, trials=2)
    assert len(again.trials) == 6
    for trial in range(6):
        ours, theirs = (p.input(trial, 9) for p in (shown, again))
        np.testing.assert_array_equal(ours.step, theirs.step)
        np.testing.assert_array_equal(ours.source, theirs.source)
        assert again.trials[trial].window_ms == (5.0, 15.0)
        of_ours = dict(shown.trials[trial].stimulus)
        assert again.trials[trial].stimulus == of_ours | {"sample": trial // 2}
    assert [p.name for p in tmp_path.iterdir()] == ["s.h5"]


def test_written_file_has_the_layout_in_use(tmp_path, shared_data):
    probability = np.full((2, 30, N_INPUT), 0.02, dtype=np.float32)
    labelled = stimulus_of(probability, [{"label": 3}, {"label": 8}])
    write_stimulus_file(labelled, tmp_path / "s.h5")
    reference = shared_data / "trained_a" / "stimuli_A.h5"
    with h5py.File(tmp_path / "s.h5") as ours, h5py.File(reference) as theirs:
        for name in ("spike_trains", "labels", "response_window", "time_windows"):
            assert ours[name].dtype == theirs[name].dtype, name
            assert ours[name].ndim == theirs[name].ndim, name
        shared = {"n_samples", "n_lgn", "seq_len", "pre_delay", "im_slice", "post_delay"}
        assert shared <= set(theirs.attrs)
        assert {name: int(ours.attrs[name]) for name in shared} == {
            "n_samples": 2, "n_lgn": N_INPUT, "seq_len": 30,
            "pre_delay": 5, "im_slice": 10, "post_delay": 15,
        }  # fmt: skip
        np.testing.assert_allclose(ours["spike_trains"][()], 0.026, rtol=1e-5)
        assert ours["labels"][()].tolist() == [3, 8]
        assert ours["response_window"][()].tolist() == [5, 15]
        assert ours["time_windows"][()].tolist() == [[0, 5], [5, 15], [15, 30]]


def test_a_file_that_cannot_be_written_whole_is_not_there(tmp_path):
    probability = np.full((2, 30, N_INPUT), 0.02, dtype=np.float32)
    shown = stimulus_of(probability, [{}, {}])

    class Broken(FixedProbabilities):
        def load(self, stimulus):
            if stimulus:
                raise StimulusError("broken")
            return super().load(stimulus)

    broken = Broken(N_INPUT, shown.schedule, probability)

    path = tmp_path / "s.h5"
    path.write_text("before")
    with pytest.raises(StimulusError, match="broken"):
        write_stimulus_file(broken, path)
    assert [p.name for p in tmp_path.iterdir()] == ["s.h5"]
    assert path.read_text() == "before"
    with pytest.raises(OutputError, match="absent"):
        write_stimulus_file(shown, tmp_path / "absent" / "s.h5")


def test_trials_that_differ_in_length_cannot_be_written(tmp_path):
    values = np.full((2, 30, N_INPUT), 0.02)
    shown = stimulus_of(values, [{}, {}])
    longer = replace(shown.trials[1], duration_ms=40.0)
    schedule = Schedule((shown.trials[0], longer), (0, 1))
    with pytest.raises(StimulusError, match="2 different lengths"):
        write_stimulus_file(FixedProbabilities(N_INPUT, schedule, values), tmp_path / "s.h5")


@pytest.mark.parametrize("stimuli", [["{}"], ["{", "{}", "{}"], ["[]"] * 3, ['{"a": [1]}'] * 3])
def test_refuses_what_does_not_say_what_is_shown(tmp_path, good, stimuli):
    with pytest.raises(StimulusError, match="stimuli"):
        open_stimulus_file(write(tmp_path / "s.h5", good | {"stimuli": stimuli}), N_INPUT)

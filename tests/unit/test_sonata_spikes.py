"""LGN spikes of a SONATA file, as they are."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import h5py
import numpy as np
import pytest

from tests.networks import admitted, tiny_network, with_parts
from v1sim.errors import StimulusError
from v1sim.simulation.plan import make_plan
from v1sim.simulation.run import run_trials
from v1sim.stimulus.kinds.sonata_spikes import SonataSpikes
from v1sim.stimulus.spike_files import read_spike_file
from v1sim.stimulus.stimulus_file import write_stimulus_file

N_LGN = 7
NETWORK = with_parts(tiny_network(), n_lgn=N_LGN, lgn_cells=None)


def write_spikes(path, node, time_ms, population="lgn", units="milliseconds"):
    with h5py.File(path, "w") as file:
        group = file.create_group(f"spikes/{population}")
        group["node_ids"] = np.asarray(node)
        group["timestamps"] = np.asarray(time_ms, dtype=float)
        group["timestamps"].attrs["units"] = units
    return path


def spikes(path, network=NETWORK, **keys):
    keys = {"duration_ms": 20.0, "trials": 2} | keys
    return SonataSpikes(kind="sonata_spikes", file=path, **keys).made_for(network)


def events(given):
    return list(zip(given.step.tolist(), given.source.tolist(), strict=True))


def test_spikes_are_given_as_they_are_whatever_the_seed(tmp_path):
    path = write_spikes(tmp_path / "s.h5", [6, 0, 3, 3, 2], [0.0, 5.7, 19.999, 20.0, 45.0])
    shown = spikes(path)
    for seed in (1, 2):
        assert events(shown.input(0, seed)) == [(0, 6), (5, 0), (19, 3)]
        assert events(shown.input(1, seed)) == [(0, 3)]
    assert [t.stimulus["piece"] for t in shown.trials] == [0, 1]
    late = spikes(path, start_ms=40.0, trials=1)
    assert events(late.input(0, 1)) == [(5, 2)]


def test_times_that_seconds_rounded_stay_in_their_step(tmp_path):
    path = write_spikes(tmp_path / "s.h5", [1, 1], [2.9999999999, 0.007 * 1000])
    assert events(spikes(path).input(0, 1)) == [(3, 1), (7, 1)]


def test_several_spikes_of_a_cell_in_one_step_are_several(tmp_path, caplog):
    path = write_spikes(tmp_path / "s.h5", [2, 1, 1, 2, 0], [3.7, 3.2, 3.7, 20.7, 3.7])
    shown = spikes(path)
    assert events(shown.input(0, 1)) == [(3, 0), (3, 1), (3, 1), (3, 2)]
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        write_stimulus_file(shown, tmp_path / "p.h5")
    assert "1 of 4 spikes of trial 0 share a 1 ms step" in caplog.text


@pytest.mark.parametrize("dynamics", ["glif_psc", "training", "training_float32"])
def test_several_spikes_in_one_step_act_as_often(tmp_path, dynamics):
    """Their effect is linear below threshold: two spikes move the membrane twice as far as one."""
    checked = admitted(tiny_network())
    network = checked.network
    cell = int(np.bincount(network.tables["lgn"].pre).argmax())

    def voltage(times_ms):
        path = tmp_path / f"{len(times_ms)}.h5"
        # A spike of another cell keeps the input from being empty.
        write_spikes(path, [cell] * len(times_ms) + [0], [*times_ms, 25.0])
        output = run_trials(
            make_plan(checked, background="none", seed=1, dynamics=dynamics),
            spikes(path, network, trials=1, duration_ms=30.0),
            threads=2,
            between_trials="rebuild",
            voltage_of=np.unique(
                network.tables["lgn"].post[network.tables["lgn"].pre == cell]
            ).astype(np.int32),
            progress=lambda *_: None,
        )
        assert len(output.lgn_spikes) == len(times_ms) + 1
        return output.voltage.v_mv[0, :20].astype(float)

    none, one, two = (voltage(times_ms) for times_ms in ([], [4.0], [4.2, 4.6]))
    assert np.abs(one - none).max() > 0.1
    np.testing.assert_allclose(two - none, 2 * (one - none), atol=2e-4)


@pytest.mark.parametrize(
    ("file", "keys", "message"),
    [
        ({"node": [7], "time_ms": [1]}, {}, "node ids from 7 to 7"),
        ({"node": [-1], "time_ms": [1]}, {}, "node ids from -1"),
        ({"node": [1], "time_ms": [np.nan]}, {}, "not finite"),
        ({"node": [1], "time_ms": [1, 2]}, {}, "one id a timestamp"),
        ({"node": [1.5], "time_ms": [1]}, {}, "one id a timestamp"),
        ({"node": [1], "time_ms": [1], "units": "steps"}, {}, r"'steps'(?s:.*)stimulus.unit"),
        ({"node": [1], "time_ms": [99]}, {}, "no spikes among 2 pieces of 20 ms"),
        ({"node": np.array([], dtype=int), "time_ms": []}, {}, "no times"),
        ({"node": [1], "time_ms": [1]}, {"population": "v1"}, "no population 'v1'"),
        ({"node": [1], "time_ms": [1]}, {"window_ms": (0.0, 30.0)}, "window"),
    ],
)
def test_other_spike_files_are_refused(tmp_path, file, keys, message):
    path = write_spikes(tmp_path / "s.h5", **file)
    with pytest.raises(StimulusError, match=message):
        spikes(path, **keys)


def test_of_several_populations_one_must_be_named(tmp_path):
    path = write_spikes(tmp_path / "s.h5", [1], [1])
    with h5py.File(path, "a") as file:
        file.copy("spikes/lgn", "spikes/v1")
    with pytest.raises(StimulusError, match=r"2 populations(?s:.*)one of lgn, v1"):
        spikes(path)
    assert events(spikes(path, population="v1").input(0, 1)) == [(1, 1)]


def test_what_is_no_spike_file_is_refused(tmp_path):
    (tmp_path / "text.h5").write_text("no HDF5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["spikes"] = [1]
    with h5py.File(tmp_path / "half.h5", "w") as file:
        file["spikes/lgn/node_ids"] = [1]
    for name in ("absent.h5", "text.h5", "other.h5", "half.h5"):
        with pytest.raises(StimulusError, match=name):
            spikes(tmp_path / name)


def without_unit(path):
    with h5py.File(path, "a") as file:
        del file["spikes/lgn/timestamps"].attrs["units"]
    return path


def poisson(rate_hz, duration_ms, n_cells=N_LGN, seed=0):
    rng = np.random.default_rng(seed)
    n = rng.poisson(rate_hz * duration_ms / 1000 * n_cells)
    return rng.integers(0, n_cells, n), np.sort(rng.uniform(0, duration_ms, n))


@pytest.mark.parametrize("unit", ["s", "seconds", "Second"])
def test_labelled_seconds_are_converted(tmp_path, unit):
    node, time_ms = poisson(20.0, 2000.0)
    in_ms = spikes(write_spikes(tmp_path / "ms.h5", node, time_ms), duration_ms=1000.0)
    in_s = spikes(
        write_spikes(tmp_path / "s.h5", node, time_ms / 1000, units=unit), duration_ms=1000.0
    )
    for trial in range(2):
        assert events(in_s.input(trial, 1)) == events(in_ms.input(trial, 1))


@pytest.mark.parametrize("rate_hz", [1.0, 5.0, 20.0, 80.0])
def test_seconds_without_a_label_are_refused_and_can_be_named(tmp_path, rate_hz):
    node, time_ms = poisson(rate_hz, 20_000.0)
    path = without_unit(write_spikes(tmp_path / "s.h5", node, time_ms / 1000))
    with pytest.raises(StimulusError, match=r"are these seconds\?(?s:.*)stimulus.unit=seconds"):
        spikes(path, duration_ms=10_000.0)
    shown = spikes(path, duration_ms=10_000.0, unit="seconds")
    expected = spikes(write_spikes(tmp_path / "ms.h5", node, time_ms), duration_ms=10_000.0)
    for trial in range(2):
        assert events(shown.input(trial, 1)) == events(expected.input(trial, 1))
    assert spikes(path, duration_ms=10_000.0, unit="milliseconds").input(0, 1)


def test_seconds_that_are_labelled_ms_are_refused_where_they_fall_together(tmp_path):
    node, time_ms = poisson(20.0, 20_000.0)
    path = write_spikes(tmp_path / "s.h5", node, time_ms / 1000)
    with pytest.raises(StimulusError, match="fall into the same ms as another of their cell"):
        spikes(path, duration_ms=10_000.0)


@pytest.mark.parametrize("rate_hz", [1.0, 20.0, 150.0])
@pytest.mark.parametrize("labelled", [True, False])
def test_milliseconds_are_believed(tmp_path, rate_hz, labelled):
    node, time_ms = poisson(rate_hz, 3000.0)
    path = write_spikes(tmp_path / "s.h5", node, time_ms)
    shown = spikes(path if labelled else without_unit(path), duration_ms=1500.0)
    assert len(shown.input(0, 1)) + len(shown.input(1, 1)) == len(node)


@pytest.mark.parametrize("separator", [" ", ",", "\t", ";"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_tables_of_bmtk(tmp_path, separator, mark):
    rows = [("timestamps", "population", "node_ids"), (5.7, "lgn", 0), (0.0, "lgn", 6)]
    rows += [(19.999, "lgn", 3), (20.0, "lgn", 3)]
    text = "\n".join(separator.join(map(str, row)) for row in rows)
    (tmp_path / "s.csv").write_text(mark + text + "\n", encoding="utf-8")
    shown = spikes(tmp_path / "s.csv")
    assert events(shown.input(0, 1)) == [(0, 6), (5, 0), (19, 3)]
    assert events(shown.input(1, 1)) == [(0, 3)]


def test_a_table_of_several_populations(tmp_path):
    (tmp_path / "s.csv").write_text("timestamps,population,node_ids\n1.0,lgn,2\n2.0,v1,40\n")
    with pytest.raises(StimulusError, match=r"2 populations(?s:.*)one of lgn, v1"):
        spikes(tmp_path / "s.csv")
    assert events(spikes(tmp_path / "s.csv", population="lgn").input(0, 1)) == [(1, 2)]


@pytest.mark.parametrize("text", ["", "a b\n1 2\n", "timestamps node_ids\n1 x\n", "<html></html>"])
def test_other_tables_are_refused(tmp_path, text):
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(StimulusError, match=r"s\.csv"):
        spikes(tmp_path / "s.csv")


def test_the_older_layout(tmp_path):
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["spikes/gids"], file["spikes/timestamps"] = [6, 0], [0.0, 5.7]
    assert events(spikes(tmp_path / "s.h5").input(0, 1)) == [(0, 6), (5, 0)]


@pytest.mark.parametrize("name", ["dense.npy", "dense.h5"])
@pytest.mark.parametrize("shape", [(40, N_LGN), (2, 20, N_LGN)])
def test_dense_spikes(tmp_path, name, shape):
    spike = np.random.default_rng(0).random(shape) < 0.1
    if name == "dense.npy":
        np.save(tmp_path / name, spike)
    else:
        with h5py.File(tmp_path / name, "w") as file:
            file["input_spikes"] = spike.astype("f4")
    shown = spikes(tmp_path / name)
    for trial, piece in enumerate(spike.reshape(2, 20, N_LGN)):
        assert events(shown.input(trial, 1)) == list(zip(*np.nonzero(piece), strict=True))
    np.save(tmp_path / "p.npy", spike * 0.5)
    with pytest.raises(StimulusError, match=r"stimulus\.kind: probabilities"):
        spikes(tmp_path / "p.npy")


def test_ids_from_one(tmp_path):
    path = write_spikes(tmp_path / "s.h5", [1, N_LGN], [2.0, 3.0])
    with pytest.raises(StimulusError, match=r"count from 1(?s:.*)first_id=1"):
        spikes(path)
    assert events(spikes(path, first_id=1).input(0, 1)) == [(2, 0), (3, N_LGN - 1)]


def test_the_examples(shared_data):
    folder = shared_data / "cases" / "files"
    if not (folder / "spikes.csv").exists():
        pytest.skip("no examples")
    network = with_parts(NETWORK, n_lgn=600)
    shown = spikes(folder / "spikes.csv", network, duration_ms=1000.0, trials=1)
    assert len(shown.input(0, 1)) > 50
    with pytest.raises(StimulusError, match="are these seconds"):
        spikes(folder / "seconds_unlabelled.h5", network, duration_ms=1000.0, trials=1)
    case = shared_data / "cases" / "situations" / "sonata_spikes_in_seconds" / "spikes.h5"
    with pytest.raises(StimulusError, match="are these seconds"):
        spikes(case, network, duration_ms=2000.0, trials=1)


def nwb_2(path, *, by_bmtk: bool):
    """Units of two populations in NWB 2, times in s, or in ms as BMTK writes them."""
    with h5py.File(path, "w") as file:
        file["session_description"] = "BMTK 1.2 generated NWB spikes file" if by_bmtk else "mine"
        file["units/spike_times"] = np.array([0.5, 9.5, 3.25, 7.0]) * (1.0 if by_bmtk else 1e-3)
        file["units/spike_times_index"] = [1, 1, 2, 4]
        file["units/id"] = [0, 1, 2, 3]
        file["units/node_id"] = [7, 0, 2, 5]
        file["units/population"] = ["bkg", "lgn", "lgn", "lgn"]
    return path


@pytest.mark.parametrize("by_bmtk", [True, False])
def test_nwb_units_are_read_by_population(tmp_path, by_bmtk):
    path = nwb_2(tmp_path / "a.nwb", by_bmtk=by_bmtk)
    shown = spikes(path, duration_ms=20.0, population="lgn").input(0, 1)
    assert list(zip(shown.step.tolist(), shown.source.tolist(), strict=True)) == [
        (3, 5),
        (7, 5),
        (9, 2),
    ]
    with pytest.raises(StimulusError, match=r"2 populations(?s:.*)bkg, lgn"):
        spikes(path, duration_ms=20.0)


def test_what_pynwb_writes_is_read(tmp_path):
    nwb = pytest.importorskip("pynwb")
    file = nwb.NWBFile("mine", "id", datetime.now(UTC))
    for times in ([0.002, 0.004], [], [0.0035]):
        file.add_unit(spike_times=times)
    with nwb.NWBHDF5IO(tmp_path / "a.nwb", "w") as io:
        io.write(file)
    shown = spikes(tmp_path / "a.nwb", duration_ms=20.0).input(0, 1)
    assert (shown.step.tolist(), shown.source.tolist()) == ([2, 3, 4], [0, 2, 0])


def test_nwb_1_is_read_as_bmtk_reads_it(tmp_path):
    path = tmp_path / "a.nwb"
    with h5py.File(path, "w") as file:
        file["processing/trial_0/spike_train/3/data"] = [2.5, 4.0]
        file["processing/trial_0/spike_train/0/data"] = [1.0]
        file["processing/trial_1/spike_train/0/data"] = [9.0]

    found = read_spike_file(path, "lgn", trial="trial_0")
    assert sorted(zip(found.node.tolist(), found.time.tolist(), strict=True)) == [
        (0, 1.0),
        (3, 2.5),
        (3, 4.0),
    ]
    with pytest.raises(StimulusError, match=r"2 trials(?s:.*)trial_0, trial_1"):
        read_spike_file(path, "lgn")
    with h5py.File(path, "a") as file:
        for cell in "30":
            file[f"processing/trial_0/spike_train/{cell}/data"].attrs["unit"] = "second"
    assert read_spike_file(path, "lgn", trial="trial_0").unit_ms == 1000.0


def test_a_unit_that_is_named_counts_more_than_one_that_nobody_knows(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["spikes/lgn/node_ids"], file["spikes/lgn/timestamps"] = [0, 1], [0.002, 0.003]
        file["spikes/lgn/timestamps"].attrs["units"] = "fortnights"
    with pytest.raises(StimulusError, match=r"fortnights(?s:.*)unit=milliseconds"):
        spikes(path, duration_ms=20.0)
    assert spikes(path, duration_ms=20.0, unit="seconds").input(0, 1).step.tolist() == [2, 3]

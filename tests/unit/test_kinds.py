"""Every kind of stimulus in the configuration, as what the LGN cells of a network see."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from PIL import Image

from tests.lgn_cells import make_cells
from tests.networks import tiny_network, with_parts
from v1sim.config import RunConfig, validate
from v1sim.errors import StimulusError
from v1sim.stimulus.gratings import Grating, grating_movie, grating_rates
from v1sim.stimulus.lgn import lgn_filters, rates_of_movie

N_LGN = 4


@pytest.fixture(scope="module")
def network():
    cells = make_cells(
        ("sON_TF8", "tOFF_TF4", "sONsOFF_001", "sONtOFF_001"), (20, 61, 100, 60), (20, 40, 70, 41)
    )
    return with_parts(tiny_network(), n_lgn=N_LGN, lgn_cells=cells)


def shown(network, **stimulus):
    return validate(RunConfig, {"stimulus": stimulus}, "test").stimulus.made_for(network)


def rate_hz(stimulus, trial=0):
    return -1000 * np.log1p(-stimulus.strength(trial).astype(float))


def test_contrast_sweep(network):
    made = shown(
        network,
        kind="drifting_gratings",
        directions_deg=[0.0, 135.0],
        contrast=[0.1, 1.0],
        trials=2,
        grey_ms=20.0,
        grating_ms=200.0,
    )
    seen = [(t.stimulus["contrast"], t.stimulus["direction_deg"]) for t in made.trials]
    assert seen == [(c, d) for c in (0.1, 1.0) for d in (0.0, 135.0) for _ in range(2)]
    grating = Grating(135.0, contrast=1.0, grey_ms=20, grating_ms=200)
    expected = grating_rates(lgn_filters(network.lgn.cells), grating)
    np.testing.assert_allclose(rate_hz(made, 7), expected, atol=1e-3)


def test_static_gratings(network):
    made = shown(
        network,
        kind="static_gratings",
        orientations_deg=[0.0, 45.0],
        phases_deg=[0.0, 180.0],
        spatial_frequencies_cpd=[0.02, 0.08],
        trials=1,
        grey_ms=30.0,
        grating_ms=60.0,
    )
    assert len(made.trials) == 8
    assert made.trials[5].window_ms == (30.0, 90.0)
    assert made.trials[5].stimulus == {
        "orientation_deg": 45.0,
        "phase_deg": 180.0,
        "spatial_frequency_cpd": 0.02,
        "contrast": 0.8,
        "repeat": 0,
    }
    still = made.picture(5, 30)
    np.testing.assert_array_equal(still, made.picture(5, 89))
    np.testing.assert_allclose(still, -made.picture(4, 40), atol=1e-6)
    # At 45 degrees luminance is equal where x - y is: bars run down to the right.
    np.testing.assert_allclose(still[1:, 1:], still[:-1, :-1], atol=1e-5)


def test_flash(network):
    made = shown(
        network, kind="flash", luminances=[1.0, -0.5], grey_ms=100.0, flash_ms=80.0, after_ms=120.0
    )
    assert [t.stimulus["luminance"] for t in made.trials] == [1.0] * 10 + [-0.5] * 10
    assert {(t.duration_ms, t.window_ms) for t in made.trials} == {(300.0, (100.0, 180.0))}
    assert [made.picture(1, step)[0, 0] for step in (99, 100, 179, 180)] == [0, -0.5, -0.5, 0]
    white, dark = rate_hz(made, 0), rate_hz(made, 10)
    assert white[100:180, 0].max() > white[:100, 0].max() + 5  # ON to white
    assert dark[100:180, 1].max() > dark[:100, 1].max() + 5  # OFF to dark


def test_images(network, tmp_path):
    rng = np.random.default_rng(0)
    values = rng.integers(0, 256, (2, 80, 120), dtype=np.uint8)
    for name, image in zip("ab", values, strict=True):
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    files = [str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    made = shown(network, kind="images", files=files, trials=1, grey_ms=50.0, image_ms=100.0)
    assert [t.stimulus["file"] for t in made.trials] == ["a.png", "b.png"]
    np.testing.assert_allclose(made.picture(1, 50), values[1] / 127.5 - 1, atol=1e-6)
    movie = np.concatenate([np.zeros((50, 80, 120)), np.tile(values[1] / 127.5 - 1, (100, 1, 1))])
    expected = rates_of_movie(lgn_filters(network.lgn.cells), movie.astype(np.float32))
    np.testing.assert_allclose(rate_hz(made, 1), expected, atol=1e-3)


def test_movie(network, tmp_path):
    np.save(tmp_path / "m.npy", np.random.default_rng(0).uniform(-1, 1, (6, 80, 120)))
    made = shown(
        network, kind="movie", file=str(tmp_path / "m.npy"), frame_rate_hz=30.0, grey_ms=40.0
    )
    assert made.trials[0].duration_ms == 240.0
    assert made.trials[0].window_ms == (40.0, 240.0)
    frames = [made.picture(0, step) for step in (39, 40, 72, 73, 239)]
    assert not frames[0].any()
    np.testing.assert_array_equal(frames[1], frames[2])
    assert np.any(frames[3] != frames[2])
    assert not frames[4].flags.writeable


def test_grey(network):
    made = shown(network, kind="grey", duration_ms=30.0, trials=3)
    np.testing.assert_allclose(
        rate_hz(made, 2), np.tile([1.767, 3.945, 4, 5.5], (30, 1)), rtol=1e-3
    )


def test_sequence(network, tmp_path):
    image = np.random.default_rng(0).uniform(-1, 1, (80, 120)).astype(np.float32)
    np.save(tmp_path / "i.npy", image)
    np.save(tmp_path / "m.npy", np.stack([image, -image]))
    moving = {"direction_deg": 90.0, "temporal_frequency_hz": 5.0, "phase_deg": 30.0}
    made = shown(
        network,
        kind="sequence",
        duration_ms=400.0,
        trials=2,
        parts=[
            {"onset_ms": 20.0, "duration_ms": 50.0, "show": "flash", "luminance": -1.0},
            {"onset_ms": 100.0, "duration_ms": 100.0, "show": "grating", **moving},
            {"onset_ms": 200.0, "duration_ms": 30.0, "show": "image", "file": f"{tmp_path}/i.npy"},
            {
                "onset_ms": 300.0,
                "duration_ms": 15.0,
                "show": "movie",
                "file": str(tmp_path / "m.npy"),
                "frame_rate_hz": 100.0,
            },
        ],
    )  # fmt: skip
    movie = np.zeros((400, 80, 120), dtype=np.float32)
    movie[20:70] = -1
    movie[100:200] = grating_movie(Grating(90.0, 5.0, grey_ms=0, grating_ms=100, phase_deg=30.0))
    movie[200:230] = image
    movie[300:310], movie[310:315] = image, -image
    for step in (0, 19, 20, 69, 70, 100, 199, 200, 229, 230, 300, 309, 310, 314, 315, 399):
        np.testing.assert_allclose(made.picture(0, step), movie[step], atol=1e-6)
    expected = rates_of_movie(lgn_filters(network.lgn.cells), movie)
    np.testing.assert_allclose(rate_hz(made), expected, atol=1e-3)
    assert made.trials[1].window_ms == (20.0, 400.0)


def test_a_part_longer_than_its_movie_is_refused(network, tmp_path):
    np.save(tmp_path / "m.npy", np.zeros((2, 80, 120)))
    part = {"onset_ms": 0.0, "duration_ms": 21.0, "show": "movie", "frame_rate_hz": 100.0}
    part["file"] = str(tmp_path / "m.npy")
    with pytest.raises(StimulusError, match="ends after 20 ms"):
        shown(network, kind="sequence", duration_ms=50.0, parts=[part])


def test_what_needs_no_cells_needs_none(network, tmp_path):
    blind = with_parts(network, lgn_cells=None)
    made = shown(blind, kind="spontaneous", rate_hz=12.0, duration_ms=50.0, trials=2)
    np.testing.assert_allclose(rate_hz(made, 1), 12.0, rtol=1e-4)
    np.save(tmp_path / "r.npy", np.full((60, N_LGN), 3.0))
    made = shown(blind, kind="rates", file=str(tmp_path / "r.npy"), window_ms=[10.0, 60.0])
    np.testing.assert_allclose(rate_hz(made, 9), 3.0, rtol=1e-4)
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["spikes/lgn/node_ids"], file["spikes/lgn/timestamps"] = [3, 1], [2.0, 41.0]
    made = shown(
        blind, kind="sonata_spikes", file=str(tmp_path / "s.h5"), duration_ms=30.0, trials=2
    )
    assert [made.input(i, 1).source.tolist() for i in (0, 1)] == [[3], [1]]
    with pytest.raises(StimulusError, match="not their positions"):
        shown(blind, kind="grey")


HEADER = (
    "id model_id x y spatial_size kpeaks_dom_0 kpeaks_dom_1 weight_dom_0 weight_dom_1 "
    "delay_dom_0 delay_dom_1 kpeaks_non_dom_0 kpeaks_non_dom_1 weight_non_dom_0 weight_non_dom_1 "
    "delay_non_dom_0 delay_non_dom_1 tuning_angle sf_sep"
)


@pytest.fixture
def table(tmp_path):
    rows = [f"{10 * i} sON_TF8 {i + 1} 40 6 12.9 28.3 3.7 -1.7 0 25" + " NaN" * 8 for i in range(8)]
    path = tmp_path / "table.csv"
    path.write_text("\n".join([HEADER, *rows]) + "\n")
    return str(path)


def ids_file(path, ids):
    with h5py.File(path, "w") as file:
        file["lgn_cell_ids"] = ids
    return str(path)


def test_cells_of_a_table_are_chosen_by_id(network, table, tmp_path):
    chosen = ids_file(tmp_path / "ids.h5", [70, 0, 20, 30])
    made = shown(network, kind="grey", lgn_table=table, lgn_ids_from=chosen)
    assert made.cells.x_deg.tolist() == [8, 1, 3, 4]


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (None, r"the table has 8 LGN cells, the network 4(?s:.*)lgn_ids_from"),
        ([0, 10, 20], "the table has 3 LGN cells"),
        ([0, 10, 20, 35], "1 of 4 cells are not in the table, for example 35"),
        ([0, 10, 20, 900], "for example 900"),
        ([0.5, 1, 2, 3], "float64"),
        ([[0, 10, 20, 30]], r"shape \(1, 4\)"),
    ],
)
def test_cells_that_do_not_fit_the_network_are_refused(network, table, tmp_path, ids, message):
    chosen = {} if ids is None else {"lgn_ids_from": ids_file(tmp_path / "ids.h5", ids)}
    with pytest.raises(StimulusError, match=message):
        shown(network, kind="grey", lgn_table=table, **chosen)


def test_ids_from_another_file_are_refused(network, table, tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["labels"] = [1]
    (tmp_path / "text.h5").write_text("no HDF5")
    for name, message in (("other.h5", "but labels"), ("text.h5", "cannot be read as HDF5")):
        with pytest.raises(StimulusError, match=message):
            shown(network, kind="grey", lgn_table=table, lgn_ids_from=str(tmp_path / name))


def test_the_trained_reference_network_can_see(network, shared_data):
    """Its 600 LGN cells are rows of the published table, named in its stimulus file."""
    trained = with_parts(network, n_lgn=600, lgn_cells=None)
    made = shown(
        trained,
        kind="drifting_gratings",
        grating_ms=100.0,
        lgn_table=str(shared_data / "third_party" / "lgn_full_col_cells_120x80.csv"),
        lgn_ids_from=str(shared_data / "trained_a" / "stimuli_A.h5"),
    )
    assert made.strength(0).shape == (600, 600)
    assert np.bincount(np.unique(made.cells.model_id, return_inverse=True)[1]).min() > 10


PARTS = [
    {"show": "grating", "onset_ms": 10.0, "duration_ms": 20.0, "direction_deg": 90.0},
    {"show": "grating", "onset_ms": 30.0, "duration_ms": 5.0, "temporal_frequency_hz": 0.0},
    {"show": "flash", "onset_ms": 40.0, "duration_ms": 10.0, "luminance": -1.0},
    {"show": "image", "onset_ms": 50.0, "duration_ms": 10.0, "file": "a.png"},
    {"show": "movie", "onset_ms": 60.0, "duration_ms": 10.0, "file": "m.npy"},
]


@pytest.mark.parametrize(
    ("stimulus", "when", "kinds", "values"),
    [
        ({"kind": "drifting_gratings", "grey_ms": 10.0, "grating_ms": 20.0}, [(10.0, 30.0)],
         ["drifting_grating"], {"direction_deg": 0.0, "contrast": 0.8}),
        ({"kind": "static_gratings", "grey_ms": 10.0, "grating_ms": 20.0}, [(10.0, 30.0)],
         ["static_grating"], {"orientation_deg": 0.0, "phase_deg": 0.0}),
        ({"kind": "flash", "grey_ms": 10.0, "flash_ms": 20.0}, [(10.0, 30.0)], ["flash"],
         {"luminance": 1.0}),
        ({"kind": "grey", "duration_ms": 10.0}, [(0.0, 10.0)], ["grey"], {}),
        ({"kind": "images", "files": ["a.png"], "grey_ms": 10.0, "image_ms": 20.0},
         [(10.0, 30.0)], ["image"], {"file": "a.png", "image": 0}),
        ({"kind": "movie", "file": "m.npy", "frame_rate_hz": 100.0, "grey_ms": 10.0},
         [(10.0, 40.0)], ["movie"], {"file": "m.npy"}),
        ({"kind": "sequence", "duration_ms": 100.0, "parts": PARTS},
         [(10.0, 30.0), (30.0, 35.0), (40.0, 50.0), (50.0, 60.0), (60.0, 70.0)],
         ["drifting_grating", "static_grating", "flash", "image", "movie"],
         {"direction_deg": 90.0}),
        ({"kind": "spontaneous", "duration_ms": 10.0}, [(0.0, 10.0)], ["spontaneous"],
         {"rate_hz": 5.0}),
    ],
)  # fmt: skip
def test_every_trial_says_what_it_shows_when(
    network, tmp_path, monkeypatch, stimulus, when, kinds, values
):
    monkeypatch.chdir(tmp_path)
    Image.new("L", (120, 80), 200).save("a.png")
    np.save("m.npy", np.zeros((3, 80, 120), dtype=np.uint8))
    if stimulus["kind"] == "sequence":
        stimulus["parts"][-1]["frame_rate_hz"] = 100.0
    presentations = shown(network, trials=2, **stimulus).trials[1].presentations
    assert [(one.onset_ms, one.end_ms) for one in presentations] == when
    assert [one.kind for one in presentations] == kinds
    assert values.items() <= presentations[0].values.items()

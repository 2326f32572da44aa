from __future__ import annotations

import numpy as np
import pytest

from tests.lgn_cells import make_cells
from v1sim.report.stimulus_figure import stimulus_figure
from v1sim.stimulus.drawn import FixedProbabilities
from v1sim.stimulus.films import FilmStimulus, still
from v1sim.stimulus.given import GivenValues
from v1sim.stimulus.gratings import Grating, GratingStimulus
from v1sim.stimulus.trials import repeated_trials

CELLS = make_cells(
    ("sON_TF8", "tOFF_TF4", "sONsOFF_001", "sONtOFF_001"), (20, 61, 100, 110), (20, 40, 70, 12)
)


def one_rate(n_lgn, probability, *, duration_ms, repeats):
    schedule = repeated_trials(
        [{}], repeats=repeats, duration_ms=duration_ms, window_ms=(0, duration_ms), where="test"
    )
    values = np.full((int(duration_ms), n_lgn), probability, dtype=np.float32)
    return FixedProbabilities(n_lgn, schedule, [values])


def images(figure):
    return [np.asarray(image.get_array()) for axes in figure.axes for image in axes.images]


def texts(figure):
    labels = [axes.get_ylabel() for axes in figure.axes]
    titles = [axes.get_title() for axes in figure.axes]
    return " | ".join([*labels, *titles, *(text.get_text() for text in figure.texts)])


def test_gratings_show_frames_cells_stimuli_and_spikes():
    gratings = [Grating(d, grey_ms=50, grating_ms=150) for d in (0, 90, 215)]
    shown = GratingStimulus(CELLS, gratings, repeats=2)
    figure = stimulus_figure(shown, seed=1, title="a title")
    seen = images(figure)
    assert len(seen) == 6 + 3
    assert not seen[0].any()  # before the onset
    for step, image in zip((56, 91, 197), (seen[1], seen[2], seen[5]), strict=True):
        candidates = [np.abs(shown.picture(0, s) - image).max() for s in range(step - 8, step + 8)]
        assert min(candidates) < 1e-6
    np.testing.assert_allclose(seen[7], shown.picture(1, 125), atol=1e-6)
    maps = [c for axes in figure.axes for c in axes.collections if c.get_cmap().name == "magma"]
    on, off = maps[:6], maps[6:12]
    rate_hz = -1000 * np.log1p(-shown.strength(0))
    assert [len(m.get_offsets()) for m in (on[0], off[0])] == [1, 1]
    np.testing.assert_allclose(on[0].get_array(), rate_hz[25, [0]], rtol=1e-4)
    np.testing.assert_allclose(off[0].get_offsets(), [[61, 40]])
    for part in ("a title", "4 LGN cells; 3 stimuli, 6 trials of 200 ms", "ON cells", "215"):
        assert part in texts(figure)


def test_without_picture_and_places_there_are_rates_and_spikes():
    shown = one_rate(30, 1 - np.exp(-0.05), duration_ms=400.0, repeats=3)
    figure = stimulus_figure(shown, seed=1, title="t")
    assert not images(figure)
    assert "1 stimulus, 3 trials" in texts(figure)
    (line,) = figure.axes[1].lines
    np.testing.assert_allclose(line.get_ydata(), 50.0, rtol=1e-4)
    n_spikes = len(figure.axes[0].collections[0].get_offsets())
    assert abs(n_spikes - 30 * 400 * 0.0488) < 6 * np.sqrt(585)


def test_analog_input_may_exceed_certainty():
    shown = one_rate(30, 0.05, duration_ms=40.0, repeats=1)
    values = np.full((40, 30), 1.2, dtype=np.float32)
    figure = stimulus_figure(GivenValues(30, shown.schedule, [values]), seed=1, title="t")
    assert "analog input, as spikes, of 30 cells" in texts(figure)
    assert len(figure.axes[0].collections[0].get_offsets()) == 30 * 40


@pytest.mark.parametrize("n", [1, 30])
def test_any_number_of_stimuli(n):
    frames = np.random.default_rng(0).uniform(-1, 1, (n, 80, 120)).astype(np.float32)
    films = [still(frame, 40) for frame in frames]
    stimuli = [{"file": f"{i}.png"} for i in range(n)]
    shown = FilmStimulus(CELLS, films, stimuli, repeats=1, window_ms=(0.0, 40.0))
    figure = stimulus_figure(shown, seed=1, title="t")
    figure.canvas.draw()
    assert len(images(figure)) == 6 + (0 if n == 1 else 24)


def test_certain_spikes_have_a_finite_rate():
    shown = one_rate(3, 1.0, duration_ms=20.0, repeats=1)
    figure = stimulus_figure(shown, seed=1, title="t")
    np.testing.assert_allclose(figure.axes[1].lines[0].get_ydata(), 1000.0, rtol=1e-4)

from __future__ import annotations

import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure

from v1sim.analysis.results import analyse
from v1sim.cell_classes import CellClasses
from v1sim.errors import OutputError
from v1sim.model import SpikeTable, Trial
from v1sim.recording import Recording
from v1sim.report import figures

NAMES = ("i1Htr3a", "e23", "i23Pvalb", "e4", "i4Pvalb", "i4Sst", "e5IT", "e6", "i6Vip")
NONE = SpikeTable(np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0))


def spikes_of(rng: np.random.Generator, n_trials: int, n: int, rate_hz: float) -> SpikeTable:
    trial, step, neuron = np.nonzero(rng.random((n_trials, 300, n)) < rate_hz / 1000)
    return SpikeTable(trial.astype(np.int32), neuron.astype(np.int32), step.astype(float))


def gratings_run(n: int = 180, repeats: int = 2) -> Recording:
    rng = np.random.default_rng(0)
    n_trials = 4 * repeats
    return Recording(
        spikes=spikes_of(rng, n_trials, n, 10.0),
        lgn_spikes=spikes_of(rng, n_trials, 20, 15.0),
        trials=tuple(
            Trial(i, 300.0 * i, 300.0, (100.0, 300.0), {"direction_deg": 90.0 * (i % 4)})
            for i in range(n_trials)
        ),
        classes=CellClasses(
            names=NAMES,
            of_neuron=(np.arange(n) % len(NAMES)).astype(np.uint16),
            is_excitatory=np.array([name[0] == "e" for name in NAMES]),
            inferred=False,
        ),
        n_lgn=20,
        dt_ms=1.0,
    )


def without_directions(recording: Recording) -> Recording:
    trials = tuple(replace(trial, stimulus={"label": 3}) for trial in recording.trials)
    return replace(recording, trials=trials)


def draw(recording: Recording) -> Figure:
    return figures.summary_figure(recording, analyse(recording), title="a run")


def panels(figure: Figure) -> list[str]:
    return [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]


def raster_points(figure: Figure) -> np.ndarray:
    (axes,) = [a for a in figure.axes if a.get_yticklabels() and a.yaxis_inverted()]
    return np.asarray(axes.collections[0].get_offsets())


def test_a_gratings_run_has_all_panels() -> None:
    figure = draw(gratings_run())
    assert panels(figure) == [
        "Trial 0",
        "Population rates",
        "Direction tuning",
        "Orientation selectivity by class",
        "Rate by class",
    ]
    texts = " ".join(text.get_text() for text in figure.texts)
    assert "a run" in texts
    assert "180 neurons, 20 LGN cells, 8 trials" in texts
    assert "Billeh" in texts


def test_static_gratings_have_orientations_and_nothing_published() -> None:
    recording = gratings_run()
    trials = tuple(
        replace(trial, stimulus={"orientation_deg": 45.0 * (trial.index % 4)})
        for trial in recording.trials
    )
    figure = draw(replace(recording, trials=trials))
    assert panels(figure)[2:4] == ["Orientation tuning", "Orientation selectivity by class"]
    (axes,) = [a for a in figure.axes if a.get_title(loc="left") == "Orientation tuning"]
    assert axes.get_xticks().tolist() == [-90, -45, 0, 45, 90]
    x = axes.lines[0].get_xdata()
    np.testing.assert_allclose(x, [-90, -45, 0, 45, 90])
    assert "Billeh" not in " ".join(text.get_text() for text in figure.texts)
    legends = [a.get_legend() for a in figure.axes if a.get_legend()]
    assert "published" not in " ".join(t.get_text() for le in legends for t in le.get_texts())


@pytest.mark.parametrize(
    ("recording", "missing"),
    [
        (gratings_run(repeats=1), {"Direction tuning"}),
        (
            without_directions(gratings_run()),
            {"Direction tuning", "Orientation selectivity by class"},
        ),
    ],
)
def test_panels_that_have_no_data_are_left_out(recording: Recording, missing: set[str]) -> None:
    figure = draw(recording)
    assert set(panels(draw(gratings_run()))) - set(panels(figure)) == missing
    assert ("Billeh" in " ".join(t.get_text() for t in figure.texts)) == (
        "Orientation selectivity by class" not in missing
    )


def test_analog_input_has_no_spikes_to_show() -> None:
    recording = gratings_run()
    none = SpikeTable(np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0))
    figure = draw(replace(recording, lgn_spikes=none, annotations={"lgn_input": "analog"}))
    assert "analog input: no spikes" in [text.get_text() for text in figure.axes[0].texts]
    assert "and none of the LGN" in " ".join(text.get_text() for text in figure.texts)


def test_the_raster_shows_every_spike_of_the_trial() -> None:
    recording = gratings_run()
    points = raster_points(draw(recording))
    spikes = recording.spikes
    mine = spikes.trial == 0
    order = np.argsort(recording.classes.of_neuron, kind="stable")
    row = np.argsort(order)[spikes.neuron[mine]]
    expected = np.stack([spikes.time_ms[mine], row], axis=1)
    np.testing.assert_array_equal(np.unique(points, axis=0), np.unique(expected, axis=0))


def test_a_large_raster_is_thinned_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "MAX_RASTER_ROWS", 50)
    recording = gratings_run()
    figure = draw(recording)
    assert "Raster: 50 of the 180 neurons" in " ".join(t.get_text() for t in figure.texts)
    rows = np.unique(raster_points(figure)[:, 1])
    assert rows.max() <= 49
    assert len(rows) > 40


@pytest.mark.parametrize(
    "recording",
    [
        replace(gratings_run(), spikes=NONE, lgn_spikes=NONE),
        replace(gratings_run(), lgn_spikes=NONE, n_lgn=0),
        replace(gratings_run(), trials=gratings_run().trials[:1], spikes=NONE, lgn_spikes=NONE),
        replace(
            gratings_run(n=8),
            classes=CellClasses(
                ("e", "i"), (np.arange(8) % 2).astype(np.uint16), np.array([True, False]), True
            ),
        ),
    ],
    ids=["silent", "no-lgn", "one-trial", "classes-without-layers"],
)
def test_odd_runs_can_be_drawn(recording: Recording) -> None:
    png = figures.to_png(draw(recording))
    pixels = matplotlib.image.imread(io.BytesIO(png))
    assert pixels.shape[2] == 4
    assert pixels[..., :3].std() > 0.01


def test_the_png_is_written_whole(tmp_path: Path) -> None:
    figure = draw(gratings_run())
    figures.save_png(figure, tmp_path / "summary.png")
    assert (tmp_path / "summary.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    with pytest.raises(OutputError, match="absent"):
        figures.save_png(figure, tmp_path / "absent" / "summary.png")


def test_no_global_state_is_touched() -> None:
    """pyplot would choose a backend for the whole process of whoever calls us."""
    script = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_figures import draw, gratings_run\n"
        "from v1sim.report.figures import to_png\n"
        "to_png(draw(gratings_run()))\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


def test_a_run_that_classifies_shows_decisions_and_windows() -> None:
    groups = [list(range(10 * i, 10 * i + 10)) for i in range(5)]
    recording = replace(without_directions(gratings_run()), annotations={"readout": groups})
    results = analyse(recording)
    figure = figures.summary_figure(recording, results)
    assert {"Accuracy against window", "Decisions"} <= set(panels(figure))
    assert "Direction tuning" not in panels(figure)
    figures.to_png(figure)

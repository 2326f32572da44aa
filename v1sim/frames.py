"""A recording as tables of pandas and as a dataset of xarray, where these are installed.

================== ===========================================================
`spikes_frame`     one row a spike
`neurons_frame`    one row a neuron: who it is, its rate and its tuning
`trials_frame`     one row a trial: when it was, and what it showed
`dataset`          spike counts by trial and neuron, and voltages, with names
================== ===========================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from v1sim.analysis.rates import spike_counts
from v1sim.analysis.results import Results
from v1sim.errors import MissingExtraError
from v1sim.recording import Recording

if TYPE_CHECKING:
    import pandas
    import xarray

__all__ = ["dataset", "neurons_frame", "spikes_frame", "trials_frame"]


def _pandas() -> Any:
    try:
        import pandas
    except ImportError:
        raise MissingExtraError("pandas", "pandas", "a table of pandas") from None
    return pandas


def _xarray() -> Any:
    try:
        import xarray
    except ImportError:
        raise MissingExtraError("xarray", "xarray", "a dataset of xarray") from None
    return xarray


def spikes_frame(recording: Recording) -> pandas.DataFrame:
    """The spikes of the network's neurons.

    Parameters
    ----------
    recording : Recording
        Of a run.

    Returns
    -------
    pandas.DataFrame
        One row a spike, sorted by trial, then time, then neuron. Columns: ``trial``,
        ``neuron`` (index in the network), ``time_ms`` (from the start of the trial) and
        ``cell_class`` (categorical).

    Raises
    ------
    MissingExtraError
        If pandas is not installed.
    """
    pandas = _pandas()
    spikes, classes = recording.spikes, recording.classes
    return pandas.DataFrame(
        {
            "trial": spikes.trial,
            "neuron": spikes.neuron,
            "time_ms": spikes.time_ms,
            "cell_class": pandas.Categorical.from_codes(
                classes.of_neuron[spikes.neuron], list(classes.names)
            ),
        }
    )


def neurons_frame(recording: Recording, results: Results) -> pandas.DataFrame:
    """The neurons, silent ones included.

    Parameters
    ----------
    recording : Recording
        Of a run.
    results : Results
        Of that recording (`v1sim.analysis.results.analyse`).

    Returns
    -------
    pandas.DataFrame
        One row a neuron, by its index in the network. Columns: ``population``, ``id`` (in the
        population), ``cell_class`` (categorical), ``rate_hz``; where directions were shown
        also ``osi``, ``dsi`` and ``preferred_deg``.

    Raises
    ------
    MissingExtraError
        If pandas is not installed.
    """
    pandas = _pandas()
    n = recording.n_neurons
    columns = recording.unit_columns()
    held: dict[str, Any] = {
        "population": columns["source"][:n],
        "id": columns["neuron"][:n],
        "cell_class": pandas.Categorical.from_codes(
            recording.classes.of_neuron, list(recording.classes.names)
        ),
        "rate_hz": results.rate_hz,
    }
    if results.tuning:
        tuning = results.tuning
        held |= {"osi": tuning.osi, "dsi": tuning.dsi, "preferred_deg": tuning.preferred_deg}
    return pandas.DataFrame(held, index=pandas.RangeIndex(n, name="neuron"))


def trials_frame(recording: Recording) -> pandas.DataFrame:
    """The trials.

    Parameters
    ----------
    recording : Recording
        Of a run.

    Returns
    -------
    pandas.DataFrame
        One row a trial. Columns: ``start_ms`` (on the run's time line), ``duration_ms``,
        ``window_start_ms`` (included) and ``window_stop_ms`` (excluded), and what was shown.

    Raises
    ------
    MissingExtraError
        If pandas is not installed.
    """
    pandas = _pandas()
    rows = [
        {
            "start_ms": trial.start_ms,
            "duration_ms": trial.duration_ms,
            "window_start_ms": trial.window_ms[0],
            "window_stop_ms": trial.window_ms[1],
            **trial.stimulus,
        }
        for trial in recording.trials
    ]
    return pandas.DataFrame(rows, index=pandas.RangeIndex(len(rows), name="trial"))


def dataset(recording: Recording) -> xarray.Dataset:
    """Spike counts and voltages with named dimensions.

    Parameters
    ----------
    recording : Recording
        Of a run.

    Returns
    -------
    xarray.Dataset
        ``spike_count`` (trial, neuron), in the window of each trial, and, where voltages were
        recorded, ``membrane_potential`` (trial, time, recorded) in mV. Coordinates say the
        class of each neuron, what each trial showed, the time in ms from the start of the
        trial, and which neuron each recorded one is.

    Raises
    ------
    MissingExtraError
        If xarray is not installed.
    """
    xarray = _xarray()
    trials = recording.trials
    keys = dict.fromkeys(key for trial in trials for key in trial.stimulus)
    shown = {key: [trial.stimulus.get(key) for trial in trials] for key in keys}
    counts = spike_counts(recording.spikes, trials, recording.n_neurons)
    names = np.array(recording.classes.names)
    held: dict[str, Any] = {"spike_count": (("trial", "neuron"), counts)}
    coordinates: dict[str, Any] = {
        "trial": np.arange(len(trials)),
        "neuron": np.arange(recording.n_neurons),
        "cell_class": ("neuron", names[recording.classes.of_neuron]),
        "window_ms": ("trial", [trial.window_ms[1] - trial.window_ms[0] for trial in trials]),
        **{key: ("trial", _column(values)) for key, values in shown.items()},
    }
    if recording.voltage is not None:
        voltage = recording.voltage
        held["membrane_potential"] = (
            ("trial", "time", "recorded"),
            voltage.v_mv,
            {"units": "mV"},
        )
        coordinates |= {
            "time": ("time", np.arange(voltage.v_mv.shape[1]) * voltage.dt_ms, {"units": "ms"}),
            "recorded": voltage.neuron,
        }
    about = {"run": str(recording.annotations.get("run", "")), "dt_ms": recording.dt_ms}
    return xarray.Dataset(held, coordinates, about)


def _column(values: list[Any]) -> Any:
    """Values of a key; NaN, or an empty text, where a trial has none."""
    absent = "" if any(isinstance(value, str) for value in values) else np.nan
    return np.array([absent if value is None else value for value in values])

"""Watching a run: what its activity says went wrong, as findings.

Pure functions of spike counts. They judge whole runs for the report, and the first
steps of a run that is to stop early when it is hopeless (``watch.fail_fast``).
"""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from v1sim.cell_classes import CellClasses
from v1sim.config import WatchConfig
from v1sim.errors import SimulationError
from v1sim.model import Finding, Severity, SpikeTable

__all__ = ["activity_findings", "stop_if_hopeless", "watch_run"]

I64 = NDArray[np.int64]

#: Cells of a class from which on it means something that none of them spiked.
_MIN_CELLS = 5


def activity_findings(
    limits: WatchConfig,
    classes: CellClasses,
    spikes: I64,
    lgn_spikes: I64 | None,
    duration_ms: float,
) -> tuple[Finding, ...]:
    """What is wrong with activity, errors first.

    Parameters
    ----------
    limits : WatchConfig
        The configuration's ``watch``.
    classes : CellClasses
        Classes of the neurons.
    spikes, lgn_spikes : int arrays, shapes (n,) and (n_lgn,)
        Spikes of each neuron and each LGN cell; None for analog input, which has none.
    duration_ms : float
        The time that they are from.
    """
    seconds = duration_ms / 1000
    found = [] if lgn_spikes is None else _of_input(limits, lgn_spikes / seconds)
    if not spikes.any():
        lgn = (
            "analog LGN input"
            if lgn_spikes is None
            else f"LGN cells at {lgn_spikes.mean() / seconds:.3g} Hz on average"
        )
        found.append(
            Finding(
                "run.silent_network",
                Severity.ERROR,
                "network",
                f"no neuron spiked in {duration_ms:g} ms, with {lgn}",
                "is there a background? do the weights have the unit that the file says? "
                "v1sim check NETWORK.h5",
                n_bad=len(spikes),
                n_seen=len(spikes),
            )
        )
        return tuple(found)
    size = np.bincount(classes.of_neuron, minlength=len(classes.names))
    total = np.bincount(classes.of_neuron, weights=spikes, minlength=len(classes.names))
    rate_hz = total / np.maximum(size, 1) / seconds
    for index in np.flatnonzero(rate_hz > limits.exploding_above_hz):
        found.append(
            Finding(
                "run.exploding",
                Severity.ERROR,
                classes.names[index],
                f"{size[index]:,} cells fire at {rate_hz[index]:.1f} Hz on average, more than "
                f"{limits.exploding_above_hz:g} Hz (watch.exploding_above_hz)",
                "do the weights have the unit that the file says? is the background right, and "
                "is inhibition there? v1sim check NETWORK.h5",
                n_bad=int(size[index]),
                n_seen=int(size[index]),
                observed=MappingProxyType({"rate_hz": float(rate_hz[index])}),
            )
        )
    silent = (rate_hz <= limits.silent_below_hz) & (size >= _MIN_CELLS)
    for index in np.flatnonzero(silent):
        found.append(
            Finding(
                "run.silent",
                Severity.WARNING,
                classes.names[index],
                f"{size[index]:,} cells fire at {rate_hz[index]:.3g} Hz on average "
                f"(watch.silent_below_hz: {limits.silent_below_hz:g}) in {duration_ms:g} ms",
                "does the class get its input and background?",
                n_bad=int(size[index]),
                n_seen=int(size[index]),
                observed=MappingProxyType({"rate_hz": float(rate_hz[index])}),
            )
        )
    return tuple(found)


def _of_input(limits: WatchConfig, rate_hz: NDArray[np.float64]) -> list[Finding]:
    if not len(rate_hz):
        return []
    mean_hz = float(rate_hz.mean())
    if mean_hz > limits.lgn_above_hz:
        n_bad = int(np.count_nonzero(rate_hz > limits.lgn_above_hz))
        return [
            Finding(
                "run.lgn_rate",
                Severity.ERROR,
                "LGN",
                f"LGN cells fire at {mean_hz:.1f} Hz on average, more than "
                f"{limits.lgn_above_hz:g} Hz (watch.lgn_above_hz): the input looks like "
                "probabilities read as spikes",
                "a stimulus file holds probabilities per ms, times 1.3",
                n_bad=n_bad,
                n_seen=len(rate_hz),
                observed=MappingProxyType({"rate_hz": mean_hz}),
            )
        ]
    if mean_hz == 0:
        return [
            Finding(
                "run.lgn_silent",
                Severity.WARNING,
                "LGN",
                f"none of {len(rate_hz):,} LGN cells spiked",
                "is the stimulus meant to be empty?",
                n_bad=len(rate_hz),
                n_seen=len(rate_hz),
            )
        ]
    return []


def watch_run(
    limits: WatchConfig,
    classes: CellClasses,
    spikes: SpikeTable,
    lgn_spikes: SpikeTable | None,
    n_lgn: int,
    duration_ms: float,
) -> tuple[Finding, ...]:
    """What is wrong with the activity of a whole run; ``lgn_spikes`` None for analog input."""
    return activity_findings(
        limits,
        classes,
        np.bincount(spikes.neuron, minlength=len(classes.of_neuron)),
        None if lgn_spikes is None else np.bincount(lgn_spikes.neuron, minlength=n_lgn),
        duration_ms,
    )


def stop_if_hopeless(
    limits: WatchConfig,
    classes: CellClasses,
    spikes: I64,
    lgn_spikes: I64 | None,
    duration_ms: float,
) -> None:
    """End a run whose first activity is an error.

    Raises
    ------
    SimulationError
        With what was seen; exit code 3.
    """
    errors = [
        finding
        for finding in activity_findings(limits, classes, spikes, lgn_spikes, duration_ms)
        if finding.severity is Severity.ERROR
    ]
    if errors:
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        raise SimulationError(
            f"stopped after {duration_ms:g} ms: {errors[0].where}: {errors[0].message}{more}",
            where=f"watch.fail_fast, {errors[0].check}",
            hint=errors[0].hint + "; watch.fail_fast: false lets such a run go on",
        )

"""LGN spikes of a SONATA file, given to the network as they are.

``/spikes/<population>/{node_ids, timestamps}``, timestamps in ms. Every spike is a
probability of 1 in its step, and every other step one of 0: what is drawn is what
the file holds, whatever the seed.
"""

from __future__ import annotations

import logging
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from v1sim.errors import StimulusError
from v1sim.stimulus.lgn import DT_MS
from v1sim.stimulus.presentation import Presentation, repeated_trials

__all__ = ["spike_file_presentation"]

_log = logging.getLogger(__name__)


def spike_file_presentation(
    path: Path,
    n_lgn: int,
    *,
    population: str | None,
    start_ms: float,
    duration_ms: float,
    pieces: int,
    window_ms: tuple[float, float] | None = None,
) -> Presentation:
    """Pieces of a spike file, one after the other, each a trial.

    Parameters
    ----------
    path : Path
        The SONATA file.
    n_lgn : int
        LGN cells of the network; node ids count in them.
    population : str, optional
        Which population; may be left out where the file has but one.
    start_ms, duration_ms : float
        Where the first piece begins, and the length of each.
    pieces : int
        Trials.
    window_ms : (float, float), optional
        Part of each trial that analyses read; by default all of it.

    Raises
    ------
    StimulusError
        If the file cannot be read, or has spikes of other cells, or none in these pieces.
    """
    node, time_ms = _read(path, population)
    if node.size and not 0 <= node.min() <= node.max() < n_lgn:
        raise StimulusError(
            f"node ids from {node.min()} to {node.max()}",
            where=str(path),
            expected=f"0 to {n_lgn - 1}: the network's LGN cells",
        )
    if not np.isfinite(time_ms).all():
        seen = f"{int((~np.isfinite(time_ms)).sum())} timestamps that are not finite"
        raise StimulusError(seen, where=str(path), expected="times in ms")
    n_steps = round(duration_ms / DT_MS)
    # A time that is a whole step to within rounding is that step.
    step = np.floor((time_ms - start_ms) / DT_MS + 1e-6).astype(np.int64)
    inside = (step >= 0) & (step < n_steps * pieces)
    if not inside.any():
        span = f"{time_ms.min():g} to {time_ms.max():g} ms" if time_ms.size else "no times at all"
        raise StimulusError(
            f"no spikes among {pieces} pieces of {duration_ms:g} ms from {start_ms:g} ms on; "
            f"the file has {span}",
            where=str(path),
            expected="spikes to show",
        )
    where = np.unique(step[inside] * n_lgn + node[inside])
    if where.size < inside.sum():
        _log.warning(
            "%s: %d of %d spikes share a %g ms step with another of their cell and are one with it",
            path, inside.sum() - where.size, inside.sum(), DT_MS,
        )  # fmt: skip
    trials, stimulus_of_trial = repeated_trials(
        [{"file": path.name, "piece": piece} for piece in range(pieces)],
        repeats=1,
        duration_ms=duration_ms,
        window_ms=window_ms or (0.0, duration_ms),
        where=str(path),
    )

    def load(piece: int) -> NDArray[np.float32]:
        size = n_steps * n_lgn
        first, last = np.searchsorted(where, [piece * size, (piece + 1) * size])
        certain = np.zeros(size, dtype=np.float32)
        certain[where[first:last] - piece * size] = 1
        return certain.reshape(n_steps, n_lgn)

    return Presentation(n_lgn, DT_MS, trials, stimulus_of_trial, load)


def _read(path: Path, population: str | None) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    try:
        with h5py.File(path, "r") as file:
            groups = file.get("spikes")
            names = sorted(groups) if isinstance(groups, h5py.Group) else []
            name = population or (names[0] if len(names) == 1 else None)
            if name not in names:
                raise StimulusError(
                    f"no population {name!r}" if name else f"{len(names)} populations",
                    where=f"{path}:/spikes",
                    expected=f"one of {', '.join(names)}" if names else "a SONATA spike file",
                    hint=f"--set stimulus.population={names[0]}" if names else None,
                )
            group = groups[name]
            node = group["node_ids"][()]
            time = group["timestamps"]
            unit = time.attrs.get("units", "milliseconds")
            unit = unit.decode() if isinstance(unit, bytes) else str(unit)
            time_ms = time[()].astype(np.float64)
    except (OSError, KeyError, TypeError, AttributeError, ValueError) as error:
        seen = f"cannot be read: {error}"
        raise StimulusError(seen, where=str(path), expected="a SONATA spike file") from error
    if unit not in ("milliseconds", "ms"):
        seen = f"timestamps in {unit!r}"
        raise StimulusError(seen, where=f"{path}:/spikes/{name}", expected="milliseconds")
    if node.ndim != 1 or node.shape != time_ms.shape or node.dtype.kind not in "iu":
        seen = f"node_ids {node.dtype}{node.shape} beside timestamps {time_ms.shape}"
        raise StimulusError(seen, where=f"{path}:/spikes/{name}", expected="one id a timestamp")
    return node.astype(np.int64), time_ms

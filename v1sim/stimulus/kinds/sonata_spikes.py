"""LGN spikes of a SONATA file, given to the network as they are.

``/spikes/<population>/{node_ids, timestamps}``, timestamps in ms.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from v1sim.config_section import DT_MS, Count, DurationMs, InputFile, TimeMs, WindowMs
from v1sim.errors import StimulusError
from v1sim.files.hdf5 import given_hdf5
from v1sim.files.identify import printable
from v1sim.model import NetworkModel
from v1sim.stimulus.base import StimulusConfig
from v1sim.stimulus.given import GivenSpikes
from v1sim.stimulus.spikes import LgnSpikes
from v1sim.stimulus.trials import repeated_trials

__all__ = ["SonataSpikes"]


class SonataSpikes(StimulusConfig):
    """LGN spikes from a SONATA file as they are, cut into ``trials`` pieces of ``duration_ms``.

    ``population`` may be left out where the file has but one; node ids count in the network's LGN
    cells. The first piece begins at ``start_ms``.
    """

    kind: Literal["sonata_spikes"]
    file: InputFile
    population: str | None = None
    start_ms: TimeMs = 0.0
    duration_ms: DurationMs
    trials: Count = 1
    window_ms: WindowMs | None = None

    def made_for(self, network: NetworkModel) -> GivenSpikes:
        """The pieces, one after the other, each a trial."""
        node, time_ms = _read(self.file, self.population)
        where = str(self.file)
        if node.size and not 0 <= node.min() <= node.max() < network.n_lgn:
            raise StimulusError(
                f"node ids from {node.min()} to {node.max()}",
                where=where,
                expected=f"0 to {network.n_lgn - 1}: the network's LGN cells",
            )
        if not np.isfinite(time_ms).all():
            seen = f"{int((~np.isfinite(time_ms)).sum())} timestamps that are not finite"
            raise StimulusError(seen, where=where, expected="times in ms")
        schedule = repeated_trials(
            [{"file": self.file.name, "piece": piece} for piece in range(self.trials)],
            repeats=1,
            duration_ms=self.duration_ms,
            window_ms=self.window_ms or (0.0, self.duration_ms),
            where=where,
        )
        return GivenSpikes(network.n_lgn, schedule, self._pieces(node, time_ms))

    def _pieces(
        self, node: NDArray[np.int64], time_ms: NDArray[np.float64]
    ) -> tuple[LgnSpikes, ...]:
        n_steps = round(self.duration_ms / DT_MS)
        # A time that is a whole step to within rounding is that step.
        step = np.floor((time_ms - self.start_ms) / DT_MS + 1e-6)
        inside = (step >= 0) & (step < n_steps * self.trials)
        if not inside.any():
            span = f"{time_ms.min():g} to {time_ms.max():g} ms" if time_ms.size else "no times"
            raise StimulusError(
                f"no spikes among {self.trials} pieces of {self.duration_ms:g} ms from "
                f"{self.start_ms:g} ms on; the file has {span}",
                where=str(self.file),
                expected="spikes to show",
            )
        node, step = node[inside], step[inside].astype(np.int64)
        order = np.lexsort((node, step))
        node, step = node[order], step[order]
        bounds = np.searchsorted(step, n_steps * np.arange(self.trials + 1))
        step %= n_steps
        return tuple(
            LgnSpikes(step[start:stop].astype(np.int32), node[start:stop].astype(np.int32))
            for start, stop in itertools.pairwise(bounds)
        )


def _read(path: Path, population: str | None) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    with given_hdf5(path, error=StimulusError, expected="a SONATA spike file") as file:
        names = [name for name in file.names("spikes") if file.is_group(f"spikes/{name}")]
        if not names:
            raise file.missing("spikes/<population>/node_ids")
        name = population or (names[0] if len(names) == 1 else None)
        if name not in names:
            raise StimulusError(
                f"no population {name!r}" if name else f"{len(names)} populations",
                where=f"{path}:/spikes",
                expected=f"one of {file.listed('spikes')}",
                hint=f"--set stimulus.population={printable(names[0])}",
            )
        group = f"spikes/{name}"
        expected = "one id a timestamp"
        node = file.numbers(f"{group}/node_ids", (None,), kinds="iu", expected=expected)
        time = file.numbers(f"{group}/timestamps", (None,), expected=expected)
        unit = file.text_attribute(f"{group}/timestamps", "units") or "milliseconds"
    where = f"{path}:/{group}"
    if unit not in ("milliseconds", "ms"):
        seen = f"timestamps in {printable(unit)!r}"
        raise StimulusError(seen, where=where, expected="milliseconds")
    if node.shape != time.shape:
        seen = f"{len(node):,} node_ids beside {len(time):,} timestamps"
        raise StimulusError(seen, where=where, expected=expected)
    if node.size and int(node.max()) >= 1 << 62:
        raise StimulusError(f"a node id of {node.max()}", where=where, expected="ids of cells")
    return node.astype(np.int64), time.astype(np.float64)

"""LGN spikes of a file, given to the network as they are."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from v1sim.config_section import Count, DurationMs, InputFile, TimeMs, WindowMs
from v1sim.errors import StimulusError
from v1sim.model import NetworkModel, Presentation
from v1sim.stimulus.base import StimulusConfig
from v1sim.stimulus.given import GivenSpikes
from v1sim.stimulus.spike_files import SpikeFile, read_spike_file
from v1sim.stimulus.spikes import LgnSpikes, LgnSpikeTimes
from v1sim.stimulus.trials import repeated_trials

__all__ = ["SonataSpikes"]

#: Fewer spikes say nothing of their unit.
_FEW = 50
#: LGN cells send less than one spike a ms: if more of them than this fall together with another
#: of their cell, the times are no milliseconds. (20 % would be 200 Hz of a Poisson process.)
_MOST_TOGETHER = 0.5
#: Times that nobody calls milliseconds, and that all lie in so small a part of what is shown.
_SMALL_PART = 0.01


class SonataSpikes(StimulusConfig):
    """LGN spikes from a file as they are, cut into ``trials`` pieces of ``duration_ms``.

    `v1sim.stimulus.spike_files` lists the layouts. ``population`` may be left out where the
    file has but one; node ids count in the network's LGN cells, from ``first_id`` on.
    ``unit`` is what the file's times are in, by default what it says itself, otherwise ms.
    The first piece begins at ``start_ms``.
    """

    kind: Literal["sonata_spikes"]
    file: InputFile
    population: str | None = None
    unit: Literal["milliseconds", "seconds"] | None = None
    first_id: Annotated[int, Field(ge=0)] = 0
    start_ms: TimeMs = 0.0
    duration_ms: DurationMs
    trials: Count = 1
    window_ms: WindowMs | None = None

    def made_for(self, network: NetworkModel) -> GivenSpikes:
        """The pieces, one after the other, each a trial."""
        file = read_spike_file(self.file, self.population, unit=self.unit)
        node = file.node - self.first_id
        if node.size and not 0 <= node.min() <= node.max() < network.lgn.size:
            from_one = file.node.min() == 1 and file.node.max() == network.lgn.size
            raise StimulusError(
                f"node ids from {file.node.min()} to {file.node.max()}",
                where=file.where,
                expected=f"{self.first_id} to {self.first_id + network.lgn.size - 1}: "
                "the network's LGN cells",
                hint="they count from 1: --set stimulus.first_id=1" if from_one else None,
            )
        if not np.isfinite(file.time).all():
            seen = f"{int((~np.isfinite(file.time)).sum())} timestamps that are not finite"
            raise StimulusError(seen, where=file.where, expected="times in ms")
        stimuli: list[Mapping[str, float | int | str]] = [
            {"file": self.file.name, "piece": piece} for piece in range(self.trials)
        ]
        schedule = repeated_trials(
            stimuli,
            repeats=1,
            duration_ms=self.duration_ms,
            window_ms=self.window_ms or (0.0, self.duration_ms),
            shown=[[Presentation(0.0, self.duration_ms, "spikes", one)] for one in stimuli],
            where=str(self.file),
        )
        return GivenSpikes(network.lgn.size, schedule, self._pieces(file, node))

    def _pieces(self, file: SpikeFile, node: NDArray[np.int64]) -> tuple[LgnSpikeTimes, ...]:
        time_ms = file.time * (file.unit_ms or 1.0)
        from_start_ms = time_ms - self.start_ms
        # A time that is the start of a piece to within rounding is that start.
        piece = np.floor((from_start_ms + 1e-6) / self.duration_ms)
        inside = (piece >= 0) & (piece < self.trials)
        if not inside.any():
            span = f"{time_ms.min():g} to {time_ms.max():g} ms" if time_ms.size else "no times"
            raise StimulusError(
                f"no spikes among {self.trials} pieces of {self.duration_ms:g} ms from "
                f"{self.start_ms:g} ms on; the file has {span}",
                where=file.where,
                expected="spikes to show",
            )
        node, from_start_ms = node[inside], from_start_ms[inside]
        if self.unit is None:
            self._refuse_seconds(file, LgnSpikeTimes(from_start_ms, node).in_steps(1.0))
        piece = piece[inside].astype(np.int64)
        in_piece_ms = np.maximum(from_start_ms - piece * self.duration_ms, 0.0)
        order = np.argsort(piece, kind="stable")
        bounds = np.searchsorted(piece[order], np.arange(self.trials + 1))
        return tuple(
            LgnSpikeTimes(in_piece_ms[rows], node[rows])
            for rows in (order[a:b] for a, b in itertools.pairwise(bounds))
        )

    def _refuse_seconds(self, file: SpikeFile, spikes: LgnSpikes) -> None:
        """Refuse spikes, in steps of 1 ms, whose times can hardly be in ms."""
        if len(spikes) < _FEW:
            return
        as_next = (np.diff(spikes.step) == 0) & (np.diff(spikes.source) == 0)
        together = np.append(as_next, False) | np.insert(as_next, 0, False)
        n_together = int(np.count_nonzero(together))
        shown_ms = self.trials * self.duration_ms
        seen = None
        if n_together > _MOST_TOGETHER * len(spikes):
            seen = (
                f"{n_together:,} of {len(spikes):,} spikes fall into the same ms as another of "
                "their cell"
            )
        elif file.unit_ms is None and file.time.max() - self.start_ms < _SMALL_PART * shown_ms:
            seen = (
                f"all {len(spikes):,} spikes lie within the first {file.time.max():.3g} of "
                f"{shown_ms:g} ms, and the file does not say what its times are in"
            )
        if seen is not None:
            raise StimulusError(
                f"{seen}: are these seconds?",
                where=file.where,
                expected="times in ms",
                hint="--set stimulus.unit=seconds, or stimulus.unit=milliseconds if they are",
            )

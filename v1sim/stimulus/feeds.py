"""What the cells of source populations send, by population: ``inputs`` of a configuration.

A run's stimulus is what the LGN sees. All that comes from elsewhere is given by population: spikes
of a file (`SpikesOf`), a Poisson process (`PoissonOf`), or the word that it is silent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from v1sim.config_section import InputFile, Section
from v1sim.errors import StimulusError
from v1sim.model import NetworkModel, SourcePopulation
from v1sim.stimulus.random_streams import stream
from v1sim.stimulus.spike_files import SpikeFile, read_spike_file
from v1sim.stimulus.spikes import LgnSpikes
from v1sim.units import stamp_steps

__all__ = ["AnyFeed", "Feed", "PoissonOf", "SpikesOf", "feeds_of"]

I64 = NDArray[np.int64]
F64 = NDArray[np.float64]

#: Cells of which an error shows the ids.
_EXAMPLES = 5


class Feed(Protocol):
    """What a population sends in a trial."""

    def spikes(
        self, trial: int, seed: int, dt_ms: float, first_step: int, n_steps: int
    ) -> LgnSpikes:
        """Its spikes in the ``n_steps`` of a trial that begins with its ``first_step``."""

    def remarks(self) -> tuple[str, ...]:
        """What is to be known of them, in sentences."""


class SpikesOf(Section):
    """Spikes of a file: a SONATA spike file of either layout, BMTK's table (.csv), or NWB.

    ``population`` is what the file calls the cells, by default as the network does. Node ids are
    those of the network's population; with ``nodes`` those of other cells are left out. ``unit``
    is what the times are in, by default what the file says, otherwise ms. Trials begin at
    ``start_ms`` of the file, each with the same spikes, or each where the one before it
    ended. ``trial`` is the one of an NWB 1 file that has several.
    """

    file: InputFile
    population: str | None = None
    unit: Literal["milliseconds", "seconds"] | None = None
    nodes: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(strict=False)] | None = None
    start_ms: Annotated[float, Field(ge=0)] = 0.0
    each_trial: Literal["same", "next"] = "same"
    trial: str | None = None


class PoissonOf(Section):
    """Every cell a Poisson process of one rate, drawn anew in each trial."""

    rate_hz: Annotated[float, Field(ge=0, le=100_000)]


#: What a configuration says of one population.
AnyFeed = (
    Literal["silent"]
    | SpikesOf
    | PoissonOf
    | Annotated[tuple[SpikesOf, ...], Field(strict=False, min_length=1)]
)


def feeds_of(
    inputs: Mapping[str, AnyFeed], network: NetworkModel, trial_ms: Sequence[float]
) -> Mapping[str, Feed]:
    """What each population of ``inputs`` sends.

    Parameters
    ----------
    inputs : mapping
        By name of the source population.
    network : NetworkModel
        Has the populations.
    trial_ms : sequence of float
        Duration of each trial in ms.

    Raises
    ------
    StimulusError
        If there is no such population, a file cannot be used, or two files feed one cell.
    """
    known = network.source_populations
    for name in inputs:
        if name not in known:
            raise StimulusError(
                f"the network has no source population {name!r}",
                where=f"inputs.{name}",
                expected=f"one of {', '.join(known) or 'none: it has no source populations'}",
            )
    return MappingProxyType(
        {name: _feed(name, given, known[name], trial_ms) for name, given in inputs.items()}
    )


def _feed(
    name: str, given: AnyFeed, population: SourcePopulation, trial_ms: Sequence[float]
) -> Feed:
    if given == "silent":
        return _Silent()
    if isinstance(given, PoissonOf):
        return _Poisson(name, population.size, given.rate_hz)
    files = given if isinstance(given, tuple) else (given,)
    assert not isinstance(files, str)
    parts = [_GivenTimes.of(name, one, population, trial_ms) for one in files]
    _refuse_fed_twice(name, parts, population)
    return parts[0] if len(parts) == 1 else _Together(parts)


class _Silent:
    """No spikes: the configuration says so."""

    def spikes(
        self, trial: int, seed: int, dt_ms: float, first_step: int, n_steps: int
    ) -> LgnSpikes:
        return LgnSpikes.none()

    def remarks(self) -> tuple[str, ...]:
        return ()


@dataclass(frozen=True)
class _Poisson:
    name: str
    size: int
    rate_hz: float

    def spikes(
        self, trial: int, seed: int, dt_ms: float, first_step: int, n_steps: int
    ) -> LgnSpikes:
        """How many in all, then when and whose: independent Poisson processes."""
        end = first_step + n_steps
        rng = stream(seed, f"spikes of {self.name}", trial)
        mean = self.rate_hz * dt_ms / 1000.0 * self.size
        n_in_step = rng.poisson(mean, end)
        source = rng.integers(0, max(self.size, 1), int(n_in_step.sum()), dtype=np.int32)
        step = np.repeat(np.arange(end, dtype=np.int32), n_in_step)
        inside = step >= first_step
        return _sorted(step[inside] - np.int32(first_step), source[inside])

    def remarks(self) -> tuple[str, ...]:
        return (f"Cells of {self.name} are Poisson processes of {self.rate_hz:g} Hz each.",)


@dataclass(frozen=True, eq=False)
class _GivenTimes:
    """Times of a file, in ms from its beginning, and the index of the cell of each spike.

    ``meant`` (size,) says of which cells of the population spikes are sent.
    """

    name: str
    where: str
    time_ms: F64
    source: NDArray[np.int32]
    meant: NDArray[np.bool_]
    start_ms: NDArray[np.float64]
    said: tuple[str, ...]

    @classmethod
    def of(
        cls,
        name: str,
        config: SpikesOf,
        population: SourcePopulation,
        trial_ms: Sequence[float],
    ) -> _GivenTimes:
        file = read_spike_file(
            config.file,
            config.population or name,
            key=f"inputs.{name}",
            trial=config.trial,
            unit=config.unit,
        )
        time_ms = file.time * (file.unit_ms or 1.0)
        _refuse_times(file, time_ms)
        source = _index_of(file, population)
        said = []
        meant = np.ones(population.size, dtype=bool)
        if config.nodes is not None:
            meant = np.isin(population.ids, config.nodes)
            unknown = np.setdiff1d(config.nodes, population.ids)
            if unknown.size:
                raise StimulusError(
                    f"{unknown.size} node ids that {name} has not, for example {_listed(unknown)}",
                    where=f"inputs.{name}.nodes",
                    expected=_known_ids(population),
                )
            kept = meant[source]
            if not kept.all():
                said.append(
                    f"Of the {len(kept):,} spikes of {config.file.name} for {name}, "
                    f"{int(np.count_nonzero(~kept)):,} are those of cells outside of its nodes "
                    "and were left out (BMTK sends them all)."
                )
            source, time_ms = source[kept], time_ms[kept]
        order = np.argsort(time_ms, kind="stable")
        start = np.full(len(trial_ms), config.start_ms)
        if config.each_trial == "next":
            start += np.concatenate([[0.0], np.cumsum(trial_ms)[:-1]])
        end_ms = float((start + np.asarray(trial_ms)).max(initial=0.0))
        if not source.size:
            said.append(f"{config.file.name} has no spikes for {name}.")
        elif time_ms.min() >= end_ms:
            raise StimulusError(
                f"no spikes before {end_ms:g} ms, where the last trial ends; the first is at "
                f"{time_ms.min():g} ms",
                where=file.where,
                expected="spikes to send",
                hint=f"inputs.{name}.start_ms says where the first trial begins in the file",
            )
        return cls(
            name,
            file.where,
            time_ms[order],
            source[order].astype(np.int32),
            meant,
            start,
            tuple(said),
        )

    def spikes(
        self, trial: int, seed: int, dt_ms: float, first_step: int, n_steps: int
    ) -> LgnSpikes:
        """Those of the trial, with NEST's stamps: the first step that is not before the time."""
        begin_ms = self.start_ms[trial]
        # A step sooner and later: which one a spike is in is for `stamp_steps` to say.
        first = np.searchsorted(self.time_ms, begin_ms + (first_step - 2) * dt_ms)
        last = np.searchsorted(self.time_ms, begin_ms + (first_step + n_steps + 1) * dt_ms)
        time_ms = self.time_ms[first:last]
        step = stamp_steps(time_ms - begin_ms, dt_ms) - first_step
        inside = (step >= 0) & (step < n_steps)
        return _sorted(step[inside].astype(np.int32), self.source[first:last][inside])

    def remarks(self) -> tuple[str, ...]:
        return self.said


@dataclass(frozen=True)
class _Together:
    """Several feeds of one population, each for cells of its own."""

    parts: Sequence[_GivenTimes]

    def spikes(
        self, trial: int, seed: int, dt_ms: float, first_step: int, n_steps: int
    ) -> LgnSpikes:
        parts = [p.spikes(trial, seed, dt_ms, first_step, n_steps) for p in self.parts]
        return _sorted(
            np.concatenate([p.step for p in parts]), np.concatenate([p.source for p in parts])
        )

    def remarks(self) -> tuple[str, ...]:
        return tuple(text for part in self.parts for text in part.remarks())


def _sorted(step: NDArray[np.int32], source: NDArray[np.int32]) -> LgnSpikes:
    order = np.lexsort((source, step))
    return LgnSpikes(step[order], source[order])


def _known_ids(population: SourcePopulation) -> str:
    ids = population.ids
    if not ids.size:
        return "a population with cells"
    return f"ids of its {ids.size:,} cells, {ids.min()} to {ids.max()}"


def _listed(ids: NDArray[np.integer]) -> str:
    return ", ".join(map(str, ids[:_EXAMPLES].tolist()))


def _index_of(file: SpikeFile, population: SourcePopulation) -> I64:
    """Index of the cell of each spike; ids that no cell has are refused."""
    ids = population.ids
    order = np.argsort(ids, kind="stable")
    place = np.searchsorted(ids, file.node, sorter=order)
    index = order[np.minimum(place, len(ids) - 1)] if len(ids) else np.zeros_like(place)
    unknown = ids[index] != file.node if len(ids) else np.ones(len(place), dtype=bool)
    if unknown.any():
        others = np.unique(file.node[unknown])
        raise StimulusError(
            f"{int(np.count_nonzero(unknown)):,} of {len(unknown):,} spikes are of {others.size:,} "
            f"node ids that the population has not, for example {_listed(others)}",
            where=file.where,
            expected=_known_ids(population),
            hint="BMTK drops such spikes without a word; is this the file of another network?",
        )
    return index


def _refuse_times(file: SpikeFile, time_ms: F64) -> None:
    """NEST has no place for spikes at or before the start of the simulation."""
    bad = ~(np.isfinite(time_ms) & (time_ms > 0))
    if bad.any():
        row = int(np.argmax(bad))
        raise StimulusError(
            f"{int(np.count_nonzero(bad)):,} of {bad.size:,} times are not above 0 ms, for example "
            f"that of spike {row}: {time_ms[row]:g} ms",
            where=file.where,
            expected="times above 0: a spike at t acts with the stamp of the first step that ends "
            "at t or later, and no step ends at 0",
            hint="shift the times, or leave such spikes out; BMTK and NEST refuse them too",
        )


def _refuse_fed_twice(
    name: str, parts: Sequence[_GivenTimes], population: SourcePopulation
) -> None:
    total = np.zeros(population.size, dtype=np.int64)
    for part in parts:
        total += part.meant
    if (total > 1).any():
        twice = population.ids[total > 1]
        raise StimulusError(
            f"{twice.size:,} cells are fed by several files, for example {_listed(twice)}",
            where=f"inputs.{name}",
            expected="each cell fed by one: files for several parts of a population name them by "
            "nodes",
            hint="BMTK makes all synapses of such a population once more for each input",
        )

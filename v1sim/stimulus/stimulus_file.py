"""The stimulus HDF5 of the training code: LGN spike probabilities of many samples.

``spike_trains`` (samples, T, n_input) is not spikes: it holds 1.3 times the
probability of a spike in each millisecond, and training drew a spike where
``clip(value / 1.3, 0, 1) > uniform``. ``labels``, ``response_window`` and ``time_windows`` may
be there. Files that v1sim writes say in ``stimuli`` (samples,) what each sample shows, as JSON.

- `open_stimulus_file`: read
- `write_stimulus_file`: write
"""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from v1sim import __version__
from v1sim.errors import StimulusError
from v1sim.files.hdf5 import GivenHdf5, fixed_length_texts, given_hdf5
from v1sim.model import Trial
from v1sim.output import replacing
from v1sim.stimulus.base import Stimulus
from v1sim.stimulus.given import GivenSpikes
from v1sim.stimulus.spikes import UNIFORM_STEP
from v1sim.units import MODEL_STEP_MS

__all__ = [
    "SCALE",
    "StimulusFile",
    "open_stimulus_file",
    "write_stimulus_file",
]

F32 = NDArray[np.float32]

_log = logging.getLogger(__name__)

#: Stored value of a certain spike.
SCALE = 1.3

#: No file of probabilities has more values above that of a certain spike.
_MOST_OVER = 0.01


@dataclass
class _Seen:
    """What the samples held that were read."""

    n: int = 0
    n_over: int = 0
    n_one: int = 0
    n_spike_samples: int = 0
    largest: float = 0.0
    mean: float = 0.0

    def add(self, values: F32, probability: F32, largest_value: float) -> None:
        n = self.n + values.size
        self.mean += (float(probability.mean(dtype=np.float64)) - self.mean) * values.size / n
        self.n = n
        self.n_over += int(np.count_nonzero(values > largest_value * (1 + 1e-6)))
        self.n_one += int(np.count_nonzero(values == 1))
        self.largest = max(self.largest, float(values.max(initial=0)))


@dataclass(frozen=True, eq=False)
class StimulusFile:
    """What a stimulus file holds; samples are read one at a time.

    ``label`` (samples,); ``response_window_ms`` is what the file says, None where
    it says nothing; ``stimulus`` says what each sample shows, in plain values. ``divide_by`` is the
    stored value of a certain spike; ``analog`` says that the quotients are not for drawing
    spikes, so that they may be above 1.
    """

    path: Path
    n_samples: int
    n_steps: int
    n_input: int
    label: NDArray[np.int64] | None
    response_window_ms: tuple[float, float] | None
    response_window_where: str
    stimulus: tuple[Mapping[str, float | int | str], ...]
    divide_by: float = SCALE
    analog: bool = False
    _seen: _Seen = field(default_factory=_Seen, repr=False)

    @property
    def largest_value(self) -> float:
        """What no probability is stored above."""
        return max(self.divide_by, SCALE) if self.analog else self.divide_by

    def probability(self, sample: int) -> F32:
        """Probability of a spike in each millisecond, shape (n_steps, n_input).

        Raises
        ------
        StimulusError
            If the sample holds spikes, rates or broken values instead.
        """
        with _opened(self.path) as file:
            data = file.dataset("spike_trains")
            if data is None or sample >= len(data):
                raise file.missing("spike_trains")  # the file was changed meanwhile
            values: F32 = file.read(data, sample).astype(np.float32, copy=False)
        self._refuse_other_quantities(values, sample)
        if not self.analog and self._are_spikes(values):
            self._seen.n_spike_samples += 1
            return values
        most = self.largest_value / self.divide_by
        probability: F32 = np.clip(values / np.float32(self.divide_by), 0, np.float32(most))
        self._seen.add(values, probability, self.largest_value)
        return probability

    def window_ms(self) -> tuple[float, float]:
        """The part of each trial that analyses read: the file's response window, or all.

        Raises
        ------
        StimulusError
            If the file's window does not pass the tests of a configuration's.
        """
        if self.response_window_ms is None:
            return 0.0, self.n_steps * MODEL_STEP_MS
        _refuse_other_times(self.response_window_where, *self.response_window_ms, self.n_steps)
        return self.response_window_ms

    def remarks(self) -> tuple[str, ...]:
        """What a reader must know of the samples that were read."""
        seen = self._seen
        if seen.n_spike_samples:
            of_spikes = (
                f"Samples of {self.path.name} hold nothing but zeros and ones "
                f"({seen.n_spike_samples:,} that were read): these are spikes, which are given as "
                "they are. None is drawn.",
            )
            return of_spikes if not seen.n else (*of_spikes, *self._remarks_on_probabilities())
        return self._remarks_on_probabilities()

    def _remarks_on_probabilities(self) -> tuple[str, ...]:
        seen = self._seen
        if not seen.n:
            return ()
        more: tuple[str, ...] = ()
        if seen.largest == 1 < self.divide_by and seen.n_one > 1:
            more = (
                f"{seen.n_one:,} values of {self.path.name} are exactly 1 and none is above: they "
                f"look like plain probabilities, which are divided by 1 (stimulus.divide_by), not "
                f"by {self.divide_by:g}.",
            )
        if seen.n_over:
            more = (
                f"{seen.n_over:,} of {seen.n:,} values of {self.path.name} are above "
                f"{self.largest_value:g}, where a spike is certain: their excess was cut off. If "
                "they are many, the file was made for another division (stimulus.divide_by).",
            )
        if self.analog:
            return (
                f"LGN input is analog: in each step the values of {self.path.name} divided by "
                f"{self.divide_by:g} enter the synapses as numbers, in place of spikes. They are "
                f"{seen.mean:.3g} on average; the largest value of the file is "
                f"{seen.largest:.3g}. No LGN spikes are drawn, so that none are recorded.",
                *more,
            )
        text = (
            f"LGN probabilities are the values of {self.path.name} divided by {self.divide_by:g}, "
            f"{seen.mean * 1000 / MODEL_STEP_MS:.1f} Hz on average; the largest value is "
            f"{seen.largest:.3g}."
        )
        if self.divide_by != SCALE:
            text += f" Files of the training code hold {SCALE} times the probability."
        return text, *more

    def _refuse_other_quantities(self, values: F32, sample: int) -> None:
        where = f"{self.path}:/spike_trains, sample {sample}"
        expected = f"{self.divide_by:g} times the probability of a spike in each millisecond"
        if not np.isfinite(values).all() or values.min(initial=0) < 0:
            n_bad = int((~(values >= 0) | ~np.isfinite(values)).sum())
            seen = f"{n_bad} of {values.size} values are negative or not finite"
            raise StimulusError(seen, where=where, expected=expected)
        n_over = int(np.count_nonzero(values > 1.01 * self.largest_value))
        if n_over > _MOST_OVER * np.count_nonzero(values):
            seen = (
                f"{n_over} of {np.count_nonzero(values)} values are above {self.largest_value:g}, "
                f"the largest {values.max():.3g}: these are rates or counts, not probabilities"
            )
            hint = "rates in Hz are stimulus.kind: rates; another factor is stimulus.divide_by"
            raise StimulusError(seen, where=where, expected=expected, hint=hint)
        if self.analog and self._are_spikes(values):
            raise StimulusError(
                "only zeros and ones: these are spikes, not numbers",
                where=where,
                expected=expected,
                hint="spikes are given as they are: --set stimulus.input=spikes",
            )

    @staticmethod
    def _are_spikes(values: F32) -> bool:
        """Whether a sample holds nothing but zeros and ones: no file of probabilities does."""
        return bool(values.any() and ((values == 0) | (values == 1)).all())


def open_stimulus_file(path: Path, n_input: int) -> StimulusFile:
    """Open a stimulus file for a network with ``n_input`` LGN cells.

    Raises
    ------
    StimulusError
        If the file cannot be read, lacks a dataset, or does not fit the network.
    """
    with _opened(path) as file:
        return _describe(path, file, n_input)


def _opened(path: Path) -> AbstractContextManager[GivenHdf5]:
    return given_hdf5(
        path, error=StimulusError, expected="a stimulus file: spike_trains (samples, T ms, n_input)"
    )


def _describe(path: Path, file: GivenHdf5, n_input: int) -> StimulusFile:
    data = file.dataset("spike_trains")
    if data is None:
        raise file.missing("spike_trains")
    where = f"{path}:/spike_trains"
    if data.ndim != 3 or 0 in data.shape or data.dtype.kind not in "fiub":
        seen = f"shape {data.shape} of {data.dtype}"
        raise StimulusError(seen, where=where, expected="(samples, T ms, n_input) of float32")
    n_samples, n_steps, n_stored = data.shape
    if n_stored != n_input:
        seen = f"{n_stored} LGN cells"
        hint = "the file was made for another network"
        if n_steps == n_input:
            hint = "its last two axes look swapped: the order is (samples, T, n_input)"
        elif n_samples == n_input:
            hint = (
                "its axes look reversed, as Julia and MATLAB write them: the order is (samples, T, "
                "n_input); permutedims(x, (3, 2, 1)) or permute(x, [3 2 1]) before writing"
            )
        raise StimulusError(seen, where=where, expected=f"{n_input}, as the network has", hint=hint)
    label = _column(file, "labels", (n_samples,))
    if label is not None and not ((np.abs(label) < 2**31) & (label == np.floor(label))).all():
        raise StimulusError(
            "labels that are no whole numbers",
            where=file.where("labels"),
            expected="the class of each sample, counted from 0",
        )
    window = _column(file, "response_window", (2,))
    return StimulusFile(
        path=path,
        n_samples=n_samples,
        n_steps=n_steps,
        n_input=n_stored,
        label=label.astype(np.int64) if label is not None else None,
        response_window_ms=(float(window[0]), float(window[1])) if window is not None else None,
        response_window_where=file.where("response_window"),
        stimulus=_stimuli(file, n_samples, label),
    )


def _refuse_other_times(where: str, start: float, stop: float, n_steps: int) -> None:
    """The tests that a window in a configuration passes."""
    seen = f"a window from {start:g} to {stop:g} ms"
    if not 0 <= start < stop <= n_steps:
        raise StimulusError(seen, where=where, expected=f"within the {n_steps} ms of a sample")
    are_seconds = stop * 1000 <= n_steps  # a window of a ms or two at the very beginning is none
    if are_seconds or start % MODEL_STEP_MS or stop % MODEL_STEP_MS:
        in_ms = f"[{start * 1000:g}, {stop * 1000:g}]"
        raise StimulusError(
            f"{seen}: these look like seconds" if are_seconds else seen,
            where=where,
            expected=f"whole ms within the {n_steps} ms of a sample",
            hint=f"write {in_ms} there, or --set stimulus.response_window_ms={in_ms}"
            if are_seconds
            else "--set stimulus.response_window_ms=[START, STOP]",
        )


def _stimuli(
    file: GivenHdf5, n_samples: int, label: NDArray[np.generic] | None
) -> tuple[Mapping[str, float | int | str], ...]:
    """What each sample shows, as far as the file says."""
    stored = file.texts("stimuli") if file.has("stimuli") else ["{}"] * n_samples
    try:
        stimuli = [{**json.loads(text), "sample": i} for i, text in enumerate(stored)]
    except (ValueError, TypeError, RecursionError) as error:
        stimuli = []
        reason: Exception | None = error
    else:
        reason = None
    plain = all(
        isinstance(value, float | int | str) for stimulus in stimuli for value in stimulus.values()
    )
    if len(stimuli) != n_samples or not plain:
        seen = "what the samples show cannot be read"
        raise StimulusError(
            seen, where=file.where("stimuli"), expected=f"{n_samples} JSON texts of plain values"
        ) from reason
    if label is not None:
        for stimulus, of_sample in zip(stimuli, label.tolist(), strict=True):
            stimulus["label"] = int(of_sample)
    return tuple(stimuli)


def _column(
    file: GivenHdf5, name: str, shape: tuple[int | None, ...]
) -> NDArray[np.generic] | None:
    """A small dataset that may be absent, of a known shape (None: any length)."""
    if not file.has(name):
        return None
    data = file.dataset(name)
    if len(shape) == 1 and data is not None and data.ndim == 2 and 1 in data.shape:
        values = file.numbers(name, data.shape, expected="a vector").reshape(-1)  # MATLAB's vectors
        if shape[0] in (None, len(values)):
            return values
    return file.numbers(name, shape, expected=f"numbers of shape {shape}")


def write_stimulus_file(stimulus: Stimulus, path: Path) -> int:
    """Write the probabilities of each of the stimuli that are shown.

    Shown again with the same seed and as many trials of each, the file gives the
    same spikes: uniform numbers are multiples of `UNIFORM_STEP`, and what
    is written is a probability in the middle of the step, which rounding does not
    take out of it (up to 0.25, that is 288 Hz; above, nearly always).

    Parameters
    ----------
    stimulus : Stimulus
        Of equally long trials.
    path : Path
        An existing file is replaced. It appears whole or not at all.

    Returns
    -------
    int
        Samples written.

    Raises
    ------
    StimulusError
        If the trials differ in length or window.
    OutputError
        If the file cannot be written.
    """
    first = np.unique(stimulus.schedule.stimulus_of_trial, return_index=True)[1]
    shown = [stimulus.trials[index] for index in first]
    lengths = {(trial.duration_ms, trial.window_ms) for trial in shown}
    if len(lengths) != 1:
        seen = f"{len(lengths)} different lengths or windows of trials"
        raise StimulusError(seen, where="stimulus", expected="one for all: the file has but one")
    n_steps = stimulus.n_steps(shown[0].index)
    shape = (len(shown), n_steps, stimulus.n_lgn)
    _warn_of_several(stimulus, shown, path)
    with replacing(path) as temporary:
        # HDF5 ends the process where a disk is full. So it writes little, onto space that was
        # there a moment ago, and the values are written around it.
        temporary.write_bytes(bytes(1 << 20))
        offset = _write_around(temporary, shown, shape)
        with temporary.open("r+b") as stream:
            stream.seek(offset)
            for trial in shown:
                stream.write(_stored(stimulus.strength(trial.index)).data)
    return len(shown)


def _warn_of_several(stimulus: Stimulus, shown: Sequence[Trial], path: Path) -> None:
    """Several spikes of a cell in one step are one in a file of probabilities."""
    if not isinstance(stimulus, GivenSpikes):
        return
    for trial in shown:
        spikes = stimulus.input(trial.index, 0)
        n_lost = len(spikes) - np.count_nonzero(stimulus.strength(trial.index))
        if n_lost:
            _log.warning(
                "%s: %d of %d spikes of trial %d share a %g ms step with another of their cell and "
                "are one with it in this file",
                path, n_lost, len(spikes), trial.index, MODEL_STEP_MS,
            )  # fmt: skip


def _write_around(path: Path, shown: Sequence[Trial], shape: tuple[int, int, int]) -> int:
    """Everything but the values of ``spike_trains``; where they belong in the file."""
    n_samples, n_steps, n_lgn = shape
    start, stop = (round(time_ms / MODEL_STEP_MS) for time_ms in shown[0].window_ms)
    edges = [0, start, stop, n_steps]
    parts = [(a, b) for a, b in itertools.pairwise(edges) if a < b]
    stimuli = [{k: v for k, v in trial.stimulus.items() if k != "repeat"} for trial in shown]
    labels = [stimulus.get("label") for stimulus in stimuli]
    with h5py.File(path, "w") as file:
        layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        layout.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        data = h5py.h5d.create(
            file.id, b"spike_trains", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple(shape), layout
        )
        offset = int(data.get_offset())
        file["response_window"] = np.array([start, stop], dtype=np.int32)
        file["time_windows"] = np.array(parts, dtype=np.int32)
        file["stimuli"] = fixed_length_texts([json.dumps(stimulus) for stimulus in stimuli])
        if all(isinstance(label, int) for label in labels):
            file["labels"] = np.array(labels, dtype=np.int32)
        file.attrs.update(
            n_samples=n_samples,
            n_lgn=n_lgn,
            seq_len=n_steps,
            pre_delay=start,
            im_slice=stop - start,
            post_delay=n_steps - stop,
            made_by=f"v1sim {__version__}",
        )
    return offset


def _stored(probability: F32) -> F32:
    """1.3 p, from which reading gives a probability that draws the same spikes."""
    step = np.ceil(probability / np.float32(UNIFORM_STEP))  # exact: a power of two
    middle = (step - np.float32(0.5)) * np.float32(UNIFORM_STEP)
    small = (probability > 0) & (probability < 0.25)
    stored: F32 = np.where(small, middle, probability) * np.float32(SCALE)
    return np.ascontiguousarray(stored, dtype="<f4")

"""Samples of a file of LGN spike probabilities, as the training code writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from v1sim.config_section import Count, InputFile, Positive, WindowMs
from v1sim.errors import StimulusError
from v1sim.model import NetworkModel, Presentation
from v1sim.stimulus.base import StimulusConfig
from v1sim.stimulus.drawn import DrawnStimulus
from v1sim.stimulus.stimulus_file import StimulusFile, open_stimulus_file
from v1sim.stimulus.trials import Schedule, repeated_trials
from v1sim.stimulus.visual import NotEmpty
from v1sim.units import MODEL_STEP_MS

__all__ = ["Probabilities"]

F32 = NDArray[np.float32]


class Probabilities(StimulusConfig):
    """LGN firing probabilities from a stimulus file (``spike_trains``, 1.3 p).

    ``divide_by`` is what the file's values are divided by: 1.0 for files of plain probabilities.
    ``input`` says what enters the synapses in each step: ``spikes`` drawn with these
    probabilities, or, ``analog``, the quotients themselves, as numbers. ``samples`` are shown
    in the order in which they are listed; by default all are.

    ``response_window_ms`` is the part of each trial that analyses read, by default the file's
    response window, or the whole sample. Files are known to name a window that training did not
    read: give the one that training used. ``first_label`` is the label of the first class:
    Julia and MATLAB count from 1.
    """

    kind: Literal["probabilities"]
    file: InputFile
    divide_by: Positive = 1.3
    input: Literal["spikes", "analog"] = "spikes"
    samples: Annotated[tuple[Annotated[int, Field(ge=0)], ...], NotEmpty] | None = None
    trials: Count = 1
    response_window_ms: WindowMs | None = None
    first_label: Literal[0, 1] = 0

    def made_for(self, network: NetworkModel) -> DrawnStimulus:
        """One stimulus a sample; trials carry ``sample`` and, where the file has it, ``label``."""
        file = replace(
            open_stimulus_file(self.file, network.lgn.size),
            divide_by=self.divide_by,
            analog=self.input == "analog",
        )
        chosen = list(range(file.n_samples)) if self.samples is None else list(self.samples)
        bad = [sample for sample in chosen if sample >= file.n_samples]
        if bad:
            raise StimulusError(
                f"samples {bad}",
                where=str(self.file),
                expected=f"samples from 0 to {file.n_samples - 1}",
            )
        duration_ms = file.n_steps * MODEL_STEP_MS
        schedule = repeated_trials(
            [self._carried(file.stimulus[sample]) for sample in chosen],
            repeats=self.trials,
            duration_ms=duration_ms,
            window_ms=self.response_window_ms or file.window_ms(),
            shown=[
                [Presentation(0.0, duration_ms, "probabilities", file.stimulus[sample])]
                for sample in chosen
            ],
            where=str(self.file),
        )
        return _Samples(schedule, file, chosen)

    def _carried(self, stimulus: Mapping[str, float | int | str]) -> dict[str, float | int | str]:
        """What a sample's trials carry, with labels that count from 0."""
        label = stimulus.get("label")
        if not isinstance(label, int):
            return dict(stimulus)
        return {**stimulus, "label": label - self.first_label}


class _Samples(DrawnStimulus):
    """The samples of a file, in the order in which they were chosen."""

    def __init__(self, schedule: Schedule, file: StimulusFile, chosen: Sequence[int]) -> None:
        super().__init__(file.n_input, schedule, analog=file.analog)
        self._file = file
        self._chosen = chosen

    def load(self, stimulus: int) -> F32:
        """One sample."""
        return self._file.probability(self._chosen[stimulus])

    def remarks(self) -> tuple[str, ...]:
        """What the samples held that were read."""
        return self._file.remarks()

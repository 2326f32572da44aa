"""``v1sim compare --json``: runs beside each other, and how each differs from the first."""

from __future__ import annotations

from typing import Any, Literal

from v1sim.documents.difference import ArrayChange, WeightsChange
from v1sim.documents.document import Document

__all__ = [
    "AccuracyDifference",
    "AccuracyOf",
    "ComparedRun",
    "ComparisonDocument",
    "ConfigurationChange",
    "FirstDifference",
    "LabelAccuracy",
    "MeasureDifference",
    "MeasureOf",
    "NetworkComparison",
    "RunDifference",
    "SpikeComparison",
    "TrialSpikes",
]

#: What is measured of each neuron.
Measure = Literal["rate_hz", "osi", "dsi"]


class MeasureOf(Document):
    """One measure of the neurons of one class in one run; of OSI and DSI those that spiked."""

    cell_class: str
    """``all`` for the whole network."""
    measure: Measure
    n: int
    """Number of neurons that have it."""
    mean: float | None
    interval_95: tuple[float | None, float | None]
    """Of the mean (Student's t)."""
    median: float | None


class LabelAccuracy(Document):
    """Decisions on the trials of one label."""

    label: int
    n: int
    accuracy: float
    interval_95: tuple[float, float]
    """Wilson's."""


class AccuracyOf(Document):
    """Decisions of one run."""

    accuracy: float
    interval_95: tuple[float, float]
    """Wilson's."""
    chance: float
    n: int
    """Number of trials."""
    labels: list[LabelAccuracy]


class ComparedRun(Document):
    """One of the runs."""

    label: str
    """What the comparison calls it."""
    folder: str
    network: str
    network_sha256: str
    verdict: str
    """What the guards said of its weights."""
    n_neurons: int
    n_trials: int
    n_errors: int
    """Errors that read-back and activity show."""
    measures: list[MeasureOf]
    accuracy: AccuracyOf | None
    """Null for runs that classify nothing."""


class ConfigurationChange(Document):
    """A key of the configuration that the two runs have otherwise; null where one lacks it."""

    key: str
    before: Any
    after: Any


class NetworkComparison(Document):
    """Whether both runs have the same network, and how the two differ."""

    same_neurons: bool
    """Whether neuron i is the same in both: the same network, whatever its weights."""
    equal: bool | None
    """Whether everything is the same; null where that is not known."""
    why: str
    """What that rests on, or why neurons are not paired."""
    arrays: list[ArrayChange]
    """Arrays that differ."""
    tables: dict[str, WeightsChange]
    """What happened to the weights of each table of synapses."""


class MeasureDifference(Document):
    """How one measure differs from the first run's, in one class."""

    cell_class: str
    measure: Measure
    paired: bool
    """Whether it was compared neuron by neuron."""
    n_before: int
    n_after: int
    mean_before: float
    mean_after: float
    difference: float
    interval_95: tuple[float | None, float | None]
    """Of the difference of the means (Student's t of pairs, or Welch's)."""
    effect_size: float
    """-1 to 1: matched-pairs rank-biserial correlation where paired, Cliff's delta otherwise."""
    p_value: float
    """Wilcoxon's signed ranks where paired, Mann and Whitney's U otherwise."""
    q_value: float
    """The same, with the rate of false discoveries controlled over all rows of the two runs."""


class AccuracyDifference(Document):
    """How the accuracy differs from the first run's."""

    paired: bool
    """Whether both runs showed the same trials in the same order."""
    difference: float
    interval_95: tuple[float, float]
    """Newcombe's."""
    p_value: float
    """McNemar's exact test where paired, Fisher's otherwise."""


class FirstDifference(Document):
    """The first spike that one of the two runs alone has."""

    trial: int
    time_ms: float
    """Start of its step, from the start of the trial."""
    neuron: int
    cell_class: str
    in_run: Literal["before", "after"]
    """Which of the two has it: the first run is before."""

    @property
    def in_run_words(self) -> str:
        """Which of the two has it, for people."""
        return "first" if self.in_run == "before" else "second"


class TrialSpikes(Document):
    """The spikes of one trial, those of the same neuron in the same step being equal."""

    trial: int
    n_before: int
    n_after: int
    n_equal: int
    first_ms: float | None
    """Start of the step in which the two part; null where they never do."""


class SpikeComparison(Document):
    """The spikes of the network's neurons, one by one."""

    equal: bool
    n_before: int
    n_after: int
    n_equal: int
    first: FirstDifference | None
    trials: list[TrialSpikes]


class RunDifference(Document):
    """How one run differs from the first."""

    label: str
    configuration: list[ConfigurationChange]
    network: NetworkComparison
    measures: list[MeasureDifference]
    accuracy: AccuracyDifference | None
    spikes: SpikeComparison | None
    """Null where that was not asked for."""


class ComparisonDocument(Document):
    """Runs beside each other."""

    format: Literal[1] = 1
    """Raised by one whenever a key changes its meaning or goes."""
    runs: list[ComparedRun]
    """The first is what the others are compared with."""
    differences: list[RunDifference]
    notes: list[str]
    """What a reader must know to judge the comparison."""

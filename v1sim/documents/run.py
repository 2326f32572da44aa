"""``report.json``: everything that is to be known of one run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from v1sim.documents.check import CheckDocument, FindingDocument
from v1sim.documents.document import Document
from v1sim.model import Severity

__all__ = [
    "REPORT_FORMAT",
    "ClassRow",
    "ClassificationDocument",
    "NetworkFacts",
    "PublishedFigures",
    "ReadBackFacts",
    "ResultsDocument",
    "RunReport",
    "SimulationFacts",
    "TuningDocument",
    "WindowCurve",
    "read_report",
]

#: Raised by one whenever a key of the report changes its meaning or goes.
REPORT_FORMAT: Literal[1] = 1


class NetworkFacts(Document):
    """The network that was simulated."""

    path: str
    file_sha256: str
    """Digest of the file's bytes."""
    network_sha256: str
    """Digest of what the file holds, before perturbations."""
    n_neurons: int
    n_lgn: int
    n_cell_types: int
    populations: dict[str, int]
    """Number of neurons, by population."""
    projections: dict[str, int]
    """Number of synapses, by projection."""
    classes: str
    """Whether the file names the cell classes or they were inferred."""


class ReadBackFacts(Document):
    """One projection as NEST held it after building."""

    projection: str
    n_synapses: int
    digest: str
    """Of all synapses, whatever their order."""
    by_receptor: dict[str, int]
    """Number of synapses, by receptor."""
    equal_to_plan: bool
    """Always true: a difference ends the run."""


class SimulationFacts(Document):
    """What was simulated."""

    dynamics: str
    """Equations of the neurons."""
    dt_ms: float
    threads: int
    """Threads of each process."""
    processes: int
    seed: int
    n_trials: int
    simulated_ms: float
    """Of all trials."""
    gap_ms: float
    """Simulated between trials, until the network was at rest."""
    between_trials: str
    """How the network returned to its start between trials."""
    background: str
    read_back: list[ReadBackFacts]


class PublishedFigures(Document):
    """Published figures of the nearest class."""

    name: str
    median_osi: float
    median_dsi: float
    mean_rate_hz: float
    n: int


class ClassRow(Document):
    """Results of one cell class. Medians are over neurons that spiked."""

    name: str
    is_excitatory: bool
    n: int
    n_silent: int
    mean_rate_hz: float | None
    median_rate_hz: float | None
    median_osi: float | None
    median_dsi: float | None
    published: PublishedFigures | None


class TuningDocument(Document):
    """What directions or orientations were shown, and what an untuned neuron would score."""

    axis: str
    direction_deg: list[float]
    n_repeats: list[int]
    untuned_osi: float | None
    untuned_dsi: float | None


class WindowCurve(Document):
    """Accuracy with the response window moved over the trial."""

    start_ms: list[float]
    accuracy: list[float]


class ClassificationDocument(Document):
    """Decisions of the readout groups."""

    accuracy: float
    interval_95: tuple[float, float]
    """Of the accuracy (Wilson)."""
    n_trials: int
    n_classes: int
    chance: float
    n_undecided: int
    """Trials in which several classes had most votes."""
    window_ms: tuple[float, float]
    """Response window: start included, stop excluded."""
    best_window_ms: tuple[float, float]
    """The window of the same width with the highest accuracy."""
    best_window_accuracy: float
    confusion: list[list[int]]
    """Trials, by class shown (row) and decided (column)."""
    window_curve: WindowCurve

    @property
    def in_words(self) -> str:
        """The accuracy with its interval, beside chance."""
        low, high = self.interval_95
        return (
            f"{self.accuracy:.1%} of {self.n_trials:,} trials classified rightly "
            f"(95 % interval {low:.1%} to {high:.1%}; chance {self.chance:.1%})"
        )


class ResultsDocument(Document):
    """What the spikes show; rates are over the windows of all trials."""

    mean_rate_hz: float | None
    lgn_mean_rate_hz: float | None
    """Null where the input was analog."""
    n_silent: int
    classes: list[ClassRow]
    tuning: TuningDocument | None
    """Null for runs that show no directions."""
    classification: ClassificationDocument | None
    """Null for runs that classify nothing."""


class RunReport(Document):
    """The report of a run."""

    format: Literal[1] = REPORT_FORMAT
    """Raised by one whenever a key changes its meaning or goes."""
    notes: list[str]
    """What a reader must know to judge the run."""
    guard: CheckDocument
    findings: list[FindingDocument]
    """What read-back and activity show."""
    network: NetworkFacts
    simulation: SimulationFacts
    results: ResultsDocument
    timings_s: dict[str, float]
    """Wall time of each stage."""
    peak_memory_mb: float
    command: str
    """The command line."""
    began: str
    """When it was given (ISO 8601)."""
    config: dict[str, Any]
    """The configuration with everything resolved, as in ``config.yaml``."""
    machine: dict[str, str]
    """Versions by package, and what the machine is."""

    @property
    def errors(self) -> list[FindingDocument]:
        """What read-back and activity show that is an error."""
        return [finding for finding in self.findings if finding.severity is Severity.ERROR]


def read_report(folder: Path) -> RunReport:
    """The report of a run folder.

    Raises
    ------
    InputError
        If the folder has none, or another program's.
    """
    return RunReport.read(
        folder / "report.json", expected="the report of a folder that v1sim run made"
    )

"""A finished run: its report, its recording in several forms, its results and figures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from v1sim.analysis.results import Results, analyse
from v1sim.card import card
from v1sim.documents.run import RunReport, read_report
from v1sim.recording import Recording, read_nwb

if TYPE_CHECKING:
    import neo
    import pandas
    import xarray
    from matplotlib.figure import Figure

    from v1sim.pipeline import RunResult

__all__ = ["Run"]

#: Errors of a run that are named at its end at most.
_MOST_ERRORS = 5


@dataclass(frozen=True, eq=False, repr=False)
class Run:
    """A run folder, of which each file is read when it is first asked for.

    `v1sim.run` and `v1sim.open_run` return it.

    Parameters
    ----------
    folder : Path
        The folder that ``v1sim run`` left.
    """

    folder: Path

    @classmethod
    def of(cls, result: RunResult) -> Run:
        """The run that has just been made."""
        made = cls(result.folder)
        vars(made).update(report=result.report, results=result.results, n_spikes=result.n_spikes)
        return made

    def __repr__(self) -> str:
        return f"<Run {self.report.config.get('name', '')} {self.outcome}: {self.folder}>"

    def _repr_html_(self) -> str:
        report = self.report
        results, simulated = report.results, report.simulation
        rate = "–" if results.mean_rate_hz is None else f"{results.mean_rate_hz:.2f} Hz on average"
        facts = {
            "network": f"{report.network.n_neurons:,} neurons, weights {report.guard.verdict}, "
            f"{report.network.path}",
            "simulated": f"{simulated.n_trials} trials, {simulated.simulated_ms / 1000:,.1f} s, "
            f"dynamics {simulated.dynamics}, steps of {simulated.dt_ms:g} ms",
            "rates": f"{rate}, {results.n_silent:,} silent neurons",
        }
        if results.classification:
            facts["accuracy"] = results.classification.in_words
        facts["page"] = str(self.folder / "report.html")
        errors = [f"{e.check}: {e.where}: {e.message}. {e.hint}" for e in report.errors]
        return card(
            self.outcome,
            str(report.config.get("name", "")),
            facts,
            tone="bad" if errors else "good",
            notes=errors + report.notes,
        )

    @property
    def outcome(self) -> str:
        """The word ``COMPLETE``, or ``SHOWS ERRORS`` where read-back or activity do."""
        return "SHOWS ERRORS" if self.report.errors else "COMPLETE"

    @cached_property
    def report(self) -> RunReport:
        """What ``report.json`` holds: network, simulation, results, configuration, versions.

        Raises
        ------
        InputError
            If the folder has none.
        """
        return read_report(self.folder)

    @cached_property
    def recording(self) -> Recording:
        """Spikes, trials, classes and voltages as arrays.

        Raises
        ------
        InputError
            If ``spikes.nwb`` is not there (``recording.nwb: false``) or cannot be read.
        """
        return read_nwb(self.folder / "spikes.nwb")

    @cached_property
    def results(self) -> Results:
        """Rates, tuning and decisions by neuron and by class, computed from the recording."""
        return analyse(self.recording)

    def to_neo(self) -> neo.Block:
        """The recording as a Neo Block, one Segment a trial (`Recording.to_neo`)."""
        return self.recording.to_neo()

    def spikes(self) -> pandas.DataFrame:
        """One row a spike: trial, neuron, time_ms, cell_class (needs pandas)."""
        from v1sim.frames import spikes_frame

        return spikes_frame(self.recording)

    def neurons(self) -> pandas.DataFrame:
        """One row a neuron: population, id, cell_class, rate_hz, tuning (needs pandas)."""
        from v1sim.frames import neurons_frame

        return neurons_frame(self.recording, self.results)

    def trials(self) -> pandas.DataFrame:
        """One row a trial: when it was, and what it showed (needs pandas)."""
        from v1sim.frames import trials_frame

        return trials_frame(self.recording)

    def to_xarray(self) -> xarray.Dataset:
        """Spike counts (trial, neuron) and voltages with named dimensions (needs xarray)."""
        from v1sim.frames import dataset

        return dataset(self.recording)

    def figure(self) -> Figure:
        """The summary of the run as a figure of matplotlib, which a notebook shows."""
        from v1sim.report.run_folder import run_figure

        return run_figure(self.report, self.recording, self.results)

    @cached_property
    def n_spikes(self) -> int:
        """Number of spikes of the network's neurons, in all trials."""
        return len(self.recording.spikes)

    @property
    def text(self) -> str:
        """A few lines on the run, as ``v1sim run`` ends with; errors are the last of them."""
        report, mean_hz = self.report, self.report.results.mean_rate_hz
        stages = (f"{name} {seconds:.1f} s" for name, seconds in report.timings_s.items())
        decided = report.results.classification
        return "\n".join(
            [
                f"{self.n_spikes:,} spikes of {report.network.n_neurons:,} neurons in "
                f"{report.simulation.n_trials} trials, {mean_hz or 0:.2f} Hz on average",
                *([decided.in_words] if decided else []),
                ", ".join(stages),
                f"{self.folder}/report.html",
                *self._error_lines(),
            ]
        )

    def _error_lines(self) -> list[str]:
        """What a run's errors are, the first of them in words."""
        errors = self.report.errors
        if not errors:
            return []
        more = len(errors) - _MOST_ERRORS
        return [
            "",
            f"THE RUN SHOWS ERRORS ({len(errors)}); its results are probably of no use:",
            *(f"  {e.check}: {e.where}: {e.message}" for e in errors[:_MOST_ERRORS]),
            *([f"  ... and {more} more: see the report"] if more > 0 else []),
            f"  what to do: {errors[0].hint}",
        ]

"""Runs beside each other: configuration, network, rates, tuning, accuracy and spikes.

The first run is what the others are compared with. Neurons are paired where both runs have the
same network, whatever its weights: a network before and after training, a perturbed one, another
seed of the input.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from v1sim.analysis.compare import compare_spike_tables
from v1sim.analysis.readout import Classification, wilson_interval
from v1sim.analysis.samples import (
    Change,
    accuracy_difference,
    difference,
    false_discovery,
    mean_of,
    paired_difference,
)
from v1sim.card import card
from v1sim.documents.comparison import (
    AccuracyDifference,
    AccuracyOf,
    ComparedRun,
    ComparisonDocument,
    ConfigurationChange,
    FirstDifference,
    LabelAccuracy,
    Measure,
    MeasureDifference,
    MeasureOf,
    NetworkComparison,
    RunDifference,
    SpikeComparison,
    TrialSpikes,
)
from v1sim.documents.difference import DifferenceDocument
from v1sim.documents.document import plain
from v1sim.errors import InputError, NetworkFileError
from v1sim.model import NetworkModel
from v1sim.runs import Run
from v1sim.sources import open_network
from v1sim.sources.difference import compare_networks, difference_document

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["WHOLE_NETWORK", "Comparison", "compare_runs", "find_runs"]

F64 = NDArray[np.float64]

#: Class name of the rows that are about all neurons.
WHOLE_NETWORK = "all"
#: Keys of a configuration that say where a run is, not what it is.
_PLACE = {"name", "output"}


@dataclass(frozen=True, repr=False)
class Comparison:
    """What `compare_runs` found."""

    document: ComparisonDocument

    def __repr__(self) -> str:
        labels = [run.label for run in self.document.runs]
        return f"<Comparison of {len(labels)} runs: {', '.join(labels)}>"

    def _repr_html_(self) -> str:
        from v1sim.report.comparison import in_words

        first, *others = self.document.differences
        facts = {one.label: in_words(self.document, one) for one in others}
        return card(
            in_words(self.document, first).upper().partition(":")[0],
            f"{first.label} beside {self.document.runs[0].label}",
            {first.label: in_words(self.document, first), **facts},
            notes=self.document.notes,
        )

    @cached_property
    def text(self) -> str:
        """The comparison as ``v1sim compare`` prints it."""
        from v1sim.report.comparison import comparison_text

        return comparison_text(self.document)

    def figure(self) -> Figure:
        """Rates, tuning and accuracy by class and run, which a notebook shows."""
        from v1sim.report.comparison import comparison_figure

        return comparison_figure(self.document)


def find_runs(folder: Path) -> list[Run]:
    """The runs of a folder: the one that it is, or the complete ones of a sweep.

    Raises
    ------
    InputError
        If it is neither.
    """
    inner = folder / "runs"
    if (folder / "report.json").exists() or not inner.is_dir():
        found = [Run(folder)]
    else:
        names = sorted(p.name for p in inner.iterdir() if not p.name.startswith("."))
        found = [Run(inner / name) for name in names]
        if not found:
            raise InputError("no run is done yet", where=str(folder), hint="v1sim batch SWEEP")
    for run in found:
        _ = run.report  # raises, and says what it lacks, where the folder is no run's
    return found


def compare_runs(runs: Sequence[Run], *, spikes: bool = False) -> Comparison:
    """Compare runs with the first of them.

    Parameters
    ----------
    runs : sequence of Run
        Two or more.
    spikes : bool
        Whether to compare spike by spike as well.

    Raises
    ------
    InputError
        If there are fewer than two, their recordings cannot be read, or spikes of runs with
        other trials, time steps or neurons are to be compared.
    """
    if len(runs) < 2:
        raise InputError(
            f"{len(runs)} run cannot be compared",
            expected="the folders of two runs or more, or of a sweep",
        )
    labels = _labels(runs)
    networks = _Networks()
    first = runs[0]
    differences = [
        _difference(first, run, label, networks, spikes=spikes)
        for run, label in zip(runs[1:], labels[1:], strict=True)
    ]
    return Comparison(
        ComparisonDocument(
            runs=[_compared(run, label) for run, label in zip(runs, labels, strict=True)],
            differences=differences,
            notes=_notes(differences),
        )
    )


def _notes(differences: Sequence[RunDifference]) -> list[str]:
    notes = [
        "Intervals and p-values take neurons as independent, which those of one network are not: "
        "judge by the size of an effect. OSI and DSI are of neurons that spiked."
    ]
    unpaired = [one for one in differences if not one.network.same_neurons]
    notes += [f"Neurons of {one.label} are not paired: {one.network.why}" for one in unpaired]
    return notes


# --- configuration ---------------------------------------------------------------------------


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _settings(run: Run) -> dict[str, Any]:
    flat = dict(_flat(run.report.config))
    return {key: value for key, value in flat.items() if key not in _PLACE}


def _labels(runs: Sequence[Run]) -> list[str]:
    """The name of each run's folder; in a sweep, where that is a digest, what is its own."""
    names = [run.folder.resolve().name for run in runs]
    in_sweep = all((run.folder.resolve().parents[1] / "runs.csv").exists() for run in runs)
    settings = [_settings(run) for run in runs]
    keys = dict.fromkeys(key for one in settings for key in one)
    told = [key for key in keys if len({repr(one.get(key)) for one in settings}) > 1]
    if in_sweep and told:
        names = [", ".join(f"{key}={_short(one.get(key))}" for key in told) for one in settings]
    if len(set(names)) < len(names):
        names = [str(run.folder) for run in runs]
    return names


def _short(value: Any) -> str:
    return Path(value).name if isinstance(value, str) and "/" in value else str(value)


def _configuration(before: Run, after: Run) -> list[ConfigurationChange]:
    a, b = _settings(before), _settings(after)
    return [
        ConfigurationChange(key=key, before=plain(a.get(key)), after=plain(b.get(key)))
        for key in dict.fromkeys([*a, *b])
        if a.get(key) != b.get(key)
    ]


# --- network ---------------------------------------------------------------------------------


class _Networks:
    """The networks of runs, each file read once at a time."""

    def __init__(self) -> None:
        self._held: dict[str, NetworkModel | str] = {}

    def of(self, run: Run) -> NetworkModel | str:
        """The network that the run simulated, or why it cannot be had."""
        facts = run.report.network
        key = f"{facts.path} {facts.file_sha256}"
        if key not in self._held:
            if len(self._held) > 1:  # the first run's stays
                self._held.pop(list(self._held)[1])
            self._held[key] = self._read(run)
        return self._held[key]

    def _read(self, run: Run) -> NetworkModel | str:
        facts = run.report.network
        beside = run.folder / Path(facts.path).name
        path = beside if beside.exists() else Path(facts.path)
        try:
            network = open_network(path)
        except NetworkFileError as error:
            return f"its network cannot be read: {error.where}: {error.seen}"
        if network.source.sha256 != facts.file_sha256:
            return f"its network file {path} is not what it was"
        return network


def _network(before: Run, after: Run, networks: _Networks) -> NetworkComparison:
    facts, others = before.report.network, after.report.network
    if facts.network_sha256 == others.network_sha256:
        why = "the networks have the same digest"
        return NetworkComparison(same_neurons=True, equal=True, why=why, arrays=[], tables={})

    def apart(why: str) -> NetworkComparison:
        return NetworkComparison(same_neurons=False, equal=None, why=why, arrays=[], tables={})

    if facts.n_neurons != others.n_neurons:
        return apart(f"{facts.n_neurons:,} neurons and {others.n_neurons:,}")
    held = [networks.of(run) for run in (before, after)]
    for one in held:
        if isinstance(one, str):
            return apart(one)
    found: DifferenceDocument = difference_document(compare_networks(*held))  # type: ignore[arg-type]
    return NetworkComparison(
        same_neurons=found.same_network,
        equal=found.equal,
        why="neurons and wiring are the same, and values differ"
        if found.same_network
        else "neurons or wiring differ",
        arrays=found.arrays,
        tables={name: table.weights for name, table in found.tables.items()},
    )


# --- what the spikes show --------------------------------------------------------------------


def _measures(run: Run) -> dict[Measure, F64]:
    results = run.results
    found: dict[Measure, F64] = {"rate_hz": results.rate_hz}
    if results.tuning:
        found |= {"osi": results.tuning.osi, "dsi": results.tuning.dsi}
    return {name: values for name, values in found.items() if not np.isnan(values).all()}


def _groups(run: Run) -> dict[str, NDArray[np.intp]]:
    """The neurons of the whole network, and of each class that has some."""
    classes = run.recording.classes
    everyone = {WHOLE_NETWORK: np.arange(len(classes.of_neuron))}
    members = {name: np.flatnonzero(classes.of_neuron == i) for i, name in enumerate(classes.names)}
    return everyone | {name: ids for name, ids in members.items() if ids.size}


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _compared(run: Run, label: str) -> ComparedRun:
    report = run.report
    measures = []
    for measure, values in _measures(run).items():
        for name, ids in _groups(run).items():
            mean = mean_of(values[ids])
            median = np.nanmedian(values[ids]) if mean.n else np.nan
            measures.append(
                MeasureOf(
                    cell_class=name,
                    measure=measure,
                    n=mean.n,
                    mean=_finite(mean.mean),
                    interval_95=(_finite(mean.low), _finite(mean.high)),
                    median=_finite(median),
                )
            )
    return ComparedRun(
        label=label,
        folder=str(run.folder),
        network=report.network.path,
        network_sha256=report.network.network_sha256,
        verdict=report.guard.verdict,
        n_neurons=report.network.n_neurons,
        n_trials=report.simulation.n_trials,
        n_errors=len(report.errors),
        measures=measures,
        accuracy=_accuracy(run.results.classification),
    )


def _accuracy(decided: Classification | None) -> AccuracyOf | None:
    if decided is None:
        return None
    shown = decided.confusion.sum(axis=1)
    labels = [
        LabelAccuracy(
            label=i,
            n=int(n),
            accuracy=float(decided.confusion[i, i] / n),
            interval_95=wilson_interval(int(decided.confusion[i, i]), int(n)),
        )
        for i, n in enumerate(shown.tolist())
        if n
    ]
    return AccuracyOf(
        accuracy=decided.accuracy,
        interval_95=decided.interval,
        chance=1.0 / len(shown),
        n=len(decided.label),
        labels=labels,
    )


def _difference(
    before: Run, after: Run, label: str, networks: _Networks, *, spikes: bool
) -> RunDifference:
    network = _network(before, after, networks)
    return RunDifference(
        label=label,
        configuration=[
            change
            for change in _configuration(before, after)
            # The same network in another place is no difference.
            if not (network.equal and change.key.partition(".")[0] == "network")
        ],
        network=network,
        measures=_measure_differences(before, after, paired=network.same_neurons),
        accuracy=_accuracy_difference(before.results.classification, after.results.classification),
        spikes=_spikes(before, after) if spikes else None,
    )


def _measure_differences(before: Run, after: Run, *, paired: bool) -> list[MeasureDifference]:
    a, b = _measures(before), _measures(after)
    groups, others = _groups(before), _groups(after)
    rows: list[tuple[str, Measure, Change]] = []
    for measure in a.keys() & b.keys():
        for name in groups.keys() & others.keys():
            sides = a[measure][groups[name]], b[measure][others[name]]
            change = paired_difference(*sides) if paired else difference(*sides)
            if change is not None:
                rows.append((name, measure, change))
    order = list(groups)
    rows.sort(key=lambda row: (list(a).index(row[1]), order.index(row[0])))
    adjusted = false_discovery([change.p for _, _, change in rows])
    return [
        MeasureDifference(
            cell_class=name,
            measure=measure,
            paired=change.paired,
            n_before=change.n_before,
            n_after=change.n_after,
            mean_before=change.mean_before,
            mean_after=change.mean_after,
            difference=change.difference,
            interval_95=(_finite(change.low), _finite(change.high)),
            effect_size=change.effect,
            p_value=change.p,
            q_value=q,
        )
        for (name, measure, change), q in zip(rows, adjusted, strict=True)
    ]


def _accuracy_difference(
    before: Classification | None, after: Classification | None
) -> AccuracyDifference | None:
    if before is None or after is None:
        return None
    right = [decided.label == decided.decision for decided in (before, after)]
    change = accuracy_difference(*right, paired=np.array_equal(before.label, after.label))
    return AccuracyDifference(
        paired=change.paired,
        difference=change.difference,
        interval_95=(change.low, change.high),
        p_value=change.p,
    )


# --- spikes, one by one ----------------------------------------------------------------------


def _spikes(before: Run, after: Run) -> SpikeComparison:
    a, b = before.recording, after.recording
    for what, one, other in (
        ("neurons", a.n_neurons, b.n_neurons),
        ("time steps in ms", a.dt_ms, b.dt_ms),
        (
            "durations of trials in ms",
            [t.duration_ms for t in a.trials],
            [t.duration_ms for t in b.trials],
        ),
    ):
        if one != other:
            raise InputError(
                f"the spikes cannot be compared one by one: {what} are {_in_short(one)} and "
                f"{_in_short(other)}",
                where=f"{before.folder}, {after.folder}",
                expected="runs with the same neurons, trials and time step",
                hint="compare them without --spikes",
            )
    agreements = compare_spike_tables(
        a.spikes, b.spikes, n_trials=len(a.trials), n_neurons=a.n_neurons, dt_ms=a.dt_ms
    )
    first = None
    parted = [i for i, one in enumerate(agreements) if one.first_step is not None]
    if parted:
        trial = parted[0]
        step, neuron = agreements[trial].first_step or 0, agreements[trial].first_neuron or 0
        held = a.spikes
        steps = np.rint(held.time_ms / a.dt_ms).astype(np.int64)
        mine = (held.trial == trial) & (held.neuron == neuron) & (steps == step)
        first = FirstDifference(
            trial=trial,
            time_ms=step * a.dt_ms,
            neuron=neuron,
            cell_class=a.classes.names[a.classes.of_neuron[neuron]],
            in_run="before" if mine.any() else "after",
        )
    return SpikeComparison(
        equal=not parted,
        n_before=len(a.spikes),
        n_after=len(b.spikes),
        n_equal=sum(one.n_equal for one in agreements),
        first=first,
        trials=[
            TrialSpikes(
                trial=i,
                n_before=one.n_truth,
                n_after=one.n_equal + one.n_extra,
                n_equal=one.n_equal,
                first_ms=None if one.first_step is None else one.first_step * a.dt_ms,
            )
            for i, one in enumerate(agreements)
        ],
    )


def _in_short(value: Any) -> str:
    if isinstance(value, list) and len(value) > 4:
        return f"{len(value)} values, {value[:3]}..."
    return str(value)

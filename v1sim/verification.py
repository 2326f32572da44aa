"""Runs the same input in NEST's dynamics and holds their spikes against the true ones.

The truth is what another simulator computed (TensorFlow, in a file), or, without a file,
v1sim's own NumPy reference. Everything in NEST goes through the gate, the plan and the
read-back of any run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from v1sim import guard
from v1sim.analysis.compare import (
    SpikeAgreement,
    VoltageAgreement,
    compare_spikes,
    compare_voltages,
)
from v1sim.card import card
from v1sim.config import Background, Dynamics
from v1sim.cores import available_threads
from v1sim.documents.verification import VerificationDocument
from v1sim.errors import InputError
from v1sim.model import NetworkModel, SpikeTable, Trial
from v1sim.simulation.group import join
from v1sim.simulation.plan import make_plan
from v1sim.simulation.reference import Precision, ReferenceRun, integrate
from v1sim.simulation.run import run_trials
from v1sim.sources import open_network
from v1sim.sources.ground_truth import (
    GroundTruth,
    read_ground_truth,
    read_input,
    truth_groups,
)
from v1sim.stimulus.background import DRAWS, event_weight, events
from v1sim.stimulus.base import Stimulus
from v1sim.stimulus.given import GivenSpikes, GivenValues
from v1sim.stimulus.spikes import LgnSpikeTimes, draw_spikes
from v1sim.stimulus.trials import Schedule
from v1sim.units import MODEL_STEP_MS
from v1sim.verdict import REQUIRED

__all__ = ["Agreement", "GroupResult", "Verification", "verify_dynamics"]

_Bools = NDArray[np.bool_]
#: What the LGN cells send, shape (trials, steps, n_lgn): 0 or 1, or, of analog input, any number.
_Input = NDArray[np.float32]
_DYNAMICS: tuple[Dynamics, ...] = ("training", "training_float32", "training_single", "glif_psc")
#: Input drawn where none is given: probability of an LGN spike in each step of each trial.
_DRAWN_PROBABILITY, _DRAWN_STEPS = (0.01, 0.03, 0.1), 300
#: Neurons whose voltage is compared where no file names any.
_N_VOLTAGES = 50
#: Another network's spikes agree by chance in less than this fraction.
_SAME_NETWORK = 0.5


@dataclass(frozen=True)
class Agreement:
    """One integrator against the truth, trial by trial.

    ``threshold_distance`` is how far the neuron of a trial's first difference was from its
    threshold there in float64, as a part of V_th - E_L; None where all spikes are equal.
    """

    name: str
    spikes: tuple[SpikeAgreement, ...]
    voltages: tuple[VoltageAgreement, ...]
    threshold_distance: tuple[float | None, ...]

    @property
    def in_words(self) -> str:
        """How many spikes of all trials are equal, missing and extra."""
        equal, missing, extra = (
            sum(getattr(trial, key) for trial in self.spikes)
            for key in ("n_equal", "n_missing", "n_extra")
        )
        return f"{equal:,} spikes equal, {missing:,} missing, {extra:,} extra"

    @property
    def all_equal(self) -> bool:
        """Whether every spike of every trial is equal."""
        return not any(trial.n_missing or trial.n_extra for trial in self.spikes)


@dataclass(frozen=True)
class GroupResult:
    """Everything held against one truth."""

    group: str
    truth: str
    background: Background
    agreements: tuple[Agreement, ...]

    @property
    def proven(self) -> bool:
        """Whether NEST's training dynamics gave every spike, in float64 or in float32."""
        return any(a.all_equal for a in self.agreements if a.name in _DYNAMICS[:2])


@dataclass(frozen=True, repr=False)
class Verification:
    """What `verify_dynamics` found; ``left_out`` says which groups are another network's."""

    network: str
    network_sha256: str
    input: str
    groups: tuple[GroupResult, ...]
    left_out: tuple[str, ...]

    def __repr__(self) -> str:
        return f"<Verification {self.outcome}: {self.network}>"

    def _repr_html_(self) -> str:
        return card(
            self.outcome,
            self.network,
            {"input": self.input}
            | {
                f"{group.group or 'drawn input'}, {agreement.name}": agreement.in_words
                for group in self.groups
                for agreement in group.agreements
            },
            tone="good" if self.proven else "bad",
            notes=[f"left out: {why}" for why in self.left_out],
        )

    @property
    def outcome(self) -> str:
        """The word ``PROVEN`` or the words ``NOT PROVEN``."""
        return "PROVEN" if self.proven else "NOT PROVEN"

    @property
    def proven(self) -> bool:
        """Whether that holds for every group."""
        return all(group.proven for group in self.groups)

    def to_document(self) -> VerificationDocument:
        """The same as a document."""
        groups = [
            asdict(group)
            | {"proven": group.proven}
            | {"agreements": [asdict(a) | {"all_equal": a.all_equal} for a in group.agreements]}
            for group in self.groups
        ]
        return VerificationDocument.of(asdict(self) | {"groups": groups, "proven": self.proven})


def verify_dynamics(
    network_path: Path,
    *,
    spikes: Path | None,
    truth: Path | None,
    groups: Sequence[str] = (),
    threads: int | None = None,
    progress: Callable[[str, float, float], None],
) -> Verification:
    """Compare NEST's dynamics with the truth.

    Parameters
    ----------
    network_path : Path
        The network; trained or not.
    spikes : Path, optional
        HDF5 file with ``input_spikes``, which may be analog input; by default those of the
        truth, or drawn ones.
    truth : Path, optional
        HDF5 file as `v1sim.sources.ground_truth` describes; by default the NumPy reference.
    groups : sequence of str, optional
        Groups of the truth; by default those whose spikes the reference reproduces, which a
        file for several networks needs.
    threads : int, optional
        NEST's.
    progress : callable
        Told ``(stage, done, total)``.

    Raises
    ------
    GuardRefusal
        If the network cannot be simulated.
    InputError
        If a file is not what is expected, or no group belongs to the network.
    """
    network = open_network(network_path)
    waived = {REQUIRED: "dynamics are compared, whatever the weights are"}
    checked = guard.admit(network, guard.Policy(require="any", waivers=waived))
    given = spikes or truth
    lgn = read_input(given, network.lgn.size) if given else _drawn_input(network.lgn.size)
    if truth is not None:
        truths, left_out = _read_truths(truth, groups, network, lgn)
    else:
        truths, left_out = [_reference_truth(network, lgn)], []
    results = []
    for i, one in enumerate(truths):
        results.append(_compare(checked, one, lgn, threads or available_threads()))
        progress("compare", i + 1, len(truths))
    return Verification(
        network=str(network_path),
        network_sha256=checked.report.network_sha256,
        input=(str(given) if given else "drawn") + " (analog)" * _is_analog(lgn),
        groups=tuple(results),
        left_out=tuple(left_out),
    )


def _is_analog(lgn: _Input) -> bool:
    return not ((lgn == 0) | (lgn == 1)).all()


def _drawn_input(n_lgn: int) -> _Input:
    """LGN spikes from sparse to dense, shape (trials, steps, n_lgn)."""
    spike = np.zeros((len(_DRAWN_PROBABILITY), _DRAWN_STEPS, n_lgn), dtype=np.float32)
    for trial, probability in enumerate(_DRAWN_PROBABILITY):
        drawn = draw_spikes(np.full((_DRAWN_STEPS, n_lgn), probability), 1, trial)
        spike[trial, drawn.step, drawn.source] = 1
    return spike


def _reference_truth(network: NetworkModel, lgn: _Input) -> GroundTruth:
    """The float64 reference as the truth, with a drawn background if the file has weights."""
    n_trials, n_steps, _ = lgn.shape
    neuron = np.unique(np.linspace(0, network.n_neurons - 1, _N_VOLTAGES).round().astype(np.int64))
    draws = np.stack([events("shared_binomial", n_steps, 1, trial) for trial in range(n_trials)])
    background = "none" if network.background_weight is None else "recorded"
    run = integrate(network, lgn, _background_factor(background, draws, draws.shape))
    return GroundTruth(
        "",
        background,
        run.spike,
        neuron,
        run.voltage_mv(network, neuron),
        draws if background == "recorded" else None,
    )


def _background_factor(
    background: str, draws: NDArray[np.int64] | None, shape: tuple[int, ...]
) -> NDArray[np.float64] | None:
    """What the background weights are multiplied by in each step, shape (trials, steps)."""
    if background == "none":
        return None
    if draws is not None:
        return draws / DRAWS
    return np.full(shape, event_weight("mean"))


def _read_truths(
    path: Path, groups: Sequence[str], network: NetworkModel, lgn: _Input
) -> tuple[list[GroundTruth], list[str]]:
    """The groups that were asked for, or those that the reference says are this network's."""
    there = truth_groups(path)
    unknown = sorted(set(groups) - set(there))
    if unknown:
        raise InputError(
            f"no group {unknown[0]!r}", where=str(path), expected=f"one of {', '.join(there)}"
        )
    shape = (*lgn.shape[:2], network.n_neurons)
    if groups:
        return [read_ground_truth(path, group, shape) for group in groups], []
    mine: list[GroundTruth] = []
    left_out: list[str] = []
    reproduced: list[float] = []
    unfit: list[InputError] = []
    for group in there:
        try:
            truth = read_ground_truth(path, group, shape)
        except InputError as error:  # of a network of another size, for example
            unfit.append(error)
            left_out.append(f"{group}: {error.seen}")
            continue
        part = _reproduced(network, lgn, truth)
        reproduced.append(part)
        if part >= _SAME_NETWORK:
            mine.append(truth)
        else:
            left_out.append(
                f"{group}: the reference reproduces {part:.0%} of its spikes; it is another "
                "network's"
            )
    if not reproduced:
        raise unfit[0]
    if not mine:
        raise InputError(
            f"no group's spikes are this network's: the reference reproduces "
            f"{max(reproduced):.0%} of them at most",
            where=str(path),
            expected="the truth of the network that is compared",
            hint="--group NAME compares with a group all the same",
        )
    return mine, left_out


def _reproduced(network: NetworkModel, lgn: _Input, truth: GroundTruth) -> float:
    """Which part of a truth's spikes the reference gives in the same steps."""
    found = _reference(network, lgn, truth, "float64").spike
    n_either = np.count_nonzero(truth.spike | found)
    return np.count_nonzero(truth.spike & found) / n_either if n_either else 1.0


def _reference(
    network: NetworkModel, lgn: _Input, truth: GroundTruth, precision: Precision
) -> ReferenceRun:
    factor = _background_factor(truth.background, truth.draws, lgn.shape[:2])
    return integrate(network, lgn, factor, precision=precision)


def _compare(
    checked: guard.CheckedNetwork, truth: GroundTruth, lgn: _Input, threads: int
) -> GroupResult:
    network = checked.network
    exact = _reference(network, lgn, truth, "float64")
    rounded = _reference(network, lgn, truth, "float32")
    dynamics = [d for d in _DYNAMICS if not (d == "glif_psc" and _is_analog(lgn))]
    found = {name: _run_nest(checked, truth, lgn, name, threads) for name in dynamics} | {
        f"NumPy {precision}": (run.spike, run.voltage_mv(network, truth.voltage_neuron))
        for precision, run in (("float64", exact), ("float32", rounded))
    }
    agreements = []
    for name, (spike, voltage_mv) in found.items():
        spikes = compare_spikes(truth.spike, spike)
        distance = tuple(
            None
            if trial.first_step is None
            else abs(float(exact.voltage[i, trial.first_step, trial.first_neuron]) - 1.0)
            for i, trial in enumerate(spikes)
        )
        voltages = compare_voltages(truth.voltage_mv, voltage_mv)
        agreements.append(Agreement(name, spikes, voltages, distance))
    background: Background = truth.background  # type: ignore[assignment]
    source = "the file's" if truth.group else "NumPy float64"
    return GroupResult(truth.group, source, background, tuple(agreements))


def _run_nest(
    checked: guard.CheckedNetwork,
    truth: GroundTruth,
    lgn: _Input,
    dynamics: Dynamics,
    threads: int,
) -> tuple[_Bools, NDArray[np.float32]]:
    """Spikes (trials, steps, n) and voltages (trials, steps, m) in mV."""
    n_trials, n_steps, _ = lgn.shape
    duration_ms = n_steps * MODEL_STEP_MS
    trials = tuple(
        Trial(i, i * duration_ms, duration_ms, (0.0, duration_ms), {"sample": i})
        for i in range(n_trials)
    )
    background: Any = truth.background
    plan = make_plan(checked, background=background, seed=1, dynamics=dynamics, draws=truth.draws)
    output = run_trials(
        plan,
        _as_stimulus(lgn, Schedule(trials, tuple(range(n_trials)))),
        threads=threads,
        between_trials="reset",
        voltage_of=np.unique(truth.voltage_neuron).astype(np.int32),
        progress=lambda *_: None,
        group=join(),
    )
    return (
        _as_array(output.spikes, (n_trials, n_steps, checked.network.n_neurons)),
        np.empty((n_trials, n_steps, 0), dtype=np.float32)
        if output.voltage is None
        else output.voltage.v_mv[
            :, :, np.searchsorted(output.voltage.neuron, truth.voltage_neuron)
        ],
    )


def _as_stimulus(lgn: _Input, schedule: Schedule) -> Stimulus:
    n_lgn = lgn.shape[2]
    if _is_analog(lgn):
        return GivenValues(n_lgn, schedule, list(lgn))
    spikes = (np.nonzero(trial) for trial in lgn)
    times = [LgnSpikeTimes(step * MODEL_STEP_MS, source) for step, source in spikes]
    return GivenSpikes(n_lgn, schedule, times)


def _as_array(spikes: SpikeTable, shape: tuple[int, int, int]) -> _Bools:
    spike = np.zeros(shape, dtype=bool)
    step = np.rint(spikes.time_ms / MODEL_STEP_MS).astype(np.int64)
    spike[spikes.trial, step, spikes.neuron] = True
    return spike

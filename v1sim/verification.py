"""Runs the same input in NEST's dynamics and holds their spikes against the true ones.

The truth is what another simulator computed (TensorFlow, in a file), or, without a file,
v1sim's own NumPy reference. Everything in NEST goes through the gate, the plan and the
read-back of any run.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
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
from v1sim.checks.registry import registered_checks
from v1sim.config import Background, Dynamics
from v1sim.cores import available_threads
from v1sim.documents.verification import VerificationDocument
from v1sim.errors import InputError
from v1sim.model import NetworkModel, SpikeTable, Trial
from v1sim.printable import printable
from v1sim.simulation.group import join
from v1sim.simulation.plan import make_plan
from v1sim.simulation.reference import Precision, ReferenceRun, in_mv, integrate
from v1sim.simulation.run import run_trials
from v1sim.sources import open_network
from v1sim.sources.dpointnet import read_document
from v1sim.sources.dpointnet.config import dpointnet_config
from v1sim.sources.dpointnet.recorded import (
    inference_steps,
    read_inputs,
    read_spikes,
    read_voltages,
)
from v1sim.sources.ground_truth import (
    GroundTruth,
    read_ground_truth,
    read_input,
    truth_groups,
)
from v1sim.stimulus.background import DRAWS, event_weight, events
from v1sim.stimulus.base import Stimulus
from v1sim.stimulus.given import GivenSpikes, GivenValues
from v1sim.stimulus.spikes import LgnSpikes, LgnSpikeTimes, draw_spikes
from v1sim.stimulus.trials import Schedule
from v1sim.units import MODEL_STEP_MS
from v1sim.verdict import REQUIRED

__all__ = [
    "Agreement",
    "GroupResult",
    "Verification",
    "verify_dpointnet",
    "verify_dynamics",
]

_Bools = NDArray[np.bool_]
#: What LGN cells or those of another source population send, shape (trials, steps, cells): how many
#: spikes, or, of analog input, any number.
_Input = NDArray[Any]
_DYNAMICS: tuple[Dynamics, ...] = ("training", "training_float32", "training_single", "glif_psc")
#: Those that are DPointNet's own.
_OWN: tuple[Dynamics, ...] = _DYNAMICS[:3]
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
    def n_different(self) -> int:
        """Spikes that are missing or that the truth has not."""
        return sum(trial.n_missing + trial.n_extra for trial in self.spikes)

    @property
    def all_equal(self) -> bool:
        """Whether every spike of every trial is equal."""
        return not self.n_different


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
    checked = _admitted(network)
    given = spikes or truth
    lgn = read_input(given, network.lgn.size) if given else _drawn_input(network.lgn.size)
    others = {} if given else _drawn_others(network)
    if truth is not None:
        truths, left_out = _read_truths(truth, groups, network, lgn)
    else:
        truths, left_out = [_reference_truth(network, lgn, others)], []
    results = []
    for i, one in enumerate(truths):
        results.append(_compare(checked, one, lgn, threads or available_threads(), others))
        progress("compare", i + 1, len(truths))
    return Verification(
        network=str(network_path),
        network_sha256=checked.report.network_sha256,
        input=(str(given) if given else "drawn") + " (analog)" * _is_analog(lgn),
        groups=tuple(results),
        left_out=tuple(left_out),
    )


def verify_dpointnet(
    network_path: Path,
    config_path: Path,
    truth: Path,
    *,
    voltages: Path | None = None,
    replayed: Sequence[Path] = (),
    threads: int | None = None,
    progress: Callable[[str, float, float], None],
) -> Verification:
    """Compare NEST's dynamics with what DPointNet wrote of an inference.

    Parameters
    ----------
    network_path : Path
        The network, with the dynamics that DPointNet trained it in.
    config_path : Path
        DPointNet's configuration: names the files of the inference's input.
    truth : Path
        Spikes of the inference.
    voltages : Path, optional
        Normalised voltages of the inference.
    replayed : sequence of Path, optional
        Recorded spikes of source populations, in place of those that the configuration names.
    threads, progress
        As `verify_dynamics`.

    Raises
    ------
    GuardRefusal
        If the network cannot be simulated.
    InputError
        If a file is not what is expected, or the input of the inference cannot be known.
    """
    network = open_network(network_path)
    _require_dpointnet(network, network_path)
    document = read_document(config_path)
    config = dpointnet_config(document, config_path.absolute())
    if config.initial_state not in ("", "zero_state"):
        raise InputError(
            f"the inference starts from {printable(config.initial_state)}",
            where=str(config_path),
            expected="inference.initial_state: zero_state",
            hint="run the inference again from there",
        )
    checked = _admitted(network)
    n_steps = inference_steps(document, str(config_path))
    (population,) = network.populations
    held = (population.name, population.node_id)
    spike = read_spikes(truth, *held, n_steps, config.run_dt_ms)
    n_trials = len(spike)
    neuron = np.empty(0, dtype=np.int64)
    voltage_mv = np.empty((n_trials, n_steps, 0), dtype=np.float32)
    if voltages is not None:
        recorded = read_voltages(voltages, *held, n_trials, n_steps)
        neuron = recorded.neuron
        voltage_mv = in_mv(recorded.v, network, neuron)
    sources = {
        name: np.arange(one.size) if one.node_id is None else one.node_id
        for name, one in network.source_populations.items()
    }
    sent = {
        name: np.broadcast_to(counts, (n_trials, *counts.shape))
        for name, counts in read_inputs(config, sources, n_steps, replayed).items()
    }
    lgn = np.zeros((n_trials, n_steps, 0), dtype=np.int32)
    for name, one in network.source_populations.items():
        if one is network.lgn:
            lgn = sent.pop(name)
    one_truth = GroundTruth(population.name, "none", spike, neuron, voltage_mv, None)
    result = _compare(checked, one_truth, lgn, threads or available_threads(), sent, _OWN)
    progress("compare", 1, 1)
    return Verification(
        network=str(network_path),
        network_sha256=checked.report.network_sha256,
        input=", ".join(map(str, (config_path, *replayed))),
        groups=(result,),
        left_out=(),
    )


def _admitted(network: NetworkModel) -> guard.CheckedNetwork:
    """The network, where nothing stands against simulating it: its weights may be what they are."""
    judged = {name for name, entry in registered_checks().items() if entry.waivable} | {REQUIRED}
    why = "dynamics are compared, whatever the weights are"
    return guard.admit(network, guard.Policy(require="any", waivers=dict.fromkeys(judged, why)))


def _require_dpointnet(network: NetworkModel, path: Path) -> None:
    """A network of DPointNet's, in steps that its inputs are given in."""
    trained = network.dynamics
    if trained is None or trained.trainer != "dpointnet":
        raise InputError(
            "does not say that DPointNet trained it",
            where=str(path),
            expected="a network that v1sim convert made of DPointNet's weights",
            hint="v1sim convert TRAINED_WEIGHTS_DIR --base CONFIG.json --out NETWORK.h5",
        )
    if trained.step_ms != MODEL_STEP_MS:
        raise InputError(
            f"was trained in steps of {trained.step_ms:g} ms",
            where=str(path),
            expected=f"steps of {MODEL_STEP_MS:g} ms, in which DPointNet draws and reads input",
        )
    if len(network.populations) != 1:
        raise InputError(
            f"{len(network.populations)} populations of neurons", where=str(path), expected="one"
        )


def _is_analog(lgn: _Input) -> bool:
    return lgn.dtype.kind == "f" and not ((lgn == 0) | (lgn == 1)).all()


def _drawn_others(network: NetworkModel) -> dict[str, _Input]:
    """The same for source populations other than the LGN that a stimulus feeds."""
    return {
        name: _drawn_input(one.size, name)
        for name, one in network.source_populations.items()
        if one is not network.lgn
        and (one.role != "background" or network.background_weight is None)
    }


def _drawn_input(n_lgn: int, name: str = "") -> _Input:
    """LGN spikes from sparse to dense, shape (trials, steps, n_lgn)."""
    seed = 1 + zlib.crc32(name.encode()) % 2**30
    spike = np.zeros((len(_DRAWN_PROBABILITY), _DRAWN_STEPS, n_lgn), dtype=np.float32)
    for trial, probability in enumerate(_DRAWN_PROBABILITY):
        drawn = draw_spikes(np.full((_DRAWN_STEPS, n_lgn), probability), seed, trial)
        spike[trial, drawn.step, drawn.source] = 1
    return spike


def _reference_truth(
    network: NetworkModel, lgn: _Input, others: Mapping[str, _Input]
) -> GroundTruth:
    """The float64 reference as the truth, with a drawn background if the file has weights."""
    n_trials, n_steps, _ = lgn.shape
    neuron = np.unique(np.linspace(0, network.n_neurons - 1, _N_VOLTAGES).round().astype(np.int64))
    draws = np.stack([events("shared_binomial", n_steps, 1, trial) for trial in range(n_trials)])
    background = "none" if network.background_weight is None else "recorded"
    factor = _background_factor(background, draws, draws.shape)
    run = integrate(network, lgn, factor, others=others)
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
    network: NetworkModel,
    lgn: _Input,
    truth: GroundTruth,
    precision: Precision,
    others: Mapping[str, _Input] = MappingProxyType({}),
) -> ReferenceRun:
    factor = _background_factor(truth.background, truth.draws, lgn.shape[:2])
    return integrate(network, lgn, factor, precision=precision, others=others)


def _compare(
    checked: guard.CheckedNetwork,
    truth: GroundTruth,
    lgn: _Input,
    threads: int,
    others: Mapping[str, _Input] = MappingProxyType({}),
    all_dynamics: Sequence[Dynamics] = _DYNAMICS,
) -> GroupResult:
    network = checked.network
    exact = _reference(network, lgn, truth, "float64", others)
    rounded = _reference(network, lgn, truth, "float32", others)
    dynamics = [d for d in all_dynamics if not (d == "glif_psc" and _is_analog(lgn))]
    found = {name: _run_nest(checked, truth, lgn, name, threads, others) for name in dynamics} | {
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
    others: Mapping[str, _Input] = MappingProxyType({}),
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
        _as_stimulus(lgn, Schedule(trials, tuple(range(n_trials))), others),
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


def _as_stimulus(
    lgn: _Input, schedule: Schedule, others: Mapping[str, _Input] = MappingProxyType({})
) -> Stimulus:
    n_lgn = lgn.shape[2]
    stimulus: Stimulus
    if _is_analog(lgn):
        stimulus = GivenValues(n_lgn, schedule, list(lgn))
    else:
        spikes = [_events(trial) for trial in lgn]
        times = [LgnSpikeTimes(one.step * MODEL_STEP_MS, one.source) for one in spikes]
        stimulus = GivenSpikes(n_lgn, schedule, times)
    stimulus.feeds = {
        name: _Sent([_events(trial) for trial in counts]) for name, counts in others.items()
    }
    return stimulus


def _events(counts: NDArray[np.number]) -> LgnSpikes:
    """Spikes of a trial from how many there are, (steps, cells)."""
    step, source = np.nonzero(counts)
    n_each = counts[step, source].astype(np.int64)
    return LgnSpikes(*(np.repeat(column, n_each).astype(np.int32) for column in (step, source)))


@dataclass(frozen=True)
class _Sent:
    """What a source population sends, trial by trial."""

    trials: Sequence[LgnSpikes]

    def spikes(
        self, trial: int, seed: int, dt_ms: float, first_step: int, n_steps: int
    ) -> LgnSpikes:
        return self.trials[trial]

    def remarks(self) -> tuple[str, ...]:
        return ()


def _as_array(spikes: SpikeTable, shape: tuple[int, int, int]) -> _Bools:
    spike = np.zeros(shape, dtype=bool)
    step = np.rint(spikes.time_ms / MODEL_STEP_MS).astype(np.int64)
    spike[spikes.trial, step, spikes.neuron] = True
    return spike

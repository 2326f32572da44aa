"""Running trials: stimulus in, spikes and voltages out.

Time, in steps. Step t of a trial that starts at T0 is NEST's interval (T0 + t, T0 + t + 1]. A
neuron that spikes in it has NEST's stamp T0 + t + 1; an LGN spike of step t is sent with stamp
T0 + t, so that after a delay of one step it acts in step t. Each trial therefore begins one step
after the network is at rest, or two where NEST draws the background: its generators send first two
steps after their ``start``, which cannot lie in the past. Recorded times are those of the starts of
steps. The numbers of an analog input go the same way as its spikes would.

Between trials. ``rebuild`` makes the network anew. ``reset``, which needs v1sim's NEST
module, lets what is on its way arrive while no neuron spikes, then sets every
neuron and its input back to where they began. ``gap`` switches all input off and
waits until no neuron has spiked for `QUIET_TIME_CONSTANTS` of the slowest
synapse, then sets every membrane and after-spike current to its start. What is
left of the synaptic currents then is below the rounding of a float64 membrane
potential, so that the next trial's spikes are those of a fresh network.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from v1sim.config import WatchConfig
from v1sim.errors import InputError, SimulationError
from v1sim.model import SpikeTable, VoltageTraces
from v1sim.simulation.build import Progress, Simulation, build
from v1sim.simulation.cells import start_state, whole_state
from v1sim.simulation.currents import load_current
from v1sim.simulation.group import ALONE, Group
from v1sim.simulation.kernel import backend
from v1sim.simulation.plan import BuildPlan
from v1sim.simulation.readback import ProjectionReadback, read_back
from v1sim.simulation.state import NetworkState, refuse_state, restore, send_again, take_state
from v1sim.simulation.watch import stop_if_hopeless
from v1sim.stimulus import background
from v1sim.stimulus.base import Stimulus
from v1sim.stimulus.spikes import LgnInput, LgnSpikes
from v1sim.units import GRID_TOLERANCE_STEPS, MODEL_STEP_MS

__all__ = ["QUIET_TIME_CONSTANTS", "Output", "refuse_other_input", "refuse_unfed", "run_trials"]

#: exp(-45) is 3e-20: a current of 1e4 pA has become 3e-16 pA, which moves no membrane
#: potential of tens of mV in float64 (spacing 7e-15 mV).
QUIET_TIME_CONSTANTS = 45
#: Signals (Ctrl-C, a cluster's SIGTERM) are only handled, and progress only shown, between two
#: calls of NEST's Run. A call costs 6 ms at 52,000 neurons.
_PIECE_S = 1.0
#: A network that fires on this long without any input has no resting state to return to.
_LONGEST_GAP_MS = 5000.0


#: Trial, neuron and time of its spikes.
_TrialSpikes = tuple[int, NDArray[np.int32], NDArray[np.floating]]


@dataclass(frozen=True, eq=False)
class Output:
    """What a simulation gave.

    ``seconds`` holds the wall time of each stage, ``gap_ms`` the simulated time
    spent between trials. There are no ``lgn_spikes`` of analog input; ``input_spikes`` are what the
    other source populations sent. ``state`` is that at the end of the last trial, where it was
    asked for.
    """

    spikes: SpikeTable
    lgn_spikes: SpikeTable
    input_spikes: Mapping[str, SpikeTable]
    voltage: VoltageTraces | None
    readback: tuple[ProjectionReadback, ...]
    simulation: Simulation
    gap_ms: float
    seconds: Mapping[str, float]
    state: NetworkState | None = None


@dataclass
class _Collected:
    """Arrays of the trials so far."""

    spikes: list[_TrialSpikes] = field(default_factory=list)
    lgn: list[_TrialSpikes] = field(default_factory=list)
    inputs: dict[str, list[_TrialSpikes]] = field(default_factory=dict)
    voltage: list[NDArray[np.float32]] = field(default_factory=list)
    gap_ms: float = 0.0
    state: NetworkState | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    def timed(self, stage: str, since: float) -> None:
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - since


def run_trials(
    plan: BuildPlan,
    stimulus: Stimulus,
    *,
    threads: int,
    between_trials: Literal["reset", "gap", "rebuild"],
    voltage_of: NDArray[np.int32],
    progress: Progress,
    watch: WatchConfig | None = None,
    group: Group = ALONE,
    skip_frozen_nodes: bool = False,
    start: NetworkState | None = None,
    save_state: bool = False,
) -> Output:
    """Build the network, prove what was built, and run every trial.

    Parameters
    ----------
    plan : BuildPlan
        From `v1sim.simulation.plan.make_plan`.
    stimulus : Stimulus
        Trials, and what the LGN and other source populations send in them.
    threads : int
        NEST's threads.
    between_trials : {"reset", "gap", "rebuild"}
        How the network returns to its start; see the module.
    voltage_of : int array
        Neurons whose membrane potential is recorded.
    progress : callable
        Told ``(stage, done, total)``.
    watch : WatchConfig, optional
        With ``fail_fast``, a run whose first activity is an error ends there.
    group : Group, optional
        The processes that simulate together. Each calls this and gets the whole recording.
    skip_frozen_nodes : bool, optional
        See `v1sim.simulation.build.build`.
    start : NetworkState, optional
        From which each trial starts, in place of rest; its random streams go on.
    save_state : bool, optional
        Whether the state at the end of the last trial is wanted.

    Raises
    ------
    InputError
        If the dynamics cannot take the input, or a source population has none.
    ReadbackError
        If NEST does not hold what the plan says.
    SimulationError
        If NEST fails, or the network does not fall silent between trials.
    """
    refuse_other_input(plan, stimulus)
    refuse_unfed(plan, stimulus)
    if start is not None or save_state:
        refuse_state(plan, start, where="the run's state")
    if start is not None and between_trials == "gap":
        between_trials = "reset"  # each trial starts from the state, whatever went before
    nest, _ = backend()
    collected = _Collected()
    simulation: Simulation | None = None
    readback: tuple[ProjectionReadback, ...] = ()
    total_ms = stimulus.schedule.duration_ms
    done_ms = 0.0
    early = _EarlyWatch(watch, plan) if watch is not None and watch.fail_fast else None
    pieces = _Pieces(
        plan.dt_ms,
        group,
        lambda trial_ms: progress("simulate", min(done_ms + trial_ms, total_ms), total_ms),
    )
    try:
        for trial in stimulus.trials:
            if simulation is None or between_trials == "rebuild":
                since = time.perf_counter()
                simulation = build(
                    plan,
                    threads=threads,
                    voltage_of=voltage_of,
                    progress=progress,
                    group=group,
                    skip_frozen_nodes=skip_frozen_nodes,
                )
                collected.timed("build", since)
                if not readback:
                    since = time.perf_counter()
                    readback = read_back(simulation, progress)
                    collected.timed("read-back", since)
            elif between_trials == "gap":
                since = time.perf_counter()
                collected.gap_ms += _return_to_rest(simulation)
                collected.timed("between trials", since)
            since = time.perf_counter()
            first_step = 0 if start is None else start.n_steps
            lgn = stimulus.input(trial.index, plan.seed, plan.dt_ms, first_step)
            inputs = stimulus.inputs(trial.index, plan.seed, plan.dt_ms, first_step)
            collected.timed("stimulus", since)
            since = time.perf_counter()
            n_steps = plan.n_steps(trial.duration_ms)
            keep = save_state and trial is stimulus.trials[-1]
            collected.state = _run_trial(
                *(simulation, n_steps, trial.index, lgn, inputs, collected, early, pieces),
                *(start, keep),
            )
            collected.timed("simulate", since)
            done_ms += trial.duration_ms
    except nest.NESTError as error:
        raise SimulationError(f"NEST failed: {error}", where="simulation") from error
    if simulation is None:
        raise SimulationError("there are no trials to run", where="stimulus")
    return Output(
        spikes=_spike_table(collected.spikes),
        lgn_spikes=_spike_table(collected.lgn),
        input_spikes={name: _spike_table(sent) for name, sent in collected.inputs.items()},
        voltage=(
            VoltageTraces(simulation.voltage_of, np.stack(collected.voltage), plan.dt_ms)
            if collected.voltage
            else None
        ),
        readback=readback,
        simulation=simulation,
        gap_ms=collected.gap_ms,
        seconds=collected.seconds,
        state=collected.state,
    )


def refuse_other_input(plan: BuildPlan, stimulus: Stimulus) -> None:
    """Analog input for neurons that cannot take it.

    Raises
    ------
    InputError
        Saying what to set.
    """
    if stimulus.analog and not plan.in_training_dynamics:
        raise InputError(
            "numbers enter the synapses, and NEST's own neurons take spikes alone",
            where="stimulus.input: analog",
            expected="simulation.dynamics: training, training_single or training_float32",
            hint="--set simulation.dynamics=training, or draw spikes: --set stimulus.input=spikes",
        )


def refuse_unfed(plan: BuildPlan, stimulus: Stimulus) -> None:
    """Source populations of which nothing says what they send: silent, it is another network.

    Raises
    ------
    InputError
        Naming them, and saying what to set; also of a trial that is no whole number of steps.
    """
    unfed = [name for name in plan.sources if name not in stimulus.feeds]
    if unfed:
        raise InputError(
            f"nothing says what the cells of {', '.join(unfed)} send",
            where="inputs",
            expected=f"spikes for each of them, or inputs.{unfed[0]}: silent",
            hint="BMTK leaves their synapses out without a word",
        )
    for trial in stimulus.trials:
        steps = trial.duration_ms / plan.dt_ms
        if abs(steps - round(steps)) > GRID_TOLERANCE_STEPS:
            raise InputError(
                f"trial {trial.index} lasts {trial.duration_ms:g} ms, which is no whole number of "
                f"steps of {plan.dt_ms:g} ms",
                where="stimulus.duration_ms",
            )


class _Pieces:
    """Simulates in pieces of about `_PIECE_S`, and tells how many ms of each trial are done.

    A step is the shortest delay, so that NEST gives the same spikes however they are divided.
    """

    def __init__(self, dt_ms: float, group: Group, on_piece: Callable[[float], None]) -> None:
        self._dt_ms = dt_ms
        self._group = group
        self._on_piece = on_piece
        self._n_steps = 50

    def simulate(self, n_steps: int, done: int = 0) -> None:
        """``n_steps`` of a trial of which ``done`` lie behind."""
        nest, _ = backend()
        end = done + n_steps
        while done < end:
            piece = min(self._n_steps, end - done)
            since = time.perf_counter()
            nest.Simulate(piece * self._dt_ms)
            seconds = time.perf_counter() - since
            if piece == self._n_steps:
                factor = min(max(_PIECE_S / seconds, 0.25), 16.0)
                self._n_steps = self._group.broadcast(max(1, round(piece * factor)))
            done += piece
            self._on_piece(done * self._dt_ms)


class _EarlyWatch:
    """Spike counts of the first steps of a run, judged when there are enough."""

    def __init__(self, limits: WatchConfig, plan: BuildPlan) -> None:
        self._limits = limits
        self._plan = plan
        self._spikes = np.zeros(plan.n_neurons, dtype=np.int64)
        self._lgn_spikes = np.zeros(plan.n_lgn, dtype=np.int64)
        self._n_steps = 0
        self._n_wanted = round(limits.fail_fast_ms / plan.dt_ms)

    def n_steps(self, of_trial: int) -> int:
        """How many steps of a trial are still wanted."""
        return min(of_trial, self._n_wanted - self._n_steps)

    def add(self, neuron: NDArray[np.int32], lgn: LgnInput, n_steps: int) -> None:
        """Count the spikes of the first steps of a trial."""
        self._spikes += np.bincount(neuron, minlength=len(self._spikes))
        if isinstance(lgn, LgnSpikes):
            source = lgn.source[lgn.step < n_steps]
            self._lgn_spikes += np.bincount(source, minlength=len(self._lgn_spikes))
        self._n_steps += n_steps
        if self._n_steps == self._n_wanted:
            stop_if_hopeless(
                self._limits,
                self._plan.classes,
                self._spikes,
                self._lgn_spikes if isinstance(lgn, LgnSpikes) else None,
                self._n_steps * self._plan.dt_ms,
            )


def _run_trial(
    simulation: Simulation,
    n_steps: int,
    trial: int,
    lgn: LgnInput,
    inputs: Mapping[str, LgnSpikes],
    collected: _Collected,
    early: _EarlyWatch | None,
    pieces: _Pieces,
    start: NetworkState | None,
    save_state: bool,
) -> NetworkState | None:
    """One trial; the state at its end, if it is to be saved."""
    nest, _ = backend()
    plan = simulation.plan
    first_step = 0 if start is None else start.n_steps
    start_ms = nest.biological_time + _n_steps_before(plan) * plan.dt_ms
    _load_sources(simulation, start_ms, n_steps, trial, lgn, inputs, first_step)
    _take_steps_before(simulation, start)
    n_early = early.n_steps(n_steps) if early else 0
    parts = []
    if early and n_early:
        pieces.simulate(n_early)
        parts.append(_recorded(simulation, start_ms, n_early))
        early.add(parts[0][0], lgn, n_early)
    state = None
    if save_state:
        pieces.simulate(n_steps - n_early, done=n_early)
        state = take_state(simulation, first_step + n_steps)
        n_early = n_steps
    # One step more: NEST hands over a step's voltages in the next.
    pieces.simulate(n_steps + 1 - n_early, done=n_early)
    parts.append(_recorded(simulation, start_ms, n_steps))
    neuron, time_ms = (np.concatenate(column) for column in zip(*parts, strict=True))
    collected.spikes.append((trial, neuron, time_ms))
    drawn = lgn if isinstance(lgn, LgnSpikes) else LgnSpikes.none()
    collected.lgn.append((trial, drawn.source, drawn.step * plan.dt_ms))
    for name, sent in inputs.items():
        part = (trial, sent.source, sent.step * plan.dt_ms)
        collected.inputs.setdefault(name, []).append(part)
    if simulation.multimeter is not None:
        collected.voltage.append(_recorded_voltage(simulation, start_ms, n_steps))
    return state


def _load_sources(
    simulation: Simulation,
    start_ms: float,
    n_steps: int,
    trial: int,
    lgn: LgnInput,
    inputs: Mapping[str, LgnSpikes],
    first_step: int = 0,
) -> None:
    """Give each source its spikes of this trial, or its numbers."""
    plan = simulation.plan
    start_step = round(start_ms / plan.dt_ms)
    if isinstance(lgn, LgnSpikes):
        inputs = {plan.lgn: lgn, **inputs}
    elif plan.lgn in simulation.populations:
        assert simulation.native is not None  # refuse_other_input
        first_node = int(simulation.populations[plan.lgn].first_id)
        simulation.native.give_values(first_node, start_step, lgn)
    for name, sent in inputs.items():
        cells = simulation.populations.get(name)
        if cells is None:  # no synapse comes from them
            continue
        if simulation.native:
            stamps = start_step + sent.step.astype(np.int64)
            simulation.native.give_spikes(int(cells.first_id), cells.size, sent.source, stamps)
        else:
            order = np.argsort(sent.source, kind="stable")
            first = np.searchsorted(sent.source[order], np.arange(1, cells.size))
            trains = np.split(start_ms + sent.step[order] * plan.dt_ms, first)
            cells.node_collection.set([{"spike_times": train} for train in trains])
    for current, generator in zip(plan.currents, simulation.current_generators, strict=True):
        load_current(current, generator, start_step, n_steps, plan.dt_ms)
    stimulation = simulation.populations.get("stimulation")
    if stimulation is not None:
        stamps_ms = start_ms + np.arange(n_steps) * plan.dt_ms
        stimulation.node_collection.set(spike_times=stamps_ms)
    if any(p.held_as == "normalised_in_neurons" for p in plan.projections):
        assert simulation.native is not None
        weight = background.event_weight(plan.background)
        if plan.background == "independent_poisson":
            key = background.poisson_key(plan.seed, trial)
            simulation.native.set_poisson_background(
                start_step - first_step, first_step + n_steps, key, weight
            )
        else:
            events = background.events(
                plan.background, n_steps, plan.seed, trial, plan.draws, first_step
            )
            simulation.native.set_background(start_step, events.astype(np.float64) * weight)
        return
    driven = next((p for p in plan.projections if p.driven_by == "background"), None)
    if driven is None:
        return
    source = simulation.populations[driven.source or ""]
    if plan.background == "independent_poisson":
        # Its stamps are start + 2 steps to stop + 1 step, both included.
        source.node_collection.set(
            start=start_ms - 2 * plan.dt_ms, stop=start_ms + (n_steps - 2) * plan.dt_ms
        )
        return
    # The background acts once in each step of the model, at its start.
    n_model_steps = round(n_steps * plan.dt_ms / MODEL_STEP_MS)
    events = background.events(plan.background, n_model_steps, plan.seed, trial, plan.draws)
    step = np.flatnonzero(events)
    source.node_collection.set(
        spike_times=start_ms + step * MODEL_STEP_MS, spike_multiplicities=events[step]
    )


def _n_steps_before(plan: BuildPlan) -> int:
    """Steps between the network's return to rest and a trial."""
    in_neurons = any(p.held_as == "normalised_in_neurons" for p in plan.projections)
    return 2 if plan.background == "independent_poisson" and not in_neurons else 1


def _take_steps_before(simulation: Simulation, start: NetworkState | None = None) -> None:
    """The steps before a trial, in which its first input leaves; then every neuron's start."""
    nest, _ = backend()
    plan, native = simulation.plan, simulation.native
    n_steps = _n_steps_before(plan)
    made_anew = [
        (nodes, whole_state(nodes))
        for index, nodes in _nodes_by_type(simulation)
        if not plan.cell_types.model_of(index).restarts
    ]
    if native:
        # What is on its way arrives in this step, in which no neuron spikes: those of
        # training are muted, those of glif_psc are at rest.
        native.reset_neurons()
        native.set_muted(True)
        if start is not None:
            send_again(simulation, start)
        nest.Simulate(plan.dt_ms)
        native.set_muted(False)
        native.reset_neurons()
        if start is not None:
            restore(simulation, start)
            return
        n_steps -= 1
        # The module leaves GLIF3 neurons of training at their start, others it does not know.
        if not n_steps and not plan.cell_types.why_not_of_training:
            return
    if n_steps:
        # What NEST's generators send lies in the neurons' input already, which therefore stays.
        nest.Simulate(n_steps * plan.dt_ms)
    for index, nodes in _nodes_by_type(simulation):
        state = start_state(plan.cell_types, index)
        if state:
            nodes.set(**state)
    for nodes, before in made_anew:
        after = whole_state(nodes)
        changed = {name: value for name, value in before.items() if after[name] != value}
        if changed:
            nodes.set(**changed)


def _nodes_by_type(simulation: Simulation) -> Iterator[tuple[int, Any]]:
    """The cells of each cell type of each population, with the index of the type."""
    for part in simulation.plan.populations:
        nodes = simulation.populations[part.label].node_collection
        stops = np.cumsum(part.type_count)
        firsts = stops - part.type_count
        for index, first, stop in zip(part.type_index, firsts, stops, strict=True):
            yield int(index), nodes[int(first) : int(stop)]


def _return_to_rest(simulation: Simulation) -> float:
    """Wait, without input, until nothing is left of the trial; the time it took in ms."""
    nest, _ = backend()
    plan = simulation.plan
    types = plan.cell_types
    rest_ms = QUIET_TIME_CONSTANTS * types.receptors.time_courses.slowest_ms
    # Nor may a cell be refractory when the next trial starts.
    rest_ms = max(rest_ms, float(types.t_ref_ms.max()) + plan.dt_ms)
    quiet_ms = np.ceil(rest_ms + plan.max_delay_ms)
    begin_ms = last_spike_ms = nest.biological_time
    while nest.biological_time < last_spike_ms + quiet_ms:
        nest.Simulate(last_spike_ms + quiet_ms - nest.biological_time)
        _, stamp_ms = _take_events(simulation)
        last_spike_ms = max(simulation.group.all_gather(float(stamp_ms.max(initial=last_spike_ms))))
        if last_spike_ms - begin_ms > _LONGEST_GAP_MS:
            raise SimulationError(
                f"the network still fires {_LONGEST_GAP_MS / 1000:g} s after its input ended",
                where="the gap between trials",
                expected="silence without input",
                hint="set simulation.between_trials: rebuild",
            )
    return float(nest.biological_time - begin_ms)


def _take_events(
    simulation: Simulation,
) -> tuple[NDArray[np.integer], NDArray[np.floating]]:
    """Node id and time stamp in ms of the spikes since the last call."""
    if simulation.spike_recorder is None:
        assert simulation.native is not None
        node, step = simulation.native.take_spikes()
        return node, step * simulation.plan.dt_ms
    events = simulation.spike_recorder.events
    simulation.spike_recorder.n_events = 0
    # NEST gives empty arrays of floats where nothing has spiked.
    return np.asarray(events["senders"], dtype=np.int64), np.asarray(events["times"])


def _recorded(
    simulation: Simulation, start_ms: float, n_steps: int
) -> tuple[NDArray[np.int32], NDArray[np.floating]]:
    """Neuron and time of each spike in the first steps of a trial, sorted by time, then neuron."""
    plan = simulation.plan
    senders, stamps = zip(*simulation.group.all_gather(_take_events(simulation)), strict=True)
    sender, stamp = np.concatenate(senders), np.concatenate(stamps)
    step = np.rint((stamp - start_ms) / plan.dt_ms).astype(np.int64) - 1
    inside = (step >= 0) & (step < n_steps)
    neuron_of = np.zeros(int(simulation.neuron_node.max()) + 1, dtype=np.int32)
    neuron_of[simulation.neuron_node] = np.arange(plan.n_neurons, dtype=np.int32)
    neuron, step = neuron_of[sender[inside]], step[inside]
    order = np.lexsort((neuron, step))
    return neuron[order], step[order] * plan.dt_ms


def _recorded_voltage(simulation: Simulation, start_ms: float, n_steps: int) -> NDArray[np.float32]:
    """Membrane potential after each step, shape (n_steps, m)."""
    plan = simulation.plan
    events = simulation.multimeter.events
    simulation.multimeter.n_events = 0
    step = np.rint((np.asarray(events["times"]) - start_ms) / plan.dt_ms).astype(np.int64) - 1
    nodes = simulation.neuron_node[simulation.voltage_of]
    by_node = np.argsort(nodes)
    column = by_node[np.searchsorted(nodes[by_node], np.asarray(events["senders"]))]
    inside = (step >= 0) & (step < n_steps)
    v_mv = np.full((n_steps, len(nodes)), np.nan, dtype=np.float32)
    v_mv[step[inside], column[inside]] = np.asarray(events["V_m"])[inside]
    # Each process has those that it hosts, NaN elsewhere.
    return functools.reduce(np.fmax, simulation.group.all_gather(v_mv))


def _spike_table(parts: list[_TrialSpikes]) -> SpikeTable:
    return SpikeTable(
        trial=np.concatenate([np.full(len(n), i, dtype=np.int32) for i, n, _ in parts]),
        neuron=np.concatenate([n for _, n, _ in parts]).astype(np.int32),
        time_ms=np.concatenate([t for _, _, t in parts]).astype(np.float64),
    )

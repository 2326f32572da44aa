"""What a run recorded: frozen arrays, a Neo Block of them, and files that others can read.

=============================== ===================================================
`Recording`                     spikes, trials, classes and voltages of one run
`Recording.to_neo`              the same as a `neo.Block`, one Segment a trial
`write_nwb`, `read_nwb`         the whole Recording in one NWB file
`write_sonata`, `read_sonata`   its spikes in the SONATA layout
`write_sonata_report`           membrane potentials as a report in the SONATA layout
=============================== ===================================================

Files carry times on the run's time line, in which a trial begins at its
``start_ms``. This is the only module that uses neo and pynwb; both take a second
to import, so that the functions that need them import them.
"""

from __future__ import annotations

import importlib
import io
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from numpy.typing import NDArray

from v1sim.cell_classes import CellClasses
from v1sim.errors import InputError
from v1sim.files.hdf5 import closing_quietly, given_hdf5, open_hdf5
from v1sim.files.identify import printable
from v1sim.memory import raise_lack_of_memory
from v1sim.model import (
    V1,
    NeuronPopulation,
    Presentation,
    SpikeTable,
    Trial,
    VoltageTraces,
)
from v1sim.output import replacing

if TYPE_CHECKING:
    import neo
    import pynwb

__all__ = [
    "LGN",
    "InputRecording",
    "Recording",
    "import_writers",
    "read_nwb",
    "read_sonata",
    "write_nwb",
    "write_sonata",
    "write_sonata_report",
]

#: Name of the LGN cells' population in Neo annotations and in files, if the network has no other.
LGN = "lgn"

I64 = NDArray[np.int64]
F64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class InputRecording:
    """What a source population sent: its name, the ids of its cells and their spikes.

    ``spikes`` index the cells.
    """

    population: NeuronPopulation
    spikes: SpikeTable


@dataclass(frozen=True, eq=False)
class Recording:
    """Everything that one run recorded.

    Parameters
    ----------
    spikes, lgn_spikes : SpikeTable
        Spikes of the network's neurons and of the LGN cells.
    trials : tuple of Trial
        In order of time; ``trials[i].index`` is i.
    classes : CellClasses
        Class of each of the n neurons.
    n_lgn : int
        Number of LGN cells, silent ones included.
    dt_ms : float
        Time step; spike times are multiples of it.
    voltage : VoltageTraces, optional
        Membrane potential of chosen neurons.
    annotations : mapping
        What identifies the run (network digest, configuration, seed): values
        that JSON knows.
    populations : tuple of NeuronPopulation
        The network's (`NetworkModel.populations`), whose names and ids the files have; by
        default one, ``v1``, whose ids are the indices.
    lgn_population : NeuronPopulation, optional
        Likewise of the LGN cells; by default ``lgn``.
    inputs : tuple of InputRecording
        What the other source populations sent.
    """

    spikes: SpikeTable
    lgn_spikes: SpikeTable
    trials: tuple[Trial, ...]
    classes: CellClasses
    n_lgn: int
    dt_ms: float
    voltage: VoltageTraces | None = None
    annotations: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    populations: tuple[NeuronPopulation, ...] = ()
    lgn_population: NeuronPopulation | None = None
    inputs: tuple[InputRecording, ...] = ()

    def __post_init__(self) -> None:
        if not self.populations:
            everyone = NeuronPopulation(V1, np.arange(self.n_neurons, dtype=np.int64))
            object.__setattr__(self, "populations", (everyone,))
        if [trial.index for trial in self.trials] != list(range(len(self.trials))):
            msg = f"trials must be numbered 0, 1, ...: {[t.index for t in self.trials]}"
            raise ValueError(msg)
        if np.any(np.diff([trial.start_ms for trial in self.trials]) <= 0):
            msg = "trials must be in order of time"
            raise ValueError(msg)

    @property
    def analog_input(self) -> bool:
        """Whether numbers entered the LGN's synapses: it has no spikes then."""
        return bool(self.annotations.get("lgn_input") == "analog")

    @property
    def n_neurons(self) -> int:
        """Number of neurons of the network, silent ones included."""
        return len(self.classes.of_neuron)

    @property
    def sources(self) -> tuple[InputRecording, ...]:
        """What was sent from outside of the network: by the LGN first, if there is one."""
        ids = np.arange(self.n_lgn, dtype=np.int64)
        lgn = self.lgn_population or NeuronPopulation(LGN, ids)
        return (InputRecording(lgn, self.lgn_spikes), *self.inputs)

    def unit_columns(self) -> dict[str, NDArray[Any]]:
        """Source, index within the source, and class of each unit.

        A unit is a neuron or a cell that sends input: first all neurons, then all LGN cells, then
        those of other sources. Its number is the ``channel_id`` of Neo and the ``id`` of NWB.

        Returns
        -------
        dict
            ``source`` (the name of the population), ``neuron`` (its id there) and
            ``cell_class`` ("lgn" for LGN cells, the name of the population for cells of other
            sources), each of shape (number of units,).
        """
        sources = [source.population for source in self.sources]
        populations = [*self.populations, *sources]
        classes = [LGN, *(source.name for source in sources[1:])]
        return {
            "source": np.repeat([one.name for one in populations], [len(p) for p in populations]),
            "neuron": np.concatenate([one.node_id for one in populations]),
            "cell_class": np.concatenate(
                [
                    np.array(self.classes.names)[self.classes.of_neuron],
                    np.repeat(classes, [len(source) for source in sources]),
                ]
            ),
        }

    def unit_spikes(self) -> SpikeTable:
        """All spikes, of neurons and of what sends input, by the number of the unit."""
        tables, first = [self.spikes], [0]
        start = self.n_neurons
        for source in self.sources:
            tables.append(source.spikes)
            first.append(start)
            start += len(source.population)
        return SpikeTable(
            np.concatenate([table.trial for table in tables]),
            np.concatenate([t.neuron + np.int32(f) for t, f in zip(tables, first, strict=True)]),
            np.concatenate([table.time_ms for table in tables]),
        )

    def to_neo(self) -> neo.Block:
        """Neo Block of the run: one Segment a trial, times from the start of the trial.

        Each Segment holds one `neo.spiketrainlist.SpikeTrainList` of all units
        (see `unit_columns`), annotated with ``source``, ``neuron`` and
        ``cell_class``. Its ``multiplexed`` pair (unit ids, times) costs nothing;
        indexing it makes neo build a SpikeTrain of *every* unit of the trial,
        at a cost of units times spikes. The Segment's annotations are the
        trial's stimulus and place (``start_ms``, ``window_start_ms``,
        ``window_stop_ms``). Voltages are one AnalogSignal in mV a trial, with
        ``neuron`` and ``cell_class`` as array annotations.
        """
        import neo
        import quantities as pq
        from neo.core.spiketrainlist import SpikeTrainList

        columns = self.unit_columns()
        unit_ids = list(range(len(columns["neuron"])))  # neo adds it to lists
        spikes = self.unit_spikes()
        by_trial = np.argsort(spikes.trial, kind="stable")
        bounds = np.searchsorted(spikes.trial[by_trial], np.arange(len(self.trials) + 1))
        block = neo.Block(name="v1sim", **_flat(self.annotations))
        for trial in self.trials:
            segment = neo.Segment(name=f"trial {trial.index}", index=trial.index)
            segment.annotate(
                **trial.stimulus,
                start_ms=trial.start_ms,
                window_start_ms=trial.window_ms[0],
                window_stop_ms=trial.window_ms[1],
            )
            own = by_trial[slice(*bounds[trial.index : trial.index + 2])]
            trains = SpikeTrainList.from_spike_time_array(
                spikes.time_ms[own],
                spikes.neuron[own].astype(np.int64),
                all_channel_ids=unit_ids,
                units=pq.ms,
                t_start=0.0 * pq.ms,
                t_stop=trial.duration_ms * pq.ms,
                **columns,
            )
            segment.spiketrains = trains
            trains.segment = segment
            if self.voltage is not None:
                recorded = self.voltage.neuron
                segment.analogsignals.append(
                    neo.AnalogSignal(
                        self.voltage.v_mv[trial.index],
                        units=pq.mV,
                        sampling_period=self.voltage.dt_ms * pq.ms,
                        t_start=0.0 * pq.ms,
                        name="membrane potential",
                        array_annotations={
                            "neuron": recorded,
                            "cell_class": columns["cell_class"][recorded],
                        },
                    )
                )
            if trial.presentations:
                segment.epochs.append(_neo_epoch(trial.presentations))
            block.segments.append(segment)
        return block


def _flat(annotations: Mapping[str, Any]) -> dict[str, Any]:
    """Annotations as Neo's files can hold them: what is nested is JSON."""
    return {
        key: json.dumps(value) if isinstance(value, Mapping) or value is None else value
        for key, value in annotations.items()
    }


def _neo_epoch(presentations: Sequence[Presentation]) -> neo.Epoch:
    """What a trial shows when; labels are kinds, array annotations the values."""
    import neo
    import quantities as pq

    columns = _value_columns([one.values for one in presentations], "a stimulus")
    return neo.Epoch(
        times=np.array([one.onset_ms for one in presentations]) * pq.ms,
        durations=np.array([one.end_ms - one.onset_ms for one in presentations]) * pq.ms,
        labels=np.array([one.kind for one in presentations]),
        name=_PRESENTATIONS,
        array_annotations={key: np.array(values) for key, (_, values) in columns.items()},
    )


def _run_ms(spikes: SpikeTable, trials: Sequence[Trial]) -> F64:
    """Time of each spike on the run's time line."""
    start_ms = np.array([trial.start_ms for trial in trials], dtype=np.float64)
    return spikes.time_ms + start_ms[spikes.trial]


def _spike_table(
    neuron: NDArray[np.integer],
    run_ms: F64,
    trials: Sequence[Trial],
    dt_ms: float,
    path: Path,
) -> SpikeTable:
    """Undo `_run_ms`; times go back to the grid, which units of seconds rounded them off.

    ``neuron`` is ascending among spikes of equal time.
    """
    if len(run_ms) == 0:
        none = np.zeros(0, dtype=np.int32)
        return SpikeTable(none, none.copy(), np.zeros(0))
    order = np.argsort(run_ms, kind="stable")
    run_ms = run_ms[order]
    start_ms = np.array([trial.start_ms for trial in trials], dtype=np.float64)
    duration_ms = np.array([trial.duration_ms for trial in trials], dtype=np.float64)
    trial = np.searchsorted(start_ms - dt_ms / 2, run_ms, side="right") - 1
    time_ms = np.rint((run_ms - start_ms[trial]) / dt_ms) * dt_ms
    outside = (trial < 0) | (time_ms >= duration_ms[trial])
    if outside.any():
        raise InputError(
            f"{outside.sum():,} of {len(run_ms):,} spikes lie in no trial, "
            f"for example at {run_ms[outside][0]} ms",
            where=str(path),
            expected=f"spikes within the {len(trials)} trials of the run",
            hint="give the trials of the run that wrote this file",
        )
    return SpikeTable(trial.astype(np.int32), neuron[order].astype(np.int32), time_ms)


@contextmanager
def _new_hdf5(path: Path) -> Iterator[h5py.File]:
    """Give a new HDF5 file that is written to ``path`` when the block ends well.

    It is made in memory and written as bytes, because the HDF5 library cannot
    close a file that it failed to write: on a full disk it ends the process.
    """
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        yield file
    with replacing(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def import_writers() -> None:
    """Import what `write_nwb` takes; in a process that writes, it is best done early."""
    for name in ("hdmf.common", "pynwb.ecephys", "pynwb.epoch", "pynwb.misc"):
        importlib.import_module(name)


# --- NWB ------------------------------------------------------------------------------------


def write_nwb(recording: Recording, path: Path) -> None:
    """Write the whole Recording as one NWB 2 file.

    The Units table has one row a neuron and LGN cell (columns of
    `Recording.unit_columns`); the trials table has the stimulus and the analysis
    window, ``intervals/presentations`` what was shown when. Voltages are one TimeSeries a trial,
    which says in its description, as JSON, which neurons its columns are (Neo reads that); the
    same data are linked as ElectricalSeries in ``processing/ecephys``, whose electrodes are
    the neurons (pynapple and spikeinterface read that). What has no place in NWB (the classes'
    order, annotations) is JSON in ``general/notes``. There are no keywords: neo 0.14 cannot read
    a file that has some.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    import pynwb

    about = recording.annotations
    file = pynwb.NWBFile(
        session_description=f"simulation of mouse V1: run {about.get('run', 'without a name')}",
        identifier=str(uuid.uuid4()),
        session_start_time=datetime.now(UTC),
        institution=about.get("institution"),
        experimenter=about.get("experimenter") or None,
        experiment_description="simulated with v1sim in NEST; how is JSON in general/notes",
        subject=pynwb.file.Subject(
            subject_id="simulation",
            description="A simulated network of mouse V1; no animal was used.",
            species="Mus musculus",
            sex="U",
            age="P0D/",
        ),
        notes=json.dumps(
            {
                "annotations": dict(recording.annotations),
                "class_names": recording.classes.names,
                "class_is_excitatory": recording.classes.is_excitatory.tolist(),
                "classes_inferred": recording.classes.inferred,
                "dt_ms": recording.dt_ms,
                "n_lgn": recording.n_lgn,
                "sources": {one.population.name: len(one.population) for one in recording.sources},
            }
        ),
    )
    file.units = _nwb_units(recording)
    if recording.trials:
        file.trials = _nwb_trials(recording.trials)
    if any(trial.presentations for trial in recording.trials):
        file.add_time_intervals(_nwb_presentations(recording.trials))
    if recording.voltage is not None:
        _add_nwb_voltage(file, recording, recording.voltage)
    with _new_hdf5(path) as hdf5, pynwb.NWBHDF5IO(file=hdf5, mode="w") as nwb:
        nwb.write(file)


def _nwb_units(recording: Recording) -> pynwb.misc.Units:
    """Units table as ragged arrays: add_unit would take minutes."""
    from hdmf.common import ElementIdentifiers, VectorData, VectorIndex
    from pynwb.misc import Units

    spikes = recording.unit_spikes()
    unit, time_s = spikes.neuron, _run_ms(spikes, recording.trials) / 1000.0
    columns = recording.unit_columns()
    n_units = len(columns["neuron"])
    order = np.argsort(unit, kind="stable")  # keeps each unit's spikes in order of time
    spike_times = VectorData(
        name="spike_times",
        description="start of the step in which the unit spiked, s from the start of the run",
        data=time_s[order],
    )
    end_s = max((t.start_ms + t.duration_ms for t in recording.trials), default=0.0) / 1000.0
    obs_intervals = VectorData(
        name="obs_intervals",
        # neo reads no more than one interval a unit, so that gaps cannot be left out
        description="the whole run; spikes between trials, if there are gaps, are not recorded",
        data=np.tile([0.0, end_s], (n_units, 1)),
    )
    descriptions = {
        "source": "population, as the network names it; v1 (neurons) and lgn where it names none",
        "neuron": "id of the unit within its population",
        "cell_class": "class of the cell; lgn for LGN cells, the population of other input cells",
    }
    return Units(
        name="units",
        description="all neurons of the network, then all LGN cells, then other input cells",
        id=ElementIdentifiers(name="id", data=np.arange(n_units)),
        columns=[
            VectorIndex(
                name="spike_times_index",
                target=spike_times,
                data=np.cumsum(np.bincount(unit, minlength=n_units)),
            ),
            spike_times,
            VectorIndex(
                name="obs_intervals_index", target=obs_intervals, data=np.arange(1, n_units + 1)
            ),
            obs_intervals,
            *(
                VectorData(name=name, description=text, data=columns[name])
                for name, text in descriptions.items()
            ),
        ],
        resolution=recording.dt_ms / 1000.0,
    )


def _nwb_trials(trials: Sequence[Trial]) -> pynwb.epoch.TimeIntervals:
    columns: dict[str, tuple[str, list[Any]]] = {
        "start_time": ("beginning of the trial, s", [t.start_ms / 1000.0 for t in trials]),
        "stop_time": (
            "end of the trial, s (excluded)",
            [(t.start_ms + t.duration_ms) / 1000.0 for t in trials],
        ),
        "window_start_time": (
            "analysed from here, s (included)",
            [(t.start_ms + t.window_ms[0]) / 1000.0 for t in trials],
        ),
        "window_stop_time": (
            "analysed up to here, s (excluded)",
            [(t.start_ms + t.window_ms[1]) / 1000.0 for t in trials],
        ),
    }
    columns |= _value_columns([t.stimulus for t in trials], "a trial")
    return _time_intervals("trials", "trials of the run", columns)


def _nwb_presentations(trials: Sequence[Trial]) -> pynwb.epoch.TimeIntervals:
    """What was shown when, on the run's time line; several rows a trial where it shows several."""
    shown = [(trial, one) for trial in trials for one in trial.presentations]
    columns: dict[str, tuple[str, list[Any]]] = {
        "start_time": (
            "onset of the stimulus, s",
            [(trial.start_ms + one.onset_ms) / 1000.0 for trial, one in shown],
        ),
        "stop_time": (
            "end of the stimulus, s (excluded)",
            [(trial.start_ms + one.end_ms) / 1000.0 for trial, one in shown],
        ),
        "trial": ("id of the trial in the trials table", [trial.index for trial, _ in shown]),
        "kind": ("what kind of stimulus it is", [one.kind for _, one in shown]),
    }
    columns |= _value_columns([one.values for _, one in shown], "a stimulus")
    return _time_intervals(
        _PRESENTATIONS, "stimuli that were shown; between them the screen is grey", columns
    )


def _value_columns(
    values: Sequence[Mapping[str, float | int | str]], owner: str
) -> dict[str, tuple[str, list[Any]]]:
    """A column for each key that occurs."""
    columns = {}
    for key in dict.fromkeys(key for one in values for key in one):
        cells = [one.get(key) for one in values]
        absent = "" if any(isinstance(cell, str) for cell in cells) else np.nan
        text = _MEANING.get(key, "of the stimulus")
        columns[key] = (
            f"{text}; NaN or empty where {owner} has none",
            [absent if cell is None else cell for cell in cells],
        )
    return columns


def _time_intervals(
    name: str, description: str, columns: Mapping[str, tuple[str, list[Any]]]
) -> pynwb.epoch.TimeIntervals:
    from hdmf.common import ElementIdentifiers, VectorData
    from pynwb.epoch import TimeIntervals

    n = len(columns["start_time"][1])
    return TimeIntervals(
        name=name,
        description=description,
        id=ElementIdentifiers(name="id", data=np.arange(n)),
        columns=[
            VectorData(name=column, description=text, data=np.array(values))
            for column, (text, values) in columns.items()
        ],
    )


def _add_nwb_voltage(file: pynwb.NWBFile, recording: Recording, voltage: VoltageTraces) -> None:
    from pynwb import TimeSeries
    from pynwb.ecephys import ElectricalSeries

    simulator = file.create_device(name="NEST", description="simulator of spiking networks")
    group = file.create_electrode_group(
        name="neurons",
        description="membrane potentials, as if an electrode were in each neuron",
        location="VISp",
        device=simulator,
    )
    file.add_electrode_column("neuron", "index of the neuron, as in units of the source v1")
    file.add_electrode_column("cell_class", "class of the neuron")
    classes = recording.unit_columns()["cell_class"]
    for neuron in voltage.neuron.tolist():
        file.add_electrode(
            id=neuron, group=group, location="VISp", neuron=neuron, cell_class=str(classes[neuron])
        )
    recorded = file.create_electrode_table_region(
        list(range(len(voltage.neuron))), "the recorded neurons, one a column"
    )
    columns = {
        "what": "membrane potential, one column a neuron",
        "neuron": voltage.neuron.tolist(),
        "cell_class": classes[voltage.neuron].tolist(),
    }
    module = file.create_processing_module("ecephys", "membrane potentials by electrode")
    for trial in recording.trials:
        name = f"{_VOLTAGE_SERIES}{trial.index:06d}"
        when = {"starting_time": trial.start_ms / 1000.0, "rate": 1000.0 / voltage.dt_ms}
        series = TimeSeries(
            name=name,
            description=json.dumps(columns),
            data=voltage.v_mv[trial.index],
            unit="volts",
            conversion=1e-3,
            **when,
        )
        file.add_acquisition(series)
        # neo 0.14 cannot read a file with an ElectricalSeries among its acquisitions.
        module.add(
            ElectricalSeries(
                name=name,
                description=columns["what"],
                data=series,
                conversion=1e-3,
                electrodes=recorded,
                **when,
            )
        )


#: Name of the voltage series of trial i, less the six digits of i.
_VOLTAGE_SERIES = "membrane_potential_trial_"
#: Name of the table of what was shown when.
_PRESENTATIONS = "presentations"
#: What the columns of trials and presentations mean.
_MEANING = {
    "direction_deg": "direction of drift in degrees: 0 is rightward, 90 upward",
    "orientation_deg": "orientation in degrees: 0 is vertical bars",
    "temporal_frequency_hz": "cycles a second",
    "spatial_frequency_cpd": "cycles a degree of visual field",
    "contrast": "contrast from 0 to 1",
    "phase_deg": "phase at the top left corner at onset in degrees",
    "luminance": "luminance from -1 (black) to 1 (white), 0 is grey",
    "image": "number of the image in the configuration",
    "file": "name of the file that was shown",
    "sample": "number of the sample in the stimulus file",
    "label": "class of the sample",
    "piece": "number of the piece of the spike file",
    "rate_hz": "rate of every LGN cell in Hz",
    "parts": "number of stimuli in the trial",
    "repeat": "number of the repeat of this stimulus, from 0",
}


def read_nwb(path: Path) -> Recording:
    """Read back what `write_nwb` wrote.

    Raises
    ------
    InputError
        If the file cannot be opened or was not written by `write_nwb`.
    """
    import pynwb

    file = open_hdf5(path)
    try:
        with closing_quietly(file), pynwb.NWBHDF5IO(file=file, mode="r") as nwb:
            return _from_nwb(nwb.read(), path)
    except InputError:
        raise
    except Exception as error:  # pynwb, hdmf and h5py raise many kinds on damaged files
        raise_lack_of_memory(error)
        raise InputError(
            f"cannot be read as a recording: {printable(' '.join(str(error).split()))}",
            where=str(path),
            expected="an NWB file written by v1sim run",
            hint="give a complete run folder",
        ) from error


def _from_nwb(file: pynwb.NWBFile, path: Path) -> Recording:
    notes = json.loads(file.notes)
    dt_ms, n_lgn = float(notes["dt_ms"]), int(notes["n_lgn"])
    names = tuple(notes["class_names"])
    trials = _from_nwb_trials(file.trials, (file.intervals or {}).get(_PRESENTATIONS))
    units = file.units
    sizes: dict[str, int] = notes.get("sources", {LGN: n_lgn})  # older files name the LGN alone
    n_v1 = len(units) - sum(sizes.values())
    index = units["spike_times"]
    stops = index.data[:]
    unit = np.repeat(np.arange(len(stops), dtype=np.int32), np.diff(stops, prepend=0))
    run_ms = index.target.data[:] * 1000.0
    n_v1_spikes = int(stops[n_v1 - 1]) if n_v1 else 0
    rank = {name: i for i, name in enumerate(names)}
    unit_names, of_unit = np.unique(units["cell_class"].data[:n_v1], return_inverse=True)
    ranks = np.array([rank[str(name)] for name in unit_names], dtype=np.uint16)
    voltage = None
    if file.electrodes is not None:
        series = [file.acquisition[f"{_VOLTAGE_SERIES}{i:06d}"] for i in range(len(trials))]
        voltage = VoltageTraces(
            neuron=np.asarray(file.electrodes["neuron"].data[:], dtype=np.int32),
            v_mv=np.stack([one.data[:] for one in series]),
            dt_ms=1000.0 / series[0].rate,
        )
    all_ids = np.asarray(units["neuron"].data[:]).astype(np.int64)
    sources, ids = np.asarray(units["source"].data[:n_v1]), all_ids[:n_v1]
    first = np.flatnonzero(np.concatenate([[True], sources[1:] != sources[:-1]])[:n_v1])
    v1 = slice(0, n_v1_spikes)
    inputs, start = [], n_v1
    for name, size in sizes.items():
        sent = slice(*np.searchsorted(unit, [start, start + size]))
        table = _spike_table(unit[sent] - start, run_ms[sent], trials, dt_ms, path)
        population = NeuronPopulation(name, all_ids[start : start + size])
        inputs.append(InputRecording(population, table))
        start += size
    return Recording(
        spikes=_spike_table(unit[v1], run_ms[v1], trials, dt_ms, path),
        lgn_spikes=inputs[0].spikes,
        trials=trials,
        classes=CellClasses(
            names=names,
            of_neuron=ranks[of_unit],
            is_excitatory=np.array(notes["class_is_excitatory"], dtype=bool),
            inferred=bool(notes["classes_inferred"]),
        ),
        n_lgn=n_lgn,
        dt_ms=dt_ms,
        voltage=voltage,
        annotations=notes["annotations"],
        populations=tuple(
            NeuronPopulation(str(sources[start]), node_id)
            for start, node_id in zip(first, np.split(ids, first[1:]), strict=bool(n_v1))
        ),
        lgn_population=inputs[0].population,
        inputs=tuple(inputs[1:]),
    )


def _present(row: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a row that are there: NaN and empty texts stand for none."""
    return {key: value for key, value in row.items() if value != "" and value == value}


def _shown_in(
    table: pynwb.epoch.TimeIntervals | None, start_ms: Sequence[float]
) -> list[list[Presentation]]:
    """What each trial shows."""
    shown: list[list[Presentation]] = [[] for _ in start_ms]
    if table is None:
        return shown
    columns = {name: table[name].data[:].tolist() for name in table.colnames}
    own = [columns.pop(name) for name in ("start_time", "stop_time", "trial", "kind")]
    for i, (onset_s, end_s, trial, kind) in enumerate(zip(*own, strict=True)):
        shown[trial].append(
            Presentation(
                round(1000.0 * onset_s - start_ms[trial], 9),
                round(1000.0 * end_s - start_ms[trial], 9),
                kind,
                _present({key: values[i] for key, values in columns.items()}),
            )
        )
    return shown


def _from_nwb_trials(
    table: pynwb.epoch.TimeIntervals | None, presentations: pynwb.epoch.TimeIntervals | None
) -> tuple[Trial, ...]:
    if table is None:
        return ()
    columns = {name: table[name].data[:].tolist() for name in table.colnames}
    times = [
        # Seconds round a time of milliseconds off by 1e-13; nobody means less than a picosecond.
        [round(1000.0 * value, 9) for value in columns.pop(name)]
        for name in ("start_time", "stop_time", "window_start_time", "window_stop_time")
    ]
    shown = _shown_in(presentations, times[0])
    trials = []
    for i, (start, stop, window_start, window_stop) in enumerate(zip(*times, strict=True)):
        stimulus = {key: values[i] for key, values in columns.items()}
        trials.append(
            Trial(
                index=i,
                start_ms=start,
                duration_ms=round(stop - start, 9),
                window_ms=(round(window_start - start, 9), round(window_stop - start, 9)),
                stimulus=_present(stimulus),
                presentations=tuple(shown[i]),
            )
        )
    return tuple(trials)


# --- SONATA ---------------------------------------------------------------------------------

#: Attribute "magic" of every SONATA file (SONATA developer guide, section 2).
_SONATA_MAGIC = 0x0A7A
_SONATA_SORTING = h5py.enum_dtype({"none": 0, "by_id": 1, "by_time": 2}, basetype="u1")


def write_sonata(recording: Recording, path: Path) -> None:
    """Write the spikes in the SONATA layout: ``/spikes/{v1,lgn}/{node_ids,timestamps}``.

    Cells are in groups by population, input cells too, with their ids there. Sorted by time;
    timestamps in ms on the run's time line: the start of the step, where BMTK writes its end. What
    the run was is JSON in ``/v1sim/annotations``. The layout has no place for trials, classes or
    voltages: see `write_nwb`. Dai et al. 2020, doi
    10.1371/journal.pcbi.1007696.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    with _new_hdf5(path) as file:
        file.attrs["magic"] = np.uint32(_SONATA_MAGIC)
        file.attrs["version"] = np.array([0, 1], dtype=np.uint32)
        # Not an attribute: those end at 64 kB. Readers of SONATA look at /spikes alone.
        file["v1sim/annotations"] = json.dumps(dict(recording.annotations))
        neuron, start = recording.spikes.neuron, 0
        run_ms = _run_ms(recording.spikes, recording.trials)
        for population in recording.populations:
            own = (neuron >= start) & (neuron < start + len(population))
            node_id = population.node_id[neuron[own] - start]
            _write_spikes(file, population.name, node_id, run_ms[own])
            start += len(population)
        for source in recording.sources:
            sent = _run_ms(source.spikes, recording.trials)
            node_id = source.population.node_id[source.spikes.neuron]
            _write_spikes(file, source.population.name, node_id, sent)


def _write_spikes(
    file: h5py.File, population: str, node_id: NDArray[np.integer], run_ms: NDArray[np.float64]
) -> None:
    group = file.create_group(f"spikes/{population}")
    group.attrs.create("sorting", 2, dtype=_SONATA_SORTING)
    group.create_dataset("node_ids", data=node_id.astype(np.uint64))
    times = group.create_dataset("timestamps", data=run_ms)
    times.attrs["units"] = "milliseconds"


def write_sonata_report(
    recording: Recording,
    path: Path,
    *,
    cells: Mapping[str, NDArray[np.integer]],
    interval_ms: float | None = None,
    start_ms: float = 0.0,
    stop_ms: float | None = None,
) -> None:
    """Write membrane potentials in SONATA's layout of reports: ``/report/<population>/data``.

    One row a time, one column a cell. A value is that at the END of a step, and so is its time,
    as in BMTK's reports: the first is at ``interval_ms``.

    Parameters
    ----------
    recording : Recording
        Has the voltages, of all of its trials one after the other.
    path : Path
        The file.
    cells : mapping
        Ids of the cells by population; all must have been recorded.
    interval_ms : float, optional
        Time between two values, a whole number of steps; by default one step.
    start_ms, stop_ms : float, optional
        Values after the first, up to the second; on the run's time line.

    Raises
    ------
    InputError
        If the interval is no whole number of steps.
    OutputError
        If the file cannot be written.
    """
    voltage = recording.voltage
    assert voltage is not None
    dt_ms = voltage.dt_ms
    stride = 1 if interval_ms is None else round(interval_ms / dt_ms)
    if interval_ms is not None and (stride < 1 or abs(interval_ms / dt_ms - stride) > 1e-6):
        raise InputError(
            f"a report every {interval_ms:g} ms in steps of {dt_ms:g} ms",
            where="recording.reports",
            expected="an interval of whole steps",
        )
    v_mv = voltage.v_mv.reshape(-1, len(voltage.neuron))
    end_of_step = np.arange(1, len(v_mv) + 1)
    last = len(v_mv) if stop_ms is None else round(stop_ms / dt_ms)
    kept = (end_of_step % stride == 0) & (end_of_step * dt_ms > start_ms) & (end_of_step <= last)
    rows = np.flatnonzero(kept)
    begin_ms = float(end_of_step[rows[0]] * dt_ms) if len(rows) else start_ms
    every_ms = stride * dt_ms
    with _new_hdf5(path) as file:
        file.attrs["magic"] = np.uint32(_SONATA_MAGIC)
        file.attrs["version"] = np.array([0, 1], dtype=np.uint32)
        first = 0
        for population in recording.populations:
            ids = cells.get(population.name)
            if ids is not None and len(ids):
                by_id = np.argsort(population.node_id, kind="stable")
                found = by_id[np.searchsorted(population.node_id, np.sort(ids), sorter=by_id)]
                column = np.searchsorted(voltage.neuron, first + found)
                group = file.create_group(f"report/{population.name}")
                data = group.create_dataset("data", data=v_mv[rows][:, column])
                data.attrs["units"] = "mV"
                data.attrs["variable_name"] = "V_m"
                mapping = group.create_group("mapping")
                node_ids = mapping.create_dataset("node_ids", data=np.sort(ids).astype(np.uint64))
                node_ids.attrs["sorted"] = np.uint8(1)
                mapping["element_ids"] = np.zeros(len(ids), dtype=np.uint32)
                mapping["element_pos"] = np.zeros(len(ids), dtype=np.float64)
                mapping["index_pointers"] = np.arange(len(ids) + 1, dtype=np.uint64)
                mapping["index_pointer"] = mapping["index_pointers"]  # as older readers call it
                time = mapping.create_dataset(
                    "time", data=np.array([begin_ms, begin_ms + len(rows) * every_ms, every_ms])
                )
                time.attrs["units"] = "ms"
            first += len(population)


def read_sonata(path: Path, trials: Sequence[Trial], dt_ms: float) -> tuple[SpikeTable, SpikeTable]:
    """Read the spikes of V1 and LGN back; the file knows no trials, so that they are given.

    Raises
    ------
    InputError
        If the file cannot be opened, has not this layout, or has spikes outside
        the trials.
    """
    tables = []
    expected = "groups /spikes/v1 and /spikes/lgn with node_ids and timestamps"
    with given_hdf5(path, error=InputError, expected=expected) as file:
        for population in (V1, LGN):
            group = f"spikes/{population}"
            neuron = file.numbers(f"{group}/node_ids", (None,), kinds="iu", expected=expected)
            run_ms = file.numbers(f"{group}/timestamps", (None,), kinds="f", expected=expected)
            if len(neuron) != len(run_ms):
                seen = f"{len(neuron):,} node_ids beside {len(run_ms):,} timestamps"
                raise InputError(seen, where=f"{path}:/{group}", expected=expected)
            tables.append(_spike_table(neuron, run_ms, trials, dt_ms, path))
    return tables[0], tables[1]

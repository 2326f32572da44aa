"""What a run recorded: frozen arrays, a Neo Block of them, and files that others can read.

========================= =====================================================
`Recording`               spikes, trials, classes and voltages of one run
`Recording.to_neo`        the same as a `neo.Block`, one Segment a trial
========================= =====================================================

This is the only module that uses neo.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from v1sim.cell_classes import CellClasses
from v1sim.model import SpikeTable, Trial, VoltageTraces

if TYPE_CHECKING:
    import neo

__all__ = ["LGN", "V1", "Recording"]

#: Names of the two populations in Neo annotations and in files.
V1 = "v1"
LGN = "lgn"

I64 = NDArray[np.int64]
F64 = NDArray[np.float64]


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
    """

    spikes: SpikeTable
    lgn_spikes: SpikeTable
    trials: tuple[Trial, ...]
    classes: CellClasses
    n_lgn: int
    dt_ms: float
    voltage: VoltageTraces | None = None
    annotations: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        if [trial.index for trial in self.trials] != list(range(len(self.trials))):
            msg = f"trials must be numbered 0, 1, ...: {[t.index for t in self.trials]}"
            raise ValueError(msg)
        if np.any(np.diff([trial.start_ms for trial in self.trials]) <= 0):
            msg = "trials must be in order of time"
            raise ValueError(msg)

    @property
    def n_neurons(self) -> int:
        """Number of neurons of the network, silent ones included."""
        return len(self.classes.of_neuron)

    def unit_columns(self) -> dict[str, NDArray[Any]]:
        """Source, index within the source, and class of each unit.

        A unit is a neuron or an LGN cell: first all neurons, then all LGN cells.
        Its number is the ``channel_id`` of Neo and the ``id`` of NWB.

        Returns
        -------
        dict
            ``source`` ("v1" or "lgn"), ``neuron`` and ``cell_class`` ("lgn" for
            LGN cells), each of shape (n_neurons + n_lgn,).
        """
        names = np.array([*self.classes.names, LGN])
        n_v1 = self.n_neurons
        of_unit = np.full(n_v1 + self.n_lgn, len(names) - 1)
        of_unit[:n_v1] = self.classes.of_neuron
        return {
            "source": np.repeat(np.array([V1, LGN]), [n_v1, self.n_lgn]),
            "neuron": np.concatenate([np.arange(n_v1), np.arange(self.n_lgn)]),
            "cell_class": names[of_unit],
        }

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
        import neo  # heavy: a report or a check of weights does without
        import quantities as pq
        from neo.core.spiketrainlist import SpikeTrainList

        columns = self.unit_columns()
        unit_ids = list(range(len(columns["neuron"])))  # neo adds it to lists
        bounds = _trial_bounds(self.spikes, len(self.trials))
        lgn_bounds = _trial_bounds(self.lgn_spikes, len(self.trials))
        block = neo.Block(name="v1sim", **dict(self.annotations))
        for trial in self.trials:
            segment = neo.Segment(name=f"trial {trial.index}", index=trial.index)
            segment.annotate(
                **trial.stimulus,
                start_ms=trial.start_ms,
                window_start_ms=trial.window_ms[0],
                window_stop_ms=trial.window_ms[1],
            )
            v1 = slice(*bounds[trial.index : trial.index + 2])
            lgn = slice(*lgn_bounds[trial.index : trial.index + 2])
            trains = SpikeTrainList.from_spike_time_array(
                np.concatenate([self.spikes.time_ms[v1], self.lgn_spikes.time_ms[lgn]]),
                np.concatenate(
                    [self.spikes.neuron[v1], self.lgn_spikes.neuron[lgn] + self.n_neurons],
                    dtype=np.int64,
                ),
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
            block.segments.append(segment)
        return block


def _trial_bounds(spikes: SpikeTable, n_trials: int) -> I64:
    """Index of each trial's first spike and, last, the number of spikes, shape (n_trials + 1,)."""
    return np.searchsorted(spikes.trial, np.arange(n_trials + 1)).astype(np.int64)

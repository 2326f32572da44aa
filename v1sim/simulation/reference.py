"""The training dynamics once more, in plain NumPy: what the NEST model is held against.

Written from the equations of the published cell (Chen, Scherr & Maass 2022, doi
10.1126/sciadv.abq7592) and of BMTK's DPointNet, for comparisons only: it keeps every voltage
and takes a Python step for every step of the network. In float32 each operation is rounded
where TensorFlow rounds it; sums over synapses are in the order of the file, those of
DPointNet by delay, then source.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from v1sim.model import NetworkModel, SynapseTable, TrainingDynamics
from v1sim.simulation.step_constants import normalised_reset, step_constants
from v1sim.units import to_steps

__all__ = ["Precision", "ReferenceRun", "in_mv", "integrate"]

Precision = Literal["float32", "float64"]


@dataclass(frozen=True, eq=False)
class ReferenceRun:
    """Spikes (trials, steps, n) and normalised voltage (same; 0 is E_L, 1 the threshold)."""

    spike: NDArray[np.bool_]
    voltage: NDArray[np.floating]

    def voltage_mv(self, network: NetworkModel, neuron: NDArray[np.integer]) -> NDArray[np.float32]:
        """Membrane potential of some neurons in mV, shape (trials, steps, m)."""
        return in_mv(self.voltage[:, :, neuron], network, neuron)


def in_mv(
    voltage: NDArray[np.floating], network: NetworkModel, neuron: NDArray[np.integer]
) -> NDArray[np.float32]:
    """Membrane potential in mV of normalised ones (..., m) of some neurons (m,)."""
    cell_type = network.neurons.cell_type[neuron]
    scale = network.cell_types.voltage_scale_mv[cell_type].astype(voltage.dtype)
    offset = network.cell_types.e_l_mv[cell_type].astype(voltage.dtype)
    return (voltage * scale + offset).astype(np.float32)


def _matrix(
    table: SynapseTable,
    n_receptors: int,
    column: NDArray[np.integer],
    shape: Any,
    real: Any,
    by_column: bool,
) -> Any:
    """Synapses by (post * n_receptors + receptor, column), each row in the file's order."""
    row = table.post.astype(np.int64) * n_receptors + table.receptor
    order = np.lexsort((column, row)) if by_column else np.argsort(row, kind="stable")
    start = np.searchsorted(row[order], np.arange(shape[0] + 1))
    return csr_matrix((table.weight[order].astype(real), column[order], start), shape=shape)


def integrate(
    network: NetworkModel,
    lgn_spike: NDArray[np.generic],
    background: NDArray[np.floating] | None,
    *,
    precision: Precision = "float64",
    others: Mapping[str, NDArray[np.generic]] = MappingProxyType({}),
) -> ReferenceRun:
    """Run the training dynamics on given input; trials run side by side.

    Parameters
    ----------
    network : NetworkModel
        Its weights as they are in the file, normalised; its dynamics, or those of the published
        training where it names none.
    lgn_spike : array, shape (trials, steps, n_lgn)
        0 or 1.
    background : float array, shape (trials, steps), optional
        What the file's background weights are multiplied by in each step.
    precision : {"float64", "float32"}
        Of every operation.
    others : mapping of str to array, shape (trials, steps, cells)
        Spikes in each step of source populations other than the LGN, by their names.
    """
    trained = network.dynamics or TrainingDynamics()
    is_dpointnet = trained.trainer == "dpointnet"
    real: Any = np.dtype(precision).type
    n, n_receptors = network.n_neurons, network.receptors.n
    n_trials, n_steps = lgn_spike.shape[:2]
    matrix = functools.partial(_matrix, real=real, by_column=is_dpointnet)
    own = network.tables_of("recurrent").values()
    delays = [to_steps(table.delay_ms, trained.step_ms).astype(np.int64) for table in own]
    n_delays = max([1, *(int(delay.max(initial=1)) for delay in delays)])
    w_recurrent = [
        matrix(table, n_receptors, table.pre + n * (delay - 1), (n * n_receptors, n * n_delays))
        for table, delay in zip(own, delays, strict=True)
    ]
    given = {
        name: lgn_spike if network.role(name) == "lgn" else others[projection.source]
        for name, projection in network.projections.items()
        if projection.source is not None and network.role(name) != "background"
    }
    w_given = {
        name: matrix(table, n_receptors, table.pre, (n * n_receptors, network.n_pre(name)))
        for name, table in network.tables.items()
        if name in given
    }

    types, cell_type = network.cell_types, network.neurons.cell_type
    constants = step_constants(types, trained).astype(real)[cell_type]
    decay, current_factor, reset = constants[:, :3].T
    syn_decay, psc_initial = np.split(constants[:, 3 : 3 + 2 * n_receptors], 2, axis=1)
    asc_decay_1, asc_decay_2, asc_amp_1, asc_amp_2 = constants[:, 3 + 2 * n_receptors :].T
    t_ref, dt = types.t_ref_ms.astype(real)[cell_type], real(trained.step_ms)
    weight: Any = 0.0 if network.background_weight is None else network.background_weight

    start = np.broadcast_to(normalised_reset(types)[cell_type].astype(real), (n_trials, n))
    v = start
    r, asc_1, asc_2 = (np.zeros((n_trials, n), dtype=real) for _ in range(3))
    rise, psc = (np.zeros((n_trials, n, n_receptors), dtype=real) for _ in range(2))
    spiked = np.zeros((n_delays * n, n_trials), dtype=real)  # the last steps, latest first
    spikes = np.zeros((n_trials, n_steps, n), dtype=bool)
    voltages = np.empty((n_trials, n_steps, n), dtype=real)
    for step in range(n_steps):
        z = spiked[:n].T
        arriving = np.zeros_like(rise)
        for name, weights in w_given.items():
            arriving = arriving + _sums(weights, given[name][:, step].T.astype(real), rise.shape)
        if background is not None:
            driven = np.multiply(weight, background[:, step, None, None], dtype=np.float64)
            arriving = arriving + driven.astype(real)
        for weights in w_recurrent:
            arriving = _sums(weights, spiked, rise.shape) + arriving
        current = functools.reduce(np.add, np.moveaxis(psc, -1, 0))
        current = current + (asc_1 + asc_2) if is_dpointnet else current + asc_1 + asc_2
        psc = psc * syn_decay + dt * syn_decay * rise
        rise = syn_decay * rise + arriving * psc_initial
        asc_1 = asc_decay_1 * asc_1 + z * asc_amp_1
        asc_2 = asc_decay_2 * asc_2 + z * asc_amp_2
        r = np.maximum(r + z * t_ref - dt, real(0))
        v = decay * v + current_factor * current + z * reset
        if trained.reset == "hard":
            v = np.where(r > 0, start, v)
        spikes[:, step] = (v > 1) & (r <= 0)
        voltages[:, step] = v
        spiked = np.concatenate([spikes[:, step].T.astype(real), spiked[:-n]])
    return ReferenceRun(spikes, voltages)


def _sums(weights: Any, sent: NDArray[np.floating], shape: tuple[int, ...]) -> Any:
    """What arrives at each receptor, from spikes (cells, trials)."""
    return (weights @ sent).T.reshape(shape)

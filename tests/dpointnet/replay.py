"""DPointNet's dynamics in NumPy, double precision, from a network and spikes: for comparison.

Written from the description of its cell (BMTK 1.2.0, ``GLIF3Cell.call``), not from v1sim's engine.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from v1sim.model import NetworkModel


def counts_of(path: Path, population: str, size: int, steps: int, *, once: bool) -> np.ndarray:
    """Spikes by step and node, (steps, size); ``once`` as the module spikes_files takes them."""
    counts = np.zeros((steps, size))
    with h5py.File(path, "r") as file:
        group = file[f"spikes/{population}"]
        step = np.floor(group["timestamps"][()]).astype(int)
        np.add.at(counts, (step, group["node_ids"][()].astype(int)), 1)
    return np.minimum(counts, 1) if once else counts


def replay(network: NetworkModel, inputs: dict[str, np.ndarray]) -> list[tuple[int, int]]:
    """(step, neuron) of every spike, in that order."""
    dt, types = network.step_ms, network.cell_types
    assert network.dynamics is not None
    hard = network.dynamics.reset == "hard"
    of = network.neurons.cell_type
    n, n_basis = network.n_neurons, types.tau_syn_ms.shape[1]
    scale = network.voltage_scale_mv
    decay = np.exp(-dt * types.g_ns / types.c_m_pf)[of]
    factor = ((1 - np.exp(-dt * types.g_ns / types.c_m_pf)) / types.g_ns)[of]
    asc_amp = types.asc_amp_pa[of] / scale[:, None]
    asc_decay = np.exp(-dt * types.k_per_ms)[of]
    t_ref = np.maximum(np.ceil(types.t_ref_ms / dt - 1e-6), 1).astype(int)[of]
    tau = types.tau_syn_ms[of]
    s_decay, start = np.exp(-dt / tau), np.e / tau
    steps = len(next(iter(inputs.values())))
    recurrent, outside = [], []
    for name, projection in network.projections.items():
        table = projection.synapses
        weight = table.normalised(network).astype(np.float64)
        held = (table.pre, table.post, table.receptor, weight)
        if projection.source is None:
            recurrent.append((*held, np.rint(table.delay_ms / dt).astype(int)))
        elif projection.source in inputs:
            outside.append((*held, inputs[projection.source]))
        else:
            raise KeyError(name)
    longest = max(int(d.max(initial=1)) for *_, d in recurrent)
    z = np.zeros((longest + 1, n))  # z[k] = spikes k steps ago
    v, r = np.zeros(n), np.zeros(n, dtype=int)
    asc, rise, psc = np.zeros((n, 2)), np.zeros((n, n_basis)), np.zeros((n, n_basis))
    found: list[tuple[int, int]] = []
    for step in range(steps):
        drive = np.zeros((n, n_basis))
        for pre, post, receptor, weight, delay in recurrent:
            np.add.at(drive, (post, receptor), weight * z[delay, pre])
        for pre, post, receptor, weight, sent in outside:
            np.add.at(drive, (post, receptor), weight * sent[step, pre])
        last = z[1]
        v = decay * v + factor * (psc.sum(1) + asc.sum(1)) - last
        r = np.maximum(r + last.astype(int) * t_ref - 1, 0)
        if hard:
            v[r > 0] = 0.0
        asc = asc_decay * asc + last[:, None] * asc_amp
        psc, rise = psc * s_decay + dt * s_decay * rise, rise * s_decay + drive * start
        z[1:] = z[:-1]
        z[1] = (v > 1) & (r == 0)
        found += [(step, int(k)) for k in np.flatnonzero(z[1])]
    return found


def spikes_of(path: Path, population: str = "v1") -> list[tuple[int, int]]:
    """(step, node) of spikes that DPointNet wrote, in its order; run.dt is 1 ms."""
    with h5py.File(path, "r") as file:
        group = file[f"spikes/{population}"]
        step = np.rint(group["timestamps"][()]).astype(int).tolist()
        return list(zip(step, group["node_ids"][()].tolist(), strict=True))

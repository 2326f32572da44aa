"""A network of cells of every model, and the same one in bare NEST."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from tests.networks import tiny_network
from v1sim.cell_types import CellTypeTable
from v1sim.model import NetworkModel
from v1sim.receptors import Kind, ReceptorKinds
from v1sim.simulation.kernel import backend

MODELS = (
    "glif_psc",
    "glif_psc_double_alpha",
    "iaf_psc_alpha",
    "iaf_psc_exp",
    "iaf_psc_delta",
)
N_RECEPTORS = 6
#: Synapses of these models are NEST's port 0: the sign of the weight chooses.
BY_SIGN = (2, 3, 4)

_NAN = np.nan


def _receptors() -> ReceptorKinds:
    """Ports of unknown kind; the two of models that go by the sign are what the sign says."""
    presynaptic = np.full((len(MODELS), N_RECEPTORS), Kind.UNKNOWN, dtype=np.uint8)
    presynaptic[list(BY_SIGN), :2] = Kind.EXCITATORY, Kind.INHIBITORY
    unknown = np.full_like(presynaptic, Kind.UNKNOWN)
    return ReceptorKinds(tuple(f"port_{i}" for i in range(N_RECEPTORS)), presynaptic, unknown)


def mixed_types(**columns: Any) -> CellTypeTable:
    """One cell type a model."""
    none = [_NAN] * N_RECEPTORS
    by_sign = [[2.0, 5.0], [1.5, 4.0]]
    values: dict[str, Any] = {
        "c_m_pf": [91.1, 70.4, 150.0, 200.0, 120.0],
        "g_ns": [5.75, 9.38, _NAN, _NAN, _NAN],
        "tau_m_ms": [_NAN, _NAN, 12.0, 15.0, 10.0],
        "e_l_mv": [-75.1, -76.1, -70.0, -68.0, -72.0],
        "v_th_mv": [-47.6, -49.4, -52.0, -50.0, -51.0],
        "v_reset_mv": [-75.1, -76.1, -66.0, -68.0, -70.0],
        "v_start_mv": [-74.0, _NAN, -60.0, -65.0, _NAN],
        "t_ref_ms": [3.8, 1.38, 2.0, 3.0, 1.5],
        "k_per_ms": [[0.003, 0.1], [0.003, 0.2], [_NAN] * 2, [_NAN] * 2, [_NAN] * 2],
        "asc_amp_pa": [[-20.5, -198.7], [-2.7, -44.9], [_NAN] * 2, [_NAN] * 2, [_NAN] * 2],
        "tau_syn_ms": [
            [5.5, 8.5, 2.8, 5.8, 1.0, 3.0],
            none,
            *[[*tau, *none[2:]] for tau in by_sign],
            none,
        ],
        "tau_syn_fast_ms": [none, [1.0, 2.0, 3.0, 1.5, 2.5, 4.0], none, none, none],
        "tau_syn_slow_ms": [none, [5.0, 9.0, 12.0, 30.0, 8.0, 6.0], none, none, none],
        "amp_slow": [none, [0.1, 0.3, 0.01, 0.05, 1.0, 0.2], none, none, none],
    }
    return CellTypeTable(
        model=MODELS,
        columns=values | columns,
        receptor_kinds=_receptors(),
        name=MODELS,
        n_receptors=np.array([N_RECEPTORS, N_RECEPTORS, 2, 2, 2]),
    )


def mixed_network(seed: int = 1, *, delay_ms: float = 1.0) -> NetworkModel:
    """`tiny_network` with cells of every model; delays are whole numbers of ``delay_ms``."""
    network = tiny_network(seed)
    rng = np.random.default_rng(seed)
    by_sign = np.isin(network.neurons.cell_type, BY_SIGN)
    # So that cells of each model fire; weights onto iaf_psc_delta are in mV.
    strength = {
        "recurrent": np.array([1.0, 1.0, 1.0, 1.0, 0.1], dtype=np.float32),
        "lgn": np.array([1.5, 3.0, 12.0, 20.0, 0.15], dtype=np.float32),
    }
    tables = {}
    for group in ("recurrent", "lgn"):
        table = getattr(network, group)
        port = rng.integers(0, N_RECEPTORS, len(table))
        receptor = np.where(by_sign[table.post], table.weight < 0, port).astype(np.uint8)
        factor = strength[group][network.neurons.cell_type[table.post]]
        delay = np.float32(delay_ms) * rng.integers(1, 9, len(table)).astype(np.float32)
        tables[group] = replace(
            table, receptor=receptor, weight=table.weight * factor, delay_ms=delay
        )
    return replace(
        network, cell_types=mixed_types(), background_weight=None, provenance=None, **tables
    )


def nest_parameters_by_hand(types: CellTypeTable, t: int) -> dict[str, Any]:
    """NEST's parameters of one type, written down by hand."""
    start = types.v_start_mv[t]
    parameters = {
        "C_m": types.c_m_pf[t],
        "E_L": types.e_l_mv[t],
        "V_th": types.v_th_mv[t],
        "V_reset": types.v_reset_mv[t],
        "V_m": types.v_reset_mv[t] if np.isnan(start) else start,
        "t_ref": types.t_ref_ms[t],
    }
    if t in BY_SIGN:
        parameters["tau_m"] = types.tau_m_ms[t]
        if MODELS[t] != "iaf_psc_delta":
            parameters |= {
                "tau_syn_ex": types.tau_syn_ms[t, 0],
                "tau_syn_in": types.tau_syn_ms[t, 1],
            }
        return parameters
    parameters |= {
        "g": types.columns["g_ns"][t],
        "asc_decay": list(types.k_per_ms[t]),
        "asc_amps": list(types.asc_amp_pa[t]),
        "asc_init": [0.0, 0.0],
        "asc_r": [1.0, 1.0],
        "after_spike_currents": True,
    }
    for column, name in (
        ("after_spike_currents", "after_spike_currents"),
        ("spike_dependent_threshold", "spike_dependent_threshold"),
        ("adapting_threshold", "adapting_threshold"),
        ("th_spike_add_mv", "th_spike_add"),
        ("th_spike_decay_per_ms", "th_spike_decay"),
        ("th_voltage_index_per_ms", "th_voltage_index"),
        ("th_voltage_decay_per_ms", "th_voltage_decay"),
    ):
        if column in types.columns and not np.isnan(types.columns[column][t]):
            value = types.columns[column][t]
            parameters[name] = value if "th_" in name else bool(value)
    if t == 0:
        return parameters | {"tau_syn": list(types.tau_syn_ms[t])}
    return parameters | {
        "tau_syn_fast": list(types.tau_syn_fast_ms[t]),
        "tau_syn_slow": list(types.tau_syn_slow_ms[t]),
        "amp_slow": list(types.amp_slow[t]),
    }


def bare_nest_spikes(
    network: NetworkModel, source: np.ndarray, step: np.ndarray, n_steps: int, dt_ms: float = 1.0
) -> list[tuple[int, int]]:
    """(step, neuron) of every spike of a network of any models, with PyNEST alone.

    ``source`` and ``step`` are the spikes of the LGN, which come from spike generators: devices
    that v1sim does not use.
    """
    nest, _ = backend()
    nest.ResetKernel()
    nest.resolution = dt_ms
    types, cell_type = network.cell_types, network.neurons.cell_type
    nodes = np.array(
        [
            nest.Create(types.model[t], params=nest_parameters_by_hand(types, int(t))).global_id
            for t in cell_type
        ]
    )
    scale = (types.v_th_mv - types.e_l_mv)[cell_type]
    generators = nest.Create("spike_generator", network.lgn.size)
    for cell in range(network.lgn.size):
        # A device's spike with the stamp of a step's end is sent in that step.
        generators[cell].set(spike_times=(np.sort(step[source == cell]) + 1) * dt_ms)
    for table, pre_node in (
        (network.tables["recurrent"], nodes),
        (network.tables["lgn"], generators.tolist()),
    ):
        for pre, post, receptor, delay, weight in zip(
            table.pre, table.post, table.receptor, table.delay_ms, table.weight, strict=True
        ):
            port = 0 if cell_type[post] in BY_SIGN else int(receptor) + 1
            nest.Connect(
                nest.NodeCollection([int(pre_node[pre])]),
                nest.NodeCollection([int(nodes[post])]),
                syn_spec={
                    "weight": float(weight) * scale[post],
                    "delay": float(delay),
                    "receptor_type": port,
                },
            )
    recorder = nest.Create("spike_recorder")
    nest.Connect(nest.NodeCollection(nodes), recorder)
    # The first step of a trial begins at the end of NEST's first step: from there all cells start.
    nest.Simulate(dt_ms)
    for node, t in zip(nodes.tolist(), cell_type.tolist(), strict=True):
        nest.NodeCollection([node]).set(V_m=nest_parameters_by_hand(types, t)["V_m"])
    nest.Simulate((n_steps + 1) * dt_ms)
    events = recorder.events
    index = {int(node): i for i, node in enumerate(nodes)}
    found = np.rint(np.asarray(events["times"]) / dt_ms).astype(int) - 2
    return sorted(
        (int(s), index[int(n)])
        for s, n in zip(found, events["senders"], strict=True)
        if s < n_steps
    )

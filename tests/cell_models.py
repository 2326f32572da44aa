"""A network of cells of every model, and the same in bare NEST. One entry a model in `BY_HAND`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tests.networks import N_LGN, N_NEURONS, tiny_network, with_parts
from v1sim.cell_types import CellTypeTable
from v1sim.model import NetworkModel, NeuronTable
from v1sim.receptors import Kind, ReceptorKinds
from v1sim.simulation.kernel import backend

N_RECEPTORS = 6
_NAN = np.nan


def _point_neuron(p: dict[str, Any]) -> dict[str, Any]:
    return {
        "C_m": p["c_m_pf"],
        "E_L": p["e_l_mv"],
        "V_th": p["v_th_mv"],
        "V_reset": p["v_reset_mv"],
        "V_m": p.get("v_start_mv", p["v_reset_mv"]),
        "t_ref": p["t_ref_ms"],
    }


def _iaf(p: dict[str, Any]) -> dict[str, Any]:
    return _point_neuron(p) | {"tau_m": p["tau_m_ms"]}


def _iaf_by_sign(p: dict[str, Any]) -> dict[str, Any]:
    excitatory, inhibitory = p["tau_syn_ms"]
    return _iaf(p) | {"tau_syn_ex": excitatory, "tau_syn_in": inhibitory}


def _glif(p: dict[str, Any]) -> dict[str, Any]:
    parameters = _point_neuron(p) | {
        "g": p["g_ns"],
        "asc_decay": p["k_per_ms"],
        "asc_amps": p["asc_amp_pa"],
        "asc_init": [0.0, 0.0],
        "asc_r": [1.0, 1.0],
        "after_spike_currents": bool(p.get("after_spike_currents", True)),
    }
    for switch in ("spike_dependent_threshold", "adapting_threshold"):
        parameters[switch] = bool(p.get(switch, False))
    for column, name in (
        ("th_spike_add_mv", "th_spike_add"),
        ("th_spike_decay_per_ms", "th_spike_decay"),
        ("th_voltage_index_per_ms", "th_voltage_index"),
        ("th_voltage_decay_per_ms", "th_voltage_decay"),
    ):
        if column in p:
            parameters[name] = p[column]
    return parameters


def _glif_psc(p: dict[str, Any]) -> dict[str, Any]:
    return _glif(p) | {"tau_syn": p["tau_syn_ms"]}


def _glif_psc_double_alpha(p: dict[str, Any]) -> dict[str, Any]:
    return _glif(p) | {
        "tau_syn_fast": p["tau_syn_fast_ms"],
        "tau_syn_slow": p["tau_syn_slow_ms"],
        "amp_slow": p["amp_slow"],
    }


@dataclass(frozen=True)
class ByHand:
    """A cell type of a model: its columns, NEST's parameters, and what makes it fire.

    ``recurrent`` and ``lgn`` multiply the weights of `tiny_network`, ``has_ports`` is NEST's.
    """

    columns: dict[str, Any]
    nest: Callable[[dict[str, Any]], dict[str, Any]]
    lgn: float
    recurrent: float = 1.0
    has_ports: bool = True


#: The models in the order of their cell types.
BY_HAND: dict[str, ByHand] = {
    "glif_psc": ByHand(
        {
            "c_m_pf": 91.1,
            "g_ns": 5.75,
            "e_l_mv": -75.1,
            "v_th_mv": -47.6,
            "v_reset_mv": -75.1,
            "v_start_mv": -74.0,
            "t_ref_ms": 3.8,
            "k_per_ms": [0.003, 0.1],
            "asc_amp_pa": [-20.5, -198.7],
            "tau_syn_ms": [5.5, 8.5, 2.8, 5.8, 1.0, 3.0],
        },
        _glif_psc,
        lgn=1.5,
    ),
    "glif_psc_double_alpha": ByHand(
        {
            "c_m_pf": 70.4,
            "g_ns": 9.38,
            "e_l_mv": -76.1,
            "v_th_mv": -49.4,
            "v_reset_mv": -76.1,
            "t_ref_ms": 1.38,
            "k_per_ms": [0.003, 0.2],
            "asc_amp_pa": [-2.7, -44.9],
            "tau_syn_fast_ms": [1.0, 2.0, 3.0, 1.5, 2.5, 4.0],
            "tau_syn_slow_ms": [5.0, 9.0, 12.0, 30.0, 8.0, 6.0],
            "amp_slow": [0.1, 0.3, 0.01, 0.05, 1.0, 0.2],
        },
        _glif_psc_double_alpha,
        lgn=3.0,
    ),
    "iaf_psc_alpha": ByHand(
        {
            "c_m_pf": 150.0,
            "tau_m_ms": 12.0,
            "e_l_mv": -70.0,
            "v_th_mv": -52.0,
            "v_reset_mv": -66.0,
            "v_start_mv": -60.0,
            "t_ref_ms": 2.0,
            "tau_syn_ms": [2.0, 5.0],
        },
        _iaf_by_sign,
        lgn=12.0,
        has_ports=False,
    ),
    "iaf_psc_exp": ByHand(
        {
            "c_m_pf": 200.0,
            "tau_m_ms": 15.0,
            "e_l_mv": -68.0,
            "v_th_mv": -50.0,
            "v_reset_mv": -68.0,
            "v_start_mv": -65.0,
            "t_ref_ms": 3.0,
            "tau_syn_ms": [1.5, 4.0],
        },
        _iaf_by_sign,
        lgn=20.0,
        has_ports=False,
    ),
    "iaf_psc_delta": ByHand(  # weights are in mV
        {
            "c_m_pf": 120.0,
            "tau_m_ms": 10.0,
            "e_l_mv": -72.0,
            "v_th_mv": -51.0,
            "v_reset_mv": -70.0,
            "t_ref_ms": 1.5,
        },
        _iaf,
        lgn=0.15,
        recurrent=0.1,
        has_ports=False,
    ),
}
MODELS = tuple(BY_HAND)
_BY_SIGN = np.array([not hand.has_ports for hand in BY_HAND.values()])
_WIDTH = {"tau_syn_ms", "tau_syn_fast_ms", "tau_syn_slow_ms", "amp_slow"}


def _padded(column: str, value: Any) -> Any:
    """A number, or a row as long as there are receptors or currents; NaN where there is none."""
    if column in _WIDTH:
        row = [] if value is None else list(value)
        return row + [_NAN] * (N_RECEPTORS - len(row))
    if column in ("k_per_ms", "asc_amp_pa"):
        return [_NAN] * 2 if value is None else value
    return _NAN if value is None else value


def mixed_types(**changed: dict[str, Any]) -> CellTypeTable:
    """Two equal cell types a model, for excitatory and inhibitory cells.

    ``changed`` has other or more columns by the model's name.
    """
    hands = [hand.columns | changed.get(name, {}) for name, hand in BY_HAND.items()]
    presynaptic = np.full((len(MODELS), N_RECEPTORS), Kind.UNKNOWN, dtype=np.uint8)
    presynaptic[_BY_SIGN, :2] = Kind.EXCITATORY, Kind.INHIBITORY
    kinds = ReceptorKinds(
        tuple(f"port_{i}" for i in range(N_RECEPTORS)),
        presynaptic,
        np.full_like(presynaptic, Kind.UNKNOWN),
    )
    types = CellTypeTable(
        model=MODELS,
        columns={
            column: [_padded(column, hand.get(column)) for hand in hands]
            for column in dict.fromkeys(column for hand in hands for column in hand)
        },
        receptor_kinds=kinds,
        name=MODELS,
        n_receptors=np.where(_BY_SIGN, 2, N_RECEPTORS),
    )
    return types.take(np.repeat(np.arange(len(MODELS)), 2))


def model_of(network: NetworkModel) -> np.ndarray:
    """Index into `MODELS` of each neuron."""
    return network.neurons.cell_type // 2


def mixed_network(
    seed: int = 1, *, delay_ms: float = 1.0, types: CellTypeTable | None = None
) -> NetworkModel:
    """`tiny_network` with cells of every model; delays are whole numbers of ``delay_ms``."""
    network = tiny_network(seed)
    rng = np.random.default_rng(seed)
    inhibitory = np.isin(network.neurons.cell_type, (1, 3))
    model = np.arange(N_NEURONS) % len(MODELS)
    cell_type = (2 * model + inhibitory).astype(np.uint16)
    tables = {}
    for group in ("recurrent", "lgn"):
        table = network.tables[group]
        port = rng.integers(0, N_RECEPTORS, len(table))
        by_sign = _BY_SIGN[model[table.post]]
        factor = np.array([getattr(hand, group) for hand in BY_HAND.values()], dtype=np.float32)
        delay = np.float32(delay_ms) * rng.integers(1, 9, len(table)).astype(np.float32)
        tables[group] = replace(
            table,
            receptor=np.where(by_sign, table.weight < 0, port).astype(np.uint8),
            weight=table.weight * factor[model[table.post]],
            delay_ms=delay,
        )
    return with_parts(
        network,
        cell_types=mixed_types() if types is None else types,
        neurons=NeuronTable(cell_type, network.neurons.position_um),
        background_weight=None,
        readout=(),
        provenance=None,
        **tables,
    )


def nest_parameters_by_hand(name: str, **changed: Any) -> dict[str, Any]:
    """NEST's parameters of the cell type of a model."""
    hand = BY_HAND[name]
    return hand.nest(hand.columns | changed)


def bare_nest_spikes(
    network: NetworkModel,
    source: np.ndarray,
    step: np.ndarray,
    n_steps: int,
    dt_ms: float = 1.0,
    **changed: dict[str, Any],
) -> list[tuple[int, int]]:
    """(step, neuron) of every spike of a network of all models, with PyNEST alone.

    ``source`` and ``step`` are the spikes of the LGN, which come from spike generators: devices
    that v1sim does not use. ``changed`` is that of `mixed_types`.
    """
    nest, _ = backend()
    nest.ResetKernel()
    nest.resolution = dt_ms
    model = [MODELS[m] for m in model_of(network)]
    parameters = [nest_parameters_by_hand(name, **changed.get(name, {})) for name in model]
    nodes = np.array(
        [
            nest.Create(name, params=own).global_id
            for name, own in zip(model, parameters, strict=True)
        ]
    )
    scale = [own["V_th"] - own["E_L"] for own in parameters]
    generators = nest.Create("spike_generator", N_LGN)
    for cell in range(N_LGN):
        # A device's spike with the stamp of a step's end is sent in that step.
        generators[cell].set(spike_times=(np.sort(step[source == cell]) + 1) * dt_ms)
    for group, pre_node in (("recurrent", nodes), ("lgn", generators.tolist())):
        table = network.tables[group]
        for pre, post, receptor, delay, weight in zip(
            table.pre, table.post, table.receptor, table.delay_ms, table.weight, strict=True
        ):
            nest.Connect(
                nest.NodeCollection([int(pre_node[pre])]),
                nest.NodeCollection([int(nodes[post])]),
                syn_spec={
                    "weight": float(weight) * scale[post],
                    "delay": float(delay),
                    "receptor_type": int(receptor) + 1 if BY_HAND[model[post]].has_ports else 0,
                },
            )
    recorder = nest.Create("spike_recorder")
    nest.Connect(nest.NodeCollection(nodes), recorder)
    # The first step of a trial begins at the end of NEST's first step: from there all cells start.
    nest.Simulate(dt_ms)
    for node, own in zip(nodes.tolist(), parameters, strict=True):
        start = {"V_m": own["V_m"]}
        if own.get("adapting_threshold"):
            start["threshold_voltage"] = 0.0
        nest.NodeCollection([node]).set(**start)
    nest.Simulate((n_steps + 1) * dt_ms)
    events = recorder.events
    index = {int(node): i for i, node in enumerate(nodes)}
    found = np.rint(np.asarray(events["times"]) / dt_ms).astype(int) - 2
    return sorted(
        (int(s), index[int(n)])
        for s, n in zip(found, events["senders"], strict=True)
        if s < n_steps
    )

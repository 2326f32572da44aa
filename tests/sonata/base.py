"""The circuit that the traps are set in: small, valid, with what each of them needs."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.sonata.circuits import Circuit, Edges, Nodes, Row, Spikes, index_in_group

_GLIF: Row = {
    "asc_init": [0.0, 0.0],
    "spike_dependent_threshold": False,
    "after_spike_currents": True,
    "adapting_threshold": False,
}
_TAU = [5.5, 8.5, 2.8, 5.8]

_CELLS: dict[str, Row] = {
    "e4.json": _GLIF
    | {"C_m": 92.0, "g": 6.3, "E_L": -77.5, "V_m": -77.5, "V_reset": -77.5, "V_th": -46.5}
    | {"t_ref": 3.75, "asc_decay": [0.003, 0.1], "asc_amps": [-9.0, -200.0], "tau_syn": _TAU},
    "pv4.json": _GLIF
    | {"C_m": 65.0, "g": 7.5, "E_L": -72.0, "V_m": -72.0, "V_reset": -72.0, "V_th": -46.0}
    | {"t_ref": 1.75, "asc_decay": [0.003, 0.3], "asc_amps": [-2.0, -50.0], "tau_syn": _TAU},
    "lif.json": {"C_m": 120.0, "tau_m": 24.0, "E_L": -75.0, "V_th": -45.0, "V_reset": -62.0}
    | {"t_ref": 3.0, "V_m": -75.0, "tau_syn_ex": 2.0, "tau_syn_in": 4.0},
    "lm.json": _GLIF
    | {"C_m": 90.0, "g": 6.0, "E_L": -75.0, "V_m": -75.0, "V_reset": -75.0, "V_th": -45.0}
    | {"t_ref": 3.0, "asc_decay": [0.003, 0.1], "asc_amps": [-9.0, -200.0]}
    | {"tau_syn_fast": [1.8, 2.5], "tau_syn_slow": [5.0, 9.0], "amp_slow": [0.6, 0.3]},
}

_SYNAPSES: dict[str, Row] = {
    "e2e.json": {"receptor_type": 1},
    "i2e.json": {"receptor_type": 2},
    "e2i.json": {"receptor_type": 3},
    "i2i.json": {"receptor_type": 4},
    "to_lif.json": {},
    "to_lm_e.json": {"receptor_type": 1},
    "to_lm_i.json": {"receptor_type": 2},
}


def base_circuit() -> Circuit:
    """50 cells in v1 (two node groups) and lm, 20 of lgn and 3 of bkg, 400 ms at 0.25 ms."""
    rng = np.random.default_rng(20)
    lgn_types: dict[int, Row] = {
        300: {"model_type": "virtual", "pop_name": "sON_TF4", "ei": "e", "location": "LGN"}
    }
    bkg_types: dict[int, Row] = {
        400: {"model_type": "virtual", "pop_name": "SG_001", "ei": "e", "location": "BKG"}
    }
    v1 = _v1(rng)
    lm_types: dict[int, Row] = {200: _cell("glif_psc_double_alpha", "lm.json", "e", "e23")}
    lm = Nodes("lm", lm_types, np.full(10, 200))
    lgn = Nodes("lgn", lgn_types, np.full(20, 300), columns={0: {"x": np.arange(20) * 1.5}})
    bkg = Nodes("bkg", bkg_types, np.full(3, 400))
    return Circuit(
        nodes=[v1, lm, lgn, bkg],
        edges=[_v1_to_v1(v1, rng), _v1_to_lm(v1, rng), _lgn_to_v1(v1, rng), _bkg_to_v1(v1, rng)],
        cell_models=_CELLS,
        synaptic_models=_SYNAPSES,
        inputs={
            "LGN": ({}, _poisson("lgn", 20, 28.0, 400.0, rng)),
            "BKG": ({}, _poisson("bkg", 3, 250.0, 400.0, rng, layout="old")),
        },
        dt_ms=0.25,
        stop_ms=400.0,
    )


def _cell(model: str, parameters: str, ei: str, name: str) -> Row:
    return {
        "model_type": "point_neuron",
        "model_template": f"nest:{model}",
        "dynamics_params": parameters,
        "ei": ei,
        "pop_name": name,
    }


def _v1(rng: np.random.Generator) -> Nodes:
    type_id = np.repeat([100, 101, 103], [20, 10, 10])
    group = np.repeat([0, 0, 1], [20, 10, 10])
    return Nodes(
        "v1",
        {
            100: _cell("glif_psc", "e4.json", "e", "e4Scnn1a"),
            101: _cell("glif_psc", "pv4.json", "i", "i4Pvalb"),
            103: _cell("iaf_psc_alpha", "lif.json", "e", "LIF_exc"),
        },
        type_id,
        group=group,
        columns={
            0: {
                "x": rng.uniform(-80, 80, 30),
                "z": rng.uniform(-80, 80, 30),
                "tuning_angle": rng.uniform(0, 360, 30),
            },
            1: {"x": rng.uniform(-80, 80, 10), "z": rng.uniform(-80, 80, 10)},
        },
    )


def _synapse(parameters: str, **more: Any) -> Row:
    return {
        "target_query": "*",
        "source_query": "*",
        "dynamics_params": parameters,
        "model_template": "static_synapse",
    } | more


def _v1_to_v1(v1: Nodes, rng: np.random.Generator) -> Edges:
    """Two interleaved groups: one with everything, one with weights alone."""
    n = 480
    source, target = rng.integers(0, 40, n), rng.integers(0, 30, n)
    inhibitory, onto_inhibitory = v1.type_id[source] == 101, v1.type_id[target] == 101
    type_id = 10 + inhibitory + 2 * onto_inhibitory
    names = ("e2e.json", "i2e.json", "e2i.json", "i2i.json")
    types = {10 + i: _synapse(name, delay=2.0, nsyns=3) for i, name in enumerate(names)}
    group = rng.permutation(np.repeat([0, 1], [360, 120]))
    weight = np.where(inhibitory, -14.0, 8.0) * rng.lognormal(0, 0.6, n)
    full = group == 0
    return Edges(
        "v1_to_v1",
        "v1",
        "v1",
        types,
        source,
        target,
        type_id,
        group=group,
        columns={
            0: {
                "syn_weight": weight[full],
                "nsyns": rng.integers(1, 8, 360).astype(np.uint16),
                "delay": rng.choice([0.9, 1.5, 1.82, 2.0, 3.25], 360),
            },
            1: {"syn_weight": weight[~full]},
        },
    )


def _v1_to_lm(v1: Nodes, rng: np.random.Generator) -> Edges:
    n = 150
    source = rng.integers(0, 40, n)
    inhibitory = v1.type_id[source] == 101
    return Edges(
        "v1_to_lm",
        "v1",
        "lm",
        {
            20: _synapse("to_lm_e.json", syn_weight=30.0, delay=3.0),
            21: _synapse("to_lm_i.json", syn_weight=-5.0, delay=1.0),
        },
        source,
        rng.integers(0, 10, n),
        20 + inhibitory,
        columns={0: {"nsyns": rng.integers(1, 4, n).astype(np.uint32)}},
    )


def _lgn_to_v1(v1: Nodes, rng: np.random.Generator) -> Edges:
    n = 340
    target = rng.integers(0, 40, n)
    kind = v1.type_id[target]
    types = {
        40: _synapse("e2e.json", delay=1.7),
        41: _synapse("e2i.json", delay=1.7),
        42: _synapse("to_lif.json", delay=1.7),
    }
    weight = np.where(kind == 103, 60.0, 30.0) * rng.lognormal(0, 0.4, n)
    return Edges(
        "lgn_to_v1",
        "lgn",
        "v1",
        types,
        rng.integers(0, 20, n),
        target,
        np.select([kind == 100, kind == 101], [40, 41], 42),
        columns={0: {"syn_weight": weight, "nsyns": rng.integers(1, 5, n).astype(np.uint16)}},
    )


def _bkg_to_v1(v1: Nodes, rng: np.random.Generator) -> Edges:
    target = np.repeat(np.arange(30), 3)
    types = {
        50: _synapse("e2e.json", syn_weight=8.5, delay=1.0),
        51: _synapse("e2i.json", syn_weight=8.5, delay=1.0),
    }
    return Edges(
        "bkg_to_v1",
        "bkg",
        "v1",
        types,
        np.tile(np.arange(3), 30),
        target,
        np.where(v1.type_id[target] == 101, 51, 50),
        columns={0: {"nsyns": rng.integers(1, 5, 90).astype(np.uint16)}},
    )


def _poisson(
    population: str,
    n: int,
    rate_hz: float,
    stop_ms: float,
    rng: np.random.Generator,
    layout: str = "sonata",
) -> Spikes:
    count = rng.poisson(n * rate_hz * stop_ms / 1000)
    return Spikes(
        population,
        rng.integers(0, n, count),
        np.sort(np.round(rng.uniform(0.3, stop_ms, count), 3)),
        layout,
    )


__all__ = ["base_circuit", "index_in_group"]

"""Valid circuits at random: what the format and BMTK allow, in all the ways that matter.

A circuit follows from a seed and a `Variety`, the list of what may be in it. Hypothesis draws
both and so leaves the smallest variety that still fails; the judge draws seeds alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from tests.sonata.circuits import Array, Circuit, Edges, Nodes, Row, Spikes

Rng = np.random.Generator

#: Values of the weight that a synapse of each model needs to matter, and its unit is mV for delta.
_DRIVE = {
    "glif_psc": 60.0,
    "glif_psc_double_alpha": 60.0,
    "glif_lif_asc_psc": 60.0,
    "iaf_psc_alpha": 120.0,
    "iaf_psc_exp": 120.0,
    "iaf_psc_delta": 3.0,
}


@dataclass(frozen=True)
class Variety:
    """What may occur in a circuit."""

    dt_ms: float = 0.25
    models: tuple[str, ...] = tuple(_DRIVE)
    several_real: bool = True
    several_virtual: bool = True
    node_groups: bool = True
    edge_groups: bool = True
    other_ids: bool = True
    off_grid: bool = True
    nsyns: bool = True
    null_delay: bool = True
    weight_functions: bool = True
    small_types: bool = True
    spike_layouts: bool = True
    node_sets: bool = True
    clamps: bool = True
    configuration_forms: bool = True

    @classmethod
    def switches(cls) -> tuple[str, ...]:
        """Names of what is either allowed or not."""
        return tuple(f.name for f in fields(cls) if f.default is True)


def random_circuit(seed: int, variety: Variety | None = None, stop_ms: float = 150.0) -> Circuit:
    """A valid circuit of some tens of cells that spikes.

    Parameters
    ----------
    seed : int
        Of everything.
    variety : Variety, optional
        What may be in it; everything by default.
    stop_ms : float
        How long it runs.
    """
    return _Maker(np.random.default_rng(seed), variety or Variety(), stop_ms).circuit()


class _Maker:
    def __init__(self, rng: Rng, variety: Variety, stop_ms: float) -> None:
        self.rng, self.variety, self.stop_ms = rng, variety, stop_ms
        self.dt_ms = variety.dt_ms
        self.cell_models: dict[str, Row] = {}
        self.synaptic_models: dict[str, Row] = {"none.json": {}}
        self.next_type = 100

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def circuit(self) -> Circuit:
        rng, may = self.rng, self.variety
        n_real = int(rng.integers(1, 4)) if may.several_real else 1
        n_virtual = int(rng.integers(1, 4)) if may.several_virtual else 1
        real = [self.real_nodes(name) for name in ("v1", "lm", "internal")[:n_real]]
        virtual = [self.virtual_nodes(name) for name in ("lgn", "bkg", "external")[:n_virtual]]
        edges = [self.edges(source, target, own=True) for source in real for target in real]
        edges = [e for e in edges if e.source == e.target or self.chance(0.7)]
        inputs: dict[str, tuple[Row, Spikes | None]] = {}
        node_sets: Row = {}
        for source in virtual:
            onto = [target for target in real if self.chance(0.8)] or real[:1]
            edges += [self.edges(source, target, own=False) for target in onto]
            inputs[f"{source.name}_in"] = self.spikes(source, node_sets)
        # BMTK gives a clamp's cells to NEST in the file's order, which NEST wants ascending.
        clamped = [
            nodes for nodes in real if len(nodes.types) == 1 and (np.diff(nodes.node_id) > 0).all()
        ]
        if may.clamps and clamped and self.chance(0.5):
            inputs["clamp"] = (self.clamp(clamped), None)
        nodes = real + virtual
        if self.chance(0.5):
            nodes = nodes[::-1]
        rng.shuffle(edges)  # type: ignore[arg-type]
        run: Row = {}
        return Circuit(
            nodes=nodes,
            edges=edges,
            cell_models=self.cell_models,
            synaptic_models=self.synaptic_models,
            inputs=inputs,
            dt_ms=self.dt_ms,
            stop_ms=self.stop_ms,
            run=run,
            node_sets=node_sets or None,
            form=int(rng.integers(1, 4)) if may.configuration_forms else 2,
        )

    # --- nodes -----------------------------------------------------------------------------------

    def new_type(self) -> int:
        self.next_type += int(self.rng.integers(1, 4))
        return self.next_type

    def real_nodes(self, name: str) -> Nodes:
        rng = self.rng
        n = int(rng.integers(8, 25))
        types: dict[int, Row] = {}
        for i in range(int(rng.integers(1, 4))):
            model = str(rng.choice(self.variety.models))
            ei = "ei"[int(rng.integers(0, 2))] if i else "e"
            file = f"{name}_{i}.json"
            self.cell_models[file] = _CELLS[model](rng, self.dt_ms)
            types[self.new_type()] = {
                "model_type": "point_neuron",
                "model_template": f"nest:{model}",
                "dynamics_params": file,
                "ei": ei,
                "pop_name": f"{ei}{name}{i}",
            }
        type_id = rng.choice(list(types), n)
        columns: Callable[[int], dict[str, Array]] = lambda m: {  # noqa: E731
            "x": rng.uniform(-100, 100, m),
            "y": -rng.uniform(50, 800, m),
            "z": rng.uniform(-100, 100, m),
            "tuning_angle": rng.uniform(0, 360, m),
        }
        return self.nodes(name, types, type_id, columns)

    def virtual_nodes(self, name: str) -> Nodes:
        rng = self.rng
        n = int(rng.integers(3, 12))
        types: dict[int, Row] = {
            self.new_type(): {
                "model_type": "virtual",
                "pop_name": f"{name}{i}",
                "ei": "e",
                "note": None if self.chance(0.5) else "with space",
            }
            for i in range(int(rng.integers(1, 3)))
        }
        columns: Callable[[int], dict[str, Array]] = lambda m: {  # noqa: E731
            "x": rng.uniform(0, 100, m),
            "z": rng.uniform(0, 100, m),
            "tuning_angle": rng.uniform(0, 360, m),
        }
        return self.nodes(name, types, rng.choice(list(types), n), columns)

    def nodes(
        self,
        name: str,
        types: dict[int, Row],
        type_id: Array,
        columns: Callable[[int], dict[str, Array]],
    ) -> Nodes:
        rng, n = self.rng, len(type_id)
        group = np.zeros(n, dtype=int)
        if self.variety.node_groups and self.chance(0.4):
            group = rng.integers(0, 2, n)
            group[:2] = [0, 1]
        node_id = np.arange(n)
        if self.variety.other_ids and self.chance(0.25):
            node_id = rng.permutation(n)
        index = np.zeros(n, dtype=int)
        for g in np.unique(group):
            rows = np.flatnonzero(group == g)
            m = len(rows)
            index[rows] = rng.permutation(m) if self.chance(0.3) else np.arange(m)
        return Nodes(
            name,
            types,
            type_id,
            node_id=node_id,
            group=group,
            group_index=index,
            columns={int(g): columns(int((group == g).sum())) for g in np.unique(group)},
        )

    # --- edges -----------------------------------------------------------------------------------

    def edges(self, source: Nodes, target: Nodes, *, own: bool) -> Edges:
        rng, may = self.rng, self.variety
        assert source.node_id is not None
        assert target.node_id is not None
        n = int(rng.integers(3, 6)) * len(target) if own else int(rng.integers(3, 8)) * len(target)
        at = rng.integers(0, len(target), n)
        of_source = rng.integers(0, len(source), n)
        source_id = source.node_id[of_source]
        kinds = {i: row["ei"] for i, row in source.types.items()}
        inhibitory = np.array([kinds[int(i)] == "i" for i in source.type_id[of_source]])
        if self.chance(0.5):
            at = np.sort(at)
        n_groups = int(rng.integers(2, 4)) if may.edge_groups and self.chance(0.5) else 1
        group = rng.integers(0, n_groups, n)
        group[:n_groups] = np.arange(n_groups)
        function = may.weight_functions and n_groups == 1 and self.chance(0.35)
        # Which attribute each group has of its own; what no group lacks may be missing in the csv.
        own_of = [
            {
                name
                for name, share in (("syn_weight", 0.6), ("nsyns", 0.4), ("delay", 0.5))
                if self.chance(share) and (name != "nsyns" or may.nsyns)
            }
            for _ in range(n_groups)
        ]
        in_csv = {"syn_weight"} if any("syn_weight" not in o for o in own_of) else set()
        for name, share in (("syn_weight", 0.3), ("nsyns", 0.4), ("delay", 0.8)):
            if self.chance(share) and (name != "nsyns" or may.nsyns):
                in_csv.add(name)
        if function:
            in_csv |= {"nsyns"} - own_of[0]
        # Products of whole numbers overflow in BMTK where their types are small.
        whole = may.small_types and self.chance(0.25)
        types: dict[int, Row] = {}
        type_id = np.zeros(n, dtype=int)
        scale = np.zeros(n)
        for node_type, sign in itertools.product(np.unique(target.type_id[at]), (1.0, -1.0)):
            rows = np.flatnonzero((target.type_id[at] == node_type) & (inhibitory == (sign < 0)))
            if not rows.size:
                continue
            row = target.types[int(node_type)]
            model = row["model_template"][5:]
            ports = _ports(model, self.cell_models[row["dynamics_params"]])
            ids = []
            for _ in range(int(rng.integers(1, 4))):
                drive = sign * _DRIVE[model] * (0.3 if own else 1.0)
                ids.append(self.edge_type(types, ports, in_csv, drive, function, whole))
            chosen = rng.choice(ids, len(rows))
            type_id[rows] = chosen
            sign_of = {i: types[i].pop("_drive") for i in ids}
            scale[rows] = [sign_of[int(i)] for i in chosen]
        columns = {}
        for g in range(n_groups):
            rows = np.flatnonzero(group == g)
            columns[g] = self.edge_columns(own_of[g], scale[rows], whole)
        return Edges(
            f"{source.name}_to_{target.name}",
            source.name,
            target.name,
            types,
            source_id,
            target.node_id[at],
            type_id,
            group=group,
            columns=columns,
        )

    def edge_type(
        self,
        types: dict[int, Row],
        ports: int,
        in_csv: set[str],
        drive: float,
        function: bool,
        whole: bool,
    ) -> int:
        rng = self.rng
        file = "none.json"
        if ports:
            port = int(rng.integers(1, ports + 1))
            file = f"port{port}.json"
            self.synaptic_models[file] = {"receptor_type": port}
            if "delay" in in_csv and self.chance(0.2):  # columns override what stands there
                file = f"port{port}_more.json"
                self.synaptic_models[file] = {"receptor_type": port, "weight": 7.0, "delay": 3.0}
        row: Row = {
            "target_query": "ei=='e'&x<5" if self.chance(0.3) else "*",
            "source_query": None if self.chance(0.2) else "*",
            "dynamics_params": file,
            "model_template": "nest:static_synapse" if self.chance(0.3) else "static_synapse",
        }
        if "syn_weight" in in_csv:
            weight = drive * min(float(rng.lognormal(0, 0.3)), 1.6)
            if whole:
                weight = int(np.sign(weight)) * max(1, int(abs(weight)))
            row["syn_weight"] = weight
        if "nsyns" in in_csv:
            row["nsyns"] = int(rng.integers(1, 4))
        if "delay" in in_csv:
            row["delay"] = self.delays(1)[0]
        if function:
            row["weight_function"] = str(rng.choice(_FUNCTIONS)) if self.chance(0.8) else None
            row["weight_sigma"] = float(rng.uniform(30, 120))
        row["_drive"] = drive
        type_id = self.new_type()
        types[type_id] = row
        return type_id

    def edge_columns(self, own: set[str], scale: Array, whole: bool) -> dict[str, Array]:
        rng, may, n = self.rng, self.variety, len(scale)
        columns: dict[str, Array] = {}
        if "syn_weight" in own:
            weight = scale * np.minimum(rng.lognormal(0, 0.4, n), 1.6)
            kind = "f4" if may.small_types and self.chance(0.3) else "f8"
            if whole:
                kind = "i4"
                weight = np.sign(weight) * np.ceil(np.abs(weight))
            columns["syn_weight"] = weight.astype(kind)
        if "nsyns" in own:
            kind = str(rng.choice(["u2", "u1", "i4", "u4", "i8", "f8"]))
            kind = kind if may.small_types and not whole else "i8"
            columns["nsyns"] = rng.integers(1, 4, n).astype(kind)
        if "delay" in own:
            delay = self.delays(n)
            columns["delay"] = delay.astype("f4") if may.small_types and self.chance(0.2) else delay
        if self.chance(0.2):
            columns["distance"] = rng.uniform(0, 100, n)
        return columns

    def delays(self, n: int) -> Array:
        """On the grid, between two steps, and halfway between them."""
        rng, dt = self.rng, self.dt_ms
        steps = rng.integers(1, max(2, int(4 / dt)), n)
        delay = np.round(steps * dt, 6)
        if self.variety.off_grid:
            kind = rng.integers(0, 4, n)
            delay = np.where(kind == 1, np.round(delay + dt / 2, 6), delay)
            delay = np.where(kind == 2, np.round(delay + rng.uniform(0, dt, n), 3), delay)
            delay = np.where(kind == 3, delay + rng.uniform(0, dt, n), delay)
        return np.asarray(delay)

    # --- inputs ----------------------------------------------------------------------------------

    def spikes(self, source: Nodes, node_sets: Row) -> tuple[Row, Spikes]:
        rng, may, dt = self.rng, self.variety, self.dt_ms
        assert source.node_id is not None
        m = int(len(source) * self.stop_ms * rng.uniform(0.02, 0.06))
        ids = source.node_id[rng.integers(0, len(source), m)]
        times = rng.uniform(0.02, self.stop_ms, m)
        kind = rng.integers(0, 4, m) if may.off_grid else np.zeros(m)
        on_grid = np.maximum(np.round(times / dt), 1) * dt
        times = np.where(kind == 0, np.round(on_grid, 6), times)
        times = np.where(kind == 1, np.round(on_grid + 0.01, 6), times)
        if may.off_grid and m > 4:  # two of one node in one step
            ids = np.concatenate([ids, ids[:3]])
            times = np.concatenate([times, times[:3]])
        layout = "sonata"
        if may.spike_layouts:
            layout = str(rng.choice(["sonata", "sonata", "old", "csv", "nwb"]))
        node_set: Any = source.name
        if may.node_sets and self.chance(0.3):
            node_set = {"population": source.name}
            if self.chance(0.5):
                node_sets[f"set_of_{source.name}"] = node_set
                node_set = f"set_of_{source.name}"
        return {"node_set": node_set}, Spikes(source.name, ids, times, layout)

    def clamp(self, real: list[Nodes]) -> Row:
        rng = self.rng
        return {
            "input_type": "current_clamp",
            "module": "IClamp",
            "node_set": str(rng.choice([nodes.name for nodes in real])),
            "amp": float(np.round(rng.uniform(50, 200), 1)),
            "delay": float(np.round(rng.integers(10, 40) * self.dt_ms + self.dt_ms, 6)),
            "duration": float(np.round(rng.integers(40, 200) * self.dt_ms, 6)),
        }


#: Weight functions that BMTK has, and those of users' scripts.
_FUNCTIONS = (
    "default_weight_fnc",
    "set_syn_weight",
    "wmax",
    "DirectionRule_others",
    "DirectionRule_EE",
    "weight_function_recurrent",
    "weight_function_lgn",
    "weight_function_bkg",
    "ConstantMultiplier_lgn",
    "ConstantMultiplier_bkg",
)


def _ports(model: str, values: Row) -> int:
    """Number of ports of a cell; 0 where the model has none to choose."""
    if model == "glif_psc":
        return len(values["tau_syn"])
    if model == "glif_psc_double_alpha":
        return len(values["tau_syn_fast"])
    return 4 if model == "glif_lif_asc_psc" else 0


def _glif(rng: Rng, dt: float) -> Row:
    e_l = float(np.round(rng.uniform(-78, -68), 2))
    values: Row = {
        "C_m": float(np.round(rng.uniform(55, 130), 3)),
        "g": float(np.round(rng.uniform(4, 9), 4)),
        "E_L": e_l,
        "V_reset": e_l,
        "V_th": e_l + float(np.round(rng.uniform(15, 30), 2)),
        "t_ref": float(rng.choice([1.0, 2.0, 3.0, 1.75, 3.85, 2.4])),
        "asc_decay": [0.003, float(rng.choice([0.1, 0.3]))],
        "asc_amps": [float(rng.choice([-9.0, -2.5, 0.0])), float(rng.choice([-200.0, 60.0]))],
        "asc_init": [0.0, 0.0],
        "spike_dependent_threshold": False,
        "after_spike_currents": bool(rng.random() < 0.8),
        "adapting_threshold": False,
    }
    if rng.random() < 0.8:
        values["V_m"] = e_l
    if rng.random() < 0.2:
        del values["after_spike_currents"]
    return values


def _glif_psc(rng: Rng, dt: float) -> Row:
    taus = np.round(rng.uniform(1, 10, int(rng.integers(1, 7))), 3)
    return _glif(rng, dt) | {"tau_syn": taus.tolist()}


def _double_alpha(rng: Rng, dt: float) -> Row:
    n = int(rng.integers(1, 11))
    return _glif(rng, dt) | {
        "tau_syn_fast": np.round(rng.uniform(1, 4, n), 3).tolist(),
        "tau_syn_slow": np.round(rng.uniform(5, 12, n), 3).tolist(),
        "amp_slow": np.round(rng.uniform(0.1, 0.8, n), 3).tolist(),
    }


def _allen(rng: Rng, dt: float) -> Row:
    """Allen's JSON in SI units, as its database has it."""
    return {
        "type": "GLIF",
        "neuron_type": "lif_asc",
        "El": 0.0,
        "El_reference": float(np.round(rng.uniform(-0.078, -0.068), 5)),
        "th_inf": float(np.round(rng.uniform(0.015, 0.025), 6)),
        "C": float(np.round(rng.uniform(5e-11, 1e-10), 14)),
        "R_input": float(np.round(rng.uniform(1.2e8, 2.4e8), 0)),
        "spike_cut_length": int(rng.integers(20, 60)),
        "dt": 5e-05,
        "init_AScurrents": [0.0, 0.0],
        "asc_tau_array": [0.3333333333333333, 0.01],
        "asc_amp_array": [-9.2e-12, -1.98e-10],
        "coeffs": {
            "a": 1,
            "C": 1,
            "b": 1,
            "G": float(np.round(rng.uniform(0.9, 1.1), 4)),
            "th_inf": float(np.round(rng.uniform(0.9, 1.1), 4)),
            "asc_amp_array": [1.0, 1.0],
        },
    }


def _lif(rng: Rng, dt: float) -> Row:
    e_l = float(np.round(rng.uniform(-76, -68), 2))
    values: Row = {
        "C_m": float(np.round(rng.uniform(80, 200), 2)),
        "tau_m": float(np.round(rng.uniform(10, 30), 2)),
        "E_L": e_l,
        "V_th": e_l + float(np.round(rng.uniform(12, 22), 2)),
        "V_reset": e_l + float(np.round(rng.uniform(-2, 5), 2)),
        "t_ref": float(rng.choice([1.0, 2.0, 3.0, 2.25])),
    }
    if rng.random() < 0.7:
        values["V_m"] = e_l
    return values


def _lif_alpha(rng: Rng, dt: float) -> Row:
    taus = np.round(rng.uniform(0.8, 5, 2), 3)
    return _lif(rng, dt) | {"tau_syn_ex": float(taus[0]), "tau_syn_in": float(taus[1])}


_CELLS: dict[str, Callable[[Rng, float], Row]] = {
    "glif_psc": _glif_psc,
    "glif_psc_double_alpha": _double_alpha,
    "glif_lif_asc_psc": _allen,
    "iaf_psc_alpha": _lif_alpha,
    "iaf_psc_exp": _lif_alpha,
    "iaf_psc_delta": _lif,
}

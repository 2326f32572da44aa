"""Real TensorFlow checkpoints of small networks, in the layouts that training programs leave."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from v1sim.model import NetworkModel

ATTRIBUTE = "/.ATTRIBUTES/VARIABLE_VALUE"
INPUT_LAYER = "model/layer_with_weights-0"
CELL = "model/layer_with_weights-1/cell"

Variables = dict[str, np.ndarray]


def tensorflow() -> Any:
    """TensorFlow, or the test skips."""
    return pytest.importorskip("tensorflow")


def model_variables(
    network: NetworkModel, *, input_layer: str = INPUT_LAYER, cell: str = CELL
) -> Variables:
    """A network's variables by name, by the formulas of the published training code."""
    f32 = np.float32
    types = network.cell_types
    p = {
        name: np.asarray(getattr(types, name), f32)[network.neurons.cell_type]
        for name in (
            "c_m_pf", "g_ns", "e_l_mv", "v_th_mv", "v_reset_mv", "t_ref_ms",
            "k_per_ms", "asc_amp_pa", "tau_syn_ms",
        )
    }  # fmt: skip
    n = network.n_neurons
    scale = p["v_th_mv"] - p["e_l_mv"]
    tau = p["c_m_pf"] / p["g_ns"]
    decay = np.exp(-1.0 / tau)
    rec, lgn = network.tables["recurrent"], network.tables["lgn"]
    order = np.lexsort((rec.pre, rec.post.astype(np.int64) * 4 + rec.receptor))
    steps = rec.delay_ms.astype(np.int64)
    recurrent = np.stack(
        [rec.post.astype(np.int64) * 4 + rec.receptor, rec.pre + n * (steps - 1)], axis=1
    )[order]
    lgn_order = np.lexsort((lgn.pre, lgn.post.astype(np.int64) * 4 + lgn.receptor))
    indices = np.stack([lgn.post.astype(np.int64) * 4 + lgn.receptor, lgn.pre], axis=1)[lgn_order]
    assert network.background_weight is not None
    return {
        f"{input_layer}/_indices": indices.astype(np.int64),
        f"{input_layer}/_weights": lgn.weight[lgn_order],
        f"{input_layer}/_bkg_weights": network.background_weight.ravel(),
        f"{cell}/recurrent_indices": recurrent,
        f"{cell}/recurrent_weight_values": rec.weight[order],
        f"{cell}/recurrent_weight_positive": np.isin(rec.receptor, (0, 2))[order],
        f"{cell}/input_weight_positive": np.isin(lgn.receptor, (0, 2))[lgn_order],
        f"{cell}/voltage_scale": scale,
        f"{cell}/voltage_offset": p["e_l_mv"],
        f"{cell}/v_th": np.ones(n, f32),
        f"{cell}/e_l": np.zeros(n, f32),
        f"{cell}/v_reset": (p["v_reset_mv"] - p["e_l_mv"]) / scale,
        f"{cell}/decay": decay,
        f"{cell}/current_factor": 1 / p["c_m_pf"] * (1 - decay) * tau,
        f"{cell}/param_g": p["g_ns"],
        f"{cell}/t_ref": p["t_ref_ms"],
        f"{cell}/syn_decay": np.exp(-1.0 / p["tau_syn_ms"]),
        f"{cell}/psc_initial": np.e / p["tau_syn_ms"],
        f"{cell}/asc_amps": p["asc_amp_pa"] / scale[:, np.newaxis],
        f"{cell}/param_k": np.log(p["k_per_ms"] / (1 - p["k_per_ms"])),
    }


def optimizer_variables(
    variables: Mapping[str, np.ndarray],
    *,
    iterations: int = 850,
    moments: Mapping[str, float] | None = None,
) -> Variables:
    """Adam's counters, and moments of the named variables (by the ends of their names).

    ``moments`` maps an end of a name to the size of its moments; by default recurrent and
    input weights have some.
    """
    rng = np.random.default_rng(5)
    sizes = {"recurrent_weight_values": 1e-3, "/_weights": 1e-3} if moments is None else moments
    made: Variables = {
        "optimizer/iter": np.int64(iterations),
        "optimizer/learning_rate": np.float32(0.002),
        "optimizer/beta_1": np.float32(0.9),
        "optimizer/beta_2": np.float32(0.999),
        "optimizer/decay": np.float32(0.0),
    }
    for name, values in variables.items():
        for end, size in sizes.items():
            if name.endswith(end):
                for slot in ("m", "v"):
                    noise = np.abs(rng.standard_normal(values.shape)) * size
                    made[f"{name}/.OPTIMIZER_SLOT/optimizer/{slot}"] = noise.astype(np.float32)
    return made


def save(
    prefix: Path, variables: Mapping[str, np.ndarray], *, n_shards: int = 1, graph: bytes = b""
) -> Path:
    """Write a checkpoint with TensorFlow's own writer."""
    tf = tensorflow()
    everything = {f"{name}{ATTRIBUTE}": tf.constant(value) for name, value in variables.items()}
    everything["save_counter" + ATTRIBUTE] = tf.constant(1, tf.int64)
    everything["_CHECKPOINTABLE_OBJECT_GRAPH"] = tf.constant(graph)
    names = sorted(everything)
    parts = []
    for shard in range(n_shards):
        own = names[shard::n_shards]
        part = prefix.with_name(f"{prefix.name}-part{shard}") if n_shards > 1 else prefix
        tf.raw_ops.SaveV2(
            prefix=str(part),
            tensor_names=own,
            shape_and_slices=[""] * len(own),
            tensors=[everything[name] for name in own],
        )
        parts.append(str(part))
    if n_shards > 1:
        tf.raw_ops.MergeV2Checkpoints(
            checkpoint_prefixes=parts, destination_prefix=str(prefix), delete_old_dirs=False
        )
    return prefix


def save_trained(prefix: Path, network: NetworkModel, **optimizer: Any) -> Path:
    """A checkpoint of a trained network in the published layout."""
    variables = model_variables(network)
    return save(prefix, variables | optimizer_variables(variables, **optimizer))

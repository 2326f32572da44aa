"""A small network that passes every check, for tests of everything that needs one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from v1sim import guard
from v1sim.checks.registry import registered_checks
from v1sim.model import (
    CellTypeTable,
    Finding,
    LgnCellTable,
    NetworkModel,
    NeuronTable,
    SourceFile,
    SynapseTable,
)
from v1sim.sources.hdf5 import write_network
from v1sim.sources.provenance import ProvenanceDraft

DRAFT = ProvenanceDraft("constructed", "v1sim tests", "tests/networks.py", "constructed")

#: Neurons and LGN cells of `tiny_network`.
N_NEURONS, N_LGN = 60, 24


def tiny_types(**columns: Any) -> CellTypeTable:
    """Five types of public GLIF3 figures: e23, i23Pvalb, e4, i4Sst, e5IT."""
    values: dict[str, Any] = {
        "c_m_pf": np.array([91.1, 70.4, 92.6, 60.3, 131.7]),
        "g_ns": np.array([5.75, 9.38, 6.26, 6.21, 8.37]),
        "e_l_mv": np.array([-75.1, -76.1, -77.6, -71.7, -71.8]),
        "v_th_mv": np.array([-47.6, -49.4, -46.5, -41.1, -42.8]),
        "v_reset_mv": np.array([-75.1, -76.1, -77.6, -71.7, -71.8]),
        "t_ref_ms": np.array([3.8, 1.38, 3.8, 2.05, 4.6]),
        "k_per_ms": np.array([[0.003, 0.1], [0.003, 0.2], [0.003, 0.1], [0.1, 0.3], [0.003, 0.1]]),
        "asc_amp_pa": np.array(
            [[-20.5, -198.7], [-2.7, -44.9], [-9.2, -205.4], [-169.9, 377.4], [-13.2, -245.7]]
        ),
        "tau_syn_ms": np.tile([5.5, 8.5, 2.8, 5.8], (5, 1)),
        "name": ("e23", "i23Pvalb", "e4", "i4Sst", "e5IT"),
        "cell_class": ("e23", "i23Pvalb", "e4", "i4Sst", "e5IT"),
    }
    return CellTypeTable.glif3(**(values | columns))


def tiny_lgn_cells() -> LgnCellTable:
    """Transient ON and OFF cells on a grid in the middle of the visual field."""
    n = N_LGN
    names = np.where(np.arange(n) % 2 == 0, "sON_TF8", "sOFF_TF8")
    nothing = np.full((n, 2), np.nan)
    return LgnCellTable(
        model_id=names.astype(np.str_),
        x_deg=40.0 + 6.0 * (np.arange(n) % 6),
        y_deg=30.0 + 6.0 * (np.arange(n) // 6),
        spatial_size_deg=np.full(n, 4.0),
        kpeak_dom_ms=np.tile([13.1, 28.5], (n, 1)),
        weight_dom=np.tile([3.7, -1.77], (n, 1)),
        delay_dom_ms=np.tile([0.0, 25.3], (n, 1)),
        kpeak_non_dom_ms=nothing,
        weight_non_dom=nothing.copy(),
        delay_non_dom_ms=nothing.copy(),
        subunit_angle_deg=np.full(n, np.nan),
        subunit_distance_deg=np.full(n, np.nan),
    )


def tiny_network(seed: int = 1, *, zeros: float = 0.0, lgn_cells: bool = True) -> NetworkModel:
    """A network of 60 neurons and about 1,400 synapses, "constructed" by its provenance.

    Parameters
    ----------
    seed : int
        Of everything random.
    zeros : float
        Fraction of the recurrent weights that are exactly zero, as training
        leaves them; the provenance then says "trained".
    lgn_cells : bool
        Whether the LGN cells are in it.
    """
    rng = np.random.default_rng(seed)
    cell_type = np.repeat(np.arange(5, dtype=np.uint16), [18, 8, 16, 6, 12])
    inhibitory = np.isin(cell_type, [1, 3])
    types = tiny_types()
    depth = np.array([200.0, 200.0, 370.0, 370.0, 530.0])[cell_type]
    position = np.column_stack(
        [rng.uniform(-100, 100, N_NEURONS), -depth, rng.uniform(-100, 100, N_NEURONS)]
    )
    pairs = rng.permutation(N_NEURONS * N_NEURONS)[:900]
    pre, post = np.divmod(np.sort(pairs).astype(np.int32), np.int32(N_NEURONS))
    pre, post = pre[pre != post], post[pre != post]
    receptor = (2 * inhibitory[post] + inhibitory[pre]).astype(np.uint8)
    size = 0.1 * rng.lognormal(0.0, 0.6, len(pre))
    weight = np.where(inhibitory[pre], -2.0, 1.0) * size
    weight[rng.random(len(pre)) < zeros] = 0.0
    recurrent = SynapseTable(
        pre=pre,
        post=post,
        receptor=receptor,
        delay_ms=rng.integers(1, 5, len(pre)).astype(np.float32),
        weight=weight.astype(np.float32),
    )
    lgn_pairs = np.sort(rng.permutation(N_LGN * N_NEURONS)[:500]).astype(np.int32)
    lgn_pre, lgn_post = np.divmod(lgn_pairs, np.int32(N_NEURONS))
    lgn = SynapseTable(
        pre=lgn_pre,
        post=lgn_post,
        receptor=(2 * inhibitory[lgn_post]).astype(np.uint8),
        delay_ms=np.ones(len(lgn_pre), dtype=np.float32),
        weight=(1.2 * rng.lognormal(0.0, 0.5, len(lgn_pre))).astype(np.float32),
    )
    background = np.zeros((N_NEURONS, 4), dtype=np.float32)
    background[np.arange(N_NEURONS), np.where(inhibitory, 2, 0)] = 3.0
    excitatory = np.flatnonzero(cell_type == 4).astype(np.int32)
    network = NetworkModel.billeh(
        neurons=NeuronTable(cell_type, position),
        cell_types=types,
        recurrent=recurrent,
        lgn=lgn,
        n_lgn=N_LGN,
        source=SourceFile("tiny network", "", "column"),
        background_weight=background,
        readout=(excitatory[:4].copy(), excitatory[4:8].copy()),
        lgn_cells=tiny_lgn_cells() if lgn_cells else None,
    )
    return sealed(network, kind="trained" if zeros else "constructed")


def sealed(network: NetworkModel, **draft: Any) -> NetworkModel:
    """The network with a provenance whose digests match it."""
    return replace(network, provenance=replace(DRAFT, **draft).seal(network))


#: Parts of a network that `with_parts` knows beside its fields.
_PARTS = {"recurrent", "lgn", "n_lgn", "lgn_cells", "background_weight"}


def with_parts(network: NetworkModel, **parts: Any) -> NetworkModel:
    """A copy with other fields, tables ("recurrent", "lgn"), LGN or background weights."""
    rest = {name: value for name, value in parts.items() if name not in _PARTS}
    tables = {name: parts[name] for name in ("recurrent", "lgn") if name in parts}
    network = replace(network, **rest).with_tables(**tables)
    for part, field in (("n_lgn", "size"), ("lgn_cells", "cells")):
        if part in parts:
            network = network.with_lgn(**{field: parts[part]})
    if "background_weight" in parts:
        network = network.with_background(parts["background_weight"])
    return network


def damaged(network: NetworkModel, group: str, **columns: Any) -> NetworkModel:
    """A copy without provenance, with other columns in the table "recurrent" or "lgn"."""
    table = replace(network.tables[group], **columns)
    return replace(network, provenance=None).with_tables(**{group: table})


def admitted(network: NetworkModel) -> guard.CheckedNetwork:
    """The network through the gate, whatever its weights' history."""
    return guard.admit(network, guard.Policy(require="any"))


def write_tiny(path: Path, seed: int = 1, **options: Any) -> NetworkModel:
    """Write `tiny_network` to ``path`` and return what was written."""
    network = tiny_network(seed, **options)
    write_network(network, path)
    return network


def findings(network: NetworkModel, name: str) -> list[Finding]:
    """What one check finds in a network when all are run."""
    report = guard.examine(network, guard.Policy(require="any"))
    assert name in registered_checks()
    return [finding for finding in report.findings if finding.check == name]

"""Make a network file of the size of the trained ones, for benchmarks and memory tests.

usage: .venv/bin/python scripts/make_full_size.py OUT.h5 [--neurons 51978] [--seed 1]
           [--recurrent SYNAPSES] [--lgn SYNAPSES]

The built-in column at that size, changed to what trained files look like: 111 cell
types (each class varied within a few per cent), 15.1 LGN synapses a neuron (786,405 for 51,978), a
fifth of the recurrent weights exactly zero, as the sign constraint of training leaves
them. Marked as constructed. Numbers of synapses are those of the column's connection rules
and 15.1 a neuron, unless --recurrent and --lgn say otherwise; the whole column is
--neurons 230924 --recurrent 85300000 --lgn 6000000.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from v1sim.model import CellTypeTable, NetworkModel, SynapseTable
from v1sim.sources.column import build_column
from v1sim.sources.hdf5 import write_network
from v1sim.sources.provenance import ProvenanceDraft

N_TYPES = 111
#: 786,405 LGN synapses of 51,978 neurons.
LGN_SYNAPSES_PER_NEURON = 786_405 / 51_978
ZERO_FRACTION = 0.22


def full_size(n_neurons: int, seed: int, n_recurrent: int | None, n_lgn: int) -> NetworkModel:
    """The column at full size, with the trained files' number of types and LGN synapses."""
    rng = np.random.default_rng(seed)
    column = build_column(n_neurons, seed=seed)
    column = _with_types(column, rng)
    recurrent = column.tables["recurrent"]
    if n_recurrent is not None:
        recurrent = _with_more(recurrent, n_recurrent - len(recurrent), column, rng)
        recurrent = _thinned(recurrent, n_recurrent, rng)
    lgn = _thinned(column.tables["lgn"], n_lgn, rng)
    return column.with_tables(recurrent=_with_zeros(recurrent, rng), lgn=lgn)


def _with_types(column: NetworkModel, rng: np.random.Generator) -> NetworkModel:
    """Each class divided into several types, in proportion to its size, `N_TYPES` in all."""
    types, old = column.cell_types, column.neurons.cell_type
    n_old = len(types)
    size = np.bincount(old, minlength=n_old)
    copies = 1 + np.floor((N_TYPES - n_old) * size / size.sum()).astype(int)
    copies[np.argsort(-size)[: N_TYPES - copies.sum()]] += 1
    first = np.cumsum(copies) - copies
    of_new = np.repeat(np.arange(n_old), copies)
    new = (first[old] + rng.integers(0, copies[old])).astype(np.uint16)

    def vary(values: np.ndarray) -> np.ndarray:
        spread = rng.normal(1, 0.05, (N_TYPES,) + (1,) * (values.ndim - 1)).clip(0.9, 1.1)
        return values[of_new] * spread

    varied = CellTypeTable.glif3(
        c_m_pf=vary(types.c_m_pf),
        g_ns=vary(types.g_ns),
        e_l_mv=types.e_l_mv[of_new],
        v_th_mv=types.e_l_mv[of_new] + vary(types.v_th_mv - types.e_l_mv),
        v_reset_mv=types.e_l_mv[of_new],
        t_ref_ms=vary(types.t_ref_ms),
        k_per_ms=types.k_per_ms[of_new],
        asc_amp_pa=vary(types.asc_amp_pa),
        tau_syn_ms=types.tau_syn_ms[of_new],
        name=tuple(f"{types.name[t]}_{i}" for i, t in enumerate(of_new)),
        cell_class=tuple(types.cell_class[t] for t in of_new),
    )
    return replace(column, cell_types=varied, neurons=replace(column.neurons, cell_type=new))


def _with_zeros(table: SynapseTable, rng: np.random.Generator) -> SynapseTable:
    """Zeros as training leaves them: many on some cells, few on others."""
    weight = table.weight.copy()
    chance = np.float32(ZERO_FRACTION)
    for cell in (table.pre, table.post):
        chance = chance * rng.gamma(12, 1 / 12, cell.max() + 1).astype(np.float32)[cell]
    weight[rng.random(len(weight), dtype=np.float32) < chance] = 0
    return replace(table, weight=weight)


def _with_more(
    table: SynapseTable, n_more: int, column: NetworkModel, rng: np.random.Generator
) -> SynapseTable:
    """``n_more`` synapses like those that are there, each from another cell of the same type."""
    if n_more <= 0:
        return table
    n, cell_type = column.n_neurons, column.neurons.cell_type
    by_type = np.argsort(cell_type, kind="stable").astype(np.int32)
    size = np.bincount(cell_type)
    first = np.cumsum(size) - size
    like = rng.integers(0, len(table), 2 * n_more)  # some pairs are connected already
    kind = cell_type[table.pre[like]]
    pre = by_type[first[kind] + rng.integers(0, size[kind])]
    there = np.sort(table.post.astype(np.int64) * n + table.pre)
    pair, unique = np.unique(table.post[like].astype(np.int64) * n + pre, return_index=True)
    place = np.minimum(np.searchsorted(there, pair), len(there) - 1)
    new = unique[(there[place] != pair) & (pair // n != pair % n)]
    new = rng.permutation(new)[:n_more]
    post = np.concatenate([table.post, table.post[like[new]]])
    order = np.argsort(post, kind="stable")
    return SynapseTable(
        pre=np.concatenate([table.pre, pre[new]])[order],
        post=post[order],
        receptor=np.concatenate([table.receptor, table.receptor[like[new]]])[order],
        delay_ms=np.concatenate([table.delay_ms, table.delay_ms[like[new]]])[order],
        weight=np.concatenate([table.weight, table.weight[like[new]]])[order],
    )


def _thinned(table: SynapseTable, n_kept: int, rng: np.random.Generator) -> SynapseTable:
    """At most ``n_kept`` synapses, of the same total weight."""
    if n_kept >= len(table):
        return table
    kept = np.sort(rng.choice(len(table), n_kept, replace=False))
    return SynapseTable(
        pre=table.pre[kept],
        post=table.post[kept],
        receptor=table.receptor[kept],
        delay_ms=table.delay_ms[kept],
        weight=table.weight[kept] * np.float32(len(table) / n_kept),
    )


def main() -> None:
    """Make the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--neurons", type=int, default=51_978)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--recurrent", type=int)
    parser.add_argument("--lgn", type=int)
    arguments = parser.parse_args()
    n_lgn = arguments.lgn or round(LGN_SYNAPSES_PER_NEURON * arguments.neurons)
    network = full_size(arguments.neurons, arguments.seed, arguments.recurrent, n_lgn)
    draft = ProvenanceDraft("constructed", "make_full_size.py", " ".join(sys.argv), "constructed")
    write_network(network, arguments.out, provenance=draft)
    print(
        f"{arguments.out}: {network.n_neurons:,} neurons, {len(network.cell_types)} types, "
        f"{len(network.tables['recurrent']):,} recurrent and "
        f"{len(network.tables['lgn']):,} LGN synapses"
    )


if __name__ == "__main__":
    main()

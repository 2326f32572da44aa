"""Digests: of files, of arrays in their order, and of synapses whatever their order.

The synapse digest is a multiset hash: every synapse's five fields are mixed
into one 64-bit word (the finaliser of SplitMix64, Steele et al. 2014, doi
10.1145/2714064.2660195) under two seeds, and the words are added modulo 2**64.
Addition commutes, so the order of the synapses does not matter, and unlike XOR
it notices a synapse that is there twice. The C++ auditor of the native module
computes the same sums inside NEST.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from v1sim.model import NetworkModel, SynapseTable
from v1sim.receptors import BILLEH_RECEPTORS
from v1sim.units import MODEL_STEP_MS

__all__ = [
    "SynapseDigest",
    "array_sha256",
    "file_sha256",
    "plain_background",
    "structure_of",
    "synapse_digest",
    "table_digest",
]

U64 = NDArray[np.uint64]

_SEEDS = (0x9E3779B97F4A7C15, 0xD1B54A32D192ED03)
#: Synapses hashed at a time: the work arrays stay within the CPU's cache.
_BLOCK = 1 << 16


def file_sha256(path: Path) -> str:
    """sha256 of a file's bytes, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def array_sha256(values: NDArray[np.generic]) -> str:
    """sha256 over dtype, shape and the little-endian C-order bytes of an array."""
    little = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    digest = hashlib.sha256(f"{little.dtype.str}{little.shape}".encode())
    digest.update(little.tobytes() if little.ndim == 0 else little.data)
    return digest.hexdigest()


@dataclass(frozen=True)
class SynapseDigest:
    """Number of synapses and two 64-bit sums over them; equal for equal multisets."""

    n_synapses: int
    sums: tuple[int, int]

    def __add__(self, other: SynapseDigest) -> SynapseDigest:
        return SynapseDigest(
            self.n_synapses + other.n_synapses,
            tuple((a + b) % 2**64 for a, b in zip(self.sums, other.sums, strict=True)),  # type: ignore[arg-type]
        )

    def __str__(self) -> str:
        return f"{self.n_synapses}:{self.sums[0]:016x}{self.sums[1]:016x}"


def _mix(words: U64) -> U64:
    """SplitMix64's finaliser, in place."""
    words ^= words >> np.uint64(30)
    words *= np.uint64(0xBF58476D1CE4E5B9)
    words ^= words >> np.uint64(27)
    words *= np.uint64(0x94D049BB133111EB)
    words ^= words >> np.uint64(31)
    return words


def synapse_digest(
    pre: NDArray[np.integer],
    post: NDArray[np.integer],
    receptor: NDArray[np.integer],
    delay_steps: NDArray[np.integer],
    weight: NDArray[np.floating],
) -> SynapseDigest:
    """Digest of synapses that does not depend on their order.

    Parameters
    ----------
    pre, post, receptor, delay_steps : int arrays, shape (s,)
        Indices below 2**32, receptor and delay below 2**16.
    weight : float array, shape (s,)
        Compared by the bits of its float64 value; -0.0 counts as 0.0.
    """
    n = len(pre)
    sums = [0, 0]
    for start in range(0, n, _BLOCK):
        part = slice(start, start + _BLOCK)
        ends = pre[part].astype(np.uint64) << np.uint64(32)
        ends |= post[part].astype(np.uint64)
        kind = receptor[part].astype(np.uint64) << np.uint64(16)
        kind |= delay_steps[part].astype(np.uint64)
        bits = (weight[part].astype(np.float64) + 0.0).view(np.uint64)
        for lane, seed in enumerate(_SEEDS):
            words = _mix(ends ^ np.uint64(seed))
            words += kind
            words = _mix(words)
            words ^= bits
            sums[lane] = (sums[lane] + int(_mix(words).sum(dtype=np.uint64))) % 2**64
    return SynapseDigest(n, (sums[0], sums[1]))


def table_digest(table: SynapseTable) -> SynapseDigest:
    """Digest of a table's synapses that does not depend on their order; any delay will do."""
    total = SynapseDigest(0, (0, 0))
    for start in range(0, len(table), _BLOCK):
        part = slice(start, start + _BLOCK)
        # The delay enters by its bits: a digest must exist for any value, on the grid or not.
        delay_bits = table.delay_ms[part].astype(np.float32, copy=False).view(np.uint32)
        folded = ((delay_bits >> np.uint32(16)) ^ delay_bits) & np.uint32(0xFFFF)
        total += synapse_digest(
            table.pre[part], table.post[part], table.receptor[part], folded, table.weight[part]
        )
    return total


def plain_background(network: NetworkModel) -> NDArray[np.float32] | None:
    """Weights (n, receptors) of the background of the Billeh model's files; None for any other.

    It is one cell of that name, which acts on every neuron and receptor a step later.
    """
    names = list(network.tables_of("background"))
    if names != ["background"] or network.projections["background"].source != "background":
        return None
    table = network.tables["background"]
    if table.unit != "normalised" or table.weight.dtype != np.float32:
        return None
    if (table.delay_ms != np.float32(MODEL_STEP_MS)).any() or table.delay_ms.dtype != np.float32:
        return None
    return network.background_weight


def structure_of(network: NetworkModel) -> str:
    """What acts in a network and is no array, as JSON; empty for that of the Billeh model's files.

    Names of populations, sources with their roles, projections with source and unit, receptors,
    sizes of readout groups where they differ, the time step.
    """
    background = plain_background(network) is not None
    sources = [[name, one.role] for name, one in network.source_populations.items()]
    projections = [
        [name, one.source, one.synapses.unit] for name, one in network.projections.items()
    ]
    groups = sorted({len(group) for group in network.readout})
    structure: dict[str, object] = {
        "populations": [[p.name, len(p)] for p in network.neurons.populations],
        "sources": sources,
        "projections": projections,
        "receptors": network.cell_types.receptor_kinds.names,
        "readout": [len(group) for group in network.readout] if len(groups) > 1 else [],
        "step_ms": network.step_ms,
    }
    usual = {
        "populations": [],
        "sources": [["lgn", "lgn"], *([["background", "background"]] if background else [])],
        "projections": [
            ["recurrent", None, "normalised"],
            ["lgn", "lgn", "normalised"],
            *([["background", "background", "normalised"]] if background else []),
        ],
        "receptors": BILLEH_RECEPTORS.names,
        "readout": [],
        "step_ms": MODEL_STEP_MS,
    }
    return "" if structure == usual else json.dumps(structure)

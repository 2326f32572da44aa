"""The original circuit of a training as a network: as DPointNet builds it, before it trains."""

from __future__ import annotations

from pathlib import Path

from v1sim.digests import file_sha256
from v1sim.model import NetworkModel, SourceFile
from v1sim.sources.dpointnet import read_circuit

__all__ = ["DPointNetReader"]

_MOST_BYTES = 1 << 24


class DPointNetReader:
    """The door's reader of DPointNet's configurations; see `v1sim.sources.reader.Reader`."""

    format = "dpointnet"
    reads = "a configuration of DPointNet (JSON)"

    def recognises(self, path: Path) -> bool:
        """JSON with a section that no other configuration has."""
        if path.suffix != ".json" or not path.is_file() or path.stat().st_size > _MOST_BYTES:
            return False
        return b'"rnn_cell_params"' in path.read_bytes()

    def read(self, path: Path) -> NetworkModel:
        """The circuit with its own weights, in the dynamics that it would be trained in."""
        circuit = read_circuit(path)
        source = SourceFile(str(path), file_sha256(path), self.format)
        return circuit.network({name: circuit.internal(name) for name in circuit.edges}, source)

"""Whether values are those of a checkpoint's tensor: by checksum, and by every byte of its data.

Checksums (CRC32C) are in the index, which is enough to exclude accident: a chance agreement has
the probability 2**-32. They exclude no intent: whoever may choose 30 weights by a unit in the last
place can give an array any CRC32C. Where the checkpoint's data lie beside its index, bytes are
therefore compared too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from v1sim.checkpoints.bundle import CheckpointIndex, TensorEntry, read_tensor
from v1sim.checkpoints.stored import stored
from v1sim.errors import CheckpointError

__all__ = ["StoredBytes"]

Values = NDArray[np.generic]


class StoredBytes:
    """A checkpoint's tensors, as far as they are there, to compare values with.

    Parameters
    ----------
    index : CheckpointIndex
        The checkpoint.

    Attributes
    ----------
    collisions : set of str
        Names of tensors whose checksum values had that are not theirs.
    damaged : set of str
        Names of tensors whose data are not those that were saved; the index alone tells of them.
    """

    def __init__(self, index: CheckpointIndex) -> None:
        self._index = index
        self._has_data = index.has_data
        self.collisions: set[str] = set()
        self.damaged: set[str] = set()

    @property
    def by_bytes(self) -> bool:
        """Whether what was found equal was compared byte by byte."""
        return self._has_data and not self.damaged

    def holds(self, entry: TensorEntry, values: Values) -> bool:
        """Whether the tensor is ``values``, which are of its dtype (`v1sim.checkpoints.stored`)."""
        return self.holds_blocks(entry, lambda: [values])

    def holds_blocks(self, entry: TensorEntry, blocks: Callable[[], Iterable[Values]]) -> bool:
        """The same of values that come in blocks, one after the other, each time it is called."""
        if not entry.holds_blocks(blocks()):
            return False
        if not self._has_data or entry.name in self.damaged:
            return True
        try:
            same = self._same_bytes(entry, blocks())
        except CheckpointError:  # cut off, or not what was saved
            self.damaged.add(entry.name)
            return True
        if not same:
            self.collisions.add(entry.name)
        return same

    def _same_bytes(self, entry: TensorEntry, blocks: Iterable[Values]) -> bool:
        if entry.sliced:
            whole = stored(read_tensor(self._index, entry.key), entry.dtype)
            return _bytes(whole) == b"".join(map(_bytes, blocks))
        piece = entry.pieces[0]
        with self._index.shard_path(piece.shard).open("rb") as data:
            data.seek(piece.offset)
            for block in blocks:
                if data.read(block.nbytes) != _bytes(block):
                    if entry.dtype != "string":
                        read_tensor(self._index, entry.key)  # raises where they are damaged
                    return False
        return True


def _bytes(values: Values) -> bytes:
    return np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<")).tobytes()

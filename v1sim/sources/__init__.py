"""Networks from whatever they come in. `open_network` is the only way in.

To add a format: a module of this package with a class that has what
`v1sim.sources.reader.Reader` asks for, and its name in `READERS`.
"""

from __future__ import annotations

from pathlib import Path

from v1sim.errors import NetworkFileError
from v1sim.model import NetworkModel
from v1sim.sources.dpointnet.reader import DPointNetReader
from v1sim.sources.hdf5 import Hdf5Reader
from v1sim.sources.reader import Reader
from v1sim.sources.sonata.reader import SonataReader

__all__ = ["READERS", "open_network"]

#: Asked in this order. The last one takes any file, and says what is wrong with it.
READERS: tuple[Reader, ...] = (DPointNetReader(), SonataReader(), Hdf5Reader())


def open_network(path: Path) -> NetworkModel:
    """Read a network as it is, whatever its format: nothing converted, nothing judged.

    Parameters
    ----------
    path : Path
        A network file, or what else one of `READERS` recognises.

    Raises
    ------
    NetworkFileError
        If nothing is there that is a network. Its ``findings`` name every problem that
        was seen, not the first only.
    """
    found = path.exists()
    for reader in READERS:
        if found and reader.recognises(path):
            return reader.read(path)
    raise NetworkFileError(
        "is a folder" if path.is_dir() else "no file" if found else "no such file",
        where=str(path),
        expected=" or ".join(reader.reads for reader in READERS),
        hint="check the path",
    )

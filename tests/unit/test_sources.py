"""The door: which reader a path goes to, and what is said where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.networks import tiny_network, write_tiny
from v1sim import sources
from v1sim.errors import NetworkFileError
from v1sim.model import NetworkModel
from v1sim.sources import READERS, open_network


class FolderReader:
    """A reader of folders that hold a file called ``tiny``."""

    format = "tiny"
    reads = "a folder with a file named tiny"

    def recognises(self, path: Path) -> bool:
        return (path / "tiny").is_file()

    def read(self, path: Path) -> NetworkModel:
        return tiny_network(seed=int((path / "tiny").read_text()))


def test_a_path_goes_to_the_first_reader_that_recognises_it(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "READERS", (FolderReader(), *READERS))
    (tmp_path / "tiny").write_text("5")
    network = open_network(tmp_path)
    assert (
        network.tables["recurrent"].weight == tiny_network(seed=5).tables["recurrent"].weight
    ).all()
    write_tiny(tmp_path / "net.h5")
    assert open_network(tmp_path / "net.h5").source.format == "hdf5"


def test_what_no_reader_recognises_is_told_with_all_that_could_be_read(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "READERS", (FolderReader(), *READERS))
    for path, seen in ((tmp_path, "is a folder"), (tmp_path / "none", "no such file")):
        with pytest.raises(NetworkFileError, match=seen) as caught:
            open_network(path)
        for reader in sources.READERS:
            assert reader.reads in caught.value.expected

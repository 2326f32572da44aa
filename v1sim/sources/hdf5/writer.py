"""Writing network files, which are read back before they get their name."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterable
from dataclasses import fields, replace
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from v1sim.digests import file_sha256
from v1sim.errors import OutputError
from v1sim.model import NetworkModel, Provenance
from v1sim.output import replacing
from v1sim.sources import provenance as provenance_json
from v1sim.sources.hdf5.compression import write_compressed
from v1sim.sources.hdf5.names import TABLES, dataset_of
from v1sim.sources.hdf5.reader import INPUT_DELAY_MS, read_file
from v1sim.sources.provenance import ProvenanceDraft

__all__ = ["add_provenance", "write_network"]

#: Bytes of a file that are compared at a time.
_READ_BYTES = 1 << 20


def write_network(
    network: NetworkModel,
    path: Path,
    *,
    provenance: ProvenanceDraft | None = None,
    known_as: Path | None = None,
) -> NetworkModel:
    """Write a network in the layout in use; the file appears whole or not at all.

    The file is read back before it gets its name. With ``provenance``, the
    digests are those of the values that were read back.

    Parameters
    ----------
    network : NetworkModel
        Its own provenance is written unless ``provenance`` is given.
    path : Path
        An existing file is replaced.
    provenance : ProvenanceDraft, optional
        What the network is and where its arrays came from.
    known_as : Path, optional
        What the file will be called, where ``path`` is in a folder or has a name that is
        not the final one.

    Returns
    -------
    NetworkModel
        What the file holds, as it was read back from it.

    Raises
    ------
    OutputError
        If the layout has no place for what the network holds, or the file cannot be written:
        folder, permission, disk full, or a disk that gives back something else.
    """
    if why_not := _why_no_place(network):
        raise OutputError(f"the layout has no place for this network: {why_not}", where=str(path))
    # HDF5 can crash the process when a disk is full, so it writes to memory only.
    with replacing(path) as temporary, _in_memory(path.name) as file:
        _write(file, network)
        if provenance is None and network.provenance is not None:
            _write_provenance(file, network.provenance)
        _save(file, temporary)
        held = read_file(temporary)
        _compare(network, held, path)
        if provenance is not None:
            sealed = provenance.seal(held)
            _write_provenance(file, sealed)
            _save(file, temporary)
            held = replace(held, provenance=sealed)
        name = str(known_as or path)
        source = replace(held.source, path=name, sha256=file_sha256(temporary))
    return replace(held, source=source)


def add_provenance(
    path: Path, provenance: ProvenanceDraft, network: NetworkModel | None = None
) -> NetworkModel:
    """Put a provenance into an existing network file; everything else in it stays as it is.

    A provenance that the file has is replaced. The digests are those of the values
    that are read from the file.

    Parameters
    ----------
    path : Path
        The network file.
    provenance : ProvenanceDraft
        What the network is and where its arrays came from.
    network : NetworkModel, optional
        What was read from the file; it is read again where its bytes are no longer those.

    Returns
    -------
    NetworkModel
        The network, read back from the file.

    Raises
    ------
    NetworkFileError
        If the file cannot be read as a network.
    OutputError
        If the file cannot be written.
    """
    if network is None or network.source.sha256 != file_sha256(path):
        network = read_file(path)
    sealed = provenance.seal(network)
    with replacing(path) as temporary:
        with _in_memory(path.name, path.read_bytes()) as file:
            if "provenance" in file:
                del file["provenance"]
            _write_provenance(file, sealed)
            _save(file, temporary)
        held = read_file(temporary)
        if held.provenance is None or provenance_json.verify(held):
            raise OutputError(
                "what was read back is not what was written",
                where=str(path),
                hint="check the disk; the file is as it was",
            )
        source = replace(held.source, path=str(path), sha256=file_sha256(temporary))
    return replace(held, source=source)


def _in_memory(name: str, image: bytes | None = None) -> h5py.File:
    """A file in memory: empty, or with the bytes of an existing one."""
    # No file has this name: HDF5 would open, or find in its way, one that does.
    name = f"{name}.{secrets.token_hex(16)}"
    if image is None:
        return h5py.File(name, "w", driver="core", backing_store=False, block_size=1 << 24)
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_fapl_core(1 << 24, False)
    access.set_file_image(image)
    return h5py.File(h5py.h5f.open(name.encode(), h5py.h5f.ACC_RDWR, access))


def _save(file: h5py.File, path: Path) -> None:
    """Put a file that is in memory on disk, and make sure that the disk has it."""
    file.flush()
    image = file.id.get_file_image()
    with path.open("wb") as stream:
        stream.write(image)
        stream.flush()
        os.fsync(stream.fileno())
    same, start = path.stat().st_size == len(image), 0
    with path.open("rb") as stream:
        while same and (read := stream.read(_READ_BYTES)):
            same = read == image[start : start + len(read)]
            start += len(read)
    if not same or start != len(image):
        raise OSError(errno.EIO, "what was read back is not what was written")


def _why_no_place(network: NetworkModel) -> str:
    """What the layout has no place for; empty where it can hold the network."""
    if why_not := network.cell_types.why_not_of_training:
        return f"it holds GLIF3 neurons of training alone: {why_not}"
    if len(network.neurons.populations) > 1:
        return f"there are {len(network.neurons.populations)} populations of neurons"
    others = sorted(set(network.tables) - {*TABLES, "background"})
    if others:
        return f"there are projections beside those of its neurons and LGN: {', '.join(others)}"
    if missing := sorted(set(TABLES) - set(network.tables)):
        return f"it has no {' and no '.join(missing)} synapses"
    if network.tables_of("background") and network.background_weight is None:
        return "its background is not one weight for each neuron and receptor"
    in_pa = sorted(name for name, table in network.tables.items() if table.unit != "normalised")
    return f"weights are in pA: {', '.join(in_pa)}" if in_pa else ""


def _write(file: h5py.File, network: NetworkModel) -> None:
    file.attrs["n_neurons"] = network.n_neurons
    file.attrs["n_input"] = network.lgn.size
    if network.readout:
        file.attrs["n_output"] = len(network.readout)
    neurons, types = network.neurons, network.cell_types
    file["neurons/node_type_ids"] = neurons.cell_type.astype(np.int32)
    if neurons.position_um is not None:
        for axis, name in enumerate("xyz"):
            file[f"neurons/positions_{name}"] = neurons.position_um[:, axis]
    for key, values in types.columns.items():
        file[dataset_of(f"cell_types.{key}")] = values
    for key in ("name", "cell_class"):
        texts = getattr(types, key)
        if texts is not None:
            _write_texts(file, dataset_of(f"cell_types.{key}"), texts)
    for name in TABLES:
        for key, values in network.tables[name].columns.items():
            if name == "lgn" and key == "delay_ms" and (values == INPUT_DELAY_MS).all():
                continue  # as in the layout in use
            stored = np.int32 if key == "receptor" else values.dtype
            write_compressed(file, dataset_of(f"{name}.{key}"), values, stored)
    if network.background_weight is not None:
        write_compressed(file, "input/bkg_weights", network.background_weight)
    if network.readout:
        file["readout/neuron_ids"] = np.concatenate(network.readout)
    for name, dense in (
        ("readout.weight", network.readout_weight),
        ("readout.bias", network.readout_bias),
    ):
        if dense is not None:
            file[dataset_of(name)] = dense
    if network.lgn.cells is not None:
        cells = network.lgn.cells
        for f in fields(cells):
            values = getattr(cells, f.name)
            if f.name == "field_deg":
                file.require_group("lgn").attrs["field_deg"] = values
            elif values.dtype.kind == "U":
                _write_texts(file, f"lgn/{f.name}", values.tolist())
            else:
                file[f"lgn/{f.name}"] = values


def _write_texts(file: h5py.File, path: str, texts: Iterable[str]) -> None:
    file[path] = _fixed_length([text.encode() for text in texts])


def _write_provenance(file: h5py.File, provenance: Provenance) -> None:
    text = provenance_json.to_json(provenance, dataset_of)
    file["provenance"] = _fixed_length([text.encode()])[0]


def _fixed_length(texts: list[bytes]) -> NDArray[np.bytes_]:
    length = max(map(len, texts), default=0)
    return np.array(texts, dtype=h5py.string_dtype("utf-8", max(length, 1)))


def _same_bits(meant: NDArray[np.generic], found: NDArray[np.generic]) -> bool:
    if meant.dtype == found.dtype and meant.dtype.kind == "f":
        word = np.dtype(f"u{meant.itemsize}")
        return np.array_equal(meant.view(word), found.view(word))
    return np.array_equal(meant, found)


def _compare(network: NetworkModel, held: NetworkModel, path: Path) -> None:
    """Raise unless the file holds what it was given."""
    meant = provenance_json.canonical_arrays(network)
    found = provenance_json.canonical_arrays(held)
    differ = [
        dataset_of(name)
        for name in sorted(set(meant) | set(found))
        if name not in meant or name not in found or not _same_bits(meant[name], found[name])
    ]
    if differ:
        raise OutputError(
            f"what was read back is not what was written: {', '.join(differ)}",
            where=str(path),
            expected="the same values",
            hint="check the disk, or a readout whose groups differ in size",
        )

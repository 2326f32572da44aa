"""Writing network files, which are read back before they get their name."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from v1sim.cell_models import CELL_MODELS
from v1sim.digests import file_sha256, plain_background
from v1sim.errors import OutputError
from v1sim.files.hdf5 import fixed_length_texts
from v1sim.model import NetworkModel, Provenance, SourcePopulation
from v1sim.output import replacing
from v1sim.paging import forget
from v1sim.printable import printable
from v1sim.receptors import BILLEH_RECEPTORS
from v1sim.sources import provenance as provenance_json
from v1sim.sources.hdf5.compression import write_compressed
from v1sim.sources.hdf5.disk import open_disk
from v1sim.sources.hdf5.general_writer import names_of, write_general
from v1sim.sources.hdf5.names import TABLES, dataset_of
from v1sim.sources.hdf5.reader import INPUT_DELAY_MS, read_file
from v1sim.sources.provenance import ProvenanceDraft
from v1sim.units import MODEL_STEP_MS

__all__ = ["add_provenance", "write_network"]

#: Values compared at a time.
_BLOCK = 1 << 20


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
    if network.cell_types.other_models:
        models = ", ".join(printable(model.name) for model in network.cell_types.other_models)
        raise OutputError(
            f"network files have no place for cells of {models}, which a SONATA configuration "
            "allows",
            where=str(known_as or path),
            expected=f"cells of {', '.join(CELL_MODELS)}",
            hint="run the SONATA circuit as it is: v1sim run CONFIG.json",
        )
    general = bool(_needs_more(network))
    names = names_of(network).dataset_of if general else dataset_of
    with replacing(path) as temporary:
        with open_disk(temporary, "w") as file:
            (write_general if general else _write)(file, network)
            if provenance is None and network.provenance is not None:
                _write_provenance(file, network.provenance, names)
        held = read_file(temporary)
        _compare(network, held, path)
        if provenance is not None:
            sealed = provenance.seal(held)
            _seal(temporary, sealed, names)
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
        shutil.copyfile(path, temporary)
        _seal(temporary, sealed, network.source.name_of)
        held = read_file(temporary)
        if held.provenance is None or provenance_json.verify(held):
            raise OutputError(
                "what was read back is not what was written",
                where=str(path),
                hint="check the disk; the file is as it was",
            )
        source = replace(held.source, path=str(path), sha256=file_sha256(temporary))
    return replace(held, source=source)


def _seal(path: Path, provenance: Provenance, names: Callable[[str], str]) -> None:
    """Put a provenance into a file; one that it has is replaced."""
    with open_disk(path, "r+") as file:
        if "provenance" in file:
            del file["provenance"]
        _write_provenance(file, provenance, names)


def _needs_more(network: NetworkModel) -> str:
    """What the layout in use has no place for; empty where it gives the network back as it is."""
    types, neurons = network.cell_types, network.neurons
    if why_not := types.why_not_of_training:
        return why_not
    if not types.receptor_kinds.same_as(BILLEH_RECEPTORS):
        return "receptors of other kinds or names"
    if types.kind is not None or any(
        one.kind is not None for one in network.source_populations.values()
    ):
        return "kinds of cells"
    if neurons.populations:
        return "named populations of neurons"
    tables = {name: network.projections[name] for name in TABLES if name in network.projections}
    shape = [("recurrent", None), ("lgn", "lgn")]
    sources = {"lgn": SourcePopulation("lgn", network.lgn.size, cells=network.lgn.cells)}
    if plain_background(network) is not None:
        shape.append(("background", "background"))
        sources["background"] = SourcePopulation("background", 1)
    if [(name, one.source) for name, one in network.projections.items()] != shape:
        return "other projections"
    held = network.source_populations
    if list(held) != list(sources) or any(
        (held[name].role, held[name].size, held[name].node_id) != (one.role, one.size, None)
        for name, one in sources.items()
    ):
        return "other source populations"
    for one in tables.values():
        table = one.synapses
        numbers = (table.weight, table.delay_ms)
        if table.unit != "normalised" or any(one.dtype != np.float32 for one in numbers):
            return "weights in pA or float64"
    groups = [len(group) for group in network.readout]
    if groups and groups != [
        len(part) for part in np.array_split(np.empty(sum(groups)), len(groups))
    ]:
        return "a readout whose groups differ in size"
    if 0 in groups:
        return "a readout group without cells"
    if network.step_ms != MODEL_STEP_MS or network.dynamics is not None or network.remarks:
        return "another time step, dynamics, or remarks"
    return ""


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
    file[path] = fixed_length_texts(list(texts))


def _write_provenance(file: h5py.File, provenance: Provenance, names: Callable[[str], str]) -> None:
    text = provenance_json.to_json(provenance, names)
    file["provenance"] = fixed_length_texts([text])[0]


def _same_bits(meant: NDArray[np.generic], found: NDArray[np.generic]) -> bool:
    if meant.shape != found.shape:
        return False
    if meant.ndim != 1:
        return _same_part(meant, found)
    for start in range(0, len(meant), _BLOCK):
        part = slice(start, start + _BLOCK)
        same = _same_part(meant[part], found[part])
        forget(meant)
        forget(found)
        if not same:
            return False
    return True


def _same_part(meant: NDArray[np.generic], found: NDArray[np.generic]) -> bool:
    if meant.dtype == found.dtype and meant.dtype.kind == "f":
        word = np.dtype(f"u{meant.itemsize}")
        return np.array_equal(
            np.ascontiguousarray(meant).view(word), np.ascontiguousarray(found).view(word)
        )
    return np.array_equal(meant, found)


def _compare(network: NetworkModel, held: NetworkModel, path: Path) -> None:
    """Raise unless the file holds what it was given."""
    meant = provenance_json.canonical_arrays(network)
    found = provenance_json.canonical_arrays(held)
    differ = [
        held.source.name_of(name)
        for name in sorted(set(meant) | set(found))
        if name not in meant or name not in found or not _same_bits(meant[name], found[name])
    ]
    if differ:
        raise OutputError(
            f"what was read back is not what was written: {', '.join(differ)}",
            where=str(path),
            expected="the same values",
            hint="check the disk",
        )

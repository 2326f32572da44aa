"""What a file is, where it is not what was expected, and what to do with it.

- `identify`: any file, by its first and last bytes
- `identify_hdf5`: an open HDF5 file, by what is in it
- `printable`: text of a file as it may be shown
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import h5py

__all__ = ["Identity", "identify", "identify_hdf5", "printable"]


class Identity(NamedTuple):
    """``what`` a file is ("a SONATA network"), and what to do with it."""

    what: str
    hint: str
    is_network: bool = False
    is_picture: bool = False


#: HDF5's signature, at byte 0 or after a user block.
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
#: The last bytes of a LevelDB table, which the index of a TensorFlow checkpoint is.
_TABLE_MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")

_SAVE_CHECKPOINT = "save the weights as a TensorFlow checkpoint, then v1sim convert"
_SHOW = "pictures are stimulus.kind: images"
_FETCH = "fetch the file itself: git lfs pull"
_OPEN_PAGE = "open it in a browser: it says why the file was not sent, often that a login is needed"
_CHECKPOINT = Identity(
    "the index of a TensorFlow checkpoint",
    "v1sim convert CKPT --out NETWORK.h5 makes a network of a checkpoint; v1sim inspect says "
    "what it holds",
)
_V1_GLIF_MODEL = Identity(
    "a V1_GLIF_model checkpoint",
    "it holds no receptors and no neuron parameters: use the SONATA files that V1_GLIF_model "
    "wrote beside it",
)

#: First bytes of a file, and what they say.
_STARTS: tuple[tuple[bytes, Identity], ...] = (
    (b"version https://git-lfs", Identity("a Git LFS pointer, in place of the file", _FETCH)),
    (b"MATLAB 5.0", Identity("a MATLAB 5 file", "h5create and h5write write what is read here")),
    (b"\x93NUMPY", Identity("a NumPy array (.npy)", "name it .npy where arrays are read")),
    (b"\x1f\x8b", Identity("a file compressed with gzip", "gunzip it")),
    (b"BZh", Identity("a file compressed with bzip2", "bunzip2 it")),
    (b"\xfd7zXZ", Identity("a file compressed with xz", "unxz it")),
    (b"\x28\xb5\x2f\xfd", Identity("a file compressed with zstd", "unzstd it")),
    (b"CDF\x01", Identity("a netCDF 3 file", "nccopy -k nc4 IN OUT makes an HDF5 file of it")),
    (b"\x89PNG", Identity("a PNG image", _SHOW, is_picture=True)),
    (b"\xff\xd8\xff", Identity("a JPEG image", _SHOW, is_picture=True)),
    (b"%PDF", Identity("a PDF document", "give the data, not a document about them")),
    (b"\x80\x04", Identity("a pickle", "training data are a folder: v1sim baseline --data-dir")),
)


def identify(path: Path) -> Identity | None:
    """What a file is by its bytes, None where they do not say; HDF5 is for `identify_hdf5`.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        head = stream.read(1024)
        stream.seek(max(0, size - 8))
        tail = stream.read(8)
    if not head:
        return Identity("empty", "copy or make the file again")
    for start, identity in _STARTS:
        if head.startswith(start):
            return identity
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return Identity("an HTML or XML page, in place of the file", _OPEN_PAGE)
    if b"/annex/objects/" in head[:300]:
        fetch = "fetch the file itself: git annex get"
        return Identity("a git-annex pointer, in place of the file", fetch)
    if head.startswith(b"PK\x03\x04"):
        return _zip_file(head)
    if tail == _TABLE_MAGIC:
        return _V1_GLIF_MODEL if _is_of_v1_glif_model(path) else _CHECKPOINT
    if path.name.partition(".data-")[2][:5].isdigit():
        return Identity("a data file of a TensorFlow checkpoint", _CHECKPOINT.hint)
    if text.startswith(b"{") and (b'"network' in head or b'"manifest' in head):
        return Identity("a SONATA configuration", "the files that it names hold the data")
    return None


def _zip_file(head: bytes) -> Identity:
    if b"config.json" in head or b"metadata.json" in head:
        return Identity(
            "a Keras file (.keras)",
            "save the weights as a TensorFlow checkpoint, then v1sim convert",
        )
    if b"data.pkl" in head:
        return Identity("a PyTorch file", "write its arrays in the layout of docs/network_file.md")
    if b".npy" in head:
        return Identity("a NumPy archive (.npz)", "save the one array that is meant as .npy")
    return Identity("a ZIP archive", "unzip it")


def _is_of_v1_glif_model(path: Path) -> bool:
    """Whether a checkpoint's index names the variables that V1_GLIF_model alone has."""
    with path.open("rb") as stream:
        # Keys in the table leave out what they share with the one before them.
        return b"bkg_input_" in stream.read(1 << 22)


def identify_hdf5(file: h5py.File) -> Identity | None:
    """What an open HDF5 file is by the names in it, None where they do not say."""
    try:
        names = {name for name in file if isinstance(name, str)}
        attributes = set(file.attrs)
        inner = {name: set(file[name]) for name in names if _is_group(file, name)}
    except Exception:  # h5py raises many kinds on damaged files
        return None
    if "nwb_version" in attributes:
        return Identity("an NWB file", "a run's spikes for v1sim are in its spikes.h5 (SONATA)")
    if "spike_trains" in names:
        return Identity("a stimulus file", "it is shown by stimulus.kind: probabilities")
    if {"recurrent", "neurons"} <= names or {"projections", "neurons"} <= names:
        hint = "it is what network: of a configuration names"
        return Identity("a network file", hint, is_network=True)
    if "edges" in names or "nodes" in names:
        part = "edges" if "edges" in names else "nodes"
        hint = "a SONATA network is several files: give the circuit_config.json that names them"
        return Identity(f"a SONATA network ({part})", hint)
    if "spikes" in names:
        return Identity("a SONATA spike file", "it is shown by stimulus.kind: sonata_spikes")
    if "model_weights" in names or "keras_version" in attributes or "layers" in names:
        return Identity("a Keras weight file", _SAVE_CHECKPOINT)
    if any("block0_values" in members or "table" in members for members in inner.values()):
        return Identity("a file of pandas (to_hdf)", "its values are in NAME/block0_values")
    if _is_of_matlab(file, names):
        return Identity(
            "a MATLAB 7.3 file",
            "h5create and h5write write the layout that is expected; MATLAB's axes are in reverse",
        )
    return None


def _is_group(file: h5py.File, name: str) -> bool:
    link = file.get(name, getlink=True)
    return not isinstance(link, h5py.ExternalLink) and isinstance(file.get(name), h5py.Group)


def _is_of_matlab(file: h5py.File, names: set[str]) -> bool:
    try:
        if file.userblock_size >= 512 and not names:
            return True
        return any("MATLAB_class" in file[name].attrs for name in names if name in file)
    except Exception:  # h5py raises many kinds on damaged files, and on links to nothing
        return False


def printable(text: Any) -> str:
    """Text with what is no printable character escaped, at most 200 characters."""
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(text))
    return shown if len(shown) <= 200 else shown[:197] + "..."

"""Files of weights that Keras writes, which are no checkpoints: what they are, and what to do.

``.keras``, ``.weights.h5`` (also cut into shards, with a ``.weights.json``), the older ``.h5`` and
the folders of BackupAndRestore number their variables and leave out every ``tf.Variable``: of a
network of this model, its wiring and its neurons' parameters. So they are refused, with the lines
that write all of it.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

from v1sim.files.hdf5 import closing_quietly, open_hdf5
from v1sim.memory import raise_lack_of_memory

__all__ = ["keras_advice", "keras_kind"]


def keras_kind(path: Path) -> str:
    """What a file or folder is, if Keras wrote it; empty if not."""
    if path.is_dir():
        backup = next(iter(sorted(path.glob("*.weights.h5"))), None)
        named = (path / "training_metadata.json").is_file()
        return "is a backup of Keras (BackupAndRestore)" if backup is not None and named else ""
    name = path.name
    if name.endswith(".weights.json"):
        return "is the table of contents of a sharded weights file of Keras (.weights.h5)"
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                held = archive.namelist()
            inside = "model.weights.h5" in held or "config.json" in held
            return "is a model file of Keras (.keras)" if inside else ""
        with path.open("rb") as stream:
            is_hdf5 = stream.read(8) == b"\x89HDF\r\n\x1a\n"
        if is_hdf5:
            with closing_quietly(open_hdf5(path)) as file:
                if "layers" in file or name.endswith(".weights.h5"):
                    return "is a weights file of Keras (.weights.h5)"
                if "model_weights" in file or "layer_names" in file.attrs:
                    return "is a model or weights file of Keras (.h5)"
    except Exception as error:  # zipfile and h5py raise many kinds on damaged files
        raise_lack_of_memory(error)
        return ""
    return ""


def keras_advice(path: Path) -> str:
    """The lines of Python that make a checkpoint with every variable of a Keras file."""
    if path.is_dir():
        file = next(iter(sorted(path.glob("*.weights.h5"))), path)
        load = f'model.load_weights("{file}")'
    elif path.name.endswith(".keras"):
        load = f'model = keras.models.load_model("{path}")'
    else:
        load = f'model.load_weights("{path}")'
    name = path.name
    for end in (".keras", ".weights.h5", ".weights.json", ".h5"):
        name = name.removesuffix(end)
    prefix = (path.parent / f"{name}-checkpoint").as_posix()
    return (
        "in the program that built the model, load it and write a checkpoint, which holds every "
        "variable:\n"
        f"    {load}\n"
        f'    tf.train.Checkpoint(model=model, optimizer=model.optimizer).write("{prefix}")\n'
        f"  then v1sim convert {prefix}"
    )

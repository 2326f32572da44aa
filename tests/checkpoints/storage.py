"""A program's checkpoint on disk, in each way that TensorFlow stores one."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tests.checkpoints.programs import Options, Program
from tests.checkpoints.truth import Case, Storage, Truth
from tests.networks import tiny_network
from tests.training_folder import write_training_folder
from v1sim.model import NetworkModel, SynapseTable
from v1sim.sources.hdf5 import write_network

__all__ = ["Writer", "small_network"]

#: Bytes of a shard that cut the larger variables of `small_network` into slices.
_SLICE_BYTES = 1500


class _ThreeShards(tf.train.experimental.ShardingCallback):
    """Whole variables, dealt out to three data files."""

    @property
    def description(self) -> str:
        return "whole variables over three files"

    def __call__(self, shardable_tensors: Sequence[Any]) -> list[Any]:
        shards: list[dict[str, Any]] = [{}, {}, {}]
        for i, tensor in enumerate(shardable_tensors):
            of_key = shards[i % 3].setdefault(tensor.checkpoint_key, {})
            of_key[tensor.slice_spec] = tensor.tensor
        return [shard for shard in shards if shard]


def small_network() -> NetworkModel:
    """60 neurons with a third of the synapses of `tiny_network`, in the order of training.

    Weights are those that the published loader makes of the training data: pA divided
    by the target's voltage scale, in double precision, and then float32.
    """
    network = tiny_network(seed=21, lgn_cells=False)

    def table(given: SynapseTable, step: int) -> SynapseTable:
        order = np.lexsort((given.pre, given.post.astype(np.int64) * 4 + given.receptor))[::step]
        pre, post = given.pre[order], given.post[order]
        scale = network.voltage_scale_mv.astype(np.float64)[post]
        weight_pa = (given.weight[order] * scale).astype(np.float32)
        weight = (weight_pa.astype(np.float64) / scale).astype(np.float32)
        return SynapseTable(pre, post, given.receptor[order], given.delay_ms[order], weight)

    return replace(network, provenance=None).with_tables(
        recurrent=table(network.tables["recurrent"], 3),
        lgn=table(network.tables["lgn"], 3),
    )


class Writer:
    """Writes checkpoints into a folder, with what is true of them (`Case`).

    Parameters
    ----------
    root : Path
        An empty folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.network = small_network()
        self.data_dir = write_training_folder(root / "data", self.network)
        self.start: dict[str, tuple[Path, Path]] = {}
        self.n_written = 0

    def program(self, options: Options) -> Program:
        return Program(self.network, options)

    def save(
        self,
        program: Program,
        truth: Truth,
        *,
        tracked: Mapping[str, Any] | None = None,
        storages: Sequence[Storage] = ("whole", "index"),
    ) -> None:
        """Write a checkpoint of ``tracked`` in some storages, "whole" before "index"."""
        objects = dict(program.tracked() if tracked is None else tracked)
        whole: Path | None = None
        for storage in storages:
            folder = self.root / truth.name / storage
            folder.mkdir(parents=True)
            prefix = self._save(objects, folder / "ck", storage, whole)
            whole = prefix if storage == "whole" else whole
            self.note(program, truth, prefix, storage)

    def _save(
        self, objects: Mapping[str, Any], prefix: Path, storage: Storage, whole: Path | None
    ) -> Path:
        if storage == "index":
            assert whole is not None
            shutil.copy(f"{whole}.index", f"{prefix}-1.index")
            return prefix.with_name("ck-1")
        callback = {
            "shards": _ThreeShards(),
            "slices": tf.train.experimental.MaxShardSizePolicy(_SLICE_BYTES),
        }.get(storage)
        options = tf.train.CheckpointOptions(experimental_sharding_callback=callback)
        saved = tf.train.Checkpoint(**objects).save(str(prefix), options=options)
        return Path(saved)

    def note(self, program: Program, truth: Truth, checkpoint: Path, storage: Storage) -> None:
        """Write the network files beside a checkpoint, and note the case."""
        start, initial = self._start_of(program)
        folder = checkpoint.parent
        now: Path | None = folder.parent / "now.h5"
        if program.options.dtype != "float32":
            now = None  # the parameters are rounded too, which no network file of ours is
        elif not any(table.n_changed for table in truth.tables.values()):
            now = start
        elif not now.exists():
            write_network(self._network(program), now)
        extra = {"averages": averages} if (averages := program.averages()) else {}
        Case(truth, storage, checkpoint, now, start, initial, self.data_dir, extra).write(self.root)
        self.n_written += 1

    def _start_of(self, program: Program) -> tuple[Path, Path]:
        """The network file and the checkpoint of the same program before training."""
        options = program.options
        label = options.label + "-background" * options.background + "-readout" * options.readout
        if label not in self.start:
            fresh = self.program(replace(options, frozen=()))
            folder = self.root / "start" / label
            folder.mkdir(parents=True)
            write_network(self._network(fresh), folder / "start.h5")
            saved = tf.train.Checkpoint(model=fresh.model).save(str(folder / "ck"))
            self.start[label] = (folder / "start.h5", Path(saved))
        return self.start[label]

    def _network(self, program: Program) -> NetworkModel:
        """The network with a program's weights as they are now."""
        network = self.network
        values = {table: program.values(table).astype(np.float32) for table in program.variables}
        network = network.with_tables(
            recurrent=replace(network.tables["recurrent"], weight=values["recurrent"]),
            lgn=replace(network.tables["lgn"], weight=values["input"]),
        )
        if "background" in values:
            network = network.with_background(values["background"].reshape(-1, 4))
        if "readout" in values:
            bias = np.zeros(values["readout"].shape[1], np.float32)
            network = replace(network, readout_weight=values["readout"], readout_bias=bias)
        return network

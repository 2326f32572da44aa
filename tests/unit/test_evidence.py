"""What optimizers of every family prove of a table, both ways, with the data and without."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.checkpoints import CELL, INPUT_LAYER, model_variables, save, tensorflow
from tests.networks import tiny_network
from v1sim.checkpoints.bundle import read_index, read_tensor
from v1sim.checkpoints.evidence import TableEvidence, checkpoint_evidence, slot_value
from v1sim.checkpoints.object_graph import graph_of_keys
from v1sim.checkpoints.optimizer_slots import SLOT_KINDS, slot_table
from v1sim.checkpoints.variables import find_variables
from v1sim.conversion.convert import convert, stamp
from v1sim.conversion.inspection import inspect_checkpoint
from v1sim.errors import CheckpointError

ROOT = Path(__file__).parents[2]
NETWORK = tiny_network(seed=3)
RECURRENT, INPUT = f"{CELL}/recurrent_weight_values", f"{INPUT_LAYER}/_weights"


def evidence_of(prefix: Path) -> dict[str, TableEvidence]:
    index = read_index(prefix)
    return dict(checkpoint_evidence(index, find_variables(index)).tables)


def keras_3(tmp_path: Path, optimizer: Any, *, frozen: str = "", silent: str = "") -> Path:
    """Six steps of a Keras 3 optimizer on a network's weights, saved with its object graph."""
    tf = tensorflow()
    keras = pytest.importorskip("keras")
    values = model_variables(NETWORK)

    class Cell(keras.layers.Layer):
        def __init__(self) -> None:
            super().__init__(name="cell")
            for name, value in values.items():
                short = name.rsplit("/", 1)[-1]
                if name in (RECURRENT, INPUT):
                    weight = self.add_weight(
                        name=f"{short.strip('_')}", shape=value.shape,
                        trainable=name != frozen,
                        initializer=lambda shape, dtype, value=value: tf.constant(value),
                    )  # fmt: skip
                    setattr(self, short, weight)
                else:
                    setattr(self, short, tf.Variable(value, trainable=False))

    cell = Cell()
    for step in range(6):
        gradients = []
        for weight in cell.trainable_weights:
            of_input = weight.shape[0] == len(NETWORK.tables["lgn"])
            size = 0.0 if (INPUT if of_input else RECURRENT) == silent else 0.1
            noise = np.random.default_rng(step).standard_normal(weight.shape)
            gradients.append(tf.constant(size * noise, tf.float32))
        optimizer.apply(gradients, cell.trainable_weights)
    return Path(tf.train.Checkpoint(model=cell, optimizer=optimizer).write(str(tmp_path / "ck")))


FAMILIES = {
    "Adam": {},
    "AdamW": {},
    "Nadam": {},
    "Adamax": {},
    "Lamb": {},
    "Lion": {},
    "Muon": {},
    "RMSprop": {"momentum": 0.5, "centered": True},
    "Adadelta": {},
    "Adagrad": {"initial_accumulator_value": 0.123456789},
    "Ftrl": {},
    "Adafactor": {},
    "SGD": {"momentum": 0.9},
}


def make(family: str, **options: Any) -> Any:
    tensorflow()
    keras = pytest.importorskip("keras")
    return getattr(keras.optimizers, family)(learning_rate=0.01, **FAMILIES[family], **options)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_gradient_is_seen_and_its_absence_too(tmp_path, family):
    found = evidence_of(keras_3(tmp_path, make(family), silent=RECURRENT))
    assert found["recurrent"].state == "no gradient", found["recurrent"].why
    assert found["input"].state == "gradient", found["input"].why
    assert found["input"].family == family
    assert found["input"].iterations == 6
    assert found["input"].learning_rate == pytest.approx(0.01)


@pytest.mark.parametrize("family", ["Adam", "SGD", "Adagrad"])
def test_what_no_optimizer_holds_is_frozen(tmp_path, family):
    found = evidence_of(keras_3(tmp_path, make(family), frozen=RECURRENT))
    assert (found["recurrent"].state, found["input"].state) == ("frozen", "gradient")


def test_averages_and_accumulators_prove_nothing(tmp_path):
    optimizer = make("Adam", use_ema=True, gradient_accumulation_steps=2)
    found = evidence_of(keras_3(tmp_path, optimizer, silent=RECURRENT))
    assert found["recurrent"].state == "no gradient"
    kinds = {slot.kind: slot.says for slot in found["recurrent"].slots}
    assert kinds["average"] == kinds["gradient_accumulator"] == "nothing"
    assert found["recurrent"].average is not None
    assert found["recurrent"].counts == "batches"


def test_averages_are_converted_where_they_are_asked_for(tmp_path):
    optimizer = make("Adam", use_ema=True)
    optimizer.learning_rate = 1e-5  # nothing constrains the signs here
    made = keras_3(tmp_path, optimizer)
    index = read_index(made)
    average = checkpoint_evidence(index, find_variables(index)).tables["recurrent"].average
    out = tmp_path / "net.h5"
    done = convert(made, out, command="", weights="average")
    recorded = done.network.provenance.checkpoint["tables"]["recurrent"]
    assert recorded["origin"] == "average"
    assert 0 < recorded["average"]["relative_difference"] < 1e-3
    assert np.array_equal(done.network.tables["recurrent"].weight, read_tensor(index, average.key))
    assert stamp(out, made, command="").comparison.average
    raw = convert(made, tmp_path / "raw.h5", command="")
    assert not np.array_equal(
        raw.network.tables["recurrent"].weight, done.network.tables["recurrent"].weight
    )
    assert any("--weights average takes it" in note for note in raw.notes)


def test_no_averages_to_take(tmp_path):
    made = keras_3(tmp_path, make("Adam"))
    with pytest.raises(CheckpointError, match="keeps no average of the recurrent weights"):
        convert(made, tmp_path / "net.h5", command="", weights="average")


def test_the_counter_of_an_optimizer_of_the_input_alone_counts_batches(tmp_path):
    made = keras_3(tmp_path, make("SGD", gradient_accumulation_steps=2), frozen=RECURRENT)
    out = tmp_path / "net.h5"
    with pytest.raises(CheckpointError, match="the recurrent weights were not trained"):
        convert(made, out, command="")
    optimizer = inspect_checkpoint(made).evidence
    assert optimizer is not None
    assert (optimizer.iterations, optimizer.counts) == (6, "batches")


def test_no_update_yet(tmp_path):
    found = evidence_of(keras_3(tmp_path, make("Adam", gradient_accumulation_steps=100)))
    assert {found[t].state for t in ("recurrent", "input")} == {"no step"}
    assert "6 batches" in found["recurrent"].why


def test_a_learning_rate_of_zero_trains_nothing(tmp_path):
    optimizer = make("Adam")
    optimizer.learning_rate = 0.0
    found = evidence_of(keras_3(tmp_path, optimizer))
    assert found["recurrent"].state == "nothing"
    assert "learning rate of optimizer is 0" in found["recurrent"].why


def test_gradients_that_may_have_changed_nothing_make_no_network_mixed(tmp_path):
    optimizer = make("Adam")
    optimizer.learning_rate = 0.0
    made = keras_3(tmp_path, optimizer, silent=RECURRENT)
    assert inspect_checkpoint(made).kind == "undetermined"
    assert inspect_checkpoint(made).problems == (
        "its recurrent weights were not trained: convert needs --allow-untrained",
    )
    out = tmp_path / "net.h5"
    with pytest.raises(CheckpointError, match=r"the recurrent weights were not trained: .* all 0"):
        convert(made, out, command="")
    done = convert(made, out, command="", allow_untrained=True)
    assert done.kind == "undetermined"
    noted = done.network.provenance
    assert noted is not None
    assert noted.arrays["recurrent.weight"].origin == "initial value"
    assert noted.arrays["lgn.weight"].origin == "undetermined"


# --- the index alone ---------------------------------------------------------------------------


def numbered(
    tmp_path: Path, *blocks: dict[str, float], iterations: int = 6, rate: float = 0.01
) -> Path:
    """An index whose optimizer has numbered slots: by block, the size of each table's."""
    values = model_variables(NETWORK)
    rng = np.random.default_rng(1)
    names = (RECURRENT, INPUT)
    made = {f"optimizer/_trainable_variables/{i}": values.pop(name) for i, name in enumerate(names)}
    shapes = {
        name: made[f"optimizer/_trainable_variables/{i}"].shape for i, name in enumerate(names)
    }
    made |= {"optimizer/_iterations": np.int64(iterations)}
    made |= {"optimizer/_learning_rate": np.float32(rate)}
    number = 2
    for block in blocks:
        for name, size in block.items():
            noise = np.abs(rng.standard_normal(shapes[name.rstrip("'")])) + 0.5
            made[f"optimizer/_variables/{number}"] = (size * noise).astype(np.float32)
            number += 1
    prefix = save(tmp_path / "whole", values | made)
    shutil.copy(f"{prefix}.index", tmp_path / "alone.index")
    return tmp_path / "alone"


def test_pairs_of_slots_are_read_alike_by_all_families(tmp_path):
    pairs = {RECURRENT: 0.0, f"{RECURRENT}'": 0.0, INPUT: 0.1, f"{INPUT}'": 0.01}
    found = evidence_of(numbered(tmp_path, pairs))
    assert found["recurrent"].state == "no gradient"
    assert found["input"].state == "gradient"


def test_one_slot_each_could_be_an_average_and_proves_nothing(tmp_path):
    found = evidence_of(numbered(tmp_path, {RECURRENT: 0.1, INPUT: 0.1}))
    assert found["recurrent"].state == "nothing"
    assert "the data file beside it would tell" in found["recurrent"].why
    assert found["recurrent"].counts == "steps"  # or batches, if these accumulate gradients


def test_a_rate_of_zero_without_slots_may_be_a_wrappers(tmp_path):
    for rate, expected in ((0.0, None), (0.01, pytest.approx(0.01))):
        found = evidence_of(numbered(tmp_path, rate=rate))
        assert found["recurrent"].state == "nothing"
        assert found["recurrent"].learning_rate == expected
    pair = {RECURRENT: 0.1, f"{RECURRENT}'": 0.1}
    found = evidence_of(numbered(tmp_path, pair, rate=0.0))
    assert found["recurrent"].learning_rate == 0.0
    assert found["recurrent"].state == "nothing"


def test_no_step_is_told_by_the_counter(tmp_path):
    found = evidence_of(numbered(tmp_path, {RECURRENT: 0.0, INPUT: 0.0}, iterations=0))
    assert found["recurrent"].state == "no step"


# --- values ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.zeros(1001), "zero"),
        (np.full(1001, 0.1), "one value"),
        (np.full(1000, 0.1), "one value"),
        (np.full(3, 0.3125), "one value"),
        (np.r_[np.full(1000, 0.1), 0.2], "other"),
        (np.r_[np.zeros(1000), 1e-3], "other"),
    ],
)
def test_a_value_everywhere_is_told_from_the_checksum(tmp_path, dtype, values, expected):
    index = read_index(save(tmp_path / "ck", {"x": values.astype(dtype)}))
    entry = index.entries["x/.ATTRIBUTES/VARIABLE_VALUE"]
    assert slot_value(index, entry) == expected


def test_any_value_everywhere_is_told_from_the_data(tmp_path):
    values = np.full(1000, 0.123456789, np.float32)
    index = read_index(save(tmp_path / "ck", {"x": values}))
    entry = index.entries["x/.ATTRIBUTES/VARIABLE_VALUE"]
    assert slot_value(index, entry) == "other"
    assert slot_value(index, entry, exact=True) == "one value"


def test_the_graph_of_keys_has_the_slots_and_their_owners():
    end = "/.ATTRIBUTES/VARIABLE_VALUE"
    graph = graph_of_keys(
        [
            f"model/a/w{end}",
            f"model/a/w/.OPTIMIZER_SLOT/train/opt/m{end}",
            f"train/opt/iter{end}",
        ]
    )
    (owner,) = [n for n, node in enumerate(graph.nodes) if node.slots]
    assert graph.paths[owner] == "train/opt"
    (slot,) = graph.nodes[owner].slots
    assert graph.nodes[slot.variable].key == f"model/a/w{end}"
    assert slot.name == "m"


def test_the_page_has_the_table_of_slots():
    page = (ROOT / "docs/conversion.md").read_text()
    assert slot_table() in page
    assert len({kind.name for kind in SLOT_KINDS}) == len(SLOT_KINDS)

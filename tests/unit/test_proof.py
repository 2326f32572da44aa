"""Proving a network file against a checkpoint, and saying what differs where it is not the one."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.checkpoints import model_variables, optimizer_variables, save, save_trained, tensorflow
from tests.networks import damaged, tiny_network, with_parts
from v1sim import guard
from v1sim.checkpoints.bundle import CheckpointIndex, read_index
from v1sim.checkpoints.checksums import array_crc32c
from v1sim.checkpoints.proof import compare_with_checkpoint
from v1sim.conversion.convert import stamp
from v1sim.conversion.inspection import inspect_checkpoint
from v1sim.model import NetworkModel, SynapseTable
from v1sim.sources import open_network
from v1sim.sources.hdf5 import write_network

NETWORK = tiny_network(seed=4, zeros=0.2)
BARE = replace(NETWORK, provenance=None)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    tensorflow()
    return save_trained(tmp_path_factory.mktemp("whole") / "ckpt-9", NETWORK)


@pytest.fixture(scope="module")
def index(checkpoint) -> CheckpointIndex:
    """With the data beside it."""
    return read_index(checkpoint)


@pytest.fixture(scope="module")
def index_alone(checkpoint, tmp_path_factory) -> CheckpointIndex:
    folder = tmp_path_factory.mktemp("alone")
    shutil.copy(checkpoint.with_name("ckpt-9.index"), folder)
    return read_index(folder / "ckpt-9.index")


def shuffled(table: SynapseTable, seed: int) -> SynapseTable:
    order = np.random.default_rng(seed).permutation(len(table))
    return SynapseTable(*(column[order] for column in table.columns.values()))


def test_pass_equal(index, index_alone):
    for one in (index, index_alone):
        compared = compare_with_checkpoint(BARE, one)
        assert compared.equal
        assert compared.signs_at_start is True
        assert compared.claims["recurrent"].origin == "trained"
        assert "readout.neuron" in compared.uncovered
        assert "neurons.x_um" in compared.uncovered
        assert "recurrent.weight" not in compared.uncovered


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_any_edge_order_is_equal(index_alone, seed):
    network = with_parts(
        BARE,
        recurrent=shuffled(NETWORK.tables["recurrent"], seed),
        lgn=shuffled(NETWORK.tables["lgn"], seed + 1),
    )
    assert compare_with_checkpoint(network, index_alone).equal


def test_checkpoint_sorted_by_the_encoded_column(tmp_path):
    variables = model_variables(NETWORK)
    name = next(n for n in variables if n.endswith("recurrent_indices"))
    pairs = variables[name]
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    for end in ("recurrent_indices", "recurrent_weight_values", "recurrent_weight_positive"):
        own = next(n for n in variables if n.endswith(end))
        variables[own] = variables[own][order]
    prefix = save(tmp_path / "sorted", variables | optimizer_variables(variables))
    network = with_parts(BARE, recurrent=shuffled(NETWORK.tables["recurrent"], 3))
    assert compare_with_checkpoint(network, read_index(prefix)).equal


def test_types_may_be_numbered_otherwise(index_alone):
    """A file may have types that no neuron uses, in any order."""
    types, order = NETWORK.cell_types, np.array([4, 2, 0, 1, 3, 0])
    renumbered = replace(types.take(order), name=None, cell_class=None)
    rank = np.array([2, 3, 1, 4, 0], dtype=np.uint16)
    neurons = replace(NETWORK.neurons, cell_type=rank[NETWORK.neurons.cell_type])
    network = replace(BARE, neurons=neurons, cell_types=renumbered)
    assert compare_with_checkpoint(network, index_alone).equal


def changed(name: str) -> NetworkModel:
    """The network with one deliberate damage."""
    rec, lgn, types = NETWORK.tables["recurrent"], NETWORK.tables["lgn"], NETWORK.cell_types
    weight, rng = rec.weight.copy(), np.random.default_rng(1)
    if name == "one weight":
        weight[11] = np.nextafter(weight[11], np.float32(9))
        return damaged(NETWORK, "recurrent", weight=weight)
    if name == "shuffled weights":
        return damaged(NETWORK, "recurrent", weight=rng.permutation(weight))
    if name == "one delay":
        delay = rec.delay_ms.copy()
        delay[5] = 5 - delay[5]
        return damaged(NETWORK, "recurrent", delay_ms=delay)
    if name == "one source":
        pre = lgn.pre.copy()
        pre[0] = (pre[0] + 1) % NETWORK.lgn.size
        return damaged(NETWORK, "lgn", pre=pre)
    if name == "background":
        return with_parts(BARE, background_weight=NETWORK.background_weight / 10)
    if name == "no background":
        return with_parts(BARE, background_weight=None)
    if name == "after-spike currents":
        scaled = types.asc_amp_pa.copy()
        scaled[3] *= types.voltage_scale_mv[3]
        return replace(BARE, cell_types=types.with_columns(asc_amp_pa=scaled))
    if name == "capacitance":
        return replace(BARE, cell_types=types.with_columns(c_m_pf=types.c_m_pf * 1.0001))
    assert name == "one synapse less"
    rows = {name: column[1:] for name, column in rec.columns.items()}
    return damaged(NETWORK, "recurrent", **rows)


@pytest.mark.parametrize(
    ("name", "array", "status", "n_different"),
    [
        ("one weight", "recurrent.weight", "different", 1),
        ("shuffled weights", "recurrent.weight", "permuted", None),
        ("one delay", "recurrent.delay_ms", "different", 1),
        ("one source", "lgn.pre", "different", 1),
        ("background", "background.weight", "different", 60),
        ("no background", "background.weight", "different", None),
        ("after-spike currents", "cell_types.asc_amp_pa", "different", 12),
        ("capacitance", "cell_types.c_m_pf", "different", None),
        ("one synapse less", "recurrent.pre", "different", 1),
    ],
)
def test_damages_are_found(index, index_alone, name, array, status, n_different):
    network = changed(name)
    by_elements = compare_with_checkpoint(network, index)
    assert not by_elements.equal
    assert by_elements.status(array) == status
    found = next(c for c in by_elements.differing if array in c.arrays)
    if n_different is not None:
        assert found.n_different == n_different
    by_checksum = compare_with_checkpoint(network, index_alone)
    assert not by_checksum.equal
    assert by_checksum.status(array) == "different"


def test_zeros_written_without_their_sign_are_equal(tmp_path):
    """Training leaves -0 on inhibitory synapses; other programs write 0."""
    variables = model_variables(NETWORK)
    name = next(n for n in variables if n.endswith("recurrent_weight_values"))
    positive = variables[next(n for n in variables if n.endswith("recurrent_weight_positive"))]
    weight = variables[name]
    assert ((weight == 0) & ~positive).any()
    variables[name] = np.where((weight == 0) & ~positive, np.float32(-0.0), weight)
    index = read_index(save(tmp_path / "signed", variables))
    assert compare_with_checkpoint(BARE, index).equal


def test_other_checkpoint_of_the_same_training(index, tmp_path):
    later = damaged(
        NETWORK, "recurrent", weight=NETWORK.tables["recurrent"].weight * np.float32(1.1)
    )
    compared = compare_with_checkpoint(later, index)
    assert [c.arrays for c in compared.differing] == [("recurrent.weight",)]
    assert compared.difference is not None
    table = compared.difference.tables["recurrent"]
    assert table.weights.relative_change == pytest.approx(0.1 / 1.1, rel=1e-4)
    assert {pre for pre, _ in table.class_pairs} <= set(NETWORK.cell_types.name)


def test_reference_files_are_proven_by_their_index(training):
    index = read_index(training.indices["trained"])
    assert compare_with_checkpoint(training.open("trained"), index).equal
    for other in ("untrained", "few_steps", "fallback"):
        compared = compare_with_checkpoint(training.open(other), index)
        assert compared.status("recurrent.weight") == "different"
        assert compared.status("recurrent.pre") == "equal"


# --- stamp -------------------------------------------------------------------------------------


@pytest.fixture
def old_file(tmp_path) -> Path:
    """As an old converter writes it: no provenance, wide dtypes, shuffled edges, extra data."""
    path = tmp_path / "old.h5"
    network = with_parts(BARE, recurrent=shuffled(NETWORK.tables["recurrent"], 9), lgn_cells=None)
    write_network(network, path)
    with h5py.File(path, "r+") as file:
        for name in ("recurrent/delays", "recurrent/sources", "neurons/positions_x"):
            values = file[name][:]
            del file[name]
            file[name] = values.astype("f8" if values.dtype.kind == "f" else "i8")
        file["notes"] = "made by hand"
        file.attrs["author"] = "somebody"
    return path


def test_stamp_proves_by_the_index_alone(old_file, index_alone, checkpoint):
    done = stamp(old_file, index_alone.path, command="v1sim stamp")
    assert done.comparison.equal
    held = open_network(old_file)
    assert held.provenance.kind == "trained"
    assert held.provenance.arrays["recurrent.weight"].origin == "trained variable"
    assert "not in the checkpoint" in held.provenance.arrays["readout.neuron"].detail
    report = guard.examine(held, guard.Policy())
    assert (report.verdict, report.proof) == ("trained", "provenance")
    with h5py.File(old_file) as file:
        assert file["notes"][()] == b"made by hand"
        assert file.attrs["author"] == "somebody"
    stamp(old_file, checkpoint, command="again")  # replaces the provenance
    assert len(open_network(old_file).provenance.checkpoint["files"]) == 2


def test_stamp_leaves_another_networks_file_alone(old_file, checkpoint):
    with h5py.File(old_file, "r+") as file:
        file["recurrent/weights"][3] = 0.25
    before = old_file.read_bytes()
    done = stamp(old_file, checkpoint, command="")
    assert not done.comparison.equal
    assert done.comparison.status("recurrent.weight") == "different"
    assert done.comparison.difference.tables["recurrent"].weights.n_changed == 1
    assert old_file.read_bytes() == before


def test_stamp_of_untrained_weights_says_untrained(tmp_path):
    tensorflow()
    initial = replace(tiny_network(seed=4), provenance=None)
    start = save_trained(tmp_path / "start", initial, iterations=0, moments={})
    path, before = tmp_path / "net.h5", tmp_path / "before.h5"
    write_network(initial, path)
    write_network(initial, before)
    done = stamp(path, start, command="")
    assert done.kind == "undetermined"
    assert "has not taken a step" in done.claims["recurrent"].why
    report = guard.examine(open_network(path), guard.Policy())
    assert (report.verdict, report.proof, report.passed) == ("undetermined", None, False)
    stamp(path, start, command="", baseline=before)
    report = guard.examine(open_network(path), guard.Policy())
    assert (report.verdict, report.proof, report.passed) == ("untrained", "provenance", False)


# --- inspect -----------------------------------------------------------------------------------


def test_inspection_of_the_real_index(shared_data):
    found = inspect_checkpoint(shared_data / "third_party/ckpt_51978-153.index")
    assert found.kind == "trained"
    assert found.evidence.iterations == 36_828
    assert found.evidence.learning_rate == pytest.approx(0.001)
    for table in ("recurrent", "input"):
        claim = found.claims[table]
        assert (claim.origin, claim.rests_on) == ("trained", "optimizer")
        assert [slot.kind for slot in claim.evidence.slots] == ["momentum", "velocity"]
    assert found.claims["background"].origin == "frozen"
    assert "tau_syn is 5.5, 8.5, 2.8, 5.8 ms for every neuron" in found.facts
    assert "V_reset is E_L for every neuron" in found.facts
    assert "every input weight was >= 0 before training" in found.facts
    assert found.problems == ("the data file ckpt_51978-153.data-00000-of-00001 is missing",)


def test_inspection_needs_no_tensorflow(index_alone):
    import subprocess
    import sys

    code = (
        "import sys; from pathlib import Path; "
        "from v1sim.conversion.inspection import inspect_checkpoint; "
        f"found = inspect_checkpoint(Path({str(index_alone.path)!r})); "
        "assert found.evidence.iterations == 850; print('tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_inspection_of_something_else(tmp_path):
    found = inspect_checkpoint(save(tmp_path / "other", {"dense/kernel": np.ones((3, 4), "f4")}))
    assert found.variables is None
    assert "missing: " in found.problems[0]
    assert [entry.name for entry in found.entries] == ["dense/kernel", "save_counter"]


def with_checksum_of(values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """``values`` with up to 40 of them moved by one unit in the last place, so that their CRC32C
    is that of ``wanted``: a checksum is linear in the bits, so that 32 equations tell which."""
    bits = values.view(np.uint32)
    start = array_crc32c(values)
    places = np.flatnonzero(values)[:40]
    rows = []
    for i, place in enumerate(places):
        flipped = bits.copy()
        flipped[place] ^= 1
        rows.append((array_crc32c(flipped) ^ start, 1 << i))
    pivots: dict[int, tuple[int, int]] = {}
    for change, chosen in rows:
        while change and (high := change.bit_length()) in pivots:
            change, chosen = change ^ pivots[high][0], chosen ^ pivots[high][1]
        if change:
            pivots[change.bit_length()] = (change, chosen)
    left, chosen = start ^ array_crc32c(wanted), 0
    while left:
        change, with_it = pivots[left.bit_length()]
        left, chosen = left ^ change, chosen ^ with_it
    forged = bits.copy()
    forged[[place for i, place in enumerate(places) if chosen >> i & 1]] ^= 1
    return forged.view(np.float32)


def test_weights_made_to_have_the_checksum(index, index_alone):
    """Where the data are there, bytes decide; the index alone says what it cannot exclude."""
    table = NETWORK.tables["recurrent"]
    order = np.lexsort((table.pre, table.receptor, table.post))  # the checkpoint's
    trained = table.weight[order]
    made = with_checksum_of(trained * np.float32(0.5), trained)
    forged = np.empty_like(made)
    forged[order] = made
    assert (made != trained).mean() > 0.5
    network = damaged(NETWORK, "recurrent", weight=forged)
    compared = compare_with_checkpoint(network, index)
    assert compared.status("recurrent.weight") == "different"
    (weights,) = (c for c in compared.differing if c.arrays == ("recurrent.weight",))
    assert "which no accident makes" in weights.note
    assert weights.n_different == np.count_nonzero(made != trained)
    by_checksum = compare_with_checkpoint(network, index_alone)
    assert by_checksum.equal
    assert by_checksum.how == "by CRC32C (accident excluded, not forgery)"
    assert compare_with_checkpoint(BARE, index).how == "byte by byte"


def test_damaged_data_leave_the_checksums(checkpoint, tmp_path):
    for part in checkpoint.parent.glob("ckpt-9.*"):
        shutil.copy(part, tmp_path)
    (data,) = tmp_path.glob("*.data-*")
    held = read_index(tmp_path / "ckpt-9")
    piece = next(
        e
        for name, e in held.entries.items()
        if "recurrent_weight_values" in name and "OPT" not in name
    ).pieces[0]
    content = bytearray(data.read_bytes())
    content[piece.offset] ^= 1
    data.write_bytes(content)
    compared = compare_with_checkpoint(BARE, held)
    assert compared.equal
    assert not compared.by_bytes

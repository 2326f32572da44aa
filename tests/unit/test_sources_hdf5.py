"""Reading and writing network files: every form in use, and every way to be no network."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.networks import DRAFT, N_NEURONS, sealed, tiny_network, with_parts, write_tiny
from v1sim import guard
from v1sim.digests import array_sha256, file_sha256
from v1sim.errors import NetworkFileError, OutputError
from v1sim.model import NetworkModel, SynapseTable
from v1sim.paging import paged_array
from v1sim.sources import open_network
from v1sim.sources.hdf5 import add_provenance, write_network
from v1sim.sources.hdf5.names import array_of
from v1sim.sources.provenance import canonical_arrays, network_sha256, verify

SYNAPSE_DTYPES = {"pre": "i4", "post": "i4", "receptor": "u1", "delay_ms": "f4", "weight": "f4"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    target = tmp_path / "net.h5"
    write_tiny(target)
    return target


def problems(path: Path) -> dict[str, str]:
    """Check by dataset of everything that is wrong with a file."""
    with pytest.raises(NetworkFileError) as caught:
        open_network(path)
    assert caught.value.exit_code == 2
    assert caught.value.findings
    return {finding.where: finding.check for finding in caught.value.findings}


def put(path: Path, dataset: str, values: np.ndarray, **options: object) -> None:
    with h5py.File(path, "r+") as file:
        if dataset in file:
            del file[dataset]
        file.create_dataset(dataset, data=values, **options)


def get(path: Path, dataset: str) -> np.ndarray:
    with h5py.File(path) as file:
        return file[dataset][:]


def assert_same(a: NetworkModel, b: NetworkModel) -> None:
    left, right = canonical_arrays(a), canonical_arrays(b)
    assert list(left) == list(right)
    for name, values in left.items():
        np.testing.assert_array_equal(values, right[name], err_msg=name)


# --- what is read ----------------------------------------------------------------------------


def test_a_written_network_reads_back_the_same(tmp_path):
    written = write_tiny(tmp_path / "net.h5", zeros=0.2)
    network = open_network(tmp_path / "net.h5")
    assert_same(network, written)
    assert network.provenance == written.provenance
    assert network.source.sha256 == file_sha256(tmp_path / "net.h5")
    assert network.source.format == "hdf5"
    for table in (network.tables["recurrent"], network.tables["lgn"]):
        for name, dtype in SYNAPSE_DTYPES.items():
            assert getattr(table, name).dtype == dtype
            assert not getattr(table, name).flags.writeable


def test_the_reference_network_reads_as_h5py_does(training):
    path = training.files["trained"]
    network = open_network(path)
    with h5py.File(path) as file:
        for group, table in (
            ("recurrent", network.tables["recurrent"]),
            ("input", network.tables["lgn"]),
        ):
            np.testing.assert_array_equal(table.pre, file[f"{group}/sources"])
            np.testing.assert_array_equal(table.post, file[f"{group}/targets"])
            np.testing.assert_array_equal(table.receptor, file[f"{group}/receptor_types"])
            np.testing.assert_array_equal(table.weight, file[f"{group}/weights"])
        np.testing.assert_array_equal(
            network.tables["recurrent"].delay_ms, file["recurrent/delays"]
        )
        np.testing.assert_array_equal(network.background_weight, file["input/bkg_weights"])
        np.testing.assert_array_equal(np.concatenate(network.readout), file["readout/neuron_ids"])
        np.testing.assert_array_equal(
            network.cell_types.asc_amp_pa, file["neurons/glif3_params/asc_amps"]
        )
        np.testing.assert_array_equal(
            network.neurons.position_um[:, 1], file["neurons/positions_y"]
        )
        sizes = tuple(int(file.attrs[name]) for name in ("n_neurons", "n_input", "n_output"))
        stored = str(file["neurons/node_type_ids"].dtype)
    assert (network.tables["lgn"].delay_ms == 1).all()
    assert (network.n_neurons, network.lgn.size, len(network.readout)) == sizes
    assert network.source.stored_dtype["neurons.cell_type"] == stored


@pytest.mark.parametrize(
    ("dataset", "dtype"),
    [
        ("recurrent/sources", ">i8"),
        ("recurrent/targets", "f8"),
        ("recurrent/receptor_types", "<i8"),
        ("recurrent/receptor_types", "u1"),
        ("recurrent/delays", "i4"),
        ("recurrent/delays", "f2"),
        ("recurrent/weights", ">f4"),
        ("recurrent/weights", "f8"),
        ("neurons/node_type_ids", "u8"),
        ("neurons/glif3_params/C_m", "f4"),
        ("neurons/positions_x", ">f8"),
        ("readout/neuron_ids", "i8"),
        ("input/bkg_weights", "f8"),
    ],
)
@pytest.mark.parametrize("options", [{}, {"chunks": True, "compression": "lzf"}])
def test_any_width_and_byte_order_reads_the_same(path, dataset, dtype, options):
    before = open_network(path)
    put(path, dataset, get(path, dataset).astype(dtype), **options)
    after = open_network(path)
    assert np.dtype(after.source.stored_dtype[array_of(dataset)]) == np.dtype(dtype)
    if dtype == "f4" and dataset.endswith("C_m"):
        np.testing.assert_allclose(after.cell_types.c_m_pf, before.cell_types.c_m_pf, rtol=1e-7)
    else:
        assert_same(after, before)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("options", [{}, {"chunks": (100,), "compression": "gzip"}])
def test_huge_tables_lie_in_scratch_files(path, monkeypatch, options, dtype):
    monkeypatch.setattr("v1sim.sources.hdf5.datasets._BLOCK", 250)  # several blocks
    put(path, "recurrent/weights", get(path, "recurrent/weights").astype(dtype), **options)
    in_memory = open_network(path)
    made = []

    def noted(n: int, dtype: object) -> np.ndarray:
        made.append(n)
        return paged_array(n, dtype)

    monkeypatch.setattr("v1sim.sources.hdf5.columns.paged_array", noted)
    n = len(in_memory.tables["recurrent"])
    monkeypatch.setattr("v1sim.sources.hdf5.columns._PAGED_ABOVE", n)
    open_network(path)
    assert not made
    monkeypatch.setattr("v1sim.sources.hdf5.columns._PAGED_ABOVE", n - 1)
    paged = open_network(path)
    assert made == [n] * 5
    assert_same(paged, in_memory)
    paged.tables["recurrent"].forget()
    assert_same(paged, in_memory)
    assert not paged.tables["recurrent"].weight.flags.writeable


def test_no_room_for_scratch_files_is_one_clear_error(path, monkeypatch):
    def full(n: int, dtype: object) -> np.ndarray:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("v1sim.sources.hdf5.columns.paged_array", full)
    monkeypatch.setattr("v1sim.sources.hdf5.columns._PAGED_ABOVE", 10)
    with pytest.raises(NetworkFileError, match=r"scratch space.*No space left.*TMPDIR"):
        open_network(path)


def test_optional_parts_may_be_absent(path):
    with h5py.File(path, "r+") as file:
        for name in ("lgn", "readout", "input/bkg_weights", "provenance"):
            del file[name]
        for axis in "xyz":
            del file[f"neurons/positions_{axis}"]
        for name in ("name", "cell_class"):
            del file[f"neurons/glif3_params/{name}"]
        for name in list(file.attrs):
            del file.attrs[name]
    network = open_network(path)
    assert network.neurons.position_um is None
    assert network.background_weight is None
    assert network.readout == ()
    assert network.lgn.cells is None
    assert network.provenance is None
    assert network.cell_types.cell_class is None
    assert network.lgn.size == network.tables["lgn"].pre.max() + 1
    assert network.n_neurons == N_NEURONS


def test_unknown_datasets_are_left_alone(path):
    with h5py.File(path, "r+") as file:
        file["recurrent/notes"] = np.arange(3)
        file["elsewhere/table"] = [b"text"]
    assert_same(open_network(path), tiny_network())


def test_a_readout_without_its_number_of_groups_has_ten_where_they_divide(path):
    put(path, "readout/neuron_ids", np.arange(30, dtype=np.int32))
    with h5py.File(path, "r+") as file:
        del file.attrs["n_output"]
    network = open_network(path)
    assert [len(group) for group in network.readout] == [3] * 10
    findings = guard.examine(network, guard.Policy("any")).findings
    assert "structure.readout_groups" in {f.check for f in findings}


def test_wrong_values_that_can_be_held_are_read(path):
    weight = get(path, "recurrent/weights")
    weight[0], weight[1] = np.nan, np.inf
    put(path, "recurrent/weights", weight)
    put(path, "recurrent/sources", get(path, "recurrent/sources") + 10 * N_NEURONS)
    put(path, "recurrent/receptor_types", get(path, "recurrent/receptor_types") + 1)
    network = open_network(path)
    np.testing.assert_array_equal(network.tables["recurrent"].weight, weight)
    assert network.tables["recurrent"].receptor.max() == 4


# --- what is no network ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "dataset",
    [
        "neurons/node_type_ids",
        "neurons/positions_y",
        "neurons/glif3_params/C_m",
        "neurons/glif3_params/tau_syn",
        "recurrent/sources",
        "recurrent/delays",
        "input/weights",
        "lgn/x_deg",
        "lgn/model_id",
    ],
)
def test_a_missing_dataset_is_named(path, dataset):
    with h5py.File(path, "r+") as file:
        del file[dataset]
    assert problems(path) == {dataset: "structure.missing_dataset"}


def test_all_problems_are_named_at_once(path):
    with h5py.File(path, "r+") as file:
        del file["recurrent/weights"], file["neurons/glif3_params/k"]
        file["neurons/glif3_params/k"] = np.zeros((5, 3))
        file["input/targets"][...]
        del file["input/targets"]
        file["input/targets"] = np.zeros(3, dtype=np.int32)
    assert problems(path) == {
        "recurrent/weights": "structure.missing_dataset",
        "neurons/glif3_params/k": "structure.shape",
        "input": "structure.length",
    }


@pytest.mark.parametrize(
    ("dataset", "values", "check"),
    [
        ("recurrent/weights", np.zeros((4, 4), np.float32), "structure.shape"),
        ("recurrent/weights", np.float32(1.0), "structure.shape"),
        ("recurrent/weights", h5py.Empty("f4"), "structure.shape"),
        ("recurrent/weights", np.array([b"a", b"b"]), "structure.dtype"),
        ("recurrent/weights", np.zeros(4, "c8"), "structure.dtype"),
        ("recurrent/weights", np.zeros(4, bool), "structure.dtype"),
        ("recurrent/weights", np.zeros(4, [("w", "f4")]), "structure.dtype"),
        ("neurons/glif3_params/asc_amps", np.zeros(5), "structure.shape"),
        ("input/bkg_weights", np.zeros((N_NEURONS, 3), np.float32), "structure.shape"),
        ("neurons/glif3_params/name", np.arange(5), "structure.dtype"),
        ("lgn/x_deg", np.array([b"a"]), "structure.dtype"),
    ],
)
def test_a_dataset_of_another_kind_is_named(path, dataset, values, check):
    put(path, dataset, values)
    assert problems(path)[dataset] == check


def test_columns_of_unequal_length_are_named(path):
    put(path, "recurrent/weights", get(path, "recurrent/weights")[:-1])
    assert problems(path) == {"recurrent": "structure.length"}
    put(path, "input/bkg_weights", np.zeros((N_NEURONS - 1, 4), np.float32))
    assert "neurons" in problems(path)


@pytest.mark.parametrize(
    ("dataset", "change", "n_bad"),
    [
        ("recurrent/sources", lambda v: v + np.where(np.arange(len(v)) < 3, 0.5, 0.0), 3),
        ("recurrent/sources", lambda v: np.where(np.arange(len(v)) < 2, np.nan, v), 2),
        ("recurrent/sources", lambda v: np.where(v == v[0], 2**31, v.astype("i8")), None),
        (
            "recurrent/targets",
            lambda v: np.where(np.arange(len(v)) < 1, -(2**31) - 1, v.astype("i8")),
            1,
        ),
        ("recurrent/receptor_types", lambda v: np.where(np.arange(len(v)) < 4, 256, v), 4),
        ("recurrent/receptor_types", lambda v: np.where(np.arange(len(v)) < 1, -1, v), 1),
        ("recurrent/weights", lambda v: np.where(np.arange(len(v)) < 2, 1e39, v.astype("f8")), 2),
        ("recurrent/weights", lambda v: np.where(np.arange(len(v)) < 1, 1e-300, v.astype("f8")), 1),
        ("recurrent/weights", lambda v: np.full(len(v), 2**24 + 1), None),
        ("neurons/node_type_ids", lambda v: np.where(np.arange(len(v)) < 1, 65536, v), 1),
    ],
)
def test_values_that_would_change_are_counted(path, dataset, change, n_bad):
    values = get(path, dataset)
    put(path, dataset, change(values))
    with pytest.raises(NetworkFileError) as caught:
        open_network(path)
    (finding,) = caught.value.findings
    assert (finding.check, finding.where) == ("structure.dtype", dataset)
    assert finding.n_seen == len(values)
    assert finding.n_bad == n_bad or (n_bad is None and finding.n_bad >= 1)


@pytest.mark.parametrize(
    ("dataset", "value"),
    [
        ("recurrent/sources", 2**31 - 1),
        ("recurrent/sources", -(2**31)),
        ("recurrent/receptor_types", 255),
    ],
)
def test_the_largest_value_that_fits_is_read(path, dataset, value):
    values = get(path, dataset).astype("i8")
    values[0] = value
    put(path, dataset, values)
    network = open_network(path)
    column = (
        network.tables["recurrent"].pre
        if dataset.endswith("sources")
        else network.tables["recurrent"].receptor
    )
    assert column[0] == value


def test_types_outside_the_table_are_counted(path):
    values = get(path, "neurons/node_type_ids")
    values[:2] = 5
    put(path, "neurons/node_type_ids", values)
    assert problems(path) == {"neurons/node_type_ids": "structure.type_range"}
    values[:2] = 4
    put(path, "neurons/node_type_ids", values)
    open_network(path)


@pytest.mark.parametrize("name", ["n_neurons", "n_input", "n_output"])
@pytest.mark.parametrize("value", ["sixty", -1, 2.5, np.nan, [1, 2]])
def test_attributes_that_are_no_counts_are_named(path, name, value):
    with h5py.File(path, "r+") as file:
        file.attrs[name] = value
    assert problems(path) == {f"attribute {name}": "structure.attribute"}


def test_attributes_that_disagree_are_named(path):
    with h5py.File(path, "r+") as file:
        file.attrs["n_neurons"] = N_NEURONS + 1
    assert problems(path) == {"attribute n_neurons": "structure.attribute"}
    with h5py.File(path, "r+") as file:
        file.attrs["n_neurons"] = N_NEURONS
        file.attrs["n_output"] = 10**15
    assert problems(path) == {"attribute n_output": "structure.attribute"}


def test_an_empty_network_is_named(path):
    with h5py.File(path, "r+") as file:
        del file["neurons"], file["input/bkg_weights"]
        file["neurons/node_type_ids"] = np.zeros(0, np.int32)
        for name in ("C_m", "g", "E_L", "V_th", "V_reset", "t_ref"):
            file[f"neurons/glif3_params/{name}"] = np.zeros(0)
        for name, width in (("k", 2), ("asc_amps", 2), ("tau_syn", 4)):
            file[f"neurons/glif3_params/{name}"] = np.zeros((0, width))
        file.attrs["n_neurons"] = 0
    assert problems(path) == {"/": "structure.empty"}


def test_groups_and_datasets_exchanged_are_named(path):
    with h5py.File(path, "r+") as file:
        del file["recurrent/weights"], file["input"]
        file.create_group("recurrent/weights")
        file["input"] = np.arange(3)
    found = problems(path)
    assert found["recurrent/weights"] == "structure.dataset"
    assert found["input/sources"] == "structure.dataset"


def test_values_in_other_files_are_refused(path, tmp_path):
    other = tmp_path / "other.h5"
    shutil.copy(path, other)
    with h5py.File(path, "r+") as file:
        n = len(file["recurrent/weights"])
        for name in ("weights", "delays", "sources"):
            del file[f"recurrent/{name}"]
        file["recurrent/weights"] = h5py.ExternalLink("other.h5", "/recurrent/weights")
        layout = h5py.VirtualLayout(shape=(n,), dtype="f4")
        layout[:] = h5py.VirtualSource("other.h5", "recurrent/delays", shape=(n,))
        file.create_virtual_dataset("recurrent/delays", layout)
        file.create_dataset(
            "recurrent/sources", (n,), "i4", external=[(str(tmp_path / "raw"), 0, 4 * n)]
        )
    assert problems(path) == {
        "recurrent/weights": "structure.external",
        "recurrent/delays": "structure.storage",
        "recurrent/sources": "structure.storage",
    }


def test_links_that_lead_nowhere_are_named(path):
    with h5py.File(path, "r+") as file:
        del file["recurrent/weights"], file["recurrent/delays"]
        file["recurrent/weights"] = h5py.SoftLink("/nowhere")
        file["recurrent/delays"] = h5py.SoftLink("/recurrent/delays")
    found = problems(path)
    assert found["recurrent/weights"] == found["recurrent/delays"] == "structure.unreadable"


def test_a_soft_link_within_the_file_is_followed(path):
    with h5py.File(path, "r+") as file:
        file.move("recurrent/weights", "elsewhere")
        file["recurrent/weights"] = h5py.SoftLink("/elsewhere")
    assert_same(open_network(path), tiny_network())


@pytest.mark.parametrize("options", [{}, {"chunks": (1 << 20,)}, {"chunks": (1 << 28,)}])
@pytest.mark.parametrize("n_values", [10**9, 10**15])
def test_a_dataset_that_declares_more_than_it_holds_takes_no_memory(path, options, n_values):
    with h5py.File(path, "r+") as file:
        for name in ("weights", "sources", "targets", "delays", "receptor_types"):
            del file[f"recurrent/{name}"]
            file.create_dataset(f"recurrent/{name}", (n_values,), "f4", **options)
    found = problems(path)
    assert set(found.values()) == {"structure.storage"}
    assert len(found) == 5


def test_chunks_that_were_never_written_are_not_zeros(path):
    with h5py.File(path, "r+") as file:
        n = len(file["recurrent/weights"])
        del file["recurrent/weights"]
        dataset = file.create_dataset("recurrent/weights", (n,), "f4", chunks=(100,))
        dataset[:200] = 0.1
    assert problems(path) == {"recurrent/weights": "structure.storage"}


def test_more_than_the_machine_has_is_refused_before_it_is_read(path, monkeypatch):
    class Memory:
        available = 1000

    monkeypatch.setattr("psutil.virtual_memory", Memory)
    assert problems(path) == {"/": "structure.storage"}


def test_a_corrupt_chunk_is_named(path):
    with h5py.File(path) as file:
        offset = file["recurrent/weights"].id.get_chunk_info(0).byte_offset
    with path.open("r+b") as stream:
        stream.seek(offset + 4)
        stream.write(b"\xff" * 64)
    assert problems(path) == {"recurrent/weights": "structure.unreadable"}


def test_files_that_are_no_files(tmp_path):
    for name in ("missing.h5", "folder.h5", "pipe.h5"):
        target = tmp_path / name
        if name == "folder.h5":
            target.mkdir()
        elif name == "pipe.h5":
            os.mkfifo(target)
        with pytest.raises(NetworkFileError, match=name):
            open_network(target)


def test_a_file_without_permission(path):
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(NetworkFileError, match="Permission"):
        open_network(path)


def test_an_empty_file_and_a_text_file(tmp_path):
    for content, words in ((b"", "empty"), (b"sources,targets\n1,2\n", "no HDF5")):
        target = tmp_path / "net.h5"
        target.write_bytes(content)
        with pytest.raises(NetworkFileError, match=words):
            open_network(target)


def test_a_file_cut_off_anywhere_gives_one_clear_error(path):
    whole = path.read_bytes()
    for size in np.linspace(1, len(whole) - 1, 40).astype(int):
        path.write_bytes(whole[:size])
        with pytest.raises(NetworkFileError) as caught:
            open_network(path)
        assert str(path) in str(caught.value)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=st.binary(max_size=4096), signed=st.booleans())
def test_any_bytes_give_one_clear_error(tmp_path, content, signed):
    target = tmp_path / "bytes.h5"
    target.write_bytes((b"\x89HDF\r\n\x1a\n" if signed else b"") + content)
    with pytest.raises(NetworkFileError):
        open_network(target)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_damaged_bytes_are_read_or_refused(path, data):
    """Flipped bytes: a network, or a `NetworkFileError`, and nothing else."""
    whole = getattr(test_damaged_bytes_are_read_or_refused, "whole", None) or path.read_bytes()
    test_damaged_bytes_are_read_or_refused.whole = whole
    content = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        # The metadata lie in front of the values more often than not.
        at = data.draw(st.integers(0, len(whole) - 1) | st.integers(0, 8000))
        content[at] = data.draw(st.integers(0, 255))
    target = path.with_name("damaged.h5")
    target.write_bytes(content)
    try:
        network = open_network(target)
    except NetworkFileError:
        return
    guard.examine(network, guard.Policy("any"))


# --- writing ---------------------------------------------------------------------------------


def test_digests_are_those_of_the_values_in_the_file(tmp_path):
    path = tmp_path / "net.h5"
    network = replace(tiny_network(), provenance=None)
    write_network(network, path, provenance=DRAFT)
    stated = open_network(path).provenance.arrays
    for name, dtype in (("weights", "f4"), ("sources", "i4"), ("receptor_types", "u1")):
        stored = get(path, f"recurrent/{name}").astype(dtype)
        assert stated[array_of(f"recurrent/{name}")].sha256 == array_sha256(stored)
    assert set(stated) == set(canonical_arrays(network))
    assert not verify(open_network(path))


def test_the_layout_is_the_one_in_use(path):
    with h5py.File(path) as file:
        assert dict(file.attrs) == {"n_neurons": 60, "n_input": 24, "n_output": 2}
        assert file["recurrent/sources"].dtype == "i4"
        assert file["recurrent/receptor_types"].dtype == "i4"
        assert file["recurrent/weights"].dtype == "f4"
        assert file["recurrent/weights"].compression == "gzip"
        assert file["recurrent/weights"].shuffle
        assert "delays" not in file["input"]
        assert file["input/bkg_weights"].shape == (60, 4)


def test_input_delays_other_than_a_step_are_kept(tmp_path):
    network = tiny_network()
    lgn = replace(
        network.tables["lgn"], delay_ms=np.full(len(network.tables["lgn"]), 2.0, np.float32)
    )
    network = sealed(with_parts(network, lgn=lgn, provenance=None))
    write_network(network, tmp_path / "net.h5")
    assert (open_network(tmp_path / "net.h5").tables["lgn"].delay_ms == 2).all()


def test_a_network_without_synapses_can_be_written(tmp_path):
    nothing = SynapseTable(**{name: np.zeros(0, dtype) for name, dtype in SYNAPSE_DTYPES.items()})
    network = with_parts(tiny_network(), recurrent=nothing, lgn=nothing, provenance=None)
    write_network(network, tmp_path / "net.h5")
    assert network_sha256(open_network(tmp_path / "net.h5")) == network_sha256(network)


def test_a_readout_that_does_not_read_back_is_not_written(tmp_path):
    network = tiny_network()
    readout = (np.arange(3, dtype=np.int32), np.arange(3, 4, dtype=np.int32))
    unequal = replace(network, readout=(*readout, np.arange(5, 9, dtype=np.int32)))
    write_network(replace(network, readout=readout[:1]), tmp_path / "one.h5")
    write_network(replace(unequal, provenance=None), tmp_path / "net.h5")
    read = open_network(tmp_path / "net.h5")
    np.testing.assert_array_equal(np.concatenate(read.readout), np.concatenate(unequal.readout))


def test_a_failed_write_leaves_what_was_there(path, monkeypatch):
    before = path.read_bytes()
    damage = replace(tiny_network(2), provenance=None)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("v1sim.sources.hdf5.writer._write_provenance", fail)
    with pytest.raises(OutputError, match="No space left"):
        write_network(damage, path, provenance=DRAFT)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(OutputError):
        write_network(tiny_network(), tmp_path / "none" / "net.h5")


def test_a_full_disk_is_one_clear_error(tmp_path):
    """The size limit of the process makes the system refuse bytes as a full disk does."""
    code = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from tests.networks import tiny_network\n"
        "from v1sim.errors import OutputError\n"
        "from v1sim.sources.hdf5 import write_network\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))\n"
        "try:\n"
        "    write_network(tiny_network(), Path(sys.argv[1]))\n"
        "except OutputError as error:\n"
        "    sys.exit(0 if 'written' in str(error) else 3)\n"
        "sys.exit(4)\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "net.h5")],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "garbled",
    [
        np.array(b"{}", "S2"),
        np.array(b"\xff\xfe{", "S3"),
        np.array([b"{}"], "S2"),
        np.int32(3),
        np.array(b'{"kind": "trained"}', "S19"),
        "group",
        "variable",
    ],
)
def test_a_garbled_provenance_is_a_finding_and_no_crash(path, garbled):
    with h5py.File(path, "r+") as file:
        del file["provenance"]
        if isinstance(garbled, str):
            if garbled == "group":
                file.create_group("provenance")
            else:
                file.create_dataset("provenance", data="{}")
        elif garbled.dtype.kind == "S":
            file.create_dataset(
                "provenance",
                data=garbled.astype(h5py.string_dtype("utf-8", garbled.dtype.itemsize)),
            )
        else:
            file["provenance"] = garbled
    network = open_network(path)
    assert network.provenance is None
    assert network.provenance_problem
    report = guard.examine(network, guard.Policy("any"))
    assert [finding.check for finding in report.blocking] == ["provenance.readable"]
    assert network.provenance_problem in report.blocking[0].message


def test_texts_of_variable_length_are_refused(path):
    """HDF5 would reserve whatever length a damaged file declares."""
    with h5py.File(path, "r+") as file:
        del file["neurons/glif3_params/name"]
        file.create_dataset("neurons/glif3_params/name", data=["a"] * 5)
    assert problems(path) == {"neurons/glif3_params/name": "structure.dtype"}


def test_provenance_is_that_of_the_file_not_of_what_was_read_before(tmp_path):
    path = tmp_path / "net.h5"
    write_network(tiny_network(seed=1), path)
    stale = open_network(path)
    write_network(tiny_network(seed=2), path)
    held = add_provenance(path, DRAFT, stale)
    stated = held.provenance.arrays["recurrent.weight"].sha256
    assert stated == array_sha256(open_network(path).tables["recurrent"].weight)
    assert stated != array_sha256(stale.tables["recurrent"].weight)

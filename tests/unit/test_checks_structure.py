"""Checks of structure: each finds its damage, names its cause, and leaves its twin alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.networks import N_LGN, N_NEURONS, damaged, findings, tiny_network, tiny_types, with_parts
from v1sim.model import NetworkModel, NeuronTable, Severity, SourceFile

NET = tiny_network()
REC, LGN = NET.tables["recurrent"], NET.tables["lgn"]
COLUMNS = tuple(REC.columns)


def change(column: np.ndarray, index: int, value: object) -> np.ndarray:
    changed = column.copy()
    changed[index] = value
    return changed


def only(network: NetworkModel, check: str) -> str:
    """The message of the one finding of a check."""
    (finding,) = findings(network, check)
    assert 0 <= finding.n_bad <= finding.n_seen
    assert len(finding.examples) <= 5
    return finding.message


def test_empty_tables():
    nothing = {k: getattr(REC, k)[:0] for k in ("pre", "post", "receptor", "delay_ms", "weight")}
    network = damaged(NET, "recurrent", **nothing)
    assert only(network, "structure.no_synapses").startswith("there are no synapses")
    assert findings(NET, "structure.no_synapses") == []


@pytest.mark.parametrize(
    ("group", "column", "n"),
    [
        ("recurrent", "pre", N_NEURONS),
        ("recurrent", "post", N_NEURONS),
        ("lgn", "pre", N_LGN),
        ("lgn", "post", N_NEURONS),
    ],
)
@pytest.mark.parametrize("offset", [0, -N_NEURONS - 1000])
def test_an_index_out_of_range(group, column, n, offset):
    values = getattr(NET.tables[group], column)
    network = damaged(NET, group, **{column: change(values, 7, n + offset)})
    (finding,) = findings(network, "structure.index_range")
    assert (finding.n_bad, finding.n_seen) == (1, len(values))
    assert finding.severity is Severity.ERROR
    assert str(n + offset) in finding.examples[0]
    legal = damaged(NET, group, **{column: change(values, 7, n - 1)})
    assert findings(legal, "structure.index_range") == []


def test_delay_encoded_sources_are_named():
    encoded = REC.pre + N_NEURONS * (REC.delay_ms.astype(np.int32) - 1)
    assert "sources look delay-encoded" in only(
        damaged(NET, "recurrent", pre=encoded), "structure.index_range"
    )
    # Also where the delays went through another order.
    network = damaged(NET, "recurrent", pre=encoded, delay_ms=REC.delay_ms[::-1].copy())
    assert "sources look delay-encoded" in only(network, "structure.index_range")


def test_target_encodings_are_named():
    for factor, words in (
        (REC.post * 4, "still times 4"),
        (REC.post * 4 + REC.receptor, "target * 4 + receptor"),
        (np.where(REC.post > 30, -5 - REC.post, REC.post), "overflow"),
    ):
        network = damaged(NET, "recurrent", post=factor)
        assert words in only(network, "structure.index_range")


def test_types_out_of_range():
    types = change(NET.neurons.cell_type, 3, 5)
    network = replace(NET, neurons=NeuronTable(types), provenance=None)
    assert "1 of 60 neurons" in only(network, "structure.index_range")


def test_receptors_out_of_range():
    network = damaged(NET, "recurrent", receptor=change(REC.receptor, 0, 4))
    assert "1 of" in only(network, "structure.receptor_range")
    network = damaged(NET, "recurrent", receptor=REC.receptor + np.uint8(1))
    assert "counted from 1" in only(network, "structure.receptor_range")
    assert findings(NET, "structure.receptor_range") == []


def test_lgn_receptors_counted_from_one():
    network = damaged(NET, "lgn", receptor=LGN.receptor + np.uint8(1))
    assert "counted from 1" in only(network, "structure.presynaptic_receptor")


def test_a_cell_with_both_kinds_of_receptor():
    network = damaged(NET, "recurrent", receptor=change(REC.receptor, 0, REC.receptor[0] ^ 1))
    (finding,) = findings(network, "structure.presynaptic_receptor")
    assert finding.n_bad == 1
    assert finding.examples == (f"neuron {REC.pre[0]}",)
    assert findings(NET, "structure.presynaptic_receptor") == []


def test_swapped_source_and_target_are_named():
    network = damaged(NET, "recurrent", pre=REC.post, post=REC.pre)
    assert "look swapped" in only(network, "structure.presynaptic_receptor")
    shuffled = damaged(NET, "recurrent", pre=np.random.default_rng(0).permutation(REC.pre))
    assert "look swapped" not in only(shuffled, "structure.presynaptic_receptor")


def test_a_cell_that_receives_as_the_other_kind():
    network = damaged(NET, "recurrent", receptor=change(REC.receptor, 0, REC.receptor[0] ^ 2))
    (finding,) = findings(network, "structure.postsynaptic_receptor")
    assert finding.n_bad == 1
    exchanged = damaged(NET, "recurrent", receptor=REC.receptor ^ np.uint8(2))
    assert findings(exchanged, "structure.postsynaptic_receptor") != []
    assert findings(NET, "structure.postsynaptic_receptor") == []


def test_types_of_another_order_of_neurons():
    types = np.roll(NET.neurons.cell_type, 9)
    network = replace(
        NET,
        neurons=NeuronTable(types),
        cell_types=tiny_types(cell_class=None),
        provenance=None,
    )
    assert "cell types hold excitatory and inhibitory" in only(network, "structure.type_kind")
    assert findings(NET, "structure.type_kind") == []


def test_class_names_of_the_other_kind():
    names = ("e23", "e4", "e4", "i4Sst", "e5IT")
    network = replace(NET, cell_types=tiny_types(cell_class=names), provenance=None)
    (finding,) = findings(network, "structure.type_kind")
    assert finding.examples == ("type 1: e4",)


def test_duplicates():
    n = len(REC)
    again = {k: np.append(getattr(REC, k), getattr(REC, k)[5]) for k in REC.columns}
    (finding,) = findings(damaged(NET, "recurrent", **again), "structure.duplicates")
    assert (finding.n_bad, finding.n_seen) == (1, n + 1)
    assert finding.examples[0].startswith(f"{REC.pre[5]} -> {REC.post[5]} (")
    # Another delay or receptor makes another synapse.
    again["delay_ms"] = change(again["delay_ms"], n, 5.0)
    assert findings(damaged(NET, "recurrent", **again), "structure.duplicates") == []


def test_a_file_appended_to_itself():
    twice = {k: np.tile(getattr(REC, k), 2) for k in REC.columns}
    (finding,) = findings(damaged(NET, "recurrent", **twice), "structure.duplicates")
    assert finding.n_bad == len(REC)
    assert len(finding.examples) == 5


@pytest.mark.parametrize("dtype", ["float16", ">f2", "int32", "uint8"])
def test_stored_types_that_lose_weights(dtype):
    source = SourceFile("x.h5", "", "hdf5", stored_dtype={"recurrent.weight": dtype})
    assert "cannot hold" in only(replace(NET, source=source), "structure.stored_dtype")
    for fine in ("float32", ">f4", "float64"):
        source = SourceFile("x.h5", "", "hdf5", stored_dtype={"recurrent.weight": fine})
        assert findings(replace(NET, source=source), "structure.stored_dtype") == []


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        (([1, 2], [3, N_NEURONS]), "outside 0..59"),
        (([1, 2], [3, -1]), "outside 0..59"),
        (([1, 2], [3, 1]), "more than once"),
        (([1, 2], [3]), "do not divide"),
    ],
)
def test_readouts_that_cannot_be(groups, words):
    readout = tuple(np.array(group, dtype=np.int32) for group in groups)
    network = replace(NET, readout=readout, provenance=None)
    assert words in only(network, "structure.readout")
    assert findings(NET, "structure.readout") == []
    assert findings(replace(NET, readout=(), provenance=None), "structure.readout") == []


def test_sizes_that_the_file_does_not_give():
    source = SourceFile("x.h5", "", "hdf5", assumed=("lgn.size", "readout.size"))
    network = with_parts(NET, source=source, lgn_cells=None, provenance=None)
    assert "24" in only(network, "structure.input_size")
    assert "2 groups of 4" in only(network, "structure.readout_groups")
    stated = SourceFile("x.h5", "", "hdf5")
    for check in ("structure.input_size", "structure.readout_groups"):
        assert findings(replace(network, source=stated), check) == []


def test_a_table_of_other_lgn_cells():
    cells = NET.lgn.cells.take(np.arange(N_LGN - 1))
    network = with_parts(NET, lgn_cells=cells, provenance=None)
    assert "23" in only(network, "structure.lgn_cells")
    assert findings(NET, "structure.lgn_cells") == []


def test_self_connections_are_information():
    network = damaged(NET, "recurrent", post=change(REC.post, 0, REC.pre[0]))
    (finding,) = findings(network, "structure.self_connections")
    assert finding.severity is Severity.INFO
    assert findings(NET, "structure.self_connections") == []


@pytest.mark.parametrize("ordered", [True, False])
def test_duplicates_across_blocks(monkeypatch, ordered):
    """Sorted or not, and where the two lie in different blocks."""
    monkeypatch.setattr("v1sim.checks.structure._BLOCK", 7)
    rows = {k: np.append(getattr(REC, k), getattr(REC, k)[[3, 200]]) for k in COLUMNS}
    order = np.lexsort((rows["pre"], rows["delay_ms"], rows["receptor"], rows["post"]))
    if not ordered:
        order = np.random.default_rng(0).permutation(len(order))
    rows = {k: values[order] for k, values in rows.items()}
    (finding,) = findings(damaged(NET, "recurrent", **rows), "structure.duplicates")
    assert finding.n_bad == 2
    assert len(finding.examples) == 2
    n_repeated = len(order) - 2
    rows["weight"] = np.where(order >= n_repeated, rows["weight"] * np.float32(2), rows["weight"])
    other = damaged(NET, "recurrent", **rows)
    assert findings(other, "structure.duplicates") == []
    (finding,) = findings(other, "structure.parallel_synapses")
    assert finding.n_bad == 2
    rows = {k: getattr(REC, k)[np.argsort(REC.post, kind="stable")] for k in COLUMNS}
    assert findings(damaged(NET, "recurrent", **rows), "structure.duplicates") == []

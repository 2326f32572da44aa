"""Receptor schemes: kinds by receptor and cell type, and checks where kinds are not known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.networks import damaged, findings, tiny_network, with_parts
from v1sim import guard
from v1sim.cell_classes import cell_classes
from v1sim.checks.registry import LEFT_OUT, Context
from v1sim.model import NetworkModel, Severity
from v1sim.receptors import BILLEH_RECEPTORS, Kind, ReceptorKinds

EXC, INH, U = Kind.EXCITATORY, Kind.INHIBITORY, Kind.UNKNOWN
NET = tiny_network()


def change(column: np.ndarray, index: int, value: object) -> np.ndarray:
    changed = column.copy()
    changed[index] = value
    return changed


def with_receptors(receptors: ReceptorKinds, network: NetworkModel = NET) -> NetworkModel:
    types = replace(network.cell_types, receptor_kinds=receptors)
    return replace(network, cell_types=types, provenance=None)


def by_type(presynaptic: np.ndarray) -> ReceptorKinds:
    """Four receptors whose presynaptic kinds differ from type to type."""
    unknown = np.full_like(presynaptic, U)
    return ReceptorKinds(tuple("abcd"), presynaptic, unknown)


def test_the_billeh_receptors_name_both_cells():
    receptor = np.arange(4)
    assert BILLEH_RECEPTORS.presynaptic_kind(receptor).tolist() == [EXC, INH, EXC, INH]
    assert BILLEH_RECEPTORS.postsynaptic_kind(receptor).tolist() == [EXC, EXC, INH, INH]
    for i, name in enumerate(("exc_to_exc", "inh_to_exc", "exc_to_inh", "inh_to_inh")):
        assert BILLEH_RECEPTORS.index(name) == i
        pre, post = BILLEH_RECEPTORS.common_kinds(i)
        assert BILLEH_RECEPTORS.between(pre, post) == i
    kinds = np.array([EXC, INH])
    expected = [[0, 2], [1, 3]]
    assert BILLEH_RECEPTORS.between(kinds[:, None], kinds[None, :]).tolist() == expected


def test_what_is_not_there_is_refused():
    with pytest.raises(KeyError):
        BILLEH_RECEPTORS.index("receptor_1")
    with pytest.raises(ValueError, match="no receptor"):
        BILLEH_RECEPTORS.between(U, EXC)
    with pytest.raises(ValueError, match="each with its own name"):
        ReceptorKinds(("a", "a"), np.zeros((1, 2), np.uint8), np.zeros((1, 2), np.uint8))
    with pytest.raises(ValueError, match="shapes"):
        ReceptorKinds(("a",), np.zeros((1, 2), np.uint8), np.zeros((1, 2), np.uint8))
    with pytest.raises(ValueError, match="depend on the cell type"):
        by_type(np.zeros((5, 4), np.uint8)).presynaptic_kind(np.arange(4))


@given(st.integers(1, 6), st.integers(1, 256), st.integers(0, 2**32 - 1))
def test_kinds_by_type_are_those_of_the_table(n_types, n_receptors, seed):
    rng = np.random.default_rng(seed)
    kinds = rng.integers(0, 3, (n_types, n_receptors)).astype(np.uint8)
    names = tuple(map(str, range(n_receptors)))
    receptors = ReceptorKinds(names, kinds, kinds[::-1].copy())
    receptor = rng.integers(0, n_receptors, 50).astype(np.uint8)
    cell_type = rng.integers(0, n_types, 50).astype(np.uint16)
    np.testing.assert_array_equal(
        receptors.presynaptic_kind(receptor, cell_type), kinds[cell_type, receptor]
    )
    np.testing.assert_array_equal(
        receptors.postsynaptic_kind(receptor, cell_type), kinds[::-1][cell_type, receptor]
    )
    for i in range(n_receptors):
        one = set(kinds[:, i].tolist())
        assert receptors.common_kinds(i)[0] == (one.pop() if len(one) == 1 else U)


def test_kinds_that_are_not_known_are_left_out_and_said():
    flipped = damaged(NET, "recurrent", weight=-NET.tables["recurrent"].weight)
    assert findings(flipped, "values.weight_sign")
    network = with_receptors(ReceptorKinds.unknown(4), flipped)
    report = guard.examine(network, guard.Policy(require="any"))
    assert not [f for f in report.findings if f.severity is Severity.ERROR]
    said = {f.where for f in report.findings if f.check == LEFT_OUT}
    assert said == {
        f"{check}, {group}"
        for check in ("values.weight_sign", "structure.presynaptic_receptor", "units.psp")
        for group in ("recurrent", "lgn")
    }
    assert "values.weight_sign" in report.checks_run
    context = Context(network, 1.0)
    assert not context.sends.any()
    assert not context.receives.any()
    assert context.cells("recurrent").sent[:, U].sum() == len(NET.tables["recurrent"])
    assert cell_classes(replace(network, cell_types=replace(network.cell_types, cell_class=None)))


def test_nothing_is_said_where_all_kinds_are_known():
    report = guard.examine(NET, guard.Policy(require="any"))
    assert not [f for f in report.findings if f.check == LEFT_OUT]


def test_a_sign_is_judged_by_the_kind_that_the_receptor_has_on_its_target():
    # The receptors of types 1 and 3 are numbered the other way round, as ports of SONATA models.
    presynaptic = np.tile(np.array([EXC, INH, EXC, INH], np.uint8), (5, 1))
    presynaptic[[1, 3]] = presynaptic[[1, 3], ::-1]
    turned = np.isin(NET.neurons.cell_type, (1, 3))
    tables = {}
    for group in ("recurrent", "lgn"):
        table = NET.tables[group]
        receptor = np.where(turned[table.post], 3 - table.receptor, table.receptor)
        tables[group] = replace(table, receptor=receptor.astype(np.uint8))
    network = with_parts(with_receptors(by_type(presynaptic)), **tables)
    assert findings(network, "values.weight_sign") == []
    assert findings(network, "structure.presynaptic_receptor") == []
    table = network.tables["recurrent"]
    row = int(np.flatnonzero(turned[table.post] & (table.weight > 0))[0])
    wrong = damaged(network, "recurrent", weight=change(table.weight, row, -table.weight[row]))
    (finding,) = findings(wrong, "values.weight_sign")
    assert finding.n_bad == 1
    assert "excitatory weights must be >= 0" in finding.message
    assert findings(with_receptors(BILLEH_RECEPTORS, network), "values.weight_sign")


@pytest.mark.parametrize("n_receptors", [1, 3, 10, 200])
def test_any_number_of_receptors_is_checked(n_receptors):
    rng = np.random.default_rng(1)
    tau = rng.uniform(2.0, 9.0, (5, n_receptors))
    tables = {
        group: replace(
            NET.tables[group],
            receptor=rng.integers(0, n_receptors, len(NET.tables[group])).astype(np.uint8),
        )
        for group in ("recurrent", "lgn")
    }
    columns = {**NET.cell_types.columns, "tau_syn_ms": tau}
    kinds = ReceptorKinds.unknown(n_receptors)
    types = replace(NET.cell_types, columns=columns, receptor_kinds=kinds)
    network = with_parts(NET, cell_types=types, provenance=None, background_weight=None, **tables)
    report = guard.examine(network, guard.Policy(require="any"))
    assert not [f for f in report.findings if f.severity is Severity.ERROR]
    counts = np.bincount(tables["recurrent"].receptor, minlength=n_receptors)
    shown = report.groups["recurrent"]["receptors"]
    assert {name: part["n"] for name, part in shown.items()} == {
        f"receptor_{i}": n for i, n in enumerate(counts.tolist()) if n
    }
    beyond = change(tables["recurrent"].receptor, 0, n_receptors)
    (finding,) = findings(
        damaged(network, "recurrent", receptor=beyond), "structure.receptor_range"
    )
    assert f"outside 0..{n_receptors - 1}" in finding.message
    doubled = {
        f: np.append(
            getattr(network.tables["recurrent"], f), getattr(network.tables["recurrent"], f)[:3]
        )
        for f in network.tables["recurrent"].columns
    }
    (finding,) = findings(damaged(network, "recurrent", **doubled), "structure.duplicates")
    assert finding.n_bad == 3

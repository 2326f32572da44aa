"""Checks of what belongs together: shuffles, orders, outliers, blanks, and networks without any."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.networks import damaged, findings, tiny_network
from tests.unit.test_sources_provenance import permuted
from v1sim import guard
from v1sim.checks.patterns import class_pair_separation, delay_separation
from v1sim.checks.profile import SIZES, pair_codes, separation, weight_profile
from v1sim.checks.registry import Context
from v1sim.documents.check import CheckDocument
from v1sim.model import NetworkModel, Severity
from v1sim.sources.column import build_column

PATTERNS = (
    "patterns.class_pairs",
    "patterns.input_types",
    "patterns.delays",
    "patterns.outlier",
    "patterns.blank",
)


@pytest.fixture(scope="module")
def trained(training) -> NetworkModel:
    return training.open()


@pytest.fixture(scope="module")
def column() -> NetworkModel:
    return build_column(500, seed=8)


def found(network: NetworkModel) -> set[str]:
    report = guard.examine(network, guard.Policy("any"))
    return {f.check for f in report.findings if f.check in PATTERNS}


def test_good_networks_have_none(trained, column):
    for network in (trained, column, tiny_network()):
        assert found(network) == set()


def test_a_profile_counts_every_weight(trained):
    table, types = trained.tables["recurrent"], trained.neurons.cell_type.astype(int)
    codes = pair_codes(table, trained, external=False)
    profile = weight_profile(table, trained, codes, external=False)
    n = len(trained.cell_types)
    pair = types[table.pre] * n + types[table.post]
    np.testing.assert_array_equal(profile.n.ravel(), np.bincount(pair, minlength=n * n))
    zeros = np.bincount(pair[table.weight == 0], minlength=n * n)
    np.testing.assert_array_equal(profile.n_zero.ravel(), zeros)
    total = (profile.counts.sum(axis=(0, 1)) * SIZES).sum()
    assert total == pytest.approx(np.abs(table.weight).sum(), rel=0.01)
    present = profile.n > 0
    some = np.zeros(n * n, dtype=int)
    some[pair] = table.receptor
    np.testing.assert_array_equal(profile.receptor[present], some.reshape(n, n)[present])


def test_hundreds_of_types_are_merged(trained):
    """Memory does not grow with the square of the number of types."""
    n_types = 1000
    rows = np.arange(n_types) % len(trained.cell_types)
    types = trained.cell_types
    network = replace(trained, cell_types=types.take(rows), provenance=None)
    profile = Context(network, 1.0).profile("recurrent")
    assert profile.counts.shape[0] <= 200
    assert profile.n.sum() == len(trained.tables["recurrent"])
    report = guard.examine(network, guard.Policy("any"))
    assert not [f for f in report.findings if f.check == "guard.crash"]


def test_separation_is_the_f_statistic():
    rng = np.random.default_rng(0)
    groups = [rng.integers(0, 5, 200) + shift for shift in (0, 0, 1)]
    values = np.arange(6.0)
    counts = np.array([np.bincount(g, minlength=6) for g in groups])
    overall = np.concatenate(groups).mean()
    between = sum(len(g) * (g.mean() - overall) ** 2 for g in groups) / 2
    within = sum(((g - g.mean()) ** 2).sum() for g in groups) / (600 - 3)
    assert separation(counts, values).f == pytest.approx(between / within)
    assert separation(counts[:1], values).f == 1.0
    assert separation(np.eye(2, dtype=int) * 5, np.array([0.0, 1.0])).f == np.inf


def test_shuffled_delays_and_weights_lose_their_types(trained, column):
    rng = np.random.default_rng(1)
    for network in (trained, column):
        mixed = damaged(
            network, "recurrent", delay_ms=rng.permutation(network.tables["recurrent"].delay_ms)
        )
        assert delay_separation(Context(network, 1.0), "recurrent").sigmas > 1000
        assert abs(delay_separation(Context(mixed, 1.0), "recurrent").sigmas) < 4
        assert found(mixed) == {"patterns.delays"}
        table = network.tables["recurrent"]
        order = np.argsort(table.receptor, kind="stable")
        weight = np.empty_like(table.weight)
        drawn = rng.permutation(len(table))
        weight[order] = table.weight[drawn[np.argsort(table.receptor[drawn], kind="stable")]]
        mixed = damaged(network, "recurrent", weight=weight)
        for name, plain in class_pair_separation(Context(network, 1.0), "recurrent").items():
            assert plain.sigmas > 8
            assert abs(class_pair_separation(Context(mixed, 1.0), "recurrent")[name].sigmas) < 4
        assert "patterns.class_pairs" in found(mixed)


def test_a_network_without_any_dependence_is_not_suspected(column):
    """Weights and delays that are all drawn alike are odd, and nothing says that they are wrong."""
    rng = np.random.default_rng(2)
    table = column.tables["recurrent"]
    sign = np.where(table.receptor % 2, -1, 1)
    network = damaged(
        column,
        "recurrent",
        weight=(sign * 0.2 * rng.lognormal(0, 0.5, len(table))).astype(np.float32),
        delay_ms=rng.integers(1, 5, len(table)).astype(np.float32),
    )
    assert found(network) == set()


def test_delays_that_ascend_with_the_source(column):
    table = column.tables["recurrent"]
    by_source = np.lexsort((table.pre, table.receptor, table.post))
    encoded = np.lexsort((table.pre, table.delay_ms, table.receptor, table.post))
    delay = np.empty_like(table.delay_ms)
    delay[by_source] = table.delay_ms[encoded]
    for network in (
        damaged(column, "recurrent", delay_ms=delay),
        permuted(damaged(column, "recurrent", delay_ms=delay), 4),
    ):
        (finding,) = findings(network, "patterns.delays")
        assert "order of a checkpoint" in finding.message


@pytest.mark.parametrize("factor", [1e3, 1e6, 1e30])
def test_an_outlier_is_named(trained, factor):
    table = trained.tables["recurrent"]
    index = int(np.argsort(np.abs(table.weight))[int(0.7 * len(table))])
    weight = table.weight.copy()
    weight[index] *= np.float32(factor)
    network = damaged(trained, "recurrent", weight=weight)
    (finding,) = findings(network, "patterns.outlier")
    assert finding.n_bad == 1
    assert finding.examples[0].startswith(f"{table.pre[index]} -> {table.post[index]} (")


def test_a_heavy_tail_is_no_outlier(column):
    """Lognormal weights with a spread far beyond any that was seen."""
    rng = np.random.default_rng(3)
    table = column.tables["recurrent"]
    for seed in range(5):
        rng = np.random.default_rng(seed)
        factor = rng.lognormal(0, 1.5, len(table)).astype(np.float32)
        heavy = damaged(column, "recurrent", weight=table.weight * factor)
        assert findings(heavy, "patterns.outlier") == []


def test_blanked_cells_and_pairs(trained):
    table, types = trained.tables["recurrent"], trained.neurons.cell_type
    cells = np.flatnonzero(np.bincount(table.post) >= 40)[:2]
    weight = np.where(np.isin(table.post, cells), np.float32(0), table.weight)
    (finding,) = findings(damaged(trained, "recurrent", weight=weight), "patterns.blank")
    assert f"2 of {trained.n_neurons:,} cells" in finding.message
    weight = np.where(types[table.pre] == types[table.pre[0]], np.float32(0), table.weight)
    (finding,) = findings(damaged(trained, "recurrent", weight=weight), "patterns.blank")
    assert "pairs of cell types" in finding.message


def test_the_order_of_synapses_changes_no_report_of_a_trained_network(trained, training):
    for policy in (
        guard.Policy(),
        guard.Policy(baseline=training.files["untrained"]),
        guard.Policy(checkpoint=training.checkpoint),
    ):
        first = CheckDocument.of_report(guard.examine(trained, policy))
        for seed in (1, 2):
            other = guard.examine(permuted(trained, seed), policy)
            document = CheckDocument.of_report(other)
            # The network's digest is of every value in its place.
            assert document.network_sha256 != first.network_sha256
            assert document.model_copy(update={"network_sha256": first.network_sha256}) == first
            assert {f.severity for f in other.findings} == {Severity.INFO}

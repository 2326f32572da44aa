"""Checks of values: at their boundaries, with passing twins."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.networks import damaged, findings, tiny_network, tiny_types, with_parts
from v1sim.checks.values import MAX_DELAY_MS, MIN_VARIED

NET = tiny_network()
REC = NET.tables["recurrent"]
INHIBITORY = np.isin(REC.receptor, [1, 3])


def change(column: np.ndarray, index: object, value: object) -> np.ndarray:
    changed = column.copy()
    changed[index] = value
    return changed


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("column", ["weight", "delay_ms"])
@pytest.mark.parametrize("group", ["recurrent", "lgn"])
def test_values_that_are_not_finite(group, column, value):
    values = getattr(NET.tables[group], column)
    network = damaged(NET, group, **{column: change(values, 3, value)})
    (finding,) = findings(network, "values.finite")
    assert (finding.n_bad, finding.n_seen) == (1, len(values))
    assert len(finding.examples) == 1
    assert findings(NET, "values.finite") == []


def test_parameters_that_are_not_finite():
    types = tiny_types()
    for field in ("c_m_pf", "k_per_ms", "tau_syn_ms", "asc_amp_pa", "v_reset_mv"):
        values = change(getattr(types, field), (1,), np.nan)
        network = replace(NET, cell_types=tiny_types(**{field: values}), provenance=None)
        (finding,) = findings(network, "values.finite")
        assert finding.n_bad == values[1].size
    background = change(NET.background_weight, (0, 0), np.inf)
    network = with_parts(NET, background_weight=background, provenance=None)
    assert findings(network, "values.finite")[0].where == "background.weight"


@pytest.mark.parametrize("receptor", [0, 1, 2, 3])
def test_one_weight_of_the_wrong_sign(receptor):
    index = int(np.flatnonzero(REC.receptor == receptor)[2])
    network = damaged(NET, "recurrent", weight=change(REC.weight, index, -REC.weight[index]))
    (finding,) = findings(network, "values.weight_sign")
    assert finding.n_bad == 1
    assert finding.n_seen == np.count_nonzero(REC.receptor == receptor)
    assert ("must be <= 0" if receptor % 2 else "must be >= 0") in finding.message


def test_the_smallest_wrong_sign_counts_and_zeros_of_either_sign_do_not():
    tiny = np.float32(1e-45)
    for inhibitory, value in ((True, tiny), (False, -tiny)):
        index = int(np.flatnonzero(inhibitory == INHIBITORY)[0])
        network = damaged(NET, "recurrent", weight=change(REC.weight, index, value))
        assert findings(network, "values.weight_sign")[0].n_bad == 1
        for zero in (0.0, -0.0):
            network = damaged(NET, "recurrent", weight=change(REC.weight, index, zero))
            assert findings(network, "values.weight_sign") == []


def test_all_signs_flipped_is_said():
    network = damaged(NET, "recurrent", weight=-REC.weight)
    found = findings(network, "values.weight_sign")
    assert len(found) == 4
    assert all("all that are not zero" in finding.message for finding in found)
    assert sum(finding.n_bad for finding in found) == len(REC)


def test_lgn_weights_are_excitatory():
    network = damaged(NET, "lgn", weight=-NET.tables["lgn"].weight)
    assert {f.where.split(",")[0] for f in findings(network, "values.weight_sign")} == {
        "lgn.weight"
    }


@pytest.mark.parametrize("value", [0.0, 0.1])
def test_constant_weights(value):
    chosen = REC.receptor == 0
    network = damaged(NET, "recurrent", weight=change(REC.weight, chosen, value))
    (finding,) = findings(network, "values.constant")
    assert finding.n_bad == np.count_nonzero(chosen)
    almost = change(REC.weight, chosen, value)
    almost[np.flatnonzero(chosen)[0]] = 0.2
    assert findings(damaged(NET, "recurrent", weight=almost), "values.constant") == []


@pytest.mark.parametrize(("n", "n_found"), [(MIN_VARIED - 1, 0), (MIN_VARIED, 1)])
def test_a_few_equal_weights_are_no_placeholder(n, n_found):
    chosen = np.flatnonzero(REC.receptor == 0)[:n]
    rows = {k: getattr(REC, k)[chosen] for k in REC.columns}
    rows["weight"] = np.full(n, 0.1, np.float32)
    assert len(findings(damaged(NET, "recurrent", **rows), "values.constant")) == n_found


@pytest.mark.parametrize(
    ("delay_ms", "words"),
    [
        (1.4, "no whole number of steps"),
        (2.001, "no whole number of steps"),
        (0.0, "shorter than one step"),
        (-1.0, "shorter than one step"),
        (MAX_DELAY_MS + 1, "longer than"),
        (1.0, None),
        (MAX_DELAY_MS, None),
        (2.0000002, None),  # one float32 beside 2: rounding, not meaning
    ],
)
def test_delays(delay_ms, words):
    network = damaged(NET, "recurrent", delay_ms=change(REC.delay_ms, 4, delay_ms))
    found = findings(network, "values.delay")
    if words is None:
        assert found == []
    else:
        (finding,) = found
        assert words in finding.message
        assert finding.n_bad == 1

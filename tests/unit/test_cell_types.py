"""The table of cell types: models, columns by name, and what is refused."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.cell_models import MODELS, mixed_types
from tests.networks import tiny_network, tiny_types
from v1sim.cell_models import CELL_MODELS, cell_models_markdown
from v1sim.cell_types import GLIF3_COLUMNS, CellTypeTable
from v1sim.errors import InputError
from v1sim.receptors import Kind, ReceptorKinds
from v1sim.sources.difference import array_differences
from v1sim.sources.provenance import network_sha256

TYPES = tiny_types()
FIVE = ("glif_psc", "glif_psc_double_alpha", "iaf_psc_alpha", "iaf_psc_exp", "iaf_psc_delta")
#: One type a model.
MIXED = mixed_types().take(np.array([2 * MODELS.index(name) for name in FIVE]))


def test_columns_are_attributes_and_read_only():
    assert TYPES.c_m_pf is TYPES.columns["c_m_pf"]
    with pytest.raises(ValueError, match="read-only"):
        TYPES.c_m_pf[0] = 1.0
    with pytest.raises(AttributeError, match="no column 'c_m_nf'"):
        _ = TYPES.c_m_nf
    assert not hasattr(TYPES, "tau_syn_fast_ms")


def test_it_travels_to_other_processes():
    for types in (TYPES, MIXED):
        _ = types.receptors, types.g_ns
        for other in (pickle.loads(pickle.dumps(types)), copy.copy(types), copy.deepcopy(types)):
            assert other.model == types.model
            for name, values in types.columns.items():
                np.testing.assert_array_equal(other.columns[name], values)


def test_what_does_not_fit_is_refused():
    kinds = TYPES.receptor_kinds
    columns = dict(TYPES.columns)
    with pytest.raises(InputError, match="'glif3' cannot be built"):
        CellTypeTable(("glif3",) * 5, columns, kinds)
    with pytest.raises(ValueError, match="need g_ns"):
        TYPES.with_columns(g_ns=None)
    with pytest.raises(ValueError, match="has the parameter c_m_nf"):
        TYPES.with_columns(c_m_nf=TYPES.c_m_pf)
    with pytest.raises(ValueError, match="shape"):
        TYPES.with_columns(c_m_pf=TYPES.c_m_pf[:3])
    with pytest.raises(ValueError, match="shape"):
        TYPES.with_columns(k_per_ms=TYPES.c_m_pf)
    with pytest.raises(ValueError, match="3 of 4 receptors"):
        TYPES.with_columns(tau_syn_ms=TYPES.tau_syn_ms[:, :3])


def test_types_can_be_taken_in_another_order():
    index = np.array([4, 0, 0])
    taken = TYPES.take(index)
    assert taken.name == ("e5IT", "e23", "e23")
    for name in GLIF3_COLUMNS:
        np.testing.assert_array_equal(taken.columns[name], TYPES.columns[name][index])
    mixed = MIXED.take(np.array([3, 1]))
    assert mixed.model == ("iaf_psc_exp", "glif_psc_double_alpha")
    assert mixed.n_receptors.tolist() == [2, 6]
    assert mixed.receptors.presynaptic[0, :2].tolist() == [Kind.EXCITATORY, Kind.INHIBITORY]


def test_leak_follows_from_the_time_constant_where_a_model_has_that():
    types = MIXED
    np.testing.assert_allclose(types.c_m_pf / types.g_ns, [91.1 / 5.75, 70.4 / 9.38, 12, 15, 10])
    assert TYPES.g_ns is TYPES.columns["g_ns"]


def test_time_courses_by_type():
    types = MIXED
    courses = types.receptors.time_courses
    charge = courses.charge_pa_ms()
    np.testing.assert_allclose(charge[0], np.e * types.tau_syn_ms[0])
    np.testing.assert_allclose(
        charge[1], np.e * (types.tau_syn_fast_ms[1] + types.amp_slow[1] * types.tau_syn_slow_ms[1])
    )
    np.testing.assert_allclose(charge[2, :2], np.e * np.array([2.0, 5.0]))
    np.testing.assert_allclose(charge[3, :2], [1.5, 4.0])
    assert np.isnan(charge[4]).all()
    assert np.isnan(charge[2:4, 2:]).all()
    assert courses.slowest_ms == 30.0


def test_numbers_are_expected_where_a_model_has_the_parameter():
    types = MIXED
    assert types.expected("g_ns").tolist() == [True, True, False, False, False]
    assert types.expected("v_start_mv").tolist() == [True, False, True, True, False]
    assert types.expected("tau_syn_ms").sum(axis=1).tolist() == [6, 0, 2, 2, 0]
    assert types.expected("asc_amp_pa").sum(axis=1).tolist() == [2, 2, 0, 0, 0]
    for name in GLIF3_COLUMNS:
        assert TYPES.expected(name).all()


def test_training_knows_its_own_types_alone():
    assert TYPES.why_not_of_training == ""
    assert "iaf_psc_alpha" in MIXED.why_not_of_training
    assert "v_start_mv" in TYPES.with_columns(v_start_mv=TYPES.e_l_mv).why_not_of_training
    three = np.repeat(TYPES.asc_amp_pa[:, :1], 3, axis=1)
    assert "two" in TYPES.with_columns(asc_amp_pa=three, k_per_ms=abs(three)).why_not_of_training


def test_models_and_their_parameters_are_in_the_digest_and_the_difference():
    network = tiny_network()
    digests = {network_sha256(network)}
    for types in (
        TYPES.with_columns(v_start_mv=TYPES.e_l_mv),
        TYPES.with_columns(v_start_mv=TYPES.e_l_mv + 1),
        replace(MIXED, receptor_kinds=ReceptorKinds.unknown(6)),
    ):
        other = replace(network, cell_types=types, provenance=None)
        digests.add(network_sha256(other))
        # A start at the default's place is another file and the same cell.
        same_cells = types.model == TYPES.model and (types.v_start_mv == TYPES.v_reset_mv).all()
        assert bool(array_differences(network, other)) is not same_cells
    assert len(digests) == 4
    found = {d.array for d in array_differences(network, other)}
    assert {"cell_types.model", "cell_types.tau_m_ms"} <= found


@pytest.mark.parametrize("name", CELL_MODELS)
def test_entries_are_sound(name):
    model = CELL_MODELS[name]
    columns = [p.column for p in model.parameters]
    assert len(set(columns)) == len(columns)
    used = {c for pair in model.current.functions for c in pair if c}
    used |= {s.value for s in model.start if isinstance(s.value, str)}
    used |= {s.only_with for s in model.start if s.only_with}
    used |= {p.default for p in model.parameters if isinstance(p.default, str)}
    assert used <= set(columns)
    assert {"c_m_pf", "e_l_mv", "v_th_mv", "v_reset_mv", "t_ref_ms"} <= set(columns)
    assert {"g_ns", "tau_m_ms"} & set(columns)


def test_the_page_of_models_is_up_to_date():
    page = Path(__file__).parents[2] / "docs" / "cell_models.md"
    again = "python -m v1sim.cell_models docs/cell_models.md"
    assert page.read_text(encoding="utf-8") == cell_models_markdown(), f"write it again: {again}"

"""Checks of units: the public networks and their damaged copies, and every limit's two sides."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.networks import damaged, findings, tiny_network, tiny_types, with_parts
from v1sim.checks.registry import Context
from v1sim.checks.units import (
    MAX_PSP_MV,
    PARAMETER_RANGES,
    after_spike_currents,
    synaptic_strength,
)
from v1sim.model import CellTypeTable, NetworkModel
from v1sim.units import peak_psp_mv_per_pa

NET = tiny_network()
REC = NET.tables["recurrent"]


def with_types(**columns: np.ndarray) -> NetworkModel:
    return replace(NET, cell_types=tiny_types(**columns), provenance=None)


def unit_findings(network: NetworkModel) -> set[str]:
    return {
        name
        for name in (
            "units.parameters",
            "units.after_spike_currents",
            "units.psp",
            "units.largest_psp",
            "units.background",
            "units.background_unusual",
        )
        if findings(network, name)
    }


@pytest.mark.parametrize("name", ["trained", "few_steps", "untrained"])
def test_normalised_networks_pass(training, name):
    assert unit_findings(training.open(name)) == set()


def test_the_fallback_in_pa_is_found(training):
    network = training.open("fallback")
    found = findings(network, "units.psp")
    # Every receptor that has synapses, in both tables.
    assert len(found) == 6
    assert all("are probably in pA" in finding.hint for finding in found)
    unusual = {"units.background_unusual"}
    assert unit_findings(network) - unusual == {"units.psp", "units.largest_psp"}


@pytest.mark.parametrize("group", ["recurrent", "lgn"])
@pytest.mark.parametrize(("factor", "words"), [(28.0, "too strong"), (1 / 28, "too weak")])
@pytest.mark.parametrize("name", ["trained", "untrained"])
def test_weights_off_by_the_voltage_scale(training, group, factor, words, name):
    network = training.open(name)
    weight = network.tables[group].weight * np.float32(factor)
    found = findings(damaged(network, group, weight=weight), "units.psp")
    assert found
    assert all(words in finding.message for finding in found)


@pytest.mark.parametrize(
    ("of_scale", "factor", "words"),
    [
        (1, 1e-3, "like nA (multiply them by 1000 and divide them by V_th - E_L)"),
        (0, 1e-3, "like nA that were divided by V_th - E_L (multiply them by 1000)"),
        (-1, 1, "divided by V_th - E_L twice (multiply them by V_th - E_L)"),
    ],
)
def test_the_remedy_for_weights_that_are_too_weak_is_named(network_a, of_scale, factor, words):
    network = network_a.open()
    scale = network.voltage_scale_mv[network.tables["recurrent"].post] ** of_scale
    weight = (network.tables["recurrent"].weight * scale * factor).astype(np.float32)
    found = findings(damaged(network, "recurrent", weight=weight), "units.psp")
    assert found
    assert all(words in finding.hint for finding in found)


@pytest.mark.parametrize(
    ("factor", "words"),
    [
        (1e-3, "they look like nA, multiply them by 1000"),
        (1e3, "divide them by 1000"),
        (1 / 28, "multiply them by V_th - E_L"),
        (28, "divide them by V_th - E_L"),
    ],
)
def test_the_remedy_for_after_spike_currents_is_named(factor, words):
    network = with_types(v_th_mv=np.full(5, -50.0), e_l_mv=np.full(5, -78.0))
    types = network.cell_types
    current = types.g_ns * types.voltage_scale_mv
    amplitude = np.stack([-current * factor, np.zeros(5)], axis=1)
    network = replace(network, cell_types=types.with_columns(asc_amp_pa=amplitude))
    (finding,) = after_spike_currents(Context(network, 1.0))
    assert words in finding.hint


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_nanoamperes_are_found(training, factor):
    network = training.open("trained")
    weight = network.tables["recurrent"].weight * np.float32(factor)
    assert len(findings(damaged(network, "recurrent", weight=weight), "units.psp")) == 4


def test_a_network_twice_as_strong_or_weak_passes(network_a):
    network = network_a.open()
    for factor in (0.3, 3.0):
        weight = network.tables["recurrent"].weight * np.float32(factor)
        assert findings(damaged(network, "recurrent", weight=weight), "units.psp") == []


def test_the_largest_potential_is_refused_just_above_its_limit():
    types, index = NET.cell_types, 17
    gain = (
        peak_psp_mv_per_pa(types.c_m_pf, types.g_ns, types.tau_syn_ms)
        * types.voltage_scale_mv[:, None]
    )[NET.neurons.cell_type[REC.post[index]], REC.receptor[index]]
    for factor, n_found in ((0.999, 0), (1.001, 1)):
        weight = REC.weight.copy()
        weight[index] = np.sign(weight[index]) * factor * MAX_PSP_MV / gain
        found = findings(damaged(NET, "recurrent", weight=weight), "units.largest_psp")
        assert len(found) == n_found
    assert found[0].n_bad == 1


def test_strength_is_that_of_single_synapses(training):
    """Medians and sums over every synapse, within the width of a bin."""
    network = training.open("trained")
    table, types = network.tables["recurrent"], network.neurons.cell_type
    context = Context(network, 1.0)
    psp = context.psp_mv("recurrent") / network.voltage_scale_mv[table.post]
    tau = network.cell_types.tau_syn_ms[types[table.post], table.receptor]
    charge = np.abs(table.weight) * np.e * tau / network.cell_types.g_ns[types[table.post]] / 1e3
    for receptor, strength in enumerate(synaptic_strength(context, "recurrent").values()):
        chosen = (table.receptor == receptor) & (table.weight != 0)
        kind = np.unique(table.post[table.receptor // 2 == receptor // 2])
        kind = np.union1d(
            kind, network.tables["lgn"].post[network.tables["lgn"].receptor // 2 == receptor // 2]
        )
        assert strength.n == chosen.sum()
        assert strength.median_psp == pytest.approx(np.median(psp[chosen]), rel=0.12)
        assert strength.drive_per_hz == pytest.approx(charge[chosen].sum() / len(kind), rel=0.01)


@pytest.mark.parametrize("group", ["recurrent", "lgn"])
def test_limits_of_strength_leave_room(network_a, group):
    """Good networks are twice away from each limit, the same in pA or divided twice as well."""
    for name in ("trained", "untrained"):
        network = network_a.open(name)
        table = network.tables[group]
        scale = network.voltage_scale_mv.astype(np.float32)[table.post]
        for factor, inside in ((1, True), (scale, False), (1 / scale, False)):
            for margin in (0.55, 1, 1.8):
                scaled = damaged(network, group, weight=table.weight * factor * np.float32(margin))
                assert (findings(scaled, "units.psp") == []) is inside


def test_a_psp_is_that_of_an_integrated_membrane():
    """Euler steps of 1 us of the membrane's equation."""
    c_m, g, tau = 90.0, 6.0, np.array([5.5, 8.5, 2.8, 15.0])
    time_ms = np.arange(0, 120, 1e-3)[:, None]
    current = time_ms / tau * np.exp(1 - time_ms / tau)
    decay = np.exp(-1e-3 * g / c_m)
    kernel = decay ** np.arange(len(time_ms))
    n = 2 * len(time_ms)
    v = np.fft.irfft(
        np.fft.rfft(kernel, n)[:, None] * np.fft.rfft(current / c_m * 1e-3, n, axis=0), n, axis=0
    )[: len(time_ms)]
    ours = peak_psp_mv_per_pa(np.array([c_m]), np.array([g]), tau[None, :])
    np.testing.assert_allclose(ours[0], v.max(axis=0), rtol=2e-3)


def test_the_public_models_are_in_range(shared_data):
    models = json.loads((shared_data / "third_party" / "glif3_models.json").read_text()).values()

    def column(key: str) -> np.ndarray:
        return np.array([model[key] for model in models], dtype=np.float64)

    types = CellTypeTable.glif3(
        c_m_pf=column("C_m"),
        g_ns=column("g"),
        e_l_mv=column("E_L"),
        v_th_mv=column("V_th"),
        v_reset_mv=column("V_reset"),
        t_ref_ms=column("t_ref"),
        k_per_ms=column("asc_decay"),
        asc_amp_pa=column("asc_amps"),
        tau_syn_ms=np.tile([5.5, 8.5, 2.8, 5.8], (len(models), 1)),
    )
    network = replace(NET, cell_types=types, provenance=None)
    assert findings(network, "units.parameters") == []
    assert findings(network, "units.after_spike_currents") == []


TYPES = tiny_types()


@pytest.mark.parametrize(
    ("columns", "dataset"),
    [
        ({"c_m_pf": TYPES.c_m_pf / 1e3}, "C_m"),
        ({"g_ns": TYPES.g_ns / 1e3}, "g"),
        ({"e_l_mv": TYPES.e_l_mv / 1e3}, "E_L"),
        ({"v_th_mv": TYPES.v_th_mv / 1e3}, "V_th"),
        ({"v_th_mv": TYPES.voltage_scale_mv}, "V_th"),
        ({"v_th_mv": TYPES.e_l_mv, "e_l_mv": TYPES.v_th_mv}, "V_th - E_L"),
        ({"v_reset_mv": TYPES.v_reset_mv / 1e3}, "V_reset - E_L"),
        ({"v_reset_mv": np.zeros(5)}, "V_reset - E_L"),
        ({"v_reset_mv": TYPES.v_th_mv}, "V_th - V_reset"),
        ({"t_ref_ms": TYPES.t_ref_ms / 1e3}, "t_ref"),
        ({"c_m_pf": TYPES.g_ns, "g_ns": TYPES.c_m_pf}, "C_m / g"),
        ({"k_per_ms": 1 / TYPES.k_per_ms}, "k"),
        ({"k_per_ms": -TYPES.k_per_ms}, "k"),
        ({"tau_syn_ms": TYPES.tau_syn_ms / 1e3}, "tau_syn"),
        ({"tau_syn_ms": np.zeros((5, 4))}, "tau_syn"),
        ({"g_ns": np.zeros(5)}, "g"),
    ],
)
def test_parameters_in_another_unit_are_named(columns, dataset):
    found = findings(with_types(**columns), "units.parameters")
    assert f"cell_types: {dataset}" in {finding.where for finding in found}


@pytest.mark.parametrize("name", [name for name in PARAMETER_RANGES if hasattr(TYPES, name)])
def test_the_ends_of_a_range_are_in_it(name):
    limits = PARAMETER_RANGES[name]
    if not isinstance(getattr(CellTypeTable, name, None), property):
        for value, beyond in (
            (limits.low, limits.low - 1e-6),
            (limits.high, limits.high + 1e-6),
        ):
            where = f"cell_types: {limits.symbol}"
            for number, expected in ((value, False), (beyond, True)):
                values = getattr(TYPES, name).copy()
                values[0] = number
                found = findings(with_types(**{name: values}), "units.parameters")
                assert (where in {finding.where for finding in found}) is expected


@pytest.mark.parametrize("name", ["trained", "untrained"])
@pytest.mark.parametrize("direction", [1, -1])
def test_after_spike_currents_scaled_by_the_voltage(training, name, direction):
    network = training.open(name)
    types = network.cell_types
    factor = types.voltage_scale_mv[:, None] ** direction
    scaled = types.with_columns(asc_amp_pa=types.asc_amp_pa * factor)
    assert {"units.parameters", "units.after_spike_currents"} & unit_findings(
        replace(network, cell_types=scaled)
    )
    assert findings(network, "units.after_spike_currents") == []


def test_after_spike_currents_of_nothing():
    (finding,) = findings(with_types(asc_amp_pa=np.zeros((5, 2))), "units.after_spike_currents")
    assert finding.observed["median_ratio"] == 0


@pytest.mark.parametrize(("factor", "n_found"), [(0.1, 1), (10.0, 1), (0.4, 0), (2.0, 0)])
def test_the_factor_of_ten_of_the_background(training, factor, n_found):
    network = training.open("trained")
    scaled = with_parts(network, background_weight=network.background_weight * np.float32(factor))
    assert len(findings(scaled, "units.background")) == n_found


def test_no_background_is_no_finding():
    for weight in (None, np.zeros((60, 4), np.float32)):
        network = with_parts(NET, background_weight=weight, provenance=None)
        assert findings(network, "units.background") == []


def test_ranges_leave_room():
    for limits in PARAMETER_RANGES.values():
        assert limits.low <= limits.seen_low <= limits.seen_high <= limits.high

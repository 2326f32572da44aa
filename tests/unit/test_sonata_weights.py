"""Weight functions against their formulas, edge by edge."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

from v1sim.errors import NetworkFileError
from v1sim.sources.sonata import weights
from v1sim.sources.sonata.weights import WEIGHT_FUNCTIONS, EdgesToWeigh, weight_function

N = 200


@pytest.fixture
def edges():
    rng = np.random.default_rng(3)
    columns = {
        side: {
            "x": rng.uniform(-60, 60, N),
            "z": rng.uniform(-60, 60, N),
            "tuning_angle": rng.uniform(-360, 720, N),
        }
        for side in ("source", "target")
    }
    sigma = rng.uniform(30, 90, N)
    return EdgesToWeigh(
        syn_weight=rng.normal(0, 5, N),
        nsyns=rng.integers(1, 8, N).astype(float),
        edge={"weight_sigma": sigma}.__getitem__,
        source=columns["source"].__getitem__,
        target=columns["target"].__getitem__,
    )


def fold(angle: float, period: float) -> float:
    """Distance of an angle from the nearest multiple of a period."""
    rest = math.fmod(abs(angle), period)
    return min(rest, period - rest)


def by_hand(edges: EdgesToWeigh, i: int, *, phase: bool) -> float:
    there, here = edges.source("tuning_angle")[i], edges.target("tuning_angle")[i]
    like = math.exp(-((fold(here - there, 360.0) / edges.edge("weight_sigma")[i]) ** 2))
    weight = edges.syn_weight[i] * edges.nsyns[i] * like
    if not phase:
        return weight
    dx = edges.target("x")[i] - edges.source("x")[i]
    dz = edges.target("z")[i] - edges.source("z")[i]
    theta = math.radians(here)
    x = 0.07 * dx * math.cos(theta) + 0.04 * dz * math.sin(theta)
    horizontal = fold(here, 180.0)
    return weight * math.exp(-(x**2) / 2) * (5.5 / 4 - 11 / 1680 * horizontal)


@pytest.mark.parametrize(
    ("name", "phase"), [("DirectionRule_others", False), ("DirectionRule_EE", True)]
)
def test_direction_rules(edges, name, phase):
    found = WEIGHT_FUNCTIONS[name](edges)
    expected = [by_hand(edges, i, phase=phase) for i in range(N)]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-300)
    assert np.unique(np.sign(found)).tolist() == [-1.0, 1.0]


@pytest.mark.parametrize("name", ["default_weight_fnc", "set_syn_weight", "wmax"])
def test_times_nsyns(edges, name):
    np.testing.assert_array_equal(WEIGHT_FUNCTIONS[name](edges), edges.syn_weight * edges.nsyns)


@pytest.mark.parametrize(
    "name",
    [
        *("weight_function_recurrent", "weight_function_lgn", "weight_function_bkg"),
        *("ConstantMultiplier_lgn", "ConstantMultiplier_bkg"),
    ],
)
def test_syn_weight_alone(edges, name):
    np.testing.assert_array_equal(WEIGHT_FUNCTIONS[name](edges), edges.syn_weight)


def test_an_unknown_function_is_named():
    with pytest.raises(NetworkFileError) as caught:
        weight_function("my_rule", "edge_types.csv")
    text = str(caught.value)
    assert "'my_rule'" in text
    assert "write what it returns" in text
    assert weights.PLUGIN_GROUP in text


def test_a_function_of_another_package(monkeypatch):
    def entry_points(group):
        assert group == "v1sim.weight_functions"
        return [SimpleNamespace(name="mine", load=lambda: lambda edges: 2 * edges.syn_weight)]

    monkeypatch.setattr(weights, "entry_points", entry_points)
    weights._plugins.cache_clear()
    try:
        function, is_plugin = weight_function("mine", "")
        assert is_plugin
        assert function(SimpleNamespace(syn_weight=3.0)) == 6.0
        assert weight_function("wmax", "")[1] is False
    finally:
        weights._plugins.cache_clear()

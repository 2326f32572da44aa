from __future__ import annotations

import numpy as np
import pytest

from v1sim.units import GRID_TOLERANCE_STEPS, on_time_grid, to_pa, to_steps


def test_weight_is_scaled_by_its_target():
    weight = np.array([1.0, 2.0, -0.5], dtype=np.float32)
    scale_mv = np.array([10.0, 30.0])
    np.testing.assert_array_equal(to_pa(weight, np.array([0, 1, 1]), scale_mv), [10.0, 60.0, -15.0])


@pytest.mark.parametrize("dt_ms", [1.0, 0.1])
def test_grid_at_its_boundary(dt_ms):
    inside, outside = 0.9 * GRID_TOLERANCE_STEPS, 1.1 * GRID_TOLERANCE_STEPS
    times = (3 + np.array([0.0, inside, -inside, outside, -outside, 0.5])) * dt_ms
    assert on_time_grid(times, dt_ms).tolist() == [True, True, True, False, False, False]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_no_time_is_not_on_the_grid(value):
    assert not on_time_grid(np.array([value]), 1.0).any()


def test_steps():
    assert to_steps(np.array([0.1, 0.3], dtype=np.float32), 0.1).tolist() == [1, 3]
    with pytest.raises(ValueError, match=r"1 times are not multiples of 1.0 ms, for example 1.5"):
        to_steps(np.array([1.0, 1.5]), 1.0)

"""LGN cells for tests: the median cell of some classes, anywhere in the field."""

from __future__ import annotations

import numpy as np

from v1sim.model import LgnCellTable

#: Medians of the published table: peaks (ms), weights, delays (ms) of the first
#: subunit; where composite, of the second.
KERNELS = {
    "sON_TF8": ((12.9, 28.3), (3.71, -1.75), (0.0, 25.0), None),
    "tOFF_TF4": ((29.2, 59.3), (3.35, -2.18), (0.0, 15.0), None),
    "sONsOFF_001": (
        (22.2, 56.1),
        (3.23, -1.66),
        (0.0, 15.01),
        ((30.8, 58.4), (3.59, -1.81), (0.0, 25.0)),
    ),
    "sONtOFF_001": (
        (8.5, 23.2),
        (4.21, -2.40),
        (0.0, 0.0),
        ((30.8, 58.4), (3.59, -1.81), (0.0, 25.0)),
    ),
}


def make_cells(
    classes: tuple[str, ...],
    x_deg: tuple[float, ...],
    y_deg: tuple[float, ...],
    *,
    size_deg: float = 6.0,
    field_deg: tuple[float, float] = (120.0, 80.0),
) -> LgnCellTable:
    nan = ((np.nan, np.nan),) * 3
    second = [KERNELS[name][3] or nan for name in classes]
    composite = np.array([KERNELS[name][3] is not None for name in classes])
    return LgnCellTable(
        model_id=np.array(classes),
        x_deg=np.array(x_deg, dtype=float),
        y_deg=np.array(y_deg, dtype=float),
        spatial_size_deg=np.full(len(classes), size_deg),
        kpeak_dom_ms=np.array([KERNELS[name][0] for name in classes]),
        weight_dom=np.array([KERNELS[name][1] for name in classes]),
        delay_dom_ms=np.array([KERNELS[name][2] for name in classes]),
        kpeak_non_dom_ms=np.array([s[0] for s in second]),
        weight_non_dom=np.array([s[1] for s in second]),
        delay_non_dom_ms=np.array([s[2] for s in second]),
        subunit_angle_deg=np.where(composite, 30.0, np.nan),
        subunit_distance_deg=np.where(composite, 5.0, np.nan),
        field_deg=field_deg,
    )

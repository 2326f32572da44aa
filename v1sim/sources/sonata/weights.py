"""Weight functions: what an edge type's ``weight_function`` makes of its edges.

The functions of BMTK and of the run scripts of the V1 models. A package adds its own by naming
it in the entry point group `PLUGIN_GROUP`: the entry's name is the function's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from v1sim.errors import NetworkFileError
from v1sim.files.identify import printable

__all__ = [
    "PLUGIN_GROUP",
    "WEIGHT_FUNCTIONS",
    "Columns",
    "EdgesToWeigh",
    "WeightFunction",
    "weight_function",
]

F64 = NDArray[np.float64]

#: Entry points of this group are weight functions of other packages, by the name in the files.
PLUGIN_GROUP = "v1sim.weight_functions"

#: Values of a column, one an edge; a KeyError where there is no such column.
Columns = Callable[[str], F64]


@dataclass(frozen=True, eq=False)
class EdgesToWeigh:
    """Edges of one type, shape (s,): their columns, and those of their sources and targets.

    A column is asked for by its name: ``edges.edge("weight_sigma")``, ``edges.source("x")``. It is
    NaN where an edge or node has no value.

    Parameters
    ----------
    syn_weight, nsyns : float array, shape (s,)
        The edges' own; nsyns is 1 where there is none.
    edge, source, target : callable
        Any column as float64 by its name; raises `KeyError` where there is none.
    """

    syn_weight: F64
    nsyns: F64
    edge: Columns
    source: Columns
    target: Columns


#: Weight of each edge, in pA (mV for cells of iaf_psc_delta), shape (s,).
WeightFunction = Callable[[EdgesToWeigh], F64]


def times_nsyns(edges: EdgesToWeigh) -> F64:
    """``syn_weight * nsyns``: BMTK's ``default_weight_fnc``, ``set_syn_weight`` and ``wmax``."""
    return edges.syn_weight * edges.nsyns


def syn_weight_alone(edges: EdgesToWeigh) -> F64:
    """``syn_weight``: the functions of the V1 model of 2026."""
    return edges.syn_weight


def _folded_difference(edges: EdgesToWeigh) -> F64:
    """Difference of preferred directions, 0 to 180 degrees."""
    difference = np.abs(edges.target("tuning_angle") - edges.source("tuning_angle"))
    return np.abs(np.abs(np.mod(difference, 360.0) - 180.0) - 180.0)


def direction_rule_others(edges: EdgesToWeigh) -> F64:
    """Like-to-like in direction (Billeh et al. 2020, doi 10.1016/j.neuron.2020.01.040).

    A Gaussian of width ``weight_sigma`` (degrees) in the difference of preferred directions.
    """
    like = np.exp(-((_folded_difference(edges) / edges.edge("weight_sigma")) ** 2))
    return edges.syn_weight * like * edges.nsyns


def direction_rule_ee(edges: EdgesToWeigh) -> F64:
    """Like-to-like in direction and phase, between excitatory cells (Billeh et al. 2020).

    The distance along the target's preferred direction is in degrees of visual field: 0.07 per
    um in azimuth, 0.04 in elevation; horizontal and vertical directions are scaled alike.
    """
    like = np.exp(-((_folded_difference(edges) / edges.edge("weight_sigma")) ** 2))
    delta_x = (edges.target("x") - edges.source("x")) * 0.07
    delta_z = (edges.target("z") - edges.source("z")) * 0.04
    angle = edges.target("tuning_angle")
    theta = angle * (np.pi / 180.0)
    along = delta_x * np.cos(theta) + delta_z * np.sin(theta)
    phase = np.exp(-(along**2 / 2.0))
    from_horizontal = np.abs(np.abs(np.abs(180.0 - np.mod(np.abs(angle), 360.0)) - 90.0) - 90.0)
    phase = phase * (5.5 / 4 - 11.0 / 1680 * from_horizontal)
    return edges.syn_weight * like * phase * edges.nsyns


#: The functions that v1sim brings, by the name in the files.
WEIGHT_FUNCTIONS: Mapping[str, WeightFunction] = MappingProxyType(
    {
        "default_weight_fnc": times_nsyns,
        "set_syn_weight": times_nsyns,
        "wmax": times_nsyns,
        "DirectionRule_others": direction_rule_others,
        "DirectionRule_EE": direction_rule_ee,
        "weight_function_recurrent": syn_weight_alone,
        "weight_function_lgn": syn_weight_alone,
        "weight_function_bkg": syn_weight_alone,
        "ConstantMultiplier_lgn": syn_weight_alone,
        "ConstantMultiplier_bkg": syn_weight_alone,
        "ConstantMultiplier_LGN": syn_weight_alone,
        "ConstantMultiplier_BKG": syn_weight_alone,
    }
)


#: Those that multiply by nsyns.
NEED_NSYNS = tuple(
    name for name, function in WEIGHT_FUNCTIONS.items() if function is not syn_weight_alone
)


@cache
def _plugins() -> Mapping[str, WeightFunction]:
    return {entry.name: entry.load() for entry in entry_points(group=PLUGIN_GROUP)}


def weight_function(name: str, where: str) -> tuple[WeightFunction, bool]:
    """The function of a name, and whether another package brings it.

    Raises
    ------
    NetworkFileError
        If there is none.
    """
    if name in WEIGHT_FUNCTIONS:
        return WEIGHT_FUNCTIONS[name], False
    if name in _plugins():
        return _plugins()[name], True
    known = ", ".join((*WEIGHT_FUNCTIONS, *_plugins()))
    raise NetworkFileError(
        f"weight_function is {printable(name)!r}, which is in nobody's package",
        where=where,
        expected=f"one of {known}",
        hint="it is defined in the script that runs BMTK: call it there, write what it returns "
        "into the edges' syn_weight (nsyns 1) and take weight_function out of the table of types; "
        f"or name it as an entry point of the group {PLUGIN_GROUP}",
    )

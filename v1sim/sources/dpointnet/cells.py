"""Cells as DPointNet simulates them, from the JSON files of their types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from v1sim.errors import NetworkFileError
from v1sim.printable import printable
from v1sim.sources.dpointnet.circuit import CircuitNodes, read_parameters
from v1sim.sources.dpointnet.remarks import Remarks

__all__ = ["CircuitCells", "note_cells", "read_cells"]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

_NEEDED = ("V_th", "g", "E_L", "C_m", "V_reset", "t_ref")
#: After-spike currents of every type.
_CURRENTS = 2


@dataclass(frozen=True, eq=False)
class CircuitCells:
    """Types in use and their parameters, t of them, in the order of the table of types.

    Parameters
    ----------
    type_index : uint16 array, shape (n,)
        Type of each cell.
    name : tuple of str, length t
        Of each type.
    e_l_mv, v_th_mv, v_reset_mv, c_m_pf, g_ns, t_ref_ms : float64 array, shape (t,)
        As the files have them.
    asc_decay_per_ms, asc_amp_pa : float64 array, shape (t, 2)
        As the files have them.
    """

    type_index: NDArray[np.uint16]
    name: tuple[str, ...]
    e_l_mv: F64
    v_th_mv: F64
    v_reset_mv: F64
    c_m_pf: F64
    g_ns: F64
    t_ref_ms: F64
    asc_decay_per_ms: F64
    asc_amp_pa: F64
    parameters: tuple[Mapping[str, Any], ...]

    @property
    def scale_mv(self) -> F32:
        """``V_th - E_L`` of each cell in single precision, as training divides by it, (n,)."""
        scale = self.v_th_mv.astype(np.float32) - self.e_l_mv.astype(np.float32)
        return scale[self.type_index]

    def refractory_steps(self, step_ms: float) -> NDArray[np.int64]:
        """Refractory period of each type in steps, shape (t,)."""
        steps = np.ceil(self.t_ref_ms.astype(np.float32) / step_ms).astype(np.int64)
        return np.maximum(steps, 1)

    @property
    def dead(self) -> NDArray[np.bool_]:
        """Types that never spike in training: asc_decay through logit and sigmoid is NaN, (t,)."""
        k = self.asc_decay_per_ms
        return np.logical_not(((k >= 0) & (k <= 1)).all(axis=1))


def read_cells(nodes: CircuitNodes, folder: Path | None, where: str) -> CircuitCells:
    """The types of the recurrent population and their parameters.

    Raises
    ------
    NetworkFileError
        If a file cannot be read, or lacks what DPointNet needs.
    """
    there = set(np.unique(nodes.type_id).tolist())
    used = [type_id for type_id in nodes.types if type_id in there]
    parameters, names = [], []
    for type_id in used:
        row = nodes.types[type_id]
        named = row.get("dynamics_params")
        if named is None:
            raise NetworkFileError(
                f"the node type {type_id} has no dynamics_params",
                where=str(nodes.path),
                expected="a JSON file of GLIF3 parameters for every type",
            )
        path = (folder or Path()) / named
        held = read_parameters(path)
        _require(held, path)
        parameters.append(held)
        names.append(row.get("pop_name") or Path(named).stem)
    index = {type_id: i for i, type_id in enumerate(used)}
    ids, inverse = np.unique(nodes.type_id, return_inverse=True)
    of_node = np.array([index[int(i)] for i in ids], dtype=np.uint16)[inverse]

    def column(key: str) -> F64:
        return np.array([held[key] for held in parameters], dtype=np.float64)

    cells = CircuitCells(
        type_index=of_node,
        name=_distinct(names, used),
        e_l_mv=column("E_L"),
        v_th_mv=column("V_th"),
        v_reset_mv=column("V_reset"),
        c_m_pf=column("C_m"),
        g_ns=column("g"),
        t_ref_ms=column("t_ref"),
        asc_decay_per_ms=column("asc_decay"),
        asc_amp_pa=column("asc_amps"),
        parameters=tuple(parameters),
    )
    if (cells.v_th_mv <= cells.e_l_mv).any():
        wrong = [cells.name[i] for i in np.flatnonzero(cells.v_th_mv <= cells.e_l_mv)]
        raise NetworkFileError(
            f"V_th is not above E_L in {', '.join(map(printable, wrong[:5]))}",
            where=where,
            expected="a threshold above the resting potential: weights are divided by the distance",
        )
    return cells


def _distinct(names: list[str], used: list[int]) -> tuple[str, ...]:
    twice = {name for name in names if names.count(name) > 1}
    return tuple(
        f"{name}_{type_id}" if name in twice else name
        for name, type_id in zip(names, used, strict=True)
    )


def _require(held: Mapping[str, Any], path: Path) -> None:
    """Refuse what DPointNet refuses with an unclear message, and what is no number."""

    def good(value: Any) -> bool:
        numeric = isinstance(value, (int, float)) and not isinstance(value, bool)
        return numeric and bool(np.isfinite(value))

    wrong = [key for key in _NEEDED if not good(held.get(key))]
    for key in ("asc_decay", "asc_amps"):
        values = held.get(key)
        if not isinstance(values, list) or len(values) != _CURRENTS or not all(map(good, values)):
            wrong.append(key)
    if wrong:
        raise NetworkFileError(
            f"lacks numbers that DPointNet needs: {', '.join(wrong)}",
            where=str(path),
            expected=f"{', '.join(_NEEDED)}, and asc_decay and asc_amps of {_CURRENTS} values each",
        )


def note_cells(
    cells: CircuitCells, tau_basis_ms: F64, step_ms: float, where: str, remarks: Remarks
) -> None:
    """What DPointNet does otherwise with these cells than PointNet."""
    n_types, count = len(cells.name), np.bincount(cells.type_index, minlength=len(cells.name))

    def note(
        check: str, which: NDArray[np.bool_], message: str, texts: list[str], hint: str
    ) -> None:
        if which.any():
            n = int(count[which].sum())
            remarks.add(
                check,
                where,
                f"{n:,} of {len(cells.type_index):,} cells ({int(which.sum()):,} of {n_types:,} "
                f"types) {message}",
                hint=hint,
                n=n,
                total=len(cells.type_index),
                examples=[texts[i] for i in np.flatnonzero(which)],
            )

    names = [printable(name) for name in cells.name]
    note(
        "dpointnet.dead_cells",
        cells.dead,
        "have an asc_decay outside of 0..1 per ms: they never spike in DPointNet",
        [f"{n}: {k.tolist()}" for n, k in zip(names, cells.asc_decay_per_ms, strict=True)],
        "mend asc_decay and train again: what was trained had these cells silent",
    )
    note(
        "dpointnet.v_reset",
        cells.v_reset_mv != cells.e_l_mv,
        "have a V_reset that is not E_L: DPointNet ignores it, PointNet resets to it",
        [
            f"{n}: V_reset {a:g}, E_L {b:g}"
            for n, a, b in zip(names, cells.v_reset_mv, cells.e_l_mv, strict=True)
        ],
        "v1sim takes E_L, as in training",
    )
    start = np.array(
        [
            p.get("V_m", p["E_L"]) != p["E_L"] or any(np.atleast_1d(p.get("asc_init", 0.0)) != 0)
            for p in cells.parameters
        ]
    )
    note(
        "dpointnet.start_potential",
        start,
        "have a V_m that is not E_L or after-spike currents at the start, which DPointNet ignores",
        [f"{n}: V_m {p.get('V_m')}" for n, p in zip(names, cells.parameters, strict=True)],
        "v1sim starts as in training",
    )
    other = np.array([_tau(p) != tau_basis_ms.tolist() for p in cells.parameters])
    basis = ", ".join(f"{t:g}" for t in tau_basis_ms)
    note(
        "dpointnet.tau_syn",
        other,
        f"have another tau_syn than the basis functions of training ({basis} ms)",
        [f"{n}: {p.get('tau_syn')}" for n, p in zip(names, cells.parameters, strict=True)],
        "v1sim takes those of training; PointNet takes the cells' own",
    )
    steps = cells.refractory_steps(step_ms)
    note(
        "dpointnet.refractory_steps",
        ~np.isclose(steps * step_ms, cells.t_ref_ms, rtol=1e-6, atol=0),
        f"have a t_ref that is no whole number of steps of {step_ms:g} ms: it is rounded up",
        [
            f"{n}: {t:g} ms became {s * step_ms:g} ms"
            for n, t, s in zip(names, cells.t_ref_ms, steps, strict=True)
        ],
        "v1sim takes it as in training",
    )


def _tau(parameters: Mapping[str, Any]) -> list[float]:
    values = parameters.get("tau_syn")
    return [float(v) for v in values] if isinstance(values, list) else []

"""GLIF3 parameters <-> the variables that training derives from them.

Training normalises potentials by ``V_th - E_L`` and keeps exponentials instead of
time constants (dt = 1 ms)::

    decay = exp(-g dt / C_m)        current_factor = (1 - decay) / g
    syn_decay = exp(-dt / tau_syn)  psc_initial = e / tau_syn
    asc_amps = asc_amps / scale     v_reset = (V_reset - E_L) / scale
    param_k = log(k / (1 - k))      v_th = 1, e_l = 0

Forward, these are computed as the training code does (float32), so that checksums
can be compared. Backward, each parameter is the number with the fewest digits that gives
the checkpoint's variables again bit for bit: that restores tau_syn = 5.5 exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from v1sim.checkpoints.stored import precision, rounded
from v1sim.checkpoints.variables import PARAMETERS
from v1sim.errors import CheckpointError
from v1sim.model import CellTypeTable
from v1sim.units import MODEL_STEP_MS

__all__ = ["check_parameters", "forward", "forward_candidates", "recover_types", "tolerance"]

F64 = NDArray[np.float64]
Floats = NDArray[np.floating]
Bools = NDArray[np.bool_]

#: Redundant variables agree within this many units of their dtype's last place: each is
#: rounded once or twice, and exponentials of float32 are good to a few.
_ROUNDINGS = 8
_MAX_DIGITS = 9
#: Float32 numbers tried on each side of an estimate: one rounding of ``decay`` moves C_m by
#: up to some forty of them.
_MAX_STEPS = 100


def forward(
    types: CellTypeTable, dtype: type[np.floating] = np.float32, *, own_functions: bool = True
) -> dict[str, Floats]:
    """The cell's variables for each type, by name.

    Parameters
    ----------
    types : CellTypeTable
        The parameters.
    dtype : type
        What they are computed in.
    own_functions : bool
        Exponential and logarithm in that dtype, whose last bit depends on library and
        processor; otherwise they are rounded from float64.
    """
    wide = dtype if own_functions else np.float64

    def exp(x: Floats) -> Floats:
        return np.exp(x.astype(wide)).astype(dtype)

    def log(x: Floats) -> Floats:
        return np.log(x.astype(wide)).astype(dtype)

    p = {
        name: np.asarray(getattr(types, name), dtype=dtype)
        for name in (
            "c_m_pf", "g_ns", "e_l_mv", "v_th_mv", "v_reset_mv", "t_ref_ms",
            "k_per_ms", "asc_amp_pa", "tau_syn_ms",
        )
    }  # fmt: skip
    with np.errstate(all="ignore"):  # nonsense gives nonsense, which no checkpoint holds
        scale = p["v_th_mv"] - p["e_l_mv"]
        tau_m = p["c_m_pf"] / p["g_ns"]
        decay = exp(-MODEL_STEP_MS / tau_m)
        return {
            "voltage_scale": scale,
            "voltage_offset": p["e_l_mv"],
            "v_th": (p["v_th_mv"] - p["e_l_mv"]) / scale,
            "e_l": (p["e_l_mv"] - p["e_l_mv"]) / scale,
            "v_reset": (p["v_reset_mv"] - p["e_l_mv"]) / scale,
            "decay": decay,
            "current_factor": 1 / p["c_m_pf"] * (1 - decay) * tau_m,
            "param_g": p["g_ns"],
            "t_ref": p["t_ref_ms"],
            "syn_decay": exp(-MODEL_STEP_MS / p["tau_syn_ms"]),
            "psc_initial": np.e / p["tau_syn_ms"],
            "asc_amps": p["asc_amp_pa"] / scale[:, np.newaxis],
            "param_k": log(p["k_per_ms"] / (1 - p["k_per_ms"])),
        }


def forward_candidates(types: CellTypeTable, name: str, dtype: str) -> Iterator[Floats]:
    """One variable in each way that a training program may have computed it."""
    for working, own in ((np.float32, True), (np.float32, False), (np.float64, True)):
        with np.errstate(over="ignore"):
            yield rounded(forward(types, working, own_functions=own)[name], dtype)


def tolerance(dtype: str, expected: Floats) -> F64:
    """How far a variable may be from the one computed here, element by element."""
    eps = _eps(dtype)
    return _ROUNDINGS * eps * np.maximum(np.abs(expected.astype(np.float64)), eps)


def _eps(dtype: str) -> float:
    """Precision of values of a dtype; wider ones may have been computed in float32."""
    return max(precision(dtype), precision("float32"))


def check_parameters(values: Mapping[str, Floats], dtypes: Mapping[str, str], where: str) -> None:
    """Check each neuron's variables, and redundant ones against each other.

    Parameters
    ----------
    values : mapping
        The variables in `PARAMETERS`, one row a neuron (or type).
    dtypes : mapping of str to str
        What each is stored as in the checkpoint.
    where : str
        The checkpoint, for the message.

    Raises
    ------
    CheckpointError
        If one is not finite, out of its range, or contradicts another.
    """
    v = {name: np.asarray(values[name], dtype=np.float64) for name in PARAMETERS}
    eps = {name: _ROUNDINGS * _eps(dtypes[name]) for name in PARAMETERS}
    for name, column in v.items():
        _refuse(~np.isfinite(column), name, "not finite", column, where)
    for name in ("voltage_scale", "param_g", "psc_initial", "current_factor"):
        _refuse(v[name] <= 0, name, "not above 0", v[name], where)
    for name in ("decay", "syn_decay"):
        _refuse((v[name] <= 0) | (v[name] >= 1), name, "not between 0 and 1", v[name], where)
    _refuse(v["t_ref"] < 0, "t_ref", "below 0", v["t_ref"], where)
    _refuse(np.abs(v["v_th"] - 1) > eps["v_th"], "v_th", "not 1 (normalised)", v["v_th"], where)
    _refuse(np.abs(v["e_l"]) > eps["e_l"], "e_l", "not 0 (normalised)", v["e_l"], where)
    with np.errstate(over="ignore"):
        charge = v["current_factor"] * v["param_g"]
        slack = max(eps["decay"], eps["current_factor"], eps["param_g"])
        _refuse(
            np.abs(charge - (1 - v["decay"])) > slack,
            "current_factor",
            "not (1 - decay) / param_g",
            v["current_factor"],
            where,
        )
        implied_dt = -np.log(v["syn_decay"]) * np.e / v["psc_initial"]
        differ = np.abs(v["syn_decay"] - np.exp(-MODEL_STEP_MS * v["psc_initial"] / np.e))
    wrong = differ > max(eps["syn_decay"], eps["psc_initial"])
    typical_dt = float(np.median(implied_dt))
    if wrong.mean() > 0.5 and np.abs(implied_dt / typical_dt - 1).max() < 1e-2:
        raise CheckpointError(
            f"it was trained with a time step of {typical_dt:.3g} ms (syn_decay against "
            "psc_initial)",
            where=where,
            expected=f"{MODEL_STEP_MS:g} ms, the step of its delays and of v1sim",
        )
    _refuse(wrong, "syn_decay", "not the decay that psc_initial implies", v["syn_decay"], where)


def _refuse(bad: Bools, name: str, what: str, values: F64, where: str) -> None:
    """Raise if any element is bad; say how many, and show one."""
    if not bad.any():
        return
    first = tuple(int(i) for i in np.argwhere(bad)[0])
    raise CheckpointError(
        f"{np.count_nonzero(bad):,} of {bad.size:,} values of {name} are {what}, "
        f"for example {values[first]:.6g} of neuron {first[0]}",
        where=where,
        expected="variables of one GLIF3 neuron that agree with each other",
        hint="the checkpoint is damaged or of another model; take another one of the same training",
    )


def recover_types(
    values: Mapping[str, Floats], dtypes: Mapping[str, str]
) -> tuple[CellTypeTable, NDArray[np.uint16]]:
    """Types of neurons with identical parameters, in the order of their first neurons.

    Parameters
    ----------
    values : mapping
        The variables in `PARAMETERS`, one row a neuron, as `check_parameters` accepts them.
    dtypes : mapping of str to str
        What each is stored as in the checkpoint.

    Returns
    -------
    CellTypeTable
        Parameters that give each type's variables again.
    uint16 array, shape (n_neurons,)
        Type of each neuron.
    """
    n_neurons = len(values["voltage_scale"])
    rows = np.concatenate(
        [
            np.ascontiguousarray(values[name]).reshape(n_neurons, -1).view(np.uint8)
            for name in PARAMETERS
        ],
        axis=1,
    )
    as_one = np.ascontiguousarray(rows).view(np.dtype((np.void, rows.shape[1]))).ravel()
    _, first, inverse = np.unique(as_one, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    first = np.sort(first)
    if len(first) > np.iinfo(np.uint16).max:
        raise CheckpointError(
            f"its {n_neurons:,} neurons have {len(first):,} different sets of parameters",
            expected="types that many neurons share",
        )
    stored = {name: values[name][first] for name in PARAMETERS}
    types = _solve(stored, dtypes, np.float32)
    if not _regenerates(types, stored, dtypes, np.float32):
        # Not the published code's arithmetic, then; float64, as other programs use?
        other = _solve(stored, dtypes, np.float64)
        types = other if _regenerates(other, stored, dtypes, np.float64) else types
    return types, rank[inverse].astype(np.uint16)


def _regenerates(
    types: CellTypeTable,
    stored: Mapping[str, Floats],
    dtypes: Mapping[str, str],
    working: type[np.floating],
) -> bool:
    computed = forward(types, working)
    return all(
        np.array_equal(rounded(computed[name], dtypes[name]), column)
        for name, column in stored.items()
    )


def _solve(
    stored: Mapping[str, Floats], dtypes: Mapping[str, str], working: type[np.floating]
) -> CellTypeTable:
    """Parameters of types from their variables, were these computed in ``working``."""
    f = {name: column.astype(np.float64) for name, column in stored.items()}

    def gives(name: str, computed: Floats) -> Bools:
        same: Bools = rounded(computed, dtypes[name]) == stored[name]
        return same

    def simplest(estimate: F64, regenerates: Callable[[Floats], Bools]) -> F64:
        return _simplest(estimate, regenerates, working)

    e_l = f["voltage_offset"].astype(working)
    v_th = simplest(
        f["voltage_offset"] + f["voltage_scale"], lambda x: gives("voltage_scale", x - e_l)
    )
    scale = v_th.astype(working) - e_l
    v_reset = simplest(
        f["voltage_offset"] + f["v_reset"] * f["voltage_scale"],
        lambda x: gives("v_reset", (x - e_l) / scale),
    )
    v_reset = np.where(f["v_reset"] == 0, f["voltage_offset"], v_reset)
    g = f["param_g"].astype(working)

    def gives_membrane(c_m: Floats) -> Bools:
        tau = c_m / g
        decay = np.exp(-MODEL_STEP_MS / tau)
        return gives("decay", decay) & gives("current_factor", 1 / c_m * (1 - decay) * tau)

    def gives_synapse(tau: Floats) -> Bools:
        return gives("syn_decay", np.exp(-MODEL_STEP_MS / tau)) & gives("psc_initial", np.e / tau)

    # The same as 1 - decay, which float16 would leave two digits of.
    leaked = f["current_factor"] * f["param_g"]
    return CellTypeTable.glif3(
        c_m_pf=simplest(-MODEL_STEP_MS * f["param_g"] / np.log1p(-leaked), gives_membrane),
        g_ns=f["param_g"],
        e_l_mv=f["voltage_offset"],
        v_th_mv=v_th,
        v_reset_mv=v_reset,
        t_ref_ms=f["t_ref"],
        k_per_ms=simplest(
            1 / (1 + np.exp(-f["param_k"])), lambda k: gives("param_k", np.log(k / (1 - k)))
        ),
        asc_amp_pa=simplest(
            f["asc_amps"] * f["voltage_scale"][:, np.newaxis],
            lambda asc: gives("asc_amps", asc / scale[:, np.newaxis]),
        ),
        tau_syn_ms=simplest(np.e / f["psc_initial"], gives_synapse),
    )


def _simplest(
    estimate: F64, regenerates: Callable[[Floats], Bools], working: type[np.floating]
) -> F64:
    """The number that regenerates: of fewest digits, else nearest; else the estimate."""
    best = estimate.astype(working).astype(np.float64)
    still_open = np.ones(estimate.shape, dtype=bool)
    with np.errstate(all="ignore"):
        for candidate in _candidates(estimate):
            rounded = candidate.astype(working)
            hit = still_open & regenerates(rounded)
            best = np.where(hit, rounded, best)
            still_open &= ~hit
            if not still_open.any():
                break
    return best


def _candidates(estimate: F64) -> Iterator[F64]:
    """Numbers near an estimate: decimals of growing length, itself, float32 neighbours."""
    magnitude = np.floor(np.log10(np.where(estimate == 0, 1.0, np.abs(estimate))))
    for digits in range(_MAX_DIGITS):
        unit = 10.0 ** (magnitude - digits)
        yield np.rint(estimate / unit) * unit
    yield estimate
    bits = estimate.astype(np.float32).view(np.int32)
    for step in range(1, _MAX_STEPS):
        for side in (step, -step):
            yield (bits + np.int32(side)).view(np.float32).astype(np.float64)

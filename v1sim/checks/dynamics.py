"""Checks of dynamics: whether a run simulates a network in the equations that it was trained in."""

from __future__ import annotations

from collections.abc import Iterator

from v1sim.checks.registry import Context, Observation, check
from v1sim.model import Severity
from v1sim.printable import printable

__all__ = ["OWN_DYNAMICS"]

#: Dynamics of a run that are a network's own, where it names any.
OWN_DYNAMICS = ("auto", "training", "training_single", "training_float32")

_COST = (
    "Every spike leaves the membrane and the after-spike currents in other states, so that "
    "networks drift apart spike by spike: in glif_psc a network of the published training keeps "
    "17 % of TensorFlow's 21,898 spikes in their millisecond and 95 % of their number, and a "
    "circuit of DPointNet, its trained weights in PointNet, gave 204 spikes for 289"
)


def _seen(context: Context) -> Observation | None:
    """What there is to be said of the run's dynamics; None where they are the network's own."""
    dynamics, trained = context.dynamics, context.network.dynamics
    if dynamics is None or trained is None or dynamics in OWN_DYNAMICS:
        return None
    named = f"{printable(trained.trainer)}, {trained.reset} reset, steps of {trained.step_ms:g} ms"
    return Observation(
        "dynamics",
        f"the network was trained in other dynamics ({named}) than it is run in ({dynamics}). "
        f"{_COST}",
        "set simulation.dynamics: auto, or training",
        observed={
            "trainer": trained.trainer,
            "reset": trained.reset,
            "step_ms": trained.step_ms,
            "run_in": dynamics,
        },
    )


@check(
    "dynamics.other",
    severity=Severity.WARNING,
    reason="Weights are trained for one set of equations; in others the same weights are another "
    f"network. {_COST}.",
    calibration="Exact: the file names the dynamics that it was trained in, and the run's "
    "simulation.dynamics are others. A file that names none is not judged.",
)
def other(context: Context) -> Iterator[Observation]:
    """A network is run in other dynamics than those that it was trained in."""
    if context.require_dynamics == "own":
        return  # dynamics.required says it, as an error
    seen = _seen(context)
    if seen is not None:
        yield seen


@check(
    "dynamics.required",
    severity=Severity.ERROR,
    reason="require_dynamics: own asks for the dynamics that a network was trained in.",
    calibration="Exact: the run's dynamics are those that the file names, or they are not; a file "
    "that names none cannot be said to be run in its own.",
)
def required(context: Context) -> Iterator[Observation]:
    """`require_dynamics: own`, and a run is not in the dynamics that the network was trained in."""
    if context.require_dynamics != "own":
        return
    seen = _seen(context)
    if seen is not None:
        yield seen
    elif context.network.dynamics is None:
        yield Observation(
            "dynamics",
            "the network's source does not say which dynamics it was trained in, and own ones are "
            "required",
            "convert it from its checkpoint or training folder, or set require_dynamics: any",
        )

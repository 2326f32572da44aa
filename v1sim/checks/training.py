"""What the weights themselves say about training.

Under the sign constraint, training pushes weights to exactly zero and holds
them there. No initial weights have exact zeros. That is evidence that a
training took place, not what was learned: a network trained on shuffled
labels has zeros too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from v1sim.checks.registry import Context, Observation, check
from v1sim.checks.statistics import count_values
from v1sim.model import RECEPTORS, Severity

__all__ = ["TRAINED_ZEROS", "ZEROS", "ZeroEvidence", "zero_evidence"]

#: Name of the check whose ``observed["trained"]`` is the evidence of training.
ZEROS = "training.zeros"

#: Fraction of recurrent weights that are exactly zero from which on they say
#: "trained". Seen: 0.22 and 0.23 in two trained networks (0.18 in one trained on shuffled
#: labels), 0.004 after five steps, 0 before.
TRAINED_ZEROS = 0.05
#: The same for each receptor: 0.18..0.30 and 0.08..0.26 in the trained networks. One
#: that has none was not trained, one that has few others was blanked.
_RECEPTOR_LOW, _RECEPTOR_HIGH = 0.02, 0.7
#: Synapses of a receptor from which on its fraction means something.
_MIN_SYNAPSES = 200
#: Training leaves zeros on every cell; a block of zeros leaves most cells without. The
#: median over cells of the fraction of zeros, relative to the whole's: about 1 in the
#: trained network.
_SPREAD_LOW = 0.3
#: Incoming synapses of a cell from which on its fraction means something.
_MIN_INCOMING = 20


@dataclass(frozen=True)
class ZeroEvidence:
    """Fractions of recurrent weights that are exactly zero, and what they amount to.

    ``spread`` is the median over cells of the fraction among incoming
    synapses, divided by ``fraction`` (None where there are too few synapses).
    """

    fraction: float
    by_receptor: dict[str, float]
    spread: float | None
    trained: bool
    why_not: str


def zero_evidence(context: Context) -> ZeroEvidence:
    """The evidence of the exact zeros in the recurrent weights.

    Needs indices and receptors in range.
    """
    table = context.network.recurrent
    zero = table.weight == 0
    n_synapses = count_values(table.receptor, len(RECEPTORS))
    n_zero = count_values(table.receptor[zero], len(RECEPTORS))
    fraction = float(n_zero.sum() / max(n_synapses.sum(), 1))
    by_receptor = {
        name: float(n_zero[i] / n_synapses[i]) for i, name in enumerate(RECEPTORS) if n_synapses[i]
    }
    n_incoming = count_values(table.post, context.network.n_neurons)
    n_zero_incoming = count_values(table.post[zero], context.network.n_neurons)
    enough = n_incoming >= _MIN_INCOMING
    spread = None
    if fraction > 0 and enough.any():
        spread = float(np.median(n_zero_incoming[enough] / n_incoming[enough])) / fraction
    odd = [
        f"{name} {by_receptor[name]:.1%}"
        for i, name in enumerate(RECEPTORS)
        if n_synapses[i] >= _MIN_SYNAPSES
        and not _RECEPTOR_LOW <= by_receptor[name] <= _RECEPTOR_HIGH
    ]
    why_not = ""
    if fraction < TRAINED_ZEROS:
        why_not = f"trained networks have {TRAINED_ZEROS:.0%} or more"
    elif odd:
        why_not = f"not in every receptor as training leaves them ({', '.join(odd)})"
    elif spread is None or spread < _SPREAD_LOW:
        why_not = "they are concentrated on few cells, as a block of missing values would be"
    return ZeroEvidence(fraction, by_receptor, spread, not why_not, why_not)


@check(
    ZEROS,
    severity=Severity.INFO,
    reason="Training under the sign constraint leaves exact zeros, and no initial weights have "
    "them. They show that a training took place, not what it was for.",
    calibration="Recurrent weights: 22-23 % in two trained networks, 0.4 % after five steps, "
    f"0 before; at least {TRAINED_ZEROS:.0%} in all and 2 % in each receptor is evidence.",
    needs=("structure.index_range", "structure.receptor_range", "values.finite"),
)
def zeros(context: Context) -> Iterator[Observation]:
    """How many recurrent weights are exactly zero, and what that says."""
    evidence = zero_evidence(context)
    n = len(context.network.recurrent)
    shares = ", ".join(f"{name} {share:.1%}" for name, share in evidence.by_receptor.items())
    says = (
        "as in trained networks (which does not show what was learned)"
        if evidence.trained
        else f"which is no evidence of training: {evidence.why_not}"
    )
    yield Observation(
        "recurrent/weights",
        f"{evidence.fraction:.2%} of {n:,} weights are exactly zero ({shares}), {says}",
        n_bad=0,
        n_seen=n,
        observed={
            "fraction_zero": evidence.fraction,
            "by_receptor": evidence.by_receptor,
            "spread": evidence.spread,
            "trained": evidence.trained,
        },
    )

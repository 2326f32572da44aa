"""What the command line shows of a training with DPointNet, as plain text."""

from __future__ import annotations

from v1sim.conversion.convert import Conversion
from v1sim.conversion.dpointnet import DPointNetConversion, DPointNetTraining, summary
from v1sim.model import Severity
from v1sim.printable import printable
from v1sim.report import conversion

__all__ = ["conversion_text", "training_text"]


def conversion_text(done: Conversion | DPointNetConversion) -> str:
    """What was converted, whatever trained it."""
    if isinstance(done, Conversion):
        return conversion.conversion_text(done)
    return training_text(done.training, done.network.source.path)


def training_text(training: DPointNetTraining, written: str) -> str:
    """A training that was converted: what it is, what changed, and what DPointNet did in silence.

    Parameters
    ----------
    training : DPointNetTraining
        The training.
    written : str
        The file that it was written to.
    """
    lines = [f"{written}: {training.kind} ({printable(training.reason)})"]
    lines += [f"  {printable(line)}" for line in summary(training)]
    noted = [r for r in training.network.remarks if r.severity is not Severity.INFO]
    if noted:
        lines.append(f"  what DPointNet did in silence (v1sim check {written} says more):")
    lines += [f"    {r.severity}: {printable(r.message)}" for r in noted]
    return "\n".join(lines)

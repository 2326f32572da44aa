"""One tree of exceptions; its leaves say when they occur and carry their exit code.

::

    V1simError                  anything v1sim reports on purpose
    ├── InputError              exit 2: what the user gave cannot be used
    │   ├── ConfigError         the YAML or an override is wrong; names key and line
    │   ├── NetworkFileError    the file cannot be read as a network; carries findings
    │   ├── StimulusError       the stimulus cannot be made for this network
    │   ├── CheckpointError     the TensorFlow checkpoint cannot be used
    │   ├── MissingExtraError   an optional package is not installed; names the line to type
    │   └── OutputError         the output cannot be written (folder, permission, disk)
    ├── GuardRefusal            exit 1: the guards refused the network; carries the report
    ├── DisagreementError       exit 1: NEST's spikes are not the true ones
    ├── MemoryLimitError        exit 3: there is not enough memory; names the limit
    └── SimulationError         exit 3: the simulation failed
        └── ReadbackError       what NEST holds is not what the plan says

Every message says what was seen, where, what was expected and what to do next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from v1sim.model import CheckReport, Finding

__all__ = [
    "CheckpointError",
    "ConfigError",
    "DisagreementError",
    "GuardRefusal",
    "InputError",
    "MemoryLimitError",
    "MissingExtraError",
    "NetworkFileError",
    "OutputError",
    "ReadbackError",
    "SimulationError",
    "StimulusError",
    "V1simError",
]


class V1simError(Exception):
    """Base of every error that v1sim raises on purpose.

    Parameters
    ----------
    seen : str
        What was seen, in one sentence.
    where : str, optional
        File, dataset, configuration key or population it was seen in.
    expected : str, optional
        What was expected instead.
    hint : str, optional
        What to do next.
    """

    exit_code: ClassVar[int] = 2

    def __init__(
        self,
        seen: str,
        *,
        where: str | None = None,
        expected: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.seen = seen
        self.where = where
        self.expected = expected
        self.hint = hint
        lines = [f"{where}: {seen}" if where else seen]
        if expected:
            lines.append(f"  expected: {expected}")
        if hint:
            lines.append(f"  what to do: {hint}")
        super().__init__("\n".join(lines))


class InputError(V1simError):
    """What the user gave cannot be used."""


class DisagreementError(V1simError):
    """What NEST gave is not what the truth says."""

    exit_code: ClassVar[int] = 1


class ConfigError(InputError):
    """The configuration or an override is wrong."""


class NetworkFileError(InputError):
    """The file cannot be turned into a network at all.

    ``findings`` holds one `Finding` for each problem that was seen, so that
    ``v1sim check --json`` can report them like any other.
    """

    def __init__(
        self,
        seen: str,
        *,
        where: str | None = None,
        expected: str | None = None,
        hint: str | None = None,
        findings: Sequence[Finding] = (),
    ) -> None:
        super().__init__(seen, where=where, expected=expected, hint=hint)
        self.findings = tuple(findings)


class StimulusError(InputError):
    """The stimulus cannot be made for this network."""


class CheckpointError(InputError):
    """The TensorFlow checkpoint cannot be used."""


class MissingExtraError(InputError):
    """An optional package is not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed",
            hint=f"pip install 'v1sim[{extra}]'",
        )


class OutputError(InputError):
    """The output cannot be written."""


class GuardRefusal(V1simError):
    """The guards refused the network; ``report`` says why."""

    exit_code = 1

    def __init__(self, report: CheckReport, *, hint: str | None = None) -> None:
        n_fatal = len(report.blocking)
        super().__init__(
            f"refused by {n_fatal} finding{'s' if n_fatal != 1 else ''}; no neuron was created",
            where=report.network_path,
            hint=hint,
        )
        self.report = report


class MemoryLimitError(V1simError):
    """There is not enough memory: of the machine, or of what this process may use."""

    exit_code = 3


class SimulationError(V1simError):
    """The simulation failed."""

    exit_code = 3


class ReadbackError(SimulationError):
    """What NEST holds is not what the plan says; ``finding`` says it as the guards do."""

    def __init__(
        self, finding: Finding, *, expected: str | None = None, hint: str | None = None
    ) -> None:
        examples = "".join(f"\n    {example}" for example in finding.examples)
        super().__init__(
            finding.message + examples, where=finding.where, expected=expected, hint=hint
        )
        self.finding = finding

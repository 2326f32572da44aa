"""``v1sim check --json``, and what lets a network through again that passed before."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Literal

from pydantic import Field

from v1sim.documents.document import Document, plain
from v1sim.errors import NetworkFileError
from v1sim.model import (
    ArrayRequirements,
    ArrayVerdict,
    CheckReport,
    Finding,
    Proof,
    Requirement,
    Severity,
    Strength,
    TrainingMinimum,
    Verdict,
)

__all__ = [
    "ArrayDocument",
    "CheckDocument",
    "FindingDocument",
    "PassDocument",
    "PolicyDocument",
    "TableStatistics",
]


class FindingDocument(Document):
    """One thing that one check saw."""

    check: str
    """Name of the check."""
    severity: Severity
    """An error refuses the network; a warning and information do not."""
    where: str
    """Array, cell type, file or part of the network."""
    message: str
    """What was seen."""
    hint: str
    """What to do; may be empty."""
    n_bad: int
    """Number of values that are wrong."""
    n_seen: int
    """Number of values that were looked at."""
    examples: list[str]
    """Up to five of them."""
    observed: dict[str, Any]
    """The numbers behind the message."""

    @classmethod
    def of_finding(cls, finding: Finding) -> FindingDocument:
        """The document of a finding."""
        return cls(
            check=finding.check,
            severity=finding.severity,
            where=finding.where,
            message=finding.message,
            hint=finding.hint,
            n_bad=finding.n_bad,
            n_seen=finding.n_seen,
            examples=list(finding.examples),
            observed=plain(finding.observed),
        )

    @property
    def waived_as(self) -> str:
        """The name that a waiver of it gives."""
        return self.to_finding().waived_as

    def to_finding(self) -> Finding:
        """The finding again."""
        return Finding(
            **{
                **dict(self),
                "examples": tuple(self.examples),
                "observed": MappingProxyType(self.observed),
            }
        )


class ArrayDocument(Document):
    """What one array of weights is."""

    verdict: Verdict
    proof: Proof
    """What the verdict rests on; null where nothing tells."""
    why: str


class Summary(Document):
    """Statistics of weights in one unit."""

    mean: float
    std: float
    min: float
    max: float
    abs_percentiles: dict[str, float | None]
    """Percentiles of the size of nonzero weights, by percent."""


class Statistics(Document):
    """Statistics of some weights; null where a value is not finite."""

    n: int
    """Number of synapses."""
    n_zero: int
    """Number of weights that are exactly zero."""
    fraction_zero: float | None
    normalised: Summary | None
    """Of weights as the file has them."""
    pa: Summary | None
    """Of weights in pA."""


class TableStatistics(Statistics):
    """Statistics of a synapse table."""

    receptors: dict[str, Statistics]
    """Likewise, by receptor."""


class CheckDocument(Document):
    """Everything that the guards saw in one network."""

    verdict: Verdict
    """What the weights are."""
    proof: Proof
    """What the verdict rests on; null where nothing tells."""
    passed: bool
    """Whether nothing refuses the network."""
    findings: list[FindingDocument]
    arrays: dict[str, ArrayDocument]
    """A verdict for each array of weights, by its name."""
    groups: dict[str, TableStatistics]
    """Statistics of each synapse table, for information; empty where indices are out of range."""
    network_sha256: str
    """Digest of what the network holds; empty for a file that could not be read."""
    network: str
    """The file."""
    require: Requirement | ArrayRequirements | None
    """What the weights were required to be; null for a file that could not be read."""
    doubts: list[str] = Field(default_factory=list)
    """What is not shown of a network that passes, or was waived, in sentences."""
    waived: dict[str, str]
    """The reason for each check that was waived, by its name."""
    checks_run: list[str]
    """Names of the checks that ran."""

    @classmethod
    def of_report(cls, report: CheckReport) -> CheckDocument:
        """The document of the guards' report."""
        return cls(
            verdict=report.verdict,
            proof=report.proof,
            passed=report.passed,
            findings=[FindingDocument.of_finding(finding) for finding in report.findings],
            arrays={
                name: ArrayDocument(verdict=array.verdict, proof=array.proof, why=array.why)
                for name, array in report.arrays.items()
            },
            groups=plain(report.groups),
            network_sha256=report.network_sha256,
            network=report.network_path,
            require=report.require,
            doubts=list(report.doubts),
            waived=dict(report.waived),
            checks_run=list(report.checks_run),
        )

    @classmethod
    def of_unreadable(cls, error: NetworkFileError) -> CheckDocument:
        """The same for a file that could not be read as a network."""
        findings = error.findings or (
            Finding(
                "structure.file", Severity.ERROR, error.where or "", error.seen, error.hint or ""
            ),
        )
        return cls(
            verdict=Verdict.UNDETERMINED,
            proof=None,
            passed=False,
            findings=[FindingDocument.of_finding(finding) for finding in findings],
            arrays={},
            groups={},
            network_sha256="",
            network=error.where or "",
            require=None,
            doubts=[],
            waived={},
            checks_run=[],
        )

    def to_report(self) -> CheckReport:
        """The guards' report again.

        Raises
        ------
        ValueError
            If it is that of a file that could not be read.
        """
        if self.require is None:
            msg = "a file that could not be read has no report"
            raise ValueError(msg)
        values = self.model_dump(mode="json", include={"groups"})
        return CheckReport(
            findings=tuple(finding.to_finding() for finding in self.findings),
            checks_run=tuple(self.checks_run),
            waived=MappingProxyType(self.waived),
            verdict=self.verdict,
            proof=self.proof,
            network_sha256=self.network_sha256,
            network_path=self.network,
            require=self.require,
            doubts=tuple(self.doubts),
            groups=MappingProxyType(values["groups"]),
            arrays=MappingProxyType(
                {
                    name: ArrayVerdict(array.verdict, array.proof, array.why)
                    for name, array in self.arrays.items()
                }
            ),
        )


class PolicyDocument(Document):
    """What was required of a network."""

    require: Requirement | ArrayRequirements
    strength: Strength
    waivers: dict[str, str]
    dt_ms: float | None
    checkpoint: str | None
    baseline: str | None
    minimum: TrainingMinimum
    trusted_keys: str | None
    dynamics: str | None
    require_dynamics: Literal["any", "own"]


class PassDocument(Document):
    """That a network file passed the guards: good for the same file, policy and version."""

    v1sim: str
    """Version that checked it."""
    file_sha256: str
    """Digest of the file's bytes."""
    policy: PolicyDocument
    report: CheckDocument
    seal: str | None = None
    """That this user's v1sim wrote it; without, the checks are run again."""

    @property
    def unsealed(self) -> str:
        """What the seal is of."""
        return self.model_copy(update={"seal": None}).to_text()

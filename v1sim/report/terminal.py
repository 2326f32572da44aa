"""What the command line shows: the guards' report as a table, and progress."""

from __future__ import annotations

import io
import time
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from v1sim.card import time_left_s
from v1sim.model import CheckReport, Severity
from v1sim.printable import printable
from v1sim.verdict import EVIDENCE

if TYPE_CHECKING:  # they import scipy and pydantic
    from v1sim.documents.doctor import DoctorDocument
    from v1sim.verification import Agreement, GroupResult, Verification

__all__ = ["StageProgress", "agreement_report", "check_report", "doctor_text", "show"]

#: Columns of output that is not to be wrapped.
_UNWRAPPED = 100_000
#: What the amounts of a stage are counted in.
_UNITS = {
    "populations": " populations",
    "synapses": " synapses",
    "simulate": " ms",
    "runs": " runs",
}
_STYLE = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.INFO: "dim"}


def _duration(seconds: float) -> str:
    """A time in the unit in which people would say it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def show(console: Console, renderable: RenderableType) -> None:
    """Print what a function of this module gave; whole lines where the output is no terminal.

    There, what is wrapped cannot be searched or pasted.
    """
    if console.is_terminal:
        console.print(renderable)
        return
    wide = Console(file=io.StringIO(), width=_UNWRAPPED, highlight=False)
    with wide.capture() as captured:
        wide.print(renderable)
    for line in captured.get().splitlines():
        console.print(line.rstrip(), markup=False, soft_wrap=True)


def _printable_report(report: CheckReport) -> CheckReport:
    """The report without control characters: names in it may come from a file."""
    return replace(
        report,
        network_path=printable(report.network_path),
        findings=tuple(
            replace(
                finding,
                where=printable(finding.where),
                message=printable(finding.message),
                hint=printable(finding.hint),
                examples=tuple(map(printable, finding.examples)),
            )
            for finding in report.findings
        ),
        arrays={
            name: replace(array, why=printable(array.why)) for name, array in report.arrays.items()
        },
        doubts=tuple(map(printable, report.doubts)),
        waived={name: printable(reason) for name, reason in report.waived.items()},
    )


def check_report(report: CheckReport) -> RenderableType:
    """The guards' report: verdict first, then what refuses, what warns, what was waived.

    Information is left out; the JSON and HTML reports have all of it.
    """
    report = _printable_report(report)
    styles = {"REFUSED": "bold red", "PASSED": "bold green"}
    gate = (f"{report.outcome}  ", styles.get(report.outcome, "bold yellow"))
    head = Text.assemble(
        gate,
        (report.network_path, "bold"),
        f"\nweights: {report.verdict}",
        f" (proof: {report.proof})" if report.proof else " (no proof)",
        f"; required: {report.require}; {len(report.checks_run)} checks",
        f"\nnetwork sha256: {report.network_sha256[:16]}…" if report.network_sha256 else "",
    )
    if report.passed:
        for doubt in report.doubts:
            head.append(f"\n{doubt}", "yellow")
    shown = [f for f in report.findings if f.severity is not Severity.INFO]
    for name, array in report.arrays.items():
        proof = f" ({array.proof})" if array.proof else ""
        head.append(f"\n  {name}: {array.verdict}{proof}: {array.why}", "dim")
    for finding in report.findings:
        if finding.check == EVIDENCE:
            head.append(f"\n{finding.message}\n→ {finding.hint}")
    parts: list[RenderableType] = [head]
    if shown:
        table = Table(box=None, show_header=True, padding=(0, 1))
        table.add_column("", no_wrap=True)
        table.add_column("check", style="bold", overflow="fold", ratio=1)
        table.add_column("what was seen, where, what to do", overflow="fold", ratio=4)
        for finding in shown:
            waived = report.waived.get(finding.waived_as)
            label = "waived" if waived else str(finding.severity)
            lines = [escape(finding.message)]
            if finding.where:
                lines[0] = f"[cyan]{escape(finding.where)}[/cyan]: {lines[0]}"
            lines += [f"[dim]· {escape(example)}[/dim]" for example in finding.examples]
            if finding.hint:
                lines.append(f"→ {escape(finding.hint)}")
            if waived:
                lines.append(f"[magenta]waived: {escape(waived)}[/magenta]")
            table.add_row(
                Text(label, style="magenta" if waived else _STYLE[finding.severity]),
                escape(finding.check),
                "\n".join(lines),
            )
        parts.append(table)
    n_info = len(report.findings) - len(shown)
    if n_info:
        parts.append(
            Text(
                f"{n_info} findings for information only are left out: see --json or --html",
                style="dim",
            )
        )
    return Group(*parts)


def agreement_report(verification: Verification) -> RenderableType:
    """The agreement with the truth: spikes by trial, then voltages and first differences."""
    parts: list[RenderableType] = [
        Text.assemble(
            (f"{verification.outcome}  ",
             "bold green" if verification.proven else "bold red"),
            (printable(verification.network), "bold"),
            f"\ninput: {verification.input}",
        )
    ]  # fmt: skip
    for group in verification.groups:
        parts += [Text(""), Text(_agreement_sentence(group)), _agreement_table(group)]
        parts += [Text(_agreement_line(a), style="dim") for a in group.agreements]
    parts += [Text(f"left out: {why}", style="dim") for why in verification.left_out]
    return Group(*parts)


def _agreement_sentence(group: GroupResult) -> str:
    """How many spikes were compared, and how many differ."""
    n_truth = sum(trial.n_truth for trial in group.agreements[0].spikes)
    different = ", ".join(f"{a.n_different:,} in {a.name}" for a in group.agreements)
    return f"{n_truth:,} spikes compared, different: {different}"


def _agreement_table(group: GroupResult) -> Table:
    title = (
        f"{group.group or 'drawn input'}: spikes equal, missing (-) and extra (+); "
        f"truth: {group.truth}, background: {group.background}"
    )
    table = Table(box=None, padding=(0, 2), title=title, title_justify="left")
    for name in ("sample", "in truth", *(a.name for a in group.agreements)):
        table.add_column(name, justify="right")
    for trial in range(len(group.agreements[0].spikes)):
        found = [a.spikes[trial] for a in group.agreements]
        cells = [f"{s.n_equal:,} -{s.n_missing:,} +{s.n_extra:,}" for s in found]
        table.add_row(str(trial), f"{found[0].n_truth:,}", *cells)
    return table


def _agreement_line(agreement: Agreement) -> str:
    """Voltages of one integrator, and where it parts from the truth first."""
    largest = [v.largest for v in agreement.voltages if v.largest is not None]
    n, n_equal = (sum(getattr(v, k) for v in agreement.voltages) for k in ("n", "n_equal"))
    text = f"{agreement.name}: "
    text += (
        f"voltage within {max(largest):.2g} mV, {n_equal:,} of {n:,} equal in every bit"
        if largest
        else "no voltages to compare"
    )
    parted = [i for i, d in enumerate(agreement.threshold_distance) if d is not None]
    if parted:
        first = agreement.spikes[parted[0]]
        text += (
            f"; parts from the truth in {len(parted)} of {len(agreement.spikes)} samples, in "
            f"sample {parted[0]} at step {first.first_step} in neuron {first.first_neuron}, "
            f"{agreement.threshold_distance[parted[0]]:.1e} (V_th - E_L) from threshold"
        )
    return text


def doctor_text(found: DoctorDocument) -> str:
    """The environment: a sentence, then each part with what to do, then the versions."""
    wrong = [part for part in found.parts if part.state in ("bad", "doubtful")]
    head = "Everything that a run needs is there."
    if wrong:
        names = ", ".join(part.part for part in wrong)
        head = f"No run is possible: {names}." if found.is_bad else f"Look at: {names}."
    lines = [head, ""]
    for part in found.parts:
        lines.append(f"{part.state:<10}{part.part:<22}{part.seen}")
        if part.what_to_do:
            lines.append(f"{'':<32}→ {part.what_to_do}")
    lines += ["", *(f"{name:<22}{value}" for name, value in found.versions.items())]
    return "\n".join(lines)


class StageProgress:
    """Progress by stage: bars on a terminal, a plain line a stage (and tenth) in a log.

    Use as a context manager; call it with ``(stage, done, total)``.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = (
            Progress(
                TextColumn("{task.description:<14}"),
                BarColumn(),
                TextColumn("{task.fields[amount]}"),
                TimeElapsedColumn(),
                console=console,
            )
            if console.is_terminal
            else None
        )
        self._tasks: dict[str, TaskID] = {}
        self._begun: dict[str, float] = {}
        self._tenths: dict[str, int] = {}

    def __enter__(self) -> StageProgress:
        if self._bars:
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bars:
            self._bars.stop()

    def __call__(self, stage: str, done: float, total: float) -> None:
        """Show that ``done`` of ``total`` of a stage is done."""
        begun = self._begun.setdefault(stage, time.monotonic())
        elapsed = time.monotonic() - begun
        rate = f", {done / elapsed:,.0f}/s" if elapsed > 0.5 else ""
        left_s = time_left_s(done, total, elapsed)
        left = "" if left_s is None else f", about {_duration(left_s)} left"
        unit = _UNITS.get(stage, "")
        share = f" ({done / total:.0%})" if total > 1 else ""
        amount = f"{done:,.0f} of {total:,.0f}{unit}{share}{rate}{left}"
        if self._bars:
            if stage not in self._tasks:
                self._tasks[stage] = self._bars.add_task(stage, total=total, amount=amount)
            self._bars.update(self._tasks[stage], completed=done, total=total, amount=amount)
            return
        tenth = int(10 * done / total) if total else 10
        if tenth > self._tenths.get(stage, -1) and (tenth == 10 or elapsed > 2):
            self._tenths[stage] = tenth
            line = f"{stage}: {amount}, {elapsed:.1f} s"
            self._console.print(line, highlight=False, soft_wrap=True)

"""Runs v1sim on a checkpoint as a user does, and counts what is wrong in what it says."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import re
import shutil
import signal
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from unittest import mock

import numpy as np
import typer.main

from tests.checkpoints.falsehoods import false_sentences
from tests.checkpoints.methods import METHODS, Method
from tests.checkpoints.rules import Given, allowed_kinds, looks_untouched
from tests.checkpoints.truth import Case, TableTruth

_GET_COMMAND = typer.main.get_command
#: How much is asked of v1sim about a checkpoint.
Depth = Literal["inspect", "convert", "all"]
__all__ = ["Answer", "Depth", "Judgement", "Wrong", "judge", "v1sim"]

#: What v1sim calls the weights of each table, and what it called them before it had names of its
#: own for arrays: answers of an earlier version can be judged, too.
_ARRAYS = {
    "recurrent": ("recurrent.weight", "recurrent/weights"),
    "input": ("lgn.weight", "input/weights"),
    "background": ("background.weight", "input/bkg_weights"),
    "readout": ("readout.weight", "readout/readout_weights"),
}


@dataclass(frozen=True)
class Answer:
    """What a command of v1sim did."""

    command: str
    code: int
    text: str
    json: Any = None


@dataclass(frozen=True)
class Wrong:
    """A wrong answer: its kind, the checkpoint, the command, and what was said."""

    kind: str
    case: str
    command: str
    said: str


@dataclass
class Judgement:
    """All that came of a checkpoint."""

    case: Case
    wrong: list[Wrong] = field(default_factory=list)
    #: Kind that was answered, by what was given besides.
    kinds: dict[str, str | None] = field(default_factory=dict)
    n_commands: int = 0


@functools.cache
def _parser(app: Any) -> Any:
    return _GET_COMMAND(app)


def v1sim(*arguments: object, report: Path | None = None) -> Answer:
    """A command line of v1sim in this process; ``report`` is the file of its ``--json``."""
    from v1sim import cli

    words = [str(word) for word in arguments]
    if report is not None:
        report.unlink(missing_ok=True)
        words += ["--json", str(report)]
    said, before, code = io.StringIO(), sys.argv, 0
    on_end = signal.getsignal(signal.SIGTERM)
    sys.argv = ["v1sim", *words]
    try:
        with (
            # The parser of the command line is the same each time, and takes longer than the rest.
            mock.patch.object(typer.main, "get_command", _parser),
            contextlib.redirect_stdout(said),
            contextlib.redirect_stderr(said),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            cli.main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 3
    finally:
        sys.argv = before
        signal.signal(signal.SIGTERM, on_end)
    content = None
    if report is not None and report.is_file():
        content = json.loads(report.read_text(encoding="utf-8"))
    return Answer(" ".join(words), code, said.getvalue(), content)


def judge(case: Case, folder: Path, depth: Depth = "all") -> Judgement:
    """Judge what v1sim says of a checkpoint.

    Parameters
    ----------
    case : Case
        The checkpoint and its truth.
    folder : Path
        For files that are made meanwhile.
    depth : str
        "inspect" takes no TensorFlow; "convert" converts and checks too; "all" also judges with
        the weights before training, and stamps.
    """
    return _Judge(case, folder, depth).run()


def _names(family: str, method: Method | None) -> bool:
    """Whether the families that v1sim names have the right one among them."""
    return method is None or method.class_name in re.findall(r"\w+", family)


class _Judge:
    def __init__(self, case: Case, folder: Path, depth: Depth) -> None:
        self.depth = depth
        self.case, self.truth, self.folder = case, case.truth, folder
        self.judgement = Judgement(case)
        self.report = folder / "report.json"

    def run(self) -> Judgement:
        if self.truth.expected == "refused":
            self.refused()
            return self.judgement
        self.inspect()
        if self.depth == "inspect":
            return self.judgement
        if self.case.storage != "index":
            self.convert()
        readable = not self.truth.expected and "signs crossed" not in self.truth.notes
        if self.case.now is not None and readable:
            self.prove()
        return self.judgement

    # --- helpers -----------------------------------------------------------------------------

    def ask(self, *arguments: object, report: bool = False) -> Answer:
        answer = v1sim(*arguments, report=self.report if report else None)
        self.judgement.n_commands += 1
        for kind, words in false_sentences(self.case, answer.text):
            self.wrong(f"false: {kind}", answer, words)
        if answer.code not in (0, 1, 2):
            self.wrong("traceback", answer, answer.text[-300:])
        return answer

    def wrong(self, kind: str, answer: Answer, said: str) -> None:
        found = Wrong(kind, self.case.name, answer.command, " ".join(said.split())[:300])
        self.judgement.wrong.append(found)

    def kind(
        self,
        kind: str | None,
        answer: Answer,
        given: Given = "nothing",
        allowed: set[str] | None = None,
    ) -> None:
        """Whether a kind of weights is right; ``allowed`` are those that `allowed_kinds` says."""
        if allowed is None:
            allowed, _ = allowed_kinds(self.case, given)
        self.judgement.kinds.setdefault(f"{given}", kind)
        if kind in allowed:
            return
        if kind == "trained":
            self.wrong("untrained passes", answer, f"called {kind}, it is {self.truth.kind}")
        elif self.truth.kind == "trained" and kind != "undetermined":
            self.wrong("trained refused", answer, f"called {kind}: {answer.text[-400:]}")
        elif kind == "undetermined":
            self.wrong("undetermined", answer, f"it is {self.truth.kind}: {answer.text[-400:]}")
        else:
            self.wrong("another kind", answer, f"called {kind}, it is {self.truth.kind}")

    def arrays(self, answer: Answer) -> None:
        """What the report of ``check`` says of each table."""
        for table, verdict in self._verdicts(answer):
            held = self.truth.tables[table]
            if verdict["verdict"] == "trained" and not held.trained:
                self.wrong(f"false: {table} called trained", answer, str(verdict))
            if verdict["verdict"] == "untrained" and held.trained and not self.excused(table):
                self.wrong(f"false: {table} called untrained", answer, str(verdict))

    def excused(self, table: str) -> bool:
        return table == "recurrent" and looks_untouched(self.truth)

    def _verdicts(self, answer: Answer) -> Iterator[tuple[str, dict[str, Any]]]:
        arrays = (answer.json or {}).get("arrays", {})
        for table in self.truth.tables:
            for name in _ARRAYS[table]:
                if name in arrays:
                    yield table, arrays[name]

    def passes(self, answer: Answer, allowed: set[str], *, with_start: bool = False) -> None:
        """Whether a file passed the strength "proof" that must, or must not.

        Exact zeros are no proof: weights of which nothing else tells are called trained and
        refused all the same.
        """
        said = answer.json or {}
        if answer.code == 0 and "trained" not in allowed:
            self.wrong("untrained passes", answer, f"passed as {said.get('verdict')}")
        if answer.code == 0 or allowed != {"trained"}:
            return
        proven = with_start or self.truth.tables["recurrent"].slots == "gradients"
        if proven or (said.get("verdict"), said.get("proof")) != ("trained", "evidence"):
            self.wrong("trained refused", answer, answer.text[-500:])

    # --- commands ----------------------------------------------------------------------------

    def refused(self) -> None:
        """A file that is no whole checkpoint: refused, with the lines that write one."""
        for answer in (
            self.ask("inspect", self.case.checkpoint),
            self.ask("convert", self.case.checkpoint, "--out", self.folder / "refused.h5"),
        ):
            if answer.code == 0 and answer.command.startswith("convert"):
                self.wrong("untrained passes", answer, "converted a file that lacks variables")
            if answer.code and "tf.train.Checkpoint(" not in answer.text:
                self.wrong("no way out", answer, answer.text)

    def inspect(self) -> None:
        answer = self.ask("inspect", self.case.checkpoint, report=True)
        if answer.code:
            if self.truth.expected != "refused or read":
                self.wrong("trained refused", answer, answer.text)
            return
        found = answer.json
        if self.truth.expected and found["kind"] is None:
            return
        self.kind(found["kind"], answer)
        self.scalars(found, answer)
        self.tables(found, answer)
        if self.case.storage != "index" and self._has_average() and "average" not in answer.text:
            self.wrong("average not named", answer, "inspect says nothing of averages")
        if self.case.storage != "index" and "signs crossed" not in self.truth.notes:
            for option, given in (
                ("--initial", self.case.initial),
                ("--baseline", self.case.start),
            ):
                answer = self.ask("inspect", self.case.checkpoint, option, given, report=True)
                if "No such option" not in answer.text and answer.json:
                    self.kind(answer.json["kind"], answer, "start")
                    self.tables(answer.json, answer)

    def tables(self, found: dict[str, Any], answer: Answer) -> None:
        """What the report of ``inspect`` says of each table."""
        for table, said in (found.get("tables") or {}).items():
            if (held := self.truth.tables.get(table)) is None:
                continue
            self.origin(table, held, said["origin"], said["why"], answer)
            owner = self.truth.optimizers.get(held.held_by or "")
            if owner is None or not said["optimizer"]:
                continue
            if not said["optimizer"].startswith(held.held_by):
                self.wrong("false: optimizer", answer, f"{table}: {said['optimizer']}")
                continue
            if said["iterations"] not in (None, owner.counter, owner.updates):
                self.wrong("false: counter", answer, f"{table}: {said['iterations']}")
            rate = said["learning_rate"]
            wanted = owner.learning_rate
            if rate is not None and (wanted is None or abs(rate - wanted) > 1e-2 * wanted):
                self.wrong("false: learning rate", answer, f"{table}: {rate}, not {wanted}")
            method = METHODS.get(owner.family)
            known = bool(said["family"]) and self.case.storage != "index"
            if known and not _names(said["family"], method):
                self.wrong("false: family", answer, f"{said['family']} for {owner.family}")
            self.slots(table, held, said, answer)

    def slots(self, table: str, held: TableTruth, said: dict[str, Any], answer: Answer) -> None:
        """What it reads from the slots of a table."""
        told = {slot["says"] for slot in said["slots"].values()}
        for word, truth in (("gradient", "no gradients"), ("no gradient", "gradients")):
            if word in told and held.slots == truth:
                self.wrong(f"false: {table}: slots misread", answer, str(said["slots"]))

    def _has_average(self) -> bool:
        return any(table.average for table in self.truth.tables.values())

    def scalars(self, found: dict[str, Any], answer: Answer) -> None:
        """Counter and learning rate of the optimizer that holds the recurrent weights."""
        held = self.truth.tables["recurrent"].held_by or self.truth.tables["input"].held_by
        owners = [o for name, o in self.truth.optimizers.items() if held is None or name == held]
        if (count := found.get("iterations")) is not None:
            right = {o.counter for o in owners} | {o.updates for o in owners}
            if count not in right:
                self.wrong("false: counter", answer, f"{count}, not {sorted(map(str, right))}")
        if (rate := found.get("learning_rate")) is not None:
            rates = [o.learning_rate for o in owners if o.learning_rate is not None]
            if not any(abs(rate - r) <= 1e-3 * r for r in rates):
                self.wrong("false: learning rate", answer, f"{rate}, not {rates}")

    def convert(self) -> None:
        out = self.folder / "net.h5"
        out.unlink(missing_ok=True)
        answer = self.ask("convert", self.case.checkpoint, "--out", out)
        allowed, _ = allowed_kinds(self.case, "nothing")
        readable = not self.truth.expected and "signs crossed" not in self.truth.notes
        if answer.code == 0 and "trained" not in allowed:
            self.wrong("untrained passes", answer, answer.text)
        if answer.code and allowed == {"trained"} and readable:
            self.wrong("trained refused", answer, answer.text)
        if answer.code:
            answer = self.ask("convert", self.case.checkpoint, "--out", out, "--allow-untrained")
            if answer.code and readable:
                self.wrong("not converted", answer, answer.text)
        if answer.code == 0:
            self.provenance(out, answer, allowed)
            checked = self.ask("check", out, "--strength", "proof", report=True)
            self.passes(checked, allowed)
            self.arrays(checked)
        if readable and "recurrent" in self.case.extra.get("averages", {}):
            self.convert_average(out)
        if readable and self.depth == "all":
            self.convert_with_start(out)

    def convert_with_start(self, out: Path) -> None:
        """With the training data beside it, the answer is known."""
        out.unlink(missing_ok=True)
        allowed, _ = allowed_kinds(self.case, "start")
        for option, given in self._starts():
            answer = self.ask("convert", self.case.checkpoint, "--out", out, option, given)
            if "No such option" in answer.text:
                continue
            if answer.code == 0 and "trained" not in allowed:
                self.wrong("untrained passes", answer, answer.text)
            if answer.code and allowed == {"trained"}:
                self.wrong("trained refused", answer, answer.text)
            if answer.code:
                words = "convert", self.case.checkpoint, "--out", out, option, given
                answer = self.ask(*words, "--allow-untrained")
                if answer.code:
                    self.wrong("not converted", answer, answer.text)
                    continue
            self.provenance(out, answer, allowed, given="start")
            out.unlink(missing_ok=True)

    def convert_average(self, out: Path) -> None:
        """The average in place of the weights, or refused because it crossed zero."""
        from v1sim.sources import open_network

        out.unlink(missing_ok=True)
        words = "--weights", "average", "--allow-untrained"
        answer = self.ask("convert", self.case.checkpoint, "--out", out, *words)
        if "No such option" in answer.text:
            return
        if answer.code:
            if "sign" not in answer.text:
                self.wrong("average not converted", answer, answer.text)
            return
        network = open_network(out)
        held = {"recurrent": network.tables["recurrent"], "input": network.tables["lgn"]}
        for table, wanted in self.case.extra["averages"].items():
            if table in held and abs(np.abs(held[table].weight).sum() - wanted) > 1e-3 * wanted:
                self.wrong("false: average", answer, f"{table}: not the average's values")

    def _starts(self) -> list[tuple[str, Path]]:
        starts = [("--initial", self.case.initial), ("--baseline", self.case.start)]
        if self.case.now is not None and self.case.data_dir is not None:
            starts.append(("--data-dir", self.case.data_dir))
        return starts

    def provenance(
        self, out: Path, answer: Answer, allowed: set[str], given: Given = "nothing"
    ) -> None:
        """What the file says of itself."""
        from v1sim.sources import open_network

        noted = open_network(out).provenance
        assert noted is not None
        self.kind(str(noted.kind), answer, given, allowed)
        for table, held in self.truth.tables.items():
            for name in _ARRAYS[table]:
                if array := noted.arrays.get(name):
                    self.origin(table, held, str(array.origin), array.detail, answer)

    def origin(
        self, table: str, held: TableTruth, origin: str, detail: str, answer: Answer
    ) -> None:
        said = f"{table} weights: {origin}, {detail}"
        if origin.startswith("trained") and not held.trained:
            self.wrong(f"false: {table} called trained", answer, said)
        if (
            origin in ("initial value", "initial", "frozen")
            and held.trained
            and not self.excused(table)
        ):
            self.wrong(f"false: {table} called initial", answer, said)
        frozen = re.search(r"(?<!not )\bfrozen", f"{origin} {detail}")
        if frozen and held.trainable and held.held_by:
            self.wrong(f"false: {table} called frozen", answer, said)

    def prove(self) -> None:
        """Files with the weights of now and of the start against the checkpoint."""
        allowed, _ = allowed_kinds(self.case, "nothing", weights_at_hand=True)
        now, copy = self.case.now, self.folder / "now.h5"
        words = "--checkpoint", self.case.checkpoint, "--strength", "proof"
        answer = self.ask("check", now, *words, report=True)
        self.passes(answer, allowed)
        self.arrays(answer)
        answer = self.ask("check", self.case.start, *words, report=True)
        if answer.code == 0:
            self.wrong("untrained passes", answer, "the initial weights pass")
        if self.depth != "all":
            return
        answer = self.ask("check", now, "--baseline", self.case.start, *words, report=True)
        known, _ = allowed_kinds(self.case, "start", weights_at_hand=True)
        self.passes(answer, known, with_start=True)
        self.arrays(answer)
        shutil.copy(now, copy)  # type: ignore[arg-type]
        answer = self.ask("stamp", copy, "--checkpoint", self.case.checkpoint)
        if answer.code:
            self.wrong("not stamped", answer, answer.text)
            return
        self.provenance(copy, answer, allowed)
        answer = self.ask("check", copy, "--strength", "proof", report=True)
        self.passes(answer, allowed)
        self.arrays(answer)

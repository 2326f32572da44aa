"""Writes a matrix of checkpoints with TensorFlow and judges what v1sim says of each.

usage: python -m tests.checkpoints --all [--only PATTERN] [--keep DIR] [--json FILE]
       python -m tests.checkpoints --judge DIR [--only PATTERN] [--json FILE]
       python -m tests.checkpoints --write-fixtures

``--keep`` leaves the checkpoints in a folder, which ``--judge`` judges again. Ends with 1
if anything is wrong. The optimizers of Keras 2 need tf_keras: pip install --no-deps tf_keras.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from tests.checkpoints.judge import Depth, Judgement, Wrong, judge
from tests.checkpoints.rules import RULES, allowed_kinds
from tests.checkpoints.truth import Case, read_cases


def write(root: Path, pattern: str) -> None:
    """Train and save what a pattern names."""
    from tests.checkpoints.matrix import available, matrix
    from tests.checkpoints.storage import Writer

    writer = Writer(root)
    since = time.perf_counter()
    chosen = [(name, make) for name, make in available() if _named(name, pattern)]
    if left_out := sum(_named(name, pattern) for name, _ in matrix()) - len(chosen):
        print(f"{left_out:,} programs left out: pip install --no-deps tf_keras makes them too")
    failed: list[str] = []
    for i, (name, make) in enumerate(chosen):
        _progress(f"{i + 1} of {len(chosen)} programs: {name}")
        try:
            make(writer)
        except Exception as error:
            failed.append(f"{name}: {type(error).__name__}: {' '.join(str(error).split())[:200]}")
    _progress("")
    for text in failed:
        print(f"not made: {text}")
    print(
        f"{writer.n_written:,} checkpoints of {len(chosen):,} programs in "
        f"{time.perf_counter() - since:.0f} s"
    )


def judge_all(root: Path, pattern: str, depth: str) -> list[Judgement]:
    """Judge the checkpoints of a folder."""
    cases = [case for case in read_cases(root) if _named(case.name, pattern)]
    judgements = []
    since = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for i, case in enumerate(cases):
            _progress(f"{i + 1} of {len(cases)} checkpoints: {case.name}")
            judgements.append(judge(case, Path(folder), _depth(case, depth)))
    _progress("")
    n_commands = sum(j.n_commands for j in judgements)
    print(
        f"{len(judgements):,} checkpoints judged by {n_commands:,} commands in "
        f"{time.perf_counter() - since:.0f} s"
    )
    return judgements


def _depth(case: Case, depth: str) -> Depth:
    """ "varied" is everything for the checkpoints of Keras 3 in one piece, less for the others."""
    if depth != "varied":
        return depth  # type: ignore[return-value]
    return "all" if case.storage == "whole" and case.truth.program == "keras" else "convert"


def _named(name: str, pattern: str) -> bool:
    return any(fnmatch.fnmatch(name, part) for part in (pattern, f"{pattern}/*", f"*{pattern}*"))


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{text[:100]}")
        sys.stderr.flush()


def summary(judgements: Sequence[Judgement]) -> str:
    """Counts by kind of fault, by family and by situation."""
    wrong = [w for j in judgements for w in j.wrong]
    lines = [f"wrong answers: {len(wrong):,}"]
    lines += [f"  {n:>6,}  {kind}" for kind, n in Counter(w.kind for w in wrong).most_common()]
    faulty = {w.case for w in wrong}
    lines.append(f"checkpoints with a wrong answer: {len(faulty):,} of {len(judgements):,}")
    for title, key in (
        ("by program and family", lambda j: f"{j.case.truth.program} {j.case.truth.family}"),
        ("by situation", lambda j: j.case.truth.situation),
        ("by storage", lambda j: j.case.storage),
    ):
        groups: dict[str, list[Judgement]] = defaultdict(list)
        for judgement in judgements:
            groups[key(judgement)].append(judgement)
        width = max(map(len, groups))
        lines += ["", f"{title:<{width}}  checkpoints  right  undetermined  wrong"]
        for name, group in sorted(groups.items()):
            lines.append(f"{name:<{width}}  {_row(group)}")
    lines += ["", "undetermined, by the rule that allows it:"]
    rules: Counter[str] = Counter()
    for judgement in judgements:
        if judgement.kinds.get("nothing") == "undetermined":
            rules[allowed_kinds(judgement.case, "nothing")[1]] += 1
    lines += [f"  {n:>6,}  {name}: {RULES.get(name, '')}" for name, n in rules.most_common()]
    return "\n".join(lines)


def _row(group: Iterable[Judgement]) -> str:
    group = list(group)
    n_wrong = sum(bool(j.wrong) for j in group)
    vague = sum(not j.wrong and j.kinds.get("nothing") == "undetermined" for j in group)
    right = len(group) - n_wrong - vague
    return f"{len(group):>11,}  {right:>5,}  {vague:>12,}  {n_wrong:>5,}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.checkpoints", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--all", action="store_true", help="write the matrix and judge it")
    what.add_argument("--judge", type=Path, metavar="DIR", help="judge what --keep left")
    what.add_argument("--write", type=Path, metavar="DIR", help="write the matrix only")
    what.add_argument("--write-fixtures", action="store_true", help="make tests/data/checkpoints")
    parser.add_argument("--only", default="*", metavar="PATTERN", help="names, with * and ?")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave the checkpoints here")
    parser.add_argument("--json", type=Path, metavar="FILE", help="every judgement")
    parser.add_argument(
        "--depth",
        choices=("inspect", "convert", "all", "varied"),
        default="varied",
        help="what is asked: inspect alone is quick; all asks most; varied does either",
    )
    parser.add_argument("--show", type=int, default=5, help="examples of each kind of fault")
    arguments = parser.parse_args()
    if arguments.write_fixtures:
        from tests.checkpoints.fixtures import write_fixtures

        write_fixtures()
        return
    if arguments.write is not None:
        arguments.write.mkdir(parents=True)
        write(arguments.write, arguments.only)
        return
    with tempfile.TemporaryDirectory() as temporary:
        root = arguments.judge or arguments.keep or Path(temporary) / "matrix"
        if arguments.judge is None:
            root.mkdir(parents=True)
            write(root, arguments.only)
        judgements = judge_all(root, arguments.only, arguments.depth)
    examples: dict[str, list[Wrong]] = defaultdict(list)
    for judgement in judgements:
        for wrong in judgement.wrong:
            examples[wrong.kind].append(wrong)
    for kind, found in examples.items():
        print(f"\n{kind}: {len(found):,}")
        for wrong in found[:: max(1, len(found) // max(arguments.show, 1))][: arguments.show]:
            print(f"  {wrong.case}\n    v1sim {wrong.command}\n    {wrong.said}")
    print("\n" + summary(judgements))
    if arguments.json is not None:
        content = [
            {"case": j.case.name, "kinds": j.kinds, "wrong": [asdict(w) for w in j.wrong]}
            for j in judgements
        ]
        arguments.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    sys.exit(1 if examples else 0)


if __name__ == "__main__":
    main()

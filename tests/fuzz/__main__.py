"""Read damaged inputs: usage: python -m tests.fuzz [--n 10000] [--target NAME ...] [--seed 0].

    python -m tests.fuzz --n 1000000 --jobs 8       a million, of all targets
    python -m tests.fuzz --target network --n 500   of one
    python -m tests.fuzz --target network --at 17   one input, its error as it is

Prints how many inputs of each target were read, refused with an error of v1sim's own, or escaped
in any other way, and each way of escaping once, with the number of the input that shows it.
Ends with 1 where anything escaped. A damaged input is made again from target, seed and number.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.runner import Counts, Inputs, run, shares, table
from tests.fuzz.targets import TARGETS


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=10_000, help="Inputs in all.")
    parser.add_argument("--target", action="append", choices=sorted(TARGETS), help="Default: all.")
    parser.add_argument("--seed", type=int, default=0, help="Another one gives other inputs.")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seconds", type=float, help="Begin nothing after so long.")
    parser.add_argument("--at", type=int, help="Read the input of this number alone, here.")
    parser.add_argument("--keep", type=Path, help="Folder to leave the input of --at in.")
    parser.add_argument("--out", type=Path, help="File to write the table to, now and then.")
    arguments = parser.parse_args()
    names = arguments.target or list(TARGETS)
    if arguments.at is not None:
        return _one(names[0], arguments.seed, arguments.at, arguments.keep)
    began, told = time.monotonic(), [0.0]

    def progress(found: dict[str, Counts]) -> None:
        if arguments.out and time.monotonic() - told[0] > 20:
            told[0] = time.monotonic()
            arguments.out.write_text(_text(found, time.monotonic() - began))

    found = run(
        shares(arguments.n, names),
        seed=arguments.seed,
        jobs=arguments.jobs,
        progress=progress,
        stop_s=arguments.seconds,
    )
    text = _text(found, time.monotonic() - began)
    if arguments.out:
        arguments.out.write_text(text)
    sys.stdout.write(text)
    return int(any(counts.n_escapes for counts in found.values()))


def _text(found: dict[str, Counts], seconds: float) -> str:
    lines = [table(found), "", f"{seconds:,.0f} s"]
    for counts in found.values():
        for escape in counts.escapes:
            lines += ["", f"{escape.kind} (number {escape.number}, {escape.file})", escape.trace]
        lines += [
            f"{name}: {what} ({n} times)"
            for what, n in counts.warnings.most_common(5)
            for name in [""]
        ]
    return "\n".join(lines) + "\n"


def _one(name: str, seed: int, number: int, keep: Path | None) -> int:
    folder = keep or Path(tempfile.mkdtemp(prefix="v1sim-fuzz-"))
    folder.mkdir(exist_ok=True)
    inputs = Inputs(TARGETS[name], folder, seed)
    file, content = inputs.damaged(number)
    sys.stdout.write(f"{folder / file}\n")
    os.chdir(folder)
    try:
        inputs.read(file, content)
    finally:
        (folder / f"damaged-{file}").write_bytes(content)
    sys.stdout.write("it was read\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Let every call that writes fail, of every command: usage: python -m tests.faults [--case NAME].

A library between a command and the system (`tests/faults/shim.c`) counts its calls that write
(open, write, rename, fsync, mkdir, ftruncate, close, writable mappings, ...) and lets the k-th
fail: with a full disk, an error of the disk, a file system that became read-only, a write that
ends half-way, or by ending the process before it. For every k: nothing half-written stands under
a final name, no input changed, one message names the user's path, and the next call works.

    python -m tests.faults                                  every call of every command
    python -m tests.faults --case run --mode ENOSPC --every 10
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.faults.harness import CASES, MODES, compiled, examine, place, table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", action="append", choices=list(CASES), help="Default: all.")
    parser.add_argument("--mode", action="append", choices=list(MODES), help="Default: all.")
    parser.add_argument("--every", type=int, default=1, help="Try every n-th call only.")
    parser.add_argument("--first", type=int, default=1, help="The first call that is tried.")
    parser.add_argument("--out", type=Path, help="File to write the table to.")
    arguments = parser.parse_args()
    found = {}

    def say(text: str) -> None:
        sys.stderr.write(f"{text}\n")

    with place() as folder:
        library = compiled(folder)
        for name in arguments.case or CASES:
            found[name] = examine(
                CASES[name],
                folder,
                library,
                arguments.mode or list(MODES),
                every=arguments.every,
                first=arguments.first,
                progress=say,
            )
            text = table(found)
            for name_, by_mode in found.items():
                for mode, tally in by_mode.items():
                    text += "".join(f"\n{name_} {mode} {problem}" for problem in tally.problems)
            if arguments.out:
                arguments.out.write_text(text + "\n")
    sys.stdout.write(text + "\n")
    return int(any(t.problems for by_mode in found.values() for t in by_mode.values()))


if __name__ == "__main__":
    sys.exit(main())

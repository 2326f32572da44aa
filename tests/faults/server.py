"""Runs commands of v1sim in forks of a process that has loaded everything, with faults where asked.

usage: python -m tests.faults.server PARTS, with `tests/faults/shim.c` preloaded. Reads one JSON
object a line, and answers each with one.
"""

from __future__ import annotations

import importlib
import json
import mmap
import os
import struct
import sys
from pathlib import Path

CALLS, AT, MODE, DONE, STAY = range(5)


def main() -> None:
    for name in sys.argv[1].split(","):
        importlib.import_module(name)
    from v1sim import cli

    with Path(os.environ["FAULTS_FILE"]).open("r+b") as file:
        shared = mmap.mmap(file.fileno(), 4096)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        order = json.loads(line)
        numbers = (0, order["at"], order["mode"], 0, int(order["stay"]))
        shared[:40] = struct.pack("5q", *numbers)
        pid = os.fork()
        if pid == 0:
            os.chdir(order["cwd"])
            for stream, number in ((os.devnull, 0), (order["out"], 1), (order["err"], 2)):
                opened = os.open(stream, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
                os.dup2(opened, number)
                os.close(opened)
            sys.argv = ["v1sim", *order["argv"]]
            # As a process of its own would end: with everything that libraries do at the end.
            cli.main()
            sys.exit(0)
        _, status = os.waitpid(pid, 0)
        n_calls = struct.unpack("q", shared[:8])[0]
        sys.stdout.write(json.dumps({"status": status, "calls": n_calls}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

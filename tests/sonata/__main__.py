"""Compares all spikes of v1sim with BMTK's on random circuits and prints a table.

usage: python -m tests.sonata [--n N] [--seed S] [--dt DT ...] [--keep DIR] [--json FILE]
       python -m tests.sonata CONFIG.json ...

Ends with 1 if any spike differs. A circuit follows from its seed: `--seed S --n 1` makes one again.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from tests.sonata.bmtk import Bmtk
from tests.sonata.compare import Comparison, compare
from tests.sonata.random_circuits import Variety, random_circuit

DTS_MS = (0.1, 0.25, 1.0)


def judge(seeds: range, dts_ms: tuple[float, ...], root: Path) -> dict[int, Comparison]:
    """Compare the circuits of some seeds, one time step after the other."""
    found = {}
    since = time.perf_counter()
    with Bmtk() as bmtk:
        for seed in seeds:
            dt_ms = dts_ms[seed % len(dts_ms)]
            folder = root / str(seed)
            config = random_circuit(seed, Variety(dt_ms=dt_ms)).write(folder)
            found[seed] = compare(config, root / f"{seed}_run", dt_ms, bmtk)
            if not found[seed].equal:
                print(seed, dt_ms, *_told(found[seed]), sep="  ", flush=True)
    print(f"{len(seeds)} circuits in {time.perf_counter() - since:.0f} s")
    return found


def _told(one: Comparison) -> list[str]:
    if one.bmtk_error or one.v1sim_error:
        errors = (("BMTK", one.bmtk_error), ("v1sim", one.v1sim_error))
        return [f"{who}: {' '.join(said.split())[:400]}" for who, said in errors if said]
    return [f"BMTK {one.n_bmtk}, v1sim {one.n_v1sim}, different {one.n_alone}: {one.first}"]


def summary(found: dict[int, Comparison], dts_ms: tuple[float, ...]) -> str:
    """A row for each time step."""
    lines = ["dt (ms)  circuits  BMTK's spikes  v1sim's  different  circuits all equal"]
    for i, dt_ms in enumerate(dts_ms):
        own = [one for seed, one in found.items() if seed % len(dts_ms) == i]
        lines.append(
            f"{dt_ms:>7g}  {len(own):>8,}  {sum(o.n_bmtk for o in own):>13,}  "
            f"{sum(o.n_v1sim for o in own):>7,}  {sum(o.n_alone for o in own):>9,}  "
            f"{sum(o.equal for o in own):>18,}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.sonata", description=__doc__)
    parser.add_argument("configs", nargs="*", type=Path, help="configurations in place of seeds")
    parser.add_argument("--n", type=int, default=30, help="number of circuits")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--dt", type=float, nargs="+", default=DTS_MS, help="time steps, ms")
    parser.add_argument("--keep", type=Path, help="leave circuits and runs in this folder")
    parser.add_argument("--json", type=Path, help="every comparison")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = arguments.keep or Path(folder)
        if arguments.configs:
            sys.exit(_judge_files(arguments.configs, root))
        seeds, dts_ms = range(arguments.seed, arguments.seed + arguments.n), tuple(arguments.dt)
        found = judge(seeds, dts_ms, root)
    print(summary(found, dts_ms))
    if arguments.json:
        arguments.json.write_text(json.dumps({k: asdict(v) for k, v in found.items()}, indent=1))
    sys.exit(0 if all(one.equal for one in found.values()) else 1)


def _judge_files(configs: list[Path], root: Path) -> int:
    all_equal = True
    with Bmtk() as bmtk:
        for i, config in enumerate(configs):
            dt_ms = float(json.loads(config.read_text())["run"]["dt"])
            one = compare(config, root / f"run_{i}", dt_ms, bmtk)
            all_equal = all_equal and one.equal
            print(config, *_told(one), sep="  ")
    return 0 if all_equal else 1


if __name__ == "__main__":
    main()

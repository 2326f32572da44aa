"""Reads damaged inputs in child processes with bounds of time and memory; counts what came of them.

A child reads a batch of inputs of one target and is forked from a process that has loaded
everything, so that a fault of one batch spoils no other. Before each input it notes the input's
number in memory that its parent shares: where a child is ended, by the system or by its parent,
the parent knows by what.
"""

from __future__ import annotations

import gc
import json
import logging
import mmap
import os
import random
import resource
import select
import shutil
import signal
import struct
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from tests.fuzz.targets import TARGETS, Target
from v1sim.errors import MemoryLimitError, V1simError

#: CPU time of one input.
SECONDS = 5.0
#: Memory of one input above that of the process that reads it.
BYTES = 1 << 30
#: A child that does not move on for so long is ended: it waits, or a library does not return.
STUCK_S = 120.0
#: Inputs that one child reads, of a target of share 1; fewer of those that take longer.
BATCH = 250


class TooLongError(BaseException):
    """The bound of time; no handler of ordinary exceptions catches it."""


@dataclass
class Escape:
    """One way in which reading ended that is no answer."""

    target: str
    number: int
    file: str
    what: str
    trace: str = ""

    @property
    def kind(self) -> str:
        """What tells it from other ways."""
        return f"{self.target}: {self.what}"


@dataclass
class Counts:
    """What came of the inputs of one target."""

    read: int = 0
    refused: int = 0
    no_memory: int = 0
    warned: int = 0
    #: Inputs that could not be made.
    unmade: int = 0
    slowest_s: float = 0.0
    most_bytes: int = 0
    cpu_s: float = 0.0
    escapes: list[Escape] = field(default_factory=list)
    n_escapes: int = 0
    warnings: Counter[str] = field(default_factory=Counter)

    @property
    def n(self) -> int:
        """Inputs in all."""
        return self.read + self.refused + self.no_memory + self.n_escapes

    def add(self, other: Counts) -> None:
        """Take up another batch."""
        for name in ("read", "refused", "no_memory", "warned", "unmade", "n_escapes", "cpu_s"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.slowest_s = max(self.slowest_s, other.slowest_s)
        self.most_bytes = max(self.most_bytes, other.most_bytes)
        self.warnings += other.warnings
        known = {escape.kind for escape in self.escapes}
        for escape in other.escapes:
            if escape.kind not in known:
                self.escapes.append(escape)
                known.add(escape.kind)


# --- one input ---------------------------------------------------------------------------------


class Inputs:
    """The sound inputs of a target in a folder, and the damaged ones that are made of them."""

    def __init__(self, target: Target, folder: Path, seed: int) -> None:
        self.target, self.folder, self.seed = target, folder, seed
        target.make(folder)
        self.sound = {name: (folder / name).read_bytes() for name in sorted(target.damage)}

    def damaged(self, number: int) -> tuple[str, bytes]:
        """The name and the bytes of the damaged input of a number: always the same ones."""
        chance = random.Random(f"{self.seed} {self.target.name} {number}")
        name = chance.choice(sorted(self.sound))
        return name, self.target.damage[name](self.sound[name], chance)

    def read(self, name: str, content: bytes) -> None:
        """Put a damaged input in its place, read it, and put the sound one there again."""
        path = self.folder / name
        path.write_bytes(content)
        try:
            self.target.read(self.folder, path)
        finally:
            path.write_bytes(self.sound[name])


def attempt(inputs: Inputs, name: str, content: bytes, counts: Counts) -> Escape | None:
    """Read one input within its bounds of time and memory."""
    before = _peak_bytes()
    began = time.process_time()
    escape = None
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            inputs.read(name, content)
            signal.setitimer(signal.ITIMER_PROF, 0)
            counts.read += 1
        except MemoryLimitError:
            counts.no_memory += 1
        except V1simError:
            counts.refused += 1
        except TooLongError as error:
            escape = Escape(
                inputs.target.name,
                0,
                name,
                f"more than {SECONDS:g} s: {_place(error)}",
                _trace(error),
            )
        except BaseException as error:
            what = f"{type(error).__name__} at {_place(error)}"
            escape = Escape(inputs.target.name, 0, name, what, _trace(error))
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    took = time.process_time() - began
    used = _peak_bytes() - before
    counts.cpu_s += took
    counts.slowest_s = max(counts.slowest_s, took)
    counts.most_bytes = max(counts.most_bytes, used)
    for one in warned:
        counts.warnings[f"{one.category.__name__} at {Path(one.filename).name}:{one.lineno}"] += 1
    counts.warned += bool(warned)
    if escape is None and used > BYTES:
        escape = Escape(inputs.target.name, 0, name, f"{used / 1e9:.1f} GB of memory")
    return escape


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _trace(error: BaseException) -> str:
    return "".join(traceback.format_exception(error, limit=-12))[-4000:]


def _place(error: BaseException) -> str:
    """The last line of v1sim's own that the error passed, or else the last line."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "/v1sim/" in frame.filename] or frames
    last = own[-1]
    return f"{'/'.join(Path(last.filename).parts[-2:])}:{last.lineno}"


def _too_long(_: int, __: FrameType | None) -> None:
    raise TooLongError


# --- children ----------------------------------------------------------------------------------


def _bound_this_process(scratch: Path) -> None:
    """Nothing that an input says reaches outside the folder, takes all memory or prints."""
    signal.signal(signal.SIGPROF, _too_long)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + 2 * BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 28, 1 << 28))
    os.chdir(scratch)
    os.environ |= {"HOME": str(scratch), "TMPDIR": str(scratch)}
    tempfile.tempdir = str(scratch)
    logging.disable(logging.CRITICAL)
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)


def read_batch(
    target: Target, numbers: range, seed: int, scratch: Path, at: Callable[[int], None]
) -> Counts:
    """Read damaged inputs in this process; ``at`` is told the number of each before it is read."""
    counts = Counts()
    inputs = Inputs(target, scratch, seed)
    beside = scratch.parent / "damaged"
    beside.mkdir()
    _make(inputs, numbers, beside, counts)
    outside = _names_beside(scratch)
    for number in numbers:
        made = beside / str(number)
        if not made.exists():
            continue
        at(number)
        name, _, content = made.read_bytes().partition(b"\n")
        escape = attempt(inputs, name.decode(), content, counts)
        if escape is None and (changed := _changed(inputs)):
            escape = Escape(target.name, number, name.decode(), f"{changed} was changed")
        if escape is not None:
            escape.number = number
            counts.n_escapes += 1
            counts.escapes.append(escape)
    if _names_beside(scratch) != outside:
        counts.n_escapes += 1
        counts.escapes.append(Escape(target.name, numbers.start, "", "a file beside the folder"))
    return counts


def _make(inputs: Inputs, numbers: range, beside: Path, counts: Counts) -> None:
    """Make damaged inputs in a process of its own: HDF5 may not survive to write some of them."""
    left = list(numbers)
    while left:
        pid = os.fork()
        if pid == 0:
            try:
                for number in left:
                    (beside / f"{number}.begun").touch()
                    name, content = inputs.damaged(number)
                    (beside / f"{number}.part").write_bytes(name.encode() + b"\n" + content)
                    (beside / f"{number}.part").rename(beside / str(number))
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
        done = [number for number in left if (beside / f"{number}.begun").exists()]
        counts.unmade += sum(not (beside / str(number)).exists() for number in done)
        left = left[len(done) :]
    counts.cpu_s += resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime


def _names_beside(scratch: Path) -> list[str]:
    return sorted(path.name for path in scratch.parent.iterdir())


def _changed(inputs: Inputs) -> str:
    """What lies in the folder for links to lead to, where reading changed it."""
    raw = inputs.folder / "raw.bin"
    return "raw.bin" if raw.exists() and raw.read_bytes() != RAW else ""


#: What files find that say their values are kept in another file.
RAW = bytes(range(256)) * 64


class Child:
    """A process that reads one batch."""

    def __init__(self, target: Target, numbers: range, seed: int) -> None:
        self.target, self.numbers, self.seed = target, numbers, seed
        self.place = mmap.mmap(-1, 8)
        self.folder = Path(tempfile.mkdtemp(prefix="v1sim-fuzz-"))
        self.answer, end = os.pipe()
        self.text = b""
        self.moved = time.monotonic()
        self.seen = -1
        self.pid = os.fork()
        if self.pid == 0:
            self._child(end)
        os.close(end)

    def _child(self, end: int) -> None:
        status = 1
        try:
            os.close(self.answer)
            scratch = self.folder / "scratch"
            scratch.mkdir()
            (scratch / "raw.bin").write_bytes(RAW)
            _bound_this_process(scratch)
            gc.freeze()
            counts = read_batch(
                self.target,
                self.numbers,
                self.seed,
                scratch,
                lambda n: self.place.seek(0) or self.place.write(struct.pack("q", n)),  # type: ignore[func-returns-value]
            )
            with os.fdopen(end, "wb") as stream:
                stream.write(_to_json(counts))
            status = 0
        except BaseException:
            with open(end, "wb") as stream:
                stream.write(traceback.format_exc().encode())
            status = 1
        finally:
            os._exit(status)

    def _note(self, number: int) -> None:
        self.place[:8] = struct.pack("q", number)

    @property
    def number(self) -> int:
        """Of the input that it reads."""
        return int(struct.unpack("q", self.place[:8])[0])

    def is_stuck(self) -> bool:
        """Whether it has not moved on for long."""
        if self.number != self.seen:
            self.seen, self.moved = self.number, time.monotonic()
        return time.monotonic() - self.moved > STUCK_S

    def ended(self) -> Counts | Escape:
        """What came of it, once its answer has ended."""
        _, status = os.waitpid(self.pid, 0)
        os.close(self.answer)
        shutil.rmtree(self.folder, ignore_errors=True)
        if status == 0:
            return _from_json(self.text)
        if os.WIFSIGNALED(status):
            what = f"process ended by {signal.Signals(os.WTERMSIG(status)).name}"
        else:
            what = f"process ended: {self.text.decode(errors='replace')[-1500:]}"
        return Escape(self.target.name, self.number, "", what)


def _to_json(counts: Counts) -> bytes:
    values = vars(counts) | {"escapes": [vars(escape) for escape in counts.escapes[:50]]}
    return json.dumps(values, default=dict).encode()


def _from_json(text: bytes) -> Counts:
    values = json.loads(text)
    values["escapes"] = [Escape(**escape) for escape in values["escapes"]]
    values["warnings"] = Counter(values["warnings"])
    return Counts(**values)


# --- all of them -------------------------------------------------------------------------------


def shares(n: int, names: Iterable[str]) -> dict[str, int]:
    """Inputs of each target, of ``n`` in all."""
    chosen = [TARGETS[name] for name in names]
    total = sum(one.share for one in chosen)
    return {one.name: max(1, round(n * one.share / total)) for one in chosen}


def run(
    wanted: dict[str, int],
    *,
    seed: int,
    jobs: int,
    progress: Callable[[dict[str, Counts]], Any] = lambda _: None,
    stop_s: float | None = None,
) -> dict[str, Counts]:
    """Read so many damaged inputs of each target, ``jobs`` batches at a time.

    Parameters
    ----------
    wanted : dict
        Inputs by target.
    seed : int
        Another one gives other inputs.
    jobs : int
        Processes at a time.
    progress : callable
        Is told what came of the batches so far.
    stop_s : float, optional
        After so many seconds no batch is begun.
    """
    batches = [
        (name, range(start, min(start + size, n)))
        for name, n in wanted.items()
        for size in [max(1, min(BATCH, round(BATCH * TARGETS[name].share)))]
        for start in range(0, n, size)
    ]
    # All targets move on together, whenever it ends.
    batches.sort(key=lambda batch: batch[1].start / wanted[batch[0]], reverse=True)
    found = {name: Counts() for name in wanted}
    running: dict[int, Child] = {}
    began = time.monotonic()
    while batches or running:
        if stop_s is not None and time.monotonic() - began > stop_s:
            batches = []
        while batches and len(running) < jobs:
            name, numbers = batches.pop()
            child = Child(TARGETS[name], numbers, seed)
            running[child.answer] = child
        ready, _, _ = select.select(list(running), [], [], 1.0)
        for child in list(running.values()):
            if child.answer in ready:
                part = os.read(child.answer, 1 << 16)
                child.text += part
                if part:
                    continue
            elif child.is_stuck():
                os.kill(child.pid, signal.SIGKILL)
                continue
            else:
                continue
            del running[child.answer]
            result = child.ended()
            counts = found[child.target.name]
            if isinstance(result, Counts):
                counts.add(result)
            else:
                # Those before it are read again, those after it for the first time.
                counts.add(Counts(n_escapes=1, escapes=[result]))
                rest = (range(child.numbers.start, result.number),)
                rest += (range(result.number + 1, child.numbers.stop),)
                batches += [(child.target.name, part) for part in rest if len(part)]
            progress(found)
    return found


def table(found: dict[str, Counts]) -> str:
    """The counts as Markdown."""
    rows = [
        "| target | inputs | read | refused | memory | escapes | slowest, s | most MB | CPU ms |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    total = Counts()
    for name, counts in found.items():
        total.add(counts)
        rows.append(_row(name, counts))
    return "\n".join([*rows, _row("all", total)])


def _row(name: str, c: Counts) -> str:
    return (
        f"| {name} | {c.n:,} | {c.read:,} | {c.refused:,} | {c.no_memory:,} | {c.n_escapes:,} "
        f"| {c.slowest_s:.2f} | {c.most_bytes / 1e6:.0f} | {1e3 * c.cpu_s / max(c.n, 1):.1f} |"
    )

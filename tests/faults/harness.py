"""Commands, faults, and what must be true after each."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
from PIL import Image

from tests.networks import write_tiny
from tests.trained import SHIPPED

SOURCE = Path(__file__).with_name("shim.c")

#: What happens at the call: its number for the shim, and whether all later calls fail as well.
MODES: dict[str, tuple[int, bool]] = {
    "ENOSPC": (errno.ENOSPC, True),
    "EIO": (errno.EIO, False),
    "EROFS": (errno.EROFS, True),
    "short": (5000, True),
    "kill": (5001, False),
}

RUN = """\
network: net.h5
require: constructed
stimulus: {kind: drifting_gratings, directions_deg: [0, 90], trials: 1, grating_ms: 20, grey_ms: 5}
background: mean
simulation: {threads: 1, dynamics: training}
"""
SWEEP = "base: run.yaml\naxes: [{grid: {seed: [1, 2]}}]\nset: {simulation.threads: 1}\n"


@dataclass(frozen=True)
class Case:
    """One command: what is there before it, and what it leaves."""

    name: str
    argv: tuple[str, ...]
    make: Callable[[Path], None]
    finals: tuple[str, ...]
    #: What is loaded before the command, so that each run of it takes little time.
    parts: str = "v1sim.pipeline,v1sim.report.run_folder,v1sim.simulation.run,pynwb"
    #: Names that a message may call the place by.
    told: tuple[str, ...] = ()
    #: A command whose runs are processes of their own says of each what became of it.
    many: bool = False


def _network(folder: Path) -> None:
    write_tiny(folder / "net.h5")
    (folder / "run.yaml").write_text(RUN)
    (folder / "sweep.yaml").write_text(SWEEP)


def _checkpoint(folder: Path) -> None:
    for path in SHIPPED.checkpoint.parent.glob("ckpt.*"):
        shutil.copy(path, folder)
    shutil.copy(SHIPPED.files["trained"], folder / "old.h5")


_OF_FILES = "v1sim.conversion.convert,v1sim.report.conversion"

CASES = {
    case.name: case
    for case in (
        Case(
            "build-column",
            ("build-column", "--out", "new.h5", "--neurons", "200", "--lgn", "100"),
            lambda folder: None,
            ("new.h5",),
            "v1sim.sources.column,v1sim.config,v1sim.sources.hdf5",
        ),
        Case(
            "stamp",
            ("stamp", "old.h5", "--checkpoint", "ckpt"),
            _checkpoint,
            ("old.h5",),
            _OF_FILES,
        ),
        Case(
            "convert",
            ("convert", "ckpt", "--out", "new.h5"),
            _checkpoint,
            ("new.h5",),
            f"{_OF_FILES},tensorflow",
        ),
        Case(
            "check",
            ("check", "net.h5", "--require", "constructed", "--json", "r.json", "--html", "r.html"),
            _network,
            ("r.json", "r.html"),
            "v1sim.guard,v1sim.report.network_html",
        ),
        Case(
            "export", ("export", "net.h5", "--sonata", "circuit"), _network, ("circuit",), _OF_FILES
        ),
        Case("stimulus", ("stimulus", "run.yaml", "--out", "s.h5"), _network, ("s.h5", "s.png")),
        Case(
            "run",
            ("run", "run.yaml", "--out", "out", "--save-state", "state.npz"),
            _network,
            ("out", "state.npz"),
        ),
        Case(
            "batch",
            ("batch", "sweep.yaml", "-j", "1"),
            _network,
            ("sweeps",),
            "v1sim.batch.command",
            told=("sweeps",),
            many=True,
        ),
    )
}


def compiled(folder: Path) -> Path:
    """The shim, made with the system's compiler."""
    library = folder / "shim.so"
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        msg = "no C compiler"
        raise FileNotFoundError(msg)
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"], check=True
    )
    return library


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    n_calls: int
    text: str

    @property
    def signal(self) -> int:
        return os.WTERMSIG(self.status) if os.WIFSIGNALED(self.status) else 0

    @property
    def code(self) -> int:
        return -self.signal if self.signal else os.WEXITSTATUS(self.status)


class Server:
    """`tests.faults.server` with the shim."""

    def __init__(self, parts: str, library: Path, root: Path) -> None:
        self.root = root
        counter = root.parent / "counter"
        counter.write_bytes(bytes(4096))
        environment = os.environ | {
            "LD_PRELOAD": str(library),
            "FAULTS_FILE": str(counter),
            "FAULTS_ROOT": str(root),
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "PYNEST_QUIET": "1",
            "OMP_NUM_THREADS": "1",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.server", parts],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            text=True,
        )
        while (line := self._line()) != "ready":
            if not line:
                msg = "the server did not start"
                raise RuntimeError(msg)

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def run(self, argv: Sequence[str], folder: Path, *, at: int = 0, mode: str = "EIO") -> Ended:
        """A command in a folder, with a fault at the call of a number (0: none)."""
        number, stay = MODES[mode]
        out, err = (self.root.parent / name for name in ("out.txt", "err.txt"))
        order = {
            "cwd": str(folder), "argv": list(argv), "at": at, "mode": number, "stay": stay,
            "out": str(out), "err": str(err),
        }  # fmt: skip
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self._line())
        text = out.read_text(errors="replace") + err.read_text(errors="replace")
        return Ended(answer["status"], answer["calls"], text)

    def close(self) -> None:
        assert self.process.stdin is not None
        with self.process:  # closes its pipes and waits
            self.process.stdin.close()


@dataclass
class Tally:
    """What came of one command under one kind of fault."""

    n_calls: int = 0
    tried: int = 0
    codes: Counter[int] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


@contextmanager
def place() -> Iterator[Path]:
    """A folder of the harness; the commands work in folders below its ``root``."""
    folder = Path(tempfile.mkdtemp(prefix="v1sim-faults-")).resolve()
    (folder / "root").mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def examine(
    case: Case,
    folder: Path,
    library: Path,
    modes: Sequence[str],
    *,
    every: int = 1,
    first: int = 1,
    progress: Callable[[str], object] = lambda _: None,
) -> dict[str, Tally]:
    """Run a command once for each of its calls that write, and each kind of fault."""
    root = folder / "root"
    server = Server(case.parts, library, root)
    sound = root / "sound"
    try:
        sound.mkdir()
        case.make(sound)
        clean = root / "clean"
        shutil.copytree(sound, clean)
        ended = server.run(case.argv, clean)
        if ended.code != 0:
            msg = f"{case.name} without a fault ends with {ended.code}:\n{ended.text}"
            raise RuntimeError(msg)
        expected = {name: names_of(clean / name) for name in case.finals}
        tallies = {}
        for mode in modes:
            tally = tallies[mode] = Tally(n_calls=ended.n_calls)
            for at in range(first, ended.n_calls + 1, every):
                work = root / "work"
                shutil.rmtree(work, ignore_errors=True)
                shutil.copytree(sound, work)
                done = server.run(case.argv, work, at=at, mode=mode)
                tally.tried += 1
                tally.codes[done.code] += 1
                found = list(problems(case, work, sound, expected, done, mode))
                if not found and digests(work) != digests(sound):
                    found = list(next_call(case, server, work, expected))
                tally.problems += [f"call {at}: {text}" for text in found]
            progress(
                f"{case.name} {mode}: {tally.tried} of {tally.n_calls} calls, "
                f"{len(tally.problems)} problems"
            )
        return tallies
    finally:
        server.close()
        shutil.rmtree(root)
        root.mkdir()


# --- what must be true -------------------------------------------------------------------------


def problems(
    case: Case,
    work: Path,
    sound: Path,
    expected: dict[str, list[str]],
    done: Ended,
    mode: str,
) -> Iterator[str]:
    """What is wrong after a command with a fault."""
    if mode == "kill":
        if done.signal not in (0, signal.SIGKILL):
            yield f"ended by signal {done.signal}"
    elif done.signal:
        yield f"ended by signal {done.signal}"
    elif done.code:
        yield from wrong_words(case, work, done)
    before, after = digests(sound), digests(work)
    for name, digest in before.items():
        if name not in case.finals and after.get(name) != digest:
            yield f"the input {name} was changed"
    there = [name for name in case.finals if (work / name).exists() and not case.many]
    for name in there:
        if after.get(name) and after.get(name) == before.get(name):
            continue
        if names_of(work / name) != expected[name]:
            yield f"{name} is there, but not whole: {names_of(work / name)}"
        yield from damaged(work / name)
    if done.code == 0 and len(there) < len(case.finals) and not case.many:
        yield "it ended well, but not everything is there"
    if mode in ("ENOSPC", "EIO", "short"):
        left = [n for n in after if any(p.startswith(".") for p in Path(n).parts)]
        if left and not case.many:
            yield f"left behind: {left[0]}"


def wrong_words(case: Case, work: Path, done: Ended) -> Iterator[str]:
    """What is wrong with what a command says that failed."""
    for word in (
        "Traceback",
        "fault of v1sim",
        ".part",
        ".claim",
        "Exception ignored",
        "HDF5-DIAG",
    ):
        if word in done.text:
            yield f"it says {word!r}: {' '.join(done.text.split())[-300:]}"
            return
    if done.code not in (1, 2, 3):
        yield f"exit code {done.code}"
    if case.many:
        return
    told = (*case.finals, *case.told)
    if done.text.count("v1sim: ") != 1 or not any(name in done.text for name in told):
        yield f"no clear message (exit code {done.code}): {' '.join(done.text.split())[-300:]!r}"


def next_call(
    case: Case, server: Server, work: Path, expected: dict[str, list[str]]
) -> Iterator[str]:
    """What is wrong with the same command, given once more without a fault."""
    is_whole = not case.many and all((work / name).exists() for name in case.finals)
    if is_whole and case.name != "stamp":
        return
    argv = case.argv
    if any((work / name).exists() for name in case.finals) and case.name in ("run", "stimulus"):
        argv = (*argv, "--force")
    done = server.run(argv, work)
    if done.code != 0:
        yield f"the next call ends with {done.code}: {' '.join(done.text.split())[-300:]}"
        return
    for name in case.finals:
        if not case.many and names_of(work / name) != expected[name]:
            yield f"the next call leaves {name} not whole"
    left = [n for n in digests(work) if any(p.startswith(".") for p in Path(n).parts)]
    if left and not case.many:
        yield f"the next call leaves {left[0]}"


def digests(folder: Path) -> dict[str, str]:
    """Every file below a folder, links as they are, and what is in it; "" for folders."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        is_file = path.is_file() and not path.is_symlink()
        found[name] = hashlib.sha256(path.read_bytes()).hexdigest() if is_file else ""
    return found


def names_of(path: Path) -> list[str]:
    """Names below a folder; of a file nothing but that it is there."""
    if not path.is_dir():
        return ["."] if path.exists() else []
    return sorted(str(p.relative_to(path)) for p in path.rglob("*"))


def damaged(path: Path) -> Iterator[str]:
    """Files at or below a path that cannot be read to their end."""
    for file in [path] if path.is_file() else sorted(path.rglob("*")):
        if not file.is_file():
            continue
        try:
            _read_whole(file)
        except Exception as error:
            yield f"{file.name} is damaged: {error}"


def _read_whole(file: Path) -> None:
    data = file.read_bytes()
    if file.suffix in (".h5", ".nwb"):
        with h5py.File(file) as opened:
            opened.visititems(lambda _, item: item[()] if isinstance(item, h5py.Dataset) else None)
    elif file.suffix == ".json":
        json.loads(data)
    elif file.suffix == ".npz":
        with zipfile.ZipFile(file) as archive:
            assert archive.testzip() is None
        np.load(file).close()
    elif file.suffix == ".png":
        with Image.open(file) as image:
            image.load()
    elif file.suffix == ".html":
        assert data.rstrip().endswith(b"</html>")
    assert data


def table(found: dict[str, dict[str, Tally]]) -> str:
    """The counts as Markdown."""
    rows = ["| command | calls that write | fault | tried | exit codes | problems |"]
    rows += ["|---|---|---|---|---|---|"]
    for name, by_mode in found.items():
        for mode, tally in by_mode.items():
            codes = ", ".join(f"{code}: {n}" for code, n in sorted(tally.codes.items()))
            rows.append(
                f"| {name} | {tally.n_calls} | {mode} | {tally.tried} | {codes} "
                f"| {len(tally.problems)} |"
            )
    return "\n".join(rows)

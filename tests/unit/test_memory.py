"""Limits of memory are named; a lack of memory is told from every other error."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.networks import tiny_network
from v1sim import memory
from v1sim.cgroups import Cgroup
from v1sim.checks.registry import Check, Context, run_checks
from v1sim.errors import InputError, MemoryLimitError
from v1sim.model import Severity

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("version", "files", "mb"),
    [
        (2, {"memory.max": "2000000000\n"}, 2000),
        (2, {"memory.max": "max\n"}, None),
        (1, {"memory.limit_in_bytes": "3000000000\n"}, 3000),
        (1, {"memory.limit_in_bytes": "9223372036854771712\n"}, None),  # version 1's "none"
        (1, {}, None),
    ],
)
def test_a_limit_of_any_cgroup_above_is_found(monkeypatch, tmp_path, version, files, mb):
    inner = tmp_path / "inner"
    inner.mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    cgroups = [Cgroup(version, inner), Cgroup(version, tmp_path)]
    monkeypatch.setattr(memory, "cgroups_of_this_process", lambda _: iter(cgroups))
    monkeypatch.setattr(memory, "_address_space_limits", lambda: iter(()))
    found = memory.memory_limits({})
    assert [limit.mb for limit in found] == ([mb] if mb else [])
    assert all(str(tmp_path) in limit.because for limit in found)


@pytest.mark.parametrize(
    ("variables", "mb"),
    [
        ({"SLURM_MEM_PER_NODE": "1000"}, 1048.576),
        ({"SLURM_MEM_PER_CPU": "500", "SLURM_CPUS_ON_NODE": "4"}, 2097.152),
        ({"SLURM_MEM_PER_NODE": "0"}, None),  # --mem=0: all that the node has
        ({"SLURM_MEM_PER_CPU": "500"}, None),
    ],
)
def test_what_a_slurm_job_asked_for_is_a_limit(monkeypatch, variables, mb):
    monkeypatch.setattr(memory, "_cgroup_limits", lambda: iter(()))
    monkeypatch.setattr(memory, "_address_space_limits", lambda: iter(()))
    assert [limit.mb for limit in memory.memory_limits(variables)] == ([mb] if mb else [])


def test_what_does_not_fit_is_said_at_the_boundary(monkeypatch):
    limit = memory.MemoryLimit(100.0, "a test", "nothing")
    monkeypatch.setattr(memory, "memory_limit", lambda: limit)
    assert memory.does_not_fit(100.0) is None
    assert "100 MB are allowed (a test)" in memory.does_not_fit(101.0)
    monkeypatch.setattr(memory, "memory_limit", lambda: None)
    assert memory.does_not_fit(1e9) is None


def caused(cause: BaseException) -> BaseException:
    try:
        raise InputError("cannot be read") from cause
    except InputError as error:
        return error


@pytest.mark.parametrize(
    ("error", "is_lack"),
    [
        (MemoryError(), True),
        (np.exceptions.DTypePromotionError("no"), False),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (OSError(errno.ENOSPC, "No space left on device"), False),
        (RuntimeError("can't start new thread"), True),
        (ImportError("x.so: failed to map segment from shared object"), True),
        (ImportError("No module named 'nest'"), False),
        (OSError("Unable to open file (memory allocation failed for on disk image buffer)"), False),
        (ValueError("cannot allocate memory"), False),  # a program's own words
        (caused(MemoryError()), True),
        (caused(OSError("truncated file")), False),
    ],
)
def test_a_lack_of_memory_is_told_from_other_errors(error, is_lack):
    assert memory.is_lack_of_memory(error) == is_lack
    if is_lack:
        with pytest.raises(MemoryLimitError, match="not enough memory"):
            memory.raise_lack_of_memory(error)
    else:
        memory.raise_lack_of_memory(error)


def test_a_check_without_memory_is_no_verdict():
    def starved(_context):
        raise MemoryError
        yield

    check = Check("test.starved", Severity.ERROR, "a reason", "none", starved)
    with pytest.raises(MemoryLimitError):
        run_checks(Context(tiny_network(), 1.0), {"test.starved": check})


CODE = """
import resource, sys
from v1sim.memory import workers
resource.setrlimit(resource.RLIMIT_AS, ({space}, {space}))
with workers(2) as pool:
    print(type(pool).__name__, [pool.submit(abs, -3).result(), *pool.map(abs, [-1, 2])])
"""


@pytest.mark.parametrize(
    ("space", "kind"), [(120_000_000, "_Inline"), (4_000_000_000, "ThreadPoolExecutor")]
)
def test_threads_are_not_started_where_their_stacks_do_not_fit(space, kind):
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(space=space)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=ROOT,
    )
    assert done.stdout.split(" ", 1) == [kind, "[3, 1, 2]\n"]


def test_an_error_in_the_callers_thread_is_the_futures():
    future = memory._Inline().submit(int, "x")
    with pytest.raises(ValueError, match="x"):
        future.result()


RUN = """
network: {built_in: {neurons: 300, lgn: 400}}
require: constructed
stimulus: {kind: drifting_gratings, directions_deg: [0], trials: 1, grey_ms: 50, grating_ms: 50}
"""


@pytest.mark.parametrize("space_kb", [450_000, 600_000, 800_000])
def test_too_little_address_space_is_named_before_nest_is_loaded(tmp_path, space_kb):
    (tmp_path / "run.yaml").write_text(RUN)
    done = subprocess.run(
        ["/bin/sh", "-c", f"ulimit -v {space_kb}; exec {sys.executable} -m v1sim run run.yaml"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 3
    parts = ["RLIMIT_AS", "ulimit -v"]
    if space_kb > 500_000:  # with less, memory ends before it is known what the run needs
        parts += ["at least 1,000 MB", "this run is expected to need"]
    for part in parts:
        assert part in done.stderr
    assert "pip install" not in done.stderr
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["run.yaml"]

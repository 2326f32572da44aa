"""What installs v1sim: a fitting Python is found or named, the compiler fits the platform.

NEST 3.10.0 has wheels for CPython 3.11 to 3.13, on Linux x86-64 (glibc) and macOS 15 arm64;
elsewhere pip begins to build it from source.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from v1sim.simulation.native import compile as native

ROOT = Path(__file__).parents[2]
FIND = """
set -euo pipefail
eval "$(sed -n '/^fail()/,/^}/p;/^fits_nest/,/^# What is installed/p' scripts/environment)"
find_python
"""


def python(folder: Path, name: str, version: str, machine: str = "x86_64", libc: str = "glibc"):
    """A Python that says it is another version on another machine."""
    major, minor = version.split(".")
    path = folder / name
    claims = (
        f"import sys, platform; sys.version_info = ({major}, {minor}, 0); "
        f"platform.machine = lambda: '{machine}'; platform.libc_ver = lambda: ('{libc}', ''); "
        "platform.system = lambda: 'Linux'; exec(sys.argv[1])"
    )
    path.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{claims}" "$2"\n')
    path.chmod(0o755)
    return path


def find(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    tools = folder / "tools"  # a PATH without the Pythons of this machine
    tools.mkdir(exist_ok=True)
    for tool in ("bash", "sh", "sed"):
        link = tools / tool
        if not link.exists():
            link.symlink_to(shutil.which(tool))
    return subprocess.run(
        ["bash", "-c", FIND],
        cwd=ROOT,
        env={"PATH": f"{folder}:{tools}", "HOME": str(folder), **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_fitting_python_is_taken_though_newer_ones_come_first(tmp_path):
    python(tmp_path, "python3", "3.14")
    fitting = python(tmp_path, "python3.12", "3.12")
    assert find(tmp_path).stdout.strip() == str(fitting)


def test_where_none_fits_the_message_says_which_to_install(tmp_path):
    for name in ("python3.11", "python3.12", "python3.13", "python3"):
        python(tmp_path, name, "3.14")
    done = find(tmp_path)
    assert done.returncode == 2
    for part in ("3.11, 3.12 or 3.13", "3.14", "apt-get install python3.13", "V1SIM_PYTHON"):
        assert part in done.stderr


def test_a_python_that_was_named_is_the_one_or_none(tmp_path):
    python(tmp_path, "python3.12", "3.12")
    named = python(tmp_path, "other", "3.10")
    done = find(tmp_path, V1SIM_PYTHON=str(named))
    assert done.returncode == 2
    assert "3.10" in done.stderr
    missing = find(tmp_path, V1SIM_PYTHON="no-such-python")
    assert missing.returncode == 2
    assert "no-such-python cannot be run" in missing.stderr


@pytest.mark.parametrize(("machine", "libc"), [("aarch64", "glibc"), ("x86_64", "")])
def test_a_platform_without_a_ready_made_nest_is_named_before_pip_begins(tmp_path, machine, libc):
    python(tmp_path, "python3.11", "3.11", machine, libc)
    done = find(tmp_path)
    assert done.returncode == 2
    assert "not offered ready-made" in done.stderr
    assert machine in done.stderr
    assert find(tmp_path, V1SIM_BUILD_NEST="1").returncode == 0


def test_pip_refuses_pythons_that_nest_is_not_offered_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == ">=3.11,<3.14"


@pytest.fixture(autouse=True)
def boost_is_somewhere(monkeypatch):
    """Boost's headers are there when v1sim is installed, and need not be afterwards."""
    monkeypatch.setattr(native, "_boost_headers", list)


STAMP = {"nest": "3.10.0", "mpi": False, "sources": "x"}


def test_the_module_is_compiled_for_the_abi_of_nest_on_linux(tmp_path):
    command = native.compile_command(STAMP, tmp_path / "x.so", "Linux")
    assert "-fopenmp" in command
    assert ("-D_GLIBCXX_USE_CXX11_ABI=0" in command) == native._uses_old_abi(native._nest_folder())
    assert command[-2:] == ["-o", str(tmp_path / "x.so")]


def test_macos_has_its_own_openmp_and_no_abi_of_libstdcxx(tmp_path, monkeypatch):
    (tmp_path / "omp.h").touch()
    monkeypatch.setattr(native, "_openmp_headers_of_macos", lambda: f"-I{tmp_path}")
    monkeypatch.setenv("CXX", "c++")
    command = native.compile_command(STAMP, tmp_path / "x.so", "Darwin")
    assert not any("GLIBCXX" in part for part in command)
    i = command.index("-Xclang")
    assert command[i : i + 3] == ["-Xclang", "-fopenmp", f"-I{tmp_path}"]
    assert command[command.index("-undefined") + 1] == "dynamic_lookup"


def test_macos_without_openmp_says_what_to_install(tmp_path):
    if any(Path(p).exists() for p in ("/opt/homebrew/opt/libomp", "/usr/local/opt/libomp")):
        pytest.skip("Homebrew's libomp is here")
    with pytest.raises(native.CompilationError, match="brew install libomp"):
        native.compile_command(STAMP | {"mpi": False}, tmp_path / "x.so", "Darwin")


def test_setup_names_a_platform_without_nest(tmp_path):
    code = (
        "import platform, importlib.util as u; platform.machine = lambda: 'riscv64'; "
        "find = u.find_spec; u.find_spec = lambda n, *a: None if n == 'nest' else find(n, *a); "
        "import sys; sys.argv = ['setup.py', '--version']; exec(open('setup.py').read())"
    )
    environment = {k: v for k, v in os.environ.items() if k != "V1SIM_BUILD_NEST"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "not offered ready-made for Linux riscv64" in done.stderr


def test_the_files_around_the_code_say_the_same():
    """The version stands in two files, and the hosted workflow calls what everybody calls."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    with (ROOT / "pyproject.toml").open("rb") as file:
        assert citation["version"] == tomllib.load(file)["project"]["version"]
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    assert {"run": ".ci/run"} in workflow["jobs"]["test"]["steps"]
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    assert [hook["id"] for hook in hooks] == ["ruff", "ruff-format", "mypy"]
    for form in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"):
        assert {"name", "description", "body"} <= yaml.safe_load(form.read_text()).keys()

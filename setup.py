"""Compiles the NEST extension module at installation, where that is possible.

Everything else about the package stands in pyproject.toml. Without a compiler the
installation succeeds without the module; `v1sim` then says what to install when the
module is asked for.
"""

import importlib.util
import os
import platform
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

_NATIVE = Path("v1sim", "simulation", "native")


def _compile_script():
    """The module that compiles; loaded by path, as v1sim cannot be imported before it is installed."""
    spec = importlib.util.spec_from_file_location("v1sim_compile", _NATIVE / "compile.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class BuildNative(build_ext):
    """Calls compile.py in place of setuptools' own compiler calls."""

    def run(self):
        script = _compile_script()
        folder = _NATIVE if self.inplace else Path(self.build_lib) / _NATIVE
        try:
            if script.fitting_module(folder.absolute()) is None:
                script.compile_module(folder.absolute())
        except script.CompilationError as error:
            self.warn(f"v1sim is installed without its NEST module: {error}")

    def get_outputs(self):
        return []

    def get_output_mapping(self):
        return {}


def _require_ready_made_nest():
    """Say on which platforms NEST is offered, before pip begins to build it from source."""
    system, machine = platform.system(), platform.machine()
    if system == "Linux":
        ready = machine == "x86_64" and platform.libc_ver()[0] == "glibc"
    else:
        macos = int(platform.mac_ver()[0].split(".")[0] or 0)
        ready = system == "Darwin" and machine == "arm64" and macos >= 15
    if ready or os.environ.get("V1SIM_BUILD_NEST") or importlib.util.find_spec("nest"):
        return
    sys.exit(
        f"v1sim needs NEST 3.10, which is not offered ready-made for {system} {machine}, only for Linux "
        "x86-64 with glibc and for macOS 15 or later on arm64. Use such a machine; or install NEST "
        "first (conda install -c conda-forge nest-simulator) and then v1sim with pip install "
        "--no-build-isolation; or let pip build NEST from source: V1SIM_BUILD_NEST=1"
    )


_require_ready_made_nest()
setup(
    ext_modules=[Extension("v1sim.simulation.native.v1sim_native", sources=[])],
    cmdclass={"build_ext": BuildNative},
)

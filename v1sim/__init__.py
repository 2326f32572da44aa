"""v1sim: guarded simulation of the Billeh/Allen mouse V1 model through PyNN on NEST.

Read, check, simulate, look::

    import v1sim

    report = v1sim.check("net.h5")                  # are these weights trained? what is wrong?
    run = v1sim.run("configs/drifting_gratings.yaml", {"network": "net.h5"})
    run.figure()                                    # the summary
    run.recording.spikes                            # arrays; run.to_neo(), run.spikes() (pandas)

Build the network as PyNN objects, in a notebook or a script of one's own::

    simulation = v1sim.build("net.h5")              # raises GuardRefusal where it is refused
    simulation.populations["e4"].record("V_m")
    simulation.pynn.run(100.0)

The names in ``__all__`` are the stable part of the package. Each is imported when it is first
used: ``import v1sim`` loads nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from v1sim.api import (
        build,
        build_column,
        check,
        compare,
        convert,
        diff,
        open_network,
        open_run,
        preview,
        run,
        verify,
        verify_dynamics,
    )
    from v1sim.errors import GuardRefusal, InputError, SimulationError, V1simError
    from v1sim.model import ArrayRequirements, CheckReport, NetworkModel, TrainingMinimum
    from v1sim.runs import Run

    __version__: str

__all__ = [
    "ArrayRequirements",
    "CheckReport",
    "GuardRefusal",
    "InputError",
    "NetworkModel",
    "Run",
    "SimulationError",
    "TrainingMinimum",
    "V1simError",
    "__version__",
    "build",
    "build_column",
    "check",
    "compare",
    "convert",
    "diff",
    "open_network",
    "open_run",
    "preview",
    "run",
    "verify",
    "verify_dynamics",
]

_HOME = {
    **dict.fromkeys(("GuardRefusal", "InputError", "SimulationError", "V1simError"), "errors"),
    **dict.fromkeys(
        ("ArrayRequirements", "CheckReport", "NetworkModel", "TrainingMinimum"), "model"
    ),
    "Run": "runs",
}

if not TYPE_CHECKING:  # to a type checker a misspelt name must stay one

    def __getattr__(name: str) -> object:
        if name == "__version__":
            value = _version()
        elif name in __all__:
            from importlib import import_module

            value = getattr(import_module(f"v1sim.{_HOME.get(name, 'api')}"), name)
        else:
            msg = f"module 'v1sim' has no attribute {name!r}"
            raise AttributeError(msg)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("v1sim")
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "0+unknown"

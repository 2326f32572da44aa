"""DPointNet's configuration: what it says of the dynamics, of the inputs and of their weights.

The files of the circuit are those of any SONATA configuration (`v1sim.sources.sonata.config`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from v1sim.errors import ConfigError
from v1sim.printable import printable
from v1sim.sources.dpointnet.basis import read_tau_basis

__all__ = ["DPointNetConfig", "DPointNetInput", "dpointnet_config", "is_dpointnet"]

#: Keys of ``rnn_cell_params`` and their defaults (``GLIF3Cell``, BMTK 1.2.0); others are refused.
_DEFAULTS = MappingProxyType(
    {
        "dt": 1.0,
        "max_delay": 5,
        "hard_reset": False,
        "lr_scale": 1.0,
        "recurrent_weight_scale": 1.0,
        "train_recurrent": True,
        "noise_seed": 0,
    }
)
#: Keys without meaning for the dynamics: they shape gradients.
_OF_GRADIENTS = frozenset(
    {
        *("gauss_std", "dampening_factor", "recurrent_dampening_factor", "pseudo_gauss"),
        *("voltage_gradient_dampening", "cell_model", "tau_basis", "basis_weights_file"),
        "synaptic_basis_weights",
    }
)
#: Modules of inputs whose spikes are drawn inside the cell, and their rate by default, Hz.
INTERNAL = ("poisson_spikes_internal", "noisy_current")
DEFAULT_RATE_HZ = 250.0


@dataclass(frozen=True)
class DPointNetInput:
    """What a source population sends, and how its weights are used.

    ``weight_scale`` multiplies the weights of the files in training; ``trainable`` says whether
    training changes them.
    """

    population: str
    module: str = ""
    trainable: bool = False
    weight_scale: float = 1.0
    firing_rate_hz: float = DEFAULT_RATE_HZ
    spikes_paths: tuple[Path, ...] = ()
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def internal(self) -> bool:
        """Whether its spikes are drawn inside the cell, and stand in no file."""
        return self.module in INTERNAL


@dataclass(frozen=True, eq=False)
class DPointNetConfig:
    """What DPointNet's configuration says beyond the files of the circuit.

    Parameters
    ----------
    path : Path
        The configuration.
    tau_basis_ms : float64 array, shape (B,)
        Time constants of the basis functions.
    basis_weights_file : Path or None
        Their factors by synaptic model; None where the models' own files have them.
    step_ms : float
        Step of the cell (``rnn_cell_params.dt``).
    run_dt_ms : float
        ``run.dt``: stamps of spikes are multiples of it, nothing else.
    n_steps : int or None
        Length of a trial in steps.
    dtype : str
        Precision of the forward pass.
    hard_reset : bool
        Whether the membrane is held at E_L while a cell is refractory.
    max_delay_ms : float or None
        The longest delay; None is no limit.
    lr_scale, recurrent_weight_scale : float
        Factors of weights inside.
    train_recurrent : bool
        Whether training changes the recurrent weights.
    noise_seed : int
        Of background that is drawn inside the cell.
    optimizer : str
        Name of the optimizer; empty where none is named.
    inputs : mapping
        By source population.
    initial_state : str
        Module of the state that an inference starts from.
    """

    path: Path
    tau_basis_ms: NDArray[np.float64]
    basis_weights_file: Path | None
    step_ms: float
    run_dt_ms: float
    n_steps: int | None
    dtype: str
    hard_reset: bool
    max_delay_ms: float | None
    lr_scale: float
    recurrent_weight_scale: float
    train_recurrent: bool
    noise_seed: int
    optimizer: str
    inputs: Mapping[str, DPointNetInput]
    initial_state: str

    def input_of(self, population: str) -> DPointNetInput:
        """The input of a population; one without a module where the configuration has none."""
        return self.inputs.get(population, DPointNetInput(population))


def is_dpointnet(document: Mapping[str, Any]) -> bool:
    """Whether a configuration is one of DPointNet's: no other has ``rnn_cell_params``."""
    return "rnn_cell_params" in document


def dpointnet_config(document: Mapping[str, Any], path: Path) -> DPointNetConfig:
    """DPointNet's part of a configuration whose variables are put in.

    Parameters
    ----------
    document : mapping
        The JSON.
    path : Path
        Its file: relative paths start in its folder.

    Raises
    ------
    ConfigError
        If a section is missing or a value is none that DPointNet takes.
    NetworkFileError
        If ``tau_basis`` is none, or its file cannot be read.
    """
    where, folder = str(path), path.parent
    if not is_dpointnet(document):
        raise ConfigError(
            "has no rnn_cell_params: this is no configuration of DPointNet",
            where=where,
            expected="the configuration that the training was run with",
            hint="PointNet's configurations are read by v1sim check and v1sim run",
        )
    cell = _section(document, "rnn_cell_params", where)
    run = _section(document, "run", where)
    unknown = sorted(set(cell) - set(_DEFAULTS) - _OF_GRADIENTS)
    if unknown:
        raise ConfigError(
            f"rnn_cell_params has keys that DPointNet 1.2.0 refuses: "
            f"{', '.join(map(printable, unknown))}",
            where=where,
            expected=f"some of {', '.join(sorted({*_DEFAULTS, *_OF_GRADIENTS}))}",
            hint="a key `dynamics` is of a later DPointNet, whose dynamics v1sim does not know",
        )
    if cell.get("synaptic_basis_weights") is not None:
        raise ConfigError(
            "rnn_cell_params.synaptic_basis_weights outranks the factors of the files",
            where=where,
            expected="factors in the synaptic models or in basis_weights_file",
            hint="write them into a basis_weights_file",
        )
    values = {**_DEFAULTS, **{key: cell[key] for key in _DEFAULTS if key in cell}}
    table = cell.get("basis_weights_file")
    components = document.get("components")
    if table is None and isinstance(components, Mapping):
        table = components.get("basis_weights_file")
    limit = values["max_delay"]
    training = document.get("training") or {}
    optimizer = (training.get("optimizer") or {}) if isinstance(training, Mapping) else {}
    inference = document.get("inference") or {}
    inference = inference[0] if isinstance(inference, list) and inference else inference
    state = (inference.get("initial_state") if isinstance(inference, Mapping) else None) or {}
    n_steps = run.get("seq_len")
    return DPointNetConfig(
        path=path,
        tau_basis_ms=read_tau_basis(cell.get("tau_basis"), folder, where),
        basis_weights_file=None if table is None else folder / str(table),
        step_ms=_number(values["dt"], "rnn_cell_params.dt", where, above=0.0),
        run_dt_ms=_number(run.get("dt", 1.0), "run.dt", where, above=0.0),
        n_steps=None if n_steps is None else int(_number(n_steps, "run.seq_len", where, above=0.0)),
        dtype=str(run.get("dtype", "float32")),
        hard_reset=bool(values["hard_reset"]),
        max_delay_ms=None if limit is None else _number(limit, "rnn_cell_params.max_delay", where),
        lr_scale=_number(values["lr_scale"], "rnn_cell_params.lr_scale", where, above=0.0),
        recurrent_weight_scale=_number(
            values["recurrent_weight_scale"],
            "rnn_cell_params.recurrent_weight_scale",
            where,
            above=0.0,
        ),
        train_recurrent=bool(values["train_recurrent"]),
        noise_seed=int(_number(values["noise_seed"], "rnn_cell_params.noise_seed", where)),
        optimizer=str(optimizer.get("name", "")) if isinstance(optimizer, Mapping) else "",
        inputs=MappingProxyType(_inputs(document, folder, where)),
        initial_state=str(state.get("module", "")) if isinstance(state, Mapping) else "",
    )


def _section(document: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    section = document.get(key)
    if not isinstance(section, Mapping):
        raise ConfigError(f"has no section {key}", where=where, expected=f"an object {key}")
    return section


def _number(value: Any, key: str, where: str, *, above: float | None = None) -> float:
    good = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not good or not np.isfinite(value) or (above is not None and value <= above):
        raise ConfigError(
            f"{key} is {printable(repr(value))[:80]}",
            where=where,
            expected="a number" + ("" if above is None else f" above {above:g}"),
        )
    return float(value)


def _inputs(document: Mapping[str, Any], folder: Path, where: str) -> dict[str, DPointNetInput]:
    """Inputs by population; where several name one, later keys replace earlier ones as there."""
    found: dict[str, dict[str, Any]] = {}
    for options in _input_modules(document):
        population = options.get("node_set")
        if isinstance(population, str) and options.get("enabled", True):
            found.setdefault(population, {}).update(options)
    made = {}
    for population, options in found.items():
        paths = options.get("spikes_paths", ())
        paths = [paths] if isinstance(paths, str) else paths
        rate = options.get("firing_rate", DEFAULT_RATE_HZ)
        made[population] = DPointNetInput(
            population=population,
            module=str(options.get("module", "")),
            trainable=bool(options.get("trainable", False)),
            weight_scale=_number(
                options.get("weight_scale", 1.0), f"weight_scale of {population}", where, above=0.0
            ),
            firing_rate_hz=float(rate) if isinstance(rate, (int, float)) else DEFAULT_RATE_HZ,
            spikes_paths=tuple(folder / str(path) for path in paths),
            options=MappingProxyType(options),
        )
    return made


def _input_modules(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Every module of an input, in the order in which DPointNet reads them."""
    yield from _modules(document.get("inputs"))
    training = document.get("training")
    parameters = training.get("parameters") if isinstance(training, Mapping) else None
    for part in parameters if isinstance(parameters, list) else ():
        if isinstance(part, Mapping):
            yield from _modules(part.get("inputs"))
    inference = document.get("inference")
    for part in inference if isinstance(inference, list) else [inference]:
        if isinstance(part, Mapping):
            yield from _modules(part.get("inputs"))
            for one in part.get("parameters") or ():
                if isinstance(one, Mapping):
                    yield from _modules(one.get("inputs"))


def _modules(inputs: Any) -> Iterator[Mapping[str, Any]]:
    items = inputs.values() if isinstance(inputs, Mapping) else inputs or ()
    for options in items if not isinstance(items, str) else ():
        if isinstance(options, Mapping):
            yield options

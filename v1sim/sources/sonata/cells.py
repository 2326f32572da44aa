"""Cell types of a SONATA circuit: a NEST model and a JSON file of its parameters, each.

A JSON file has NEST's names and units, or is one of the Allen Cell Types Database (``"type":
"GLIF"``, SI units; Teeter et al. 2018, doi 10.1038/s41467-017-02717-4), which is converted as BMTK
does it. What a file leaves out is NEST's default, as in BMTK: the start is the model's own V_m,
not E_L, and there are no after-spike currents unless the file says so.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from v1sim.cell_models import CELL_MODELS, CellModel, Parameter, Per, allowed_model
from v1sim.errors import NetworkFileError
from v1sim.files.identify import printable
from v1sim.model import CellTypeTable
from v1sim.receptors import Kind, ReceptorKinds
from v1sim.sources.sonata.manifest import kind_of, read_json
from v1sim.sources.sonata.remarks import Remarks

__all__ = ["NEST_DEFAULTS", "CellParameters", "cell_type_table", "read_cell"]

_IAF = {"C_m": 250.0, "tau_m": 10.0, "E_L": -70.0, "V_th": -55.0, "V_reset": -70.0, "t_ref": 2.0}
_IAF |= {"I_e": 0.0, "V_m": -70.0}
_TAU_SYN = {"tau_syn_ex": 2.0, "tau_syn_in": 2.0}
_GLIF: dict[str, Any] = {
    "C_m": 58.72, "g": 9.43, "E_L": -78.85, "V_th": -51.68, "V_reset": -78.85, "t_ref": 3.75,
    "V_m": -78.85, "asc_init": (0.0, 0.0), "asc_decay": (0.003, 0.1), "asc_r": (1.0, 1.0),
    "asc_amps": (-9.18, -198.94), "after_spike_currents": False,
    "spike_dependent_threshold": False, "adapting_threshold": False, "th_spike_add": 0.37,
    "th_spike_decay": 0.009, "voltage_reset_fraction": 0.2, "voltage_reset_add": 18.51,
    "th_voltage_index": 0.005, "th_voltage_decay": 0.09,
}  # fmt: skip

#: Defaults of NEST 3.10's models (a test compares them with NEST's own).
NEST_DEFAULTS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "glif_psc": {**_GLIF, "tau_syn": (2.0,)},
        "glif_psc_double_alpha": {
            **_GLIF, "tau_syn_fast": (2.0,), "tau_syn_slow": (6.0,), "amp_slow": (0.3,)
        },
        "iaf_psc_alpha": {**_IAF, **_TAU_SYN},
        "iaf_psc_exp": {**_IAF, **_TAU_SYN},
        "iaf_psc_delta": _IAF,
    }
)  # fmt: skip

#: Parameters of NEST's models that v1sim does not set: a file may name them with these values.
_LEFT_AT: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "iaf_psc_alpha": {"V_min": -math.inf},
        "iaf_psc_exp": {"rho": 0.01, "delta": 0.0},
        "iaf_psc_delta": {"V_min": -math.inf, "refractory_input": False},
        "glif_psc": {"threshold_spike": 0.0, "threshold_voltage": 0.0},
        "glif_psc_double_alpha": {"threshold_spike": 0.0, "threshold_voltage": 0.0},
    }
)
#: Of plasticity, which static synapses do not have.
_WITHOUT_EFFECT = frozenset(
    ("tau_minus", "tau_minus_triplet", "tau_Ca", "beta_Ca", "Ca", "frozen", "element_type")
)

#: Columns whose value in NEST's default matters to nobody unless the file says so.
_HARMLESS_DEFAULTS = frozenset(
    (
        *("I_e", "asc_init", "asc_r", "spike_dependent_threshold", "adapting_threshold"),
        *("th_spike_add", "th_spike_decay", "voltage_reset_fraction", "voltage_reset_add"),
        *("th_voltage_index", "th_voltage_decay", "V_m", "after_spike_currents"),
        *("asc_decay", "asc_amps", "tau_syn_ex", "tau_syn_in"),
    )
)
_ALLEN_TAU_SYN_MS = (5.5, 8.5, 2.8, 5.8)


@dataclass(frozen=True)
class CellParameters:
    """A NEST model and its parameters by NEST's names; those left out are NEST's defaults."""

    model: CellModel
    values: Mapping[str, Any]
    ports: int | None = None

    @property
    def n_ports(self) -> int:
        """Number of receptors: the ports of the model, or two signs."""
        if self.ports is not None:
            return self.ports or 2
        parameter = next((p for p in self.model.parameters if p.per == "receptor"), None)
        if parameter is None or isinstance(parameter.nest, tuple):
            return 2
        return len(self.values[parameter.nest])

    @property
    def n_currents(self) -> int:
        """Number of after-spike currents."""
        return len(self.values.get("asc_amps", ()))


def read_cell(
    template: str | None,
    dynamics_params: str | None,
    folder: str | None,
    *,
    allowed: Mapping[str, int],
    name: str,
    where: str,
    remarks: Remarks,
) -> CellParameters:
    """The model and parameters of one node type.

    Parameters
    ----------
    template : str
        The type's ``model_template``: "nest:glif_psc".
    dynamics_params : str, optional
        Its JSON file; all parameters are NEST's defaults where there is none.
    folder : str, optional
        ``components.point_neuron_models_dir``.
    allowed : mapping of str to int
        Other models of NEST that may be built, and the number of their ports.
    name, where : str
        The type, and the table that it stands in, for messages.
    remarks : Remarks
        Takes what is odd.

    Raises
    ------
    NetworkFileError
        If such cells cannot be built, or the file cannot be read.
    """
    schema, _, nest_name = (template or "").partition(":")
    if schema != "nest" or not nest_name:
        raise NetworkFileError(
            f"{name} has the model_template {printable(template)!r}",
            where=where,
            expected=f"nest: and one of {', '.join(CELL_MODELS)}",
            hint="cells of NEURON and others are simulated by BMTK's BioNet, not by NEST",
        )
    given: dict[str, Any] = {}
    file = where
    if dynamics_params is not None:
        path = Path(folder or "", dynamics_params)
        if folder is None and not path.is_absolute():
            raise NetworkFileError(
                f"{name} has its parameters in {printable(dynamics_params)}, but the configuration "
                "names no folder of such files",
                where=where,
                expected="components.point_neuron_models_dir",
            )
        given = read_json(path, expected=f"parameters of nest:{nest_name}")
        file = str(path)
    if given.get("type") == "GLIF" and nest_name.startswith("glif"):
        nest_name, given = _from_allen(nest_name, given, file)
    if nest_name in allowed and nest_name not in CELL_MODELS:
        remarks.add(
            "sonata.allowed_model",
            where,
            f"{name}: a cell of nest:{nest_name}, as the configuration allows it",
            hint="its parameters are handed to NEST as they are; each trial starts on a network "
            "that is built anew",
        )
        return _allowed_cell(nest_name, given, allowed[nest_name], file)
    if nest_name not in CELL_MODELS:
        near = difflib.get_close_matches(nest_name, CELL_MODELS, n=1, cutoff=0.9)
        raise NetworkFileError(
            f"{name} is a cell of nest:{printable(nest_name)}, which cannot be built",
            where=where,
            expected=f"one of {', '.join((*CELL_MODELS, *allowed))}",
            hint=(f"did you mean {near[0]}? Otherwise " if near else "")
            + f'"v1sim": {{"allow_models": ["{printable(nest_name)}"]}} in the configuration '
            "builds such cells, without the guards that know their model",
        )
    model = CELL_MODELS[nest_name]
    values = _values(model, given, file)
    _remark_on_defaults(model, given, values, name, file, remarks)
    return CellParameters(model, MappingProxyType(values))


def _allowed_cell(name: str, given: Mapping[str, Any], ports: int, file: str) -> CellParameters:
    """A model that the user allows, with its parameters as they are."""
    values: dict[str, Any] = {}
    per: dict[str, Per] = {}
    for key, value in given.items():
        if isinstance(value, bool):
            values[key] = value
        elif isinstance(value, list):
            values[key] = _numbers(key, value, file)
        else:
            values[key] = _number(key, value, file)
        per[key] = "receptor" if isinstance(value, list) else "type"
    lengths = {key: len(value) for key, value in values.items() if isinstance(value, tuple)}
    ports = ports or max(lengths.values(), default=0)
    wrong = [key for key, n in lengths.items() if n != ports]
    if wrong:
        raise NetworkFileError(
            f"{printable(wrong[0])} has {lengths[wrong[0]]} numbers for {ports} ports of {name}",
            where=file,
            expected="one number a port in each list",
        )
    switches = [key for key, value in values.items() if isinstance(value, bool)]
    model = replace(allowed_model(name, per, switches), has_ports=ports > 0)
    return CellParameters(model, MappingProxyType(values), ports)


def _together_by_name(cells: Sequence[CellParameters]) -> tuple[CellModel, ...]:
    """The models that the user allows, each with the parameters that any of its types has."""
    found: dict[str, CellModel] = {}
    for cell in cells:
        model = cell.model
        if model.name in CELL_MODELS:
            continue
        before = found.get(model.name, model)
        columns = {p.column: p for p in (*before.parameters, *model.parameters)}
        found[model.name] = replace(model, parameters=tuple(columns.values()))
    return tuple(found.values())


def _values(model: CellModel, given: Mapping[str, Any], file: str) -> dict[str, Any]:
    """All parameters of a model: those given, and NEST's defaults for the others."""
    values = dict(NEST_DEFAULTS[model.name])
    wanted = _parameters(model)
    for key, value in given.items():
        if key in _WITHOUT_EFFECT:
            continue
        left_at = _LEFT_AT[model.name]
        if key == "ASCurrents" and "asc_init" in wanted:
            values[key] = _numbers(key, value, file)
            continue
        if key in left_at:
            if _same_number(value, left_at[key]):
                continue
            raise NetworkFileError(
                f"{printable(key)} is {printable(value)}: v1sim leaves it at {left_at[key]:g}",
                where=file,
                expected=f"{left_at[key]:g}, or nothing",
            )
        if key not in wanted:
            near = difflib.get_close_matches(key, wanted, n=1)
            raise NetworkFileError(
                f"{printable(key)} is no parameter of {model.name}",
                where=file,
                expected=f"some of {', '.join(wanted)}",
                hint=(f"did you mean {near[0]}? " if near else "") + "NEST refuses it, too",
            )
        parameter = wanted[key]
        is_row = parameter.per != "type" and isinstance(parameter.nest, str)
        if parameter.is_switch:
            if not isinstance(value, bool):
                raise NetworkFileError(
                    f"{key} is {kind_of(value)}", where=file, expected="true or false"
                )
            values[key] = value
        else:
            values[key] = _numbers(key, value, file) if is_row else _number(key, value, file)
    _look_at_lengths(model, values, given, file)
    return values


def _parameters(model: CellModel) -> dict[str, Parameter]:
    """The parameters of a model by NEST's name."""
    return {
        name: p
        for p in model.parameters
        for name in ((p.nest,) if isinstance(p.nest, str) else p.nest)
    }


def _look_at_lengths(
    model: CellModel, values: dict[str, Any], given: Mapping[str, Any], file: str
) -> None:
    for per in ("receptor", "after_spike_current"):
        names = [p.nest for p in model.parameters if p.per == per and isinstance(p.nest, str)]
        lengths = {name: len(values[name]) for name in names}
        if per == "after_spike_current" and "ASCurrents" in values:
            lengths["ASCurrents"] = len(values["ASCurrents"])
        if len(set(lengths.values())) > 1:
            seen = ", ".join(
                f"{name} {n}" + ("" if name in given else " (NEST's default)")
                for name, n in lengths.items()
            )
            raise NetworkFileError(
                f"rows differ in length: {seen}",
                where=file,
                expected=f"one number a {per.replace('_', ' ')} in each",
            )


def _number(key: str, value: Any, file: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise NetworkFileError(
            f"{printable(key)} is {kind_of(value)}", where=file, expected="a number"
        )
    if math.isnan(value):  # NaN stands for a parameter that is left out
        raise NetworkFileError(f"{printable(key)} is NaN", where=file, expected="a number")
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _numbers(key: str, value: Any, file: str) -> tuple[float, ...]:
    if not isinstance(value, list):
        raise NetworkFileError(
            f"{printable(key)} is {kind_of(value)}", where=file, expected="a list of numbers"
        )
    return tuple(_number(f"{key}[{i}]", v, file) for i, v in enumerate(value))


def _same_number(value: Any, number: float) -> bool:
    if isinstance(value, bool | int | float):
        # NEST's default of V_min is the smallest number, in a file minus infinity or -1e308.
        return bool(value == number) or (math.isinf(number) and value <= -1e300)
    return False


def _remark_on_defaults(
    model: CellModel,
    given: Mapping[str, Any],
    values: Mapping[str, Any],
    name: str,
    file: str,
    remarks: Remarks,
) -> None:
    if "V_m" not in given and values["V_m"] != values["E_L"]:
        remarks.add(
            "sonata.default_start",
            file,
            f"no V_m: cells of {name} start at NEST's {values['V_m']:g} mV, E_L is "
            f"{values['E_L']:g} mV",
            hint="give V_m; BMTK starts them at the same potential as v1sim",
        )
    if (
        "after_spike_currents" in values
        and "after_spike_currents" not in given
        and any(given.get("asc_amps", ()))
    ):
        remarks.add(
            "sonata.no_after_spike_currents",
            file,
            f"no after_spike_currents: cells of {name} have none in spite of their asc_amps",
            hint="give after_spike_currents, true or false; BMTK leaves them out as v1sim does",
        )
    if any(values.get("asc_init", ())) and "ASCurrents" not in given:
        remarks.add(
            "sonata.unread_parameter",
            file,
            f"asc_init of {name} has no effect: NEST starts after-spike currents at 0",
            hint="give ASCurrents, with which they start",
        )
    left_out = [key for key in _parameters(model) if key not in given]
    left_out = [key for key in left_out if key not in _HARMLESS_DEFAULTS]
    if left_out:
        remarks.add(
            "sonata.default_parameter",
            file,
            f"cells of {name} have NEST's "
            + ", ".join(f"{key} {_shown(values[key])}" for key in left_out),
            hint="give them; BMTK takes NEST's defaults as v1sim does",
            n=len(left_out),
            total=len(_parameters(model)),
            examples=left_out,
        )


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(f"{v:g}" for v in value) + "]"
    return f"{value:g}"


# --- Allen's own parameters ------------------------------------------------------------------


def _from_allen(nest_name: str, config: Mapping[str, Any], file: str) -> tuple[str, dict[str, Any]]:
    """A model of the Allen Cell Types Database in NEST's names and units."""
    convert = _ALLEN_MODELS.get(nest_name)
    if convert is None:
        raise NetworkFileError(
            f'has "type": "GLIF", but is used for nest:{printable(nest_name)}',
            where=file,
            expected=f"one of {', '.join(f'nest:{name}' for name in _ALLEN_MODELS)}",
        )
    try:
        return "glif_psc", convert(config)
    except KeyError as error:
        raise NetworkFileError(
            f"has no {printable(error.args[0])}",
            where=file,
            expected="a model of the Allen Cell Types Database, in SI units",
        ) from error
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise NetworkFileError(
            f"cannot be converted: {printable(error)}",
            where=file,
            expected="a model of the Allen Cell Types Database, in SI units",
        ) from error


def _lif(config: Mapping[str, Any]) -> dict[str, Any]:
    coeffs, reference = config["coeffs"], config["El_reference"] * 1.0e03
    return {
        "V_m": config["El"] * 1.0e03 + reference,
        "V_th": coeffs["th_inf"] * config["th_inf"] * 1.0e03 + reference,
        "g": coeffs["G"] / config["R_input"] * 1.0e09,
        "E_L": config["El"] * 1.0e03 + reference,
        "C_m": coeffs["C"] * config["C"] * 1.0e12,
        "t_ref": config["spike_cut_length"] * config["dt"] * 1.0e03,
        "tau_syn": list(_ALLEN_TAU_SYN_MS),
        "spike_dependent_threshold": False,
        "after_spike_currents": False,
        "adapting_threshold": False,
    }


def _reset_to_reference(config: Mapping[str, Any]) -> dict[str, Any]:
    return {"V_reset": config["El_reference"] * 1.0e03}


def _reset_rule(config: Mapping[str, Any]) -> dict[str, Any]:
    threshold = config["threshold_dynamics_method"]["params"]
    reset = config["voltage_reset_method"]["params"]
    return {
        "th_spike_add": threshold["a_spike"] * 1.0e03,
        "th_spike_decay": threshold["b_spike"] * 1.0e-03,
        "voltage_reset_fraction": reset["a"],
        "voltage_reset_add": reset["b"] * 1.0e03,
        "spike_dependent_threshold": True,
    }


def _after_spike_currents(config: Mapping[str, Any]) -> dict[str, Any]:
    amplitude = np.array(config["asc_amp_array"]) * np.array(config["coeffs"]["asc_amp_array"])
    return {
        "asc_init": (np.array(config["init_AScurrents"]) * 1.0e12).tolist(),
        "asc_decay": (1.0 / np.array(config["asc_tau_array"]) * 1.0e-03).tolist(),
        "asc_amps": (amplitude * 1.0e12).tolist(),
        "after_spike_currents": True,
    }


def _adapting_threshold(config: Mapping[str, Any]) -> dict[str, Any]:
    threshold, coeffs = config["threshold_dynamics_method"]["params"], config["coeffs"]
    return {
        "th_voltage_index": threshold["a_voltage"] * coeffs["a"] * 1.0e-03,
        "th_voltage_decay": threshold["b_voltage"] * coeffs["b"] * 1.0e-03,
        "adapting_threshold": True,
    }


def _together(
    *parts: Callable[[Mapping[str, Any]], dict[str, Any]],
) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    return lambda config: {key: value for part in parts for key, value in part(config).items()}


#: GLIF levels 1 to 5, by the name in ``model_template``.
_ALLEN_MODELS: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = MappingProxyType(
    {
        "glif_lif_psc": _together(_lif, _reset_to_reference),
        "glif_lif_r_psc": _together(_lif, _reset_rule),
        "glif_lif_asc_psc": _together(_lif, _reset_to_reference, _after_spike_currents),
        "glif_lif_r_asc_psc": _together(_lif, _reset_rule, _after_spike_currents),
        "glif_lif_r_asc_a_psc": _together(
            _lif, _reset_rule, _after_spike_currents, _adapting_threshold
        ),
    }
)


# --- the table -------------------------------------------------------------------------------


def cell_type_table(
    cells: Sequence[CellParameters],
    names: tuple[str, ...],
    cell_class: tuple[str, ...] | None,
    kind: NDArray[np.uint8],
) -> CellTypeTable:
    """The table of cell types.

    Parameters
    ----------
    cells : sequence of CellParameters, length t
        Model and parameters of each type.
    names, cell_class : tuple of str, length t
        Name of each type; its class where there are classes.
    kind : uint8 array, shape (t,)
        A `Kind` each.
    """
    n_receptors = np.array([cell.n_ports for cell in cells])
    n_currents = np.array([cell.n_currents for cell in cells])
    lengths = {"receptor": int(n_receptors.max()), "after_spike_current": int(n_currents.max())}
    columns: dict[str, NDArray[np.float64]] = {}
    for i, cell in enumerate(cells):  # over types, of which there are about two hundred
        for parameter in cell.model.parameters:
            value = _in_nest(parameter, cell)
            if value is None:
                value = np.nan
            if parameter.column not in columns:
                shape = () if parameter.per == "type" else (lengths[parameter.per],)
                columns[parameter.column] = np.full((len(cells), *shape), np.nan)
            row = columns[parameter.column][i : i + 1]
            if parameter.per == "type":
                row[0] = value
            else:
                row[0, : len(value)] = value
    same = bool((n_receptors == n_receptors.max()).all())
    glif = n_currents[np.array(["asc_amps" in cell.values for cell in cells])]
    return CellTypeTable(
        model=tuple(cell.model.name for cell in cells),
        columns=columns,
        receptor_kinds=ReceptorKinds.unknown(lengths["receptor"]),
        name=names,
        cell_class=cell_class,
        kind=None if (kind == Kind.UNKNOWN).all() else kind,
        n_receptors=None if same else n_receptors,
        n_after_spike_currents=n_currents if len(set(glif.tolist())) > 1 else None,
        other_models=_together_by_name(cells),
    )


def _in_nest(parameter: Parameter, cell: CellParameters) -> Any:
    """A parameter's value: a number, or a row of them."""
    values = cell.values
    if isinstance(parameter.nest, tuple):
        return [values[name] for name in parameter.nest]
    if parameter.column == "asc_init_pa":
        # NEST starts at ASCurrents, whatever asc_init says; v1sim starts trials at this column.
        return values.get("ASCurrents", (0.0,) * cell.n_currents)
    return values.get(parameter.nest)

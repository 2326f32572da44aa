"""The NEST models that cells may have: one entry a model in `CELL_MODELS`.

An entry says which parameters the model takes and in which units, what current a spike causes
through its receptors, how its receptors are numbered in NEST, and from which state a trial starts.
Nothing here loads NEST. To add a model: an entry here, the same model by hand in
``tests/cell_models.py``, whose spikes are compared with NEST's, and
``python -m v1sim.cell_models docs/cell_models.md``, which writes the page of models again.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from v1sim.errors import InputError

__all__ = [
    "CELL_MODELS",
    "CellModel",
    "Parameter",
    "Per",
    "StartState",
    "SynapticCurrent",
    "allowed_model",
    "cell_model",
    "cell_models_markdown",
]

#: What a parameter has one number for: a cell type, or each of its receptors or currents.
Per = Literal["type", "receptor", "after_spike_current"]


@dataclass(frozen=True)
class Parameter:
    """A parameter of a cell model.

    Parameters
    ----------
    column : str
        Its column in a `CellTypeTable`. The end of the name is the unit, which is NEST's.
    nest : str or tuple of str
        NEST's name; one name a receptor where NEST has several.
    per : {"type", "receptor", "after_spike_current"}
        What it has one number for.
    required : bool
        Whether the table must have it.
    default : float, str or None
        Otherwise, where the table has no such column or no number in it: a number, the column to
        take it from, or None to leave it to NEST.
    is_switch : bool
        Whether 0 and 1 stand for off and on.
    """

    column: str
    nest: str | tuple[str, ...]
    per: Per = "type"
    required: bool = True
    default: float | str | None = None
    is_switch: bool = False


@dataclass(frozen=True)
class SynapticCurrent:
    """The current that a spike of weight 1 causes: a sum of functions of time.

    ``functions`` has a pair of columns each: time constant, and the amplitude relative to the
    weight (None: 1). An alpha function has its peak, an exponential one its start at the
    amplitude. A ``delta`` lets the potential jump by the weight in mV: it is no current. Of an
    ``unknown`` one nothing is known: what needs it leaves such cells out.
    """

    shape: Literal["alpha", "exponential", "delta", "unknown"]
    functions: tuple[tuple[str, str | None], ...] = ()


@dataclass(frozen=True)
class StartState:
    """A part of a cell's state where a trial starts.

    ``nest`` is NEST's name, ``value`` a number or a column. NEST knows it in cells alone whose
    switch ``only_with`` is on.
    """

    nest: str
    value: float | str
    only_with: str | None = None


@dataclass(frozen=True)
class CellModel:
    """A NEST model that cells may have.

    Parameters
    ----------
    name : str
        NEST's name.
    parameters : tuple of Parameter
        What it takes from the table of cell types.
    current : SynapticCurrent
        What a spike causes.
    has_ports : bool
        Whether each receptor is a port of its own in NEST, counted from 1. Without, receptor 0 is
        that of weights >= 0, receptor 1 that of weights < 0, and NEST chooses by the sign.
    start : tuple of StartState
        The state from which a trial starts, as far as NEST lets it be set. What is not named
        falls to its start by itself when there is no input.
    cleared_by_module : bool
        Whether v1sim's NEST module can clear what is left of the synaptic currents
        (``simulation.between_trials: reset``); without, a trial starts after a silence or on a
        network that is built anew.
    restarts : bool
        Whether a trial may start after a silence; otherwise it starts on a network that is built
        anew.
    """

    name: str
    parameters: tuple[Parameter, ...]
    current: SynapticCurrent
    has_ports: bool
    start: tuple[StartState, ...]
    cleared_by_module: bool = False
    restarts: bool = True

    def parameter(self, column: str) -> Parameter | None:
        """The parameter of a column; None if the model has none."""
        return next((p for p in self.parameters if p.column == column), None)


def _switch(name: str, *, on: bool) -> Parameter:
    """A parameter that is 0 or 1 in the table, and off or on in NEST."""
    return Parameter(name, name, required=False, default=float(on), is_switch=True)


_POINT_NEURON = (
    Parameter("c_m_pf", "C_m"),
    Parameter("e_l_mv", "E_L"),
    Parameter("v_th_mv", "V_th"),
    Parameter("v_reset_mv", "V_reset"),
    Parameter("t_ref_ms", "t_ref"),
    # Training starts every cell at its reset.
    Parameter("v_start_mv", "V_m", required=False, default="v_reset_mv"),
)

#: Generalised leaky integrate-and-fire, levels 1 to 5 (Teeter et al. 2018, doi
#: 10.1038/s41467-017-02717-4). The defaults are level 3's: after a spike, training adds the
#: amplitude to what is left of the after-spike current (asc_r = 1).
_GLIF = (
    *_POINT_NEURON,
    Parameter("g_ns", "g"),
    Parameter("k_per_ms", "asc_decay", per="after_spike_current"),
    Parameter("asc_amp_pa", "asc_amps", per="after_spike_current"),
    Parameter("asc_init_pa", "asc_init", per="after_spike_current", required=False, default=0.0),
    Parameter("asc_r", "asc_r", per="after_spike_current", required=False, default=1.0),
    Parameter(
        "after_spike_currents", "after_spike_currents", required=False, default=1.0, is_switch=True
    ),
    Parameter(
        "spike_dependent_threshold",
        "spike_dependent_threshold",
        required=False,
        default=0,
        is_switch=True,
    ),
    Parameter(
        "adapting_threshold", "adapting_threshold", required=False, default=0, is_switch=True
    ),
    Parameter("th_spike_add_mv", "th_spike_add", required=False),
    Parameter("th_spike_decay_per_ms", "th_spike_decay", required=False),
    Parameter("voltage_reset_fraction", "voltage_reset_fraction", required=False),
    Parameter("voltage_reset_add_mv", "voltage_reset_add", required=False),
    Parameter("th_voltage_index_per_ms", "th_voltage_index", required=False),
    Parameter("th_voltage_decay_per_ms", "th_voltage_decay", required=False),
)
_GLIF_START = (
    StartState("V_m", "v_start_mv"),
    StartState("ASCurrents", "asc_init_pa", only_with="after_spike_currents"),
    StartState("threshold_spike", 0.0, only_with="spike_dependent_threshold"),
    StartState("threshold_voltage", 0.0, only_with="adapting_threshold"),
)

_INTEGRATE_AND_FIRE = (
    *_POINT_NEURON,
    Parameter("tau_m_ms", "tau_m"),
    Parameter("i_e_pa", "I_e", required=False, default=0.0),
)
_TAU_BY_SIGN = Parameter("tau_syn_ms", ("tau_syn_ex", "tau_syn_in"), per="receptor")
_IAF_START = (StartState("V_m", "v_start_mv"),)

_ENTRIES = (
    CellModel(
        "glif_psc",
        (*_GLIF, Parameter("tau_syn_ms", "tau_syn", per="receptor")),
        SynapticCurrent("alpha", (("tau_syn_ms", None),)),
        has_ports=True,
        start=_GLIF_START,
        cleared_by_module=True,
    ),
    CellModel(
        "glif_psc_double_alpha",
        (
            *_GLIF,
            Parameter("tau_syn_fast_ms", "tau_syn_fast", per="receptor"),
            Parameter("tau_syn_slow_ms", "tau_syn_slow", per="receptor"),
            Parameter("amp_slow", "amp_slow", per="receptor"),
        ),
        SynapticCurrent("alpha", (("tau_syn_fast_ms", None), ("tau_syn_slow_ms", "amp_slow"))),
        has_ports=True,
        start=_GLIF_START,
    ),
    CellModel(
        "iaf_psc_alpha",
        (*_INTEGRATE_AND_FIRE, _TAU_BY_SIGN),
        SynapticCurrent("alpha", (("tau_syn_ms", None),)),
        has_ports=False,
        start=_IAF_START,
    ),
    CellModel(
        "iaf_psc_exp",
        (*_INTEGRATE_AND_FIRE, _TAU_BY_SIGN),
        SynapticCurrent("exponential", (("tau_syn_ms", None),)),
        has_ports=False,
        start=_IAF_START,
    ),
    CellModel(
        "iaf_psc_delta",
        _INTEGRATE_AND_FIRE,
        SynapticCurrent("delta"),
        has_ports=False,
        start=_IAF_START,
    ),
)

#: The models by name; no other can be built.
CELL_MODELS: Mapping[str, CellModel] = MappingProxyType({entry.name: entry for entry in _ENTRIES})


def cell_model(name: str, where: str = "cell types") -> CellModel:
    """The model of a name.

    Raises
    ------
    InputError
        If cells of this model cannot be built.
    """
    if name not in CELL_MODELS:
        raise InputError(
            f"cells of the model {name!r} cannot be built",
            where=where,
            expected=f"one of {', '.join(CELL_MODELS)}",
        )
    return CELL_MODELS[name]


#: Parameters that guards read wherever a model has them, by NEST's names.
_COMMON = {
    "C_m": "c_m_pf",
    "E_L": "e_l_mv",
    "V_th": "v_th_mv",
    "V_reset": "v_reset_mv",
    "t_ref": "t_ref_ms",
}


def allowed_model(name: str, parameters: Mapping[str, Per], switches: Iterable[str]) -> CellModel:
    """Any model of NEST that a user allows: its parameters are handed to NEST as they are.

    Parameters
    ----------
    name : str
        NEST's name.
    parameters : mapping of str to str
        What each parameter, by NEST's name, has one number for: "type" or "receptor". Those that
        are left out are NEST's defaults.
    switches : iterable of str
        Parameters that are true or false.

    Returns
    -------
    CellModel
        Without ports; nothing is known of the current of a spike, nor of the state of a cell.
    """
    held = {_COMMON.get(key, f"nest_{key}"): (key, per) for key, per in parameters.items()}
    held |= {column: (key, "type") for key, column in _COMMON.items() if column not in held}
    return CellModel(
        name,
        tuple(
            Parameter(column, key, per, required=False, is_switch=key in set(switches))
            for column, (key, per) in held.items()
        ),
        SynapticCurrent("unknown"),
        has_ports=False,
        start=(),
        restarts=False,
    )


_PAGE = """# Cell models

<!-- Made by python -m v1sim.cell_models docs/cell_models.md -->

A network's cell types name their model. Networks of the Billeh model have `glif_psc` alone; other
networks may have any of these, several in one network too. Then `simulation.dynamics: auto` is
`nest`: each cell is built in the NEST model that its type names, and its spikes are NEST's. Any
other model is refused by its name, unless a SONATA configuration allows it
([sonata.md](sonata.md)).

Training's dynamics know `glif_psc` as training has it (two after-spike currents, a start at
`V_reset`); they are refused for other cells. v1sim's NEST module can reset between trials the
models that the table says; networks with others wait for silence instead (`between_trials: gap`)
or are built anew.

| model | parameters, by NEST's names | receptors | current of a spike | reset by the module |
|---|---|---|---|---|
{rows}

Parameters in brackets may be left out. A parameter's column in the table of cell types:

| column | NEST | one number for each |
|---|---|---|
{columns}
"""

_CURRENTS = {
    "alpha": "alpha functions; the weight is the peak in pA",
    "exponential": "exponentials; the weight is the start in pA",
    "delta": "none: the potential jumps by the weight in mV",
    "unknown": "unknown",
}


def _nest_names(parameter: Parameter) -> str:
    names = (parameter.nest,) if isinstance(parameter.nest, str) else parameter.nest
    return ", ".join(f"`{name}`" for name in names)


def cell_models_markdown() -> str:
    """The page of all models, from their entries."""
    rows = []
    columns: dict[tuple[str, str], Parameter] = {}
    for model in CELL_MODELS.values():
        required = [_nest_names(p) for p in model.parameters if p.required]
        optional = [_nest_names(p) for p in model.parameters if not p.required]
        receptors = "any number" if model.has_ports else "two: weights above 0 and below"
        cells = (
            f"`{model.name}`",
            f"{', '.join(required)} [{', '.join(optional)}]",
            receptors,
            _CURRENTS[model.current.shape],
            "yes" if model.cleared_by_module else "no",
        )
        rows.append(f"| {' | '.join(cells)} |")
        columns |= {(p.column, _nest_names(p)): p for p in model.parameters}
    listed = [
        f"| `{column}` | {nest} | {parameter.per.replace('_', ' ')} |"
        for (column, nest), parameter in columns.items()
    ]
    return _PAGE.format(rows="\n".join(rows), columns="\n".join(listed))


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(cell_models_markdown(), encoding="utf-8")

"""The table of cell types: the model of each type, and its parameters as columns by name.

Letters in shapes: t cell types, r receptors, j after-spike currents.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from v1sim.cell_models import CellModel, Parameter, cell_model
from v1sim.receptors import BILLEH_RECEPTORS, ReceptorKinds, ReceptorScheme, TimeCourses

__all__ = ["GLIF3_COLUMNS", "CellTypeTable"]

F64 = NDArray[np.float64]

#: The columns of the Billeh model's files: those of `CellTypeTable.glif3`.
GLIF3_COLUMNS = (
    *("c_m_pf", "g_ns", "e_l_mv", "v_th_mv", "v_reset_mv", "t_ref_ms"),
    *("k_per_ms", "asc_amp_pa", "tau_syn_ms"),
)


@dataclass(frozen=True, eq=False)
class CellTypeTable:
    """Models and parameters, one row a cell type.

    A column is also an attribute: ``types.c_m_pf``. Which columns there are and what they mean
    is said by the models (`v1sim.cell_models`); their names end in their unit, which is NEST's.

    Parameters
    ----------
    model : tuple of str, length t
        The cell model of each type.
    columns : mapping of str to float array
        Parameters: (t,), (t, r) for each receptor, or (t, j) for each after-spike current. NaN
        where a type's model has no such parameter, fewer receptors or fewer currents.
    receptor_kinds : ReceptorKinds
        Names and kinds of the receptors.
    name, cell_class : tuple of str, length t, optional
        None where the file has none; `v1sim.cell_classes` then infers classes.
    kind : uint8 array, shape (t,), optional
        `Kind` of the cells of each type, where the source says it; None where it does not.
    n_receptors, n_after_spike_currents : int array, shape (t,), optional
        How many each type has; all that there are columns for, by default.
    other_models : tuple of CellModel
        Models that are none of `v1sim.cell_models.CELL_MODELS`, which a user allowed.

    Raises
    ------
    InputError
        If a model is none of `v1sim.cell_models.CELL_MODELS`.
    ValueError
        If a column is missing, of another shape, or of no model in the table.
    """

    model: tuple[str, ...]
    columns: Mapping[str, F64]
    receptor_kinds: ReceptorKinds
    name: tuple[str, ...] | None = None
    cell_class: tuple[str, ...] | None = None
    kind: NDArray[np.uint8] | None = None
    n_receptors: NDArray[np.int64] | None = None
    n_after_spike_currents: NDArray[np.int64] | None = None
    other_models: tuple[CellModel, ...] = ()

    def __post_init__(self) -> None:
        columns = {
            name: np.asarray(values, dtype=np.float64) for name, values in self.columns.items()
        }
        object.__setattr__(self, "columns", columns)
        known = {p.column: p for m in self.models.values() for p in m.parameters}
        for name, values in columns.items():
            if name not in known:
                msg = f"no model of {', '.join(self.models)} has the parameter {name}"
                raise ValueError(msg)
            if values.shape[:1] != (len(self),) or values.ndim != 1 + (known[name].per != "type"):
                msg = f"{name} has the shape {values.shape} for {len(self)} cell types"
                raise ValueError(msg)
            if known[name].per == "receptor" and values.shape[1] != self.receptor_kinds.n:
                msg = f"{name} has {values.shape[1]} of {self.receptor_kinds.n} receptors"
                raise ValueError(msg)
            values.flags.writeable = False
        missing = sorted(
            {p.column for m in self.models.values() for p in m.parameters if p.required}
            - set(columns)
        )
        if missing:
            msg = f"cell types of {', '.join(self.models)} need {', '.join(missing)}"
            raise ValueError(msg)

    @classmethod
    def glif3(
        cls,
        *,
        name: tuple[str, ...] | None = None,
        cell_class: tuple[str, ...] | None = None,
        receptors: ReceptorKinds = BILLEH_RECEPTORS,
        **columns: Any,
    ) -> CellTypeTable:
        """GLIF3 neurons: those of the Billeh model, from `GLIF3_COLUMNS`."""
        n_types = len(next(iter(columns.values())))
        return cls(("glif_psc",) * n_types, columns, receptors, name, cell_class)

    def __len__(self) -> int:
        return len(self.model)

    def __getattr__(self, name: str) -> F64:
        # Asked for what is no field, property or method. Copies are asked before they have fields.
        columns = self.__dict__.get("columns", {})
        if name in columns:
            column: F64 = columns[name]
            return column
        msg = f"the table of cell types has no column {name!r}"
        raise AttributeError(msg)

    def with_columns(self, **columns: Any) -> CellTypeTable:
        """The same table with other values in some columns; None takes a column out."""
        changed = {**self.columns, **columns}
        return replace(self, columns={k: v for k, v in changed.items() if v is not None})

    def take(self, index: NDArray[np.integer]) -> CellTypeTable:
        """The types at ``index``, in that order."""

        def taken(values: Any) -> Any:
            if values is None:
                return None
            return tuple(values[i] for i in index) if isinstance(values, tuple) else values[index]

        kinds = self.receptor_kinds
        if not kinds.same_for_all_types:
            kinds = ReceptorKinds(kinds.names, kinds.presynaptic[index], kinds.postsynaptic[index])
        return CellTypeTable(
            model=taken(self.model),
            columns={name: values[index] for name, values in self.columns.items()},
            receptor_kinds=kinds,
            name=taken(self.name),
            cell_class=taken(self.cell_class),
            kind=taken(self.kind),
            n_receptors=taken(self.n_receptors),
            n_after_spike_currents=taken(self.n_after_spike_currents),
            other_models=self.other_models,
        )

    @property
    def models(self) -> Mapping[str, CellModel]:
        """The models in the table, by name."""
        return {name: self._model_named(name) for name in dict.fromkeys(self.model)}

    def _model_named(self, name: str) -> CellModel:
        other = next((model for model in self.other_models if model.name == name), None)
        return cell_model(name) if other is None else other

    def model_of(self, index: int) -> CellModel:
        """The model of one cell type."""
        return self._model_named(self.model[index])

    def types_with(self, column: str) -> NDArray[np.bool_]:
        """Which types have a parameter, shape (t,)."""
        return np.array([self.model_of(i).parameter(column) is not None for i in range(len(self))])

    def expected(self, column: str) -> NDArray[np.bool_]:
        """Where a column must hold numbers, of its shape."""
        values = self.columns[column]
        expected = np.broadcast_to(self._must_give(column), values.T.shape).T.copy()
        if values.ndim > 1:
            index = np.arange(values.shape[1])
            expected &= index < self._lengths(column)[:, np.newaxis]
        return expected

    def _must_give(self, column: str) -> NDArray[np.bool_]:
        """Types that have a parameter; of one that is not required, those that have a number."""
        must = self.types_with(column)
        for i in np.flatnonzero(must):
            parameter = self.model_of(int(i)).parameter(column)
            if parameter is not None and not parameter.required:
                must[i] = not np.isnan(self.columns[column][i]).all()
        return must

    def _lengths(self, column: str) -> NDArray[np.int64]:
        per = next(p.per for m in self.models.values() if (p := m.parameter(column)))
        given = self.n_receptors if per == "receptor" else self.n_after_spike_currents
        return np.full(len(self), self.columns[column].shape[1]) if given is None else given

    def value(self, parameter: Parameter, index: int) -> float | list[float] | None:
        """A parameter of one type, its default where the table has no number for it.

        None is to be left to NEST. Rows are as long as the type has receptors or currents.
        """
        if parameter.column in self.columns:
            row = self.columns[parameter.column][index]
            if row.ndim:
                row = row[: self._lengths(parameter.column)[index]]
            if not np.isnan(row).all() or parameter.required:
                return row.tolist() if row.ndim else float(row)
        if isinstance(parameter.default, str):
            return float(self.columns[parameter.default][index])
        if parameter.default is not None and parameter.per == "after_spike_current":
            return [parameter.default] * self.n_currents_of(index)
        return parameter.default

    def nest_parameters(self, index: int) -> dict[str, Any]:
        """Parameters of one type by NEST's names, as its model takes them."""
        parameters: dict[str, Any] = {}
        for parameter in self.model_of(index).parameters:
            value = self.value(parameter, index)
            if value is None:
                continue
            if parameter.is_switch:
                value = bool(value)
            if isinstance(parameter.nest, str):
                parameters[parameter.nest] = value
            else:
                assert isinstance(value, list)  # one number a receptor
                parameters |= dict(zip(parameter.nest, value, strict=True))
        return parameters

    def n_currents_of(self, index: int) -> int:
        """Number of after-spike currents of one type."""
        if self.model_of(index).parameter("asc_amp_pa") is None:
            return 0
        return int(self._lengths("asc_amp_pa")[index])

    @property
    def voltage_scale_mv(self) -> F64:
        """``V_th - E_L`` of each type, shape (t,)."""
        return self.columns["v_th_mv"] - self.columns["e_l_mv"]

    @cached_property
    def g_ns(self) -> F64:
        """Leak conductance of each type, nS, shape (t,): given, or from the time constant."""
        given = self.columns.get("g_ns", np.full(len(self), np.nan))
        if "tau_m_ms" not in self.columns:
            return given
        from_tau = self.columns["c_m_pf"] / self.columns["tau_m_ms"]
        return np.where(self.types_with("g_ns"), given, from_tau)

    @cached_property
    def receptors(self) -> ReceptorScheme:
        """What the receptors of each type are: names, kinds and time courses."""
        kinds = self.receptor_kinds
        n_functions = max(1, *(len(m.current.functions) for m in self.models.values()))
        tau_ms, amplitude = (np.full((len(self), kinds.n, n_functions), np.nan) for _ in range(2))
        for name, model in self.models.items():
            row = np.flatnonzero(np.array(self.model) == name)
            for f, (tau_column, amplitude_column) in enumerate(model.current.functions):
                tau_ms[row, :, f] = self.columns[tau_column][row]
                amplitude[row, :, f] = (
                    1.0 if amplitude_column is None else self.columns[amplitude_column][row]
                )
        shapes = tuple(self.model_of(i).current.shape for i in range(len(self)))
        return ReceptorScheme(
            kinds.names,
            kinds.presynaptic,
            kinds.postsynaptic,
            TimeCourses(shapes, tau_ms, np.where(np.isnan(tau_ms), np.nan, amplitude)),
        )

    @property
    def why_not_of_training(self) -> str:
        """Why the dynamics of training cannot have these types; empty where they can."""
        others = sorted(set(self.model) - {"glif_psc"})
        if others:
            return f"there are cells of {', '.join(others)}"
        more = sorted(set(self.columns) - set(GLIF3_COLUMNS))
        if more:
            return f"GLIF3 neurons of training have no {', '.join(more)}"
        if self.asc_amp_pa.shape[1] != 2 or self.n_after_spike_currents is not None:
            return "GLIF3 neurons of training have two after-spike currents"
        if self.n_receptors is not None:
            return "cell types differ in their receptors"
        return ""

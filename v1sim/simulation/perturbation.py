"""Perturbations of a checked network, as the plan applies them: the file's arrays stay as they are.

A perturbation is part of the plan, so what NEST holds is compared with the perturbed weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from v1sim.cell_classes import CellClasses
from v1sim.config_perturb import Perturbation, Scale, Silence, Stimulate
from v1sim.errors import InputError
from v1sim.model import CellTypeTable, NetworkModel, Role, SynapseTable
from v1sim.receptors import KNOWN_KINDS, Kind, ReceptorKinds

__all__ = [
    "WeightScale",
    "describe",
    "refuse_other_projections",
    "stimulation_table",
    "weight_scales",
]

_Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class WeightScale:
    """A factor on the synapses that meet all conditions; None is no condition.

    ``pre`` and ``post`` say of each index whether it is meant.
    """

    factor: float
    receptor: int | None = None
    pre: _Mask | None = None
    post: _Mask | None = None

    def scaled(
        self,
        pre: NDArray[np.integer],
        post: NDArray[np.integer],
        receptor: NDArray[np.integer],
        weight: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """The weights of a block of synapses after the factor; new where any changes."""
        meant = np.ones(len(weight), dtype=bool)
        if self.receptor is not None:
            meant &= receptor == self.receptor
        if self.pre is not None:
            meant &= self.pre[pre]
        if self.post is not None:
            meant &= self.post[post]
        return np.where(meant, weight * self.factor, weight)


def weight_scales(
    perturb: Sequence[Perturbation],
    projection: str,
    classes: CellClasses,
    n_pre: int,
    receptors: ReceptorKinds,
    role: Role | None = "recurrent",
) -> tuple[WeightScale, ...]:
    """Factors on the weights of one projection, in the order in which they are applied.

    Parameters
    ----------
    perturb : sequence of Perturbation
        From the configuration.
    projection : str
        Name of the projection.
    classes : CellClasses
        Class of each neuron.
    n_pre : int
        Presynaptic indices of the projection.
    receptors : ReceptorKinds
        Of the network.
    role : {"recurrent", "lgn", "background", "other"} or None
        What the projection comes from; None for none of them.

    Raises
    ------
    InputError
        If a class, an index or a receptor is not in the network.
    """
    n = len(classes.of_neuron)
    scales = []
    for i, item in enumerate(perturb):
        where = f"perturb.{i}"
        if isinstance(item, Silence):
            scales.append(WeightScale(0.0, post=_mask(item.neurons, classes, n, where)))
        elif isinstance(item, Scale) and item.projection in (projection, role):
            of_pre = classes if role == "recurrent" else None
            scales.append(
                WeightScale(
                    item.factor,
                    _receptor(item.receptor, receptors, f"{where}.receptor"),
                    None if item.pre is None else _mask(item.pre, of_pre, n_pre, f"{where}.pre"),
                    None if item.post is None else _mask(item.post, classes, n, f"{where}.post"),
                )
            )
    return tuple(scales)


def refuse_other_projections(perturb: Sequence[Perturbation], network: NetworkModel) -> None:
    """Refuse perturbations of projections that the network has not.

    Raises
    ------
    InputError
        Naming the projection, and those that there are.
    """
    known = (*network.projections, *(role for role in get_args(Role) if role not in network.tables))
    for i, item in enumerate(perturb):
        if isinstance(item, Scale) and item.projection not in known:
            raise InputError(
                f"there is no projection {item.projection!r} here",
                where=f"perturb.{i}.projection",
                expected=f"one of {', '.join(known)}",
            )


def _receptor(name: str | None, receptors: ReceptorKinds, where: str) -> int | None:
    if name is None:
        return None
    try:
        return receptors.index(name)
    except KeyError:
        raise InputError(
            f"there is no receptor {name!r} here",
            where=where,
            expected=f"one of {', '.join(receptors.names)}",
        ) from None


def _mask(
    wanted: Sequence[str | int], classes: CellClasses | None, n: int, where: str
) -> NDArray[np.bool_]:
    """Which of ``n`` indices are wanted, by class or index."""
    mask = np.zeros(n, dtype=bool)
    names = [item for item in wanted if isinstance(item, str)]
    known = () if classes is None else classes.names
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError(
            f"there is no class {unknown[0]!r} here",
            where=where,
            expected=f"one of {', '.join(known)}" if known else "indices of the sources",
        )
    if classes is not None:
        mask |= np.isin(classes.of_neuron, [classes.names.index(name) for name in names])
    index = np.array([item for item in wanted if isinstance(item, int)], dtype=np.int64)
    beyond = index[index >= n]
    if beyond.size:
        raise InputError(
            f"there is no index {beyond[0]}", where=where, expected=f"indices from 0 to {n - 1}"
        )
    mask[index] = True
    return mask


def stimulation_table(
    perturb: Sequence[Perturbation],
    classes: CellClasses,
    cell_types: CellTypeTable,
    cell_type: NDArray[np.uint16],
    dt_ms: float,
) -> SynapseTable | None:
    """Synapses from the one source of stimulation, in pA; None if nothing is stimulated.

    An alpha-shaped current of peak w carries the charge w e tau: one event a step
    makes a mean current of w e tau / dt.
    """
    n = len(cell_type)
    current_pa = np.zeros(n)
    for i, item in enumerate(perturb):
        if isinstance(item, Stimulate):
            current_pa[_mask(item.neurons, classes, n, f"perturb.{i}")] += item.current_pa
    post = np.flatnonzero(current_pa).astype(np.int32)
    if not post.size:
        return None
    excitatory = classes.is_excitatory[classes.of_neuron[post]]
    receptor = _excited_through(cell_types.receptors, cell_type[post], excitatory)
    charge_pa_ms = cell_types.receptors.time_courses.charge_pa_ms()[cell_type[post], receptor]
    if not np.isfinite(charge_pa_ms).all():
        model = cell_types.model[int(cell_type[post][~np.isfinite(charge_pa_ms)][0])]
        raise InputError(
            f"cells of {model} are stimulated, whose synapses carry no current",
            where="perturb",
            expected="cells whose synapses carry a current",
            hint="currents are injected into cells of any model",
        )
    return SynapseTable(
        pre=np.zeros(len(post), dtype=np.int32),
        post=post,
        receptor=receptor,
        delay_ms=np.full(len(post), dt_ms, dtype=np.float32),
        weight=(current_pa[post] * dt_ms / charge_pa_ms).astype(np.float32),
    )


def _excited_through(
    receptors: ReceptorKinds, cell_type: NDArray[np.uint16], excitatory: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """The receptor of each neuron that a current comes through.

    The first for excitatory cells and the neuron's own kind; without one, the first for
    excitatory cells; without one, the first of all.
    """
    shape = (len(cell_type), receptors.n)
    row = np.zeros_like(cell_type) if receptors.same_for_all_types else cell_type
    from_excitatory = receptors.presynaptic[row] == Kind.EXCITATORY
    own_kind = np.where(excitatory, *KNOWN_KINDS)[:, np.newaxis]
    fit = np.zeros(shape, dtype=np.uint8)
    fit += from_excitatory
    fit += from_excitatory & (receptors.postsynaptic[row] == own_kind)
    return np.argmax(fit, axis=1).astype(np.uint8)


def describe(item: Perturbation) -> str:
    """One sentence for the report."""
    if isinstance(item, Silence):
        return f"Perturbed: {_names(item.neurons)} silenced: all weights onto them are 0."
    if isinstance(item, Stimulate):
        return f"Perturbed: {_names(item.neurons)} driven by {item.current_pa:g} pA in each trial."
    conditions = [f"projection {item.projection}"]
    conditions += [f"receptor {item.receptor}"] if item.receptor else []
    conditions += [f"from {_names(item.pre)}"] if item.pre else []
    conditions += [f"onto {_names(item.post)}"] if item.post else []
    return f"Perturbed: weights times {item.factor:g}: {', '.join(conditions)}."


def _names(wanted: Sequence[str | int]) -> str:
    classes = [item for item in wanted if isinstance(item, str)]
    n = len(wanted) - len(classes)
    return ", ".join([*classes, *([f"{n} neuron{'s' if n > 1 else ''} by index"] if n else [])])

"""The part of a configuration that says how the checked network is altered before it is built."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from v1sim.config_section import Section

__all__ = ["Perturbation", "Scale", "Silence", "Stimulate"]


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str | int) else value


#: Names of cell classes, indices of neurons in the file, or both; one needs no list.
Neurons = Annotated[
    tuple[str | Annotated[int, Field(ge=0)], ...],
    Field(min_length=1, strict=False),
    BeforeValidator(_listed),
]


class Silence(Section):
    """The neurons get no input of any kind: they stay at rest and send nothing."""

    kind: Literal["silence"]
    neurons: Neurons


class Stimulate(Section):
    """Each of the neurons gets a constant current while a trial lasts; below zero it is inhibited.

    The current comes as a synaptic event a step, on the receptor of excitatory
    cells of the neuron, and so takes a few of that receptor's time constants to rise.
    """

    kind: Literal["stimulate"]
    neurons: Neurons
    current_pa: float


class Scale(Section):
    """The weights of some synapses, times a factor.

    ``projection`` is the name of one, or what all of some come from: ``recurrent``, ``lgn``,
    ``background`` or ``other``. A key that is left out does not narrow it. ``pre`` of projections
    from outside of the network counts the source's cells: indices only. ``receptor`` is the name
    of one of the network's: exc_to_exc, inh_to_exc, exc_to_inh, inh_to_inh in the Billeh model.
    """

    kind: Literal["scale"]
    projection: Annotated[str, Field(min_length=1)]
    factor: Annotated[float, Field(ge=0)]
    receptor: str | None = None
    pre: Neurons | None = None
    post: Neurons | None = None


Perturbation = Annotated[Silence | Stimulate | Scale, Field(discriminator="kind")]

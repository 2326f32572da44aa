"""What DPointNet does in silence, by name, and why it matters.

What is seen in the files of a training is noted (`Remarks`); the check of the same name
(`v1sim.checks.dpointnet`) hands it on to the gate. v1sim always builds what was trained; where
PointNet would build something else from the same files, the remark says so.
"""

from __future__ import annotations

from types import MappingProxyType

from v1sim.model import Severity
from v1sim.sources.sonata.remarks import RemarkKind
from v1sim.sources.sonata.remarks import Remarks as SonataRemarks

__all__ = ["REMARKS", "Remarks"]


_E, _W, _I = Severity.ERROR, Severity.WARNING, Severity.INFO

_KINDS = (
    RemarkKind(
        "dpointnet.dead_cells",
        _E,
        "DPointNet takes asc_decay through logit and sigmoid: above 1 or below 0 it becomes NaN, "
        "and with it the membrane. Such cells never spike in training, in PointNet they do.",
    ),
    RemarkKind(
        "dpointnet.nsyns",
        _W,
        "DPointNet ignores nsyns; PointNet multiplies weights by it, the trained ones too.",
    ),
    RemarkKind(
        "dpointnet.weight_scale",
        _W,
        "In training weights act times weight_scale (or recurrent_weight_scale); the files that it "
        "writes hold them without, and PointNet knows of no such factor.",
    ),
    RemarkKind(
        "dpointnet.weight_function",
        _W,
        "DPointNet ignores weight_function; PointNet applies it to the trained weights.",
    ),
    RemarkKind(
        "dpointnet.node_ids",
        _W,
        "Where node ids are not 0, 1, 2, ... DPointNet writes wrong ids into the trained edges and "
        "its spikes; v1sim puts them right and proves it by the edges.",
    ),
    RemarkKind(
        "dpointnet.delays",
        _W,
        "DPointNet clips delays to max_delay and rounds them half to even to steps of its cell; "
        "PointNet takes them as they are, or 1.0 ms where the trained edges have none.",
    ),
    RemarkKind(
        "dpointnet.input_delays",
        _I,
        "DPointNet uses no delays of inputs: they act in the step in which they are sent.",
    ),
    RemarkKind(
        "dpointnet.run_dt",
        _W,
        "The cell's step is rnn_cell_params.dt; run.dt only scales the stamps of spikes.",
    ),
    RemarkKind(
        "dpointnet.v_reset",
        _W,
        "DPointNet ignores V_reset: a spike subtracts V_th - E_L, and the membrane goes on "
        "integrating. PointNet sets it to V_reset and holds it there.",
    ),
    RemarkKind(
        "dpointnet.start_potential",
        _I,
        "DPointNet ignores V_m and asc_init: cells start at E_L without after-spike currents.",
    ),
    RemarkKind(
        "dpointnet.tau_syn",
        _W,
        "The synaptic time constants of all cells are tau_basis; PointNet takes the cells' own.",
    ),
    RemarkKind(
        "dpointnet.receptor_type",
        _W,
        "DPointNet ignores receptor_type: a synapse acts on the basis functions whose factors are "
        "not zero, PointNet on the port that it names, with the whole weight.",
    ),
    RemarkKind(
        "dpointnet.refractory_steps",
        _I,
        "DPointNet rounds refractory periods up to whole steps, one at least.",
    ),
    RemarkKind(
        "dpointnet.silent_edges",
        _W,
        "Edges whose factors are all zero act on nothing in training; PointNet gives them weight.",
    ),
    RemarkKind(
        "dpointnet.row_order",
        _W,
        "Above 65,536 cells the key by which DPointNet sorts recurrent edges overflows: their "
        "order in the trained file means nothing.",
    ),
    RemarkKind(
        "dpointnet.precision",
        _W,
        "In half precision the forward pass of training uses rounded weights and states; its "
        "spikes are not those of any simulation in full precision.",
    ),
    RemarkKind(
        "dpointnet.synaptic_models",
        _E,
        "DPointNet numbers synaptic models by one byte: beyond 256 they are taken for others.",
    ),
    RemarkKind(
        "dpointnet.unequal_signs",
        _E,
        "Training never changes the sign of a weight: one that has another sign than in the "
        "original circuit belongs to another edge, or was edited.",
    ),
    RemarkKind(
        "dpointnet.frozen_changed",
        _E,
        "Weights that the configuration says were frozen, but that differ from the original ones, "
        "are of another training or another circuit.",
    ),
    RemarkKind(
        "dpointnet.frozen_input",
        _W,
        "A checkpoint of such a model has no input weights: frozen ones are those of the original "
        "circuit, and nothing proves that the training read this circuit.",
    ),
    RemarkKind(
        "dpointnet.unused_weights",
        _W,
        "The forward pass reads copies of the weights. Keras's load_weights() fills the masters "
        "alone: until refresh_recurrent_weight_shadow() is called, spikes are those of the weights "
        "that were there before.",
    ),
    RemarkKind(
        "dpointnet.training",
        _I,
        "DPointNet writes no optimizer state: that weights were trained shows only against the "
        "original circuit.",
    ),
)

#: All kinds by name.
REMARKS = MappingProxyType({kind.name: kind for kind in _KINDS})


class Remarks(SonataRemarks):
    """Remarks on a circuit and its training while they are collected."""

    def __init__(self) -> None:
        super().__init__(REMARKS)

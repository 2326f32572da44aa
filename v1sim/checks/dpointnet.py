"""Checks of what DPointNet does in silence (`v1sim.sources.dpointnet.remarks`).

The circuit is read as its training read it; what PointNet, or anybody who reads the trained files
by themselves, would make of it otherwise is said by these checks with counts.
"""

from __future__ import annotations

from v1sim.checks.remarks import Rule, register_remarks
from v1sim.sources.dpointnet.remarks import REMARKS

__all__ = ["RULES"]

#: By the name of the remark. Numbers of spikes: BMTK 1.2.0 with TensorFlow 2.21, circuits of 9 to
#: 34 cells and 200 ms that were trained for a few steps.
RULES = {
    "dpointnet.dead_cells": Rule(
        "asc_decay lies in 0..1 per ms.",
        "Exact: at 1.0, 303 spikes; at 1.5, none of 9 cells ever spiked.",
    ),
    "dpointnet.nsyns": Rule(
        "nsyns is 1, or there is none.",
        "Exact.",
    ),
    "dpointnet.weight_scale": Rule(
        "Weights act in training as they are written.",
        "Exact: a factor that is not 1.",
    ),
    "dpointnet.weight_function": Rule(
        "Edges have no weight_function.",
        "Exact.",
    ),
    "dpointnet.node_ids": Rule(
        "Node ids are 0, 1, 2, ... in the order of their file.",
        "Exact: with 9 ids permuted, 42 of 72 recurrent edges were written with wrong ids, and all "
        "179 spikes are found again once they are put right.",
    ),
    "dpointnet.delays": Rule(
        "Delays are whole steps up to max_delay.",
        "Exact. The rule gives the wiring inside TensorFlow for all edges of nine circuits.",
    ),
    "dpointnet.input_delays": Rule(
        "Which delays of inputs were not used.",
        "Information.",
    ),
    "dpointnet.run_dt": Rule(
        "run.dt is the cell's step.",
        "Exact.",
    ),
    "dpointnet.v_reset": Rule(
        "V_reset is E_L.",
        "Exact: the same trained weights gave 204 spikes in PointNet and 289 in TensorFlow.",
    ),
    "dpointnet.start_potential": Rule(
        "Which cells have a start of their own.",
        "Information.",
    ),
    "dpointnet.tau_syn": Rule(
        "Cells have the time constants of the basis functions.",
        "Exact.",
    ),
    "dpointnet.receptor_type": Rule(
        "A synapse's port is the one basis function that it acts on, with the factor 1.",
        "Exact; silent where the synaptic models name no port.",
    ),
    "dpointnet.refractory_steps": Rule(
        "Which refractory periods were rounded up.",
        "Information.",
    ),
    "dpointnet.silent_edges": Rule(
        "Every edge acts on a basis function.",
        "Exact.",
    ),
    "dpointnet.row_order": Rule(
        "Trained recurrent edges are sorted by target and source.",
        "Exact: 65,536 cells and fewer.",
    ),
    "dpointnet.precision": Rule(
        "Training was in single precision or better.",
        "Exact: run.dtype.",
    ),
    "dpointnet.synaptic_models": Rule(
        "There are 256 synaptic models at most.",
        "Exact.",
    ),
    "dpointnet.unequal_signs": Rule(
        "Trained weights have the signs of the original ones.",
        "Exact: 0 of 1,900 weights of nine trainings, with adam and exp_adam.",
    ),
    "dpointnet.frozen_changed": Rule(
        "Frozen weights are the original ones.",
        "Within 2e-7, relative: the way into the cell and back changes the last bit of 6 to 48 %, "
        "none by more than 1.2e-7.",
    ),
    "dpointnet.frozen_input": Rule(
        "Frozen input weights stand in what was converted.",
        "Exact: a TensorFlow checkpoint has none of them.",
    ),
    "dpointnet.unused_weights": Rule(
        "The weights are those that the forward pass read.",
        "Exact.",
    ),
    "dpointnet.training": Rule(
        "What training changed.",
        "Information; changed is what differs by more than 2e-7, relative.",
    ),
}

register_remarks(REMARKS, RULES)

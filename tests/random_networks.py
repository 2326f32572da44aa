"""Random networks of every kind that a `NetworkModel` can be, for tests with hypothesis."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
from hypothesis import strategies as st

from v1sim.cell_models import CELL_MODELS
from v1sim.model import (
    CellTypeTable,
    LgnCellTable,
    NetworkModel,
    NeuronPopulation,
    NeuronTable,
    Projection,
    Severity,
    SourceFile,
    SourcePopulation,
    SourceRemark,
    SynapseTable,
    TrainingDynamics,
)
from v1sim.receptors import ReceptorKinds

_NAMES = st.text(min_size=0, max_size=6) | st.sampled_from(
    ["recurrent", "lgn", "background", "v1", "a/b", ".", "..", "%2E", "%", "a%2Fb", "é", "x.pre"]
)
_FLOATS = st.sampled_from([np.float32, np.float64])


def _cell_types(draw, rng: np.random.Generator) -> CellTypeTable:
    n = draw(st.integers(1, 4))
    models = tuple(draw(st.sampled_from(sorted(CELL_MODELS))) for _ in range(n))
    n_receptors, n_currents = draw(st.integers(1, 5)), draw(st.integers(0, 3))
    columns = {}
    for name in dict.fromkeys(models):
        for parameter in CELL_MODELS[name].parameters:
            if parameter.required or draw(st.booleans()):
                width = {"type": (), "receptor": (n_receptors,)}.get(parameter.per, (n_currents,))
                values = rng.normal(size=(n, *width))
                values[rng.random(values.shape) < 0.2] = np.nan
                columns[parameter.column] = values
    rows = draw(st.sampled_from([1, n]))
    names = tuple(draw(st.lists(_NAMES, min_size=n_receptors, max_size=n_receptors, unique=True)))
    kinds = [rng.integers(0, 3, (rows, n_receptors)).astype(np.uint8) for _ in range(2)]
    texts = st.none() | st.tuples(*[st.text(max_size=5)] * n)
    kind = rng.integers(0, 3, n).astype(np.uint8) if draw(st.booleans()) else None
    counts = [rng.integers(0, m + 1, n) if draw(st.booleans()) else None for m in (n_receptors, n_currents)]  # fmt: skip  # noqa: E501
    return CellTypeTable(
        models, columns, ReceptorKinds(names, *kinds), draw(texts), draw(texts), kind, *counts
    )


def _synapses(draw, rng: np.random.Generator, n_pre: int, n_post: int) -> SynapseTable:
    n = draw(st.integers(0, 30)) if n_pre else 0
    weight = rng.normal(size=n).astype(draw(_FLOATS))
    weight[rng.random(n) < 0.2] = draw(st.sampled_from([np.nan, np.inf, -0.0, 1e-42]))
    return SynapseTable(
        pre=rng.integers(0, max(n_pre, 1), n).astype(np.int32),
        post=rng.integers(0, n_post, n).astype(np.int32),
        receptor=rng.integers(0, 256, n).astype(np.uint8),
        delay_ms=rng.uniform(0.1, 20.0, n).astype(draw(_FLOATS)),
        weight=weight,
        unit=draw(st.sampled_from(["normalised", "pA"])),
    )


def _lgn_cells(draw, rng: np.random.Generator, n: int) -> LgnCellTable:
    columns = {
        f.name: rng.normal(size=(n, 2) if "_dom" in f.name else n)
        for f in fields(LgnCellTable)
        if f.name not in ("model_id", "field_deg")
    }
    names = np.array(["sON_TF4", "sONsOFF_001"])[rng.integers(0, 2, n)]
    return LgnCellTable(model_id=names.astype(np.str_), field_deg=(240.0, 120.0), **columns)


@st.composite
def networks(draw) -> NetworkModel:
    """Any network: models, populations, projections, units, receptors, dynamics, remarks."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n = draw(st.integers(1, 12))
    types = _cell_types(draw, rng)
    populations = ()
    if draw(st.booleans()):
        names = draw(st.lists(_NAMES, min_size=1, max_size=3, unique=True))
        ends = np.sort(rng.integers(0, n + 1, len(names) - 1))
        sizes = np.diff([0, *ends, n])
        populations = tuple(
            NeuronPopulation(name, rng.integers(0, 2**40, size))
            for name, size in zip(names, sizes, strict=True)
        )
    position = None
    if draw(st.booleans()):
        position = rng.normal(size=(n, 3)).astype(draw(_FLOATS))
    neurons = NeuronTable(rng.integers(0, len(types), n).astype(np.uint16), position, populations)
    sources = {}
    for name in draw(st.lists(_NAMES, max_size=3, unique=True)):
        size = draw(st.integers(0, 6))
        sources[name] = SourcePopulation(
            # Every reader takes a population of this name for the LGN.
            "lgn" if name == "lgn" else draw(st.sampled_from(["lgn", "background", "other"])),
            size,
            rng.integers(0, 99, size) if draw(st.booleans()) else None,
            _lgn_cells(draw, rng, size) if draw(st.booleans()) else None,
            rng.integers(0, 3, size).astype(np.uint8) if draw(st.booleans()) else None,
        )
    projections = {}
    for name in draw(st.lists(_NAMES, max_size=4, unique=True)):
        source = draw(st.sampled_from([None, *sources]))
        n_pre = n if source is None else sources[source].size
        projections[name] = Projection(_synapses(draw, rng, n_pre, n), source)
    groups = tuple(
        rng.integers(0, n, draw(st.integers(0, 4))).astype(np.int32)
        for _ in range(draw(st.integers(0, 3)))
    )
    texts = st.text(max_size=10)
    remarks = st.builds(
        SourceRemark,
        texts,
        st.sampled_from(Severity),
        texts,
        texts,
        texts,
        st.integers(0, 10**9),
        st.integers(0, 10**9),
        st.lists(texts, max_size=5).map(tuple),
    )
    dynamics = st.builds(
        TrainingDynamics,
        st.sampled_from(["subtractive", "hard"]),
        st.sampled_from([0.1, 0.25, 1.0]),
        st.sampled_from(["billeh", "dpointnet"]),
    )
    return NetworkModel(
        neurons=neurons,
        cell_types=types,
        projections=projections,
        source_populations=sources,
        source=SourceFile("random", "", "column"),
        readout=groups,
        readout_weight=rng.normal(size=(3, 2)).astype(np.float32) if draw(st.booleans()) else None,
        readout_bias=rng.normal(size=2).astype(np.float32) if draw(st.booleans()) else None,
        step_ms=draw(st.sampled_from([0.1, 0.25, 1.0])),
        dynamics=draw(st.none() | dynamics),
        remarks=draw(st.lists(remarks, max_size=2).map(tuple)),
    )

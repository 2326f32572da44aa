"""The built-in column: a V1 network of any size from published figures, not trained.

Nineteen classes in their layers and proportions, connected by distance with
amplitudes from synaptic physiology, and driven by LGN cells so that excitatory cells
prefer orientations. `v1sim.sources.column_figures` holds every figure and its source.

How it scales
-------------
Density is that of the whole column, so radius grows with the square root of the
number of neurons. In-degree follows from it up to that of the 51,978-neuron network in use
(`_IN_DEGREE_OF`) and does not fall below the 2,000-neuron column's. Amplitudes are
multiplied so that each class pair's mean input is what it is with 2,000 neurons,
for which the background (`CellClass.background`) was calibrated, in NEST: with drifting
gratings and the mean background ("mean": a tenth of ``background_weight`` in each step).

Orientation
-----------
Each tuned cell has a retinotopic place and a preferred direction. Of the ON cells
it takes those in an elongated subfield ahead, of the OFF cells those behind, and
of the composite cells those with such an axis between them (Arkhipov et al. 2018, doi
10.1371/journal.pcbi.1006535). Pvalb cells take ON and OFF cells from one round field.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from v1sim import __version__
from v1sim.cell_classes import LAYER_TOP_UM
from v1sim.config import BuiltInColumn
from v1sim.errors import InputError
from v1sim.model import (
    CellTypeTable,
    LgnCellTable,
    NetworkModel,
    NeuronTable,
    SourceFile,
    SynapseTable,
)
from v1sim.receptors import BILLEH_RECEPTORS, Kind
from v1sim.sources.column_figures import (
    CLASSES,
    COLUMN_NEURONS,
    COLUMN_RADIUS_UM,
    DEG_PER_UM,
    LAYER_BOTTOM_UM,
    LGN_CLASSES,
    P_MAX,
    PSP_GROUPS,
    PSP_MV,
    SIGMA_UM,
    TAU_SYN_MS,
    LgnInput,
)
from v1sim.sources.hdf5.names import dataset_of
from v1sim.sources.provenance import ProvenanceDraft
from v1sim.units import peak_psp_mv_per_pa

__all__ = [
    "MIN_LGN",
    "MIN_NEURONS",
    "N_READOUT_GROUPS",
    "build_column",
    "default_n_lgn",
    "open_column",
]

F64 = NDArray[np.float64]
I32 = NDArray[np.int32]

MIN_NEURONS = 200
MIN_LGN = 100
N_READOUT_GROUPS = 10

#: Size whose mean inputs all sizes have.
_REFERENCE_NEURONS = 2000
#: Mean recurrent in-degree of the networks in use, by their number of neurons; no column
#: has more than these (interpolated).
_IN_DEGREE_OF = {51_978: 278.0, 230_924: 369.4}
#: No two cells are connected with more certainty than this, however small the column.
_MAX_PROBABILITY = 0.9

#: Spread (sigma of the logarithm) of amplitudes, of LGN amplitudes, and of the background.
_WEIGHT_SPREAD = 0.6
_LGN_WEIGHT_SPREAD = 0.3
_BACKGROUND_SPREAD = 0.05
#: Lognormal tails end here, in sigmas: beyond, one synapse alone would fire its target.
_TAIL_SIGMAS = 2.5
#: Excitatory cells connect (1 + this) times as often when they prefer the same orientation,
#: (1 - this) times when they prefer orthogonal ones (Billeh et al. 2020; Ko et al. 2011, doi
#: 10.1038/nature09880).
_LIKE_TO_LIKE = 0.7

#: Delay without distance, and conduction along unmyelinated axons; whole milliseconds up to
#: the longest delay of the network in use.
_BASE_DELAY_MS = 1.0
_CONDUCTION_UM_PER_MS = 300.0
_MAX_DELAY_MS = 4.0

#: Subfields of tuned cells: sigmas across and along the bar, and distance of ON from
#: OFF; round field of the others. Degrees.
_SUBFIELD_SIGMA_DEG = (1.5, 4.5)
_SUBFIELD_DISTANCE_DEG = 12.0
_ROUND_SIGMA_DEG = 5.0
#: Visual field beyond the column's own that LGN cells lie in.
_FIELD_MARGIN_DEG = 8.0
_FIELD_DEG = (120.0, 80.0)
#: Share of LGN synapses from ON, OFF and composite cells.
_KIND_SHARE = (0.45, 0.45, 0.1)
#: Rate at which ``LgnInput.drive`` is given.
_LGN_RATE_HZ = 6.0
#: Kernels of LGN cells lie within this of their class's median, as in the table in use.
_LGN_JITTER = 0.025

#: Pairs drawn at a time.
_BLOCK = 1 << 21

_NAMES = tuple(CLASSES)
_KIND = np.array([Kind.EXCITATORY if name.startswith("e") else Kind.INHIBITORY for name in _NAMES])


def default_n_lgn(n_neurons: int) -> int:
    """LGN cells of a column: 600 for 2,000 neurons, 17,400 for 51,978, straight between."""
    return int(np.clip(round(600 + (n_neurons - 2000) * 16_800 / 49_978), 200, 17_400))


@dataclass(frozen=True, eq=False)
class _Cells:
    """Neurons in the order of their classes; ``start`` (classes + 1,) bounds each class."""

    start: NDArray[np.int64]
    position_um: F64
    place_deg: F64
    preferred_rad: F64

    def of(self, index: int) -> slice:
        return slice(int(self.start[index]), int(self.start[index + 1]))


def open_column(column: BuiltInColumn, *, command: str) -> NetworkModel:
    """The configured column, with the provenance that calls it constructed, not trained.

    Parameters
    ----------
    column : BuiltInColumn
        From the configuration or the command line.
    command : str
        The command line, for the provenance.
    """
    network = build_column(column.neurons, column.lgn, column.seed)
    draft = ProvenanceDraft(
        kind="constructed",
        made_by=f"v1sim {__version__}",
        origin="constructed",
        command=command,
        details={
            "what": "constructed, not trained",
            "neurons": column.neurons,
            "seed": column.seed,
        },
    )
    # A run keeps the column in a network file, where people find its arrays.
    source = replace(network.source, name_of=dataset_of)
    return replace(network, provenance=draft.seal(network), source=source)


def build_column(n_neurons: int = 2000, n_lgn: int | None = None, seed: int = 1) -> NetworkModel:
    """Build a V1 column. The same arguments give the same network, bit by bit.

    Parameters
    ----------
    n_neurons : int
        V1 neurons, `MIN_NEURONS` or more.
    n_lgn : int, optional
        LGN cells, `MIN_LGN` or more; by default `default_n_lgn`.
    seed : int
        Seed, 0 or more.

    Returns
    -------
    NetworkModel
        With classes, positions, LGN cells, background and 10 readout groups of layer 5
        excitatory cells; synapses in the order of their targets, then sources.

    Raises
    ------
    InputError
        If a number is too small.
    """
    n_lgn = default_n_lgn(n_neurons) if n_lgn is None else n_lgn
    for name, value, least in (
        ("neurons", n_neurons, MIN_NEURONS),
        ("LGN cells", n_lgn, MIN_LGN),
        ("seed", seed, 0),
    ):
        if value < least:
            seen = f"{value} {name}" if name != "seed" else f"seed {value}"
            raise InputError(seen, where="built-in column", expected=f"{least} or more")
    rngs = [np.random.default_rng(part) for part in np.random.SeedSequence(seed).spawn(6)]
    cells = _place_cells(n_neurons, rngs[0])
    lgn_cells = _place_lgn(n_lgn, _radius_um(n_neurons), rngs[1])
    types = _cell_types()
    return NetworkModel.billeh(
        neurons=NeuronTable(
            cell_type=np.repeat(np.arange(len(_NAMES), dtype=np.uint16), np.diff(cells.start)),
            position_um=cells.position_um.astype(np.float32),
        ),
        cell_types=types,
        recurrent=_connect(cells, types, rngs[2]),
        lgn=_connect_lgn(cells, lgn_cells, types, rngs[3]),
        n_lgn=n_lgn,
        background_weight=_background(cells, types, rngs[4]),
        readout=_readout(cells, rngs[5]),
        lgn_cells=lgn_cells,
        source=SourceFile(
            path=f"column of {n_neurons} neurons, seed {seed}", sha256="", format="column"
        ),
    )


def _cell_types() -> CellTypeTable:
    """One GLIF3 type a class."""
    rows = CLASSES.values()
    e_l_mv = np.array([row.e_l_mv for row in rows])
    return CellTypeTable.glif3(
        c_m_pf=np.array([row.c_m_pf for row in rows]),
        g_ns=np.array([row.g_ns for row in rows]),
        e_l_mv=e_l_mv,
        v_th_mv=e_l_mv + [row.scale_mv for row in rows],
        v_reset_mv=e_l_mv.copy(),
        t_ref_ms=np.array([row.t_ref_ms for row in rows]),
        k_per_ms=np.array([row.k_per_ms for row in rows]),
        asc_amp_pa=np.array([row.asc_amp_pa for row in rows]),
        tau_syn_ms=np.tile(TAU_SYN_MS, (len(_NAMES), 1)),
        name=_NAMES,
        cell_class=_NAMES,
    )


def _class_sizes(n_neurons: int) -> NDArray[np.int64]:
    """Neurons of each class: proportional, largest remainders first, at least one."""
    count = np.array([row.n_cells for row in CLASSES.values()])
    exact = n_neurons * count / count.sum()
    size = np.maximum(np.floor(exact), 1).astype(np.int64)
    missing = n_neurons - int(size.sum())
    # Too many only where rare classes got their one: the largest classes give them.
    order = np.argsort(size - exact if missing >= 0 else -exact, kind="stable")
    size[order[: abs(missing)]] += np.sign(missing)
    return size


def _radius_um(n_neurons: int) -> float:
    return float(COLUMN_RADIUS_UM * np.sqrt(n_neurons / COLUMN_NEURONS))


def _place_cells(n_neurons: int, rng: np.random.Generator) -> _Cells:
    """Cells uniform in their layers of a cylinder, with a preferred direction each."""
    size = _class_sizes(n_neurons)
    radius = _radius_um(n_neurons) * np.sqrt(rng.random(n_neurons))
    angle = 2 * np.pi * rng.random(n_neurons)
    bounds = [*LAYER_TOP_UM.values(), LAYER_BOTTOM_UM]
    layer = [list(LAYER_TOP_UM).index(row.layer) for row in CLASSES.values()]
    top = np.repeat([bounds[i] for i in layer], size)
    bottom = np.repeat([bounds[i + 1] for i in layer], size)
    x_um, z_um = radius * np.cos(angle), radius * np.sin(angle)
    y_um = -(top + (bottom - top) * rng.random(n_neurons))  # depth is negative
    centre = np.array(_FIELD_DEG) / 2
    return _Cells(
        start=np.concatenate([[0], np.cumsum(size)]),
        position_um=np.stack([x_um, y_um, z_um], axis=1),
        place_deg=centre + np.stack([x_um, z_um], axis=1) * DEG_PER_UM,
        preferred_rad=2 * np.pi * rng.random(n_neurons),
    )


def _place_lgn(n_lgn: int, radius_um: float, rng: np.random.Generator) -> LgnCellTable:
    """LGN cells uniform in the part of the visual field that the column sees."""
    field = np.array(_FIELD_DEG)
    half = np.minimum(radius_um * np.array(DEG_PER_UM) + _FIELD_MARGIN_DEG, field / 2)
    place = field / 2 + half * rng.uniform(-1, 1, (n_lgn, 2))
    share = np.array([row.n_cells for row in LGN_CLASSES.values()], dtype=np.float64)
    kind = rng.choice(len(LGN_CLASSES), n_lgn, p=share / share.sum())
    name = np.array(list(LGN_CLASSES))[kind]

    def jittered(median: F64) -> F64:
        jitter = rng.uniform(1 - _LGN_JITTER, 1 + _LGN_JITTER, (n_lgn, *median.shape[1:]))
        return median[kind] * jitter

    rows = LGN_CLASSES.values()
    kpeak = np.array([row.kpeak_ms for row in rows])
    weight = np.array([row.weight for row in rows])
    delay = np.array([(0.0, row.second_delay_ms) for row in rows])
    composite = np.char.endswith(name, "_001")
    # The ON subunit of composite cells is an sON_TF4 cell.
    on = np.full(len(LGN_CLASSES), list(LGN_CLASSES).index("sON_TF4"))
    transient = name == "sONtOFF_001"

    def if_composite(values: F64) -> F64:
        return np.where(composite.reshape(-1, *[1] * (values.ndim - 1)), values, np.nan)

    # Sizes of the table in use: composite cells 6 and 9 degrees, others 2 to 10, most near 4.
    size = np.where(composite, np.where(transient, 9.0, 6.0), rng.triangular(2, 4, 10, n_lgn))
    distance = np.where(transient, 4.0, 6.0) * rng.uniform(0.975, 1.025, n_lgn)
    return LgnCellTable(
        model_id=name,
        x_deg=place[:, 0],
        y_deg=place[:, 1],
        spatial_size_deg=size,
        kpeak_dom_ms=jittered(kpeak),
        weight_dom=jittered(weight),
        delay_dom_ms=jittered(delay),
        kpeak_non_dom_ms=if_composite(jittered(kpeak[on])),
        weight_non_dom=if_composite(jittered(weight[on])),
        delay_non_dom_ms=if_composite(jittered(delay[on])),
        subunit_angle_deg=if_composite(rng.uniform(0, 360, n_lgn)),
        subunit_distance_deg=if_composite(distance),
        field_deg=_FIELD_DEG,
    )


def _lateral_overlap(radius_um: float, sigma_um: F64) -> F64:
    """Mean of the Gaussian fall-off over all pairs of points of a disc."""
    x = np.linspace(0, 2, 4001)[1:-1]  # distance in radii
    density = 4 * x / np.pi * np.arccos(x / 2) - x**2 / np.pi * np.sqrt(4 - x**2)
    gaussian = np.exp(-0.5 * (radius_um * x / sigma_um[..., np.newaxis]) ** 2)
    overlap: F64 = (density * gaussian).sum(axis=-1) / density.sum()
    return overlap


def _in_degree(n_neurons: int, *, scaled: bool) -> tuple[F64, F64]:
    """Peak probability and mean in-degree of each class pair, (pre, post) of classes."""
    size = _class_sizes(n_neurons)
    sigma = np.array(SIGMA_UM)[BILLEH_RECEPTORS.between(_KIND[:, None], _KIND[None, :])]
    reach = size[:, np.newaxis] * _lateral_overlap(_radius_um(n_neurons), sigma)
    share = size / size.sum()
    natural = float((P_MAX * reach).sum(axis=0) @ share)
    factor = 1.0
    if scaled:
        _, reference = _in_degree(_REFERENCE_NEURONS, scaled=False)
        least = float(reference.sum(axis=0) @ _class_share(_REFERENCE_NEURONS))
        most = np.interp(n_neurons, list(_IN_DEGREE_OF), list(_IN_DEGREE_OF.values()))
        factor = float(np.clip(natural, least, most)) / natural
    probability = np.minimum(P_MAX * factor, _MAX_PROBABILITY)
    return probability, probability * reach


def _class_share(n_neurons: int) -> F64:
    size = _class_sizes(n_neurons)
    return size / size.sum()


def _drawn_pairs(
    n_pre: int, n_post: int, probability: float, rng: np.random.Generator
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Each pair with the same probability, drawn by the gaps between them, in blocks."""
    n_pairs, last = n_pre * n_post, -1
    while probability > 0 and last < n_pairs - 1:
        expected = (n_pairs - 1 - last) * probability
        n_gaps = min(_BLOCK, int(expected + 4 * np.sqrt(expected)) + 8)
        pair = last + np.cumsum(rng.geometric(probability, n_gaps))
        last = int(pair[-1])
        pair = pair[: np.searchsorted(pair, n_pairs)]
        yield pair // n_post, pair % n_post


def _lognormal(sigma: float, size: int, rng: np.random.Generator) -> F64:
    """Lognormal factors of mean 1 (before the tails are cut)."""
    deviate = np.clip(rng.standard_normal(size), -_TAIL_SIGMAS, _TAIL_SIGMAS)
    return np.exp(sigma * deviate - sigma**2 / 2)


class _Synapses:
    """Synapses as they are drawn, and the table of all of them."""

    def __init__(self) -> None:
        self._parts: list[tuple[NDArray[np.generic], ...]] = []

    def add(
        self,
        pre: NDArray[np.int64],
        post: NDArray[np.int64],
        receptor: int,
        delay_ms: F64,
        weight: F64,
    ) -> None:
        self._parts.append(
            (
                pre.astype(np.int32),
                post.astype(np.int32),
                np.full(len(pre), receptor, dtype=np.uint8),
                delay_ms.astype(np.float32),
                weight.astype(np.float32),
            )
        )

    def table(self) -> SynapseTable:
        """All synapses in the order of their targets, then sources, as trained files have them."""
        columns = [np.concatenate(column) for column in zip(*self._parts, strict=True)]
        self._parts.clear()
        order = np.lexsort((columns[0], columns[1]))
        pre, post, receptor, delay_ms, weight = (column[order] for column in columns)
        return SynapseTable(pre, post, receptor, delay_ms, weight)


def _connect(cells: _Cells, types: CellTypeTable, rng: np.random.Generator) -> SynapseTable:
    """Recurrent synapses: class pair by class pair, block by block."""
    n_neurons = int(cells.start[-1])
    probability, in_degree = _in_degree(n_neurons, scaled=True)
    _, reference = _in_degree(_REFERENCE_NEURONS, scaled=False)
    with np.errstate(invalid="ignore"):  # pairs that never connect
        compensation = reference / in_degree
    peak_psp = peak_psp_mv_per_pa(types.c_m_pf, types.g_ns, types.tau_syn_ms)
    scale_mv = types.voltage_scale_mv
    group = [PSP_GROUPS.index(row.psp_group) for row in CLASSES.values()]
    synapses = _Synapses()
    for a, b in np.argwhere(probability > 0):
        receptor = int(BILLEH_RECEPTORS.between(_KIND[a], _KIND[b]))
        sign = 1.0 if _KIND[a] == Kind.EXCITATORY else -1.0
        mean_pa = PSP_MV[group[a], group[b]] / peak_psp[b, receptor] * compensation[a, b]
        mean_weight = sign * mean_pa / scale_mv[b]
        pre_of, post_of = cells.of(a), cells.of(b)
        like = _LIKE_TO_LIKE if _KIND[a] == _KIND[b] == Kind.EXCITATORY else 0.0
        position_pre, position_post = cells.position_um[pre_of], cells.position_um[post_of]
        preferred_pre, preferred_post = cells.preferred_rad[pre_of], cells.preferred_rad[post_of]
        peak = min(float(probability[a, b]) * (1 + like), 1.0)
        for pre, post in _drawn_pairs(len(position_pre), len(position_post), peak, rng):
            offset = position_pre[pre] - position_post[post]
            lateral2 = offset[:, 0] ** 2 + offset[:, 2] ** 2
            accepted = np.exp(-lateral2 / (2 * SIGMA_UM[receptor] ** 2))
            if like:
                difference = preferred_pre[pre] - preferred_post[post]
                accepted *= (1 + like * np.cos(2 * difference)) / (1 + like)
            keep = rng.random(len(pre)) < accepted
            pre, post = pre[keep] + pre_of.start, post[keep] + post_of.start
            distance = np.sqrt(lateral2[keep] + offset[keep, 1] ** 2)
            delay = np.rint(_BASE_DELAY_MS + distance / _CONDUCTION_UM_PER_MS)
            weight = mean_weight * _lognormal(_WEIGHT_SPREAD, len(pre), rng)
            no_autapse = pre != post
            synapses.add(
                pre[no_autapse],
                post[no_autapse],
                receptor,
                np.minimum(delay, _MAX_DELAY_MS)[no_autapse],
                weight[no_autapse],
            )
    return synapses.table()


def _charge_ms(receptor: int) -> float:
    """Charge of an alpha current over its peak: pA ms a pA."""
    return float(np.e * TAU_SYN_MS[receptor])


def _connect_lgn(
    cells: _Cells, lgn: LgnCellTable, types: CellTypeTable, rng: np.random.Generator
) -> SynapseTable:
    """LGN synapses: target class by class, ON, OFF and composite cells one after the other."""
    synapses = _Synapses()
    is_composite = np.char.endswith(lgn.model_id, "_001")
    is_on = np.char.startswith(lgn.model_id, "sON") & ~is_composite
    kinds = [np.flatnonzero(of) for of in (is_on, ~is_on & ~is_composite, is_composite)]
    axis_rad = np.deg2rad(np.nan_to_num(lgn.subunit_angle_deg))
    place = np.stack([lgn.x_deg, lgn.y_deg], axis=1)
    # A composite cell's place is its OFF subunit's; its middle is what is matched.
    half = np.nan_to_num(lgn.subunit_distance_deg)[:, np.newaxis] / 2
    place += half * np.stack([np.cos(axis_rad), np.sin(axis_rad)], axis=1)
    area_deg2 = float(np.prod(np.ptp(place, axis=0)))
    for b, row in enumerate(CLASSES.values()):
        if row.lgn is None:
            continue
        receptor = int(BILLEH_RECEPTORS.between(Kind.EXCITATORY, _KIND[b]))
        targets = np.arange(cells.start[b], cells.start[b + 1])
        # Sum of peaks that gives the drive: rate * charge = drive * g * scale
        total_pa = row.lgn.drive * types.g_ns[b] * row.scale_mv * 1000.0
        total = total_pa / (_LGN_RATE_HZ * _charge_ms(receptor)) / row.scale_mv
        for kind, sources in enumerate(kinds):
            n_expected = row.lgn.n_synapses * _KIND_SHARE[kind]
            pre, post = _draw_lgn_pairs(
                row.lgn, kind, n_expected, targets, sources, cells, place, axis_rad, area_deg2, rng
            )
            # Cells with few partners have stronger ones, so that all are driven alike.
            count = np.bincount(post, minlength=1)[post]
            mean = total * _KIND_SHARE[kind] / np.maximum(count, n_expected / 2)
            synapses.add(
                pre,
                post,
                receptor,
                np.ones(len(pre)),
                mean * _lognormal(_LGN_WEIGHT_SPREAD, len(pre), rng),
            )
    return synapses.table()


def _draw_lgn_pairs(
    wanted: LgnInput,
    kind: int,
    n_expected: float,
    targets: NDArray[np.int64],
    sources: NDArray[np.int64],
    cells: _Cells,
    place_deg: F64,
    axis_rad: F64,
    area_deg2: float,
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """LGN cells of one kind (ON, OFF, composite) and the targets that take them."""
    across, along = _SUBFIELD_SIGMA_DEG if wanted.tuned else (_ROUND_SIGMA_DEG,) * 2
    # Mean of the alignment below over all axes.
    aligned_share = 0.375 if wanted.tuned and kind == 2 else 1.0
    field_deg2 = 2 * np.pi * across * along * aligned_share
    peak = n_expected * area_deg2 / (max(len(sources), 1) * field_deg2)
    shift = (0.5, -0.5, 0.0)[kind] * _SUBFIELD_DISTANCE_DEG * wanted.tuned
    parts = [(np.empty(0, np.int64), np.empty(0, np.int64))]
    for i, j in _drawn_pairs(len(sources), len(targets), min(peak, _MAX_PROBABILITY), rng):
        pre, post = sources[i], targets[j]
        offset = place_deg[pre] - cells.place_deg[post]
        preferred = cells.preferred_rad[post]
        cos, sin = np.cos(preferred), np.sin(preferred)
        u = (offset[:, 0] * cos + offset[:, 1] * sin - shift) / across
        v = (offset[:, 1] * cos - offset[:, 0] * sin) / along
        accepted = np.exp(-0.5 * (u**2 + v**2))
        if wanted.tuned and kind == 2:
            accepted *= ((1 + np.cos(axis_rad[pre] - preferred)) / 2) ** 2
        keep = rng.random(len(pre)) < accepted
        parts.append((pre[keep], post[keep]))
    pre_parts, post_parts = zip(*parts, strict=True)
    return np.concatenate(pre_parts), np.concatenate(post_parts)


def _background(
    cells: _Cells, types: CellTypeTable, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Background weights (n, receptors): normalised, times ten, on the excitatory receptor."""
    weight = np.zeros((int(cells.start[-1]), BILLEH_RECEPTORS.n), dtype=np.float32)
    for index, row in enumerate(CLASSES.values()):
        receptor = BILLEH_RECEPTORS.between(Kind.EXCITATORY, _KIND[index])
        # A step's mean input w gives the current w * charge / 1 ms; w is a tenth of the weight.
        mean = 10 * row.background * types.g_ns[index] / _charge_ms(int(receptor))
        part = cells.of(index)
        deviate = np.clip(rng.standard_normal(part.stop - part.start), -_TAIL_SIGMAS, _TAIL_SIGMAS)
        weight[part, receptor] = mean * (1 + _BACKGROUND_SPREAD * deviate)
    return weight


def _readout(cells: _Cells, rng: np.random.Generator) -> tuple[I32, ...]:
    """Groups of layer 5 excitatory cells; 30 a group in the network in use."""
    of_layer_5 = [i for i, name in enumerate(_NAMES) if name.startswith("e5")]
    ids = np.arange(cells.start[of_layer_5[0]], cells.start[of_layer_5[-1] + 1], dtype=np.int32)
    group = min(30, max(1, len(ids) // 30))
    chosen = rng.permutation(ids)[: N_READOUT_GROUPS * group]
    return tuple(np.sort(part) for part in chosen.reshape(N_READOUT_GROUPS, group))

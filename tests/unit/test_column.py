"""The built-in column against the figures it is built from."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from v1sim.cell_classes import LAYER_TOP_UM, cell_classes, layer_of_depth
from v1sim.errors import InputError
from v1sim.guard import Policy, examine
from v1sim.sources import column, open_network
from v1sim.sources.column import build_column, default_n_lgn
from v1sim.sources.column_figures import CLASSES, P_MAX, PSP_GROUPS, PSP_MV
from v1sim.sources.hdf5 import write_network
from v1sim.sources.provenance import network_sha256
from v1sim.stimulus.lgn import lgn_filters

NAMES = list(CLASSES)
EXCITATORY = np.array([name.startswith("e") for name in NAMES])


@pytest.fixture(scope="module")
def network():
    return build_column(2000, seed=3)


@pytest.mark.parametrize(("n_neurons", "n_lgn", "seed"), [(200, 100, 0), (700, 250, 9)])
def test_same_arguments_same_network(n_neurons, n_lgn, seed):
    first, again = (build_column(n_neurons, n_lgn, seed) for _ in range(2))
    for part in ("recurrent", "lgn"):
        for name, values in first.tables[part].columns.items():
            np.testing.assert_array_equal(values, again.tables[part].columns[name])
    np.testing.assert_array_equal(first.neurons.position_um, again.neurons.position_um)
    np.testing.assert_array_equal(first.lgn.cells.x_deg, again.lgn.cells.x_deg)
    assert network_sha256(first) == network_sha256(again)
    assert network_sha256(first) != network_sha256(build_column(n_neurons, n_lgn, seed + 1))


@settings(max_examples=6, deadline=None)
@given(st.integers(200, 3000), st.integers(0, 2**31 - 1))
def test_any_column_passes_the_guards(n_neurons, seed):
    network = build_column(n_neurons, seed=seed)
    assert network.n_neurons == n_neurons
    report = examine(network, Policy(require="any"))
    assert not [f for f in report.findings if f.severity == "error"]


def test_numbers_of_cells(network):
    classes = cell_classes(network)
    assert set(classes.names) == set(NAMES)
    assert not classes.inferred
    counts = np.array([len(classes.ids(name)) for name in NAMES])
    published = np.array([row.n_cells for row in CLASSES.values()])
    assert counts.sum() == 2000
    np.testing.assert_allclose(counts, 2000 * published / published.sum(), atol=1)
    assert 0.83 < counts[EXCITATORY].sum() / 2000 < 0.87


@given(st.integers(200, 300_000))
def test_class_sizes(n_neurons):
    size = column._class_sizes(n_neurons)
    assert size.sum() == n_neurons
    assert size.min() >= 1
    count = np.array([row.n_cells for row in CLASSES.values()])
    # Rare classes of small columns keep one cell; the large classes make up for it.
    np.testing.assert_allclose(size, n_neurons * count / count.sum(), atol=2)


def test_cells_lie_in_their_layers(network):
    position = network.neurons.position_um
    layer = np.array(list(LAYER_TOP_UM))[layer_of_depth(-position[:, 1])]
    expected = np.array([row.layer for row in CLASSES.values()])[network.neurons.cell_type]
    np.testing.assert_array_equal(layer, expected)
    assert position[:, 1].min() >= -840
    radius = np.hypot(position[:, 0], position[:, 2])
    assert radius.max() <= 845 * np.sqrt(2000 / 230_924) * (1 + 1e-6)
    # Uniform in the disc: half of the cells lie within 1/sqrt(2) of the radius.
    assert np.median(radius) == pytest.approx(radius.max() / np.sqrt(2), rel=0.05)


def test_signs_receptors_and_order(network):
    excitatory = EXCITATORY[network.neurons.cell_type]
    rec, lgn = network.tables["recurrent"], network.tables["lgn"]
    np.testing.assert_array_equal(rec.receptor, 2 * ~excitatory[rec.post] + ~excitatory[rec.pre])
    np.testing.assert_array_equal(rec.weight > 0, excitatory[rec.pre])
    np.testing.assert_array_equal(lgn.receptor, 2 * ~excitatory[lgn.post])
    assert lgn.weight.min() > 0
    assert np.isin(rec.delay_ms, [1, 2, 3, 4]).all()
    assert not np.any(rec.pre == rec.post)
    for table in (rec, lgn):
        key = table.post.astype(np.int64) * 10_000 + table.pre
        assert np.all(np.diff(key) > 0)  # sorted, and no pair twice


def test_delays_grow_with_distance(network):
    rec, position = network.tables["recurrent"], network.neurons.position_um.astype(np.float64)
    distance = np.linalg.norm(position[rec.pre] - position[rec.post], axis=1)
    mean = [distance[rec.delay_ms == delay].mean() for delay in (1, 2, 3)]
    assert mean == sorted(mean)


@pytest.mark.parametrize(("pre", "post"), [("i4Pvalb", "e4"), ("e4", "i4Pvalb"), ("e6", "e6")])
def test_connection_probability_is_the_published_one(network, pre, post):
    """Within 5 standard deviations of the figure, with its lateral fall-off."""
    rec, of = network.tables["recurrent"], network.neurons.cell_type
    a, b = NAMES.index(pre), NAMES.index(post)
    n = np.count_nonzero((of[rec.pre] == a) & (of[rec.post] == b))
    place = network.neurons.position_um[:, [0, 2]].astype(np.float64)
    lateral2 = ((place[of == a][:, None] - place[of == b][None]) ** 2).sum(axis=2)
    sigma = {"i4Pvalb": 97, "e4": 100, "e6": 127}[pre]
    p = P_MAX[a, b] * np.exp(-lateral2 / (2 * sigma**2))
    if pre == post:
        np.fill_diagonal(p, 0)
    assert abs(n - p.sum()) < 5 * np.sqrt((p * (1 - p)).sum())


@pytest.mark.parametrize(("pre", "post"), [("i4Pvalb", "e4"), ("e23", "i23Sst"), ("e6", "e6")])
def test_mean_potential_is_the_published_one(network, pre, post):
    """A synapse of mean weight, integrated numerically, gives the amplitude of the table."""
    a, b = NAMES.index(pre), NAMES.index(post)
    rec, of, types = network.tables["recurrent"], network.neurons.cell_type, network.cell_types
    chosen = (of[rec.pre] == a) & (of[rec.post] == b)
    weight = rec.weight_pa(network)[chosen]
    tau = types.tau_syn_ms[b, rec.receptor[chosen][0]]
    run = solve_ivp(
        lambda t, v: (t / tau * np.exp(1 - t / tau) - types.g_ns[b] * v) / types.c_m_pf[b],
        (0, 100),
        [0.0],
        max_step=0.1,
    )
    group = [PSP_GROUPS.index(CLASSES[name].psp_group) for name in (pre, post)]
    expected = PSP_MV[group[0], group[1]]
    mean = abs(weight.mean()) * run.y[0].max()
    error = weight.std() / np.sqrt(len(weight)) * run.y[0].max()
    # Cutting the lognormal's tails takes 2 % of its mean.
    assert mean == pytest.approx(expected, abs=5 * error + 0.03 * expected)


def test_like_prefers_like(network):
    """Excitatory cells connect to those whose LGN axes are parallel."""
    axis = lgn_axis(network)
    of, rec = network.neurons.cell_type, network.tables["recurrent"]
    e4 = NAMES.index("e4")
    pair = (of[rec.pre] == e4) & (of[rec.post] == e4)
    aligned = np.cos(2 * (np.angle(axis[rec.pre[pair]]) - np.angle(axis[rec.post[pair]])))
    assert aligned.mean() > 5 * aligned.std() / np.sqrt(len(aligned))


def lgn_axis(network):
    """From the mean OFF to the mean ON cell of each neuron, degrees, as complex numbers."""
    cells, lgn = network.lgn.cells, network.tables["lgn"]
    place = cells.x_deg + 1j * cells.y_deg
    axis = np.zeros(network.n_neurons, dtype=complex)
    single = ~np.char.endswith(cells.model_id, "_001")
    for kind, sign in (("sON", 1), ("OFF", -1)):
        of_kind = (single & (np.char.find(cells.model_id, kind) >= 0))[lgn.pre]
        total = np.zeros(network.n_neurons, dtype=complex)
        np.add.at(total, lgn.post[of_kind], place[lgn.pre[of_kind]])
        count = np.bincount(lgn.post[of_kind], minlength=network.n_neurons)
        with np.errstate(invalid="ignore", divide="ignore"):
            axis += sign * total / count
    return axis


def test_subfields_of_tuned_cells_lie_side_by_side(network):
    distance = np.abs(lgn_axis(network))
    of = network.neurons.cell_type
    tuned, round_ = (np.nanmedian(distance[of == NAMES.index(name)]) for name in ("e4", "i4Pvalb"))
    assert tuned == pytest.approx(12, abs=1.5)
    assert round_ < 3


def test_only_some_classes_take_lgn_input(network):
    of = network.neurons.cell_type
    count = np.bincount(network.tables["lgn"].post, minlength=network.n_neurons)
    for index, (name, row) in enumerate(CLASSES.items()):
        mean = count[of == index].mean()
        if row.lgn is None:
            assert mean == 0, name
        else:
            assert 0.5 * row.lgn.n_synapses < mean < 1.3 * row.lgn.n_synapses, name


@pytest.mark.parametrize("n_neurons", [2000, 8000])
def test_scaling_keeps_mean_input(n_neurons):
    """Each pair of large classes: sum of weights per target as with 2,000 neurons."""
    reference, network = build_column(2000, seed=1), build_column(n_neurons, seed=2)
    total = {}
    for part in (reference, network):
        of, rec = part.neurons.cell_type, part.tables["recurrent"]
        pair = of[rec.pre].astype(np.int64) * len(NAMES) + of[rec.post]
        size = np.bincount(of, minlength=len(NAMES))
        summed = np.bincount(pair, np.abs(rec.weight), minlength=len(NAMES) ** 2)
        total[part] = summed.reshape(len(NAMES), -1) / size
    large = [NAMES.index(name) for name in ("e23", "e4", "i4Pvalb", "e6")]
    for a in large:
        for b in large:
            if P_MAX[a, b] > 0.03:  # enough synapses for the tolerance
                assert total[network][a, b] == pytest.approx(total[reference][a, b], rel=0.1)
    assert len(network.tables["recurrent"]) / n_neurons < 285


def test_readout_groups(network):
    groups = np.array(network.readout)
    assert groups.shape == (10, 8)
    assert len(np.unique(groups)) == 80
    names = np.array(NAMES)[network.neurons.cell_type[groups.ravel()]]
    assert np.all(np.char.startswith(names, "e5"))


def test_background(network):
    excitatory = EXCITATORY[network.neurons.cell_type]
    weight = network.background_weight
    assert weight.shape == (2000, 4)
    np.testing.assert_array_equal(weight[:, 0] > 0, excitatory)
    np.testing.assert_array_equal(weight[:, 2] > 0, ~excitatory)
    assert not weight[:, [1, 3]].any()
    # Ten times normalised: a tenth in each step gives this mean depolarisation.
    types, of = network.cell_types, network.neurons.cell_type
    depolarisation = 0.1 * weight.sum(axis=1) * np.e * np.where(excitatory, 5.5, 2.8)
    depolarisation /= types.g_ns[of]
    for index, row in enumerate(CLASSES.values()):
        assert depolarisation[of == index].mean() == pytest.approx(row.background, rel=0.08)


def test_lgn_cells_have_filters(network):
    filters = lgn_filters(network.lgn.cells)
    assert filters.n_cells == network.lgn.size == 600
    assert len(filters.composite) > 20


@pytest.mark.parametrize(
    ("n_neurons", "n_lgn"), [(200, 200), (2000, 600), (51_978, 17_400), (230_924, 17_400)]
)
def test_default_n_lgn(n_neurons, n_lgn):
    assert default_n_lgn(n_neurons) == n_lgn


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_neurons": 199}, "199 neurons"),
        ({"n_lgn": 99}, "99 LGN cells"),
        ({"seed": -1}, "seed -1"),
    ],
)
def test_refuses(wrong, message):
    with pytest.raises(InputError, match=message):
        build_column(**wrong)


def test_survives_its_file(tmp_path):
    network = build_column(300, seed=5)
    write_network(network, tmp_path / "column.h5")
    held = open_network(tmp_path / "column.h5")
    assert network_sha256(held) == network_sha256(network)
    assert held.cell_types.cell_class == tuple(NAMES)
    np.testing.assert_array_equal(held.lgn.cells.model_id, network.lgn.cells.model_id)
    np.testing.assert_array_equal(held.neurons.position_um, network.neurons.position_um)


@pytest.mark.parametrize("probability", [1e-4, 0.05, 0.9, 1.0])
def test_drawn_pairs_are_distinct_and_as_probable_as_said(probability, monkeypatch):
    monkeypatch.setattr(column, "_BLOCK", 1000)  # many blocks
    parts = list(column._drawn_pairs(300, 200, probability, np.random.default_rng(4)))
    pair = np.concatenate([pre * 200 + post for pre, post in parts])
    assert np.all(np.diff(pair) > 0)
    assert pair.max(initial=0) < 60_000
    sigma = np.sqrt(60_000 * probability * (1 - probability))
    assert abs(len(pair) - 60_000 * probability) <= 6 * sigma
    assert not list(column._drawn_pairs(300, 200, 0.0, np.random.default_rng(4)))

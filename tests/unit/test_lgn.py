"""LGN filters against an independent, literal implementation of the published model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from tests.lgn_cells import KERNELS, make_cells
from v1sim.errors import StimulusError
from v1sim.model import LgnCellTable
from v1sim.stimulus import lgn
from v1sim.stimulus.lgn import (
    cells_sha256,
    lgn_filters,
    rates_of_movie,
    read_lgn_table,
    spatial_operator,
    temporal_kernels,
)


def literal_kernel(kpeak, weight, delay):
    """The kernel of one subunit as the model describes it, sample by sample."""
    width = np.log(200.3 / 100.3)
    length = 600 + int(delay[0])
    total = np.zeros(length)
    for k in range(2):
        basis = []
        for j in range(600):
            phase = (np.log(j + 1 + 0.3) - np.log(kpeak[k])) * np.pi / (2 * width)
            basis.append((1 + np.cos(max(-np.pi, min(np.pi, phase)))) / 2)
        basis = np.array(basis) / np.sqrt(np.sum(np.square(basis)))
        shifted = np.concatenate([np.zeros(int(delay[k])), basis])[:length]
        shifted = np.concatenate([shifted, np.zeros(length - len(shifted))])
        total += weight[k] * shifted / np.sqrt(np.sum(shifted**2))
    return total


def literal_drive(movie, x_deg, y_deg, size_deg, kernel):
    _, height, width = movie.shape
    px = min(max(x_deg * (width - 1) / width, 0), width - 1)
    py = min(max(y_deg * (height - 1) / height, 0), height - 1)
    # As BMTK makes it: four pixels in the middle, smoothed, and the picture of it shifted.
    gaussian = np.zeros((height, width))
    gaussian[height // 2 - 1 : height // 2 + 1, width // 2 - 1 : width // 2 + 1] = 0.25
    gaussian = ndimage.gaussian_filter(gaussian, size_deg / 3, mode="nearest")
    shift = (py - (height - 1) / 2, px - (width - 1) / 2)
    gaussian = ndimage.shift(gaussian, shift, order=1, mode="constant")
    seen = (movie * (gaussian / gaussian.sum())).sum(axis=(1, 2))
    return np.convolve(seen, kernel)[: len(seen)]


def literal_rates(name, x_deg, y_deg, size_deg, movie):
    kpeak, weight, delay, second = KERNELS[name]
    kernel = literal_kernel(kpeak, weight, delay)
    if second is None:
        sign, spontaneous = {"sON_TF8": (1, 1.767), "tOFF_TF4": (-1, 3.945)}[name]
        drive = literal_drive(movie, x_deg, y_deg, size_deg, kernel)
        return np.maximum(0, sign * drive + spontaneous)
    ttp_on, ttp_off, spont, r_off, r_on, factor = {
        "sONsOFF_001": (121.0, 115.0, 4.0, 35.0, 21.0, 1.0),
        "sONtOFF_001": (93.5, 64.8, 5.5, 46.0, 31.0, 0.7),
    }[name]

    def subunit(kpeak, weight, delay, ttp):
        early = literal_kernel(kpeak, weight, delay)
        first, last = np.argmax(early), np.argmin(early)
        crossing = first + next(i for i, v in enumerate(early[first:last]) if v < 0)
        late = literal_kernel(kpeak, weight, [d + ttp - crossing for d in delay])
        return late, early[:crossing].sum()

    off_kernel, s_off = subunit(kpeak, weight, delay, ttp_off)
    on_kernel, s_on = subunit(*second, ttp_on)
    gain_off = -factor * (r_off / r_on) * (s_on / s_off) - spont * (r_off - r_on) / (r_on * s_off)
    angle = np.deg2rad(30.0)
    off = literal_drive(movie, x_deg, y_deg, size_deg, off_kernel)
    on = literal_drive(
        movie, x_deg + 5 * np.cos(angle), y_deg + 5 * np.sin(angle), size_deg, on_kernel
    )
    return np.maximum(0, gain_off * off + spont / 2) + np.maximum(0, on + spont / 2)


@pytest.mark.parametrize("field_deg", [(120.0, 80.0), (240.0, 120.0)])
def test_rates_equal_a_literal_implementation(field_deg):
    width, height = (int(side) for side in field_deg)
    rng = np.random.default_rng(5)
    movie = rng.uniform(-1, 1, (350, 5, 6)).repeat(height // 5, 1).repeat(width // 6, 2)
    movie = movie.astype(np.float32)
    classes = tuple(KERNELS)
    # One cell lies in a corner, so that its Gaussian and its second subunit are cut off.
    cells = make_cells(
        classes, (30.3, 60.0, width - 1.0, 11.1), (0.0, 40.2, height - 0.5, 70), field_deg=field_deg
    )
    rates = rates_of_movie(lgn_filters(cells), movie)
    assert rates.shape == (350, 4)
    assert rates.dtype == np.float32
    for i, name in enumerate(classes):
        expected = literal_rates(name, cells.x_deg[i], cells.y_deg[i], 6.0, movie)
        np.testing.assert_allclose(rates[:, i], expected, atol=1e-3)
        assert expected.std() > 0.1  # the movie moves every cell


def test_grey_gives_spontaneous_rates():
    cells = make_cells(tuple(KERNELS), (20, 40, 60, 80), (20, 30, 40, 50))
    rates = rates_of_movie(lgn_filters(cells), np.zeros((10, 80, 120), dtype=np.float32))
    np.testing.assert_allclose(rates, np.tile([1.767, 3.945, 4.0, 5.5], (10, 1)), rtol=1e-6)


def test_causal_response_has_no_memory_before_the_first_frame():
    cells = make_cells(("sON_TF8",), (60,), (40,))
    movie = np.zeros((300, 80, 120), dtype=np.float32)
    movie[100] = 1
    rates = rates_of_movie(lgn_filters(cells), movie)[:, 0]
    np.testing.assert_allclose(rates[:100], 1.767, atol=1e-4)
    kernel = lgn_filters(cells).kernel[0]
    np.testing.assert_allclose(rates[100:], np.maximum(0, 1.767 + kernel[:200]), atol=1e-4)


def test_time_beyond_one_block_of_frames_does_not_show():
    cells = make_cells(("sON_TF8", "sONtOFF_001"), (60, 30), (40, 20))
    movie = np.random.default_rng(0).uniform(-1, 1, (600, 1, 1)).astype(np.float32)
    movie = np.broadcast_to(movie, (600, 80, 120))
    whole = rates_of_movie(lgn_filters(cells), movie)
    np.testing.assert_allclose(
        whole[:300], rates_of_movie(lgn_filters(cells), movie[:300]), atol=1e-4
    )


@settings(max_examples=25, deadline=None)
@given(
    kpeak=st.tuples(st.floats(4, 60), st.floats(19, 141)),
    weight=st.tuples(st.floats(0.9, 10.3), st.floats(-3.4, -0.4)),
    delay=st.tuples(st.floats(0, 3.9), st.floats(0, 120)),
)
def test_kernels_equal_a_literal_implementation(kpeak, weight, delay):
    kernel = temporal_kernels(np.array([kpeak]), np.array([weight]), np.array([delay]))
    assert kernel.shape == (1, 600 + int(delay[0]))
    np.testing.assert_allclose(kernel[0], literal_kernel(kpeak, weight, delay), atol=1e-12)


def test_spatial_filters_have_unit_sum_even_at_the_edge():
    cells = make_cells(("sON_TF8",) * 3, (0.0, 120.0, 57.3), (0.0, 80.0, 12.9), size_deg=9.9)
    spatial = lgn_filters(cells).spatial
    np.testing.assert_allclose(spatial.sum(axis=1), 1, rtol=1e-6)
    image = spatial.toarray().reshape(3, 80, 120)
    assert np.unravel_index(image[1].argmax(), (80, 120)) == (79, 119)


@settings(max_examples=25, deadline=None)
@given(x=st.floats(20, 100), y=st.floats(20, 60), sigma=st.floats(0.8, 4.0))
def test_a_spatial_filter_is_a_gaussian_a_little_wider_than_sigma(x, y, sigma):
    """By the box of two pixels (1/4) and the interpolation between them (up to 1/4)."""
    image = spatial_operator(np.array([x]), np.array([y]), np.array([sigma]), (120, 80))
    weight = image.toarray().reshape(80, 120).astype(float)
    for place, of_axis in ((x, weight.sum(axis=0)), (y, weight.sum(axis=1))):
        pixel = np.arange(len(of_axis))
        mean = of_axis @ pixel
        assert mean == pytest.approx(place, abs=1e-4)
        extra = of_axis @ (pixel - mean) ** 2 - sigma**2
        assert 0.25 - 0.02 < extra < 0.5 + 0.001  # a little less: it is cut at 4 sigma


def test_a_gaussian_far_below_a_pixel_is_interpolated_between_the_nearest():
    image = spatial_operator(np.array([60.5]), np.array([40.5]), np.array([0.01]), (120, 80))
    assert image.nnz == 4
    np.testing.assert_allclose(image.data, 0.25)


def test_filters_are_kept_and_read_again(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(lgn, "_WORTH_KEEPING", 2)
    cells = make_cells(("sON_TF8", "sONtOFF_001"), (60, 30), (40, 20))
    made = lgn_filters(cells)
    monkeypatch.setattr(lgn, "_filter_arrays", lambda _: pytest.fail("made again"))
    read = lgn_filters(cells)
    assert (made.spatial != read.spatial).nnz == 0
    for name in ("composite", "kernel", "gain", "offset_hz"):
        np.testing.assert_array_equal(getattr(made, name), getattr(read, name))
        assert getattr(made, name).dtype == getattr(read, name).dtype
    assert len(list(tmp_path.rglob("*.npz"))) == 1


def test_filters_of_few_cells_are_not_worth_keeping(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    lgn_filters(make_cells(("sON_TF8", "sONtOFF_001"), (60, 30), (40, 20)))
    assert not list(tmp_path.iterdir())


def test_tables_are_told_apart_by_everything_they_hold():
    cells = make_cells(("sON_TF8", "sONtOFF_001"), (60, 30), (40, 20))
    changed = [cells, cells.take(np.array([1, 0])), cells.take(np.array([0]))]
    changed += [replace(cells, field_deg=(240.0, 120.0)), replace(cells, x_deg=cells.x_deg + 1e-9)]
    changed.append(replace(cells, model_id=np.array(["sON_TF4", "sONtOFF_001"])))
    assert len({cells_sha256(c) for c in changed}) == len(changed)
    assert cells_sha256(cells) == cells_sha256(replace(cells))


HEADER = (
    "id model_id x y ei spatial_size kpeaks_dom_0 kpeaks_dom_1 weight_dom_0 weight_dom_1 "
    "delay_dom_0 delay_dom_1 kpeaks_non_dom_0 kpeaks_non_dom_1 weight_non_dom_0 weight_non_dom_1 "
    "delay_non_dom_0 delay_non_dom_1 tuning_angle sf_sep"
)
SINGLE = "0 sON_TF8 2.5 3.5 e 5.0 12.9 28.3 3.7 -1.7 0.0 25.0 NaN NaN NaN NaN NaN NaN NaN NaN"
COMPOSITE = "7 sONsOFF_001 9.5 3.5 e 6 22.2 56.1 3.2 -1.6 0 15 30.8 58.4 3.6 -1.8 0 25 90 6.0"


def test_read_lgn_table(tmp_path):
    path = tmp_path / "cells.csv"
    path.write_text(f"{HEADER}\n{SINGLE}\n{COMPOSITE}\n")
    cells = read_lgn_table(path)
    assert cells.model_id.tolist() == ["sON_TF8", "sONsOFF_001"]
    assert cells.field_deg == (120.0, 80.0)
    assert cells.kpeak_dom_ms.tolist() == [[12.9, 28.3], [22.2, 56.1]]
    assert np.isnan(cells.subunit_angle_deg[0])
    assert cells.subunit_angle_deg[1] == 90
    assert rates_of_movie(lgn_filters(cells), np.zeros((2, 80, 120))).shape == (2, 2)


def test_read_lgn_table_of_the_large_field(tmp_path):
    path = tmp_path / "cells.csv"
    path.write_text(f"{HEADER}\n{SINGLE.replace(' 2.5 ', ' 200.5 ')}\n")
    assert read_lgn_table(path).field_deg == (240.0, 120.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEADER, "no cells"),
        (f"{HEADER.replace(' x ', ' xx ')}\n{SINGLE}", "columns missing from the first line: x"),
        (f"{HEADER}\n{SINGLE} 3", "cannot be read as a table|no usable"),
        (f"{HEADER}\n{SINGLE}\n1 sON", "cannot be read as a table"),
        (f"{HEADER}\n{SINGLE.replace('12.9', 'peak')}", "cannot be read as a table"),
        (f"{HEADER}\n{SINGLE.replace('12.9', 'NaN')}", "kpeak_dom_ms"),
        (f"{HEADER}\n{SINGLE.replace(' 5.0 ', ' 0 ')}", "spatial_size_deg"),
        (f"{HEADER}\n{COMPOSITE.replace(' 6.0', ' NaN')}", "subunit_distance_deg"),
        (f"{HEADER}\n{SINGLE.replace(' 25.0', ' -1')}", "delay_dom_ms"),
        (f"{HEADER}\n{SINGLE.replace('sON_TF8', 'sON_TF99')}", "unknown LGN classes sON_TF99"),
        (f"{HEADER}\n{SINGLE.replace(' 2.5 ', ' 300 ')}", "outside the visual field"),
        (f"{HEADER}\n{COMPOSITE}\n{SINGLE}", "ids that do not ascend"),
    ],
)
def test_read_lgn_table_refuses(tmp_path, text, message):
    path = tmp_path / "cells.csv"
    path.write_text(text + "\n")
    with pytest.raises(StimulusError, match=message):
        read_lgn_table(path)


@pytest.mark.parametrize("separator", [" ", ",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("nan", ["NaN", "nan", ""])
def test_tables_as_other_programs_write_them(tmp_path, separator, mark, nan):
    """Excel begins with a byte order mark; pandas leaves the fields of NaN empty."""
    path = tmp_path / "cells.csv"
    path.write_text(f"{HEADER}\n{SINGLE}\n{COMPOSITE}\n")
    expected = read_lgn_table(path)
    lines = [HEADER, *(line.replace("NaN", nan) for line in (SINGLE, COMPOSITE))]
    text = "\n".join(line.replace(" ", separator) for line in lines) + "\n"
    path.write_text(mark + text, encoding="utf-8")
    assert cells_sha256(read_lgn_table(path)) == cells_sha256(expected)


def test_a_line_too_many_fields_is_refused(tmp_path):
    path = tmp_path / "cells.csv"
    path.write_text(f"{HEADER}\n{SINGLE} 1\n{COMPOSITE}\n")
    with pytest.raises(StimulusError, match="cannot be read as a table"):
        read_lgn_table(path)
    path.write_text(f"{HEADER}\n{SINGLE}{' ' * 100_000}\n")
    with pytest.raises(StimulusError, match="a line of 100,"):
        read_lgn_table(path)


@pytest.mark.parametrize("name", ["absent.csv", ".", "binary.csv"])
def test_read_lgn_table_refuses_what_is_no_text(tmp_path, name):
    (tmp_path / "binary.csv").write_bytes(b"\x89HDF\xff\xfe")
    with pytest.raises(StimulusError, match="cannot be read"):
        read_lgn_table(tmp_path / name)


def test_a_composite_kernel_without_zero_crossing_is_refused():
    cells = make_cells(("sONsOFF_001",), (60,), (40,))
    positive = LgnCellTable(
        **{
            name: getattr(cells, name)
            for name in cells.__dataclass_fields__
            if name not in ("weight_dom",)
        },
        weight_dom=np.array([[3.0, 1.0]]),
    )
    with pytest.raises(StimulusError, match="does not cross zero"):
        lgn_filters(positive)


@pytest.mark.parametrize(
    ("movie", "message"),
    [
        (np.zeros((5, 120, 80)), r"shape \(5, 120, 80\)"),
        (np.zeros((80, 120)), r"shape \(80, 120\)"),
        (np.full((5, 80, 120), 128.0), "luminances from 128 to 128"),
        (np.full((5, 80, 120), np.nan), "luminances from nan"),
    ],
)
def test_rates_of_movie_refuses(movie, message):
    with pytest.raises(StimulusError, match=message):
        rates_of_movie(lgn_filters(make_cells(("sON_TF8",), (60,), (40,))), movie)


def test_the_published_table(shared_data):
    cells = read_lgn_table(shared_data / "third_party" / "lgn_full_col_cells_120x80.csv")
    assert len(cells) == 17_400
    assert np.isin(cells.model_id, ["sONsOFF_001", "sONtOFF_001"]).sum() == 1_950
    some = cells.take(np.arange(0, 17_400, 50))
    rates = rates_of_movie(lgn_filters(some), np.zeros((3, 80, 120), dtype=np.float32))
    assert rates.min() > 1
    assert rates.max() < 8.3


def bmtk_cell(cells, i):
    """Cell i of a table as BMTK FilterNet builds it."""
    from bmtk.simulator.filternet.cell_models import OffUnit, OnUnit
    from bmtk.simulator.filternet.default_setters.cell_loaders import (
        create_two_sub_cell,
        createOneUnitOfTwoSubunitFilter,
    )
    from bmtk.simulator.filternet.filters import (
        GaussianSpatialFilter,
        SpatioTemporalFilter,
        TemporalFilterCosineBump,
    )
    from bmtk.simulator.filternet.transfer_functions import ScalarTransferFunction
    from bmtk.simulator.filternet.utils import get_data_metrics_for_each_subclass

    width, height = cells.field_deg
    scale = np.array([(width - 1) / width, (height - 1) / height])
    place = np.array([cells.x_deg[i], cells.y_deg[i]])
    sigma = (cells.spatial_size_deg[i] / 3,) * 2
    kernel = cells.weight_dom[i], cells.kpeak_dom_ms[i], cells.delay_dom_ms[i]
    name = str(cells.model_id[i])

    def gaussian():
        return GaussianSpatialFilter(translate=tuple(place * scale), sigma=sigma, origin=(0.0, 0.0))

    if not name.endswith("_001"):
        kind, frequency = name.split("_")
        spontaneous = get_data_metrics_for_each_subclass(kind)[frequency]["spont_exp"][0]
        unit, sign = (OnUnit, 1.0) if "ON" in kind else (OffUnit, -1.0)
        return unit(
            SpatioTemporalFilter(gaussian(), TemporalFilterCosineBump(*kernel), amplitude=sign),
            ScalarTransferFunction(f"Heaviside(s+{spontaneous})*(s+{spontaneous})"),
        )
    # What default_cell_loader does for composite cells.
    late_on, late_off, spont, max_off, max_on, factor = {
        "sONsOFF_001": (121.0, 115.0, 4.0, 35.0, 21.0, 1.0),
        "sONtOFF_001": (93.5, 64.8, 5.5, 46.0, 31.0, 0.7),
    }[name]
    second = cells.weight_non_dom[i], cells.kpeak_non_dom_ms[i], cells.delay_non_dom_ms[i]
    on, sum_on = createOneUnitOfTwoSubunitFilter(*second, late_on)
    off, sum_off = createOneUnitOfTwoSubunitFilter(*kernel, late_off)
    gain = -factor * (max_off / max_on) * (sum_on / sum_off)
    gain -= spont * (max_off - max_on) / (max_on * sum_off)
    cell = create_two_sub_cell(
        SpatioTemporalFilter(gaussian(), off, amplitude=gain),
        SpatioTemporalFilter(gaussian(), on, amplitude=1.0),
        spont / 2,
        spont / 2,
        cells.subunit_angle_deg[i],
        cells.subunit_distance_deg[i],
        tuple(place * scale),
    )
    # BMTK does not scale the distance to pixels and lets the ON subunit leave the screen.
    angle = np.deg2rad(cells.subunit_angle_deg[i])
    axis = np.array([np.cos(angle), np.sin(angle)])
    away = (place + cells.subunit_distance_deg[i] * axis) * scale
    cell.nondominant_filter.spatial_filter.translate = tuple(
        np.clip(away, 0, [width - 1, height - 1])
    )
    return cell


@pytest.mark.parametrize("field_deg", [(120.0, 80.0), (240.0, 120.0)])
@pytest.mark.parametrize("near_the_edge", [False, True])
def test_agreement_with_bmtk(shared_data, near_the_edge, field_deg):
    """Cells of every class against BMTK FilterNet itself, on a grating and on noise."""
    pytest.importorskip("bmtk")
    from bmtk.simulator.filternet.lgnmodel.movie import Movie

    cells = read_lgn_table(shared_data / "third_party" / "lgn_full_col_cells_120x80.csv")
    inside = (np.abs(cells.x_deg - 60) < 45) & (np.abs(cells.y_deg - 40) < 25)
    at_edge = (np.abs(cells.x_deg - 60) > 58) | (np.abs(cells.y_deg - 40) > 38)
    chosen = np.flatnonzero(at_edge if near_the_edge else inside)
    _, first = np.unique(cells.model_id[chosen], return_index=True)
    cells = cells.take(chosen[first])
    assert len(cells) == 14
    stretch = np.array(field_deg) / cells.field_deg
    cells = replace(
        cells, x_deg=cells.x_deg * stretch[0], y_deg=cells.y_deg * stretch[1], field_deg=field_deg
    )
    width, height = (int(side) for side in field_deg)
    time_s = np.arange(400)[:, np.newaxis, np.newaxis] / 1000
    y_deg, x_deg = np.mgrid[:height, :width]
    grating = 0.8 * np.sin(2 * np.pi * (0.04 * (0.6 * x_deg + 0.8 * y_deg) - 4 * time_s))
    noise = np.random.default_rng(3).uniform(-1, 1, (8, height, width)).repeat(50, axis=0)
    movie = np.concatenate([grating, noise])
    rates = rates_of_movie(lgn_filters(cells), movie)
    shown = Movie(
        movie,
        row_range=np.arange(float(height)),
        col_range=np.arange(float(width)),
        labels=("time", "y", "x"),
        units=("second", "pixel", "pixel"),
        frame_rate=1000.0,
    )
    for i, name in enumerate(cells.model_id.tolist()):
        _, expected = bmtk_cell(cells, i).evaluate(shown, downsample=1, separable=True)
        expected = np.asarray(expected)[: len(movie)]
        assert np.corrcoef(expected, rates[:, i])[0, 1] > 0.9999, name
        assert np.abs(expected - rates[:, i]).mean() < 0.01, name

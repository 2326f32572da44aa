from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from v1sim.errors import MissingExtraError, StimulusError
from v1sim.stimulus import pictures
from v1sim.stimulus.pictures import read_image, read_movie

FIELD = (12, 8)


def save(path, values):
    Image.fromarray(values).save(path)
    return path


def test_a_picture_of_the_fields_size_is_taken_pixel_by_pixel(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (8, 12), dtype=np.uint8)
    seen = read_image(save(tmp_path / "a.png", values), FIELD)
    assert seen.dtype == np.float32
    np.testing.assert_allclose(seen, values / 127.5 - 1, atol=1e-6)


def test_a_larger_picture_is_averaged_and_cut_around_its_middle(tmp_path):
    values = np.zeros(
        (32, 60), dtype=np.uint8
    )  # four times the field, and 6 columns too many a side
    values[:, 6:-6] = np.random.default_rng(0).integers(0, 256, (32, 48), dtype=np.uint8)
    seen = read_image(save(tmp_path / "a.png", values), FIELD)
    mean = values[:, 6:-6].reshape(8, 4, 12, 4).mean(axis=(1, 3))
    np.testing.assert_allclose(seen, mean / 127.5 - 1, atol=1e-5)


def test_a_smaller_picture_is_enlarged(tmp_path):
    values = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
    seen = read_image(save(tmp_path / "a.png", values), FIELD)
    np.testing.assert_allclose(seen, values.repeat(4, 0).repeat(4, 1) / 127.5 - 1, atol=1e-6)


@settings(max_examples=30)
@given(n=st.integers(1, 300), n_field=st.integers(1, 100), cut=st.floats(0.2, 1))
def test_averaging_keeps_a_uniform_picture(n, n_field, cut):
    matrix = pictures._mean_over_pixels(n, n_field, cut * n / n_field)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=1e-4)
    np.testing.assert_allclose(matrix[::-1, ::-1], matrix, atol=1e-4)  # around the middle


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.full((8, 12, 3), (255, 0, 0), dtype=np.uint8), 2 * 0.299 - 1),
        (np.full((8, 12, 3), (0, 255, 255), dtype=np.uint8), 2 * 0.701 - 1),
        (np.full((8, 12, 4), (255, 255, 255, 255), dtype=np.uint8), 1.0),
        (np.full((8, 12), 65535, dtype=np.uint16), 1.0),
        (np.zeros((8, 12), dtype=np.uint16), -1.0),
    ],
)
def test_colours_and_depths(tmp_path, values, expected):
    seen = read_image(save(tmp_path / "a.png", values), FIELD)
    np.testing.assert_allclose(seen, expected, atol=1e-5)


def test_transparent_pixels_are_refused(tmp_path):
    values = np.full((8, 12, 4), 255, dtype=np.uint8)
    values[3, 3, 3] = 254
    with pytest.raises(StimulusError, match="transparent"):
        read_image(save(tmp_path / "a.png", values), FIELD)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numpy_images_are_luminances(tmp_path, dtype):
    values = np.linspace(-1, 1, 96).reshape(8, 12).astype(dtype)
    np.save(tmp_path / "a.npy", values)
    np.testing.assert_allclose(read_image(tmp_path / "a.npy", FIELD), values, atol=1e-6)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.full((8, 12), 1.01), "from 1.01 to 1.01"),
        (np.full((8, 12), np.nan), "nan"),
        (np.zeros((8, 12), dtype=int), "int64"),
        (np.zeros((8, 12), dtype=bool), "bool"),
        (np.zeros((0, 12)), "float64"),
        (np.zeros(12), r"shape \(12,\)"),
        (np.zeros((8, 12, 4)), r"shape \(8, 12, 4\)"),
    ],
)
def test_other_arrays_are_refused(tmp_path, values, message):
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(StimulusError, match=message):
        read_image(tmp_path / "a.npy", FIELD)


@pytest.mark.parametrize(
    "name", ["absent.png", "absent.npy", "text.png", "text.npy", "cut.png", "."]
)
def test_what_is_no_image_is_refused(tmp_path, name):
    noise = np.random.default_rng(0).integers(0, 256, (80, 120), dtype=np.uint8)
    save(tmp_path / "cut.png", noise)
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:2000])
    for text in ("text.png", "text.npy"):
        (tmp_path / text).write_text("no image")
    with pytest.raises(StimulusError, match="cannot be read"):
        read_image(tmp_path / name, FIELD)


def test_numpy_movie(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (5, 16, 24), dtype=np.uint8)
    np.save(tmp_path / "m.npy", values)
    frames, rate = read_movie(tmp_path / "m.npy", FIELD, 25.0)
    assert rate == 25.0
    mean = values.reshape(5, 8, 2, 12, 2).mean(axis=(2, 4))
    np.testing.assert_allclose(frames, mean / 127.5 - 1, atol=1e-5)
    with pytest.raises(StimulusError, match="frame_rate_hz"):
        read_movie(tmp_path / "m.npy", FIELD, None)
    np.save(tmp_path / "m.npy", values[0])
    with pytest.raises(StimulusError, match=r"shape \(16, 24\)"):
        read_movie(tmp_path / "m.npy", FIELD, 25.0)


def test_video(tmp_path):
    av = pytest.importorskip("av")
    level = np.array([16, 60, 128, 200, 235], dtype=np.uint8)
    with av.open(str(tmp_path / "m.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=50)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.bit_rate = 4_000_000
        for value in level:
            frame = av.VideoFrame(96, 64, "yuv420p")
            for plane, fill in zip(frame.planes, (value, 128, 128), strict=True):
                plane.update(bytes([fill]) * plane.buffer_size)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    frames, rate = read_movie(tmp_path / "m.mp4", FIELD, None)
    assert rate == 50.0
    assert frames.shape == (5, 8, 12)
    expected = (level.astype(float) - 16) / 219 * 2 - 1  # from the limited range of video
    np.testing.assert_allclose(frames.mean(axis=(1, 2)), expected, atol=0.03)
    assert read_movie(tmp_path / "m.mp4", FIELD, 10.0)[1] == 10.0
    (tmp_path / "n.mp4").write_bytes(b"no video")
    for name in ("n.mp4", "absent.mp4"):
        with pytest.raises(StimulusError, match="cannot be read"):
            read_movie(tmp_path / name, FIELD, None)


def test_video_without_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtraError, match=r"v1sim\[video\]"):
        read_movie(tmp_path / "m.mp4", FIELD, None)

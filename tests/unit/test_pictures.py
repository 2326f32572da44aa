from __future__ import annotations

import os
import struct
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from v1sim.errors import MissingExtraError, StimulusError
from v1sim.stimulus.luminance import mean_over_pixels
from v1sim.stimulus.pictures import read_images, read_movie

FIELD = (12, 8)


def read_image(path, field_px):
    (decoded,) = read_images([path], field_px)
    (frame,) = decoded.frame
    return frame


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
    matrix = mean_over_pixels(n, n_field, cut * n / n_field)
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
    movie = read_movie(tmp_path / "m.npy", FIELD, 25.0)
    frames = movie.frame
    assert movie.duration_ms.tolist() == [40.0] * 5
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
    movie = read_movie(tmp_path / "m.mp4", FIELD, None)
    frames = movie.frame
    assert movie.duration_ms.tolist() == [20.0] * 5
    assert frames.shape == (5, 8, 12)
    expected = (level.astype(float) - 16) / 219 * 2 - 1  # from the limited range of video
    np.testing.assert_allclose(frames.mean(axis=(1, 2)), expected, atol=0.03)
    assert read_movie(tmp_path / "m.mp4", FIELD, 10.0).duration_ms.tolist() == [100.0] * 5
    (tmp_path / "n.mp4").write_bytes(b"no video")
    for name in ("n.mp4", "absent.mp4"):
        with pytest.raises(StimulusError, match="cannot be read"):
            read_movie(tmp_path / name, FIELD, None)


def test_video_without_its_extra(tmp_path, monkeypatch):
    (tmp_path / "av.py").write_text("raise ImportError('not there')")
    there = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(tmp_path), there])))
    (tmp_path / "m.mp4").write_bytes(b"a video")
    with pytest.raises(MissingExtraError, match=r"v1sim\[video\]"):
        read_movie(tmp_path / "m.mp4", FIELD, None)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "a Git LFS pointer"),
        (b"<!DOCTYPE html><html></html>", "an HTML or XML page"),
        (b"", "empty"),
    ],
)
@pytest.mark.parametrize("name", ["a.png", "a.mp4"])
def test_what_is_in_place_of_a_picture_is_named(tmp_path, content, what, name):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(StimulusError, match=what):
        if name == "a.png":
            read_image(tmp_path / name, FIELD)
        else:
            read_movie(tmp_path / name, FIELD, None)


# --- as viewers show them --------------------------------------------------------------------

#: Bright above, dark below, and brighter to the right.
SCENE = np.clip(np.linspace(250, 20, 8)[:, np.newaxis] + np.linspace(-15, 0, 12), 0, 255).astype(
    np.uint8
)
SHOWN = SCENE / 127.5 - 1


@pytest.mark.parametrize("kind", ["png", "jpg", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_tags_are_followed(tmp_path, kind, orientation):
    """Stored so that the tag turns it upright (EXIF 2.32, tag 274)."""
    stored = {
        1: SCENE, 2: SCENE[:, ::-1], 3: SCENE[::-1, ::-1], 4: SCENE[::-1],
        5: SCENE.T, 6: np.rot90(SCENE), 7: SCENE[::-1, ::-1].T, 8: np.rot90(SCENE, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[274] = orientation
    how = {"jpg": {"quality": 100}, "webp": {"lossless": True}}.get(kind, {})
    path = tmp_path / f"a.{kind}"
    Image.fromarray(np.ascontiguousarray(stored).repeat(8, 0).repeat(8, 1)).save(
        path, exif=exif, **how
    )
    np.testing.assert_allclose(read_image(path, FIELD), SHOWN, atol=0.05)


def test_the_turned_picture_of_the_examples(shared_data):
    folder = shared_data / "cases" / "situations" / "image_exif_turned"
    if not folder.exists():
        pytest.skip("no examples")
    turned, upright = (read_image(folder / f, (120, 80)) for f in ("turned.jpg", "upright.png"))
    np.testing.assert_allclose(turned, upright, atol=0.1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (SCENE.astype(np.float32) / 255, r"32-bit floats from 0\.0"),
        (SHOWN.astype(np.float32), r"32-bit floats from -0\.9"),
        (SCENE.astype(np.int32), "32-bit integers from"),
    ],
)
def test_tiffs_whose_black_nobody_knows_are_refused(tmp_path, values, message):
    with pytest.raises(StimulusError, match=message):
        read_image(save(tmp_path / "a.tif", values), FIELD)


@pytest.mark.parametrize("kind", ["png", "tif"])
@pytest.mark.parametrize(("largest", "bits"), [(255, 8), (4095, 12)])
def test_few_bits_in_sixteen_are_refused(tmp_path, kind, largest, bits):
    values = np.linspace(0, largest, 96).reshape(8, 12).astype(np.uint16)
    with pytest.raises(StimulusError, match=f"as of {bits} bits"):
        read_image(save(tmp_path / f"a.{kind}", values), FIELD)
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(StimulusError, match=f"as of {bits} bits"):
        read_image(tmp_path / "a.npy", FIELD)
    whole = (values * np.uint16(65535 // largest)).astype(np.uint16)
    read_image(save(tmp_path / f"b.{kind}", whole), FIELD)


def test_a_dark_frame_of_a_film_of_sixteen_bits_is_shown(tmp_path):
    values = np.stack([np.full((8, 12), v, dtype=np.uint16) for v in (0, 300, 60000)])
    np.save(tmp_path / "m.npy", values)
    first, *others = [Image.fromarray(frame) for frame in values]
    first.save(tmp_path / "m.tif", save_all=True, append_images=others)
    for name in ("m.npy", "m.tif"):
        seen = read_movie(tmp_path / name, FIELD, 10.0).frame.mean(axis=(1, 2))
        np.testing.assert_allclose(seen, np.array([0, 300, 60000]) / 32767.5 - 1, atol=1e-4)


def pages(path, n=3, **options):
    frames = [Image.fromarray(np.full((8, 12), 100 * i, dtype=np.uint8)) for i in range(n)]
    frames[0].save(path, save_all=True, append_images=frames[1:], **options)
    return path


@pytest.mark.parametrize("kind", ["tif", "gif", "png", "webp"])
def test_several_frames_are_no_image(tmp_path, kind):
    options = {"lossless": True} if kind == "webp" else {}
    path = pages(tmp_path / f"a.{kind}", **options)
    with pytest.raises(StimulusError, match=r"3 frames where one image(?s:.*)kind: movie"):
        read_image(path, FIELD)


@pytest.mark.parametrize("kind", ["gif", "png", "webp"])
def test_animations_are_shown_at_their_own_times(tmp_path, kind):
    options = {"lossless": True} if kind == "webp" else {}
    path = pages(tmp_path / f"a.{kind}", duration=[50, 300, 120], **options)
    movie = read_movie(path, FIELD, None)
    assert movie.duration_ms.tolist() == [50, 300, 120]
    np.testing.assert_allclose(
        movie.frame.mean(axis=(1, 2)), np.array([0, 100, 200]) / 127.5 - 1, atol=0.02
    )
    assert read_movie(path, FIELD, 100.0).duration_ms.tolist() == [10.0] * 3


def test_frames_without_a_delay_are_shown_as_browsers_show_them(tmp_path):
    movie = read_movie(pages(tmp_path / "a.gif", duration=[0, 10, 20]), FIELD, None)
    assert movie.duration_ms.tolist() == [100, 100, 20]
    assert "2 frames of a.gif ask for less than 20 ms" in movie.remarks[0]


def test_pages_of_a_tiff_are_frames_that_need_a_rate(tmp_path):
    path = pages(tmp_path / "a.tif")
    with pytest.raises(StimulusError, match="frame_rate_hz"):
        read_movie(path, FIELD, None)
    assert read_movie(path, FIELD, 50.0).frame.shape == (3, 8, 12)


def test_a_gif_that_was_cut_off_is_refused(tmp_path):
    rng = np.random.default_rng(0)
    frames = [Image.fromarray(rng.integers(0, 255, (80, 120), dtype=np.uint8)) for _ in range(8)]
    path = tmp_path / "a.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=50)
    whole = path.read_bytes()
    assert len(read_movie(path, FIELD, None).frame) == 8
    for part in (0.3, 0.6, 0.95):
        path.write_bytes(whole[: int(part * len(whole))])
        with pytest.raises(StimulusError, match=r"ends before|cannot be read"):
            read_movie(path, FIELD, None)


def test_transparent_animations_are_refused(tmp_path):
    frames = [Image.fromarray(np.full((8, 12, 4), (9, 9, 9, a), np.uint8)) for a in (255, 0)]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], lossless=True)
    with pytest.raises(StimulusError, match="transparent"):
        read_movie(tmp_path / "a.webp", FIELD, None)


def test_sixteen_bits_a_colour_are_not_cut_in_silence(tmp_path, caplog):
    av = pytest.importorskip("av")
    values = np.full((8, 12, 3), 40000, dtype=np.uint16)
    path = tmp_path / "a.png"
    with av.open(str(path), "w", format="image2") as container:
        stream = container.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = 12, 8, "rgb48be"
        frame = av.VideoFrame.from_ndarray(values, format="rgb48le").reformat(format="rgb48be")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    (decoded,) = read_images([path], FIELD)
    np.testing.assert_allclose(decoded.frame, 40000 / 32767.5 - 1, atol=0.01)
    assert "16 bits a colour" in decoded.remarks[0]
    assert "16 bits a colour" in caplog.text


@pytest.mark.parametrize(
    ("values", "is_noted"),
    [
        (np.linspace(0, 1, 8 * 12).reshape(8, 12), True),
        (np.linspace(-1, 1, 8 * 12).reshape(8, 12), False),
        (np.linspace(0, 0.2, 8 * 12).reshape(8, 12), False),
        (np.zeros((8, 12)), False),
        (np.full((8, 12), 255, dtype=np.uint8), False),
    ],
)
def test_floats_from_0_to_1_are_noted_by_name(tmp_path, caplog, values, is_noted):
    np.save(tmp_path / "a.npy", values)
    (image,) = read_images([tmp_path / "a.npy"], FIELD)
    np.save(tmp_path / "m.npy", values[np.newaxis])
    movie = read_movie(tmp_path / "m.npy", FIELD, 10.0)
    for said, name in ((image.remarks, "a.npy"), (movie.remarks, "m.npy")):
        assert len(said) == is_noted
        assert not is_noted or (name in said[0] and name in caplog.text)


def test_a_decoder_that_dies_is_an_error_that_names_the_file(tmp_path, monkeypatch):
    (tmp_path / "PIL").mkdir()
    (tmp_path / "PIL" / "__init__.py").write_text("import os, signal\nos.kill(os.getpid(), 11)\n")
    there = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(tmp_path), there])))
    path = save(tmp_path / "a.png", SCENE)
    with pytest.raises(StimulusError, match=r"a\.png: cannot be read: .* ended by SIGSEGV"):
        read_image(path, FIELD)


def test_a_decoder_that_does_not_end_is_ended(tmp_path, monkeypatch):
    (tmp_path / "PIL").mkdir()
    (tmp_path / "PIL" / "__init__.py").write_text("import time\ntime.sleep(60)\n")
    there = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(tmp_path), there])))
    monkeypatch.setattr("v1sim.stimulus.pictures._SECONDS", 1.0)
    path = save(tmp_path / "a.png", SCENE)
    with pytest.raises(StimulusError, match="the decoder was ended after 1 s"):
        read_image(path, FIELD)


def test_images_of_absurd_size_are_refused_before_they_are_decoded(tmp_path):
    path = tmp_path / "a.png"
    Image.new("L", (10_000, 8_000)).save(path)
    with pytest.raises(StimulusError, match="declares 10,000 x 8,000 pixels"):
        read_image(path, FIELD)


def test_modules_of_the_working_directory_are_not_taken_for_others(tmp_path, monkeypatch):
    path = save(tmp_path / "a.png", SCENE)
    for name in ("json.py", "PIL.py", "numpy.py"):
        (tmp_path / name).write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)
    np.testing.assert_allclose(read_image(path, FIELD), SHOWN, atol=0.01)


# --- videos ----------------------------------------------------------------------------------


def film(path, frames, times_ms=None, *, rate=20, codec="mpeg4", pix_fmt="yuv420p", **options):
    """A video of grey levels, or of frames (rows, columns) or (rows, columns, 4)."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w", options=options.pop("container", {})) as container:
        stream = container.add_stream(codec, rate=rate)
        shape = np.shape(frames[0])[:2] or (64, 96)
        stream.height, stream.width, stream.pix_fmt = *shape, pix_fmt
        if codec == "mpeg4":
            stream.bit_rate = 8_000_000
        for name, value in options.items():
            setattr(stream.codec_context, name, value)
        stream.codec_context.time_base = Fraction(1, 1000)
        for i, values in enumerate(frames):
            grey = np.broadcast_to(np.asarray(values, np.uint8), (*shape, *np.shape(values)[2:]))
            if grey.ndim == 2:
                grey = np.stack([grey] * 3, axis=2)
            kind = "rgba" if grey.shape[2] == 4 else "rgb24"
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(grey), format=kind)
            frame.pts = round(i * 1000 / rate) if times_ms is None else times_ms[i]
            frame.time_base = Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_videos_are_shown_at_their_own_times(tmp_path):
    times_ms = [0, 50, 100, 150, 1000, 1500]
    path = film(tmp_path / "m.mkv", [16, 16, 16, 16, 235, 235], times_ms)
    movie = read_movie(path, FIELD, None)
    assert movie.duration_ms[:-1].tolist() == [50, 50, 50, 850, 500]
    assert 20 <= movie.duration_ms[-1] <= 500
    assert read_movie(path, FIELD, 10.0).duration_ms.tolist() == [100.0] * 6


def test_time_stamps_that_were_rounded_leave_a_film_even(tmp_path):
    path = film(tmp_path / "m.mkv", [16] * 30, rate=30)
    np.testing.assert_allclose(read_movie(path, FIELD, None).duration_ms, 1000 / 30)


@pytest.mark.parametrize("part", [0.4, 0.6, 0.9])
def test_a_film_that_was_cut_off_is_refused(tmp_path, part):
    noise = np.random.default_rng(0).integers(0, 255, (60, 64, 96), dtype=np.uint8)
    path = film(tmp_path / "m.mkv", list(noise))
    assert len(read_movie(path, FIELD, None).frame) == 60
    whole = path.read_bytes()
    path.write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(StimulusError, match=r"ends after|damaged|cannot be read"):
        read_movie(path, FIELD, None)


def test_transparent_films_are_refused(tmp_path):
    opaque, clear = (np.full((64, 96, 4), (9, 9, 9, a), dtype=np.uint8) for a in (255, 0))
    path = film(tmp_path / "m.mov", [opaque, clear], codec="png", pix_fmt="rgba")
    with pytest.raises(StimulusError, match="transparent"):
        read_movie(path, FIELD, None)
    path = film(tmp_path / "n.mov", [opaque, opaque], codec="png", pix_fmt="rgba")
    assert len(read_movie(path, FIELD, None).frame) == 2


def with_matrix(path, a, b, c, d):
    """Write a display matrix into an mp4's track header (ISO 14496-12, 8.3.2)."""
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 44
    fixed = 1 << 16
    content[place : place + 36] = struct.pack(
        ">9i", a * fixed, b * fixed, 0, c * fixed, d * fixed, 0, 0, 0, 1 << 30
    )
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("matrix", "stored"),
    [
        ((1, 0, 0, 1), lambda v: v),
        ((-1, 0, 0, -1), lambda v: v[::-1, ::-1]),
        ((0, 1, -1, 0), np.rot90),  # to be turned clockwise
        ((0, -1, 1, 0), lambda v: np.rot90(v, -1)),
        ((-1, 0, 0, 1), lambda v: v[:, ::-1]),
    ],
)
def test_display_matrices_are_followed(tmp_path, matrix, stored):
    values = np.ascontiguousarray(stored(SCENE)).repeat(16, 0).repeat(16, 1)
    path = with_matrix(film(tmp_path / "m.mp4", [values] * 3), *matrix)
    np.testing.assert_allclose(read_movie(path, FIELD, None).frame[1], SHOWN, atol=0.1)


def test_films_turned_by_other_angles_are_refused(tmp_path):
    path = with_matrix(film(tmp_path / "m.mp4", [99] * 3), 1, 1, -1, 1)
    with pytest.raises(StimulusError, match="no multiple of 90"):
        read_movie(path, FIELD, None)


def test_oblong_pixels_are_as_wide_as_they_are(tmp_path):
    """48 columns of pixels twice as wide as high are 96 columns."""
    half = SCENE.repeat(8, 0).repeat(4, 1)
    path = film(tmp_path / "m.mkv", [half] * 3, sample_aspect_ratio=Fraction(2, 1))
    np.testing.assert_allclose(read_movie(path, FIELD, None).frame[1], SHOWN, atol=0.1)


def test_ten_bits_are_not_cut_to_eight(tmp_path):
    av = pytest.importorskip("av")
    path = tmp_path / "m.mkv"
    level = np.array([[30_001, 30_091]], dtype=np.uint16).repeat(64, 0).repeat(48, 1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=20)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "gray16le"
        frame = av.VideoFrame.from_ndarray(level, format="gray16le")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    seen = read_movie(path, FIELD, 20.0).frame[0]
    assert seen[0, -1] - seen[0, 0] == pytest.approx(90 / 32767.5, rel=0.05)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("video_download_broken_off/part.mkv", "its header says 3 s"),
        ("video_transparent/clear.mov", "transparent"),
        ("image_float_tiff_black/float.tif", "32-bit floats from 0 to 1"),
    ],
)
def test_the_examples_are_refused_by_name(shared_data, name, message):
    path = shared_data / "cases" / "situations" / name
    if not path.exists():
        pytest.skip("no examples")
    with pytest.raises(StimulusError, match=message):
        if path.suffix == ".tif":
            read_image(path, FIELD)
        else:
            read_movie(path, FIELD, None)


def test_the_variable_film_of_the_examples(shared_data):
    path = shared_data / "cases" / "situations" / "video_variable_frame_rate" / "variable.mp4"
    if not path.exists():
        pytest.skip("no examples")
    movie = read_movie(path, FIELD, None)
    is_white = movie.frame.mean(axis=(1, 2)) > 0
    assert movie.duration_ms[~is_white].sum() == pytest.approx(1000, abs=2)
    assert movie.duration_ms[is_white].sum() == pytest.approx(1000, abs=2)

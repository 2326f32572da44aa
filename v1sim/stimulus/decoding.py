"""Image and movie files decoded by Pillow and FFmpeg (PyAV), in a process that may die.

`v1sim.stimulus.pictures` starts a Python that calls `main`, and reads what it leaves.
A decoder that a damaged file makes crash then takes nothing with it.

Pictures are shown as viewers show them: turned as their orientation tag or display matrix
says, with pixels as oblong as they are, frames at their own times. What cannot be shown
so is refused by name: transparent pixels, several frames where one image is meant, values
whose black and white nobody knows, files that end early.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from v1sim.errors import MissingExtraError, StimulusError
from v1sim.stimulus.luminance import filled, luminances

__all__ = ["DECODERS", "Decoded", "decoded_image", "decoded_movie", "main"]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

#: Formats of Pillow that hold several frames. Cameras put a second view into MPO; viewers show one.
_ANIMATED = ("GIF", "PNG", "TIFF", "WEBP")
_SHOW_ALL = "stimulus.kind: movie shows all frames; or save the one that is meant"
#: Viewers show shorter frames of a GIF for the time that follows, ms.
_SHORTEST_GIF_MS, _VIEWERS_GIF_MS = 20.0, 100.0
#: A camera's picture has fewer; damaged headers say any number.
_MOST_PIXELS = 64e6
#: Time stamps of an even film may be off by that: files round them.
_ROUNDING_MS = 1.01


@dataclass(frozen=True, eq=False)
class Decoded:
    """Frames (f, height, width) as -1..1, and for how long each is shown, ms (f,), if known."""

    frame: F32
    duration_ms: F64 | None = None
    remarks: tuple[str, ...] = ()


def decoded_image(path: Path, field_px: tuple[int, int]) -> Decoded:
    """One image, as viewers show it.

    Raises
    ------
    StimulusError
        If it cannot be read, or not be shown as it is meant.
    """
    with _opened_image(path) as image:
        n_frames = getattr(image, "n_frames", 1)
        if n_frames > 1 and image.format != "MPO":
            raise StimulusError(
                f"{n_frames} frames where one image is meant",
                where=str(path),
                expected="a single image",
                hint=_SHOW_ALL,
            )
        values, remarks = _pixels(image, path)
    (shown,) = luminances([values], str(path))
    return Decoded(filled(shown, field_px)[np.newaxis], None, remarks)


def decoded_movie(path: Path, field_px: tuple[int, int]) -> Decoded:
    """All frames of a movie.

    Raises
    ------
    StimulusError
        If it cannot be read to its end, or not be shown as it is meant.
    MissingExtraError
        If it is a video and PyAV is not installed.
    """
    if _is_of_pillow(path):
        return _animation(path, field_px)
    return _video(path, field_px)


def _is_of_pillow(path: Path) -> bool:
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.format in _ANIMATED
    except Exception:  # Pillow raises many kinds; FFmpeg says what is wrong
        return False


@contextmanager
def _opened_image(path: Path) -> Iterator[Any]:
    """A Pillow image; whatever goes wrong with it becomes a `StimulusError`."""
    from PIL import Image

    try:
        # From memory: Pillow 13 maps uncompressed TIFF files with a wrong length of their rows
        # where a tag turns them by 90 degrees.
        with Image.open(io.BytesIO(path.read_bytes())) as image:
            _refuse_absurd_size(*image.size, path)
            yield image
    except StimulusError:
        raise
    except Exception as error:  # Pillow raises many kinds
        seen = f"cannot be read: {' '.join(str(error).split()) or type(error).__name__}"
        raise StimulusError(
            seen[:300], where=str(path), expected="a PNG or other image file, whole"
        ) from error


def _refuse_absurd_size(width: int, height: int, path: Path) -> None:
    if width * height > _MOST_PIXELS:
        raise StimulusError(
            f"declares {width:,} x {height:,} pixels",
            where=str(path),
            expected=f"at most {_MOST_PIXELS:,.0f} pixels",
            hint="if that is meant, make it smaller: the field is shown at one pixel a degree",
        )


def _pixels(image: Any, path: Path) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Values of a frame, (rows, columns) or (rows, columns, 3), turned as its tag says."""
    from PIL import ImageOps

    raw_modes = {str(tile[3]) for tile in getattr(image, "tile", []) if len(tile) > 3}
    image.load()
    shown = ImageOps.exif_transpose(image)
    if shown.mode in ("F", "I") and not (shown.mode == "I" and image.format == "PNG"):
        values = np.asarray(shown)
        kind = "32-bit floats" if shown.mode == "F" else "32-bit integers"
        raise StimulusError(
            f"{kind} from {values.min():g} to {values.max():g}, of which nothing says what is "
            "black and what is white",
            where=str(path),
            expected="8 or 16 bits",
            hint="save luminances from -1 to 1 as .npy, or 8 or 16 bits",
        )
    if "A" in shown.getbands() or "a" in shown.getbands() or "transparency" in shown.info:
        values = np.asarray(shown.convert("RGBA"))
        if values[..., 3].min() < 255:
            raise StimulusError(
                "the image has transparent pixels",
                where=str(path),
                expected="a luminance everywhere",
                hint="put it on a background",
            )
        values = values[..., :3]
    elif shown.mode == "I":  # 16 bits, as older Pillows read them
        values = np.asarray(shown).astype(np.uint16)
    else:
        one_band = shown.mode in ("L", "I;16", "I;16B", "I;16L")
        values = np.asarray(shown if one_band else shown.convert("RGB"))
        if shown.mode.startswith("I;16"):
            values = values.astype(np.uint16)
    if values.dtype == np.uint8 and any("16" in mode for mode in raw_modes):
        said = f"{path.name} has 16 bits a colour, of which the upper 8 are shown."
        return values, (said,)
    return values, ()


def _animation(path: Path, field_px: tuple[int, int]) -> Decoded:
    """Frames of a GIF, PNG or WebP at their own times, or all pages of a TIFF."""
    pages, durations_ms = [], []
    remarks: list[str] = []
    with _opened_image(path) as image:
        _refuse_gif_without_end(image, path)
        for index in range(getattr(image, "n_frames", 1)):
            image.seek(index)
            values, said = _pixels(image, path)
            remarks += said
            pages.append(values)
            durations_ms.append(float(image.info.get("duration") or 0.0))
        frames = [filled(shown, field_px) for shown in luminances(pages, str(path))]
        if image.format == "TIFF":
            return Decoded(np.stack(frames), None, tuple(dict.fromkeys(remarks)))
        n_short = sum(duration < _SHORTEST_GIF_MS for duration in durations_ms)
    if n_short and len(frames) > 1:
        durations_ms = [
            _VIEWERS_GIF_MS if duration < _SHORTEST_GIF_MS else duration
            for duration in durations_ms
        ]
        remarks.append(
            f"{n_short} frames of {path.name} ask for less than {_SHORTEST_GIF_MS:g} ms: they are "
            f"shown for {_VIEWERS_GIF_MS:g} ms, as viewers do (stimulus.frame_rate_hz says another "
            "rate)."
        )
    if len(frames) == 1:
        return Decoded(np.stack(frames), None, tuple(remarks))
    return Decoded(np.stack(frames), np.array(durations_ms), tuple(dict.fromkeys(remarks)))


def _refuse_gif_without_end(image: Any, path: Path) -> None:
    """Pillow takes the end of the file for the end of the film."""
    if image.format != "GIF":
        return
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - 64))
        tail = stream.read().rstrip(b"\0\r\n ")
    if not tail.endswith(b";"):
        raise _ends_early("the file ends before the film does", path)


def _ends_early(seen: str, path: Path) -> StimulusError:
    return StimulusError(
        seen, where=str(path), expected="a whole film", hint="copy or download the file again"
    )


# --- videos ----------------------------------------------------------------------------------


def _video(path: Path, field_px: tuple[int, int]) -> Decoded:
    try:
        import av
    except ImportError:
        raise MissingExtraError("av", "video", f"reading the video {path.name}") from None
    try:
        with av.open(str(path)) as container:
            streams = [s for s in container.streams.video if not _is_cover(s)]
            if not streams:
                raise StimulusError("no video in it", where=str(path), expected="a video file")
            stream = streams[0]
            if stream.metadata.get("alpha_mode") == "1":
                raise _transparent(path)
            _refuse_absurd_size(stream.width, stream.height, path)
            aspect = float(stream.sample_aspect_ratio or 1) or 1.0
            frames: list[F32] = []
            times_s: list[float | None] = []
            for shown in container.decode(stream):
                if shown.is_corrupt:
                    seen = f"frame {len(frames)} is damaged"
                    raise StimulusError(seen, where=str(path), expected="a whole film")
                frames.append(_shown(shown, aspect, field_px, path))
                times_s.append(shown.time)
            rate = float(stream.average_rate or 0)
            end_s = _declared_end_s(container, stream)
    except StimulusError:
        raise
    except Exception as error:  # FFmpeg and PyAV raise many kinds
        seen = f"cannot be read: {' '.join(str(error).split()) or type(error).__name__}"
        raise StimulusError(seen[:300], where=str(path), expected="a video file, whole") from error
    if not frames:
        raise StimulusError("no frames", where=str(path), expected="a video file")
    return Decoded(np.stack(frames), _durations_ms(times_s, rate, end_s, path))


def _is_cover(stream: Any) -> bool:
    """Whether a stream is a picture that goes with music, for example."""
    return "attached_pic" in str(getattr(stream, "disposition", "")).lower()


def _transparent(path: Path) -> StimulusError:
    return StimulusError(
        "the film has transparent pixels",
        where=str(path),
        expected="a luminance everywhere",
        hint="put it on a background",
    )


def _shown(frame: Any, aspect: float, field_px: tuple[int, int], path: Path) -> F32:
    """One frame of a video as it fills the field."""
    components = frame.format.components
    has_alpha = frame.format.name == "pal8" or any(c.is_alpha for c in components)
    if has_alpha and frame.to_ndarray(format="rgba")[..., 3].min() < 255:
        raise _transparent(path)
    # Limited-range video comes out as 0 to the largest value all the same.
    depth = max((component.bits for component in components), default=8)
    values = frame.to_ndarray(format="gray16le" if depth > 8 else "gray")
    values, aspect = _turned(values, aspect, _display_matrix(frame), path)
    # Not `luminances`: what is 12 bits in 16 is scaled by FFmpeg, and may well be dark.
    middle = 32767.5 if values.dtype == np.uint16 else 127.5
    return filled(values.astype(np.float32) / np.float32(middle) - 1, field_px, aspect)


def _display_matrix(frame: Any) -> NDArray[np.int32] | None:
    """a, b, c, d of the matrix that a file gives for showing its frames; None without one."""
    for data in frame.side_data:
        if getattr(data.type, "name", "") == "DISPLAYMATRIX":
            a, b, _, c, d, *_ = np.frombuffer(bytes(data), dtype=np.int32)
            return np.array([a, b, c, d])
    return None


def _turned(
    values: NDArray[Any], aspect: float, matrix: NDArray[np.int32] | None, path: Path
) -> tuple[NDArray[Any], float]:
    """A frame turned and mirrored: x' = a x + c y, y' = b x + d y."""
    if matrix is None:
        return values, aspect
    a, b, c, d = matrix.tolist()
    if a and d and not (b or c):
        return values[:: 1 if d > 0 else -1, :: 1 if a > 0 else -1], aspect
    if b and c and not (a or d):
        return values.T[:: 1 if b > 0 else -1, :: 1 if c > 0 else -1], 1 / aspect
    raise StimulusError(
        "the film is to be shown turned by an angle that is no multiple of 90 degrees",
        where=str(path),
        expected="an upright film",
        hint="turn it with a video program",
    )


def _declared_end_s(container: Any, stream: Any) -> float | None:
    """Where the film ends by what the file says, from its first frame on; None without a word."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    text = stream.metadata.get("DURATION", "")
    try:
        hours, minutes, seconds = (float(part) for part in text.split(":"))
        return 3600 * hours + 60 * minutes + seconds
    except ValueError:
        pass
    others = any(other.type != "video" for other in container.streams)
    return None if others or not container.duration else container.duration / 1e6


def _durations_ms(
    times_s: list[float | None], rate_hz: float, end_s: float | None, path: Path
) -> F64:
    """For how long each frame is shown."""
    n = len(times_s)
    even_ms = 1000.0 / rate_hz if rate_hz else None
    known = [time_s for time_s in times_s if time_s is not None]
    if len(known) < n:
        if even_ms is None:
            raise StimulusError(
                "nothing says how fast its frames follow each other",
                where=str(path),
                expected="frame_rate_hz",
                hint="--set stimulus.frame_rate_hz=30",
            )
        return np.full(n, even_ms)
    onset_ms = (np.array(known) - known[0]) * 1000.0
    if n > 1 and np.diff(onset_ms).min() <= 0:
        raise StimulusError(
            "time stamps that do not ascend",
            where=str(path),
            expected="frames one after the other",
            hint="--set stimulus.frame_rate_hz=30 shows them evenly",
        )
    even = even_ms is not None and (np.abs(onset_ms - even_ms * np.arange(n)).max() <= _ROUNDING_MS)
    last_ms = even_ms if even or n == 1 else float(np.diff(onset_ms)[-1])
    stop_ms = onset_ms[-1] + (last_ms or 40.0)
    if end_s is not None:
        declared_ms = end_s * 1000.0
        missing_ms = declared_ms - stop_ms
        usual_ms = stop_ms / n
        if missing_ms > max(2.5 * usual_ms, 0.02 * declared_ms) and (
            even or missing_ms > 0.1 * declared_ms
        ):
            raise _ends_early(
                f"the film ends after {stop_ms / 1000:.3g} s, its header says "
                f"{declared_ms / 1000:.3g} s",
                path,
            )
        if not even and declared_ms > onset_ms[-1]:
            stop_ms = declared_ms
    if even and even_ms is not None:
        return np.full(n, even_ms)
    return np.diff(onset_ms, append=stop_ms)


# --- the process -------------------------------------------------------------------------------

DECODERS = {"image": decoded_image, "movie": decoded_movie}


def main(arguments: list[str]) -> None:
    """Decode files, one after the other, and leave each in a folder: ``KIND W H FOLDER FILE...``.

    ``i.json`` is there when file i is done: remarks, or what is wrong with it.
    """
    kind, width, height, folder, *files = arguments
    for index, file in enumerate(files):
        found: dict[str, Any]
        try:
            decoded = DECODERS[kind](Path(file), (int(width), int(height)))
        except MissingExtraError as error:
            found = {"missing": True, "seen": error.seen}
        except StimulusError as error:
            found = {"seen": error.seen, "expected": error.expected, "hint": error.hint}
        else:
            np.save(Path(folder) / f"{index}.npy", decoded.frame)
            found = {
                "remarks": decoded.remarks,
                "duration_ms": None
                if decoded.duration_ms is None
                else decoded.duration_ms.tolist(),
            }
        (Path(folder) / f"{index}.json").write_text(json.dumps(found), encoding="utf-8")

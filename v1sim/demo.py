"""``v1sim demo``: what the guards are for, shown on a small network that was really trained.

The network, its checkpoint, its untrained twin, the file that a converter writes when it finds no
checkpoint, and its stimuli are part of the package (made by ``scripts/train_small.py``).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import as_file, files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from v1sim import api
from v1sim.conversion.convert import Conversion
from v1sim.model import CheckReport
from v1sim.output import new_folder
from v1sim.report.comparison import in_words, write_comparison_html
from v1sim.verdict import REQUIRED

__all__ = ["Step", "demonstrate"]

#: Files of the package, by what they are.
_FILES = (
    "trained.h5",
    "untrained.h5",
    "fallback.h5",
    "stimuli.h5",
    "ckpt.index",
    "ckpt.data-00000-of-00001",
)


@dataclass(frozen=True)
class Step:
    """One step: what a person would type, and what comes of it."""

    typed: str
    seen: str


def demonstrate(
    out: Path, progress: Callable[[str, float, float], None], *, force: bool = False
) -> Iterator[Step]:
    """Go through the demonstration; files and pages are left in a folder.

    Parameters
    ----------
    out : Path
        The folder to make.
    progress : callable
        Told of the runs: ``(stage, done, total)``.
    force : bool
        Whether to replace the folder.

    Yields
    ------
    Step
        As each is done.

    Raises
    ------
    OutputError
        If the folder is there already, or cannot be written.
    """
    with new_folder(out, force=force) as made:
        for name in _FILES:
            with as_file(files("v1sim") / "data" / "demo" / name) as path:
                shutil.copyfile(path, made.temporary / name)
    trained, untrained, fallback = (out / f"{n}.h5" for n in ("trained", "untrained", "fallback"))

    report = api.check(trained)
    yield Step(f"v1sim check {trained}", f"{report.outcome}: {_arrays(report)}")

    report = api.check(fallback)
    yield Step(
        f"v1sim check {fallback}",
        f"{report.outcome}: {report.blocking[0].message}\n"
        "This is what a converter leaves that finds no checkpoint: the weights before training,\n"
        "under the name of the trained ones.",
    )

    typed = f"v1sim convert {out / 'ckpt'} --out {out / 'converted.h5'}"
    if find_spec("tensorflow") is None:
        yield Step(typed, "left out: it needs TensorFlow (pip install 'v1sim[convert]')")
    else:
        done = api.convert(out / "ckpt", out / "converted.h5")
        assert isinstance(done, Conversion)
        yield Step(typed, f"{done.kind}: {done.reason}")

    runs = []
    for network, options in (
        (trained, {}),
        (untrained, {f"waive.{REQUIRED}": "shown beside the trained network"}),
    ):
        run = api.run(
            _classification(out, network, options), out=out / network.stem, progress=progress
        )
        runs.append(run)
        waived = "".join(f" --waive '{REQUIRED}={reason}'" for reason in options.values())
        results = run.report.results
        decided = results.classification
        yield Step(
            f"v1sim run configs/classify.yaml --set network={network}{waived}",
            decided.in_words if decided else f"{results.mean_rate_hz} Hz",
        )
    comparison = api.compare(*reversed(runs))
    write_comparison_html(comparison.document, out / "comparison.html")
    (difference,) = comparison.document.differences
    sentence = in_words(comparison.document, difference)
    yield Step(
        f"v1sim compare {runs[1].folder} {runs[0].folder} --html {out / 'comparison.html'}",
        f"{sentence}\nThe page: {out / 'comparison.html'}",
    )


def _arrays(report: CheckReport) -> str:
    """What each array of weights is, and why."""
    return "; ".join(f"{name} {held.verdict}: {held.why}" for name, held in report.arrays.items())


def _classification(out: Path, network: Path, options: dict[str, str]) -> dict[str, Any]:
    """configs/classify.yaml, on the files of this folder."""
    return {
        "name": network.stem,
        "network": network,
        "waive": {key.removeprefix("waive."): why for key, why in options.items()},
        "stimulus": {"kind": "probabilities", "file": out / "stimuli.h5", "divide_by": 1.3},
        "background": "shared_binomial",
    }

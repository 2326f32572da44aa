"""The checkpoints of the matrix that lie in ``tests/data/checkpoints``, and how to write them."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from tests.checkpoints.truth import Storage, read_cases

__all__ = ["FIXTURES", "SELECTED", "write_fixtures"]

FIXTURES = Path(__file__).parents[1] / "data" / "checkpoints"

#: Entries of the matrix, and the storage that is kept of each.
SELECTED: tuple[tuple[str, Storage], ...] = (
    ("keras/adam/not built", "whole"),
    ("keras/adam/built", "index"),
    ("keras/adam/trained", "index"),
    ("keras/adam/trained, no zeros", "slices"),
    ("keras/adam/trained", "shards"),
    ("keras/adam/recurrent frozen", "whole"),
    ("keras/adam/input frozen", "whole"),
    ("keras/adam/no gradient for recurrent", "index"),
    ("keras/adam/new optimizer, built", "whole"),
    ("keras/adam/saved again, not built", "whole"),
    ("keras/adamw/no gradient for recurrent", "whole"),
    ("keras/lion/trained, no zeros", "index"),
    ("keras/muon/trained, no zeros", "whole"),
    ("keras/rmsprop-centered/trained, no zeros", "whole"),
    ("keras/adadelta/no gradient for input", "whole"),
    ("keras/adagrad/trained, no zeros", "whole"),
    ("keras/adagrad/no gradient for recurrent", "whole"),
    ("keras/adagrad-0/no gradient for recurrent", "whole"),
    ("keras/adagrad-1/no gradient for recurrent", "whole"),
    ("keras/ftrl/no gradient for recurrent", "whole"),
    ("keras/adafactor/no gradient for recurrent", "whole"),
    ("keras/schedule-free/no gradient for recurrent", "whole"),
    ("keras/sgd/trained, no zeros", "whole"),
    ("keras/sgd/trained", "whole"),
    ("keras/sgd/recurrent frozen", "whole"),
    ("keras/sgd-momentum/trained, no zeros", "whole"),
    ("keras/adam+average/trained, no zeros", "whole"),
    ("keras/adam+average/no gradient for recurrent", "whole"),
    ("keras/sgd+accumulate-2/trained", "whole"),
    ("keras/adam+accumulate-2/no update yet", "whole"),
    ("keras/adam+loss-scale/trained, no zeros", "whole"),
    ("keras/two: adam, sgd/both trained", "whole"),
    ("keras/two: sgd, adam/both trained", "whole"),
    ("keras/two: adam, adam/recurrent untouched", "whole"),
    ("keras/multi: adam, sgd/no gradient for recurrent", "whole"),
    ("keras/adam tracked as opt/no gradient for recurrent", "whole"),
    ("keras/sgd, own variable iteration/before training", "whole"),
    ("keras-module/adam in a trainer/trained", "whole"),
    ("keras-bfloat16/adam/trained", "whole"),
    ("keras-bfloat16/sgd/trained", "whole"),
    ("keras/adam, compiled/trained", "index"),
    ("tf_keras/adam/no gradient for recurrent", "whole"),
    ("tf_keras/adam+average/no gradient for recurrent", "whole"),
    ("tf_keras/sgd/recurrent frozen", "whole"),
    ("legacy/adagrad/no gradient for recurrent", "whole"),
    ("legacy/sgd/no gradient for recurrent", "whole"),
)


def write_fixtures() -> None:
    """Make the fixtures anew."""
    from tests.checkpoints.matrix import matrix
    from tests.checkpoints.storage import Writer

    wanted = dict.fromkeys(f"{name}/{storage}" for name, storage in SELECTED)
    names = {name for name, _ in SELECTED}
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary) / "made"
        root.mkdir()
        writer = Writer(root)
        made = {name: make for name, make in matrix() if name in names}
        if missing := names - set(made):
            message = f"not in the matrix: {sorted(missing)}"
            raise SystemExit(message)
        for make in made.values():
            make(writer)
        shutil.rmtree(FIXTURES, ignore_errors=True)
        FIXTURES.mkdir(parents=True)
        cases = [case for case in read_cases(root) if case.name in wanted]
        for number, case in enumerate(sorted(cases, key=lambda case: case.name)):
            start = FIXTURES / "start" / case.start.parent.name
            if not start.exists():
                shutil.copytree(case.start.parent, start, ignore=_not_the_state_file)
            folder = FIXTURES / f"{number:02d}"
            shutil.copytree(case.checkpoint.parent, folder, ignore=_not_the_state_file)
            replace(
                case,
                checkpoint=folder / case.checkpoint.name,
                now=None,
                start=start / case.start.name,
                initial=start / case.initial.name,
                data_dir=None,
            ).write(FIXTURES)
    size = sum(path.stat().st_size for path in FIXTURES.rglob("*") if path.is_file())
    print(f"{len(cases)} checkpoints in {FIXTURES}, {size / 1e6:.2f} MB")


def _not_the_state_file(folder: str, names: list[str]) -> list[str]:
    """TensorFlow's file ``checkpoint`` holds paths of this machine."""
    return [name for name in names if name == "checkpoint"]

"""Checkpoints that trainers really write, each with its right answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.checkpoints import tensorflow
from v1sim import guard
from v1sim.conversion.convert import Conversion, convert, stamp
from v1sim.conversion.inspection import Inspection, inspect_checkpoint
from v1sim.errors import CheckpointError
from v1sim.sources import open_network


@pytest.fixture(scope="module")
def cases(shared_data) -> Path:
    tensorflow()
    return shared_data / "cases/checkpoints"


def prefix_of(folder: Path) -> Path:
    index = next(folder.glob("*.index"))
    return index.with_suffix("")


def looked_into(cases: Path, name: str) -> Inspection:
    return inspect_checkpoint(prefix_of(cases / name))


def converted(cases: Path, name: str, out: Path, **options) -> Conversion:
    return convert(prefix_of(cases / name), out, command="v1sim convert", **options)


@pytest.mark.parametrize(
    ("name", "kind", "recurrent", "says"),
    [
        ("adam-accumulation-no-update", "undetermined", "undetermined", "made no update yet"),
        ("iteration-variable-of-the-program", "undetermined", "undetermined", "has not taken a"),
        ("adagrad-no-recurrent-gradient", "mixed", "initial", "one value everywhere"),
        ("sgd-frozen-recurrent", "mixed", "frozen", "optimizer holds other weights"),
        ("adam-tracked-as-opt-no-recurrent-gradient", "mixed", "initial", "all 0 after 4 updates"),
        ("adam-ema-no-recurrent-gradient", "mixed", "initial", "all 0 after 4 updates"),
    ],
)
def test_weights_that_no_gradient_reached_are_refused(cases, tmp_path, name, kind, recurrent, says):
    seen = looked_into(cases, name)
    assert (seen.kind, seen.claims["recurrent"].origin) == (kind, recurrent)
    assert says in seen.claims["recurrent"].why
    out = tmp_path / "net.h5"
    with pytest.raises(CheckpointError, match=r"not trained|nothing shows") as caught:
        converted(cases, name, out)
    assert says in str(caught.value)
    assert "before training:" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    done = converted(cases, name, out, allow_untrained=True)
    assert done.network.provenance.kind == kind
    for policy in (guard.Policy(), guard.Policy(checkpoint=prefix_of(cases / name))):
        report = guard.examine(open_network(out), policy)
        assert not report.passed
        assert report.verdict != "trained"


@pytest.mark.parametrize(
    ("name", "rests_on"),
    [
        ("loss-scale-learning-rate", "optimizer"),
        ("sliced-shards", "optimizer"),
        ("two-optimizers-adam-sgd", "optimizer"),
        ("recompiled-new-optimizer", "exact zeros"),
        ("savedmodel-of-export", "exact zeros"),
    ],
)
def test_trained_weights_are_converted_and_proven(cases, tmp_path, name, rests_on):
    assert looked_into(cases, name).kind == "trained"
    out = tmp_path / "net.h5"
    done = converted(cases, name, out)
    assert (done.kind, done.claims["recurrent"].rests_on) == ("trained", rests_on)
    assert done.comparison.equal
    again = stamp(out, Path(f"{prefix_of(cases / name)}.index"), command="v1sim stamp")
    assert again.comparison.equal
    assert again.kind == "trained"


def test_a_wrapped_optimizers_own_scalars(cases):
    seen = looked_into(cases, "loss-scale-learning-rate")
    assert seen.evidence.learning_rate == pytest.approx(0.1)
    assert seen.evidence.iterations == 6
    assert seen.claims["recurrent"].evidence.optimizer == "optimizer/inner_optimizer"


def test_each_table_has_its_own_optimizer(cases):
    claims = looked_into(cases, "two-optimizers-adam-sgd").claims
    of = {table: (c.evidence.optimizer, c.evidence.family) for table, c in claims.items()}
    assert of["recurrent"] == ("optimizer_recurrent", "Adam")
    assert of["input"] == ("optimizer_input", "SGD")
    assert claims["input"].origin != "frozen"
    assert claims["input"].evidence.iterations == 4


def test_a_new_optimizer_is_said_to_have_taken_no_step(cases):
    claimed = looked_into(cases, "recompiled-new-optimizer").claims["recurrent"]
    assert "optimizer has not taken a step" in claimed.why
    assert "6.1% of them are exactly zero" in claimed.why


def test_signs_that_averages_changed_are_said_to_be_theirs(cases, tmp_path):
    with pytest.raises(CheckpointError) as caught:
        converted(cases, "ema-after-fit-signs", tmp_path / "net.h5")
    message = str(caught.value)
    assert "moving averages" in message
    assert "fit() wrote them over the weights" in message
    assert "not of the same training" not in message
    assert looked_into(cases, "ema-after-fit-signs").problems  # inspect says so, too


def test_bfloat16_is_read_and_said_to_be_widened(cases, tmp_path):
    """Moments do not show that the weights changed: 1 - 0.999 is 0 in bfloat16, and so was Adam's
    step in this training.
    """
    out = tmp_path / "net.h5"
    with pytest.raises(CheckpointError, match="bfloat16 may lose all that a step adds"):
        converted(cases, "bfloat16-variables", out)
    done = converted(cases, "bfloat16-variables", out, allow_untrained=True)
    assert any("bfloat16, widened to float32, which is exact" in note for note in done.notes)
    assert done.comparison.equal
    again = stamp(out, prefix_of(cases / "bfloat16-variables"), command="")
    assert again.comparison.equal


@pytest.mark.parametrize("name", ["x.keras", "x.weights.h5"])
def test_files_of_keras_are_refused_with_the_lines_that_write_a_checkpoint(cases, tmp_path, name):
    with pytest.raises(CheckpointError) as caught:
        convert(cases / "keras-files" / name, tmp_path / "net.h5", command="")
    message = str(caught.value)
    assert "of Keras" in message
    assert "tf.train.Checkpoint(model=model, optimizer=model.optimizer).write(" in message
    assert "there are no checkpoints" not in message

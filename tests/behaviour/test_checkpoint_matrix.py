"""What v1sim says of checkpoints of every optimizer and situation, judged by their making.

The fixtures are a part of the matrix of `tests.checkpoints.matrix`, made by TensorFlow
(``python -m tests.checkpoints --write-fixtures``) and judged without it; the slow test makes and
judges more of it, and ``python -m tests.checkpoints --all`` the whole.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.checkpoints import tensorflow
from tests.checkpoints.fixtures import FIXTURES, SELECTED
from tests.checkpoints.judge import judge, v1sim
from tests.checkpoints.truth import Case, read_cases

CASES = {case.name: case for case in read_cases(FIXTURES)}
#: Every so many programs of the matrix are tried; coprime to the number of situations.
_STEP = 7


def test_every_fixture_is_there():
    assert set(CASES) == {f"{name}/{storage}" for name, storage in SELECTED}


@pytest.mark.parametrize("name", CASES)
def test_nothing_false_is_said(name, tmp_path):
    assert judge(CASES[name], tmp_path, "inspect").wrong == []


@pytest.mark.parametrize("name", CASES)
def test_the_initial_weights_never_pass(name, tmp_path):
    case = CASES[name]
    words = "--checkpoint", case.checkpoint, "--strength", "proof"
    answer = v1sim("check", case.start, *words, report=tmp_path / "report.json")
    assert answer.code == 1, answer.text
    assert answer.json["passed"] is False


def _other_truth(case: Case, **changes: object) -> Case:
    """The same checkpoint as if its recurrent weights had another history."""
    tables = dict(case.truth.tables)
    tables["recurrent"] = replace(tables["recurrent"], **changes)  # type: ignore[arg-type]
    return replace(case, truth=replace(case.truth, tables=tables))


def test_the_judge_finds_an_untrained_network_that_passes(tmp_path):
    case = CASES["keras/adam/trained, no zeros/slices"]
    other = _other_truth(case, trained=False, slots="no gradients")
    kinds = {wrong.kind for wrong in judge(other, tmp_path, "inspect").wrong}
    assert "untrained passes" in kinds
    assert "false: recurrent called trained" in kinds


def test_the_judge_finds_a_trained_network_that_is_refused(tmp_path):
    case = CASES["keras/adagrad/no gradient for recurrent/whole"]
    other = _other_truth(case, trained=True, slots="gradients", relative_change=0.3)
    kinds = {wrong.kind for wrong in judge(other, tmp_path, "inspect").wrong}
    assert "trained refused" in kinds
    assert "false: recurrent called initial" in kinds


@pytest.mark.parametrize("name", ["keras/adam/trained", "keras/sgd/input frozen"])
def test_what_is_made_here_is_judged_by_every_command(name, tmp_path):
    tensorflow()
    from tests.checkpoints.matrix import available
    from tests.checkpoints.storage import Writer

    root = tmp_path / "matrix"
    root.mkdir()
    dict(available())[name](Writer(root))
    judged = [judge(case, tmp_path, "all") for case in read_cases(root) if case.storage == "whole"]
    assert [judgement.wrong for judgement in judged] == [[]]
    assert judged[0].n_commands > 10


@pytest.mark.slow
def test_a_part_of_the_matrix(tmp_path):
    tensorflow()
    from tests.checkpoints.matrix import available
    from tests.checkpoints.storage import Writer

    root = tmp_path / "matrix"
    root.mkdir()
    writer = Writer(root)
    for _, make in list(available())[::_STEP]:
        make(writer)
    wrong = [w for case in read_cases(root) for w in judge(case, tmp_path, "convert").wrong]
    assert wrong == []

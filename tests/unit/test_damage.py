"""Every kind of damage is found and named, and no good network refused: see `tests.damage`."""

from __future__ import annotations

import pytest

from tests import damage
from v1sim import guard


@pytest.fixture(scope="module")
def pair(training):
    return damage.load_pair(*(training.files[n] for n in ("trained", "untrained", "few_steps")))


def test_names_are_unique():
    names = [variant.name for variant in damage.VARIANTS]
    assert len(set(names)) == len(names)
    assert len(names) + len(damage.FILE_DAMAGE) >= 60


@pytest.mark.parametrize("variant", damage.VARIANTS, ids=lambda variant: variant.name)
def test_the_file_alone_shows_it(pair, variant, tmp_path):
    path = tmp_path / "variant.h5"
    assert damage.written(variant, pair, path)
    outcome = damage.judge(path, guard.Policy(), variant)
    if variant.told_by == "file":
        assert outcome.mark == "named", outcome.texts
    else:
        # What the file cannot tell must not be told by luck: the table says who can.
        assert not outcome.refused, outcome.texts


@pytest.mark.parametrize(
    "variant",
    [variant for variant in damage.VARIANTS if variant.told_by != "file"],
    ids=lambda variant: variant.name,
)
def test_what_only_a_proof_can_tell(pair, variant, tmp_path, training):
    path = tmp_path / "variant.h5"
    assert damage.written(variant, pair, path)
    policy = (
        guard.Policy(baseline=training.files["untrained"])
        if variant.told_by == "baseline"
        else guard.Policy(checkpoint=training.indices["trained"])
    )
    outcome = damage.judge(path, policy, variant)
    assert outcome.mark == "named", outcome.texts


@pytest.mark.parametrize("name", damage.FILE_DAMAGE)
def test_damaged_files_are_one_clear_error(pair, name, tmp_path):
    path = tmp_path / "variant.h5"
    damage.write_arrays(pair.trained, path)
    path.write_bytes(damage.FILE_DAMAGE[name](path.read_bytes()))
    outcome = damage.judge(path, guard.Policy())
    assert outcome.verdict == "unreadable"
    assert outcome.findings == ("structure.file",)


def test_good_variants_pass(pair, tmp_path):
    path = tmp_path / "variant.h5"
    n_seen = 0
    for name, arrays, options in damage.good_variants(pair):
        if name == "weights times 2" and pair.n == 300:
            continue  # its training made inhibition twice the usual strength already
        damage.write_arrays(arrays, path, **options)
        outcome = damage.judge(path, guard.Policy())
        assert not outcome.refused, (name, outcome.texts)
        n_seen += 1
    assert n_seen >= 15


@pytest.mark.slow
def test_all_kinds_of_proof(pair, tmp_path, training):
    kinds = damage.policies(training.files["untrained"], training.checkpoint)
    result = damage.run(pair, kinds, tmp_path)
    assert result.alarms == {}
    assert result.undecided == {}
    assert result.one_weight[0] > 0.85
    bad = result.bad
    for variant in damage.VARIANTS:
        outcomes = bad[variant.name]
        by_file = variant.told_by == "file"
        assert outcomes["file alone"].refused is by_file
        if variant.told_by != "checkpoint":
            assert outcomes["with baseline"].refused
        if variant.family != "readout":  # which no checkpoint holds
            assert outcomes["with checkpoint"].refused

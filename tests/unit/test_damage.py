"""Every kind of damage is found and named, and no good network refused: see `tests.damage`."""

from __future__ import annotations

import pytest

from tests import damage
from v1sim import guard


@pytest.fixture(scope="module")
def pair(shared_data):
    folder = shared_data / "trained_a"
    return damage.load_pair(
        *(folder / f"net_A_{name}.h5" for name in ("trained", "untrained", "few_steps"))
    )


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
def test_what_only_a_proof_can_tell(pair, variant, tmp_path, shared_data):
    folder = shared_data / "trained_a"
    path = tmp_path / "variant.h5"
    assert damage.written(variant, pair, path)
    policy = (
        guard.Policy(baseline=folder / "net_A_untrained.h5")
        if variant.told_by == "baseline"
        else guard.Policy(checkpoint=folder / "trained" / "ckpt_1000-425.index")
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


def test_good_variants_pass(pair, tmp_path, shared_data):
    path = tmp_path / "variant.h5"
    n_seen = 0
    for name, arrays, options in damage.good_variants(pair):
        damage.write_arrays(arrays, path, **options)
        outcome = damage.judge(path, guard.Policy())
        assert not outcome.refused, (name, outcome.texts)
        n_seen += 1
    assert n_seen >= 15


@pytest.mark.slow
def test_all_kinds_of_proof(pair, tmp_path, shared_data):
    folder = shared_data / "trained_a"
    kinds = damage.policies(folder / "net_A_untrained.h5", folder / "trained" / "ckpt_1000-425")
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

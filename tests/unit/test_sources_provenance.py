"""Provenance: JSON and back, digests that notice every change but that of order."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.networks import DRAFT, damaged, tiny_network, with_parts, write_tiny
from v1sim.model import NetworkModel
from v1sim.sources import open_network
from v1sim.sources.provenance import canonical_arrays, from_json, to_json, verify

NET = tiny_network()


def with_provenance(network: NetworkModel) -> NetworkModel:
    return replace(network, provenance=NET.provenance)


def permuted(network: NetworkModel, seed: int = 0) -> NetworkModel:
    rng = np.random.default_rng(seed)
    tables = {}
    for group in ("recurrent", "lgn"):
        table = network.tables[group]
        order = rng.permutation(len(table))
        columns = {k: getattr(table, k)[order] for k in table.columns}
        tables[group] = replace(table, **columns)
    return network.with_tables(**tables)


def test_json_and_back():
    provenance = replace(
        DRAFT,
        checkpoint={"step": 36828, "prefix": "ckpt"},
        details={"seed": 3, "text": "µ"},
        origins={"recurrent.weight": ("trained variable", "C/recurrent_weight_values")},
    ).seal(NET)
    text = to_json(provenance)
    assert from_json(text) == provenance
    assert "µ" in text
    assert provenance.arrays["recurrent.weight"].detail == "C/recurrent_weight_values"


def test_an_origin_of_no_array_is_refused():
    with pytest.raises(ValueError, match="recurrent/wieghts"):
        replace(DRAFT, origins={"recurrent/wieghts": ("copied", "")}).seal(NET)


@given(text=st.text(max_size=200))
def test_any_text_is_refused_with_a_reason(text):
    with pytest.raises(ValueError, match=r".+"):
        from_json(text)


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: d.pop("kind"),
        lambda d: d.update(kind="excellent"),
        lambda d: d.update(arrays=[]),
        lambda d: d["arrays"].update(x=1),
        lambda d: d["arrays"].update(x={"sha256": "0"}),
        lambda d: d["arrays"]["recurrent.weight"].update(sha256=1),
        lambda d: d.update(made_at=None),
        lambda d: d.update(details=None),
        lambda d: d.update(details={"synapse_digests": 3}),
        lambda d: d.update(checkpoint="x"),
        lambda d: d.update(version=2),
        lambda d: d.update(kind=["trained"]),
    ],
)
def test_json_that_is_no_provenance(damage):
    document = json.loads(to_json(NET.provenance))
    damage(document)
    with pytest.raises(ValueError, match=r".+"):
        from_json(json.dumps(document))


def test_a_network_matches_its_own_digests_in_any_order():
    assert not verify(NET)
    assert not verify(permuted(NET))


@pytest.mark.parametrize("name", list(canonical_arrays(NET)))
def test_each_array_is_covered(tmp_path, name):
    """Change one value of one array; the provenance names that array."""
    values = canonical_arrays(NET)[name]
    if name == "sizes":
        changed = with_parts(NET, n_lgn=NET.lgn.size + 1)
    else:
        changed = None
        table, _, column = name.partition(".")
        if table in ("recurrent", "lgn") and column in NET.tables["recurrent"].columns:
            edited = values.copy()
            edited[3] += 1
            changed = with_provenance(damaged(NET, table, **{column: edited}))
    if changed is None:
        sealed = NET.provenance.arrays[name]
        arrays = {**NET.provenance.arrays, name: replace(sealed, sha256="0" * 64)}
        changed = replace(NET, provenance=replace(NET.provenance, arrays=arrays))
    assert verify(changed).changed == (name,)


def test_arrays_that_come_and_go():
    gone = with_provenance(with_parts(NET, background_weight=None))
    assert verify(gone).missing == ("background.weight",)
    sealed = DRAFT.seal(with_parts(NET, background_weight=None))
    assert verify(replace(NET, provenance=sealed)).uncovered == ("background.weight",)


def test_rows_that_exchange_their_weights_are_noticed():
    weight = NET.tables["recurrent"].weight.copy()
    weight[:2] = weight[1::-1]
    changed = with_provenance(damaged(NET, "recurrent", weight=weight))
    assert verify(changed).changed == ("recurrent.weight",)
    assert "recurrent.weight" in verify(permuted(changed)).changed


def test_digests_hold_for_the_file(tmp_path):
    write_tiny(tmp_path / "net.h5")
    assert not verify(open_network(tmp_path / "net.h5"))
    with pytest.raises(ValueError, match="no provenance"):
        verify(replace(NET, provenance=None))

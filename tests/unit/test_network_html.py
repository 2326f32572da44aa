"""The page of ``v1sim check --html``: whole, self-contained, and there for every network."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.networks import damaged, tiny_network, write_tiny
from v1sim import guard
from v1sim.documents.check import CheckDocument
from v1sim.errors import NetworkFileError
from v1sim.model import NetworkModel
from v1sim.report import network_figures
from v1sim.report.network_figures import LabelledNetwork
from v1sim.report.network_html import write_network_html, write_unreadable_html

NET = tiny_network(zeros=0.2)


def page(network: NetworkModel, path: Path, **options) -> str:
    policy = guard.Policy("any", **options)
    report = guard.examine(network, policy)
    write_network_html(
        network, report, path, baseline=policy.baseline, checkpoint=policy.checkpoint
    )
    text = path.read_text(encoding="utf-8")
    assert not re.search(r'(src|href)="(?!data:)', text)  # nothing beside it is needed
    return text


def n_pictures(text: str) -> int:
    return text.count("data:image/png;base64,")


def test_verdict_first_then_findings_then_pictures(tmp_path):
    text = page(NET, tmp_path / "a.html")
    places = [text.index(part) for part in ("Weights: trained", "Arrays", "Findings", "<img")]
    assert places == sorted(places)
    assert "recurrent.weight" in text
    assert n_pictures(text) == 2
    for words in ("None of these numbers shows", "onto excitatory cells"):
        assert words in text


def test_beside_a_baseline_and_a_checkpoint(shipped, tmp_path):
    write_tiny(tmp_path / "before.h5")
    assert n_pictures(page(NET, tmp_path / "b.html", baseline=tmp_path / "before.h5")) == 3
    index = shipped.indices["trained"]
    text = page(NET, tmp_path / "c.html", checkpoint=index)
    assert "is of another network and is not drawn" in text
    assert n_pictures(text) == 2


@pytest.mark.parametrize("damage", ["range", "nan", "empty", "zero"])
def test_broken_networks_have_a_page(tmp_path, damage):
    table = NET.tables["recurrent"]
    columns = {
        "range": {"pre": table.pre + 1000},
        "nan": {"weight": np.full_like(table.weight, np.nan)},
        "empty": {k: getattr(table, k)[:0] for k in table.columns},
        "zero": {"weight": np.zeros_like(table.weight)},
    }[damage]
    text = page(damaged(NET, "recurrent", **columns), tmp_path / "d.html")
    assert "Gate: refused" in text
    assert n_pictures(text) == (0 if damage in ("range", "empty") else 2)


def test_names_from_files_are_escaped(tmp_path):
    types = replace(NET.cell_types, name=("<b>", *NET.cell_types.name[1:]))
    source = replace(NET.source, path="<script>alert(1)</script>.h5")
    network = replace(NET, cell_types=types, source=source, provenance=None)
    assert "<script>" not in page(network, tmp_path / "e.html")


def test_files_that_are_no_network(tmp_path):
    content = CheckDocument.of_unreadable(NetworkFileError("is no HDF5 file", where="x.h5"))
    write_unreadable_html(content, tmp_path / "f.html")
    text = (tmp_path / "f.html").read_text()
    assert "is no HDF5 file" in text
    assert "Gate: refused" in text


def test_class_pairs_are_means_over_their_synapses():
    maps = network_figures._pair_maps(NET, network_figures.cell_classes(NET))
    classes = network_figures.cell_classes(NET)
    table = NET.tables["recurrent"]
    for a, b in ((0, 0), (1, 2)):
        own = (classes.of_neuron[table.pre] == a) & (classes.of_neuron[table.post] == b)
        assert maps.count[a + 1, b] == own.sum()
        assert maps.mean_normalised[a + 1, b] == pytest.approx(table.weight[own].mean(), rel=1e-5)
        assert maps.mean_pa[a + 1, b] == pytest.approx(table.weight_pa(NET)[own].mean(), rel=1e-5)
        assert maps.zero[a + 1, b] == pytest.approx((table.weight[own] == 0).mean())
    lgn = classes.of_neuron[NET.tables["lgn"].post] == 0
    assert maps.mean_normalised[0, 0] == pytest.approx(
        NET.tables["lgn"].weight[lgn].mean(), rel=1e-5
    )


def test_networks_without_common_synapses_have_no_scatter():
    table = NET.tables["recurrent"]
    rows = {k: getattr(table, k)[:0] for k in table.columns}
    other = damaged(
        damaged(NET, "recurrent", **rows),
        "lgn",
        **{k: getattr(NET.tables["lgn"], k)[:0] for k in table.columns},
    )
    named = LabelledNetwork("a", NET)
    assert network_figures.before_and_after(named, LabelledNetwork("b", other)) is None

"""The page of ``v1sim check --html``: what a network's weights are, with pictures in it."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from v1sim import __version__, guard
from v1sim.convert.bundle import read_index
from v1sim.convert.checkpoint import network_of, shard_reader
from v1sim.convert.variables import find_variables
from v1sim.documents.check import CheckDocument
from v1sim.model import CheckReport, NetworkModel, SynapseTable
from v1sim.output import replacing
from v1sim.report import figures, network_figures
from v1sim.report.network_figures import LabelledNetwork
from v1sim.report.page import facts, findings, gate, image, number, page, section, table
from v1sim.sources import open_network

__all__ = ["write_network_html", "write_unreadable_html"]

_FOLKLORE = (
    "For information. None of these numbers shows by itself that a network was trained: initial "
    "weights of this model are data-driven, with fixed signs, a mean far from zero and a broad "
    "distribution. Exact zeros are evidence that a training took place, not what was learned: a "
    "network trained on shuffled labels has them too. docs/calibration.md has the figures."
)


def write_network_html(
    network: NetworkModel, report: CheckReport, policy: guard.Policy, path: Path
) -> None:
    """Write the page of a network that was read.

    Parameters
    ----------
    network : NetworkModel
        The network that ``report`` is about.
    report : CheckReport
        From `v1sim.guard.examine`.
    policy : Policy
        The policy of the examination: names the baseline or checkpoint to show beside it.
    path : Path
        Where to write.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    content = CheckDocument.of_report(report).model_dump(mode="json")
    parts = [
        f"<h1>{escape(Path(report.network_path).name)}</h1>",
        f'<p class="sub">v1sim check {escape(__version__)} &middot; '
        f"<code>{escape(report.network_path)}</code></p>",
        gate(content),
        section("Arrays", _arrays(content)),
        section("Findings", findings(content)),
        section("The network", facts(_sizes(network))),
        section("Weights in numbers", _statistics(content) + f"<p>{escape(_FOLKLORE)}</p>"),
        *_pictures(network, _other(network, policy)),
    ]
    _write(path, f"{Path(report.network_path).name}: v1sim check", parts)


def write_unreadable_html(document: CheckDocument, path: Path) -> None:
    """Write the page of a file that could not be read.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    content = document.model_dump(mode="json")
    name = Path(document.network).name
    parts = [
        f"<h1>{escape(name)}</h1>",
        gate(content),
        section("Findings", findings(content)),
    ]
    _write(path, f"{name}: v1sim check", parts)


def _write(path: Path, title: str, parts: list[str]) -> None:
    with replacing(path) as temporary:
        temporary.write_text(page(title, parts), encoding="utf-8")


def _arrays(content: Mapping[str, Any]) -> str:
    rows = [
        [
            f"<code>{escape(name)}</code>",
            f"<b>{escape(array['verdict'])}</b>",
            escape(str(array["proof"] or "none")),
            escape(array["why"]),
        ]
        for name, array in content["arrays"].items()
    ]
    return table(["array", "verdict", "proof", "why"], rows)


def _sizes(network: NetworkModel) -> dict[str, Any]:
    return {
        "neurons": network.n_neurons,
        "cell types": len(network.cell_types),
        "LGN cells": network.n_lgn,
        "recurrent synapses": len(network.recurrent),
        "input synapses": len(network.lgn),
        "readout groups": len(network.readout),
        "made by": network.provenance.made_by if network.provenance else "not said",
        "file sha256": network.source.sha256,
    }


def _statistics(content: Mapping[str, Any]) -> str:
    """The folklore indicators, by table and receptor."""
    header = ["", "synapses", "zero", "mean", "s.d.", "mean, pA", "s.d., pA"]
    header += ["|w| 1 %", "median", "99 %", "max, pA"]
    rows = []
    for group, held in content["groups"].items():
        for name, part in [(group, held), *held["receptors"].items()]:
            normalised, pa = part["normalised"] or {}, part["pa"] or {}
            percentiles = normalised.get("abs_percentiles") or {}
            largest = max((abs(pa[k]) for k in ("min", "max") if k in pa), default=None)
            cells = [part["n"], part["fraction_zero"], normalised.get("mean")]
            cells += [normalised.get("std"), pa.get("mean"), pa.get("std")]
            cells += [percentiles.get(k) for k in ("1", "50", "99")] + [largest]
            label = f"<b>{escape(name)}</b>" if name == group else escape(name.replace("_", " "))
            rows.append([label, *(escape(number(cell, 4)) for cell in cells)])
    balance = _balance(content)
    text = f"<p>{escape(balance)}</p>" if balance else ""
    return table(header, rows, 1) + text if rows else "<p>None: see the findings.</p>"


def _balance(content: Mapping[str, Any]) -> str:
    """Excitation over inhibition, as sums of recurrent weights."""
    receptors = content["groups"].get("recurrent", {}).get("receptors", {})
    sums = {
        name: part["n"] * part["normalised"]["mean"]
        for name, part in receptors.items()
        if part["normalised"]
    }
    lines = []
    for target, word in (("exc", "excitatory"), ("inh", "inhibitory")):
        excitation, inhibition = sums.get(f"exc_to_{target}"), sums.get(f"inh_to_{target}")
        if excitation and inhibition:
            lines.append(f"onto {word} cells {abs(excitation / inhibition):.2f}")
    return f"Recurrent excitation relative to inhibition: {', '.join(lines)}." if lines else ""


def _other(network: NetworkModel, policy: guard.Policy) -> LabelledNetwork | None:
    """The network to show beside it: the baseline, or what the checkpoint's data hold."""
    if policy.baseline is not None:
        return LabelledNetwork("baseline", open_network(policy.baseline))
    if policy.checkpoint is not None:
        index = read_index(policy.checkpoint)
        if index.has_data:
            variables = find_variables(index)
            held = network_of(index, variables, shard_reader(index), n_lgn=None)
            return LabelledNetwork("checkpoint", held)
    return None


def _pictures(network: NetworkModel, other: LabelledNetwork | None) -> list[str]:
    if not _drawable(network):
        return ["<p>No pictures: indices are out of range, or there are no synapses.</p>"]
    shown = [LabelledNetwork("network", network)]
    parts = []
    if other is not None and (
        other.network.n_neurons != network.n_neurons or not _drawable(other.network)
    ):
        parts.append(f"<p>The {other.label} is of another network and is not drawn.</p>")
    elif other is not None:
        shown.append(other)
    parts += [
        section(
            "Distribution of weights",
            _image(network_figures.weight_distributions(shown), "weight distributions"),
        ),
        section(
            "Class pairs",
            _image(network_figures.class_pair_maps(shown), "class pair maps"),
        ),
    ]
    if len(shown) > 1:
        figure = network_figures.before_and_after(shown[0], shown[1])
        if figure is not None:
            parts.append(section("Before and after", _image(figure, "weights before and after")))
    return parts


def _drawable(network: NetworkModel) -> bool:
    def inside(table: SynapseTable, n_pre: int) -> bool:
        return len(table) > 0 and all(
            index.min() >= 0 and index.max() < n
            for index, n in ((table.pre, n_pre), (table.post, network.n_neurons))
        )

    lgn_known = inside(network.lgn, max(network.n_lgn, int(network.lgn.pre.max(initial=-1)) + 1))
    in_range = np.isfinite(network.cell_types.voltage_scale_mv).all()
    return inside(network.recurrent, network.n_neurons) and lgn_known and bool(in_range)


def _image(figure: Any, what: str) -> str:
    return image(figures.to_png(figure), what)

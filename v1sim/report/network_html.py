"""The page of ``v1sim check --html``: what a network's weights are, with pictures in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from v1sim import __version__
from v1sim.checkpoints.bundle import read_index
from v1sim.checkpoints.checkpoint import network_of, shard_reader
from v1sim.checkpoints.variables import find_variables
from v1sim.documents.check import CheckDocument, Statistics
from v1sim.model import CheckReport, NetworkModel
from v1sim.report import figures, network_figures
from v1sim.report.network_figures import LabelledNetwork
from v1sim.report.page import number, write_page
from v1sim.sources import open_network

__all__ = ["write_network_html", "write_unreadable_html"]

_INDICATORS = (
    *("", "synapses", "zero", "mean", "s.d.", "mean, pA", "s.d., pA"),
    *("|w| 1 %", "median", "99 %", "max, pA"),
)


@dataclass(frozen=True)
class _Picture:
    """A picture as PNG, and ``what`` is said of it where it cannot be seen."""

    title: str
    png: bytes
    what: str


def write_network_html(
    network: NetworkModel,
    report: CheckReport,
    path: Path,
    *,
    baseline: Path | None = None,
    checkpoint: Path | None = None,
) -> None:
    """Write the page of a network that was read.

    Parameters
    ----------
    network : NetworkModel
        The network that ``report`` is about.
    report : CheckReport
        From `v1sim.guard.examine`.
    path : Path
        Where to write.
    baseline, checkpoint : Path, optional
        What to show beside it; of two the baseline.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    document = CheckDocument.of_report(report)
    shown, remarks = _shown(network, _other(baseline, checkpoint))
    write_page(
        path,
        "network.html",
        **_names(document),
        sizes=_sizes(network),
        version=__version__,
        indicator_header=_INDICATORS,
        indicator_rows=[
            (name, table is part, _indicators(part))
            for group, table in document.groups.items()
            for name, part in ((group, table), *table.receptors.items())
        ],
        balance=_balance(document),
        remarks=remarks,
        pictures=_pictures(shown),
    )


def write_unreadable_html(document: CheckDocument, path: Path) -> None:
    """Write the page of a file that could not be read.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    write_page(path, "network.html", **_names(document), sizes=None)


def _names(document: CheckDocument) -> dict[str, Any]:
    name = Path(document.network).name
    return {"title": f"{name}: v1sim check", "name": name, "guard": document}


def _sizes(network: NetworkModel) -> dict[str, Any]:
    return {
        "neurons": network.n_neurons,
        "cell types": len(network.cell_types),
        "LGN cells": network.lgn.size,
        "recurrent synapses": sum(map(len, network.tables_of("recurrent").values())),
        "input synapses": sum(map(len, network.tables_of("lgn", "other").values())),
        "readout groups": len(network.readout),
        "made by": network.provenance.made_by if network.provenance else "not said",
        "file sha256": network.source.sha256,
    }


def _indicators(part: Statistics) -> list[str]:
    """The folklore indicators of some weights, as `_INDICATORS` names them from the second on."""
    normalised, pa = part.normalised, part.pa
    percentiles = normalised.abs_percentiles if normalised else {}
    cells = [
        part.n,
        part.fraction_zero,
        normalised and normalised.mean,
        normalised and normalised.std,
        pa and pa.mean,
        pa and pa.std,
        *(percentiles.get(percent) for percent in ("1", "50", "99")),
        pa and max(abs(pa.min), abs(pa.max)),
    ]
    return [number(cell, 4) for cell in cells]


def _balance(document: CheckDocument) -> str:
    """Excitation over inhibition, as sums of recurrent weights."""
    recurrent = document.groups.get("recurrent")
    sums = {
        name: part.n * part.normalised.mean
        for name, part in (recurrent.receptors if recurrent else {}).items()
        if part.normalised
    }
    lines = []
    for target, word in (("exc", "excitatory"), ("inh", "inhibitory")):
        excitation, inhibition = sums.get(f"exc_to_{target}"), sums.get(f"inh_to_{target}")
        if excitation and inhibition:
            lines.append(f"onto {word} cells {abs(excitation / inhibition):.2f}")
    return f"Recurrent excitation relative to inhibition: {', '.join(lines)}." if lines else ""


def _other(baseline: Path | None, checkpoint: Path | None) -> LabelledNetwork | None:
    """The network to show beside it: the baseline, or what the checkpoint's data hold."""
    if baseline is not None:
        return LabelledNetwork("baseline", open_network(baseline))
    if checkpoint is not None:
        index = read_index(checkpoint)
        if index.has_data:
            variables = find_variables(index)
            held = network_of(index, variables, shard_reader(index), n_lgn=None)
            return LabelledNetwork("checkpoint", held)
    return None


def _shown(
    network: NetworkModel, other: LabelledNetwork | None
) -> tuple[list[LabelledNetwork], list[str]]:
    """Networks to draw, none where it cannot be drawn, and what is to be said of that."""
    if not _drawable(network):
        return [], ["No pictures: indices are out of range, or there are no synapses."]
    shown = [LabelledNetwork("network", network)]
    if other is None:
        return shown, []
    if other.network.n_neurons != network.n_neurons or not _drawable(other.network):
        return shown, [f"The {other.label} is of another network and is not drawn."]
    return [*shown, other], []


def _pictures(shown: list[LabelledNetwork]) -> list[_Picture]:
    if not shown:
        return []
    drawn = [
        (
            "Distribution of weights",
            network_figures.weight_distributions(shown),
            "weight distributions",
        ),
        ("Class pairs", network_figures.class_pair_maps(shown), "class pair maps"),
    ]
    if len(shown) > 1:
        figure = network_figures.before_and_after(shown[0], shown[1])
        if figure is not None:
            drawn.append(("Before and after", figure, "weights before and after"))
    return [_Picture(title, figures.to_png(figure), what) for title, figure, what in drawn]


def _drawable(network: NetworkModel) -> bool:
    # Pictures do not tell sources outside the network apart.
    in_range = all(
        column.in_range
        for column in network.index_columns()
        if column.column == "post" or network.role(column.projection) == "recurrent"
    )
    finite = bool(np.isfinite(network.cell_types.voltage_scale_mv).all())
    shown = network.tables_of("recurrent", "lgn", "other").values()
    return in_range and finite and all(len(table) > 0 for table in shown)

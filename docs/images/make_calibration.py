r"""Makes docs/images/calibration.png and the table of docs/calibration.md.

    python docs/images/make_calibration.py --pair NAME UNTRAINED.h5 FIVE_STEPS.h5 TRAINED.h5 \
        [--pair ...] [--column 200 500 2000 8000]

From pairs of networks before and after training (scripts/train_small.py makes some) and
built-in columns. Prints the table.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from v1sim.checks import families  # noqa: F401 -- registers the checks
from v1sim.checks.baseline import ALMOST_UNCHANGED, MIN_CORRELATION, baseline_weights
from v1sim.checks.registry import Context
from v1sim.checks.training import (
    FEW_ZEROS,
    RANDOM_SIGMAS,
    TRAINED_ZEROS,
    _zeros_of_cells,
    zero_evidence,
)
from v1sim.checks.units import STRONG_PRODUCT, WEAK, synaptic_strength
from v1sim.model import NetworkModel, SynapseTable
from v1sim.receptors import BILLEH_RECEPTORS, Kind
from v1sim.sources import open_network
from v1sim.sources.column import build_column

STATES = ("untrained", "five steps", "trained")
COLOURS = {"untrained": "#457b9d", "five steps": "#8a94a6", "trained": "#b5179e"}
DAMAGED = "#e4572e"


@dataclass(frozen=True)
class Row:
    """What was measured in one network."""

    pair: str
    state: str
    zeros: float
    sigmas: float
    products: tuple[float, ...]
    largest_ratios: tuple[float, ...]
    relative_change: float
    correlation: float
    folklore: dict[str, float]


def measure(pair: str, state: str, network: NetworkModel, baseline: NetworkModel) -> Row:
    """What is measured in one network."""
    context = Context(network, 1.0, baseline=baseline)
    products, largest = [], []
    for group in ("recurrent", "lgn"):
        for strength in synaptic_strength(context, group).values():
            ratios = (strength.psp_ratio, strength.drive_ratio)
            products.append(ratios[0] * ratios[1])
            largest.append(max(ratios))
    changed = baseline_weights(context)["recurrent"]
    return Row(
        pair,
        state,
        zero_evidence(context).fraction,
        sigmas(context),
        tuple(products),
        tuple(largest),
        changed.relative_change or 0.0,
        changed.correlation if changed.correlation is not None else np.nan,
        folklore(network.tables["recurrent"]),
    )


def sigmas(context: Context) -> float:
    """Unevenness of zeros over targets and sources, in standard deviations of chance."""
    parts = [ends.dispersion for ends in _zeros_of_cells(context, "recurrent").values()]
    return sum(part.sigmas for part in parts) / len(parts) ** 0.5


def folklore(table: SynapseTable) -> dict[str, float]:
    """The indicators that dense networks are judged by."""
    weight = table.weight.astype(np.float64)
    counts = np.histogram(weight, 100)[0]
    share = counts[counts > 0] / counts.sum()
    excitatory = BILLEH_RECEPTORS.presynaptic_kind(table.receptor) == Kind.EXCITATORY
    return {
        "mean": weight.mean(),
        "s.d.": weight.std(),
        "entropy of histogram": float(-(share * np.log(share)).sum()),
        "share |w| < 0.001": float(np.mean(np.abs(weight) < 1e-3)),
        "excitation / inhibition": weight[excitatory].sum() / -weight[~excitatory].sum(),
        "unique values": len(np.unique(weight)) / len(weight),
    }


def shuffled(network: NetworkModel, seed: int = 0) -> NetworkModel:
    """Weights dealt out anew within receptor and pair of cell types."""
    table, types = network.tables["recurrent"], network.neurons.cell_type.astype(np.int64)
    key = (types[table.pre] * 10_000 + types[table.post]) * BILLEH_RECEPTORS.n + table.receptor
    mixed = np.random.default_rng(seed).permutation(len(table))
    weight = np.empty_like(table.weight)
    order = np.argsort(key, kind="stable")
    weight[order] = table.weight[mixed[np.argsort(key[mixed], kind="stable")]]
    return network.with_tables(recurrent=replace(table, weight=weight))


def rescaled(network: NetworkModel, power: int) -> NetworkModel:
    """Weights times a power of the voltage scale of their targets."""
    factor = network.voltage_scale_mv.astype(np.float32) ** power

    def scaled(old: SynapseTable) -> SynapseTable:
        return replace(old, weight=old.weight * factor[old.post])

    return network.with_tables(
        recurrent=scaled(network.tables["recurrent"]), lgn=scaled(network.tables["lgn"])
    )


def dots(axes: Axes, place: float, values: list[float] | tuple[float, ...], colour: str) -> None:
    """Values side by side."""
    spread = np.linspace(-0.18, 0.18, len(values)) if len(values) > 1 else [0.0]
    axes.plot(place + np.array(spread), values, "o", color=colour, markersize=5, alpha=0.8)


def finish(axes: Axes, labels: list[str], title: str, *limits: float) -> None:
    """Labels, title and limits of a panel."""
    axes.set_xticks(range(len(labels)), labels, fontsize=8)
    axes.set_title(title, fontsize=9.5, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    for limit in limits:
        axes.axhline(limit, color="#22252b", linewidth=0.9, linestyle="--")


def draw(rows: list[Row], mixed: list[float], wrong: dict[str, list[Row]]) -> Figure:
    """The figure."""
    figure = Figure(figsize=(13, 7.6), dpi=110, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 3).ravel()
    by_state = {state: [row for row in rows if row.state == state] for state in STATES}

    for i, (state, held) in enumerate(by_state.items()):
        dots(axes[0], i, [row.zeros for row in held], COLOURS[state])
    axes[0].set_yscale("symlog", linthresh=1e-3)
    limits = TRAINED_ZEROS, FEW_ZEROS
    finish(axes[0], list(STATES), "recurrent weights exactly zero (share)", *limits)

    dots(axes[1], 0, [row.sigmas for row in by_state["trained"]], COLOURS["trained"])
    dots(axes[1], 1, mixed, DAMAGED)
    axes[1].set_yscale("symlog", linthresh=5)
    labels = ["trained", "the same, shuffled\nwithin type pairs"]
    finish(axes[1], labels, "unevenness of zeros over cells (s.d. of chance)", RANDOM_SIGMAS)

    groups = {"as they are": rows} | wrong
    for i, (name, held) in enumerate(groups.items()):
        values = [value for row in held for value in row.products]
        dots(axes[2], i, values, COLOURS["untrained"] if name == "as they are" else DAMAGED)
    axes[2].set_yscale("log")
    title = "median PSP x drive per Hz, relative to typical"
    finish(axes[2], list(groups), title, STRONG_PRODUCT)
    for i, (name, held) in enumerate(groups.items()):
        values = [value for row in held for value in row.largest_ratios]
        dots(axes[3], i, values, COLOURS["untrained"] if name == "as they are" else DAMAGED)
    axes[3].set_yscale("log")
    finish(axes[3], list(groups), "the larger of the two", WEAK)

    for state in STATES[1:]:
        held = by_state[state]
        change = [row.relative_change for row in held]
        axes[4].plot(
            change, [row.correlation for row in held], "o", color=COLOURS[state], label=state
        )
    axes[4].axvline(ALMOST_UNCHANGED["recurrent"], color="#22252b", linewidth=0.9, linestyle="--")
    axes[4].set_xscale("log")
    axes[4].set_ylim(-0.05, 1.05)
    axes[4].set_xlabel("relative change (L2)", fontsize=8)
    axes[4].legend(fontsize=8, frameon=False)
    finish(axes[4], [], "against the baseline: correlation within type pairs", MIN_CORRELATION)
    axes[4].set_xticks([0.01, 0.1, 1.0], ["0.01", "0.1", "1"])

    names = list(rows[0].folklore)
    for i, name in enumerate(names):
        for row in by_state["trained"]:
            before = next(r for r in by_state["untrained"] if r.pair == row.pair)
            size = max(abs(before.folklore[name]), abs(row.folklore[name])) or 1.0
            pair = [before.folklore[name] / size, row.folklore[name] / size]
            axes[5].plot([i - 0.15, i + 0.15], pair, color="#c7cbd1", linewidth=1)
            axes[5].plot(i - 0.15, pair[0], "o", color=COLOURS["untrained"], markersize=5)
            axes[5].plot(i + 0.15, pair[1], "o", color=COLOURS["trained"], markersize=5)
    finish(axes[5], [name.replace(" ", "\n", 1) for name in names], "folklore, before and after")
    axes[5].tick_params(axis="x", labelsize=6.5)
    return figure


def table(rows: list[Row]) -> str:
    """The rows as Markdown."""
    header = ["network", "state", "zeros", "unevenness", "change", "correlation", *rows[0].folklore]
    lines = [f"| {' | '.join(header)} |", "|" + "---|" * len(header)]
    for row in rows:
        cells = [row.pair, row.state, f"{row.zeros:.2%}"]
        cells.append(f"{row.sigmas:.1f}" if row.zeros else "-")
        trained = row.state != "untrained"
        cells += [f"{v:.2g}" if trained else "-" for v in (row.relative_change, row.correlation)]
        cells += [f"{value:.3g}" for value in row.folklore.values()]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, draw, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pair", nargs=4, action="append", required=True)
    parser.add_argument("--column", type=int, nargs="*", default=[200, 500, 2000, 8000])
    arguments = parser.parse_args()
    rows, mixed = [], []
    wrong: dict[str, list[Row]] = {"in pA": [], "normalised\ntwice": []}
    for name, *files in arguments.pair:
        networks = [open_network(Path(file)) for file in files]
        for state, network in zip(STATES, networks, strict=True):
            rows.append(measure(name, state, network, networks[0]))
            for label, power in (("in pA", 1), ("normalised\ntwice", -1)):
                wrong[label].append(measure(name, state, rescaled(network, power), networks[0]))
        mixed += [sigmas(Context(shuffled(networks[2], seed), 1.0)) for seed in range(4)]
    for n in arguments.column:
        column = build_column(n)
        rows.append(measure(f"column {n:,}", "untrained", column, column))
        for label, power in (("in pA", 1), ("normalised\ntwice", -1)):
            wrong[label].append(measure("", "untrained", rescaled(column, power), column))
    figure = draw(rows, mixed, wrong)
    figure.savefig(Path(__file__).with_name("calibration.png"))
    sys.stdout.write(table(rows) + "\n")


if __name__ == "__main__":
    main()

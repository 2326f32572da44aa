"""What the command line shows of checkpoints, conversions and differences, as plain text."""

from __future__ import annotations

from v1sim.checkpoints.claims import Claim
from v1sim.checkpoints.proof import CheckpointComparison
from v1sim.conversion.convert import Conversion
from v1sim.conversion.inspection import Inspection
from v1sim.sources.difference import (
    NetworkDifference,
    TableDifference,
    WeightChange,
)

__all__ = ["comparison_text", "conversion_text", "difference_text", "inspection_text"]

#: Class pairs shown; the JSON report has all of them.
_N_PAIRS = 10


def inspection_text(inspection: Inspection) -> str:
    """A checkpoint: verdict, facts, variables."""
    lines = [inspection.prefix]
    evidence = inspection.evidence
    if evidence is not None:
        count = evidence.iterations
        counts = evidence.counts
        what = "iter" if counts == "updates" else counts
        iterations = "no step counter" if count is None else f"{what} {count:,}"
        rate = evidence.learning_rate
        shown_rate = "" if rate is None else f", learning rate {rate:.6g}"
        lines.append(f"weights: {inspection.kind} ({iterations}{shown_rate})")
        lines += [_claim_line(table, claim) for table, claim in inspection.claims.items()]
    lines += [f"  {fact}" for fact in inspection.facts]
    if inspection.problems:
        lines.append("convert would refuse it:")
        lines += [f"  {problem}" for problem in inspection.problems]
    else:
        lines.append("convert can make a network file of it")
    roles = {}
    if inspection.variables is not None:
        roles = {entry.key: role for role, entry in inspection.variables.entries.items()}
    width = max((len(entry.name) for entry in inspection.entries), default=0)
    lines.append(f"{len(inspection.entries)} variables:")
    for entry in inspection.entries:
        shape = " x ".join(f"{size:,}" for size in entry.shape) or "scalar"
        value = inspection.scalars.get(entry.name)
        shown = f" = {value:.7g}" if value is not None else ""
        role = roles.get(entry.key, "")
        lines.append(f"  {entry.name:<{width}}  {entry.dtype:<8} {shape}{shown}  {role}".rstrip())
    return "\n".join(lines)


def _claim_line(table: str, claim: Claim) -> str:
    """A table: what it is, by whom, and why."""
    evidence = claim.evidence
    by = ""
    if evidence.optimizer:
        by = f", {evidence.family or 'an optimizer'} at {evidence.optimizer}"
        if evidence.iterations is not None:
            by += f", {evidence.iterations:,} {evidence.counts}"
    return f"  {table} weights: {claim.origin}{by}: {claim.why}"


def conversion_text(conversion: Conversion) -> str:
    """A converted or stamped file."""
    network = conversion.network
    n_recurrent = sum(map(len, network.tables_of("recurrent").values()))
    n_lgn = sum(map(len, network.tables_of("lgn").values()))
    compared = conversion.comparison.comparisons
    n_rounded = sum(bool(c.note) for c in compared)
    how = f", {n_rounded} of them within rounding" if n_rounded else " to the bit"
    lines = [
        f"{network.source.path}: {conversion.kind} ({conversion.reason})",
        f"  {network.n_neurons:,} neurons of {len(network.cell_types)} types, {network.lgn.size:,} "
        f"LGN cells, {n_recurrent:,} recurrent and {n_lgn:,} LGN synapses",
        f"  read back: gives all {len(compared)} variables of "
        f"{conversion.comparison.checkpoint} again{how}, compared {conversion.comparison.how}",
    ]
    lines += [f"  note: {item}" for item in conversion.notes]
    lines += [f"  missing: {item}" for item in conversion.missing]
    return "\n".join(lines)


def comparison_text(comparison: CheckpointComparison) -> str:
    """Where a network is not the one of a checkpoint."""
    lines, name_of = [f"not the network of {comparison.checkpoint}:"], comparison.name_of
    for compared in comparison.differing:
        count = (
            f", {compared.n_different:,} of {compared.n:,}"
            if compared.n_different is not None
            else ""
        )
        note = f" ({compared.note})" if compared.note else ""
        arrays = ", ".join(map(name_of, compared.arrays))
        lines.append(f"  {arrays}: {compared.status}{count}{note}")
        lines += [f"    {example}" for example in compared.examples]
    if comparison.difference is not None:
        lines.append("by class, the file against the checkpoint:")
        for name, table in comparison.difference.tables.items():
            if not table.equal:
                lines += _table_lines(name_of(name), table)
    elif comparison.differing:
        lines.append(
            "the checkpoint's data files beside its index would tell which elements differ"
        )
    return "\n".join(lines)


def difference_text(difference: NetworkDifference) -> str:
    """How two networks differ."""
    lines = [f"{difference.before}", f"{difference.after}"]
    if difference.equal:
        return "\n".join([*lines, "equal: same neurons, same synapses, same weights"])
    lines.append(
        "same network: neurons and wiring are the same"
        if difference.same_network
        else "not the same network"
    )
    for array in difference.arrays:
        parts = [f"{array.n_changed:,} of {array.n:,} differ"] if array.n_changed else []
        if array.max_relative_change is not None:
            parts.append(f"at most by {array.max_relative_change:.3g} (relative)")
        if array.note:
            parts.append(array.note)
        lines.append(f"  {difference.name_of(array.array)}: {', '.join(parts)}")
    for name, table in difference.tables.items():
        lines += _table_lines(difference.name_of(name), table)
    return "\n".join(lines)


def _table_lines(name: str, table: TableDifference) -> list[str]:
    lines = [f"{name}: {table.n_before:,} and {table.n_after:,} synapses"]
    if not table.same_wiring:
        lines.append(
            f"  {table.n_only_before:,} only in the first, "
            f"{table.n_only_after:,} only in the second"
        )
    if table.n_delay_changed:
        lines.append(f"  {table.n_delay_changed:,} delays differ")
    if not table.weights.n_changed:
        return [*lines, "  weights: equal"]
    if table.same_weight_multiset:
        lines.append("  the same weights, on other synapses")
    lines.append(f"  weights: {_change(table.weights)}")
    lines += [f"    {receptor:<12} {_change(c)}" for receptor, c in table.receptors.items()]
    changed = [(pair, c) for pair, c in table.class_pairs.items() if c.n_changed]
    changed.sort(key=lambda item: (-(item[1].relative_change or 0.0), item[0]))
    lines.append(f"  {len(changed)} of {len(table.class_pairs)} class pairs changed, most:")
    lines += [f"    {pre} -> {post}: {_change(c)}" for (pre, post), c in changed[:_N_PAIRS]]
    return lines


def _change(change: WeightChange) -> str:
    parts = [f"{change.n_changed:,} of {change.n:,} changed"]
    if change.mean_before is not None and change.mean_after is not None:
        parts.append(f"mean {change.mean_before:.4g} -> {change.mean_after:.4g}")
    if change.relative_change is not None:
        parts.append(f"relative change {change.relative_change:.3g}")
    if change.correlation is not None:
        parts.append(f"correlation {change.correlation:.3f}")
    if change.n_sign_changed:
        parts.append(f"{change.n_sign_changed:,} changed sign")
    if change.n_zero_before != change.n_zero_after:
        parts.append(f"zeros {change.n_zero_before:,} -> {change.n_zero_after:,}")
    return ", ".join(parts)

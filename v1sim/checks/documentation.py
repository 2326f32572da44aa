"""What the documentation says of checks, from the registry and from their limits.

``python -m v1sim.checks.documentation docs`` writes ``checks.md`` again, and in all pages the
limits that stand between marks, as in ``<!--limit units.WEAK .0%-->20 %<!--/limit-->``: the
name of a constant in `v1sim.checks`, by a key in brackets where it is a dictionary, and how it is
written. The marks are not seen in the rendered page.
"""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path

from v1sim.checks.registry import Check, Consequence, registered_checks

__all__ = ["checks_markdown", "with_limits"]

_HEAD = """\
# The checks

Every check reads every value. An **error** refuses the network, a warning and information do not.
`--waive CHECK=REASON` accepts the errors of one check, and stands in every report afterwards. This
page is made from the checks themselves: `python -m v1sim.checks.documentation docs`.

Besides the checks, the guard itself reports:

- `guard.required`: the weights are not what is required (`trained`, `constructed`, or `any`), or
  nothing shows that they are. What is *known* to be `untrained` or `mixed` refuses under each of
  the three; waive it to simulate an untrained twin on purpose. `any` accepts weights of which
  nothing tells whether they are trained: such a pass is headed "with doubts", in amber. So is one
  with errors that are waived. Arrays can be required one by one, as in
  `--require recurrent=trained,input=any`; `any` then accepts whatever the array is.
- `guard.crash`: a check crashed. That refuses like an error that it found; at your own risk, a
  waiver of the check goes on without it, unless it guards the simulation itself.
- `guard.skipped`: a check could not be run because another one, which it needs, found errors.
- `guard.waiver`: a waiver names no check, or one that cannot be waived.
- `guard.frozen_input`: recurrent weights differ from the baseline's, input weights do not. Either
  training froze them, or they got lost on their way, which a baseline cannot tell: the verdict is
  `mixed`, and refuses. `--checkpoint CKPT` (its index is enough) settles it: input weights that
  training never touched are noted as frozen, and the network is `trained`. Who knows that they
  were frozen can waive this finding; it covers nothing else.
- `guard.contradiction`: provenance or checkpoint say "trained", but the weights are those of
  the baseline. Weights that differ from it by little are no contradiction to a short training.
- `guard.evidence` (information): if only the file itself shows that a network is trained, this
  finding says what could still be wrong with it.

What the weights are is settled by the strongest proof at hand: the provenance that v1sim's
converter wrote (digests of every array), a checkpoint (`--checkpoint CKPT`, or its `.index`
alone), the network before training (`--baseline UNTRAINED.h5`), and last the evidence in the
file. Each array of weights has its own verdict. More evidence never makes it milder: fewer updates
of the optimizer, or a smaller change against the baseline, than the policy's minimum count as no
training, whatever proves that there was one (`--minimum updates=N,change=X`). Below, each check
says what an error means for the verdict. Checks that go by what networks look like yield to
proof: where provenance or checkpoint prove the array that they name, their errors become warnings
and their warnings information.
[Calibration](calibration.md) says how limits were found, [what the guards find](guards.md) who
finds which damage.

## Checks of your own

A package adds checks by naming a module in the entry point group `v1sim.checks`:

```toml
[project.entry-points."v1sim.checks"]
my_lab = "my_lab.checks"
```

```python
from v1sim.checks.registry import Context, Observation, check
from v1sim.model import Severity


@check(
    "my_lab.mean",
    severity=Severity.ERROR,
    reason="Our networks are balanced.",
    calibration="Ten networks of ours.",
    needs=("values.finite",),
    page="https://my-lab.example/checks",
)
def mean(context: Context):
    '''The mean weight is small.'''
    value = float(context.tables["recurrent"].weight.mean())
    if abs(value) > 1:
        yield Observation("recurrent.weight", f"the mean is {value:.2g}", "ask the lab")
```

An observation names arrays as v1sim does, by the path to them in the network:
`recurrent.weight`, `cell_types.c_m_pf`. The finding shows what the network's file calls them.
Such checks run, refuse and are waived like v1sim's own. What an error means for the verdict on
the weights is stated in the decorator, as `consequence=Consequence.ZEROS_ARE_VOID` for a check
that finds zeros which no training left; with `by_looks=True` a check yields to proof. A module
that cannot be imported refuses every network.

Files that cannot become a network at all are refused before any check runs, under names of the
same form: `structure.file`, `structure.missing_dataset`, `structure.dataset` (a group where a
dataset belongs, or the reverse), `structure.dtype`, `structure.shape`, `structure.length`,
`structure.attribute`, `structure.type_range`, `structure.storage` (declares more than the file
holds), `structure.external`, `structure.unreadable`, `structure.empty`.

## At a glance

| check | severity | what it finds |
|---|---|---|
"""

#: What each consequence of an error means, in words.
_MEANINGS = {
    Consequence.PROVENANCE_IS_VOID: "the provenance proves nothing",
    Consequence.BASELINE_IS_VOID: "nothing can be compared with the baseline",
    Consequence.UNLIKE_BASELINE: "the weights did not come of training the baseline, and their "
    "exact zeros are no evidence",
    Consequence.CHANGES_ARE_VOID: "differences from the baseline do not show training",
    Consequence.ZEROS_ARE_VOID: "exact zeros are no evidence of training",
    Consequence.PARTLY_TRAINED: "the weights are `mixed`, if nothing stronger says otherwise",
}


def checks_markdown() -> str:
    """The page as Markdown, of the checks that are registered."""
    checks = registered_checks().values()
    rows = [f"| [`{c.name}`](#{_anchor(c)}) | {c.severity} | {_first_line(c)} |" for c in checks]
    return _HEAD + "\n".join(rows) + "\n" + "".join(_section(c) for c in checks)


_LIMIT = re.compile(
    r"(<!--limit (?P<module>\w+)\.(?P<name>\w+)(?:\[(?P<key>\w+)\])?(?: (?P<form>[^\s>-]+))?-->)"
    r".*?(<!--/limit-->)"
)


def with_limits(text: str) -> str:
    """A page with the limits between its marks as they stand in the code.

    Raises
    ------
    AttributeError, KeyError, ModuleNotFoundError
        If a mark names none.
    """

    def written(mark: re.Match[str]) -> str:
        limit = getattr(import_module(f"v1sim.checks.{mark['module']}"), mark["name"])
        if mark["key"]:
            limit = limit[mark["key"]]
        value = format(limit, mark["form"] or "g").replace("%", " %")
        return f"{mark[1]}{value}{mark.groups()[-1]}"

    return _LIMIT.sub(written, text)


def _section(entry: Check) -> str:
    lines = [f"\n## {_anchor(entry)}\n", f"`{entry.name}`: {_first_line(entry)}\n"]
    lines += [f"- Why: {entry.reason}", f"- Calibration: {entry.calibration}"]
    if entry.needs:
        lines.append(f"- Needs: {', '.join(f'`{need}`' for need in entry.needs)}.")
    if entry.consequence:
        meanings = "; ".join(_MEANINGS[one] for one in entry.consequence)
        lines.append(f"- For the verdict an error means: {meanings}.")
    if entry.by_looks:
        lines.append("- Goes by looks: yields to proof.")
    if not entry.waivable:
        lines.append("- Cannot be waived.")
    return "\n".join(lines) + "\n"


def _anchor(entry: Check) -> str:
    return entry.anchor.partition("#")[2]


def _first_line(entry: Check) -> str:
    return (entry.function.__doc__ or "").partition("\n")[0]


if __name__ == "__main__":
    import v1sim.checks.families  # noqa: F401 -- registers the checks

    folder = Path(sys.argv[1])
    (folder / "checks.md").write_text(checks_markdown(), encoding="utf-8")
    for page in folder.glob("*.md"):
        page.write_text(with_limits(page.read_text(encoding="utf-8")), encoding="utf-8")

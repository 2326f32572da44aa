"""What a notebook shows: cards of networks, reports and runs, and bars of progress.

`card` makes the markup that the ``_repr_html_`` of those types return: the verdict first, then a
few facts. It has no colours of its own but the verdict's, so that it is readable on light and on
dark pages.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from v1sim.printable import printable

if TYPE_CHECKING:  # it takes a tenth of a second, and only notebooks need it
    import jinja2

__all__ = ["Tone", "bar", "card", "time_left_s"]

#: What a verdict means for the reader.
Tone = Literal["good", "doubtful", "bad", "neutral"]

_TEMPLATE = """
<div style="border-left:4px solid {{ colour }};padding:.3em .9em;margin:.3em 0;max-width:60em">
<div><strong style="color:{{ colour }}">{{ verdict }}</strong> &nbsp;{{ title }}</div>
{% if notes %}
<ul style="margin:.4em 0;padding-left:1.2em">
{% for note in notes %}
<li>{{ note }}</li>
{% endfor %}
</ul>
{% endif %}
<table style="margin:.4em 0 0">
{% for name, value in facts.items() %}
<tr><th scope="row" style="text-align:left;font-weight:normal;opacity:.7">{{ name }}</th>
<td style="text-align:left">{{ value }}</td></tr>
{% endfor %}
</table>
</div>
"""

#: By tone; each has a contrast of 3 or more against white and against black.
_COLOUR: Mapping[Tone, str] = {
    "good": "#2e8540",
    "doubtful": "#b26a00",
    "bad": "#d5281b",
    "neutral": "#71767f",
}


_BAR = """
<div style="font-family:monospace">{{ stage }}
<progress value="{{ done }}" max="{{ total }}"></progress>
{{ share }} after {{ elapsed }} s{{ left }}</div>
"""


@functools.cache
def _template(text: str) -> jinja2.Template:
    import jinja2

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(text)


def card(
    verdict: str,
    title: str,
    facts: Mapping[str, object],
    *,
    tone: Tone = "neutral",
    notes: Sequence[str] = (),
) -> str:
    """The HTML of a card.

    Parameters
    ----------
    verdict : str
        The word that matters most ("REFUSED"); it stands first.
    title : str
        What it is about, on the same line.
    facts : mapping
        A table of two columns: names, and values as text.
    tone : {"good", "doubtful", "bad", "neutral"}, optional
        What the verdict means; gives its colour.
    notes : sequence of str, optional
        Sentences between the first line and the table.

    Returns
    -------
    str
        Markup in which every text is escaped and without control characters.
    """
    return _template(_TEMPLATE).render(
        colour=_COLOUR[tone],
        verdict=printable(verdict),
        title=printable(title),
        notes=[printable(note) for note in notes],
        facts={name: printable(str(value)) for name, value in facts.items()},
    )


def time_left_s(done: float, total: float, elapsed_s: float) -> float | None:
    """Time that the rest of a stage takes at the speed so far, s.

    None in the first second and tenth of a percent, where that would be a guess.
    """
    if elapsed_s < 1.0 or not 0.001 * total < done < total:
        return None
    return elapsed_s * (total - done) / done


def bar(stage: str, done: float, total: float, elapsed_s: float) -> str:
    """The HTML of a bar of progress.

    Parameters
    ----------
    stage : str
        What is being done.
    done, total : float
        How much of it is done, and how much there is.
    elapsed_s : float
        Time since the stage began, s.
    """
    left_s = time_left_s(done, total, elapsed_s)
    return _template(_BAR).render(
        stage=printable(stage),
        done=done,
        total=max(total, 1e-9),
        share=f"{done / total:.0%}" if total else "100%",
        elapsed=f"{elapsed_s:.0f}",
        left="" if left_s is None else f", about {left_s:.0f} s left",
    )

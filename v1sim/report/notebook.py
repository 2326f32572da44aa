"""Progress in a notebook: one bar a stage, each a line that is renewed in place."""

from __future__ import annotations

import sys
import time
from typing import Any

from v1sim.card import bar

__all__ = ["NotebookProgress", "in_notebook"]

#: A bar is renewed this often at most, s.
_PERIOD_S = 0.2


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return hasattr(shell, "kernel")


class NotebookProgress:
    """Call it with ``(stage, done, total)``."""

    def __init__(self) -> None:
        self._handles: dict[str, Any] = {}
        self._begun: dict[str, float] = {}
        self._shown: dict[str, float] = {}

    def __call__(self, stage: str, done: float, total: float) -> None:
        """Show that ``done`` of ``total`` of a stage is done."""
        now = time.monotonic()
        begun = self._begun.setdefault(stage, now)
        if done < total and now - self._shown.get(stage, -_PERIOD_S) < _PERIOD_S:
            return
        self._shown[stage] = now
        from IPython.display import HTML, display

        shown = HTML(bar(stage, done, total, now - begun))
        if stage in self._handles:
            self._handles[stage].update(shown)
        else:
            self._handles[stage] = display(shown, display_id=True)

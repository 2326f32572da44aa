"""``python -m v1sim``."""

from __future__ import annotations

from v1sim.cli import main

main()

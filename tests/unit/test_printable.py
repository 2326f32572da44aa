from __future__ import annotations

import pytest

from v1sim.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("e23Cux2 µm → 12\tmV\n", "e23Cux2 µm → 12\tmV\n"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("a\rb", "a\\x0db"),
        ("\x9b2J\x7f", "\\x9b2J\\x7f"),
        ("\u202egnp.h5", "\\u202egnp.h5"),
    ],
)
def test_what_steers_a_terminal_is_spelt_out(text, shown):
    assert printable(text) == shown

"""YAML is read as people mean it, or refused with key and line."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v1sim.errors import ConfigError
from v1sim.yaml_reader import YamlReader, number_in_text


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        YamlReader(text, "x.yaml")
    return str(caught.value)


# PyYAML 6.0 reads YAML 1.1: 010 is 8, 1:40 is 100, 1_000 is 1000, 1:40.5 is 100.5.
@pytest.mark.parametrize(
    ("scalar", "parts"),
    [
        ("010", ["octal", "write it as 10"]),
        ("-017", ["octal", "write it as -17"]),
        ("007", ["octal", "write it as 7"]),
        ("0_10", ["octal", "write it as 10"]),
        ("1:40", ["base 60"]),
        ("1:40.5", ["base 60"]),
        ("1_000", ["underscores", "write it as 1000"]),
        ("1_000.5", ["underscores", "write it as 1000.5"]),
        ("0x1_f", ["underscores"]),
    ],
)
def test_numbers_that_yaml_reads_as_others_are_refused(scalar, parts):
    for text, key in (
        (f"a:\n  b: {scalar}\n", "x.yaml:2 (a.b)"),
        (f"- 1\n- {scalar}\n", "x.yaml:2 (1)"),
    ):
        message = refusal(text)
        assert all(part in message for part in (key, *parts))


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("10", 10), ("0", 0), ("-0", 0), ("-7", -7), ("0.10", 0.1), ("010.5", 10.5), ("0x1f", 31),
        ("0b11", 3), ("'010'", "010"), ("'1:40'", "1:40"), ("1e3", "1e3"), ("1.0e+3", 1000.0),
        ("a_b", "a_b"), ("~", None), ("true", True), ("08", "08"),
    ],
)  # fmt: skip
def test_plain_scalars_are_what_they_say(scalar, value):
    read = YamlReader(f"a: {scalar}\n", "x.yaml").value["a"]
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("text", "whole", "plain"),
    [
        ("08", True, "8"), ("08", False, "8"), ("1e3", True, "1000"), ("1e3", False, "1000.0"),
        ("0o17", True, "15"), ("1.5e0", True, None), (" 12 ", True, "12"), ("high", False, None),
        ("1e999", False, None), ("-1e-3", False, "-0.001"), ("", False, None),
    ],
)  # fmt: skip
def test_the_number_that_a_text_stands_for(text, whole, plain):
    assert number_in_text(text, whole=whole) == plain


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a: .inf\n", ["not a usable number", "x.yaml:1 (a)"]),
        ("a:\n- .nan\n", ["not a usable number", "x.yaml:2 (a.0)"]),
        ("a: 2020-13-45\n", ["cannot be read", "quotes"]),
        ("a: 2020-01-01\n", ["date", "'2020-01-01'"]),
        ("a: !!binary aGk=\n", ["bytes"]),
        ("a: !!int x\n", ["cannot be read"]),
        ("a: !!python/name:print\n", ["cannot be read"]),
        ("a: =\n", ["cannot be read"]),
        ("? [1, 2]\n: 3\n", ["where a key belongs"]),
        ("a: 1\nb: 2\na: 3\n", ["given twice", "line 1", "x.yaml:3"]),
        ("a: 1\n--- \nb: 2\n", ["not YAML"]),
        ("a: [1, 2\n", ["not YAML"]),
        ("[" * 40 + "]" * 40, ["levels deep"]),
        ("a: &x [*x]\n", ["aliases"]),
        ("a: 1\n" + "# " + "x" * 600_000, ["characters"]),
    ],
)  # fmt: skip
def test_what_is_no_configuration_is_refused_with_its_place(text, parts):
    message = refusal(text)
    assert all(part in message for part in parts), message


def test_aliases_that_multiply_are_refused():
    levels = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    levels += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)]
    assert "aliases" in refusal("\n".join(levels))


def test_an_alias_within_bounds_is_read_where_it_stands():
    reader = YamlReader("a: &x {b: 1}\nc: *x\n", "x.yaml")
    assert reader.value == {"a": {"b": 1}, "c": {"b": 1}}


@given(st.text(max_size=60))
def test_no_text_gives_anything_but_values_or_one_error(text):
    with contextlib.suppress(ConfigError):
        YamlReader(text, "x.yaml")


@given(st.lists(st.sampled_from(list("a01:_-.[]{}&*!? \n'\"|>#%@~=,eEx")), max_size=40))
def test_no_yaml_like_text_gives_anything_but_values_or_one_error(characters):
    with contextlib.suppress(ConfigError):
        YamlReader("".join(characters), "x.yaml")

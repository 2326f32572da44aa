"""YAML text to plain values, strictly: nothing is read as another thing than a person meant.

PyYAML reads YAML 1.1, in which ``010`` is eight, ``1:40`` is a hundred and ``1_000`` is a
thousand. Such numbers are refused with their line, as are repeated keys, infinities, and texts
whose nesting or aliases make more of them than a configuration can be.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, Never

import yaml

from v1sim.errors import ConfigError

__all__ = ["KeyPath", "YamlReader", "dotted", "number_in_text"]

KeyPath = tuple[str | int, ...]

#: Far above any configuration or sweep, and read within some seconds.
_MAX_CHARACTERS = 1 << 19
_MAX_DEPTH = 32
_MAX_VALUES = 30_000

#: Plain numbers that YAML 1.1 reads as another number than most people do.
_OCTAL = re.compile(r"[-+]?0[0-7_]*[0-7][0-7_]*$")
_BASE_60 = re.compile(r"[-+]?\d[\d_]*(:[0-5]?\d)+(\.[\d_]*)?$")
_DECIMAL = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?$")
_OTHER_BASE = re.compile(r"[-+]?0[oO][0-7]+$")


class YamlReader:
    """Plain values of a YAML text, and the line of every key and item.

    Parameters
    ----------
    text : str
        The YAML.
    where : str
        What errors call it: a path, or an option of the command line.

    Attributes
    ----------
    value : mapping, list or scalar
        What the text says; an empty text is an empty mapping.
    lines : dict
        Line of each key and item, by its path.

    Raises
    ------
    ConfigError
        If it is not YAML, or holds what v1sim refuses; with the line.
    """

    def __init__(self, text: str, where: str) -> None:
        self.where = where
        self.lines: dict[KeyPath, int] = {}
        self._n_values = 0
        if len(text) > _MAX_CHARACTERS:
            raise ConfigError(
                f"the text has {len(text):,} characters",
                where=where,
                expected=f"a configuration: at most {_MAX_CHARACTERS:,}",
            )
        try:
            self._refuse_sizes(text)
            self._loader = yaml.SafeLoader(text)
            node = self._loader.get_single_node()
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = f":{mark.line + 1}" if mark else ""
            problem = getattr(error, "problem", None) or str(error).splitlines()[0]
            raise ConfigError(
                f"this is not YAML: {problem}", where=f"{where}{line}", hint="check the indentation"
            ) from None
        except ValueError as error:  # of PyYAML 6.0 itself: an escape of a character that is none
            raise ConfigError(f"this is not YAML: {error}", where=where) from None
        self.value = {} if node is None else self._read(node, ())

    def _refuse_sizes(self, text: str) -> None:
        """Before PyYAML composes the text, for which it calls itself at each level."""
        depth = n_values = 0
        for event in yaml.parse(text, yaml.SafeLoader):
            n_values += isinstance(event, yaml.ScalarEvent)
            if n_values > _MAX_VALUES:
                raise ConfigError(
                    f"the text holds more than {_MAX_VALUES:,} keys and values",
                    where=self.where,
                    expected="a configuration",
                )
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > _MAX_DEPTH:
                raise ConfigError(
                    f"lists and mappings are nested more than {_MAX_DEPTH} levels deep",
                    where=self.where,
                    expected="a configuration",
                )

    def _refuse(
        self, seen: str, node: yaml.Node, path: KeyPath, expected: str = "", hint: str = ""
    ) -> Never:
        raise ConfigError(
            seen,
            where=f"{self.where}:{node.start_mark.line + 1} ({dotted(path)})",
            expected=expected or None,
            hint=hint or None,
        )

    def _read(self, node: yaml.Node, path: KeyPath) -> Any:
        self.lines[path] = node.start_mark.line + 1
        self._n_values += 1
        # An alias is read anew wherever it stands: a few lines can stand for any number of values.
        if self._n_values > _MAX_VALUES or len(path) > _MAX_DEPTH:
            self._refuse(
                f"aliases or lists make more than {_MAX_VALUES:,} values, or more than "
                f"{_MAX_DEPTH} levels, of it",
                node,
                path[:1],
                expected="a configuration",
            )
        if isinstance(node, yaml.MappingNode):
            return self._read_mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self._read(item, (*path, i)) for i, item in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)
        return self._read_scalar(node, path)

    def _read_scalar(self, node: yaml.ScalarNode, path: KeyPath) -> Any:
        text = node.value
        if node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float"):
            self._refuse_odd_number(text, node, path)
        try:
            value = self._loader.construct_object(node)
        except Exception as error:  # PyYAML 6.0 lets through what its constructors stumble over
            problem = getattr(error, "problem", None) or "it does not fit its tag"
            self._refuse(
                f"{_shown(text)} cannot be read: {problem}",
                node,
                path,
                hint="put it in quotes where it is a name or a text",
            )
        if isinstance(value, float) and not math.isfinite(value):
            self._refuse(f"{value} is not a usable number", node, path, expected="a finite number")
        if not isinstance(value, str | bool | int | float | None):
            self._refuse(
                f"{_shown(text)} is a {type(value).__name__} to YAML",
                node,
                path,
                expected="a number, a text, true or false",
                hint=f"where it is a name or a text, put it in quotes: '{_shown(text)}'",
            )
        return value

    def _refuse_odd_number(self, text: str, node: yaml.ScalarNode, path: KeyPath) -> None:
        odd = None
        plain = text.replace("_", "")
        if _BASE_60.match(text):
            odd = f"{_shown(text)} is a number in base 60 to YAML 1.1"
            hint = "write the number that is meant in full, or put a text in quotes"
        elif _OCTAL.match(text) and plain.lstrip("+-") != "0":
            odd = f"{_shown(text)} is an octal number to YAML 1.1"
            hint = f"write it as {int(plain, 10)}" if len(plain) < 100 else ""
        elif "_" in text:
            odd = f"{_shown(text)} is a number with underscores"
            hint = f"write it as {plain}" if _DECIMAL.match(plain) else "write it without them"
        if odd is not None:
            self._refuse(odd, node, path, expected="a plain decimal number", hint=hint)

    def _read_mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._refuse("a list or mapping stands where a key belongs", key_node, path)
            key = key_node.value
            line = key_node.start_mark.line + 1
            if key in result:
                raise ConfigError(
                    f"the key is given twice; the first is on line {self.lines[(*path, key)]}",
                    where=f"{self.where}:{line} ({dotted((*path, key))})",
                    hint="delete one of the two",
                )
            result[key] = self._read(value_node, (*path, key))
            self.lines[(*path, key)] = line
        return result


def dotted(path: Sequence[str | int]) -> str:
    """A key as people write it: ``stimulus.trials``."""
    return ".".join(str(part) for part in path) or "the whole file"


def number_in_text(text: str, *, whole: bool) -> str | None:
    """The plain number that a text such as ``08``, ``1e3`` or ``0o17`` stands for, or None.

    Parameters
    ----------
    text : str
        What YAML took as text.
    whole : bool
        Whether a whole number is wanted; None is returned where the text is not one.
    """
    text = text.strip()
    if _OTHER_BASE.match(text):
        return str(int(text, 8))
    if not _DECIMAL.match(text) or len(text) > 100:
        return None
    value = float(text)
    if not math.isfinite(value):
        return None
    if value.is_integer() and (whole or re.fullmatch(r"[-+]?\d+", text)):
        return str(int(text)) if re.fullmatch(r"[-+]?\d+", text) else str(int(value))
    return None if whole else repr(value)


def _shown(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}..."

"""What all documents have: they are made of plain values, checked, and written as JSON."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from v1sim.errors import InputError
from v1sim.output import replacing

__all__ = ["Document", "plain"]

_CONTROL = re.compile("[\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def plain(value: Any) -> Any:
    """A value in the types that JSON knows.

    NaN and infinities become None, arrays lists, paths and the like text.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | None) else str(value)


class Document(BaseModel):
    """A JSON document, or a part of one. Its keys are those of its schema and no others."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """The document of values that need not be plain yet (see `plain`)."""
        return cls.model_validate(plain(values))

    def to_text(self) -> str:
        """The document as JSON."""
        values = self.model_dump(mode="json", by_alias=True)
        text = json.dumps(plain(values), indent=2, ensure_ascii=False, allow_nan=False)
        # JSON escapes the control characters below 32, and a terminal obeys more.
        return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n"

    def write(self, path: Path) -> None:
        """Write it; the file appears whole or not at all.

        Raises
        ------
        OutputError
            If the file cannot be written.
        """
        with replacing(path) as temporary:
            temporary.write_text(self.to_text(), encoding="utf-8")

    @classmethod
    def read(cls, path: Path, *, expected: str, hint: str | None = None) -> Self:
        """The document in a file.

        Parameters
        ----------
        path : Path
            The file.
        expected, hint : str
            For errors: what the file should be, and what to do where it is not.

        Raises
        ------
        InputError
            If there is none, it cannot be read, or it is another document.
        """
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except OSError as error:
            seen = f"cannot be read: {error.strerror}"
        except UnicodeDecodeError:
            seen = "is not text"
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            at = ".".join(map(str, first["loc"])) or "the whole file"
            seen = f"is not the document that it should be: {at}: {first['msg']}"
        raise InputError(seen, where=str(path), expected=expected, hint=hint)

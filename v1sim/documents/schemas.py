"""The JSON Schema of every document, as published in docs/schemas.

``python -m v1sim.documents.schemas docs/schemas`` writes them again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel

from v1sim.documents.batch import ArrayMembers, RunStateDocument
from v1sim.documents.check import CheckDocument, PassDocument
from v1sim.documents.comparison import ComparisonDocument
from v1sim.documents.difference import DifferenceDocument
from v1sim.documents.doctor import DoctorDocument
from v1sim.documents.inspection import InspectionDocument
from v1sim.documents.run import RunReport
from v1sim.documents.statement import StatementDocument
from v1sim.documents.verification import VerificationDocument

__all__ = ["PUBLISHED", "schema_text"]

#: Every document by the name of its schema.
PUBLISHED: Mapping[str, type[BaseModel]] = MappingProxyType(
    {
        "check": CheckDocument,
        "run_report": RunReport,
        "comparison": ComparisonDocument,
        "difference": DifferenceDocument,
        "doctor": DoctorDocument,
        "inspection": InspectionDocument,
        "statement": StatementDocument,
        "verification": VerificationDocument,
        "batch_run_state": RunStateDocument,
        "batch_slurm_array": ArrayMembers,
        "batch_pass": PassDocument,
    }
)


def schema_text(model: type[BaseModel]) -> str:
    """The schema of a document, as JSON that people can read."""
    schema: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **model.model_json_schema(mode="serialization"),
    }
    return json.dumps(schema, indent=2) + "\n"


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, model in PUBLISHED.items():
        (folder / f"{name}.schema.json").write_text(schema_text(model), encoding="utf-8")

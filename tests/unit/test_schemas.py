"""Published schemas are those of the models, and what v1sim writes is valid under them."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from tests.networks import damaged, tiny_network
from tests.unit.test_run_report import make_report
from v1sim import guard
from v1sim.documents.batch import RunStateDocument
from v1sim.documents.check import CheckDocument
from v1sim.documents.schemas import PUBLISHED, schema_text
from v1sim.errors import NetworkFileError
from v1sim.sources.difference import compare_networks, difference_document
from v1sim.verdict import Policy

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"


@pytest.mark.parametrize("name", PUBLISHED)
def test_schemas_are_up_to_date(name):
    text = (SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8")
    again = "python -m v1sim.documents.schemas docs/schemas"
    assert text == schema_text(PUBLISHED[name]), f"write them again: {again}"


def test_no_other_schemas_are_published():
    assert {path.name for path in SCHEMAS.iterdir()} == {f"{n}.schema.json" for n in PUBLISHED}


def validate(name, document):
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(document.to_text()), schema)


def test_what_is_written_is_valid_under_its_schema():
    network = tiny_network(zeros=0.2)
    broken = damaged(network, "recurrent", pre=network.tables["recurrent"].pre + 1000)
    for one in (network, broken):
        validate("check", CheckDocument.of_report(guard.examine(one, Policy())))
    unreadable = NetworkFileError("is no HDF5 file", where="x.h5")
    validate("check", CheckDocument.of_unreadable(unreadable))
    validate("difference", difference_document(compare_networks(network, tiny_network(2))))
    validate("run_report", make_report())
    validate("batch_run_state", RunStateDocument(state="failed", reason="why"))


def test_a_schema_refuses_what_is_not_of_it():
    document = CheckDocument.of_report(guard.examine(tiny_network(), Policy()))
    schema = json.loads((SCHEMAS / "check.schema.json").read_text(encoding="utf-8"))
    values = json.loads(document.to_text())
    for wrong in (values | {"verdict": "fine"}, values | {"extra": 1}, values | {"passed": None}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)

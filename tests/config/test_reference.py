from __future__ import annotations

import json
from pathlib import Path

from lb.config import settings
from lb.config.reference import reference, schema, schema_text

DOCS = Path(__file__).parents[2] / "lb" / "docs"


def test_the_reference_is_current() -> None:
    """If this fails: lb config --reference > lb/docs/configuration.md."""
    assert (DOCS / "configuration.md").read_text() == reference()


def test_the_schema_is_current() -> None:
    """If this fails: lb config --schema > lb/docs/config.schema.json."""
    assert (DOCS / "config.schema.json").read_text() == schema_text()


def test_the_reference_names_every_setting() -> None:
    text = reference()
    assert [one.variable for one in settings() if f"`{one.variable}`" not in text] == []
    assert '| `connect` | `"3s"` | Connecting to a server' in text


def test_the_schema_knows_every_setting_with_its_default_as_the_file_has_it() -> None:
    found = schema()
    assert found["properties"]["healthCheckInterval"]["default"] == "2s"
    assert found["properties"]["port"]["default"] == ":8080"
    assert found["properties"]["lbAlgo"]["enum"]
    assert found["properties"]["servers"]["items"]["anyOf"][0] == {"type": "string"}
    names = {one.keys[0] for one in settings()}
    assert set(found["properties"]) == names
    assert json.loads(schema_text()) == found

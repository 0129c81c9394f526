"""The JSON Schema that editors use says what the models say."""

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from config.schema import business_schema, schema_text

CONFIG = Path(__file__).parents[2] / "config"


def test_the_committed_schema_is_current() -> None:
    committed = (CONFIG / "business.schema.json").read_text(encoding="utf-8")
    assert committed == schema_text(), "run: python -m config.schema > config/business.schema.json"


def fields(part: Any, place: str = "") -> list[tuple[str, dict[str, Any]]]:
    """Every property in the schema, by the path to it."""
    if isinstance(part, list):
        return [field for item in part for field in fields(item, place)]
    if not isinstance(part, dict):
        return []
    own = [(f"{place}.{name}", field) for name, field in part.get("properties", {}).items()]
    return own + [field for name, inner in part.items() for field in fields(inner, f"{place}.{name}")]


def test_every_field_is_described() -> None:
    described = fields(business_schema())
    assert len(described) > 80
    assert [place for place, field in described if not field.get("description")] == []


def accepted(document: Any) -> bool:
    return jsonschema.Draft202012Validator(business_schema()).is_valid(document)


@pytest.mark.parametrize("path", sorted(CONFIG.glob("*.yaml")), ids=lambda path: path.name)
def test_every_bundled_business_agrees_with_the_schema(path: Path) -> None:
    assert accepted(yaml.load(path.read_text(encoding="utf-8"), yaml.BaseLoader))


def test_the_schema_refuses_what_an_editor_can_see() -> None:
    document = yaml.load((CONFIG / "hartley.yaml").read_text(encoding="utf-8"), yaml.BaseLoader)
    assert not accepted(document | {"curency": "USD"})
    assert not accepted(document | {"currency": "USX"})
    assert not accepted({key: value for key, value in document.items() if key != "sources"})
    assert not accepted(document | {"warehouse": {"kind": "duckbd", "path": "a"}})
    document["sources"]["orders"][0]["columns"]["acount_id"] = "a"
    assert not accepted(document)

"""The CustomResourceDefinition says what the types say: its schema is structural, and both judge alike.

The same tables are put to a real API server in tests/cluster/test_crd.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError
from recsys_gateway.document import describe
from recsys_operator.api.crd import as_yaml, custom_resource_definition, openapi_schema
from recsys_operator.api.recommender_system import RecommenderSystem
from recsys_operator.api.status import RecommenderSystemStatus
from recsys_operator.cli import app
from resource_cases import CHANGES, EVERY_FIELD, FIELDS, MINIMAL, RULES, STATUS, Case, Document, breaches, changed
from typer.testing import CliRunner

CHECKED_IN = Path(__file__).parents[2] / "manifests" / "crd" / "recommendersystems.recsys.io.yaml"
SCHEMA = openapi_schema()


def refusal(document: Document) -> str:
    """What the types say of ``document``; "" where they take it."""
    try:
        RecommenderSystem.model_validate(document)
    except ValidationError as error:
        return describe(error)
    return ""


def test_the_checked_in_definition_is_the_one_that_the_types_make() -> None:
    wanted = as_yaml(custom_resource_definition())
    assert CHECKED_IN.read_text("utf-8") == wanted, f"recsys crd > {CHECKED_IN}"


def test_the_command_prints_it() -> None:
    result = CliRunner().invoke(app, ["crd"])
    assert (result.exit_code, yaml.safe_load(result.stdout)) == (0, custom_resource_definition())


def nodes(schema: Document, path: str = "") -> Iterator[tuple[str, Document]]:
    """Every node of the schema with its path."""
    yield path, schema
    for name, field in schema.get("properties", {}).items():
        yield from nodes(field, f"{path}.{name}".lstrip("."))
    for key, mark in (("items", "[]"), ("additionalProperties", "{}")):
        if key in schema:
            yield from nodes(schema[key], f"{path}{mark}")


def test_every_node_has_a_type_and_says_what_lies_in_it() -> None:
    for path, node in nodes(SCHEMA):
        if node.get("x-kubernetes-int-or-string"):
            continue
        assert isinstance(node.get("type"), str), path
        inside = {"properties", "additionalProperties", "x-kubernetes-preserve-unknown-fields"} & node.keys()
        assert len(inside) == (1 if node["type"] == "object" and path != "metadata" else 0), path
        assert ("items" in node) == (node["type"] == "array"), path


def test_nothing_is_left_that_a_structural_schema_refuses() -> None:
    forbidden = {"$ref", "$defs", "anyOf", "oneOf", "allOf", "not", "title", "const", "definitions"}
    assert [(path, forbidden & node.keys()) for path, node in nodes(SCHEMA) if forbidden & node.keys()] == []
    exclusive = [node[key] for _, node in nodes(SCHEMA) for key in ("exclusiveMinimum",) if key in node]
    assert set(exclusive) == {True}


def test_every_field_is_described() -> None:
    bare = [
        f"{path}.{name}"
        for path, node in nodes(SCHEMA)
        for name, field in node.get("properties", {}).items()
        if not field.get("description") and (path, name) != ("", "metadata")
    ]
    assert bare == []


def test_a_keyed_list_requires_its_keys_or_has_defaults_for_them() -> None:
    keyed = {path: node for path, node in nodes(SCHEMA) if node.get("x-kubernetes-list-type") == "map"}
    assert {path.rsplit(".", 1)[-1] for path in keyed} >= {"pools", "env", "conditions", "canaries"}
    for path, node in keyed.items():
        for key in node["x-kubernetes-list-map-keys"]:
            entry = node["items"]
            assert key in entry.get("required", ()) or "default" in entry["properties"][key], f"{path}: {key}"


def with_defaults(schema: Document, value: Any) -> Any:
    """What the API server makes of ``value``: a default where a field is absent, from the outside in."""
    if isinstance(value, dict):
        fields = schema.get("properties", {})
        absent = {name: field["default"] for name, field in fields.items() if "default" in field and name not in value}
        return {name: with_defaults(fields.get(name, {}), each) for name, each in {**value, **absent}.items()}
    if isinstance(value, list):
        return [with_defaults(schema.get("items", {}), each) for each in value]
    return value


def without_nothing(value: Any) -> Any:
    """``value`` without null, [] and {}: they say the same as an absent field."""
    if isinstance(value, dict):
        kept = {name: without_nothing(each) for name, each in value.items()}
        return {name: each for name, each in kept.items() if each not in (None, [], {})}
    return [without_nothing(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("document", [MINIMAL, *EVERY_FIELD], ids=["minimal", "every field", "external parts"])
def test_the_defaults_are_those_of_the_types(document: Document) -> None:
    ours = RecommenderSystem.model_validate(document).model_dump(mode="json", by_alias=True)
    assert without_nothing(with_defaults(SCHEMA, document)) == without_nothing(ours)


@pytest.mark.parametrize("case", RULES, ids=[f"{case.path}: {case.told}" for case in RULES])
def test_a_rule_takes_and_refuses(case: Case) -> None:
    assert refusal(case.with_value(case.accepted)) == ""
    assert case.told in refusal(case.with_value(case.refused))


@pytest.mark.parametrize(("path", "accepted", "refused"), FIELDS)
def test_a_field_takes_and_refuses(path: str, accepted: object, refused: object) -> None:
    assert refusal(changed(path, accepted)) == ""
    assert path in refusal(changed(path, refused))


def test_every_rule_is_tried() -> None:
    told = [case.told for case in RULES] + [change.told for change in CHANGES]
    rules = {rule["message"] for _, node in nodes(SCHEMA) for rule in node.get("x-kubernetes-validations", ())}
    assert {message for message in rules if not any(part in message for part in told)} == set()


def test_every_field_is_in_the_two_whole_resources() -> None:
    given = {path for document in EVERY_FIELD for path in paths(document)}
    fields = {
        path for path, _ in nodes(SCHEMA) if not path.endswith("{}") and not path.startswith(("status", "metadata"))
    }
    assert {path for path in fields - {""} if path.removesuffix("[]") not in given} == set()


def paths(value: Any, path: str = "") -> Iterator[str]:
    yield path
    if isinstance(value, dict):
        for name, each in value.items():
            yield from paths(each, f"{path}.{name}".lstrip("."))
    if isinstance(value, list):
        for each in value:
            yield from paths(each, f"{path}[]")


@pytest.mark.parametrize("document", EVERY_FIELD, ids=["every field", "external parts"])
def test_every_bound_is_the_types_too(document: Document) -> None:
    assert refusal(document) == ""
    spec = {"properties": {"spec": SCHEMA["properties"]["spec"]}}
    tried = list(breaches(spec, {"spec": document["spec"]}))
    taken = [
        (path, str(wrong)[:60]) for path, wrong in tried if not names(path, refusal(changed(path, wrong, document)))
    ]
    assert len(tried) > 50
    assert taken == []


def names(path: str, told: str) -> bool:
    """Whether a message of ours or of the API server names ``path``: pools.0 and pools[0] are the same."""
    return re.sub(r"\[(\d+)\]", r".\1", path) in re.sub(r"\[(\d+)\]", r".\1", told)


def test_every_field_of_a_status_is_declared() -> None:
    """The API server drops what is not, without a word."""
    declared = {path for path, _ in nodes(SCHEMA["properties"]["status"])}
    written = RecommenderSystemStatus.model_validate(STATUS).model_dump(mode="json", by_alias=True)
    assert set(paths(written)) == declared

"""The types of the resource -> its CustomResourceDefinition, with a structural schema as the API server wants it.

pydantic writes a JSON Schema of ``RecommenderSystem``; what differs in the API server's dialect is put right here:
no references, no null, OpenAPI 3.0's exclusive bounds, numbers or strings, free-form objects, and of defaults only
those that say something.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from recsys_operator.api.recommender_system import KIND, RecommenderSystem
from recsys_operator.api.rules import VALIDATIONS
from recsys_operator.api.workload import HTTP_URL

Schema = dict[str, Any]

GROUP = "recsys.io"
VERSION = "v1alpha1"
PLURAL = "recommendersystems"
NAME = f"{PLURAL}.{GROUP}"

PRINTER_COLUMNS: list[Schema] = [
    {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
    {"name": "Endpoint", "type": "string", "jsonPath": ".status.endpoint"},
    {"name": "Tuned", "type": "string", "jsonPath": ".status.tuned"},
    {"name": "Base", "type": "string", "jsonPath": ".status.base"},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    {"name": "Reason", "type": "string", "priority": 1, "jsonPath": '.status.conditions[?(@.type=="Ready")].reason'},
    {"name": "Tuned Model", "type": "string", "priority": 1, "jsonPath": ".spec.models.tuned.model.uri"},
    {"name": "Base Model", "type": "string", "priority": 1, "jsonPath": ".spec.models.base.model.uri"},
]
"""Those with priority 1 show with ``kubectl get -o wide``."""


def custom_resource_definition() -> Schema:
    """As it stands in ``manifests/crd``. It is in no category: ``kubectl delete all --all`` must not take a system."""
    names = {"kind": KIND, "listKind": f"{KIND}List", "plural": PLURAL, "singular": KIND.lower()}
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": openapi_schema()},
        "subresources": {"status": {}},
        "additionalPrinterColumns": PRINTER_COLUMNS,
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": NAME},
        "spec": {
            "group": GROUP,
            "names": names | {"shortNames": ["recsys"]},
            "scope": "Namespaced",
            "versions": [version],
        },
    }


def as_yaml(definition: Schema) -> str:
    return yaml.dump(definition, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


class _Dumper(yaml.SafeDumper):
    """Writes an object in full wherever it stands, without anchors, and text of several lines as such."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def text(self, data: str) -> yaml.ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:str", data, style="|" if "\n" in data else None)


_Dumper.add_representer(str, _Dumper.text)


def openapi_schema() -> Schema:
    """The structural schema of the whole resource."""
    document = RecommenderSystem.model_json_schema(schema_generator=_NoNull)
    schema = _structural(document, document["$defs"])
    properties = schema["properties"]
    # The API server judges these three itself.
    properties["apiVersion"] = {"type": "string", "description": "Version of this schema: recsys.io/v1alpha1."}
    properties["kind"] = {"type": "string", "description": f"Name of this schema: {KIND}."}
    properties["metadata"] = {"type": "object"}
    return schema | {"required": ["spec"]}


class _NoNull(GenerateJsonSchema):
    """Optional fields may be absent, not null; defaults are written as one would write them."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def url_schema(self, schema: core_schema.UrlSchema) -> JsonSchemaValue:
        return {"type": "string", "pattern": HTTP_URL}

    def encode_default(self, dft: Any) -> Any:
        if isinstance(dft, BaseModel):
            return dft.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        if isinstance(dft, tuple):
            return [self.encode_default(entry) for entry in dft]
        return super().encode_default(dft)


_KEPT = (
    "type",
    "description",
    "format",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "minimum",
    "maximum",
    "required",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    VALIDATIONS,
)


def _structural(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    node = _without_reference(node, definitions)
    if "anyOf" in node:
        return _number_or_string(node)
    schema = {key: node[key] for key in _KEPT if key in node}
    if "description" in schema:
        schema["description"] = " ".join(schema["description"].split())
    for bound in ("Minimum", "Maximum"):
        if f"exclusive{bound}" in node:
            schema |= {bound.lower(): node[f"exclusive{bound}"], f"exclusive{bound}": True}
    if "properties" in node:
        schema["properties"] = {name: _structural(each, definitions) for name, each in node["properties"].items()}
    elif node.get("type") == "object":
        schema |= _values(node.get("additionalProperties"), definitions)
    if "items" in node:
        schema["items"] = _structural(node["items"], definitions)
    if _says_something(node.get("default"), schema):
        schema["default"] = _judged_as_written(node["default"], schema)
    return schema


def _without_reference(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    """A field's own description and default go before those of the type that it refers to."""
    if "$ref" not in node:
        return node
    referred = definitions[node["$ref"].removeprefix("#/$defs/")]
    return {**_without_reference(referred, definitions), **{key: node[key] for key in node if key != "$ref"}}


def _values(values: Any, definitions: Mapping[str, Any]) -> Schema:
    """Of a map: a schema of its values, or anything at all."""
    if isinstance(values, Mapping) and values.keys() - {"description"}:
        free = values.get("$ref", "").endswith("JsonValue")
        if not free:
            return {"additionalProperties": _structural(values, definitions)}
    return {"x-kubernetes-preserve-unknown-fields": True}


def _number_or_string(node: Mapping[str, Any]) -> Schema:
    """The one union of the resource: an amount such as 1, 500m or 24Gi."""
    text, number = node["anyOf"]
    if (text.get("type"), number.get("type")) != ("string", "integer"):
        raise TypeError(f"a structural schema cannot say: {node}")
    bounds = {key: each[key] for each in (text, number) for key in ("pattern", "maxLength", "minimum") if key in each}
    return {"x-kubernetes-int-or-string": True, **bounds}


def _says_something(default: Any, schema: Schema) -> bool:
    """An empty list or map is the same as none at all; an empty object is not where defaults lie inside."""
    if default is None or default == []:
        return False
    return default != {} or any("default" in each for each in schema.get("properties", {}).values())


def _judged_as_written(default: Any, schema: Schema) -> Any:
    """An object with rules is given in full: the API server evaluates them on the default before it fills it up."""
    if VALIDATIONS not in schema or not isinstance(default, dict):
        return default
    fields = schema["properties"].items()
    return {name: field["default"] for name, field in fields if "default" in field} | default

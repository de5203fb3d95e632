"""The API server's own schemas as files for kubeconform, which can then judge manifests without the internet."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from controlplane.binaries import Binaries
from controlplane.cluster import Kubectl

Schema = dict[str, Any]
GROUP_VERSION_KIND = "x-kubernetes-group-version-kind"
NUMBERS_AS_TEXT = ("io.k8s.apimachinery.pkg.api.resource.Quantity", "io.k8s.apimachinery.pkg.util.intstr.IntOrString")
LOCATION = "{{.ResourceKind}}-{{.Group}}-{{.ResourceAPIVersion}}.json"


def write_schemas(kubectl: Kubectl, folder: Path) -> None:
    """One file a kind, everything inlined: kubeconform follows no reference across files."""
    definitions: dict[str, Schema] = json.loads(kubectl("get", "--raw", "/openapi/v2"))["definitions"]
    folder.mkdir(parents=True, exist_ok=True)
    for name, definition in definitions.items():
        for kind in definition.get(GROUP_VERSION_KIND, ()):
            if not kind["kind"].endswith("Options"):  # parameters of requests: there under every group
                group = kind["group"] or kind["version"]  # as kubeconform takes "v1" apart
                file = f"{kind['kind'].lower()}-{group}-{kind['version']}.json"
                (folder / file).write_text(json.dumps(_inlined(definitions, definition, (name,))))


def kubeconform(binaries: Binaries, schemas: Path, *paths: Path) -> str:
    """What kubeconform finds wrong in the manifests of ``paths``; empty where nothing is."""
    command = [binaries["kubeconform"], "-output", "text", "-schema-location", f"{schemas}/{LOCATION}", *paths]
    done = subprocess.run(command, capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def _inlined(definitions: Mapping[str, Schema], schema: Schema, above: tuple[str, ...]) -> Schema:
    """Without references (a definition within itself is left open); fields that it does not name are wrong."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix("#/definitions/")
        if name in NUMBERS_AS_TEXT:
            return {"type": ["string", "number"]}
        return {} if name in above else _inlined(definitions, definitions[name], (*above, name))
    if schema.get("x-kubernetes-int-or-string") or schema.get("format") == "int-or-string":
        return {"type": ["string", "integer"]}
    found = dict(schema)
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            found[name] = _inlined(definitions, schema[name], above)
    if "properties" in schema:
        found["properties"] = {k: _inlined(definitions, v, above) for k, v in schema["properties"].items()}
        is_open = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
        found |= {} if is_open else {"additionalProperties": False}
    return found

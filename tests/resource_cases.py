"""What a RecommenderSystem may and may not say: tables that the Python types and the API server are both held to."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

Document = dict[str, Any]

MINIMAL: Document = {
    "apiVersion": "recsys.io/v1alpha1",
    "kind": "RecommenderSystem",
    "metadata": {"name": "shop"},
    "spec": {
        "catalog": {"items": {"uri": "sample://shop"}},
        "models": {"tuned": {"model": {"uri": "sample://tuned"}}, "base": {"model": {"uri": "hf://org/name"}}},
        "embedder": {"model": {"uri": "sample://embedder"}},
        "vectorStore": {"managed": {}},
    },
}
EVERY_FIELD: tuple[Document, ...] = tuple(
    yaml.safe_load_all(Path(__file__).with_name("every_field.yaml").read_text(encoding="utf-8"))
)


def changed(path: str, value: object, document: Document = MINIMAL) -> Document:
    """A copy of ``document`` with ``value`` at ``path``, such as ``spec.models.tuned.pools[0].name``; None takes the
    field away. Objects on the way are made where they are missing."""
    made = copy.deepcopy(document)
    *parents, last = (int(step) if step.isdigit() else step for step in re.findall(r"[^.\[\]]+", path))
    node: Any = made
    for step in parents:
        node = node[step] if isinstance(step, int) else node.setdefault(step, {})
    if value is None:
        node.pop(last, None)
    else:
        node[last] = value
    return made


class Case(NamedTuple):
    """``accepted`` and ``refused`` are values of the field at ``path``, ``given`` those of others beside it.

    ``told`` is part of what both judges say of the refused one.
    """

    path: str
    accepted: object
    refused: object
    told: str
    given: Mapping[str, object] = {}

    def with_value(self, value: object) -> Document:
        document = MINIMAL
        for path, other in self.given.items():
            document = changed(path, other, document)
        return changed(self.path, value, document)


class Change(NamedTuple):
    """``before`` runs; what may become of the field at ``path``, and what may not."""

    path: str
    before: object
    accepted: object
    refused: object
    told: str


def model(uri: str = "hf://org/name", **fields: object) -> Document:
    return {"model": {"uri": uri}, **fields}


def pools(*pools: Document) -> list[Document]:
    """Pools a, b, … with these fields."""
    return [{"name": name, **fields} for name, fields in zip("abcdef", pools, strict=False)]


TUNED = "spec.models.tuned"
OPENAI = {"type": "OpenAI"}
NEXT = {"uri": "hf://org/next"}
EXTERNAL = "https://api.example.org/v1"
ONE_WRITER = "ReadWriteOnce is for one pod a model"
HAS_CACHE = {"spec.modelCache": {}}
SELECTED = {"podSelector": {"matchLabels": {"app": "shop"}}}
ADDRESSES = {"ipBlock": {"cidr": "10.0.0.0/8"}}
ROUTE = {"parentRefs": [{"name": "public"}]}
LONG_NAME = {"metadata.name": "a" * 40}

RULES = (
    Case("metadata.name", "a" * 40, "a" * 41, "40 characters"),
    Case("metadata.name", "shop-2", "2-shop", "metadata.name"),
    Case(f"{TUNED}.pools", [{"name": "a" * 9}], [{"name": "a" * 10}], "pool of models.tuned have more", LONG_NAME),
    Case("spec.models.base", model(), model(pools=[{"name": "a" * 10}]), "pool of models.base have more", LONG_NAME),
    Case("spec.models", {"base": model()}, {}, "give tuned, base, or both"),
    Case(TUNED, model(EXTERNAL, engine=OPENAI), model(EXTERNAL), "engine.type must be OpenAI or Ollama"),
    Case(TUNED, model(EXTERNAL, engine={"type": "Ollama"}), model(engine=OPENAI), "engine.type OpenAI is external"),
    Case(
        TUNED,
        model(canary={"model": NEXT}),
        model(EXTERNAL, engine=OPENAI, canary={"model": NEXT}),
        "a canary runs in pods of its own",
    ),
    Case(f"{TUNED}.canary", {"model": NEXT}, {"model": {"uri": EXTERNAL}}, "a canary runs in pods of its own"),
    Case(
        f"{TUNED}.canary",
        {"model": NEXT, "pool": "b"},
        {"model": NEXT, "pool": "c"},
        "canary.pool names no pool",
        {f"{TUNED}.pools": pools({}, {})},
    ),
    Case(
        f"{TUNED}.pools",
        pools({"replicas": 2}, {"scaling": {"maxReplicas": 3}}),
        pools({"replicas": 2, "scaling": {"maxReplicas": 3}}),
        "replicas and scaling exclude each other",
    ),
    Case(f"{TUNED}.rollout", {"maxSurge": 1, "maxUnavailable": 0}, {"maxUnavailable": 0}, "are both 0"),
    Case(
        "spec.modelCache", {"accessMode": "ReadWriteMany"}, {}, ONE_WRITER, {f"{TUNED}.pools": pools({"replicas": 2})}
    ),
    Case(f"{TUNED}.pools", pools({"replicas": 1}), pools({"replicas": 2}), ONE_WRITER, HAS_CACHE),
    Case(f"{TUNED}.pools", pools({}, {"replicas": 0}), pools({}, {}), ONE_WRITER, HAS_CACHE),
    Case("spec.models.base", model(), model(canary={"model": NEXT}), "models.base may have more", HAS_CACHE),
    Case(
        f"{TUNED}.pools",
        pools({"scaling": {"maxReplicas": 1}}),
        pools({"scaling": {"maxReplicas": 2}}),
        "models.tuned may have more",
        HAS_CACHE,
    ),
    Case(
        f"{TUNED}.engine.env",
        [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        [{"name": "A", "value": "a", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "value and valueFrom exclude each other",
    ),
    Case("spec.embedder", model(EXTERNAL, engine=OPENAI), model(EXTERNAL), "belong together"),
    Case("spec.embedder", model(engine={"type": "TEI"}), model(engine=OPENAI), "belong together"),
    Case("spec.vectorStore", {"external": {"uri": "http://milvus:19530"}}, {}, "give managed or external"),
    Case(
        "spec.vectorStore",
        {"managed": {}},
        {"managed": {}, "external": {"uri": "http://milvus:19530"}},
        "give managed or external",
    ),
    Case(
        "spec.gateway.auth",
        {"secretRef": {"name": "keys"}, "adminSecretRef": {"name": "admin-keys"}},
        {"secretRef": {"name": "keys"}, "adminSecretRef": {"name": "keys"}},
        "adminSecretRef must be another secret",
    ),
    Case(
        "spec.gateway",
        {"ingress": {"host": "shop.example.org"}},
        {"ingress": {"host": "shop.example.org"}, "httpRoute": ROUTE},
        "ingress and httpRoute exclude each other",
    ),
    Case("spec.proxy", {"https": "http://proxy:3128"}, {"noProxy": ["a"]}, "give http, https, or both"),
    Case("spec.networkPolicy.gatewayFrom", [SELECTED], [SELECTED | ADDRESSES], "give ipBlock, or podSelector"),
    Case("spec.networkPolicy.metricsFrom", [ADDRESSES], [{}], "give ipBlock, or podSelector"),
    Case(
        f"{TUNED}.pools",
        pools({"scaling": {"minReplicas": 3, "maxReplicas": 3}}),
        pools({"scaling": {"minReplicas": 4, "maxReplicas": 3}}),
        "minReplicas is more than maxReplicas",
    ),
    Case(
        f"{TUNED}.pools",
        pools({"scaling": {"maxReplicas": 3, "idleReplicas": 1}}),
        pools({"scaling": {"maxReplicas": 3, "idleReplicas": 2}}),
        "idleReplicas is more than minReplicas",
    ),
    Case(f"{TUNED}.pools", [{"name": "canary"}], [{"name": "a-canary"}], "must not end in -canary"),
)
"""Each rule that the types write in ``RULES`` (and the API server as CEL) is here at least once."""

MANAGED = "spec.vectorStore.managed"
CACHE = "spec.modelCache"
CHANGES = (
    Change(MANAGED, {"size": "10Gi"}, {"size": "0.5Ti"}, {"size": "10000Mi"}, "size cannot shrink"),
    Change(MANAGED, {}, {"size": "20Gi"}, {"storageClassName": "fast"}, "storageClassName cannot change"),
    Change(MANAGED, {"storageClassName": "a"}, {"storageClassName": "a"}, {}, "storageClassName cannot change"),
    Change(MANAGED, {}, {"image": "milvus:2"}, {"mode": "Cluster"}, "mode cannot change"),
    Change(CACHE, {"size": "1Ti"}, {"size": "1Ti"}, {"size": "100Gi"}, "size cannot shrink"),
    Change(CACHE, {"storageClassName": "a"}, None, {"storageClassName": "b"}, "storageClassName cannot change"),
    Change(CACHE, {}, {"prefetch": False}, {"accessMode": "ReadWriteMany"}, "accessMode cannot change"),
)
"""Rules about a change. A file alone breaks none of them: only the API server judges these."""

FIELDS = (
    ("spec.deletionPolicy", "Delete", "Keep"),
    ("spec.imagePullSecrets", [{"name": "a"}, {"name": "b"}], [{"name": "a"}, {"name": "a"}]),
    ("spec.imagePullSecrets", [{"name": "registry.example"}], [{"name": "Registry"}]),
    ("spec.caConfigMapRef", {"name": "ca"}, {"key": "ca.crt"}),
    ("spec.caConfigMapRef", {"name": "ca", "key": "a_b.crt"}, {"name": "ca", "key": "a/b"}),
    ("spec.hfEndpoint", "http://[::1]:8080/hub", "hub.example.org"),
    ("spec.hfEndpoint", "https://hub.example.org:65535", "https://hub.example.org:65536"),
    ("spec.prometheus.url", "http://prometheus.monitoring.svc:9090", "http://prometheus monitoring"),
    ("spec.proxy.http", "http://user:word@proxy:3128", "socks5://proxy:1080"),
    ("spec.catalog.items.uri", "pvc://claim/items.csv", "claim/items.csv"),
    ("spec.catalog.items.uri", "configMap://shop/items.csv", "configmap://shop/items.csv"),
    ("spec.catalog.items.uri", "https://data.example.org/items.csv", "ftp://data.example.org/items.csv"),
    ("spec.catalog.items.format", "parquet", "xml"),
    ("spec.catalog.items.columns", {"id": "sku"}, {"id": 1}),
    ("spec.catalog.items.separator", ";", "; and so on"),
    ("spec.catalog.onError", "skip", "ignore"),
    (f"{TUNED}.model.uri", "hf://org/name", "org/name"),
    (f"{TUNED}.model.uri", "s3://bucket/key", "gs://bucket/key"),
    (f"{TUNED}.model.tokenSecretRef", {"name": "hub"}, {"key": "token"}),
    (f"{TUNED}.model.adapters", ["hf://org/a"], ["a"]),
    (f"{TUNED}.engine.type", "SGLang", "sglang"),
    (f"{TUNED}.engine.args", ["--max-batch-size=8"], "--max-batch-size=8"),
    (f"{TUNED}.engine.env", [{"name": "A"}], [{"name": "2A"}]),
    (f"{TUNED}.engine.env", [{"name": "A"}, {"name": "B"}], [{"name": "A"}, {"name": "A", "value": "b"}]),
    (f"{TUNED}.pools", pools({}), []),
    (f"{TUNED}.pools", pools({}, {}), [{"name": "a"}, {"name": "a"}]),
    (f"{TUNED}.pools", [{"name": "a100"}], [{"name": "a.100"}]),
    (f"{TUNED}.pools", pools({"weight": 0.5}), pools({"weight": 0})),
    (f"{TUNED}.pools", pools({"slots": 4096}), pools({"slots": 4097})),
    (f"{TUNED}.pools", pools({"replicas": 0}), pools({"replicas": -1})),
    (f"{TUNED}.pools", pools({"sharedMemory": "8Gi"}), pools({"sharedMemory": "8 GB"})),
    (f"{TUNED}.pools", pools({"scaling": {"maxReplicas": 1}}), pools({"scaling": {}})),
    (
        f"{TUNED}.pools",
        pools({"resources": {"limits": {"nvidia.com/gpu": 1, "memory": "24Gi", "cpu": "500m"}}}),
        pools({"resources": {"limits": {"nvidia.com/gpu": -1}}}),
    ),
    (f"{TUNED}.pools", pools({"tolerations": [{"operator": "Exists"}]}), pools({"tolerations": [{"operator": "In"}]})),
    (f"{TUNED}.pools", pools({"podTemplate": {"any": {"thing": [1]}}}), pools({"podTemplate": []})),
    (f"{TUNED}.canary", {"model": NEXT, "traffic": 100}, {"model": NEXT, "traffic": 101}),
    (f"{TUNED}.canary", {"model": NEXT, "traffic": 0}, {"model": NEXT, "traffic": -1}),
    (f"{TUNED}.canary", {"model": NEXT, "promoteAfter": "1h30m"}, {"model": NEXT, "promoteAfter": "1 hour"}),
    (f"{TUNED}.canary", {"model": NEXT, "abortOn": {"errorRate": 1}}, {"model": NEXT, "abortOn": {"errorRate": 1.5}}),
    ("spec.vectorStore.managed.size", "50Gi", "fifty"),
    ("spec.vectorStore.external", None, {"uri": "milvus:19530"}),
    ("spec.gateway.replicas", 2, 0),
    ("spec.gateway.balancing.policy", "LeastRequest", "Fastest"),
    ("spec.gateway.service.type", "NodePort", "ExternalName"),
    ("spec.gateway.cors", {"allowOrigins": ["*"]}, {"allowOrigins": []}),
    ("spec.gateway.tracing", {"endpoint": "http://collector:4318"}, {"endpoint": "collector:4318"}),
    ("spec.gateway.ingress", {"host": "*.example.org"}, {"host": "https://shop.example.org"}),
    ("spec.gateway.httpRoute", ROUTE, {"parentRefs": []}),
    ("spec.recommendation.size", 100, 101),
    ("spec.recommendation.mode", "ItemTokens", "Items"),
    ("spec.fineTuning.method", "Full", "QLoRA"),
    ("spec.modelCache.accessMode", "ReadOnlyMany", "ReadWriteOncePod"),
    ("spec.monitoring.interval", "30s", "half a minute"),
    ("spec.networkPolicy.gatewayFrom", [ADDRESSES], [{"ipBlock": {"cidr": "10.0.0.0"}}]),
)
"""The schema: the path of a field, a value that it takes, and one that it refuses."""

NOW = "2026-11-27T04:00:00Z"
STATUS: Document = {
    "observedGeneration": 3,
    "endpoint": "http://shop-gateway.default.svc:8080",
    "tuned": "1/2",
    "base": "1/1",
    "models": [
        {"role": "tuned", "pool": "a", "weight": 4, "desired": 2, "ready": 1, "revision": "v1"},
        {"role": "tuned", "pool": "a", "track": "canary", "weight": 4, "desired": 1, "ready": 0},
    ],
    "canaries": [
        {
            "role": "tuned",
            "digest": "1a2b3c4d",
            "stage": "Trial",
            "startedAt": NOW,
            "calls": 40,
            "failures": 1,
            "p95Seconds": 0.8,
            "message": "1 of 40 calls failed.",
        }
    ],
    "conditions": [
        {
            "type": "Ready",
            "status": "False",
            "reason": "PodsNotReady",
            "message": "1 of 2 pods of tuned are ready.",
            "lastTransitionTime": NOW,
            "observedGeneration": 3,
        },
    ],
}
"""Every field of a status."""

PATTERN_BREAKER = "%"
"""Matches no pattern of the resource."""


def breaches(schema: Document, value: Any, path: str = "") -> Iterator[tuple[str, object]]:
    """For every bound of ``schema`` on ``value`` and what lies inside it: the path, and a value just out of bounds.

    None stands for a field that must not be absent.
    """
    if path:
        yield from ((path, wrong) for wrong in _out_of_bounds(schema, value))
    if isinstance(value, dict):
        inside = schema.get("properties", {})
        for name in schema.get("required", ()):
            yield f"{path}.{name}".lstrip("."), None
        for name in inside.keys() & value.keys():
            yield from breaches(inside[name], value[name], f"{path}.{name}".lstrip("."))
    if isinstance(value, list):
        for place, entry in enumerate(value):
            yield from breaches(schema["items"], entry, f"{path}[{place}]")


def _out_of_bounds(schema: Document, value: Any) -> Iterator[object]:
    if "type" in schema:
        yield [["neither"]] if schema["type"] != "array" else "a word"
    if "enum" in schema:
        yield "Unknown"
    if "pattern" in schema:
        yield PATTERN_BREAKER
    if "minimum" in schema:
        yield schema["minimum"] - (0 if schema.get("exclusiveMinimum") else 1)
    if "maximum" in schema:
        yield schema["maximum"] + (0 if schema.get("exclusiveMaximum") else 1)
    if schema.get("minLength"):
        yield ""
    if "maxLength" in schema:
        yield f"{value}{'a' * schema['maxLength']}"
    if schema.get("minItems"):
        yield []
    if "maxItems" in schema:
        yield value[:1] * (schema["maxItems"] + 1)
    if "maxProperties" in schema:
        yield {f"key-{number}": next(iter(value.values())) for number in range(schema["maxProperties"] + 1)}

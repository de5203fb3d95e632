"""What the custom resource takes, and how it says what it does not take."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel
from recsys_operator.api.recommender_system import RecommenderSystem, ResourceError, load_resource
from recsys_operator.api.status import RecommenderSystemStatus
from resource_cases import MINIMAL, changed

EXAMPLES = Path(__file__).parents[2] / "manifests" / "examples"
PACKAGED = Path(__file__).parents[2] / "operator" / "recsys_operator" / "samples" / "quickstart.yaml"

TUNED = "spec.models.tuned"


def written(folder: Path, *documents: object) -> Path:
    path = folder / "shop.yaml"
    path.write_text(yaml.safe_dump_all(documents), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "a" * 40),
        ("metadata.labels", {"team": "search"}),
        ("spec.models.tuned", None),
        ("spec.models.base", None),
        ("spec.vectorStore", {"external": {"uri": "http://milvus.data.svc:19530", "secretRef": {"name": "milvus"}}}),
        ("spec.vectorStore.managed", {"size": "50Gi", "storageClassName": "fast", "mode": "Cluster"}),
        (f"{TUNED}.engine", {"type": "VLLM", "image": "r.example/vllm:1", "args": ["--x"], "env": [{"name": "A"}]}),
        (f"{TUNED}.model", {"uri": "s3://bucket/key", "revision": "v1", "tokenSecretRef": {"name": "hub"}}),
        (f"{TUNED}.pools", [{"name": "a100", "weight": 4, "slots": 32, "replicas": 2, "sharedMemory": "8Gi"}]),
        (f"{TUNED}.pools", [{"name": "a", "scaling": {"minReplicas": 1, "maxReplicas": 1, "idleReplicas": 0}}]),
        (f"{TUNED}.pools", [{"name": "a", "resources": {"limits": {"nvidia.com/gpu": 1, "memory": "24Gi"}}}]),
        (f"{TUNED}.canary", {"model": {"uri": "hf://org/next"}, "traffic": 100, "promoteAfter": "1h30m"}),
        (f"{TUNED}.rollout", {"maxSurge": 1, "maxUnavailable": 0}),
        ("spec.models.base", {"model": {"uri": "https://api.example/v1"}, "engine": {"type": "OpenAI"}}),
        ("spec.models.base", {"model": {"uri": "http://127.0.0.1:11434"}, "engine": {"type": "Ollama"}}),
        ("spec.recommendation", {"size": 5, "mode": "Verbalizer", "diversity": {"lambda": 0.5}}),
        ("spec.fineTuning", {"enabled": True, "method": "Full", "output": "file:///models/shop"}),
        ("spec.modelCache", {"size": "200Gi", "accessMode": "ReadWriteMany"}),
        ("spec.gateway", {"replicas": 3, "auth": {"secretRef": {"name": "keys"}}, "admission": {"maxWaiting": 10}}),
        ("spec.deletionPolicy", "Delete"),
    ],
)
def test_takes(path: str, value: object) -> None:
    RecommenderSystem.model_validate(changed(path, value))


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("apiVersion", "recsys.io/v1", "apiVersion: Input should be 'recsys.io/v1alpha1'"),
        ("metadata.name", "a" * 41, "metadata.name: String should have at most 40 characters"),
        ("metadata.name", "Shop", "metadata.name: String should match pattern"),
        ("spec.catalog", None, "spec.catalog: Field required"),
        ("spec.models", {}, "spec.models: Value error, give tuned, base, or both"),
        (f"{TUNED}.engine.type", "Foo", f"{TUNED}.engine.type: Input should be 'TGI', 'VLLM', 'SGLang'"),
        (f"{TUNED}.engine.kind", "TGI", f"{TUNED}.engine.kind: Extra inputs are not permitted"),
        (f"{TUNED}.model.uri", "org/name", f"{TUNED}.model.uri: String should match pattern"),
        (f"{TUNED}.model.uri", "ftp://a/b", f"{TUNED}.model.uri: String should match pattern"),
        (f"{TUNED}.model.uri", "https://api.example", f"{TUNED}: Value error, model.uri is the address of an external"),
        (f"{TUNED}.engine.type", "OpenAI", f"{TUNED}: Value error, engine.type OpenAI is external"),
        (f"{TUNED}.pools", [], f"{TUNED}.pools: Tuple should have at least 1 item"),
        (
            f"{TUNED}.pools",
            [{"name": "a"}, {"name": "a"}],
            f"{TUNED}.pools: Value error, two entries have the same name: a",
        ),
        (f"{TUNED}.pools", [{"name": "a", "weight": 0}], f"{TUNED}.pools.0.weight: Input should be greater than 0"),
        (f"{TUNED}.pools", [{"name": "a", "slots": 0}], f"{TUNED}.pools.0.slots: Input should be greater than or"),
        (
            f"{TUNED}.pools",
            [{"name": "a", "replicas": 2, "scaling": {"maxReplicas": 3}}],
            f"{TUNED}.pools.0: Value error, replicas and scaling exclude each other",
        ),
        (
            f"{TUNED}.pools",
            [{"name": "a", "scaling": {"minReplicas": 4, "maxReplicas": 3}}],
            f"{TUNED}.pools.0.scaling: Value error, minReplicas is more than maxReplicas",
        ),
        (
            f"{TUNED}.pools",
            [{"name": "a", "scaling": {"maxReplicas": 3, "idleReplicas": 2}}],
            "idleReplicas is more than minReplicas",
        ),
        (f"{TUNED}.canary", {"model": {"uri": "hf://a/b"}, "traffic": 101}, f"{TUNED}.canary.traffic: Input should be"),
        (f"{TUNED}.canary", {"model": {"uri": "hf://a/b"}, "traffic": -1}, f"{TUNED}.canary.traffic: Input should be"),
        (f"{TUNED}.rollout", {"maxSurge": 0, "maxUnavailable": 0}, "maxSurge and maxUnavailable are both 0"),
        ("spec.vectorStore", {}, "spec.vectorStore: Value error, give managed or external, one of them"),
        (
            "spec.vectorStore",
            {"managed": {}, "external": {"uri": "http://milvus:19530"}},
            "spec.vectorStore: Value error, give managed or external, one of them",
        ),
        ("spec.vectorStore.managed.size", "ten", "spec.vectorStore.managed.size: String should match pattern"),
        ("spec.embedder.model.uri", "https://api.example", "spec.embedder: Value error, engine.type OpenAI"),
        ("spec.recommendation.size", 101, "spec.recommendation.size: Input should be less than or equal to 100"),
        ("spec.catalog.items.format", "xml", "spec.catalog.items.format: Input should be 'csv'"),
        ("spec.gateway.replicas", 0, "spec.gateway.replicas: Input should be greater than or equal to 1"),
    ],
)
def test_refuses_with_the_path_of_the_field(tmp_path: Path, path: str, value: object, told: str) -> None:
    file = written(tmp_path, changed(path, value))
    with pytest.raises(ResourceError) as refusal:
        load_resource(file)
    assert str(refusal.value).startswith(f"{file}: ")
    assert told in str(refusal.value)


def test_a_wrong_engine_is_one_line_with_what_was_given(tmp_path: Path) -> None:
    file = written(tmp_path, changed(f"{TUNED}.engine.type", "Foo"))
    with pytest.raises(ResourceError) as refusal:
        load_resource(file)
    assert len(str(refusal.value).splitlines()) == 1
    assert str(refusal.value).endswith("(given: 'Foo')")


def test_two_problems_are_two_lines(tmp_path: Path) -> None:
    document = changed("spec.recommendation.size", 0)
    document["spec"]["catalogue"] = {}
    with pytest.raises(ResourceError) as refusal:
        load_resource(written(tmp_path, document))
    assert len(str(refusal.value).splitlines()) == 2


def test_the_one_system_among_several_documents_is_taken(tmp_path: Path) -> None:
    file = written(tmp_path, {"kind": "Secret", "metadata": {"name": "keys"}}, MINIMAL, None)
    assert load_resource(file).metadata.name == "shop"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "no documents of kind RecommenderSystem"),
        ("kind: ConfigMap", "no documents of kind RecommenderSystem"),
        ("- a\n- b", "no documents of kind RecommenderSystem"),
        ("kind: RecommenderSystem\n---\nkind: RecommenderSystem", "2 documents of kind"),
        ("a: [", r"not YAML: expected .* \(line 1, column 5\)$"),
        ("\x00", "not YAML"),
    ],
)
def test_a_file_without_exactly_one_system_is_refused(tmp_path: Path, content: str, told: str) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(ResourceError, match=told) as refusal:
        load_resource(file)
    assert len(str(refusal.value).splitlines()) == 1


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=r"absent\.yaml: no such file"):
        load_resource(tmp_path / "absent.yaml")


def test_what_is_not_said_has_the_settled_defaults() -> None:
    spec = RecommenderSystem.model_validate(MINIMAL).spec
    assert spec.models.tuned is not None
    assert spec.models.tuned.engine.type == "TGI"
    assert [pool.name for pool in spec.models.tuned.pools] == ["default"]
    assert (spec.models.tuned.rollout.max_surge, spec.models.tuned.rollout.max_unavailable) == (0, 1)
    assert (spec.deletion_policy, spec.network_policy.enabled, spec.recommendation.size) == ("Retain", True, 10)


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.yaml")))
def test_the_examples_are_valid(name: str) -> None:
    assert load_resource(EXAMPLES / name).metadata.name


def test_the_packaged_quickstart_is_the_one_in_the_manifests() -> None:
    assert PACKAGED.read_bytes() == (EXAMPLES / "quickstart.yaml").read_bytes()


def test_every_field_is_described() -> None:
    bare = [
        f"{model.__name__}.{name}"
        for model in _models(RecommenderSystem, RecommenderSystemStatus)
        for name, field in model.model_fields.items()
        if not field.description
    ]
    assert bare == []


def _models(*roots: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """``roots`` and every model that their fields lead to."""
    seen: set[type[BaseModel]] = set()
    waiting: list[Any] = list(roots)
    while waiting:
        kind = waiting.pop()
        waiting += getattr(kind, "__args__", ())
        if isinstance(kind, type) and issubclass(kind, BaseModel) and kind not in seen:
            seen.add(kind)
            waiting += [field.annotation for field in kind.model_fields.values()]
            yield kind

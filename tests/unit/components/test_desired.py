"""All children of a system: what holds for every one of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from example_systems import example
from recsys_gateway.config import Role
from recsys_operator.api.recommender_system import RecommenderSystem
from recsys_operator.components.desired import absent_apis, desired, notes, read_config_maps, wave
from recsys_operator.components.manifest import (
    HTTP_ROUTE,
    MILVUS,
    OPTIONAL_KINDS,
    POD_MONITOR,
    PROMETHEUS_RULE,
    Manifest,
    key_of,
)
from recsys_operator.components.observed import CanaryStage, Observed

EVERYTHING = Observed(apis=frozenset(OPTIONAL_KINDS))
SYSTEMS = {
    "minimal": example("minimal"),
    "full": example("full"),
    "samples": example(
        "minimal",
        models={"base": {"model": {"uri": "sample://base"}}, "tuned": {"model": {"uri": "sample://tuned"}}},
        embedder={"model": {"uri": "sample://embedder"}},
        catalog={"items": {"uri": "sample://shop"}},
    ),
    "sample-encoder-and-certificates": example(
        "minimal", embedder={"model": {"uri": "sample://embedder"}}, caConfigMapRef={"name": "company-ca"}
    ),
    "encoder-in-a-claim": example("full", embedder={"model": {"uri": "pvc://models/minilm", "tokenSecretRef": None}}),
    "tei": example("minimal", embedder={"engine": {"type": "TEI"}}),
    "external": example(
        "minimal",
        models={"base": {"model": {"uri": "https://llm.example.org"}, "engine": {"type": "OpenAI"}}},
        embedder={"model": {"uri": "https://vectors.example.org"}, "engine": {"type": "OpenAI"}},
        vectorStore={"managed": None, "external": {"uri": "http://milvus.data.svc:19530"}},
    ),
    "milvus-cluster": example("minimal", vectorStore={"managed": {"mode": "Cluster"}}),
}
every_system = pytest.mark.parametrize("system", SYSTEMS.values(), ids=SYSTEMS)


def pod_templates(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    for manifest in manifests:
        if manifest["kind"] in {"Deployment", "StatefulSet", "Job"}:
            yield manifest["metadata"]["name"], manifest["spec"]["template"]


def containers(template: Manifest) -> list[Manifest]:
    spec = template["spec"]
    return [*spec.get("initContainers", []), *spec["containers"]]


@every_system
def test_the_same_arguments_give_the_same_children_to_the_letter(system: RecommenderSystem) -> None:
    again = RecommenderSystem.model_validate(system.model_dump(by_alias=True))
    assert json.dumps(desired(system, EVERYTHING)) == json.dumps(desired(again, EVERYTHING))


@every_system
def test_no_two_children_share_a_name_and_every_name_fits_a_label(system: RecommenderSystem) -> None:
    keys = [key_of(manifest) for manifest in desired(system, EVERYTHING)]
    assert len(keys) == len(set(keys))
    assert all(len(key.name) <= 63 for key in keys)


@every_system
def test_every_child_says_whose_it_is(system: RecommenderSystem) -> None:
    for manifest in desired(system, EVERYTHING):
        metadata = manifest["metadata"]
        assert metadata["namespace"] == "shop"
        assert metadata["labels"]["app.kubernetes.io/managed-by"] == "recsys-operator"
        assert metadata["labels"]["recsys.io/system"] == system.metadata.name
        if manifest["kind"] == "PersistentVolumeClaim" and system.spec.deletion_policy == "Retain":
            assert "ownerReferences" not in metadata
            continue
        (owner,) = metadata["ownerReferences"]
        assert owner["uid"] == "0a1b2c3d"
        assert owner["controller"] is True
        assert owner["blockOwnerDeletion"] is False


@every_system
def test_what_pods_read_is_applied_before_them(system: RecommenderSystem) -> None:
    kinds = [manifest["kind"] for manifest in desired(system, EVERYTHING)]
    waves = [wave(kind) for kind in kinds]
    assert waves == sorted(waves)
    assert wave("Role") < wave("RoleBinding") < wave("Deployment")
    for before in ("ConfigMap", "NetworkPolicy", "PersistentVolumeClaim", "ServiceAccount"):
        assert wave(before) < min(map(wave, ("Deployment", "StatefulSet", "Job", "Milvus")))


@every_system
def test_our_own_pods_keep_to_the_restricted_standard(system: RecommenderSystem) -> None:
    """As the API server's admission judges them; the engines' images need "baseline" (docs/design/cluster.md)."""
    ours = ("gateway", "catalog", "embedder", "milvus", "model-cache")
    for name, template in pod_templates(desired(system, EVERYTHING)):
        if template["metadata"]["labels"]["app.kubernetes.io/component"] not in ours:
            continue
        pod = template["spec"]["securityContext"]
        assert pod["runAsNonRoot"] is True, name
        assert pod["runAsUser"] != 0, name
        assert pod["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in containers(template):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name
        assert {kind for volume in template["spec"].get("volumes", []) for kind in volume} <= {
            "name",
            "configMap",
            "emptyDir",
            "persistentVolumeClaim",
            "projected",
            "secret",
        }, name


@every_system
def test_no_pod_gets_a_token_of_the_api_server_by_itself(system: RecommenderSystem) -> None:
    for name, template in pod_templates(desired(system, EVERYTHING)):
        assert template["spec"]["automountServiceAccountToken"] is False, name


@every_system
def test_every_mount_has_its_volume_and_every_volume_is_used(system: RecommenderSystem) -> None:
    for name, template in pod_templates(desired(system, EVERYTHING)):
        volumes = [volume["name"] for volume in template["spec"].get("volumes", [])]
        mounted = {mount["name"] for container in containers(template) for mount in container.get("volumeMounts", [])}
        assert len(volumes) == len(set(volumes)), name
        assert set(volumes) == mounted, name


def test_image_registry_rewrites_every_image_and_its_secrets_go_to_every_pod() -> None:
    for name, template in pod_templates(desired(SYSTEMS["full"], EVERYTHING)):
        assert template["spec"]["imagePullSecrets"] == [{"name": "registry"}], name
        assert all(one["image"].startswith("registry.example.org/ai/") for one in containers(template)), name


def test_the_operator_names_secrets_and_never_their_contents() -> None:
    """No checksum can come of a secret: nothing here could know one. Files of mounted secrets change by themselves."""
    for name, template in pod_templates(desired(SYSTEMS["full"], EVERYTHING)):
        for container in containers(template):
            assert not any("secretKeyRef" in json.dumps(variable) for variable in container.get("env", [])), name


def test_other_certificates_or_another_table_give_new_pods_or_another_job() -> None:
    before = Observed(EVERYTHING.apis, digests={"ConfigMap/company-ca": "1", "ConfigMap/shop-users": "1"})
    authority = Observed(EVERYTHING.apis, digests={**before.digests, "ConfigMap/company-ca": "2"})
    table = Observed(EVERYTHING.apis, digests={**before.digests, "ConfigMap/shop-users": "2"})
    assert read_config_maps(SYSTEMS["full"]) == {"company-ca", "shop-users"}
    assert changed(before, authority) >= {"full-gateway", "full-embedder"}
    (gone, new) = sorted(name for name in changed(before, table))
    assert gone.startswith("full-catalog-")
    assert new.startswith("full-catalog-")


def changed(before: Observed, after: Observed) -> set[str]:
    """Names of workloads that are others than before."""
    first, second = (
        {name: json.dumps(template) for name, template in pod_templates(desired(SYSTEMS["full"], observed))}
        for observed in (before, after)
    )
    return {name for name in {*first, *second} if first.get(name) != second.get(name)}


@pytest.mark.parametrize(
    ("stage", "there"), [(CanaryStage.TRIAL, True), (CanaryStage.PROMOTED, False), (CanaryStage.ABORTED, False)]
)
def test_a_canary_has_pods_while_it_is_on_trial(stage: CanaryStage, there: bool) -> None:
    observed = Observed(EVERYTHING.apis, canaries={Role.TUNED: stage})
    names = {key_of(manifest).name for manifest in desired(SYSTEMS["full"], observed)}
    assert ("full-tuned-t4-canary" in names) is there


def test_what_the_cluster_lacks_is_left_out_and_told() -> None:
    system = example(
        "full",
        vectorStore={"managed": {"mode": "Cluster"}},
        gateway={"ingress": None, "httpRoute": {"parentRefs": [{"name": "edge"}]}},
    )
    nothing = Observed()
    kinds = {manifest["kind"] for manifest in desired(system, nothing)}
    assert not kinds & {"Milvus", "HTTPRoute", "PodMonitor", "PrometheusRule", "ScaledObject"}
    assert {absent.kind for absent in absent_apis(system, nothing)} == {
        MILVUS,
        HTTP_ROUTE,
        POD_MONITOR,
        PROMETHEUS_RULE,
    }
    reasons = {note.reason for note in notes(system, nothing)}
    assert reasons == {"MilvusOperatorAbsent", "GatewayApiAbsent", "MonitoringApiAbsent", "KedaAbsent"}
    assert not absent_apis(system, EVERYTHING)


def test_nothing_is_noted_of_a_system_that_can_be_as_it_is_asked_for() -> None:
    assert notes(SYSTEMS["minimal"], Observed()) == []


def test_a_wrong_encoder_for_tei_is_told() -> None:
    system = example("minimal", embedder={"engine": {"type": "TEI"}, "model": {"uri": "sample://embedder"}})
    (note,) = notes(system, Observed())
    assert note.reason == "WrongFormat"
    assert "engine.type to Triton" in note.message


FILES = {"items": {"uri": "file:///data/items.csv"}, "users": {"uri": "configMap://users/users.csv"}}
OWN_VOLUME = {"spec": {"volumes": [{"name": "data", "hostPath": {"path": "/data"}}]}}


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"catalog": FILES}, "spec.catalog.items.uri"),
        ({"models": {"base": {"model": {"uri": "file:///models/base"}}}}, "spec.models.base.model.uri"),
        ({"embedder": {"model": {"uri": "file:///models/encoder"}}}, "spec.embedder.model.uri"),
    ],
)
def test_a_file_of_one_machine_is_told(spec: dict[str, Any], field: str) -> None:
    (note,) = notes(example("minimal", **spec), Observed())
    assert note.reason == "FileNotInCluster"
    assert field in note.message
    assert "pvc://CLAIM/PATH" in note.message


def test_a_file_in_a_volume_that_the_user_mounts_is_not_told() -> None:
    assert notes(example("minimal", catalog=FILES | {"podTemplate": OWN_VOLUME}), Observed()) == []


def everything_in(value: Any) -> Iterator[Any]:
    yield value
    if isinstance(value, dict):
        for member in value.values():
            yield from everything_in(member)
    if isinstance(value, list):
        for member in value:
            yield from everything_in(member)


@every_system
def test_manifests_are_plain_data(system: RecommenderSystem) -> None:
    """Enumerations and paths would look like strings until somebody writes them as YAML."""
    for manifest in desired(system, EVERYTHING):
        for value in everything_in(manifest):
            assert type(value) in {dict, list, str, int, float, bool}, value

"""What is wrong with a system ends in a condition whose message says what to do."""

from __future__ import annotations

import json
from typing import Any

from controlplane.cluster import Cluster, Kubectl
from installed_operator import System, engine, quickstart


def base(**settings: Any) -> dict[str, Any]:
    return {"models": {"base": engine(**settings)}}


def test_an_image_that_never_pulls(system: System) -> None:
    system.apply(quickstart(**base(image="registry.test/never-pulls:1")))

    message = system.wait_for_reason("ModelsReady", "ImagePullFailed")
    assert "registry.test/never-pulls:1" in message
    assert "imagePullSecrets" in message
    system.wait_for_reason("Ready", "ImagePullFailed")
    system.wait_for_reason("Progressing", "ImagePullFailed")


def test_an_image_that_is_corrected_makes_it_ready(system: System) -> None:
    system.apply(quickstart(**base(image="registry.test/never-pulls:1")))
    system.wait_for_reason("Ready", "ImagePullFailed")
    system.apply(quickstart(**base(image="registry.test/engine:2")))

    system.wait_until_ready()
    assert system.condition("Degraded")["status"] == "False"


def test_a_secret_that_is_not_there(system: System) -> None:
    settings = base()
    settings["models"]["base"]["engine"]["env"] = [
        {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "absent-key", "key": "key"}}}
    ]
    system.apply(quickstart(**settings))

    message = system.wait_for_reason("ModelsReady", "MissingSecret")
    assert f"kubectl -n {system.namespace} create secret generic absent-key" in message


def test_a_secret_that_is_mounted_and_not_there_is_known_from_events_alone(system: System) -> None:
    system.apply(quickstart(gateway={"auth": {"secretRef": {"name": "absent-keys"}}}))

    assert "absent-keys" in system.wait_for_reason("GatewayReady", "MissingSecret")


def test_too_few_gpus(system: System) -> None:
    resources = {"limits": {"nvidia.com/gpu": 64}}
    system.apply(quickstart(**base(pool={"resources": resources})))

    message = system.wait_for_reason("ModelsReady", "InsufficientGpu")
    assert "nvidia.com/gpu" in message


def test_a_storage_class_that_is_not_there(system: System) -> None:
    system.apply(quickstart(vectorStore={"managed": {"storageClassName": "no-such-class"}}))

    assert "no-such-class" in system.wait_for_reason("VectorStoreReady", "MissingStorageClass")


def test_a_load_job_that_fails_tells_its_last_words(system: System) -> None:
    annotations = {"sim/exit-code": "1", "sim/exit-message": "items.csv: no column id"}
    fails = {"name": "catalog", "env": [{"name": "SIM", "value": "sim-fails"}]}
    template = {"metadata": {"annotations": annotations}, "spec": {"containers": [fails]}}
    system.apply(quickstart(catalog=quickstart()["spec"]["catalog"] | {"podTemplate": template}))

    assert "items.csv: no column id" in system.wait_for_reason("CatalogLoaded", "JobRetrying")
    assert system.condition("Ready")["status"] == "False"


def test_a_pod_that_crashes(system: System) -> None:
    annotations = {"sim/exit-code": "2", "sim/exit-message": "no such model"}
    template = {"metadata": {"annotations": annotations}}
    system.apply(quickstart(**base(image="registry.test/sim-fails:1", pool={"podTemplate": template})))

    message = system.wait_for_reason("ModelsReady", "CrashLoop")
    assert "exit code 2" in message
    assert "no such model" in message


def test_a_quota_that_refuses_children(system: System) -> None:
    system("create", "quota", "few", "--hard=count/services=2")
    system.apply(quickstart())

    assert "quota" in system.wait_for_reason("Ready", "Forbidden")


def test_a_spec_that_the_definition_lets_pass_but_that_cannot_be_read_changes_nothing(
    system: System, cluster: Cluster
) -> None:
    """An older definition than the operator's: the API server keeps what the operator refuses."""
    system.apply(quickstart())
    system.wait_until_ready()
    before = {name: body["metadata"]["uid"] for name, body in system.children().items()}
    with lenient_definition(cluster.kubectl):
        system.patch(recommendation={"size": -1})
        message = system.wait_for_reason("Ready", "InvalidSpec")

    assert "spec.recommendation.size" in message
    assert system.get("recsys", system.name)["status"]["observedGeneration"] == 2
    assert {name: body["metadata"]["uid"] for name, body in system.children().items()} == before
    system.patch(recommendation={"size": 5})
    system.wait_until_ready()


class lenient_definition:  # noqa: N801 (reads as what it is where it is used)
    """The resource's definition without the bounds of ``recommendation.size`` meanwhile."""

    def __init__(self, kubectl: Kubectl) -> None:
        self.kubectl = kubectl
        self.before: dict[str, Any] = {}

    def __enter__(self) -> None:
        self.before = self.kubectl.json("get", "crd", "recommendersystems.recsys.io")
        changed = json.loads(json.dumps(self.before))
        schema = changed["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
        size = schema["properties"]["recommendation"]["properties"]["size"]
        for bound in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
            size.pop(bound, None)
        self._replace(changed)

    def __exit__(self, *_: object) -> None:
        self._replace(self.before)

    def _replace(self, body: dict[str, Any]) -> None:
        body = {**body, "metadata": {"name": body["metadata"]["name"]}}
        patch = json.dumps([{"op": "replace", "path": "/spec/versions", "value": body["spec"]["versions"]}])
        self.kubectl("patch", "crd", "recommendersystems.recsys.io", "--type=json", f"--patch={patch}")

"""The models' children on a real API server: each engine's manifests are taken, by pod security admission too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from controlplane.cluster import Cluster, Kubectl, KubectlFailed, as_list
from controlplane.optional_apis import OptionalApi, installed
from example_systems import example
from recsys_gateway.config import EngineType
from recsys_operator.api.recommender_system import RecommenderSystem
from recsys_operator.components.manifest import SCALED_OBJECT, Manifest
from recsys_operator.components.models import model_manifests
from recsys_operator.components.observed import Observed

ENGINES = [engine for engine in EngineType if engine is not EngineType.OPENAI]
UID = "9f6c2f0e-7c52-4a8f-9f5b-3d3c3c1f2a11"


def system(namespace: str, engine: str, uri: str = "hf://shop/llm", **spec: Any) -> RecommenderSystem:
    gpu = {"limits": {"nvidia.com/gpu": 2, "memory": "64Gi"}, "requests": {"cpu": "4"}}
    scaling = {"minReplicas": 1, "maxReplicas": 3, "idleReplicas": 0}
    pools = [
        {"name": "a", "slots": 16, "weight": 2.5, "replicas": 1, "sharedMemory": "2Gi", "resources": gpu},
        {"name": "b", "scaling": scaling, "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}]},
    ]
    base = {
        "model": {"uri": uri, "tokenSecretRef": {"name": "hub"}, "adapters": ["hf://shop/summer"]},
        "engine": {"type": engine, "env": [{"name": "LOG_LEVEL", "value": "warn"}]},
        "pools": pools,
        "canary": {"model": {"uri": uri, "revision": "v2"}},
    }
    if uri.startswith("sample://"):
        base["model"] = {"uri": uri}
    surroundings = {
        "modelCache": {"accessMode": "ReadWriteMany"},
        "caConfigMapRef": {"name": "ca"},
        "proxy": {"https": "http://proxy.example.org:3128"},
        "prometheus": {"url": "http://prometheus.monitoring.svc:9090"},
    }
    return example(
        "minimal", namespace=namespace, uid=UID, models={"tuned": None, "base": base}, **surroundings, **spec
    )


def bare_pod(deployment: Manifest) -> Manifest:
    """What the controllers would make of it: only a pod itself is judged by pod security admission."""
    template = deployment["spec"]["template"]
    spec = {"restartPolicy": "Always", **template["spec"]}
    name = f"{deployment['metadata']['name']}-x"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**template["metadata"], "name": name, "namespace": deployment["metadata"]["namespace"]},
        "spec": spec,
    }


def dry_run(kubectl: Kubectl, *manifests: Manifest) -> Any:
    """As the operator applies it. A field that the API does not know is an error, and so is a warning."""
    flags = ("--server-side", "--dry-run=server", "--validate=strict", "--field-manager=recsys-operator")
    return kubectl("apply", *flags, "--warnings-as-errors", "--filename=-", given=as_list(manifests))


@pytest.fixture(scope="module", params=[True, False], ids=["keda", "no-keda"])
def has_keda(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[bool]:
    with installed(cluster.kubectl, *([OptionalApi.KEDA] if request.param else [])):
        yield request.param


@pytest.mark.parametrize("engine", ENGINES)
def test_the_api_server_takes_each_child(kubectl: Kubectl, namespace: str, engine: EngineType, has_keda: bool) -> None:
    observed = Observed(apis=frozenset({SCALED_OBJECT} if has_keda else ()), digests={"ConfigMap/ca": "1"})
    manifests = model_manifests(system(namespace, engine.value), observed)
    kinds = {manifest["kind"] for manifest in manifests}
    scaler = "ScaledObject" if has_keda else "HorizontalPodAutoscaler"
    assert kinds == {"PersistentVolumeClaim", "Job", "Service", "Deployment", "PodDisruptionBudget", scaler}
    dry_run(kubectl, *manifests)


@pytest.mark.parametrize(
    ("engine", "uri", "standard"),
    [*((engine.value, "hf://shop/llm", "baseline") for engine in ENGINES), ("TGI", "sample://base", "restricted")],
)
def test_pod_security_admission_lets_the_pods_in(
    kubectl: Kubectl, namespace: str, engine: str, uri: str, standard: str
) -> None:
    kubectl("label", "namespace", namespace, f"pod-security.kubernetes.io/enforce={standard}")
    manifests = model_manifests(system(namespace, engine, uri), Observed())
    dry_run(kubectl, *(bare_pod(manifest) for manifest in manifests if manifest["kind"] == "Deployment"))


def test_the_prefetch_job_fits_the_restricted_standard(kubectl: Kubectl, namespace: str) -> None:
    kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    (job,) = [each for each in model_manifests(system(namespace, "TGI"), Observed()) if each["kind"] == "Job"]
    dry_run(kubectl, bare_pod(job))


def test_pod_security_admission_would_have_said_no(kubectl: Kubectl, namespace: str) -> None:
    """The tests above can fail: an engine's pod is no restricted one."""
    kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    manifests = model_manifests(system(namespace, "TGI"), Observed())
    deployment = next(manifest for manifest in manifests if manifest["kind"] == "Deployment")
    with pytest.raises(KubectlFailed, match='violates PodSecurity "restricted'):
        dry_run(kubectl, bare_pod(deployment))

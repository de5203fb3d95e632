"""The children of a system before a real API server: it takes them as they are, and gives them back as they are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from controlplane.cluster import Kubectl, KubectlFailed, as_list
from controlplane.optional_apis import OptionalApi, installed
from example_systems import RESOURCES, example
from recsys_operator.api.crd import custom_resource_definition
from recsys_operator.api.recommender_system import RecommenderSystem
from recsys_operator.components.desired import desired
from recsys_operator.components.labels import COMPONENT, MANAGER
from recsys_operator.components.manifest import OPTIONAL_KINDS, Manifest
from recsys_operator.components.observed import Observed

EVERYTHING = Observed(apis=frozenset(OPTIONAL_KINDS))
ENGINES = "model"
"""The component whose pods are other people's images: they need the standard "baseline"."""
SPECS: dict[str, dict[str, Any]] = {
    "minimal": {},
    "full": {},
    "tei": {"embedder": {"engine": {"type": "TEI"}}},
    "milvus-cluster": {"vectorStore": {"managed": {"mode": "Cluster"}}},
    "http-route": {"gateway": {"httpRoute": {"parentRefs": [{"name": "edge"}], "hostnames": ["shop.example.org"]}}},
    "external": {
        "models": {"base": {"model": {"uri": "https://llm.example.org"}, "engine": {"type": "OpenAI"}}},
        "embedder": {"model": {"uri": "https://vectors.example.org"}, "engine": {"type": "OpenAI"}},
        "vectorStore": {"managed": None, "external": {"uri": "http://milvus.data.svc:19530"}},
    },
}


@pytest.fixture(scope="module")
def optional_apis(cluster: Any) -> Iterator[None]:
    with installed(cluster.kubectl, *OptionalApi):
        yield


@pytest.fixture(params=SPECS)
def system(request: pytest.FixtureRequest, namespace: str) -> RecommenderSystem:
    name = "full" if request.param == "full" else "minimal"
    return example(name, namespace=namespace, **SPECS[request.param])


def dry_run(kubectl: Kubectl, *manifests: Manifest) -> str:
    """The server judges all of it, unknown fields too, and keeps nothing."""
    options = ("--server-side", f"--field-manager={MANAGER}", "--dry-run=server", "--validate=strict")
    return kubectl("apply", *options, "--filename=-", given=as_list(manifests))


def enforce(kubectl: Kubectl, namespace: str, standard: str) -> None:
    kubectl("label", "namespace", namespace, "--overwrite", f"pod-security.kubernetes.io/enforce={standard}")


def pods(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """A pod of each template, with its component."""
    for manifest in manifests:
        if manifest["kind"] in {"Deployment", "StatefulSet", "Job"}:
            template = manifest["spec"]["template"]
            # The account is made with the rest: here it need not be there.
            spec = {key: value for key, value in template["spec"].items() if key != "serviceAccountName"}
            metadata = {
                "name": f"probe-{manifest['metadata']['name']}",
                "namespace": manifest["metadata"]["namespace"],
                "labels": template["metadata"]["labels"],
            }
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"restartPolicy": "Never", **spec}}
            yield template["metadata"]["labels"][COMPONENT], pod


@pytest.mark.usefixtures("optional_apis")
def test_the_api_server_takes_every_child(kubectl: Kubectl, system: RecommenderSystem) -> None:
    children = desired(system, EVERYTHING)
    answer = dry_run(kubectl, *children)
    assert answer.count("serverside-applied") == len(children)


def test_our_own_pods_run_where_only_restricted_ones_may(kubectl: Kubectl, system: RecommenderSystem) -> None:
    enforce(kubectl, system.metadata.namespace or "", "restricted")
    ours = [pod for component, pod in pods(desired(system, EVERYTHING)) if component != ENGINES]
    assert ours
    dry_run(kubectl, *ours)


def test_the_engines_pods_run_where_baseline_is_allowed(kubectl: Kubectl, namespace: str) -> None:
    engines = [
        pod
        for name in ("minimal", "full")
        for component, pod in pods(desired(example(name, namespace=namespace), EVERYTHING))
        if component == ENGINES
    ]
    enforce(kubectl, namespace, "baseline")
    dry_run(kubectl, *engines)
    enforce(kubectl, namespace, "restricted")
    for pod in engines:
        with pytest.raises(KubectlFailed, match="violates PodSecurity"):
            dry_run(kubectl, pod)


@pytest.fixture
def applied(
    kubectl: Kubectl, namespace: str, optional_apis: None
) -> Iterator[tuple[RecommenderSystem, list[Manifest]]]:
    """``full`` and its children as the operator makes them. Only the owner's real uid keeps them from collection."""
    definition = custom_resource_definition()
    kubectl.apply(definition)
    kubectl("wait", f"crd/{definition['metadata']['name']}", "--for=condition=Established", "--timeout=30s")
    kubectl("apply", f"--namespace={namespace}", f"--filename={RESOURCES / 'full.yaml'}")
    uid = kubectl.json("get", "recommendersystems.recsys.io", "full", f"--namespace={namespace}")["metadata"]["uid"]
    system = example("full", namespace=namespace, uid=uid)
    children = desired(system, EVERYTHING)
    kubectl.apply(*children, manager=MANAGER)
    yield system, children
    kubectl("delete", "recommendersystems.recsys.io", "full", f"--namespace={namespace}", "--wait=false")


def live(kubectl: Kubectl, children: list[Manifest]) -> dict[tuple[str, str], Manifest]:
    options = ("--filename=-", "--show-managed-fields", "--output=json")
    items = json.loads(kubectl("get", *options, given=as_list(children)))["items"]
    return {(item["kind"], item["metadata"]["name"]): item for item in items}


def ours(manifest: Manifest) -> tuple[Any, Any]:
    """What changes with a write of the operator: the generation, and the time of its last write."""
    metadata = manifest["metadata"]
    (entry,) = (entry for entry in metadata["managedFields"] if entry["manager"] == MANAGER)
    return metadata.get("generation"), entry


def test_applying_the_same_again_changes_nothing(
    kubectl: Kubectl, applied: tuple[RecommenderSystem, list[Manifest]]
) -> None:
    """An idle operator must not write."""
    _, children = applied
    before = live(kubectl, children)
    kubectl.apply(*children, manager=MANAGER)
    after = live(kubectl, children)
    assert {key: ours(manifest) for key, manifest in after.items()} == {
        key: ours(manifest) for key, manifest in before.items()
    }


def test_every_field_comes_back_as_it_was_sent(
    kubectl: Kubectl, applied: tuple[RecommenderSystem, list[Manifest]]
) -> None:
    """What the server writes in its own way, or drops, would look like drift for ever."""
    _, children = applied
    found = live(kubectl, children)
    for manifest in children:
        key = manifest["kind"], manifest["metadata"]["name"]
        assert_contains(found[key], manifest, " ".join(key))


def assert_contains(there: Any, sent: Any, path: str) -> None:
    """``sent`` is in ``there``; defaults that the server adds are fine."""
    if isinstance(sent, dict):
        for key, value in sent.items():
            assert key in there, f"{path}.{key}"
            assert_contains(there[key], value, f"{path}.{key}")
    elif isinstance(sent, list):
        assert len(there) == len(sent), path
        for index, value in enumerate(sent):
            assert_contains(there[index], value, f"{path}[{index}]")
    else:
        assert there == sent, path

"""The definition on a real API server: it is taken, and it judges every table as the Python types do.

Resources are created and patched as dry runs, with unknown fields refused, as ``kubectl apply --dry-run=server`` does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from controlplane.cluster import Cluster, Kubectl, KubectlFailed
from kubernetes import client, config
from namespaces import new_namespace
from recsys_operator.api.crd import GROUP, NAME, PLURAL, VERSION, custom_resource_definition, openapi_schema
from recsys_operator.api.recommender_system import RecommenderSystem
from resource_cases import (
    CHANGES,
    EVERY_FIELD,
    FIELDS,
    MINIMAL,
    RULES,
    STATUS,
    Case,
    Change,
    Document,
    breaches,
    changed,
)

EXAMPLES = sorted((Path(__file__).parents[2] / "manifests" / "examples").glob("*.yaml"))
WHOLE = pytest.mark.parametrize("document", EVERY_FIELD, ids=["every field", "external parts"])


class ApiServer:
    """Judges resources in ``namespace``; a refusal is its message, "" is none."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.namespace = namespace
        self._objects = client.CustomObjectsApi(config.new_client_from_config(str(cluster.kubeconfig)))
        self._where = {"group": GROUP, "version": VERSION, "namespace": namespace, "plural": PLURAL}

    def create(self, document: Document, *, dry_run: str | None = "All") -> Document:
        """The resource as the API server would keep it."""
        made: Document = self._objects.create_namespaced_custom_object(
            **self._where, body=document, dry_run=dry_run, field_validation="Strict"
        )
        return made

    def refusal(self, document: Document) -> str:
        try:
            self.create(document)
        except client.ApiException as error:
            return _message(error)
        return ""

    def refusal_of_change(self, name: str, document: Document) -> str:
        """Of ``document`` in place of the resource ``name``."""
        found = self._objects.get_namespaced_custom_object(**self._where, name=name)
        body = {**document, "metadata": {"name": name, "resourceVersion": found["metadata"]["resourceVersion"]}}
        try:
            self._objects.replace_namespaced_custom_object(**self._where, name=name, body=body, dry_run="All")
        except client.ApiException as error:
            return _message(error)
        return ""


def _message(error: client.ApiException) -> str:
    assert error.status in (400, 422), error
    return str(json.loads(error.body)["message"])


@pytest.fixture(scope="module", autouse=True)
def definition(cluster: Cluster) -> None:
    cluster.kubectl.apply(custom_resource_definition())
    cluster.kubectl("wait", f"crd/{NAME}", "--for=condition=Established", "--timeout=30s")


@pytest.fixture(scope="module")
def api_server(cluster: Cluster, definition: None) -> Iterator[ApiServer]:
    with new_namespace(cluster.kubectl) as name:
        yield ApiServer(cluster, name)


def test_the_definition_is_structural_and_its_names_are_free(kubectl: Kubectl) -> None:
    """NonStructuralSchema and rules that cost too much are told in conditions and by refusal."""
    found = kubectl.json("get", "crd", NAME)["status"]
    conditions = {each["type"]: each["status"] for each in found["conditions"]}
    assert conditions == {"NamesAccepted": "True", "Established": "True"}
    assert found["acceptedNames"]["shortNames"] == ["recsys"]


@pytest.mark.parametrize("case", RULES, ids=[f"{case.path}: {case.told}" for case in RULES])
def test_a_rule_takes_and_refuses(api_server: ApiServer, case: Case) -> None:
    assert api_server.refusal(case.with_value(case.accepted)) == ""
    assert case.told in api_server.refusal(case.with_value(case.refused))


@pytest.mark.parametrize(("path", "accepted", "refused"), FIELDS)
def test_a_field_takes_and_refuses(api_server: ApiServer, path: str, accepted: object, refused: object) -> None:
    assert api_server.refusal(changed(path, accepted)) == ""
    assert path in api_server.refusal(changed(path, refused))


@pytest.mark.parametrize("change", CHANGES, ids=[f"{change.path}: {change.told}" for change in CHANGES])
def test_a_change_is_taken_or_refused(api_server: ApiServer, kubectl: Kubectl, change: Change) -> None:
    running = changed("metadata.name", "running", changed(change.path, change.before))
    api_server.create(running, dry_run=None)
    try:
        assert api_server.refusal_of_change("running", changed(change.path, change.accepted, running)) == ""
        assert change.told in api_server.refusal_of_change("running", changed(change.path, change.refused, running))
    finally:
        kubectl("delete", "recsys", "running", f"--namespace={api_server.namespace}")


@WHOLE
def test_every_bound_is_the_api_servers_too(api_server: ApiServer, document: Document) -> None:
    assert api_server.refusal(document) == ""
    spec = {"properties": {"spec": openapi_schema()["properties"]["spec"]}}
    tried = list(breaches(spec, {"spec": document["spec"]}))
    taken = [
        (path, str(wrong)[:60], told[:300])
        for path, wrong in tried
        if path not in (told := api_server.refusal(changed(path, wrong, document)))
    ]
    assert taken == []


@pytest.mark.parametrize("path", ["spec.catalogue", "spec.models.tuned.pool", "spec.gateway.auth.secretRef.kind"])
def test_a_misspelt_field_is_refused_by_name(api_server: ApiServer, path: str) -> None:
    document = changed("spec.gateway.auth", {"secretRef": {"name": "keys"}})
    assert path in api_server.refusal(changed(path, "anything", document))


@pytest.mark.parametrize("document", [MINIMAL, *EVERY_FIELD], ids=["minimal", "every field", "external parts"])
def test_what_the_api_server_keeps_is_taken_again(api_server: ApiServer, document: Document) -> None:
    """Defaults are filled in, metadata comes with managed fields: it still is the system that was asked for."""
    kept = api_server.create(document)
    assert kept["metadata"]["managedFields"]
    ours, theirs = (RecommenderSystem.model_validate(each) for each in (document, kept))
    assert theirs.spec == ours.spec
    assert theirs.metadata.uid
    assert kept["spec"]["gateway"]["balancing"] == ours.spec.gateway.balancing.model_dump(mode="json", by_alias=True)


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.name for path in EXAMPLES])
def test_the_examples_are_taken(kubectl: Kubectl, namespace: str, path: Path) -> None:
    told = kubectl("apply", "--server-side", "--dry-run=server", f"--namespace={namespace}", f"--filename={path}")
    name = yaml.safe_load(path.read_text("utf-8"))["metadata"]["name"]
    assert f"recommendersystem.recsys.io/{name} serverside-applied" in told


def test_two_managers_share_the_pools_of_a_model(kubectl: Kubectl, namespace: str) -> None:
    """Lists with keys are merged entry by entry: an application of one pool leaves another's alone."""
    pools = "spec.models.tuned.pools"
    kubectl.apply(changed(pools, [{"name": "a"}]), namespace=namespace, manager="one")
    only_pools = {**MINIMAL, "spec": {"models": {"tuned": {"pools": [{"name": "b", "replicas": 2}]}}}}
    # kubectl's own validation wants the required fields in every application; the API server wants them in the result.
    options = ("--server-side", "--field-manager=two", "--validate=false", f"--namespace={namespace}", "--filename=-")
    kubectl("apply", *options, given=json.dumps(only_pools))
    found: Any = kubectl.json("get", "recsys", "shop", f"--namespace={namespace}")
    assert {pool["name"] for pool in found["spec"]["models"]["tuned"]["pools"]} == {"a", "b"}


def test_a_status_is_kept_whole_and_shown_in_columns(kubectl: Kubectl, namespace: str) -> None:
    where = f"--namespace={namespace}"
    kubectl.apply(MINIMAL, namespace=namespace)
    assert kubectl("get", "recsys", where).splitlines()[0].split() == [
        *("NAME", "READY", "ENDPOINT", "TUNED", "BASE", "AGE")
    ]
    kubectl(
        "patch", "recsys", "shop", where, "--subresource=status", "--type=merge", "-p", json.dumps({"status": STATUS})
    )
    row = kubectl("get", "recsys", "shop", where, "--no-headers").split()
    assert row[:-1] == ["shop", "False", STATUS["endpoint"], "1/2", "1/1"]
    assert re.fullmatch(r"\d+m?s", row[-1])
    wide = kubectl("get", "recsys", "shop", where, "--output=wide", "--no-headers").split()
    assert wide[-3:] == ["PodsNotReady", "sample://tuned", "hf://org/name"]
    kept = RecommenderSystem.model_validate(kubectl.json("get", "recsys", "shop", where)).status
    assert kept is not None
    assert kept == RecommenderSystem.model_validate({**MINIMAL, "status": STATUS}).status


def test_a_change_of_the_spec_counts_and_one_of_the_status_does_not(kubectl: Kubectl, namespace: str) -> None:
    where = f"--namespace={namespace}"
    kubectl.apply(MINIMAL, namespace=namespace)
    kubectl(
        "patch", "recsys", "shop", where, "--subresource=status", "--type=merge", "-p", '{"status": {"base": "0/1"}}'
    )
    assert kubectl.json("get", "recsys", "shop", where)["metadata"]["generation"] == 1
    kubectl(
        "patch", "recsys", "shop", where, "--type=merge", "-p", '{"spec": {"paused": true}, "status": {"base": "no"}}'
    )
    found = kubectl.json("get", "recsys", "shop", where)
    assert (found["metadata"]["generation"], found["status"]["base"]) == (2, "0/1")


def test_one_can_wait_for_a_condition(kubectl: Kubectl, namespace: str) -> None:
    kubectl.apply(MINIMAL, namespace=namespace)
    ready = [STATUS["conditions"][0] | {"status": "True", "reason": "AllReady"}]
    body = json.dumps({"status": {"conditions": ready}})
    where = f"--namespace={namespace}"
    with pytest.raises(KubectlFailed, match="timed out"):
        kubectl("wait", "recsys/shop", where, "--for=condition=Ready", "--timeout=1s")
    kubectl("patch", "recsys", "shop", where, "--subresource=status", "--type=merge", "-p", body)
    kubectl("wait", "recsys/shop", where, "--for=condition=Ready", "--timeout=10s")


def test_the_schema_can_be_read_with_kubectl_explain(kubectl: Kubectl) -> None:
    told = kubectl("explain", "recsys.spec.models.tuned.canary.traffic")
    assert "Per cent of the calls." in told

"""The gateway's pods, its account and the ways to it."""

from __future__ import annotations

from typing import Any

import pytest
from example_systems import example
from recsys_operator.components.gateway import gateway_manifests
from recsys_operator.components.manifest import HTTP_ROUTE, Manifest
from recsys_operator.components.observed import Observed


def children(name: str = "minimal", observed: Observed = Observed(), **spec: Any) -> dict[str, Manifest]:  # noqa: B008 frozen
    return {manifest["kind"]: manifest for manifest in gateway_manifests(example(name, **spec), observed)}


def pod(name: str = "minimal", **spec: Any) -> Manifest:
    found: Manifest = children(name, **spec)["Deployment"]["spec"]["template"]["spec"]
    return found


def test_the_account_may_look_at_endpoint_slices_and_do_nothing_else() -> None:
    found = children()
    assert found["Role"]["rules"] == [
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["get", "list", "watch"]}
    ]
    assert found["RoleBinding"]["roleRef"]["name"] == found["Role"]["metadata"]["name"]
    assert found["RoleBinding"]["subjects"] == [
        {"kind": "ServiceAccount", "name": "minimal-gateway", "namespace": "shop"}
    ]
    assert pod()["serviceAccountName"] == found["ServiceAccount"]["metadata"]["name"]


def test_its_token_is_short_lived_and_mounted_where_clients_look() -> None:
    (volume,) = (volume for volume in pod()["volumes"] if volume["name"] == "api-token")
    token, authority, _ = volume["projected"]["sources"]
    assert token["serviceAccountToken"]["expirationSeconds"] == 3600
    assert authority["configMap"]["name"] == "kube-root-ca.crt"
    (mount,) = (mount for mount in pod()["containers"][0]["volumeMounts"] if mount["name"] == "api-token")
    assert mount["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount"


def test_a_stopping_pod_has_time_to_leave_to_drain_and_to_close() -> None:
    assert pod(gateway={"admission": {"drainSeconds": 90}})["terminationGracePeriodSeconds"] == 5 + 90 + 5
    assert pod()["containers"][0]["lifecycle"]["preStop"]["exec"]["command"] == ["sleep", "5"]


def test_a_gateway_is_ready_when_it_can_answer_and_alive_while_it_runs() -> None:
    (container,) = pod()["containers"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert container["startupProbe"]["httpGet"]["path"] == "/healthz"


def test_no_gateway_is_taken_down_before_another_is_there() -> None:
    strategy = children()["Deployment"]["spec"]["strategy"]["rollingUpdate"]
    assert strategy == {"maxSurge": 1, "maxUnavailable": 0}
    assert children()["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1


def test_keys_and_tokens_are_files() -> None:
    secrets = {volume["name"]: volume["secret"] for volume in pod("full")["volumes"] if "secret" in volume}
    assert secrets["keys"] == {"secretName": "shop-keys", "defaultMode": 0o440}
    assert secrets["admin-keys"]["secretName"] == "shop-admins"
    assert secrets["engine-base"]["items"] == [{"key": "api-key", "path": "token"}]


def test_the_tokenizer_is_fetched_for_triton_and_comes_with_the_image_for_the_sample() -> None:
    assert [one["name"] for one in pod()["initContainers"]] == ["fetch-0"]
    assert "initContainers" not in pod(embedder={"model": {"uri": "sample://embedder"}})
    assert "initContainers" not in pod(embedder={"engine": {"type": "TEI"}})


def test_a_cache_for_one_pod_is_not_waited_for() -> None:
    """The model's pod holds a read-write-once volume: a gateway on another node would never start."""
    own = {volume["name"]: volume for volume in pod(modelCache={})["volumes"]}["models"]
    assert own == {"name": "models", "emptyDir": {}}
    shared = {volume["name"]: volume for volume in pod(modelCache={"accessMode": "ReadWriteMany"})["volumes"]}["models"]
    assert shared["persistentVolumeClaim"]["claimName"] == "minimal-model-cache"


def test_pod_template_is_merged_last() -> None:
    template = children("full")["Deployment"]["spec"]["template"]
    assert template["spec"]["dnsConfig"] == {"options": [{"name": "ndots", "value": "2"}]}
    assert template["metadata"]["annotations"]["team"] == "search"
    assert "recsys.io/checksum" in template["metadata"]["annotations"]


def test_an_ingress_leads_to_the_service() -> None:
    found = children("full")
    ingress = found["Ingress"]["spec"]
    assert ingress["ingressClassName"] == "nginx"
    assert ingress["tls"] == [{"hosts": ["shop.example.org"], "secretName": "shop-tls"}]
    (rule,) = ingress["rules"]
    backend = rule["http"]["paths"][0]["backend"]["service"]
    assert backend["name"] == found["Service"]["metadata"]["name"]
    assert backend["port"]["name"] in {port["name"] for port in found["Service"]["spec"]["ports"]}


@pytest.mark.parametrize("served", [True, False])
def test_an_http_route_is_made_where_the_cluster_has_the_gateway_api(served: bool) -> None:
    parents = [{"name": "edge", "namespace": "infra", "sectionName": "https"}]
    route = {"parentRefs": parents, "hostnames": ["shop.example.org"]}
    observed = Observed(apis=frozenset({HTTP_ROUTE} if served else ()))
    found = children("minimal", observed, gateway={"httpRoute": route})
    assert ("HTTPRoute" in found) is served
    if served:
        spec = found["HTTPRoute"]["spec"]
        assert spec["parentRefs"] == parents
        assert spec["hostnames"] == ["shop.example.org"]
        assert spec["rules"] == [{"backendRefs": [{"name": "minimal-gateway", "port": 80}]}]


def test_the_service_is_as_the_resource_wants_it() -> None:
    service = children("full")["Service"]
    assert service["spec"]["type"] == "LoadBalancer"
    assert service["metadata"]["annotations"] == {"lb.example.org/internal": "true"}

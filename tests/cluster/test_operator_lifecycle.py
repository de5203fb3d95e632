"""A RecommenderSystem's life on a real control plane: made, repaired, changed, deleted, made again."""

from __future__ import annotations

import json
import time
from datetime import datetime

import pytest
from installed_operator import System, engine, quickstart
from recsys_operator.api.recommender_system import RecommenderSystem
from recsys_operator.components.desired import desired
from recsys_operator.components.observed import Observed
from running_operator import RunningOperator
from waiting import wait_for


@pytest.fixture
def applied(system: System) -> System:
    """The quickstart, not waited for."""
    system.apply(quickstart())
    return system


def wanted(system: System) -> set[str]:
    body = system.get("recsys", system.name)
    body.pop("status", None)
    manifests = desired(RecommenderSystem.model_validate(body), Observed())
    return {f"{manifest['kind']}/{manifest['metadata']['name']}" for manifest in manifests}


def test_the_quickstart_becomes_ready_and_has_exactly_its_children(applied: System) -> None:
    system = applied
    system.wait_until_ready()

    assert set(system.children()) == wanted(system)
    status = system.get("recsys", system.name)["status"]
    assert status["endpoint"] == f"http://quickstart-gateway.{system.namespace}.svc"
    assert (status["tuned"], status["base"]) == ("1/1", "1/1")
    assert status["observedGeneration"] == 1
    assert {reason for reason, _ in system.events()} == {"Created", "Ready"}


def test_each_child_is_made_by_one_request(applied: System, operator: RunningOperator) -> None:
    system = applied
    system.wait_until_ready()

    key = f"{system.namespace}/{system.name}"
    made = [line for line in operator.logged() if line["message"] == "child applied" and line["system"] == key]
    assert sorted(line["child"] for line in made) == sorted(wanted(system))
    times = [datetime.fromisoformat(line["time"]) for line in made]
    print(f"\n{len(made)} children, the last {(max(times) - min(times)).total_seconds():.2f} s after the first")


def test_no_finalizer_and_no_annotation_of_a_framework_is_left_anywhere(lasting_system: System) -> None:
    system = lasting_system
    bodies = [system.get("recsys", system.name), *system.children().values()]
    assert [body["metadata"].get("finalizers") for body in bodies if body["kind"] != "PersistentVolumeClaim"] == [
        None
    ] * (len(bodies) - 1)
    assert not [key for body in bodies for key in body["metadata"].get("annotations", {}) if "kopf" in key]


def test_at_rest_nothing_is_written(lasting_system: System) -> None:
    system = lasting_system
    wait_for(lambda: system.condition("Progressing").get("reason") == "Complete", "the rollout's end")
    before = versions(system)
    time.sleep(5)  # the absence of writes has no event to wait for

    assert versions(system) == before


def versions(system: System) -> dict[str, str]:
    bodies = {"itself": system.get("recsys", system.name), **system.children()}
    return {name: body["metadata"]["resourceVersion"] for name, body in bodies.items()}


@pytest.mark.parametrize(
    "child",
    [
        "deployment/quickstart-gateway",
        "service/quickstart-base-default",
        "configmap/quickstart-gateway",
        "networkpolicy/quickstart-model",
        "rolebinding/quickstart-gateway",
        "statefulset/quickstart-milvus",
    ],
)
def test_a_child_that_somebody_deletes_comes_back(lasting_system: System, child: str) -> None:
    system = lasting_system
    before = system.get(child)["metadata"]["uid"]
    system("delete", child)

    def told() -> bool:
        named = child.replace("/", " ")
        return any(reason == "DriftRepaired" and named in message.lower() for reason, message in system.events())

    wait_for(lambda: uid(system, child) not in (None, before), f"another {child}", 10)
    wait_for(told, "the event")


def uid(system: System, child: str) -> str | None:
    kind, name = child.split("/")
    items = system.get(kind, f"--field-selector=metadata.name={name}")["items"]
    return items[0]["metadata"]["uid"] if items else None


def test_a_field_that_somebody_changes_is_put_right_and_fields_of_others_stay(lasting_system: System) -> None:
    system = lasting_system
    deployment = "deployment/quickstart-gateway"
    theirs = {"metadata": {"annotations": {"someone.else/note": "kept"}}, "spec": {"revisionHistoryLimit": 3}}
    system("patch", deployment, "--type=merge", f"--patch={json.dumps(theirs)}")
    system("scale", deployment, "--replicas=7")

    wait_for(lambda: system.get(deployment)["spec"]["replicas"] == 1, "one replica again", 10)
    body = system.get(deployment)
    assert body["metadata"]["annotations"]["someone.else/note"] == "kept"
    assert body["spec"]["revisionHistoryLimit"] == 3


def test_a_service_whose_port_was_taken_is_made_anew(lasting_system: System) -> None:
    system = lasting_system
    stolen = {"spec": {"ports": [{"name": "http", "port": 1, "protocol": "TCP", "targetPort": 1}]}}
    before = system.get("service/quickstart-gateway")["spec"]["ports"]
    system("patch", "service/quickstart-gateway", "--type=merge", f"--patch={json.dumps(stolen)}")

    wait_for(lambda: ports(system) == [port["port"] for port in before], "the gateway's own port", 15)


def ports(system: System) -> list[int]:
    items = system.get("service", "--field-selector=metadata.name=quickstart-gateway")["items"]
    return [port["port"] for item in items for port in item["spec"]["ports"]]


def test_a_change_of_the_spec_reaches_pods_and_ready_does_not_speak_for_the_version_before(
    lasting_system: System,
) -> None:
    system = lasting_system
    before = {pod["metadata"]["uid"] for pod in pods(system, "gateway")}
    system.patch(recommendation={"size": 5})
    system.wait_until_ready()

    generation = system.get("recsys", system.name)["metadata"]["generation"]
    assert system.condition("Ready")["observedGeneration"] == generation
    after = {pod["metadata"]["uid"] for pod in pods(system, "gateway") if "deletionTimestamp" not in pod["metadata"]}
    assert after
    assert not after & before


def pods(system: System, component: str) -> list[dict[str, object]]:
    selector = f"--selector=recsys.io/system={system.name},app.kubernetes.io/component={component}"
    return system.get("pods", selector)["items"]


def test_a_part_that_is_taken_out_of_the_spec_goes(applied: System) -> None:
    system = applied
    system.wait_until_ready()
    system("patch", "recsys", system.name, "--type=json", '--patch=[{"op": "remove", "path": "/spec/models/tuned"}]')

    wait_for(lambda: set(system.children()) == wanted(system), "no children of the tuned model", 15)
    assert "Deployment/quickstart-tuned-default" not in system.children()


def test_after_a_delete_only_the_retained_claim_is_left_and_a_new_system_adopts_it(applied: System) -> None:
    system = applied
    system.wait_until_ready()
    claim = "persistentvolumeclaim/quickstart-milvus"
    before = system.get(claim)["metadata"]["uid"]
    system("delete", "recsys", system.name)
    wait_for(lambda: set(system.children()) == {"PersistentVolumeClaim/quickstart-milvus"}, "the claim alone", 60)

    system.apply(quickstart())
    system.wait_until_ready()
    assert system.get(claim)["metadata"]["uid"] == before


def test_under_delete_the_claims_go_with_the_system(applied: System) -> None:
    system = applied
    system.patch(deletionPolicy="Delete")
    system.wait_until_ready()
    system("delete", "recsys", system.name)

    wait_for(lambda: not system.children(), "nothing left", 60)


def test_a_paused_system_is_left_alone_until_it_goes_on(lasting_system: System) -> None:
    system = lasting_system
    system.patch(paused=True)
    assert "spec.paused" in system.wait_for_reason("Progressing", "Paused")
    system("delete", "deployment/quickstart-gateway")
    system.wait_for_reason("GatewayReady", "Creating")
    assert uid(system, "deployment/quickstart-gateway") is None

    system.patch(paused=False)
    system.wait_until_ready()
    assert uid(system, "deployment/quickstart-gateway") is not None


def test_a_users_config_map_that_changes_gives_another_load_job(system: System) -> None:
    system("create", "configmap", "shop-items", "--from-literal=items.csv=id,title")
    catalog = {"items": {"uri": "configMap://shop-items/items.csv", "format": "csv"}}
    system.apply(quickstart(catalog=catalog))
    system.wait_until_ready()
    [before] = [name for name in system.children() if name.startswith("Job/quickstart-catalog")]
    data = json.dumps({"data": {"items.csv": "id,title\n1,a light jacket"}})
    system("patch", "configmap/shop-items", "--type=merge", f"--patch={data}")

    wait_for(lambda: before not in system.children(), "the old Job's end", 20)
    assert [name for name in system.children() if name.startswith("Job/quickstart-catalog")]


def test_an_object_of_somebody_else_with_a_childs_name_is_not_taken(system: System) -> None:
    system("create", "configmap", "quickstart-gateway", "--from-literal=mine=1")
    system.apply(quickstart())

    message = system.wait_for_reason("GatewayReady", "NameTaken")
    assert "quickstart-gateway" in message
    assert system.get("configmap/quickstart-gateway")["data"] == {"mine": "1"}


def test_systems_whose_children_would_have_one_name_take_nothing_from_each_other(system: System) -> None:
    """The pool ``gateway`` of the tuned model of ``a``, and the gateway of ``a-tuned``."""
    first, second = (System(system.kubectl, system.namespace, name) for name in ("a", "a-tuned"))
    first.apply(quickstart("a", models={"tuned": engine(pool={"name": "gateway"})}))
    first.wait_until_ready()
    before = uid(first, "deployment/a-tuned-gateway")
    second.apply(quickstart("a-tuned"))

    message = second.wait_for_reason("GatewayReady", "NameTaken")
    assert "a-tuned-gateway is there already and belongs to RecommenderSystem a:" in message
    first.patch(recommendation={"size": 5})
    first.wait_until_ready()
    assert uid(first, "deployment/a-tuned-gateway") == before


def test_an_autoscaler_that_scales_keeps_its_number(system: System) -> None:
    scaling = {"minReplicas": 1, "maxReplicas": 4}
    system.apply(quickstart(models={"base": engine(pool={"scaling": scaling})}))
    system.wait_until_ready()
    system("scale", "deployment/quickstart-base-default", "--replicas=3")
    wait_for(lambda: system.get("recsys", system.name)["status"]["base"] == "3/3", "three pods")
    system.patch(recommendation={"size": 5})
    system.wait_until_ready()

    assert system.get("deployment/quickstart-base-default")["spec"]["replicas"] == 3


def test_an_optional_api_that_is_absent_is_a_condition_and_not_a_crash(lasting_system: System) -> None:
    system = lasting_system
    if "podmonitors" in system.kubectl("api-resources"):
        pytest.skip("this cluster has the Prometheus Operator")
    system.patch(monitoring={"podMonitor": True})
    system.wait_until_ready()

    assert "podMonitor" in system.wait_for_reason("Degraded", "MonitoringApiAbsent")
    system.patch(monitoring=None)
    wait_for(lambda: system.condition("Degraded")["status"] == "False", "nothing asked for that is not there")

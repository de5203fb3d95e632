"""What kwok plays on the nodes: pods that start, wait, fail and end, in the kubelet's words."""

from __future__ import annotations

from typing import Any

from controlplane.cluster import Kubectl
from waiting import wait_for
from workloads import claim, deployment, job, pod


def conditions(found: dict[str, Any]) -> dict[str, str]:
    return {condition["type"]: condition["status"] for condition in found["status"].get("conditions", ())}


def waiting_reason(kubectl: Kubectl, namespace: str, name: str, where: str = "containerStatuses") -> dict[str, str]:
    statuses = kubectl.json("get", "pod", name, "-n", namespace)["status"].get(where, ())
    return next((status["state"]["waiting"] for status in statuses if "waiting" in status["state"]), {})


def events(kubectl: Kubectl, namespace: str, name: str) -> dict[str, str]:
    found = kubectl.json("get", "events", "-n", namespace, f"--field-selector=involvedObject.name={name}")["items"]
    return {event["reason"]: event["message"] for event in found}


def test_a_deployment_becomes_available_on_a_node_with_gpus(kubectl: Kubectl, namespace: str) -> None:
    kubectl.apply(deployment("engine", gpus=8), namespace=namespace)
    kubectl("wait", "deployment/engine", "-n", namespace, "--for=condition=Available", "--timeout=30s")
    (found,) = kubectl.json("get", "pods", "-n", namespace)["items"]
    assert found["spec"]["nodeName"].startswith(("a100", "l4"))
    assert conditions(found)["Ready"] == "True"
    assert found["status"]["containerStatuses"][0]["ready"]


def test_too_few_gpus_leave_a_pod_pending_and_say_so(kubectl: Kubectl, namespace: str) -> None:
    kubectl.apply(deployment("engine", gpus=9), namespace=namespace)

    def scheduled() -> str:
        for found in kubectl.json("get", "pods", "-n", namespace)["items"]:
            for condition in found["status"].get("conditions", ()):
                if condition["type"] == "PodScheduled" and condition["status"] == "False":
                    return str(condition["message"])
        return ""

    assert "Insufficient nvidia.com/gpu" in wait_for(scheduled, "a message of the scheduler")


def test_readiness_comes_late_and_follows_an_annotation(kubectl: Kubectl, namespace: str) -> None:
    kubectl.apply(pod("slow", notes={"sim/ready-after": "1s"}), namespace=namespace)
    kubectl("wait", "pod/slow", "-n", namespace, "--for=jsonpath={.status.phase}=Running", "--timeout=20s")
    assert conditions(kubectl.json("get", "pod", "slow", "-n", namespace))["Ready"] == "False"
    kubectl("wait", "pod/slow", "-n", namespace, "--for=condition=Ready", "--timeout=20s")
    kubectl("annotate", "pod", "slow", "-n", namespace, "sim/not-ready=true")
    kubectl("wait", "pod/slow", "-n", namespace, "--for=condition=Ready=False", "--timeout=20s")
    kubectl("annotate", "pod", "slow", "-n", namespace, "sim/not-ready-")
    kubectl("wait", "pod/slow", "-n", namespace, "--for=condition=Ready", "--timeout=20s")


def test_a_deleted_pod_terminates_for_a_while(kubectl: Kubectl, namespace: str) -> None:
    kubectl.apply(pod("leaves", notes={"sim/terminates-after": "1s"}), namespace=namespace)
    kubectl("wait", "pod/leaves", "-n", namespace, "--for=condition=Ready", "--timeout=20s")
    kubectl("delete", "pod", "leaves", "-n", namespace, "--wait=false")
    assert "deletionTimestamp" in kubectl.json("get", "pod", "leaves", "-n", namespace)["metadata"]
    kubectl("wait", "pod/leaves", "-n", namespace, "--for=delete", "--timeout=20s")


def test_an_image_that_never_pulls(kubectl: Kubectl, namespace: str) -> None:
    image = "registry.test/never-pulls:1"
    kubectl.apply(pod("stuck", container={"image": image}), namespace=namespace)
    wait_for(lambda: waiting_reason(kubectl, namespace, "stuck").get("reason") == "ImagePullBackOff", "a back-off")
    waiting = waiting_reason(kubectl, namespace, "stuck")
    assert waiting["message"].startswith(f'Back-off pulling image "{image}": ErrImagePull: ')
    assert f'Failed to pull image "{image}"' in events(kubectl, namespace, "stuck")["Failed"]
    assert kubectl.json("get", "pod", "stuck", "-n", namespace)["status"]["phase"] == "Pending"


def test_an_init_container_that_never_pulls_holds_the_others_back(kubectl: Kubectl, namespace: str) -> None:
    first = {"name": "fetch", "image": "registry.test/never-pulls:1"}
    kubectl.apply(pod("stuck", initContainers=[first]), namespace=namespace)

    def backs_off() -> bool:
        waiting = waiting_reason(kubectl, namespace, "stuck", "initContainerStatuses")
        return waiting.get("reason") == "ImagePullBackOff"

    wait_for(backs_off, "a back-off of the init container")
    assert waiting_reason(kubectl, namespace, "stuck") == {"reason": "PodInitializing"}


def test_a_missing_secret_of_the_environment(kubectl: Kubectl, namespace: str) -> None:
    token = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "absent-token", "key": "token"}}}
    kubectl.apply(pod("stuck", container={"env": [{"name": "A", "value": "b"}, token]}), namespace=namespace)
    waiting = wait_for(lambda: waiting_reason(kubectl, namespace, "stuck"), "a reason to wait")
    assert waiting == {"reason": "CreateContainerConfigError", "message": 'secret "absent-token" not found'}
    kubectl("annotate", "pod", "stuck", "-n", namespace, "sim/references-found=true")
    kubectl("wait", "pod/stuck", "-n", namespace, "--for=condition=Ready", "--timeout=20s")


def test_a_missing_secret_of_a_volume(kubectl: Kubectl, namespace: str) -> None:
    volumes = [{"name": "room", "emptyDir": {}}, {"name": "token", "secret": {"secretName": "absent-token"}}]
    kubectl.apply(pod("stuck", volumes=volumes), namespace=namespace)
    message = wait_for(lambda: events(kubectl, namespace, "stuck").get("FailedMount"), "an event")
    assert message == 'MountVolume.SetUp failed for volume "token" : secret "absent-token" not found'
    assert waiting_reason(kubectl, namespace, "stuck") == {"reason": "ContainerCreating"}
    kubectl("annotate", "pod", "stuck", "-n", namespace, "sim/references-found=true")
    kubectl("wait", "pod/stuck", "-n", namespace, "--for=condition=Ready", "--timeout=20s")


def test_a_missing_reference_that_is_optional_holds_nothing_back(kubectl: Kubectl, namespace: str) -> None:
    volumes = [{"name": "token", "secret": {"secretName": "absent-token", "optional": True}}]
    sources = [{"configMapRef": {"name": "absent-settings", "optional": True}}]
    kubectl.apply(pod("starts", volumes=volumes, container={"envFrom": sources}), namespace=namespace)
    kubectl("wait", "pod/starts", "-n", namespace, "--for=condition=Ready", "--timeout=20s")


def test_a_job_completes(kubectl: Kubectl, namespace: str) -> None:
    kubectl.apply(job("load", arguments=["load"]), namespace=namespace)
    kubectl("wait", "job/load", "-n", namespace, "--for=condition=Complete", "--timeout=20s")


def test_a_job_fails_with_what_its_program_said(kubectl: Kubectl, namespace: str) -> None:
    notes = {"sim/exit-code": "2", "sim/exit-message": 'items.csv has no column "id"'}
    kubectl.apply(job("load", arguments=["sim-fails"], notes=notes), namespace=namespace)
    kubectl("wait", "job/load", "-n", namespace, "--for=condition=Failed", "--timeout=20s")
    (found,) = kubectl.json("get", "pods", "-n", namespace)["items"]
    ended = found["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"], ended["message"]) == (2, "Error", 'items.csv has no column "id"')


def test_a_program_that_fails_again_and_again(kubectl: Kubectl, namespace: str) -> None:
    notes = {"sim/exit-code": "137", "sim/exit-reason": "OOMKilled"}
    kubectl.apply(pod("loops", notes=notes, container={"args": ["sim-fails"]}), namespace=namespace)
    wait_for(lambda: waiting_reason(kubectl, namespace, "loops").get("reason") == "CrashLoopBackOff", "a crash loop")
    (status,) = kubectl.json("get", "pod", "loops", "-n", namespace)["status"]["containerStatuses"]
    assert status["restartCount"] > 0
    assert status["lastState"]["terminated"]["reason"] == "OOMKilled"
    assert "BackOff" in events(kubectl, namespace, "loops")


def test_a_claim_gets_a_volume_of_its_class(kubectl: Kubectl, namespace: str) -> None:
    kubectl.apply(claim("data"), claim("models", "shared", "ReadWriteMany"), namespace=namespace)
    kubectl("wait", "pvc", "--all", "-n", namespace, "--for=jsonpath={.status.phase}=Bound", "--timeout=20s")
    assert kubectl.json("get", "pvc", "data", "-n", namespace)["spec"]["storageClassName"] == "standard"
    volume = kubectl.json("get", "pvc", "data", "-n", namespace)["spec"]["volumeName"]
    kubectl("delete", "pvc", "data", "-n", namespace)
    kubectl("wait", f"pv/{volume}", "--for=delete", "--timeout=20s")


def test_a_claim_of_no_class_or_of_a_mode_that_its_class_lacks_stays_pending(kubectl: Kubectl, namespace: str) -> None:
    kubectl.apply(claim("lost", "no-such-class"), claim("many", "standard", "ReadWriteMany"), namespace=namespace)
    for name, message in (
        ("lost", 'storageclass.storage.k8s.io "no-such-class" not found'),
        ("many", "only supports ReadWriteOnce"),
    ):
        said = wait_for(
            lambda name=name: events(kubectl, namespace, name).get("ProvisioningFailed"), f"event of {name}"
        )
        assert message in said
        assert kubectl.json("get", "pvc", name, "-n", namespace)["status"]["phase"] == "Pending"


def test_a_pod_waits_for_its_volume(kubectl: Kubectl, namespace: str) -> None:
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
    kubectl.apply(pod("reader", volumes=volumes), namespace=namespace)
    assert "Ready" not in conditions(kubectl.json("get", "pod", "reader", "-n", namespace))
    kubectl.apply(claim("data"), namespace=namespace)
    kubectl("wait", "pod/reader", "-n", namespace, "--for=condition=Ready", "--timeout=20s")

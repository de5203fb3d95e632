"""The children of a model's pools: what is built for which wish."""

from __future__ import annotations

from typing import Any

import pytest
from example_systems import example
from golden_files import assert_golden
from hypothesis import given, settings
from hypothesis import strategies as st
from recsys_gateway.config import EngineType, Role
from recsys_operator.api.recommender_system import RecommenderSystem
from recsys_operator.api.status import CanaryStage
from recsys_operator.components.labels import CHECKSUM
from recsys_operator.components.manifest import SCALED_OBJECT, Manifest
from recsys_operator.components.models import model_manifests, notes
from recsys_operator.components.observed import Observed

ENGINES = [engine for engine in EngineType if engine is not EngineType.OPENAI]
KEDA = Observed(apis=frozenset({SCALED_OBJECT}))
PROMETHEUS = {"url": "http://prometheus.monitoring.svc:9090"}


def system(*, base: dict[str, Any] | None = None, **spec: Any) -> RecommenderSystem:
    model = {"model": {"uri": "hf://shop/llm"}, "pools": [{"name": "a", "slots": 8}], **(base or {})}
    return example("minimal", models={"tuned": None, "base": model}, **spec)


def built(of: RecommenderSystem, kind: str, observed: Observed | None = None) -> list[Manifest]:
    return [each for each in model_manifests(of, observed or Observed()) if each["kind"] == kind]


def pod(of: RecommenderSystem, observed: Observed | None = None) -> Manifest:
    (found,) = built(of, "Deployment", observed)
    return dict(found["spec"]["template"])


@pytest.mark.parametrize("engine", ENGINES)
def test_each_engine_is_as_it_was_read(engine: EngineType) -> None:
    gpu = {"limits": {"nvidia.com/gpu": 2}}
    pool = {"name": "a100", "slots": 16, "weight": 4, "replicas": 2, "sharedMemory": "2Gi", "resources": gpu}
    base = {"engine": {"type": engine.value, "contextTokens": 4096}, "pools": [pool]}
    assert_golden(f"engine-{engine.value.lower()}", model_manifests(system(base=base), Observed()))


@pytest.mark.parametrize("stage", [None, *CanaryStage])
def test_a_full_system_is_as_it_was_read(stage: CanaryStage | None) -> None:
    observed = Observed(
        apis=frozenset({SCALED_OBJECT}),
        canaries={} if stage is None else {Role.TUNED: stage},
        digests={"ConfigMap/company-ca": "12345678"},
    )
    name = "new" if stage is None else stage.value.lower()
    assert_golden(f"models-{name}", model_manifests(example("full"), observed))


def test_an_external_engine_has_no_children() -> None:
    base = {"model": {"uri": "https://llm.example.org/v1"}, "engine": {"type": "OpenAI"}}
    assert model_manifests(system(base=base), Observed()) == []


def test_a_canary_has_pods_of_its_own_under_the_name_of_the_model_that_it_may_replace() -> None:
    base = {"canary": {"model": {"uri": "hf://shop/llm-2"}, "replicas": 2}, "engine": {"type": "VLLM"}}
    stable, canary = built(system(base=base), "Deployment")
    assert canary["metadata"]["name"] == f"{stable['metadata']['name']}-canary"
    assert canary["spec"]["replicas"] == 2
    assert canary["metadata"]["labels"]["recsys.io/track"] == "canary"
    assert stable["spec"]["selector"] != canary["spec"]["selector"]
    for each in (stable, canary):
        args = each["spec"]["template"]["spec"]["containers"][0]["args"]
        assert args[args.index("--served-model-name") + 1] == "shop/llm"
    assert len(built(system(base=base), "PodDisruptionBudget")) == 1


@pytest.mark.parametrize(("stage", "model"), [(CanaryStage.PROMOTED, "shop-llm-2"), (CanaryStage.ABORTED, "shop-llm-")])
def test_after_its_trial_no_canary_is_left(stage: CanaryStage, model: str) -> None:
    base = {"canary": {"model": {"uri": "hf://shop/llm-2"}}, "engine": {"type": "TGI"}}
    (stable,) = built(system(base=base), "Deployment", Observed(canaries={Role.BASE: stage}))
    args = " ".join(stable["spec"]["template"]["spec"]["containers"][0]["args"])
    assert f"/models/{model}" in args
    assert ("shop-llm-2" in args) == (stage is CanaryStage.PROMOTED)


def test_an_autoscaled_pool_keeps_its_scale_once_somebody_else_has_written_it() -> None:
    base = {"pools": [{"name": "a", "scaling": {"minReplicas": 2, "maxReplicas": 4}}]}
    (first,) = built(system(base=base), "Deployment")
    assert first["spec"]["replicas"] == 2
    (later,) = built(system(base=base), "Deployment", Observed(autoscaled=frozenset({first["metadata"]["name"]})))
    assert "replicas" not in later["spec"]


def test_a_fixed_pool_gets_its_replicas_back() -> None:
    (fixed,) = built(system(), "Deployment", Observed(autoscaled=frozenset({"minimal-base-a"})))
    assert fixed["spec"]["replicas"] == 1


def test_keda_counts_running_and_waiting_calls() -> None:
    base = {"pools": [{"name": "a", "slots": 8, "scaling": {"maxReplicas": 4, "queueDepth": 2, "idleReplicas": 0}}]}
    (scaled,) = built(system(base=base, prometheus=PROMETHEUS), "ScaledObject", KEDA)
    (trigger,) = scaled["spec"]["triggers"]
    assert trigger["metadata"]["threshold"] == "10"
    assert (
        'recsys_gateway_pod_inflight{namespace="shop",recsys_io_system="minimal",role="base",pool="a"}'
        in (trigger["metadata"]["query"])
    )
    assert scaled["spec"]["idleReplicaCount"] == 0
    assert notes(system(base=base, prometheus=PROMETHEUS), KEDA) == []


@pytest.mark.parametrize(
    ("observed", "reason"), [(Observed(), "KedaAbsent"), (KEDA, "PrometheusNotGiven")], ids=["no-keda", "no-prometheus"]
)
def test_without_keda_a_horizontal_pod_autoscaler_does_what_it_can(observed: Observed, reason: str) -> None:
    scaling = {"minReplicas": 0, "maxReplicas": 4}
    on_cpu = system(base={"pools": [{"name": "a", "scaling": scaling}]})
    (by_cpu,) = built(on_cpu, "HorizontalPodAutoscaler", observed)
    assert by_cpu["spec"]["metrics"][0]["resource"]["name"] == "cpu"
    assert by_cpu["spec"]["minReplicas"] == 1, "it can neither scale to zero nor up from there"
    assert built(on_cpu, "Deployment", observed)[0]["spec"]["replicas"] == 1
    (note,) = notes(on_cpu, observed)
    assert note.reason == reason
    gpu = {"limits": {"nvidia.com/gpu": 1}}
    on_gpu = system(base={"pools": [{"name": "a", "scaling": scaling, "resources": gpu}]})
    (by_calls,) = built(on_gpu, "HorizontalPodAutoscaler", observed)
    assert by_calls["spec"]["metrics"][0]["external"]["metric"]["name"] == "recsys_pool_calls"


def test_a_cache_is_kept_beyond_its_system_unless_told_otherwise() -> None:
    (kept,) = built(system(modelCache={}), "PersistentVolumeClaim")
    (gone,) = built(system(modelCache={}, deletionPolicy="Delete"), "PersistentVolumeClaim")
    assert "ownerReferences" not in kept["metadata"]
    assert gone["metadata"]["ownerReferences"][0]["uid"] == "0a1b2c3d"


def test_the_prefetch_job_is_another_one_for_another_revision() -> None:
    def name(revision: str) -> str:
        model = {"uri": "hf://shop/llm", "revision": revision}
        (job,) = built(system(base={"model": model}, modelCache={}), "Job")
        return str(job["metadata"]["name"])

    assert name("v1") != name("v2")
    assert name("v1") == name("v1")
    assert built(system(modelCache={"prefetch": False}), "Job") == []


def test_engines_read_what_was_fetched_and_never_write_it() -> None:
    spec = pod(system(modelCache={}))["spec"]
    engine, fetch = spec["containers"][0], spec["initContainers"][0]
    assert {"name": "models", "mountPath": "/models", "readOnly": True} in engine["volumeMounts"]
    assert {"name": "models", "mountPath": "/models"} in fetch["volumeMounts"]
    assert {"name": "models", "persistentVolumeClaim": {"claimName": "minimal-model-cache"}} in spec["volumes"]
    assert fetch["command"][4] in engine["args"]


def test_a_hubs_token_reaches_the_fetching_container_alone_and_as_a_file() -> None:
    model = {"uri": "hf://shop/llm", "tokenSecretRef": {"name": "hub"}}
    spec = pod(system(base={"model": model}))["spec"]
    (volume,) = [each for each in spec["volumes"] if "secret" in each]
    assert volume["secret"] == {"secretName": "hub", "defaultMode": 0o440, "items": [{"key": "token", "path": "token"}]}
    mounted = [each["name"] for each in spec["initContainers"][0]["volumeMounts"]]
    assert volume["name"] in mounted
    assert volume["name"] not in [each["name"] for each in spec["containers"][0]["volumeMounts"]]


def test_a_model_in_a_claim_is_mounted_read_only_and_not_fetched() -> None:
    base = {"model": {"uri": "pvc://weights/llm/v1"}, "engine": {"type": "TGI"}}
    spec = pod(system(base=base))["spec"]
    assert "initContainers" not in spec
    assert "/claims/weights/llm/v1" in spec["containers"][0]["args"]
    (claim,) = [each for each in spec["volumes"] if "persistentVolumeClaim" in each]
    assert claim["persistentVolumeClaim"] == {"claimName": "weights", "readOnly": True}


def test_other_certificates_give_new_pods() -> None:
    of = system(caConfigMapRef={"name": "ca"})
    before, after = (pod(of, Observed(digests={"ConfigMap/ca": digest})) for digest in ("1", "2"))
    assert before["metadata"]["annotations"][CHECKSUM] != after["metadata"]["annotations"][CHECKSUM]
    assert [each["name"] for each in before["spec"]["initContainers"]] == ["join-certificates", "fetch-0"]


def test_the_users_template_is_merged_last_but_the_selectors_labels_stay() -> None:
    template = {
        "metadata": {"labels": {"team": "search", "recsys.io/pool": "stolen"}},
        "spec": {"priorityClassName": "high", "containers": [{"name": "engine", "tty": True}, {"name": "proxy"}]},
    }
    of = system(base={"pools": [{"name": "a", "podTemplate": template}]})
    found = pod(of)
    assert found["metadata"]["labels"]["team"] == "search"
    assert found["metadata"]["labels"]["recsys.io/pool"] == "a"
    assert found["spec"]["priorityClassName"] == "high"
    engine, proxy = found["spec"]["containers"]
    assert (engine["tty"], engine["image"].split(":")[0], proxy["name"]) == (
        True,
        "ghcr.io/huggingface/text-generation-inference",
        "proxy",
    )


def test_a_long_start_is_waited_for() -> None:
    probe = pod(system(base={"startupTimeoutSeconds": 3601}))["spec"]["containers"][0]["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 3601


def test_addresses_that_an_engine_cannot_read_are_told() -> None:
    folder = {"model": {"uri": "pvc://weights/llm"}, "engine": {"type": "LlamaCpp"}}
    file = {"model": {"uri": "hf://shop/llm:q4.gguf"}, "engine": {"type": "VLLM"}}
    assert [note.reason for note in notes(system(base=folder), Observed())] == ["NotOneFile"]
    assert [note.reason for note in notes(system(base=file), Observed())] == ["WrongFormat"]


NAME = st.from_regex(r"[a-z]([-a-z0-9]{0,30}[a-z0-9])?", fullmatch=True)


@settings(deadline=None, max_examples=30)
@given(NAME, NAME, st.sampled_from(ENGINES), st.none() | st.integers(1, 4096))
def test_names_and_labels_fit(system_name: str, pool: str, engine: EngineType, slots: int | None) -> None:
    if len(system_name) + len(pool) > 49 or pool.endswith("-canary"):
        return
    base = {
        "engine": {"type": engine.value},
        "pools": [{"name": pool, "slots": slots, "weight": 1e-7}],
        "canary": {"model": {"uri": "hf://shop/llm-2"}},
    }
    of = system(base=base, modelCache={"accessMode": "ReadWriteMany"})
    of = of.model_copy(update={"metadata": of.metadata.model_copy(update={"name": system_name})})
    for manifest in model_manifests(of, Observed()):
        assert len(manifest["metadata"]["name"]) <= 63
        for value in manifest["metadata"]["labels"].values():
            assert len(value) <= 63
            assert all(letter.isalnum() or letter in "-_." for letter in value)

"""The gateway's configuration, made of the resource; and which of its changes need new pods."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from example_systems import example
from pydantic.alias_generators import to_camel
from recsys_gateway.api.runtime import _FIXED
from recsys_gateway.config import EngineType, GatewayConfig, PolicyName, Pool, Role, Track, load_config
from recsys_operator.components.gateway_config import FIXED_PARTS, config_text, gateway_config, restart_digest
from recsys_operator.components.labels import POOL, ROLE, SYSTEM, TRACK
from recsys_operator.components.observed import CanaryStage, Observed


def config(**spec: Any) -> GatewayConfig:
    return gateway_config(example("minimal", **spec), Observed())


def full(stage: CanaryStage | None = None) -> GatewayConfig:
    return gateway_config(example("full"), Observed(canaries={Role.TUNED: stage} if stage else {}))


def pools(of: GatewayConfig, role: Role) -> tuple[Pool, ...]:
    model = of.model(role)
    assert model is not None
    return model.pools


@pytest.mark.parametrize("made", [config(), full()], ids=["minimal", "full"])
def test_the_gateway_reads_what_the_operator_wrote(made: GatewayConfig, tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(config_text(made), encoding="utf-8")
    assert load_config(file) == made


def test_pods_are_found_by_the_labels_of_their_pools_services() -> None:
    (pool,) = pools(config(), Role.BASE)
    assert pool.service is not None
    assert pool.service.namespace == "shop"
    assert pool.service.selector == {SYSTEM: "minimal", ROLE: "base", POOL: "default", TRACK: "stable"}


def test_weights_and_slots_are_those_of_the_pools() -> None:
    assert [(pool.name, pool.weight, pool.slots) for pool in pools(full(CanaryStage.ABORTED), Role.TUNED)] == [
        ("a100", 4, 32),
        ("t4", 1, 8),
    ]


def test_a_canary_on_trial_gets_its_share_by_a_pool_of_its_own() -> None:
    made = full()
    assert made.models[0].canary_traffic == 20
    *_, canary = pools(made, Role.TUNED)
    assert (canary.name, canary.track, canary.slots) == ("t4", Track.CANARY, 8)
    assert canary.service is not None
    assert canary.service.selector[TRACK] == "canary"


@pytest.mark.parametrize("stage", [CanaryStage.PROMOTED, CanaryStage.ABORTED])
def test_after_its_trial_a_canary_gets_nothing(stage: CanaryStage) -> None:
    made = full(stage)
    assert made.models[0].canary_traffic == 0
    assert all(pool.track is Track.STABLE for pool in pools(made, Role.TUNED))


def test_an_external_engine_is_an_address_and_its_key_a_file() -> None:
    base = full().model(Role.BASE)
    assert base is not None
    assert [str(endpoint.url) for endpoint in base.pools[0].endpoints] == ["https://llm.example.org/"]
    assert base.api_key_file == Path("/etc/recsys/secrets/engine-base/token")
    assert base.api_key_env is None


def test_sample_models_run_on_llama_cpp_whatever_the_engine_says() -> None:
    made = config(models={"base": {"model": {"uri": "sample://base"}, "engine": {"type": "VLLM"}}})
    assert made.models[0].engine is EngineType.LLAMA_CPP
    assert made.models[0].sample


def test_timeouts_tell_how_long_a_pod_takes_to_start() -> None:
    made = config(models={"base": {"startupTimeoutSeconds": 900, "timeouts": {"firstByteSeconds": 12}}})
    assert made.models[0].timeouts.start_up_seconds == 900
    assert made.models[0].timeouts.first_byte_seconds == 12


def test_a_prometheus_is_asked_for_load_where_there_is_one() -> None:
    assert config().metrics_source.type == "Pods"
    assert str(full().metrics_source.url) == "http://prometheus.monitoring.svc:9090/"  # type: ignore[union-attr]  # Prometheus there


def test_gateways_count_themselves_by_their_own_service() -> None:
    balancing = full().balancing
    assert balancing.replicas == 3
    assert balancing.policy is PolicyName.WEIGHTED_LEAST_LOAD
    assert balancing.patience == 0.1
    assert balancing.gateways is not None
    assert balancing.gateways.selector == {SYSTEM: "full", "app.kubernetes.io/component": "gateway"}


@pytest.mark.parametrize(
    ("embedder", "expected"),
    [
        ({}, {"type": "Triton", "url": "http://minimal-embedder.shop.svc:8001/", "model": "embedder"}),
        ({"engine": {"type": "TEI"}}, {"type": "TEI", "url": "http://minimal-embedder.shop.svc:8080/"}),
        (
            {"engine": {"type": "OpenAI"}, "model": {"uri": "https://vectors.example.org/v1", "name": "small"}},
            {"type": "OpenAI", "url": "https://vectors.example.org/", "model": "small"},
        ),
    ],
)
def test_each_embedder_is_reached_its_own_way(embedder: dict[str, Any], expected: dict[str, str]) -> None:
    made = config(embedder=embedder).embedder
    assert made is not None
    assert expected.items() <= made.model_dump(mode="json", by_alias=True).items()


@pytest.mark.parametrize(
    ("store", "uri"),
    [
        ({"managed": {}}, "http://minimal-milvus.shop.svc:19530/"),
        ({"managed": {"mode": "Cluster"}}, "http://minimal-milvus-milvus.shop.svc:19530/"),
        ({"managed": None, "external": {"uri": "http://milvus.data.svc:19530"}}, "http://milvus.data.svc:19530/"),
    ],
)
def test_the_vector_store_is_where_its_service_is(store: dict[str, Any], uri: str) -> None:
    made = config(vectorStore=store).vector_store
    assert made is not None
    assert str(made.uri) == uri


def test_a_token_of_an_external_store_is_a_file() -> None:
    external = {"uri": "https://milvus.example.org", "secretRef": {"name": "milvus"}}
    made = config(vectorStore={"managed": None, "external": external}).vector_store
    assert made is not None
    assert made.token_file == Path("/etc/recsys/secrets/vector-store/token")


def test_the_parts_that_a_gateway_takes_at_its_start_are_the_gateways_own_list() -> None:
    assert set(FIXED_PARTS) == {to_camel(name) for name in _FIXED}


@pytest.mark.parametrize(
    "spec",
    [
        {"recommendation": {"size": 5}},
        {"embedder": {"engine": {"type": "TEI"}}},
        {"vectorStore": {"managed": {"mode": "Cluster"}}},
        {"prometheus": {"url": "http://prometheus.monitoring.svc:9090"}},
        {"gateway": {"auth": {"secretRef": {"name": "keys"}}}},
        {"gateway": {"cors": {"allowOrigins": ["https://shop.example"]}}},
        {"gateway": {"tracing": {"endpoint": "http://collector:4318"}}},
        {"gateway": {"admission": {"drainSeconds": 10}}},
        {"models": {"base": {"model": {"name": "another"}}}},
        {"models": {"base": {"engine": {"type": "VLLM"}}}},
        {"models": {"tuned": {"model": {"uri": "sample://tuned"}}}},
    ],
)
def test_what_a_gateway_takes_at_its_start_gives_new_pods(spec: dict[str, Any]) -> None:
    assert restart_digest(config(**spec)) != restart_digest(config())


@pytest.mark.parametrize(
    "spec",
    [
        {"gateway": {"admission": {"maxWaiting": 10, "maxQueueDepth": 3}}},
        {"gateway": {"balancing": {"policy": "RoundRobin"}}},
        {"gateway": {"replicas": 4}},
        {"models": {"base": {"pools": [{"name": "default", "weight": 3, "slots": 4}, {"name": "more"}]}}},
        {"models": {"base": {"startupTimeoutSeconds": 60}}},
        {"models": {"base": {"canary": {"model": {"uri": "hf://Qwen/Qwen3-8B"}}}}},
    ],
)
def test_what_a_running_gateway_takes_gives_none(spec: dict[str, Any]) -> None:
    assert config_text(config(**spec)) != config_text(config())
    assert restart_digest(config(**spec)) == restart_digest(config())


@pytest.mark.parametrize(
    ("args", "told"),
    [([], 256), (["--max-top-n-tokens", "50"], 50), (["--max-top-n-tokens=50"], 50), (["--max-top-n-tokens"], 256)],
)
def test_the_gateway_is_told_how_many_alternatives_the_tuned_models_engine_tells(args: list[str], told: int) -> None:
    model = {"model": {"uri": "hf://shop/tuned"}, "engine": {"type": "TGI", "args": args}}
    made = config(models={"tuned": model})
    tuned = made.model(Role.TUNED)
    assert tuned is not None
    assert tuned.log_probabilities == told

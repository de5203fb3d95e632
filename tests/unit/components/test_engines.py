"""The command line of each engine: flags of its own documentation, held here by their meaning."""

from __future__ import annotations

import re
from typing import Any

import pytest
from example_systems import example
from recsys_gateway.config import Role
from recsys_gateway.engines.registry import dialect_of
from recsys_operator.api.recommender_system import RecommenderSystem
from recsys_operator.components.engines.registry import ENGINES, SAMPLE
from recsys_operator.components.manifest import Manifest
from recsys_operator.components.models import model_manifests
from recsys_operator.components.observed import Observed

ADAPTER = "hf://shop/summer"


def system(engine: dict[str, Any], model: dict[str, Any] | None = None, **pool: Any) -> RecommenderSystem:
    """A system whose base model alone runs, on ``engine``."""
    base = {
        "model": {"uri": "hf://shop/llm", "name": "llm", **(model or {})},
        "engine": engine,
        "pools": [{"name": "a", **pool}],
    }
    return example("minimal", models={"tuned": None, "base": base})


def container(engine: dict[str, Any], model: dict[str, Any] | None = None, **pool: Any) -> Manifest:
    pod = deployment(system(engine, model, **pool))["spec"]["template"]["spec"]
    return next(each for each in pod["containers"] if each["name"] == "engine")


def deployment(of: RecommenderSystem) -> Manifest:
    (found,) = [each for each in model_manifests(of, Observed()) if each["kind"] == "Deployment"]
    return found


def flags(found: Manifest) -> dict[str, str]:
    """Each option with what follows it up to the next, ``\"\"`` for a switch."""
    line = " ".join([*found.get("command", []), *found.get("args", [])])
    return {name: value.strip() for name, value in re.findall(r"(?:^| )(--[a-z-]+)((?: (?!--)[^ ]+)*)", line)}


def variables(found: Manifest) -> dict[str, Any]:
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in found.get("env", [])}


def test_every_engine_that_runs_in_a_cluster_has_a_builder() -> None:
    for engine, builder in ENGINES.items():
        # Where the gateway asks whether a pod lives, the kubelet asks too.
        assert builder.health.path == dialect_of(engine).health_path


def test_tgi() -> None:
    found = container({"type": "TGI", "contextTokens": 2048, "batchTokens": 65536}, slots=32)
    said = flags(found)
    assert said["--model-id"].startswith("/models/shop-llm-")
    assert said["--max-batch-size"] == "32"
    assert int(said["--max-concurrent-requests"]) > 32
    assert int(said["--max-top-n-tokens"]) >= 20, "the scores of 20 candidates are alternatives of one token"
    assert said["--max-total-tokens"] == "2048"
    assert said["--max-batch-total-tokens"] == "65536"
    assert said["--graceful-termination-timeout"] == "60"
    assert said["--usage-stats"] == "off"
    assert "--num-shard" not in said
    assert variables(found)["HF_HUB_OFFLINE"] == "1"


def test_vllm() -> None:
    found = container({"type": "VLLM", "contextTokens": 2048}, slots=32)
    assert found["command"][:2] == ["vllm", "serve"]
    said = flags(found)
    assert said["--served-model-name"] == "llm"
    assert said["--max-num-seqs"] == "32"
    assert said["--max-model-len"] == "2048"
    assert int(said["--max-logprobs"]) >= 20
    assert "--enable-lora" not in said


def test_sglang() -> None:
    said = flags(container({"type": "SGLang", "contextTokens": 2048}, slots=32))
    assert said["--served-model-name"] == "llm"
    assert said["--max-running-requests"] == "32"
    assert int(said["--max-queued-requests"]) > 32
    assert said["--context-length"] == "2048"
    assert "--enable-metrics" in said, "the gateway reads its load"


def test_llama_cpp_has_a_whole_context_for_each_slot() -> None:
    found = container({"type": "LlamaCpp", "contextTokens": 2048}, slots=8, resources={"limits": {"cpu": "3500m"}})
    said = flags(found)
    assert said["--model"].endswith("/model.gguf")
    assert said["--parallel"] == "8"
    assert said["--ctx-size"] == str(8 * 2048)
    assert said["--threads"] == "4"
    assert {"--metrics", "--no-slots", "--no-webui"} <= said.keys()
    assert ":server-b" in found["image"]


def test_llama_cpp_on_a_gpu_puts_all_layers_there() -> None:
    found = container({"type": "LlamaCpp"}, resources={"limits": {"nvidia.com/gpu": 1}})
    assert flags(found)["--n-gpu-layers"] == "999"
    assert "cuda" in found["image"]


def test_ollama_makes_its_model_before_it_serves() -> None:
    of = system({"type": "Ollama", "contextTokens": 2048}, slots=8)
    pod = deployment(of)["spec"]["template"]["spec"]
    assert [each["name"] for each in pod["initContainers"]] == ["fetch-0", "create-model"]
    create = pod["initContainers"][1]
    assert re.fullmatch(r"FROM /models/shop-llm-[0-9a-f]{8}/model.gguf\n", variables(create)["MODELFILE"])
    said = variables(pod["containers"][0])
    assert (said["OLLAMA_NUM_PARALLEL"], said["OLLAMA_CONTEXT_LENGTH"], said["OLLAMA_KEEP_ALIVE"]) == (
        "8",
        "2048",
        "-1",
    )
    assert said["OLLAMA_MODELS"] == variables(create)["OLLAMA_MODELS"]
    store = next(each for each in pod["containers"][0]["volumeMounts"] if each["name"] == "ollama")
    assert store in create["volumeMounts"]
    assert pod["containers"][0]["startupProbe"]["exec"]["command"][-1] == 'ollama run "$MODEL" ""'


def test_a_sample_runs_in_our_own_image_whatever_the_engine() -> None:
    found = container({"type": "TGI", "args": ["--quantize", "eetq"]}, {"uri": "sample://base"}, slots=2)
    assert "recsys/operator" in found["image"]
    assert found["command"] == ["python", "-m", "recsys_operator.local.engine_process"]
    assert (flags(found)["--model"], flags(found)["--slots"]) == ("sample://base", "2")
    assert "--quantize" not in flags(found)


@pytest.mark.parametrize(
    ("engine", "flag"),
    [("TGI", "--num-shard"), ("VLLM", "--tensor-parallel-size"), ("SGLang", "--tensor-parallel-size")],
)
def test_a_model_is_spread_over_the_pods_gpus(engine: str, flag: str) -> None:
    assert flags(container({"type": engine}, resources={"limits": {"nvidia.com/gpu": 4}}))[flag] == "4"


@pytest.mark.parametrize(
    ("engine", "flag"),
    [
        ("TGI", "--lora-adapters summer=/models/shop-summer-"),
        ("VLLM", "--lora-modules summer=/models/shop-summer-"),
        ("SGLang", "--lora-paths summer=/models/shop-summer-"),
        ("LlamaCpp", "--lora /models/shop-summer-"),
    ],
)
def test_adapters_are_loaded_by_the_names_that_clients_ask_for(engine: str, flag: str) -> None:
    found = container({"type": engine}, {"adapters": [ADAPTER]})
    assert flag in " ".join(found["args"])


def test_an_adapter_is_part_of_ollamas_model() -> None:
    of = system({"type": "Ollama"}, {"adapters": [ADAPTER]})
    create = deployment(of)["spec"]["template"]["spec"]["initContainers"][-1]
    assert "\nADAPTER /models/shop-summer-" in variables(create)["MODELFILE"]


def test_an_option_of_the_user_replaces_ours() -> None:
    said = container({"type": "TGI", "args": ["--max-top-n-tokens", "7", "--port=9000"]}, slots=2)["args"]
    assert said.count("--max-top-n-tokens") == 1
    assert said[-3:] == ["--max-top-n-tokens", "7", "--port=9000"]
    assert "8080" not in said


def test_a_short_name_of_an_option_replaces_ours_too() -> None:
    assert "--parallel" not in flags(container({"type": "LlamaCpp", "args": ["-np", "2"]}, slots=8))


def test_a_variable_of_the_user_replaces_ours() -> None:
    found = container({"type": "VLLM", "env": [{"name": "HF_HUB_OFFLINE", "value": "0"}]})
    assert variables(found)["HF_HUB_OFFLINE"] == "0"


@pytest.mark.parametrize("engine", [each.value for each in ENGINES])
def test_a_stopping_pod_lets_its_streams_finish(engine: str) -> None:
    builder = next(each for name, each in ENGINES.items() if name.value == engine)
    pod = deployment(system({"type": engine}))["spec"]["template"]["spec"]
    pause = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pause == (5 if builder.drains else 65)
    assert pod["terminationGracePeriodSeconds"] >= pause + (60 if builder.drains else 0) + 10


@pytest.mark.parametrize("engine", [*ENGINES.values(), SAMPLE])
def test_a_probe_waits_longer_than_an_engine_may_take_to_say_that_it_lives(engine: Any) -> None:
    assert engine.health.timeout_seconds >= 10


def test_the_roles_of_the_gateway_are_those_of_the_pools() -> None:
    assert deployment(system({"type": "TGI"}))["metadata"]["labels"]["recsys.io/role"] == Role.BASE.value

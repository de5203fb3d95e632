"""From a resource and its files to the processes of one machine."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from recsys_gateway.config import EngineType, GatewayConfig, Role
from recsys_operator.api.recommender_system import RecommenderSystem, ResourceError
from recsys_operator.components.model_identity import served_name
from recsys_operator.local.plan import LocalPlan, Ports, plan
from recsys_operator.local.resolve import ExternalEngine, ModelFile, ModelPlace, NotTunedYet, ResolvedFiles
from recsys_operator.local.state import DataDirectory

EVERYWHERE = "0.0.0.0"  # noqa: S104 - compared, not listened on
PORTS = Ports(gateway=8080, milvus=9001, engines={Role.TUNED: 9002, Role.BASE: 9003})
FILES: dict[Role, ModelPlace] = {
    Role.TUNED: ModelFile(Path("/m/tuned.gguf")),
    Role.BASE: ModelFile(Path("/m/base.gguf")),
}


def system(**spec: object) -> RecommenderSystem:
    return RecommenderSystem.model_validate(
        {
            "apiVersion": "recsys.io/v1alpha1",
            "kind": "RecommenderSystem",
            "metadata": {"name": "shop"},
            "spec": {
                "catalog": {"items": {"uri": "file:///c/items.csv"}},
                "models": {"tuned": {"model": {"uri": "sample://tuned"}}, "base": {"model": {"uri": "sample://base"}}},
                "embedder": {"model": {"uri": "sample://embedder"}},
                "vectorStore": {"managed": {}},
                **spec,
            },
        }
    )


def planned(shop: RecommenderSystem, models: dict[Role, ModelPlace] = FILES, host: str = "127.0.0.1") -> LocalPlan:
    files = ResolvedFiles(models, Path("/m/embedder"), shop.spec.catalog)
    return plan(shop, files, PORTS, DataDirectory(Path("/data")), host, Path("shop.yaml"))


def option(argv: tuple[str, ...], name: str) -> str:
    return argv[argv.index(name) + 1]


def test_a_shop_is_a_store_two_engines_and_a_gateway() -> None:
    made = planned(system())
    assert [spec.name for spec in made.backing] == ["milvus", "engine-tuned", "engine-base"]
    assert [spec.port for spec in made.backing] == [9001, 9002, 9003]
    assert made.gateway.port == 8080
    assert made.url == "http://127.0.0.1:8080"
    assert {spec.log for spec in (*made.backing, made.gateway)} == {
        Path(f"/data/logs/{name}.log") for name in ("milvus", "engine-tuned", "engine-base", "gateway")
    }


def test_milvus_lite_listens_here_alone() -> None:
    milvus = planned(system()).backing[0]
    assert option(milvus.argv, "--host") == "127.0.0.1"
    assert option(milvus.argv, "--data-dir") == "/data/milvus"
    assert milvus.stop_signal is signal.SIGINT


def test_everything_but_the_gateway_stays_on_localhost_whatever_the_host() -> None:
    made = planned(system(), host=EVERYWHERE)
    assert option(made.gateway.argv, "--host") == EVERYWHERE
    assert made.url == "http://127.0.0.1:8080"
    assert {url.host for model in made.config.models for pool in model.pools for url in [pool.endpoints[0].url]} == {
        "127.0.0.1"
    }


@pytest.mark.parametrize("engine", ["TGI", "VLLM", "SGLang", "LlamaCpp"])
def test_every_engine_of_a_cluster_is_llama_cpp_here(engine: str) -> None:
    models = {"base": {"model": {"uri": "sample://base"}, "engine": {"type": engine}}}
    made = planned(system(models=models), {Role.BASE: FILES[Role.BASE]})
    assert [model.engine for model in made.config.models] == [EngineType.LLAMA_CPP]
    said = f"On one machine llama.cpp runs the models, in place of {engine}."
    assert (said in made.notes) is (engine != "LlamaCpp")


def test_an_external_engine_is_no_process() -> None:
    models = {"base": {"model": {"uri": "https://api.example/v1", "name": "big"}, "engine": {"type": "OpenAI"}}}
    made = planned(system(models=models), {Role.BASE: ExternalEngine("https://api.example")})
    assert [spec.name for spec in made.backing] == ["milvus"]
    (model,) = made.config.models
    assert (model.name, model.engine, str(model.pools[0].endpoints[0].url)) == ("big", "OpenAI", "https://api.example/")


def test_an_external_vector_store_is_no_process() -> None:
    made = planned(system(vectorStore={"external": {"uri": "http://milvus:19530", "secretRef": {"name": "token"}}}))
    assert "milvus" not in [spec.name for spec in made.backing]
    assert (str(made.vector_store.uri), made.vector_store.token_env) == ("http://milvus:19530/", "MILVUS_TOKEN")


def test_a_model_that_is_yet_to_be_tuned_is_left_out_and_said() -> None:
    made = planned(system(), FILES | {Role.TUNED: NotTunedYet(Path("/m/model.gguf"))})
    assert [model.role for model in made.config.models] == [Role.BASE]
    assert [spec.name for spec in made.backing] == ["milvus", "engine-base"]
    (said,) = [note for note in made.notes if "recsys finetune -f shop.yaml" in note]
    assert "order of retrieval" in said


def test_messages_name_the_program_as_it_was_typed() -> None:
    files = ResolvedFiles(
        FILES | {Role.TUNED: NotTunedYet(Path("/m/model.gguf"))}, Path("/m/embedder"), system().spec.catalog
    )
    directory, host, source = DataDirectory(Path("/data")), "127.0.0.1", Path("shop.yaml")
    made = plan(system(), files, PORTS, directory, host, source, program=".venv/bin/recsys")
    assert any(".venv/bin/recsys finetune -f shop.yaml" in note for note in made.notes)


def test_no_model_at_all_is_an_error() -> None:
    models = {"tuned": {"model": {"uri": "file:///m/model.gguf"}}}
    with pytest.raises(ResourceError, match=r"shop\.yaml: spec\.models: .* recsys finetune -f shop\.yaml"):
        planned(system(models=models), {Role.TUNED: NotTunedYet(Path("/m/model.gguf"))})


def test_sample_models_are_called_that() -> None:
    made = planned(system())
    assert all(model.sample for model in made.config.models)
    assert [(model.role, model.name, model.sample) for model in made.models] == [
        ("tuned", "sample-tuned", True),
        ("base", "sample-base", True),
    ]
    assert any(note.startswith("Sample models: tuned, base.") for note in made.notes)


@pytest.mark.parametrize(("given", "here"), [(None, 2), (1, 1), (32, 4)])
def test_slots_are_bounded_by_what_one_machine_can_do(given: int | None, here: int) -> None:
    pool = {"name": "a100"} | ({} if given is None else {"slots": given})
    made = planned(system(models={"base": {"model": {"uri": "sample://base"}, "pools": [pool]}}), FILES)
    assert made.config.models[0].pools[0].slots == here
    assert option(made.backing[1].argv, "--slots") == str(here)


def test_two_models_from_one_file_have_two_names() -> None:
    same = {"model": {"uri": "file:///m/one.gguf"}}
    made = planned(system(models={"tuned": same, "base": same}))
    assert [model.name for model in made.config.models] == ["one", "one-base"]


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("sample://tuned", "sample-tuned"),
        ("hf://Qwen/Qwen2.5-0.5B-Instruct-GGUF", "Qwen/Qwen2.5-0.5B-Instruct-GGUF"),
        ("hf://org/name:model-Q8_0.gguf", "org/name"),
        ("file:///models/mine.gguf", "mine"),
        ("file:///models/films/model.gguf", "films"),
    ],
)
def test_a_model_is_named_after_its_address(uri: str, name: str) -> None:
    base = system(models={"base": {"model": {"uri": uri}}}).spec.models.base
    assert base is not None
    assert served_name(base) == name


def test_what_works_in_a_cluster_alone_is_said() -> None:
    made = planned(system(gateway={"auth": {"secretRef": {"name": "keys"}}}, paused=True))
    assert "Only in a cluster: spec.paused, spec.gateway.auth." in made.notes


def test_a_gateway_here_lets_the_same_pages_ask_and_traces_as_one_in_a_cluster() -> None:
    cors, tracing = {"allowOrigins": ["https://shop.example"]}, {"endpoint": "http://collector:4318/v1/traces"}
    config = planned(system(gateway={"cors": cors, "tracing": tracing})).config
    assert config.cors is not None
    assert config.cors.allow_origins == ("https://shop.example",)
    assert str(config.tracing and config.tracing.endpoint) == tracing["endpoint"]


def test_the_gateway_reads_what_is_written_for_it(tmp_path: Path) -> None:
    from recsys_gateway.config import load_config
    from recsys_operator.local.run import write_config

    made = planned(system(recommendation={"size": 5, "diversity": {"lambda": 0.4}}))
    write_config(made, tmp_path / "gateway.yaml")
    read: GatewayConfig = load_config(tmp_path / "gateway.yaml")
    assert read == made.config

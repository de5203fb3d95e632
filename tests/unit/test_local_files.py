"""Addresses in a resource, and what is said of those that lead nowhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from recsys_gateway.config import Role
from recsys_operator.api.recommender_system import RecommenderSystem, ResourceError
from recsys_operator.local.hub import choose_encoder_files, choose_gguf, parse_hub_uri
from recsys_operator.local.resolve import ExternalEngine, ModelFile, NotTunedYet, ResolvedFiles, Resolver
from recsys_operator.local.uris import UriError, file_path, sample_model_path, sample_table_path, samples_folder


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    """A folder like that of the sample data, with empty files."""
    for name in (
        "shop/items.csv",
        "shop/users.csv",
        "models/tuned.gguf",
        "models/base.gguf",
        "models/embedder/model.onnx",
    ):
        path = tmp_path / "samples" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "samples"


Resolve = Callable[..., ResolvedFiles]


@pytest.fixture
def resolve(samples: Path) -> Resolve:
    def resolve(environment: dict[str, str] | None = None, **spec: object) -> ResolvedFiles:
        system = RecommenderSystem.model_validate(
            {
                "apiVersion": "recsys.io/v1alpha1",
                "kind": "RecommenderSystem",
                "metadata": {"name": "shop"},
                "spec": {
                    "catalog": {"items": {"uri": "sample://shop"}, "users": {"uri": "sample://shop"}},
                    "models": {"base": {"model": {"uri": "sample://base"}}},
                    "embedder": {"model": {"uri": "sample://embedder"}},
                    "vectorStore": {"managed": {}},
                    **spec,
                },
            }
        )
        return Resolver(Path("shop.yaml"), samples, environment or {}).resolve(system)

    return resolve


def test_samples_are_files_of_the_package(resolve: Resolve, samples: Path) -> None:
    files = resolve()
    assert files.models == {Role.BASE: ModelFile(samples / "models" / "base.gguf")}
    assert files.embedder == samples / "models" / "embedder"
    assert files.catalog.items.uri == f"file://{samples}/shop/items.csv"
    assert files.catalog.users is not None
    assert files.catalog.users.uri == f"file://{samples}/shop/users.csv"
    assert files.catalog.interactions is None


def test_variables_are_filled_in(resolve: Resolve, tmp_path: Path) -> None:
    (tmp_path / "items.csv").touch()
    files = resolve({"SHOP": str(tmp_path)}, catalog={"items": {"uri": "file://${SHOP}/items.csv"}})
    assert files.catalog.items.uri == f"file://{tmp_path}/items.csv"


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        (
            {"catalog": {"items": {"uri": "file://${SHOP}/items.csv"}}},
            "shop.yaml: spec.catalog.items.uri: file://${SHOP}/items.csv: the environment variable SHOP is not set",
        ),
        (
            {"catalog": {"items": {"uri": "file://${MOVIELENS_DIR}", "format": "movielens"}}},
            "the environment variable MOVIELENS_DIR is not set; download ml-100k.zip",
        ),
        (
            {"catalog": {"items": {"uri": "file:///absent", "format": "movielens"}}},
            "shop.yaml: spec.catalog.items.uri: /absent: no such file or folder; download ml-100k.zip",
        ),
        (
            {"catalog": {"items": {"uri": "sample://shop"}, "users": {"uri": "file:///absent.csv"}}},
            "shop.yaml: spec.catalog.users.uri: /absent.csv: no such file or folder",
        ),
        ({"catalog": {"items": {"uri": "sample://cars"}}}, "no such sample catalogue; there is sample://shop"),
        ({"catalog": {"items": {"uri": "s3://b/items.csv"}}}, "s3:// cannot be read here; give file://PATH"),
        (
            {"models": {"base": {"model": {"uri": "file:///absent.gguf"}}}},
            "shop.yaml: spec.models.base.model.uri: /absent.gguf: no such file",
        ),
        ({"models": {"base": {"model": {"uri": "file://model.gguf"}}}}, "the path must be absolute"),
        ({"models": {"base": {"model": {"uri": "file:///etc/hostname"}}}}, "/etc/hostname: not a .gguf file"),
        ({"models": {"base": {"model": {"uri": "s3://b/k"}}}}, "one machine reads hf://, file:// and sample://"),
        ({"models": {"base": {"model": {"uri": "sample://huge"}}}}, "no such sample model; there are sample://tuned"),
        (
            {"models": {"base": {"model": {"uri": "file:///m.gguf"}, "engine": {"type": "Ollama"}}}},
            "shop.yaml: spec.models.base.engine.type: Ollama is not started here: give the address",
        ),
        (
            {"models": {"base": {"model": {"uri": "sample://base", "adapters": ["hf://a/b"]}}}},
            "shop.yaml: spec.models.base.model.adapters: adapters are not loaded on one machine",
        ),
        (
            {"embedder": {"model": {"uri": "https://api.example"}, "engine": {"type": "OpenAI"}}},
            "shop.yaml: spec.embedder.model.uri: on one machine the embedder runs inside the gateway",
        ),
        ({"embedder": {"model": {"uri": "file:///absent"}}}, "spec.embedder.model.uri: /absent: no such file"),
    ],
)
def test_an_address_that_leads_nowhere_is_one_line(resolve: Resolve, spec: dict[str, object], told: str) -> None:
    with pytest.raises(ResourceError) as refusal:
        resolve(**spec)
    assert told in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1


def test_an_external_engine_is_known_by_its_root(resolve: Resolve) -> None:
    files = resolve(models={"base": {"model": {"uri": "http://127.0.0.1:11434/v1/"}, "engine": {"type": "Ollama"}}})
    assert files.models == {Role.BASE: ExternalEngine("http://127.0.0.1:11434")}


def tuned_by_us(folder: Path, *, enabled: bool = True) -> dict[str, object]:
    return {
        "models": {
            "tuned": {"model": {"uri": f"file://{folder}/model.gguf"}},
            "base": {"model": {"uri": "sample://base"}},
        },
        "fineTuning": {"enabled": enabled, "output": f"file://{folder}"},
    }


def test_a_model_that_fine_tuning_has_yet_to_make_is_no_error(resolve: Resolve, tmp_path: Path) -> None:
    assert resolve(**tuned_by_us(tmp_path)).models[Role.TUNED] == NotTunedYet(tmp_path / "model.gguf")
    (tmp_path / "model.gguf").touch()
    assert resolve(**tuned_by_us(tmp_path)).models[Role.TUNED] == ModelFile(tmp_path / "model.gguf")


def test_a_missing_model_is_an_error_when_fine_tuning_is_off(resolve: Resolve, tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=r"spec\.models\.tuned\.model\.uri: .*model\.gguf: no such file"):
        resolve(**tuned_by_us(tmp_path, enabled=False))


@pytest.mark.parametrize(
    ("uri", "repo", "file"),
    [
        ("hf://Qwen/Qwen2.5-0.5B-Instruct-GGUF", "Qwen/Qwen2.5-0.5B-Instruct-GGUF", None),
        ("hf://org/name:sub/m-Q8_0.gguf", "org/name", "sub/m-Q8_0.gguf"),
    ],
)
def test_addresses_of_the_hub(uri: str, repo: str, file: str | None) -> None:
    parsed = parse_hub_uri(uri)
    assert (parsed.repo, parsed.file) == (repo, file)


@pytest.mark.parametrize("uri", ["hf://name", "hf://a/b/c", "hf:///", "hf://a/b:", "hf://a b/c"])
def test_other_addresses_of_the_hub_are_refused(uri: str) -> None:
    with pytest.raises(UriError, match="expected hf://ORG/NAME"):
        parse_hub_uri(uri)


@pytest.mark.parametrize(
    ("files", "wanted", "chosen"),
    [
        (["README.md", "m.gguf"], None, "m.gguf"),
        (["m-q8_0.gguf", "m-q4_k_m.gguf", "m-f16.gguf"], None, "m-q4_k_m.gguf"),
        (["m-F16.gguf", "m-Q8_0.gguf"], None, "m-Q8_0.gguf"),
        (["m.gguf", "mmproj-m.gguf"], None, "m.gguf"),
        (["m-Q8_0.gguf", "m-Q4_K_M-00001-of-00002.gguf", "m-Q4_K_M-00002-of-00002.gguf"], None, "m-Q8_0.gguf"),
        (["a.gguf", "b.gguf"], "b.gguf", "b.gguf"),
    ],
)
def test_one_gguf_file_is_chosen(files: list[str], wanted: str | None, chosen: str) -> None:
    assert choose_gguf("hf://org/name", files, wanted) == chosen


@pytest.mark.parametrize(
    ("files", "wanted", "told"),
    [
        (["model.safetensors"], None, "no GGUF file in the repository.*such as hf://org/name-GGUF"),
        (["a.gguf", "b.gguf"], None, "several GGUF files; say which, as hf://org/name:FILE, of a.gguf, b.gguf"),
        (["a.gguf"], "b.gguf", "no such file in the repository; GGUF files there: a.gguf"),
    ],
)
def test_no_gguf_file_is_chosen_by_chance(files: list[str], wanted: str | None, told: str) -> None:
    with pytest.raises(UriError, match=told):
        choose_gguf("hf://org/name", files, wanted)


def test_an_encoder_is_its_model_and_its_tokenizer() -> None:
    files = ["README.md", "onnx/model.onnx", "onnx/model_fp16.onnx", "tokenizer.json", "tokenizer_config.json"]
    assert choose_encoder_files("hf://o/n", files) == ["onnx/model.onnx", "tokenizer.json", "tokenizer_config.json"]
    with pytest.raises(UriError, match=r"no model\.onnx"):
        choose_encoder_files("hf://o/n", ["tokenizer.json"])
    with pytest.raises(UriError, match=r"no tokenizer\.json"):
        choose_encoder_files("hf://o/n", ["model.onnx"])


def test_paths_and_samples() -> None:
    assert file_path("file:///a/${B}/c", {"B": "b"}) == Path("/a/b/c")
    assert sample_model_path("sample://embedder", Path("/s")) == Path("/s/models/embedder")
    assert sample_table_path("sample://shop", "users", Path("/s")) == Path("/s/shop/users.csv")
    assert (samples_folder() / "quickstart.yaml").is_file()

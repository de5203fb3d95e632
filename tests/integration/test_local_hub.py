"""``hf://`` against a hub of our own on 127.0.0.1 that speaks the real one's protocol, through ``huggingface_hub``."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import REPOSITORIES, TOKEN, Hub


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def fetch(endpoint: str, cache: Path, uri: str, *, kind: str = "language_model", **settings: str) -> tuple[bool, str]:
    """(whether it was fetched, the path or what was said). The client reads its settings at import: a new process."""
    code = f"""
from recsys_operator.local.hub import fetch_encoder, fetch_language_model
from recsys_operator.local.uris import UriError
try:
    print("ok", fetch_{kind}({uri!r}, {settings.pop("revision", None)!r}))
except UriError as error:
    print("no", error)
"""
    environment = {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(cache),
        "PATH": "/usr/bin:/bin",
        "HOME": str(cache),
        **settings,
    }
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    outcome, _, rest = result.stdout.strip().partition(" ")
    return outcome == "ok", rest


def test_the_only_gguf_file_is_fetched_once(hub: Hub, tmp_path: Path) -> None:
    fetched, path = fetch(hub.url, tmp_path, "hf://shop/one-gguf")
    assert fetched, path
    assert Path(path).name == "model.gguf"
    assert Path(path).read_bytes() == REPOSITORIES["shop/one-gguf"]["model.gguf"]
    hub.requests.clear()
    assert fetch(hub.url, tmp_path, "hf://shop/one-gguf") == (True, path)
    assert [request for request in hub.requests if request.startswith("GET") and "resolve" in request] == []


def test_of_several_the_best_on_a_cpu_is_fetched(hub: Hub, tmp_path: Path) -> None:
    fetched, path = fetch(hub.url, tmp_path, "hf://shop/many-gguf")
    assert (fetched, Path(path).name) == (True, "m-Q4_K_M.gguf")


def test_a_file_may_be_named(hub: Hub, tmp_path: Path) -> None:
    fetched, path = fetch(hub.url, tmp_path, "hf://shop/many-gguf:m-Q8_0.gguf")
    assert (fetched, Path(path).read_bytes()) == (True, b"GGUF8")


def test_a_revision_may_be_named(hub: Hub, tmp_path: Path) -> None:
    fetched, path = fetch(hub.url, tmp_path, "hf://shop/one-gguf", revision="v1")
    assert fetched, path


def test_an_encoder_is_a_folder_with_model_and_tokenizer(hub: Hub, tmp_path: Path) -> None:
    fetched, path = fetch(hub.url, tmp_path, "hf://shop/encoder", kind="encoder")
    assert fetched, path
    assert (Path(path) / "onnx" / "model.onnx").read_bytes() == b"onnx"
    assert (Path(path) / "tokenizer.json").is_file()


def test_a_token_opens_a_private_repository(hub: Hub, tmp_path: Path) -> None:
    fetched, said = fetch(hub.url, tmp_path, "hf://shop/private")
    assert not fetched
    assert "HF_TOKEN" in said
    fetched, path = fetch(hub.url, tmp_path, "hf://shop/private", HF_TOKEN=TOKEN)
    assert fetched, path
    assert TOKEN not in said + path


@pytest.mark.parametrize(
    ("uri", "settings", "told"),
    [
        ("hf://shop/absent", {}, "hf://shop/absent: no such repository at http://127.0.0.1:"),
        ("hf://shop/one-gguf", {"revision": "v9"}, "hf://shop/one-gguf: the repository has no revision v9"),
        ("hf://shop/weights", {}, "hf://shop/weights: no GGUF file in the repository"),
        ("hf://shop/one-gguf:other.gguf", {}, "no such file in the repository; GGUF files there: model.gguf"),
        ("hf://shop/one-gguf", {"HF_HUB_OFFLINE": "1"}, "cannot be reached"),
    ],
)
def test_what_is_not_there_is_one_line(hub: Hub, tmp_path: Path, uri: str, settings: dict[str, str], told: str) -> None:
    fetched, said = fetch(hub.url, tmp_path, uri, **settings)
    assert not fetched
    assert told in said
    assert len(said.splitlines()) == 1


def test_a_hub_that_is_away_is_one_line_unless_the_model_was_fetched_before(tmp_path: Path) -> None:
    with Hub() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        away = server.url
        fetched, path = fetch(away, tmp_path / "cache", "hf://shop/one-gguf")
        server.shutdown()
    assert fetched, path
    assert fetch(away, tmp_path / "cache", "hf://shop/one-gguf") == (True, path)
    fetched, said = fetch(away, tmp_path / "empty", "hf://shop/one-gguf")
    assert not fetched
    assert f"hf://shop/one-gguf: the hub at {away} cannot be reached" in said
    assert "set HF_ENDPOINT, or give a file:// address" in said

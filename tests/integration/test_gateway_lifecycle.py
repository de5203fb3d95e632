"""The gateway as a process: starting with nothing there, losing Milvus in the middle, refusing what cannot work."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from running_gateway import configuration, load_small_shop, running_gateway, wait_for_status

NOBODY = "http://127.0.0.1:9"


def ask(
    url: str, body: dict[str, Any], headers: dict[str, str] | None = None
) -> tuple[int, dict[str, Any], dict[str, str]]:
    request = urllib.request.Request(
        f"{url}/v1/recommendations", json.dumps(body).encode(), {"content-type": "application/json", **(headers or {})}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.load(response), dict(response.headers)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error), dict(error.headers)


def test_it_starts_with_nothing_there_and_says_so(tmp_path: Path, port: Callable[[], int]) -> None:
    config = configuration(NOBODY, NOBODY, NOBODY)
    config["embedder"]["path"] = str(tmp_path / "nothing")
    with running_gateway(config, port(), tmp_path) as (url, _log):
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(url + "/readyz", timeout=10)
        readiness = json.load(error.value)
        assert (error.value.code, readiness["ready"]) == (503, False)
        assert {name: part["ready"] for name, part in readiness["parts"].items()} == {
            "tuned": False,
            "base": False,
            "embedder": False,
            "vectorStore": False,
            "memory": False,
        }
        status, problem, headers = ask(url, {"query": "a jacket"})
        assert (status, problem["code"]) == (503, "unavailable")
        assert int(headers["retry-after"]) > 0
        status, problem, _headers = ask(url, {"query": "a jacket", "stream": True})
        assert (status, problem["code"]) == (503, "unavailable")


def test_milvus_killed_in_the_middle_and_started_again(
    own_milvus: Any, tmp_path: Path, port: Callable[[], int]
) -> None:
    products = load_small_shop(own_milvus.config, tmp_path)
    question = {"query": "a rain jacket", "user_id": "17", "k": 5}
    with running_gateway(configuration(str(own_milvus.config.uri), NOBODY, NOBODY), port(), tmp_path) as (url, log):
        wait_for_status(url + "/readyz", 200)
        _until_whole(url, question)
        whole = ask(url, question)[1]
        assert {each["stage"] for each in whole["degraded"]} == {"rank", "narrate", "prompt"}
        own_milvus.kill()
        status, answer, _headers = ask(url, question)
        assert status == 200
        assert ("retrieve", "no_store") in {(each["stage"], each["reason"]) for each in answer["degraded"]}
        assert len(answer["items"]) == 5
        assert all(products[item["id"]]["in_stock"] == "true" for item in answer["items"])
        assert any("Jacket" in item["title"] for item in answer["items"])
        assert ask(url, {**question, "filters": {"brand": {"in": []}}})[0] == 200
        assert ask(url, {**question, "filters": {"nonsense": 1}})[0] == 400
        own_milvus.start()
        _until_whole(url, question)
        again = ask(url, question)[1]
        assert [item["id"] for item in again["items"]] == [item["id"] for item in whole["items"]]
        assert "Traceback" not in log.read_text()


def test_readiness_follows_a_store_that_hangs_and_a_request_is_answered_in_its_time(
    own_milvus: Any, tmp_path: Path, port: Callable[[], int]
) -> None:
    load_small_shop(own_milvus.config, tmp_path)
    with running_gateway(configuration(str(own_milvus.config.uri), NOBODY, NOBODY), port(), tmp_path) as (url, _log):
        wait_for_status(url + "/readyz", 200)
        _until_store(url, ready=True)
        own_milvus.stop()
        began = time.monotonic()
        status, answer, _headers = ask(url, {"query": "a rain jacket"}, {"x-request-timeout": "1"})
        assert time.monotonic() - began < 1.5
        assert (status, answer["degraded"][0]["stage"]) == (200, "retrieve")
        assert answer["items"]
        _until_store(url, ready=False)
        own_milvus.go_on()
        _until_store(url, ready=True)


def test_models_alone_make_no_recommender(tmp_path: Path, port: Callable[[], int]) -> None:
    config = {"models": configuration(NOBODY, NOBODY, NOBODY)["models"]}
    with running_gateway(config, port(), tmp_path) as (url, _log):
        status, problem, _headers = ask(url, {"query": "a jacket"})
        assert (status, problem["code"]) == (404, "not_configured")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"models": []}, "models: Tuple should have at least 1 item"),
        (
            {"engine": "TGI", "recommendation": {"mode": "ItemTokens"}},
            "recommendation.mode: ItemTokens needs the log-probabilities of 21 tokens, and TGI tells 5 of the model "
            "tuned: start the engine with --max-top-n-tokens 256 and say logProbabilities: 256 of the model tuned",
        ),
        (
            {"engine": "Ollama", "recommendation": {"mode": "ItemTokens"}},
            "choose the mode ToolCall, or an engine that tells more",
        ),
        ({"embeder": {}}, "embeder: Extra inputs are not permitted"),
    ],
)
def test_a_configuration_that_cannot_work_is_one_line(tmp_path: Path, change: dict[str, Any], line: str) -> None:
    config = configuration(NOBODY, NOBODY, NOBODY)
    rest = dict(change)
    if engine := rest.pop("engine", None):
        next(model for model in config["models"] if model["role"] == "tuned")["engine"] = engine
    config |= rest
    file = tmp_path / "gateway.yaml"
    file.write_text(json.dumps(config))
    refused = _gateway("--config", str(file))
    assert refused.returncode == 1
    assert line in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


def test_a_file_that_is_not_there_a_port_in_use_and_wrong_usage(tmp_path: Path) -> None:
    missing = _gateway("--config", str(tmp_path / "none.yaml"))
    assert (missing.returncode, missing.stderr) == (1, f"{tmp_path}/none.yaml: no such file\n")
    file = tmp_path / "gateway.yaml"
    file.write_text(json.dumps(configuration(NOBODY, NOBODY, NOBODY)))
    with socket.create_server(("127.0.0.1", 0)) as busy:
        taken = busy.getsockname()[1]
        refused = _gateway("--config", str(file), "--port", str(taken))
    assert refused.returncode == 1
    assert refused.stderr == f"recsys-gateway: cannot listen on 127.0.0.1:{taken}: Address already in use\n"
    assert _gateway("--port", "x").returncode == 2


def _gateway(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "recsys_gateway.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def _until_store(url: str, *, ready: bool, seconds: float = 10) -> None:
    """Wait until /readyz says so of the store."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with urllib.request.urlopen(url + "/readyz", timeout=10) as response:
            if json.load(response)["parts"]["vectorStore"]["ready"] is ready:
                return
        time.sleep(0.1)
    pytest.fail(f"the store was not said to be {'there' if ready else 'away'}")


def _until_whole(url: str, question: dict[str, Any]) -> None:
    """Ask until the store is used again."""
    for _ in range(100):
        if "retrieve" not in {each["stage"] for each in ask(url, question)[1]["degraded"]}:
            return
    pytest.fail("the store was not used again")

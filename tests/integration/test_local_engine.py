"""A sample model behind llama.cpp's server, as `recsys up` starts it."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from recsys_operator.local.child import last_line
from recsys_operator.local.ports import free_ports
from recsys_operator.local.uris import samples_folder

ENGINE = (sys.executable, "-m", "recsys_operator.local.engine_process")


@pytest.fixture(scope="module")
def engine() -> Iterator[str]:
    (port,) = free_ports(1)
    model = samples_folder() / "models" / "base.gguf"
    command = [*ENGINE, "--model", str(model), "--alias", "sample-base", "--port", str(port), "--slots", "2"]
    with subprocess.Popen(command) as process:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 60
        while not answers(f"{url}/health"):
            assert process.poll() is None, "the engine ended"
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield url
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def fetch(url: str, body: object = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data=data), timeout=60) as response:
        return json.load(response)


def test_it_is_called_by_its_alias(engine: str) -> None:
    assert [model["id"] for model in fetch(f"{engine}/v1/models")["data"]] == ["sample-base"]


def test_it_keeps_to_a_schema(engine: str) -> None:
    schema = {"type": "object", "properties": {"item": {"enum": ["a", "b"]}}, "required": ["item"]}
    answer = fetch(
        f"{engine}/v1/chat/completions",
        {
            "messages": [{"role": "user", "content": "Which one?"}],
            "max_tokens": 40,
            "response_format": {"type": "json_object", "schema": schema, "value": schema},
        },
    )
    assert json.loads(answer["choices"][0]["message"]["content"])["item"] in {"a", "b"}


def test_each_slot_has_a_whole_context(engine: str) -> None:
    props = fetch(f"{engine}/props")
    assert props["total_slots"] == 2
    assert props["default_generation_settings"]["n_ctx"] >= 1024


def test_its_metrics_are_on_and_its_page_is_off(engine: str) -> None:
    with urllib.request.urlopen(f"{engine}/metrics", timeout=5) as response:
        assert "llamacpp:requests_processing" in response.read().decode()
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{engine}/", timeout=5)


def test_a_port_in_use_is_not_taken_for_a_bad_model() -> None:
    model = samples_folder() / "models" / "base.gguf"
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        command = [*ENGINE, "--model", str(model), "--alias", "x", "--port", str(port)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1
    assert (
        result.stderr.splitlines()[-1] == f"another program has port {port}, which was free a moment ago: start again"
    )


def test_a_file_that_is_no_model_is_told_in_the_last_line(tmp_path: Path) -> None:
    model = tmp_path / "model.gguf"
    model.write_text("not a model")
    command = [*ENGINE, "--model", str(model), "--alias", "x", "--port", str(free_ports(1)[0])]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1
    log = tmp_path / "log"
    log.write_text(result.stderr)  # llama.cpp's own thread may end it with an empty line
    assert last_line(log).startswith(f"llama.cpp cannot serve {model}: is it the whole GGUF file")


def test_a_sample_is_served_by_name_on_any_address() -> None:
    """As in a pod, where nobody knows the path of the package."""
    (port,) = free_ports(1)
    command = [*ENGINE, "--model", "sample://tuned", "--alias", "tuned", "--host", "0.0.0.0", "--port", str(port)]  # noqa: S104 as in a pod
    with subprocess.Popen(command) as process:
        deadline = time.monotonic() + 60
        while not answers(f"http://127.0.0.1:{port}/health"):
            assert process.poll() is None, "the engine ended"
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.terminate()
        assert process.wait(10) == 0


def test_a_sample_that_is_not_there_is_told() -> None:
    result = subprocess.run(
        [*ENGINE, "--model", "sample://none", "--alias", "x", "--port", "1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert "there are sample://tuned" in result.stderr

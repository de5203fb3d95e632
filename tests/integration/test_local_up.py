"""`recsys up` and `recsys load` where something is wrong: one clear line, exit 1, and nothing left running."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from recsys_operator.cli import app
from recsys_operator.local.state import DataDirectory
from typer.testing import CliRunner

RUN = CliRunner()
QUICKSTART = Path(__file__).parents[2] / "manifests" / "examples" / "quickstart.yaml"
MOVIELENS = QUICKSTART.with_name("movielens.yaml")


def changed(folder: Path, path: str, value: object) -> Path:
    """A copy of the quickstart with ``value`` at ``path``."""
    document: Any = yaml.safe_load(QUICKSTART.read_text())
    *parents, last = path.split(".")
    node = document
    for name in parents:
        node = node[name]
    node[last] = value
    file = folder / "shop.yaml"
    file.write_text(yaml.safe_dump(document))
    return file


@pytest.fixture
def port() -> Iterator[str]:
    """A port that somebody listens on: `up` would never get further than that."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield str(server.getsockname()[1])


def refusal(*arguments: str, environment: dict[str, str] | None = None) -> str:
    result = RUN.invoke(app, arguments, env=environment)
    assert result.exit_code == 1, result.output
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert result.stdout == ""
    return result.stderr.strip()


def test_a_port_in_use(tmp_path: Path, port: str) -> None:
    said = refusal("up", "--port", port, "--data-dir", str(tmp_path / "d"))
    assert said == f"another program has port {port}; choose another: recsys up --port {int(port) + 1}"
    assert DataDirectory(tmp_path / "d").running_state() is None


@pytest.mark.parametrize("extra", [(), ("--detach",)])
def test_a_data_directory_that_is_a_file(tmp_path: Path, extra: tuple[str, ...]) -> None:
    (tmp_path / "d").touch()
    said = refusal("up", "--data-dir", str(tmp_path / "d"), *extra)
    assert said == f"{tmp_path}/d: cannot be used as the data directory: Not a directory"


def test_an_unknown_engine(tmp_path: Path) -> None:
    file = changed(tmp_path, "spec.models.tuned.engine", {"type": "Foo"})
    said = refusal("up", "-f", str(file), "--data-dir", str(tmp_path / "d"))
    assert said.startswith(f"{file}: spec.models.tuned.engine.type: Input should be 'TGI', 'VLLM'")
    assert said.endswith("(given: 'Foo')")
    assert not (tmp_path / "d").exists()


def test_a_field_that_does_not_exist(tmp_path: Path) -> None:
    file = changed(tmp_path, "spec.recomendation", {"size": 5})
    assert refusal("up", "-f", str(file)) == f"{file}: spec.recomendation: Extra inputs are not permitted"


def test_a_resource_that_is_not_there(tmp_path: Path) -> None:
    assert refusal("up", "-f", str(tmp_path / "x.yaml")) == f"{tmp_path}/x.yaml: no such file"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec.models.base.model.uri", "file:///absent/model.gguf"),
        ("spec.embedder.model.uri", "file:///absent/model.onnx"),
        ("spec.catalog.items.uri", "file:///absent/items.csv"),
    ],
)
def test_a_file_that_is_not_there(tmp_path: Path, path: str, value: str) -> None:
    file = changed(tmp_path, path, value)
    said = refusal("up", "-f", str(file), "--port", "18999", "--data-dir", str(tmp_path / "d"))
    assert said.startswith(f"{file}: {path}: {value.removeprefix('file://')}: no such file")


def test_a_model_option_that_is_no_address(tmp_path: Path) -> None:
    said = refusal("up", "--base", "model.gguf", "--data-dir", str(tmp_path / "d"))
    assert said.startswith("--base model.gguf: expected file:///PATH/MODEL.gguf, hf://ORG/NAME")


def test_movielens_without_its_folder_says_what_to_download(tmp_path: Path) -> None:
    arguments = ("up", "-f", str(MOVIELENS), "--port", "18999", "--data-dir", str(tmp_path / "d"))
    said = refusal(*arguments, environment={"MOVIELENS_DIR": ""})
    assert "spec.catalog.items.uri: file://${MOVIELENS_DIR}: the environment variable MOVIELENS_DIR is not set" in said
    assert "download ml-100k.zip" in said


def test_a_failed_start_is_told_by_status(tmp_path: Path, port: str) -> None:
    refusal("up", "--port", port, "--data-dir", str(tmp_path / "d"))
    said = refusal("status", "--data-dir", str(tmp_path / "d"))
    assert said.startswith(f"Nothing runs in {tmp_path}/d. The last start failed: another program has port {port};")


def test_a_failed_start_with_detach_is_one_line(tmp_path: Path, port: str) -> None:
    said = refusal("up", "--port", port, "--data-dir", str(tmp_path / "d"), "--detach")
    assert said.startswith(f"another program has port {port}; choose another: ")


def test_a_model_of_an_option_that_is_not_there_is_the_options_fault(tmp_path: Path) -> None:
    said = refusal("up", "--base", "file:///nothing.gguf", "--port", "18999", "--data-dir", str(tmp_path / "d"))
    assert said == "--base: /nothing.gguf: no such file"

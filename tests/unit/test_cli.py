"""The command line: what it costs to ask for help, what plugins cost, and how it says no."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import typer
from recsys_operator import plugins
from recsys_operator.cli import app
from typer.testing import CliRunner

RUN = CliRunner()
HEAVY = ("torch", "pydantic", "pymilvus", "numpy", "huggingface_hub", "xllamacpp", "recsys_finetune", "fastapi", "yaml")


def test_help_names_every_command_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom recsys_operator.cli import app\n"
        "try:\n    app(['--help'], prog_name='recsys')\nexcept SystemExit:\n    pass\n"
        f"print('heavy:', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "heavy: []" in result.stdout
    for command in ("up", "down", "status", "logs", "ask", "load", "crd", "finetune", "evaluate", "samples"):
        assert f" {command} " in result.stdout


@pytest.mark.parametrize("command", ["up", "down", "status", "logs", "ask", "load", "crd"])
def test_the_help_of_each_command_has_an_example(command: str) -> None:
    result = RUN.invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert f"recsys {command}" in result.stdout.split("Usage:")[1].split("\n", 1)[1]


@pytest.mark.parametrize(
    "arguments",
    [["frob"], ["up", "--port", "0"], ["up", "--frob"], ["ask"], ["ask", "x", "--filter", "y"], ["load"]],
)
def test_wrong_usage_ends_with_2(arguments: list[str]) -> None:
    assert RUN.invoke(app, arguments).exit_code == 2


def test_a_plugin_function_becomes_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        plugins, "_installed", lambda: {"hello": EntryPoint("hello", f"{__name__}:hello", plugins.GROUP)}
    )
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    result = RUN.invoke(app, ["hello", "Ada"])
    assert (result.exit_code, result.stdout) == (0, "hello Ada\n")


def hello(name: str) -> None:
    typer.echo(f"hello {name}")


def test_a_plugin_that_is_not_installed_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "_installed", dict)
    result = RUN.invoke(app, ["finetune", "-f", "shop.yaml"])
    assert result.exit_code == 1
    assert (
        "recsys finetune is part of recsys-finetune, which is not installed: make dev (in a checkout), or uv pip"
        in result.stderr
    )
    assert len(result.stderr.splitlines()) == 1


def test_a_plugin_that_cannot_be_imported_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = EntryPoint("broken", "recsys_absent.module:run", plugins.GROUP)
    monkeypatch.setattr(plugins, "_installed", lambda: {"broken": broken})
    result = RUN.invoke(app, ["broken"])
    assert result.exit_code == 1
    assert "recsys broken cannot be loaded from recsys_absent.module:run: No module named" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["status"], "Nothing runs in"),
        (["ask", "a jacket"], "Nothing runs in"),
        (["logs"], "no logs yet"),
        (["load", "-f", "shop.yaml"], "Nothing runs in"),
    ],
)
def test_where_nothing_runs_it_is_one_line_and_1(tmp_path: Path, arguments: list[str], told: str) -> None:
    result = RUN.invoke(app, [*arguments, "--data-dir", str(tmp_path / "d")], env={"RECSYS_URL": ""})
    assert result.exit_code == 1
    assert told in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_down_where_nothing_runs_is_done(tmp_path: Path) -> None:
    result = RUN.invoke(app, ["down", "--data-dir", str(tmp_path)])
    assert (result.exit_code, result.stdout) == (0, f"Nothing runs in {tmp_path}.\n")


def test_asking_nothing_says_what_the_empty_text_does() -> None:
    result = RUN.invoke(app, ["ask"])
    assert '"" asks for what fits the customer' in result.stderr


@pytest.mark.parametrize(("terminal", "written"), [(False, b'{"items":[]}'), (True, b'{"items":[]}\n')])
def test_json_is_the_body_as_it_came(terminal: bool, written: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recsys_operator.ask.ask", lambda url, request: b'{"items":[]}')
    monkeypatch.setattr("recsys_operator.cli._on_terminal", lambda: terminal)
    result = RUN.invoke(app, ["ask", "a jacket", "--url", "http://shop", "--json"])
    assert (result.exit_code, result.stdout_bytes) == (0, written)


def test_an_address_may_lack_its_scheme() -> None:
    result = RUN.invoke(app, ["ask", "a jacket", "--url", "127.0.0.1:9"])
    assert result.stderr.startswith("127.0.0.1:9: no gateway answers there (")
    assert "unknown url type" not in result.stderr


@pytest.mark.parametrize("command", [[], ["up"], ["ask"]])
def test_no_example_breaks_at_80_columns(command: list[str]) -> None:
    text = RUN.invoke(app, [*command, "--help"], env={"COLUMNS": "80", "TERMINAL_WIDTH": "80"}).stdout
    examples = text.split("Usage:")[1].split("\n", 1)[1].split("╭")[0].splitlines()
    lines = [line.strip() for line in examples if line.strip()]
    assert any(line.startswith("recsys ") for line in lines)
    after = lines[next(index for index, line in enumerate(lines) if line.startswith("recsys ")) :]
    assert all(line.startswith("recsys ") for line in after), after


def test_a_gateway_that_is_not_there_is_one_line_and_1() -> None:
    result = RUN.invoke(app, ["ask", "a jacket", "--url", "http://127.0.0.1:9"])
    assert result.exit_code == 1
    assert result.stderr.startswith("http://127.0.0.1:9: no gateway answers there (")
    assert len(result.stderr.splitlines()) == 1

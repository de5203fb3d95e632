"""``recsys finetune`` on a small catalogue, for a few seconds: a model that llama.cpp serves, and an honest report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from recsys_finetune.commands.finetune import finetune
from typer.testing import CliRunner, Result

ITEMS, USERS, EVENTS = 30, 40, 10
KINDS = ("tent", "pan", "boot")


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    """Customers walk through the items in steps of one or two."""
    titles = [f"I-{n},Acme {KINDS[n % 3]} {n},{KINDS[n % 3]}" for n in range(ITEMS)]
    (tmp_path / "items.csv").write_text("\n".join(["id,title,categories", *titles]) + "\n", encoding="utf-8")
    users = [f"u{n},{20 + n}" for n in range(USERS)]
    (tmp_path / "users.csv").write_text("\n".join(["id,age", *users]) + "\n", encoding="utf-8")
    events = [
        f"u{user},I-{(user + place * (1 + user % 2)) % ITEMS},{place}"
        for user in range(USERS)
        for place in range(EVENTS)
    ]
    (tmp_path / "events.csv").write_text("\n".join(["user_id,item_id,timestamp", *events]) + "\n", encoding="utf-8")
    return tmp_path


def run(folder: Path, *arguments: str, items: str = "items.csv") -> Result:
    resource = folder / "recsys.yaml"
    tables = ", ".join(
        f"{table}: {{uri: 'file://{folder}/{file}'}}"
        for table, file in (("items", items), ("users", "users.csv"), ("interactions", "events.csv"))
    )
    resource.write_text(
        f"metadata: {{name: walk}}\nspec:\n  catalog: {{{tables}}}\n  fineTuning: {{output: 'file://{folder}/model'}}\n",
        encoding="utf-8",
    )
    app = typer.Typer()
    app.command()(finetune)
    return CliRunner().invoke(app, ["-f", str(resource), *arguments])


def test_a_model_is_written_measured_and_named_for_the_next_command(catalogue: Path) -> None:
    result = run(catalogue, "--minutes", "0.1", "--threads", "1")
    assert result.exit_code == 0, result.output
    assert "recsys up -f" in result.output
    report = json.loads((catalogue / "model" / "report.json").read_text(encoding="utf-8"))
    assert report["bytes"] == (catalogue / "model" / "model.gguf").stat().st_size
    assert report["validation"]["cases"] == USERS
    for name in ("popularity", "markov", "retrieval", "tuned, ToolCall", "tuned, Verbalizer", "tuned, ItemTokens"):
        assert 0 <= report["validation"][name]["ndcg_at_10"] <= 1
    by_items, by_tool = (report["validation"][f"tuned, {mode}"]["tokens"] for mode in ("ItemTokens", "ToolCall"))
    assert by_items < by_tool / 2


def test_a_missing_table_is_one_line_and_exit_code_1(catalogue: Path) -> None:
    result = run(catalogue, items="none.csv")
    assert result.exit_code == 1
    assert "none.csv" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_too_few_events_are_one_line_and_exit_code_1(catalogue: Path) -> None:
    (catalogue / "events.csv").write_text("user_id,item_id\nu1,I-1\n", encoding="utf-8")
    result = run(catalogue)
    assert result.exit_code == 1
    assert "four interactions" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1

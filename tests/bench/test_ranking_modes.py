"""What a list costs in each ranking mode, and what it is worth: one table.

make bench-modes                        1,000 customers of the sample shop in each mode, by the sample tuned model
RECSYS_TUNED=FILE make bench-modes      the same by another model
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from recsys_gateway.config import RankingMode

RECSYS = Path(sys.executable).with_name("recsys")
CUSTOMERS = 1_000
TUNED = os.environ.get("RECSYS_TUNED", "sample")
MOST_OF_PLAIN = 0.25
AT_CHANCE = {"sample": {RankingMode.VERBALIZER.value}}
"""The sample tuned model has not learnt letters (docs/design/modes.md): nothing is asked of their order."""
HEADINGS = (
    "",
    "outside the catalogue",
    "NDCG@10",
    "recall@10",
    "ILD, cosine",
    "ILD, categories",
    "tokens: prompt",
    "answer",
    "plain prompt",
    "of the plain prompt",
    "ms a list, median",
    "p95",
)


def evaluated(*models: str) -> list[dict]:
    arguments = [argument for model in models for argument in ("--model", model)]
    command = [RECSYS, "evaluate", "--data", "sample", *arguments, "--modes", "--json"]
    report = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert report["users"] == CUSTOMERS
    return report["models"]


def show(rows: list[dict]) -> None:
    print("\n| " + " | ".join(HEADINGS) + " |\n" + "|---" * len(HEADINGS) + "|")
    for row in rows:
        print(f"| {' | '.join(cells(row))} |")


def cells(row: dict) -> list[str]:
    quality = [f"{row[name]:.4f}" for name in ("ndcg_at_10", "recall_at_10")]
    variety = [f"{row[name]:.3f}" for name in ("ild_cosine", "ild_genre")]
    told = [row["mode"] or row["model"], f"{row['out_of_catalogue']:g}", *quality, *variety]
    if not row["tokens"]:
        return [*told, *[""] * (len(HEADINGS) - len(told))]
    tokens = [f"{row['tokens'][name]:.0f}" for name in ("prompt", "completion", "plain")]
    latency = [f"{row['latency_ms'][name]:.0f}" for name in ("median", "p95")]
    return [*told, *tokens, f"{row['tokens_of_plain_prompt']:.1%}", *latency]


def hold(modes: list[dict]) -> None:
    """What each mode must show."""
    assert [row["mode"] for row in modes] == [mode.value for mode in RankingMode]
    assert [row["out_of_catalogue"] for row in modes] == [0, 0, 0]
    assert [row["failed"] for row in modes] == [0, 0, 0]
    assert next(row for row in modes if row["mode"] == "ItemTokens")["tokens_of_plain_prompt"] <= MOST_OF_PLAIN


@pytest.mark.timeout(1800)
def test_the_tuned_model_in_every_mode() -> None:
    rows = evaluated("popularity", "markov", "retrieval", TUNED)
    show(rows)
    hold(rows[3:])
    learnt = [row for row in rows[3:] if row["mode"] not in AT_CHANCE.get(TUNED, ())]
    assert all(row["ndcg_at_10"] > rows[0]["ndcg_at_10"] for row in learnt)

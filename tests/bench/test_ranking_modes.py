"""What a list costs in each ranking mode, and what it is worth: one table.

RECSYS_TUNED=FILE make bench-modes      1,000 customers of the sample shop in each mode

FILE is a model that was trained for all three modes: recsys samples tuned --out FOLDER. The one that ships was not.
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
TUNED = os.environ.get("RECSYS_TUNED", "")

pytestmark = pytest.mark.skipif(not TUNED, reason="RECSYS_TUNED names no model that was trained for all three modes")
MOST_OF_PLAIN = 0.25


def evaluated(*models: str) -> list[dict]:
    arguments = [argument for model in models for argument in ("--model", model)]
    command = [RECSYS, "evaluate", "--data", "sample", *arguments, "--modes", "--json"]
    report = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert report["users"] == CUSTOMERS
    return report["models"]


def show(rows: list[dict]) -> None:
    print("\n| | NDCG@10 | outside the catalogue | tokens: prompt | answer | plain prompt | of the plain prompt |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        tokens = row["tokens"]
        cells = [f"{tokens[name]:.0f}" for name in ("prompt", "completion", "plain")] if tokens else ["", "", ""]
        share = f"{row['tokens_of_plain_prompt']:.1%}" if tokens else ""
        outside, name = f"{row['out_of_catalogue']:g}", row["mode"] or row["model"]
        print(f"| {' | '.join([name, format(row['ndcg_at_10'], '.4f'), outside, *cells, share])} |")


def hold(modes: list[dict]) -> None:
    """What each mode must show."""
    assert [row["mode"] for row in modes] == [mode.value for mode in RankingMode]
    assert [row["out_of_catalogue"] for row in modes] == [0, 0, 0]
    assert next(row for row in modes if row["mode"] == "ItemTokens")["tokens_of_plain_prompt"] <= MOST_OF_PLAIN


@pytest.mark.timeout(1800)
def test_the_tuned_model_alone() -> None:
    rows = evaluated("popularity", "markov", "retrieval", TUNED)
    show(rows)
    hold(rows[3:])
    assert all(row["ndcg_at_10"] > rows[0]["ndcg_at_10"] for row in rows[3:])

"""From lists to figures, a table and JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest
from recsys_finetune.evaluation.predictions import write_predictions
from recsys_finetune.evaluation.protocol import Case, Split
from recsys_finetune.evaluation.report import Evaluation, Row, as_json, as_table
from recsys_finetune.evaluation.summary import Shelf, summarise
from recsys_gateway.catalog.records import Item
from rich.console import Console

ITEMS = {name: Item(name, name.upper(), categories=("odd" if name in "ac" else "even",)) for name in "abcd"}
VECTORS = {name: np.eye(4, dtype=np.float32)[number] for number, name in enumerate("abcd")}
HISTORIES = {"u": ("a",), "v": ("a", "b")}
CASES = [Case("u", ("a",), "b"), Case("v", ("a", "b"), "c")]
LISTS = [["b", "c"], ["d", "c"]]


def shelf(vectors):
    return Shelf(ITEMS, frozenset(ITEMS), vectors, HISTORIES)


def evaluation(optimum=None, failed=0):
    figures = summarise(CASES, LISTS, shelf(VECTORS))
    row = Row("markov", figures, failed, 1.25, "chosen on validation")
    return Evaluation("shop", Split.TEST, 2, 4, optimum, [row])


def shown(of):
    console = Console(width=100)
    with console.capture() as capture:
        console.print(as_table(of))
    return capture.get()


def test_figures_are_means_over_the_cases():
    figures = summarise(CASES, LISTS, shelf(VECTORS))
    assert figures.recall_at_10 == 1
    assert figures.mrr_at_10 == pytest.approx((1 + 1 / 2) / 2)
    assert figures.ndcg_at_10 == pytest.approx((1 + 1 / np.log2(3)) / 2)
    assert figures.ild_cosine == pytest.approx(1)
    assert figures.ild_genre == pytest.approx(1)
    assert figures.coverage == pytest.approx(3 / 4)
    assert figures.out_of_catalogue == 0


def test_without_an_embedder_there_is_no_cosine():
    assert summarise(CASES, LISTS, shelf({})).ild_cosine is None


def test_items_outside_the_catalogue_are_counted_and_do_not_break_the_rest():
    figures = summarise(CASES, [["invented", "b"], []], shelf(VECTORS))
    assert figures.out_of_catalogue == 0.5
    assert figures.recall_at_10 == 0.5


def test_nobody_to_ask_is_said():
    with pytest.raises(ValueError, match="nobody"):
        summarise([], [], shelf({}))


def test_json_has_the_share_of_the_optimum():
    report = as_json(evaluation({"ndcg_at_10": 0.9, "recall_at_10": 1.0}))
    assert report["optimum"] == {"ndcg_at_10": 0.9, "recall_at_10": 1.0}
    model = report["models"][0]
    assert model["model"] == "markov"
    assert model["share_of_optimum"] == pytest.approx(model["ndcg_at_10"] / 0.9, abs=1e-4)
    json.dumps(report)


def test_json_without_an_optimum_has_no_share():
    report = as_json(evaluation())
    assert report["optimum"] is None
    assert report["models"][0]["share_of_optimum"] is None


def test_the_table_shows_the_optimum_and_what_failed():
    text = shown(evaluation({"ndcg_at_10": 0.9, "recall_at_10": 1.0}, failed=1))
    assert "optimum" in text
    assert "0.9000" in text
    assert "1 of 2 questions without a list" in text
    assert "optimum" not in shown(evaluation())


def test_predictions_are_one_object_a_line(tmp_path):
    path = tmp_path / "lists.jsonl"
    write_predictions(path, CASES, LISTS)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [
        {"user": "u", "items": ["b", "c"]},
        {"user": "v", "items": ["d", "c"]},
    ]

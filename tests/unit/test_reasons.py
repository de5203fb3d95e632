"""Reasons beside items, the template, and the details of what was left out."""

from __future__ import annotations

import numpy as np
import pytest
from recsys_gateway.catalog.records import Item
from recsys_gateway.recommend.degradation import Degradation, Reason
from recsys_gateway.recommend.reasons import reason
from recsys_gateway.recommend.stages import Stage, VerifiedItem
from recsys_gateway.recommend.template import plain_answer


def item(*confirmed_by: str) -> VerifiedItem:
    held = Item("J1", "Rain Jacket", "for hiking")
    return VerifiedItem(held, 1.0, confirmed_by, np.zeros(2, np.float32))


@pytest.mark.parametrize(
    ("confirmed_by", "english", "korean"),
    [
        (
            ("tuned", "text", "keywords"),
            "matches rainy, hikes; close to your request",
            "rainy, hikes 포함; 요청과 가까움",
        ),
        (("tuned", "history"), "goes with what you chose before", "이전 선택과 어울림"),
        (("popular",), "popular with other customers", "다른 고객에게 인기"),
        (("tuned",), "chosen by the ranking model", "순위 모델이 선택"),
        ((), "related to your request", "요청과 관련됨"),
    ],
)
def test_reasons_come_from_the_evidence(confirmed_by: tuple[str, ...], english: str, korean: str) -> None:
    terms = ("rainy", "tent", "hikes")
    assert reason(item(*confirmed_by), terms, "en") == english
    assert reason(item(*confirmed_by), terms, "ko") == korean


def test_the_template_names_the_items_on_one_clean_line() -> None:
    items = [Item("1", "Tent"), Item("2", "Lamp\n<b>"), Item("3", "Cap")]
    assert plain_answer(items, "en") == "Recommended for you: Tent, Lamp ‹b› and Cap."
    assert plain_answer(items[:1], "fr") == "Recommended for you: Tent."
    assert plain_answer([], "ko") == "조건에 맞는 상품이 없습니다."


@pytest.mark.parametrize("stage", [Stage.RANK, Stage.NARRATE])
@pytest.mark.parametrize("why", [each for each in Reason if each not in {"no_embedder", "no_store", "estimated"}])
def test_every_degradation_of_a_model_says_what_was_done_instead(stage: Stage, why: Reason) -> None:
    assert {Stage.RANK: "order of retrieval", Stage.NARRATE: "plain template"}[stage] in Degradation(stage, why).detail

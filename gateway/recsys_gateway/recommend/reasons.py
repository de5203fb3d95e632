"""A short reason beside each item, from the evidence alone, in English and Korean. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from recsys_gateway.recommend.inflection import stem, stems
from recsys_gateway.recommend.stages import Arm, VerifiedItem
from recsys_gateway.recommend.verify import TUNED

MAX_PARTS = 2
MAX_TERMS = 3

_ENGLISH = {
    Arm.TEXT: "close to your request",
    Arm.HISTORY: "goes with what you chose before",
    Arm.POPULAR: "popular with other customers",
    TUNED: "chosen by the ranking model",
    "": "related to your request",
}
_KOREAN = {
    Arm.TEXT: "요청과 가까움",
    Arm.HISTORY: "이전 선택과 어울림",
    Arm.POPULAR: "다른 고객에게 인기",
    TUNED: "순위 모델이 선택",
    "": "요청과 관련됨",
}


def reason(item: VerifiedItem, terms: Sequence[str], language: str) -> str:
    """What speaks for ``item``, the most concrete first: key words that it holds, the history, the text."""
    korean = language == "ko"
    phrases = _KOREAN if korean else _ENGLISH
    parts = []
    if Arm.KEYWORDS in item.confirmed_by and (held := _held(item, terms)):
        parts.append(f"{', '.join(held)} 포함" if korean else f"matches {', '.join(held)}")
    parts += [phrases[arm] for arm in (Arm.HISTORY, Arm.TEXT, Arm.POPULAR) if arm in item.confirmed_by]
    if not parts:
        parts = [phrases[TUNED if TUNED in item.confirmed_by else ""]]
    return "; ".join(parts[:MAX_PARTS])


def _held(item: VerifiedItem, terms: Sequence[str]) -> list[str]:
    document = stems(item.item.document)
    return [term for term in terms if stem(term) in document][:MAX_TERMS]

"""The answer without a model: plain sentences about the slate, in English and Korean. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from recsys_gateway.catalog.records import Item
from recsys_gateway.recommend.prompt import TITLE_CHARACTERS, one_line


def plain_answer(items: Sequence[Item], language: str) -> str:
    """One sentence that names ``items``; where there are none, one that says so."""
    titles = [one_line(item.title, TITLE_CHARACTERS) or item.id for item in items]
    if language == "ko":
        return f"추천 상품: {', '.join(titles)}." if titles else "조건에 맞는 상품이 없습니다."
    if not titles:
        return "Nothing in the catalogue fits this request."
    *first, last = titles
    return f"Recommended for you: {', '.join(first)} and {last}." if first else f"Recommended for you: {last}."

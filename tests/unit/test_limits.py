"""What fits into the collections."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recsys_gateway.catalog import limits
from recsys_gateway.catalog.records import Interaction, Item, User


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(0, 40))
def test_a_cut_text_is_the_longest_beginning_that_fits(text: str, limit: int) -> None:
    short = limits.cut(text, limit)
    assert text.startswith(short)
    assert len(short.encode()) <= limit
    if short != text:
        assert len(text[: len(short) + 1].encode()) > limit


@pytest.mark.parametrize(
    "item",
    [
        Item("가" * 86, "Title"),
        Item("A", "Title", categories=("c",) * 65),
        Item("A", "Title", categories=("가" * 86,)),
        Item("A", "Title", attributes={"text": "x" * 65_536}),
    ],
)
def test_what_cutting_cannot_help_is_refused(item: Item) -> None:
    with pytest.raises(limits.BadValue, match="at most"):
        limits.fitting_item(item)


def test_long_texts_fit_since_they_are_cut_when_written() -> None:
    item = Item("A", "T" * 5_000, "D" * 100_000)
    assert limits.fitting_item(item) is item


def test_users_and_events_have_limits_too() -> None:
    with pytest.raises(limits.BadValue, match="traits"):
        limits.fitting_user(User("1", {"note": "x" * 65_536}))
    with pytest.raises(limits.BadValue, match="item_id"):
        limits.fitting_interaction(Interaction("e", "u", "x" * 257))
    with pytest.raises(limits.BadValue, match="timestamp"):
        limits.fitting_interaction(Interaction("e", "u", "i", timestamp=float("inf")))

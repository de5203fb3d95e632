"""Claims: a sentence may say of an item what the catalogue says of it, or what the request said."""

from __future__ import annotations

from recsys_gateway.catalog.records import Item
from recsys_gateway.recommend.claims import Claims

SHELL = Item("1", "Storm Shell Jacket", categories=("Jackets", "Hiking"), attributes={"material": "ripstop nylon"})
LAMP = Item("2", "Reading Lamp", categories=("Lighting",), attributes={"material": "oak wood", "watts": 5})
CLAIMS = Claims.of([SHELL, LAMP])


def test_what_the_item_has_may_be_said_in_any_inflection() -> None:
    assert not CLAIMS.false_in("Storm Shell Jacket, a jacket for hikes, in ripstop nylon.", [SHELL.document])


def test_what_another_item_has_may_not() -> None:
    assert CLAIMS.false_in("Storm Shell Jacket, in oak wood.", [SHELL.document])
    assert CLAIMS.false_in("Reading Lamp, made for hiking.", [LAMP.document])


def test_what_the_request_says_may_be_repeated() -> None:
    assert not CLAIMS.false_in("For your hike, the Reading Lamp.", [LAMP.document, "a lamp for hikes"])


def test_words_that_no_item_claims_are_free() -> None:
    assert not CLAIMS.false_in("A splendid choice for evenings!", [LAMP.document])


def test_numbers_and_stop_words_are_no_claims() -> None:
    item = Item("3", "Film", categories=("1995", "For"), attributes={"year": "1995"})
    assert Claims.of([item]).phrases == frozenset()

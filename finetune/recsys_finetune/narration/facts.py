"""What may be said of an item: exactly what the narration prompt shows of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from recsys_gateway.catalog.records import Item
from recsys_gateway.recommend.prompt import facts, one_line

SPOKEN_CATEGORIES = 2


class FactClass(StrEnum):
    """How a fact can be worded, in the order in which a list of facts names them."""

    KIND = "kind"
    FEATURE = "feature"
    MATERIAL = "material"
    COLOUR = "colour"
    USE = "use"
    BRAND = "brand"
    FACT = "fact"


ORDER = {kind: position for position, kind in enumerate(FactClass)}


@dataclass(frozen=True, slots=True)
class Fact:
    """``value`` stands in the prompt as it is here."""

    kind: FactClass
    value: str


@dataclass(frozen=True, slots=True)
class Speakable:
    """An item of a prompt: its number, its categories and facts there, and the words of its facts in the request."""

    number: int
    categories: tuple[str, ...]
    facts: tuple[Fact, ...]
    asked: tuple[str, ...]
    brand_in_title: bool


def speakable(number: int, item: Item, terms: Sequence[str], request: str) -> Speakable:
    """What the prompt for ``request`` with the key words ``terms`` shows of ``item``."""
    classes = {
        one_line(value, 40): FactClass(name) if name in ORDER else FactClass.FACT
        for name, value in item.attributes.items()
        if isinstance(value, str)
    }
    shown = [Fact(classes[value], value) for value in facts(item, terms)]
    brand = item.attributes.get(FactClass.BRAND)
    return Speakable(
        number=number,
        categories=tuple(one_line(", ".join(item.categories), 60).split(", ")) if item.categories else (),
        facts=tuple(sorted(shown, key=lambda fact: ORDER[fact.kind])),
        asked=tuple(
            word for fact in shown if fact.kind is not FactClass.KIND for word in parts(fact) if _says(request, word)
        ),
        brand_in_title=isinstance(brand, str) and brand.casefold() in item.title.casefold(),
    )


def parts(fact: Fact) -> list[str]:
    """The single features of a list of them ("warm soft"); any other fact is one part."""
    return fact.value.split() if fact.kind is FactClass.FEATURE else [fact.value]


def _says(request: str, word: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(word.casefold())}(?!\w)", request.casefold()) is not None

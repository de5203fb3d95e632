"""Random items to narrate: of the sample shop's words, films, common wares, and things with words that nobody knows.

A small model that only ever saw one shop repeats that shop's facts, whatever the prompt says. So facts are drawn
freely and from many vocabularies: only reading the prompt tells them. Pure: the generator is passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TypeVar

import numpy as np
import yaml
from recsys_gateway.catalog.records import Item
from recsys_gateway.document import Frozen

from recsys_finetune.shop.assortment import Assortment

T = TypeVar("T")

NARROW = (0.8, 0.2, 0.0, 0.0)
BROAD = (0.62, 0.18, 0.1, 0.1)
"""Shares of shop items, films, wares and oddities. Looking a word up is learnt sooner where words are few."""
FREE_KIND_SHARE = 0.3
"""Of shop-like items: those whose facts are another kind's, such as a tent of goose down."""
HANGUL_SHARE = 0.2
SHUFFLED_SHARE = 0.3
"""Of shop-like items: those whose facts come in another order than the shop's."""


class Words(Frozen):
    """The content of ``words.yaml``."""

    genres: tuple[str, ...]
    categories: tuple[str, ...]
    materials: tuple[str, ...]
    features: tuple[str, ...]
    uses: tuple[str, ...]
    colours: tuple[str, ...]
    nouns: tuple[str, ...]
    syllables: tuple[str, ...]
    hangul: tuple[str, ...]
    requests: Mapping[str, tuple[str, ...]]


@cache
def load_words() -> Words:
    """The words that ship with the package."""
    return Words.model_validate(yaml.safe_load(files(__package__).joinpath("words.yaml").read_text(encoding="utf-8")))


@dataclass(frozen=True, slots=True)
class Worlds:
    """Draws items. ``forbidden`` are combinations of shop facts (``signature``) that training must not see."""

    assortment: Assortment
    words: Words
    forbidden: frozenset[tuple[str, ...]] = frozenset()
    shares: tuple[float, float, float, float] = BROAD

    def slate(self, size: int, rng: np.random.Generator) -> list[Item]:
        """``size`` items, mostly of one world."""
        first = self._maker(rng)
        return [(first if rng.random() < 0.9 else self._maker(rng))(rng) for _ in range(size)]

    def _maker(self, rng: np.random.Generator) -> Callable[[np.random.Generator], Item]:
        return (self.shop_item, self.film, self.ware, self.oddity)[int(rng.choice(4, p=self.shares))]

    def shop_item(self, rng: np.random.Generator) -> Item:
        """An item in the sample shop's terms, not one of those held out."""
        while True:
            item = self._shop_item(rng)
            if signature(item) not in self.forbidden:
                return item

    def _shop_item(self, rng: np.random.Generator) -> Item:
        kinds = list(self.assortment.kinds())
        category, kind = _one(kinds, rng)
        _, source = _one(kinds, rng) if rng.random() < FREE_KIND_SHARE else (category, kind)
        features = [str(feature) for feature in rng.permutation(np.array(source.features))[:2]]
        use = _one(source.uses, rng)
        brand = _one(self.assortment.brands[category.brands], rng)
        middle = features[0].capitalize() if rng.random() < 0.3 else _one(self.assortment.lines, rng)
        attributes = {
            "feature": " ".join(features),
            "use": use,
            "material": _one(source.materials, rng),
            "brand": brand,
            "colour": _one(self.assortment.colours, rng),
            "kind": kind.name.lower(),
        }
        if rng.random() < SHUFFLED_SHARE:
            attributes = {name: attributes[name] for name in map(str, rng.permutation(np.array(list(attributes))))}
        return Item(
            id="0",
            title=f"{brand} {middle} {kind.name}",
            categories=tuple(dict.fromkeys((category.name, use.capitalize()))),
            attributes=attributes,
        )

    def film(self, rng: np.random.Generator) -> Item:
        """A made-up film: genres, now and then its year as a fact."""
        year = int(rng.integers(1922, 2026))
        nouns = [_one(self.words.nouns, rng).capitalize() for _ in range(2)]
        name = _one(("The {0}", "{0} of the {1}", "{0} and {1}", "A {0} for the {1}", "{0}, The"), rng).format(*nouns)
        return Item(
            id="0",
            title=f"{name} ({year})",
            categories=self._some(self.words.genres, 3, rng),
            attributes={"released": str(year)} if rng.random() < 0.15 else {},
        )

    def ware(self, rng: np.random.Generator) -> Item:
        """A common thing with some of the known attributes, in any order; now and then with none, or no category."""
        words = self.words
        values = {
            "feature": " ".join(self._some(words.features, 2, rng)),
            "use": _one(words.uses, rng),
            "material": _one(words.materials, rng),
            "brand": self._unknown_word(rng).capitalize(),
            "colour": _one((*words.colours, *self.assortment.colours), rng),
        }
        names = [str(name) for name in rng.permutation(np.array(list(values)))[: int(rng.integers(0, 5))]]
        categories = self._some(words.categories, 2, rng) if rng.random() < 0.9 else ()
        title = " ".join([_one((values["brand"], self._unknown_word(rng).capitalize()), rng), *categories[:1]])
        return Item(id="0", title=title, categories=categories, attributes={name: values[name] for name in names})

    def oddity(self, rng: np.random.Generator) -> Item:
        """A thing whose attributes are of no known class, and often of no known word."""
        known = (*self.words.features, *self.words.nouns)

        def text() -> str:
            return " ".join(
                self._unknown_word(rng) if rng.random() < 0.6 else _one(known, rng)
                for _ in range(int(rng.integers(1, 3)))
            )

        return Item(
            id="0",
            title=" ".join(text().capitalize() for _ in range(int(rng.integers(1, 4)))),
            categories=tuple(text().capitalize() for _ in range(int(rng.integers(0, 3)))),
            attributes={f"property_{index}": text() for index in range(int(rng.integers(0, 4)))},
        )

    def _some(self, values: Sequence[str], most: int, rng: np.random.Generator) -> tuple[str, ...]:
        return tuple(str(value) for value in rng.permutation(np.array(values))[: int(rng.integers(1, most + 1))])

    def _unknown_word(self, rng: np.random.Generator) -> str:
        """Two to four syllables that make no word; one in five is Korean."""
        syllables = self.words.hangul if rng.random() < HANGUL_SHARE else self.words.syllables
        return "".join(_one(syllables, rng) for _ in range(int(rng.integers(2, 5))))


def signature(item: Item) -> tuple[str, ...]:
    """What tells products of the sample shop apart, but for their title and price."""
    return tuple(
        str(item.attributes.get(name, "")) for name in ("kind", "feature", "use", "material", "brand", "colour")
    )


def _one(values: Sequence[T], rng: np.random.Generator) -> T:
    return values[int(rng.integers(len(values)))]

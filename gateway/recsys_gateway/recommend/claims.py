"""What the catalogue can say of its items, and whether a sentence says it of items that do not have it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from recsys_gateway.catalog.records import Item
from recsys_gateway.recommend.inflection import stem, words
from recsys_gateway.recommend.keywords import STOPWORDS

SHORTEST = 3
"""Letters of a stem below which a phrase of one word is too common to be a claim."""


@dataclass(frozen=True, slots=True)
class Claims:
    """Categories and textual attributes ("Hiking", "ripstop nylon"), each as its stems with spaces around them."""

    phrases: frozenset[str] = frozenset()

    @classmethod
    def of(cls, items: Iterable[Item]) -> Claims:
        found = set[str]()
        for item in items:
            texts = [*item.categories, *(value for value in item.attributes.values() if isinstance(value, str))]
            found.update(_stemmed(text) for text in texts if _telling(text))
        return cls(frozenset(found))

    def __or__(self, other: Claims) -> Claims:
        return Claims(self.phrases | other.phrases)

    def false_in(self, sentence: str, held: Iterable[str]) -> bool:
        """Whether ``sentence`` claims something that none of the texts in ``held`` (documents, the request) says."""
        said = _stemmed(sentence)
        claimed = [phrase for phrase in self.phrases if phrase in said]
        known = [_stemmed(text) for text in held] if claimed else []
        return any(not any(phrase in text for text in known) for phrase in claimed)


def _stemmed(text: str) -> str:
    return f" {' '.join(map(stem, words(text)))} "


def _telling(text: str) -> bool:
    found = words(text)
    return any(word not in STOPWORDS and len(stem(word)) >= SHORTEST and not word.isdigit() for word in found)

"""What customers might ask for, written from the catalogue itself, and which items answer it. Pure.

A request is made of facets of one item: a category, a value or a word of an attribute, a word of the title.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from recsys_gateway.catalog.records import Item
from recsys_gateway.recommend.inflection import stem, words

FRAMES = (
    "{}",
    "something {}",
    "I want {}",
    "I am looking for {}",
    "can you recommend {}",
    "show me {}",
    "{} please",
    "what is good: {}",
    "anything {}?",
    "I like {}",
)
MAX_FACETS = 3
COMMON = 0.5
SHORTEST_WORD = 3


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """``relevance`` (items,): how much of the request each item meets, 0 to 1. An empty text asks for nothing."""

    text: str
    relevance: NDArray[np.float32]


RequestWriter = Callable[[int, np.random.Generator], Request]
"""A request that the item of this row answers."""


@dataclass(frozen=True, slots=True, eq=False)
class CatalogueRequests:
    """Writes requests for any catalogue. ``facets`` of each item: the words to say and the column that holds them.

    ``held`` (items, columns) is true where the item has the facet.
    """

    facets: tuple[tuple[tuple[str, int], ...], ...]
    held: NDArray[np.bool_]

    @classmethod
    def of(cls, items: Sequence[Item]) -> CatalogueRequests:
        """Facets that more than half of the items share say nothing and are left out."""
        columns: dict[str, int] = {}
        spoken: list[list[tuple[str, int]]] = []
        for item in items:
            said = {_key(text): text for text in _spoken(item)}
            spoken.append([(text, columns.setdefault(key, len(columns))) for key, text in said.items() if key])
        held = np.zeros((len(items), len(columns)), dtype=np.bool_)
        for row, of_item in enumerate(spoken):
            held[row, [column for _, column in of_item]] = True
        telling = held.mean(axis=0) <= COMMON
        return cls(tuple(tuple(f for f in of_item if telling[f[1]]) for of_item in spoken), held)

    def write(self, row: int, rng: np.random.Generator) -> Request:
        """A request for one to three facets of the item; an empty one where it has none."""
        facets = self.facets[row]
        if not facets:
            return Request("", np.zeros(len(self.held), dtype=np.float32))
        count = min(len(facets), int(rng.integers(1, MAX_FACETS + 1)))
        chosen = [facets[index] for index in rng.choice(len(facets), size=count, replace=False)]
        text = FRAMES[int(rng.integers(len(FRAMES)))].format(" ".join(said for said, _ in chosen))
        relevance = self.held[:, [column for _, column in chosen]].mean(axis=1)
        return Request(text, relevance.astype(np.float32))


def _spoken(item: Item) -> list[str]:
    """Categories, attribute values and the first telling words of the title, as a customer would say them."""
    texts = [category.casefold() for category in item.categories]
    texts += [value.casefold() for value in item.attributes.values() if isinstance(value, str) and len(value) <= 30]
    return texts + [word for word in words(item.title) if len(word) > SHORTEST_WORD and not word.isdigit()][:3]


def _key(text: str) -> str:
    return " ".join(map(stem, words(text)))

"""How well an embedder finds what was asked for: in held-out phrasings, in Korean, and by titles of films."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from recsys_gateway.catalog.records import Item

from recsys_finetune.embedder.pairs import korean_wish, load_made_up
from recsys_finetune.shop.queries import Phrasing, Wish, make_wish, satisfies

Embed = Callable[[Sequence[str]], NDArray[np.float32]]

FOUND = 10


def measure(embed: Embed, items: Sequence[Item], unseen: frozenset[str], seed: int) -> dict[str, float]:
    """Recall at 10 of wishes by group, and how often a film comes first when its title is asked for.

    Recall at 10 is the share of the (at most ten) best items that have all that the wish asks for, out of as many as
    could be there. ``unseen`` names items that training left out. Korean is tried in the phrasings of training.
    """
    rng = np.random.default_rng(seed)
    documents = embed([item.document for item in items])
    held_out = [make_wish(item, Phrasing.HELD_OUT, rng) for item in items]
    korean = [korean_wish(item, rng) for item in items]
    return {
        "recall_at_10_held_out_phrasings": _recall(embed, items, documents, held_out),
        "recall_at_10_held_out_phrasings_and_products": _recall(
            embed, items, documents, [wish for wish in held_out if wish.item_id in unseen]
        ),
        "recall_at_10_korean_known_phrasings": _recall(embed, items, documents, korean),
        "film_title_first": film_title_first(embed, rng),
    }


def _recall(embed: Embed, items: Sequence[Item], documents: NDArray[np.float32], wishes: Sequence[Wish]) -> float:
    scores = embed([wish.text for wish in wishes]) @ documents.T
    shares = []
    for row, wish in zip(scores, wishes, strict=True):
        right = np.array([satisfies(item, wish) for item in items])
        best = np.argsort(-row, kind="stable")[:FOUND]
        shares.append(right[best].sum() / min(FOUND, right.sum()))
    return round(float(np.mean(shares)), 4)


def made_up_films(count: int, rng: np.random.Generator) -> list[str]:
    """Titles with a year; many share words."""
    parts = load_made_up()
    names = [f"{a} {b} {c}".strip() for a in parts.film_first for b in parts.film_second for c in parts.film_end]
    return [f"{name} ({int(rng.integers(1930, 2026))})" for name in rng.permutation(names)[:count]]


def film_title_first(embed: Embed, rng: np.random.Generator, count: int = 1_600) -> float:
    """Share of films that are nearest to their own title, typed in lower case and without the year."""
    genres = np.array(load_made_up().genres)
    titles = made_up_films(count, rng)
    documents = embed([f"{title}. {', '.join(rng.permutation(genres)[:2])}" for title in titles])
    queries = embed([title.rsplit(" (", 1)[0].lower() for title in titles])
    return round(float(np.mean(np.argmax(queries @ documents.T, axis=1) == np.arange(count))), 4)

"""Stage 2: the user, the candidates, and why each is one. Reads the store; the judgement is in ``evidence``."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from recsys_gateway.catalog.embedding import EmbedderError
from recsys_gateway.catalog.filters import FieldKind, Filters
from recsys_gateway.catalog.records import User
from recsys_gateway.catalog.rows import StoredItem
from recsys_gateway.catalog.searching import Hit, SearchRequest
from recsys_gateway.catalog.user_vectors import user_vector
from recsys_gateway.recommend.degradation import Degradation, Reason
from recsys_gateway.recommend.evidence import evidence, mean_direction
from recsys_gateway.recommend.stages import Arm, Candidate, Keywords, Query, Retrieval, Signals, Stage, Vector
from recsys_gateway.recommend.vocabulary import Vocabulary

RRF_CONSTANT = 60
FORBIDDEN_DEPTH = 4
HISTORY_READ = 50
"""Latest items of a history that are read from the store: more than the user's vector and a prompt look at."""


class Catalog(Protocol):
    """What the pipeline needs of the store. Each call may raise StoreUnavailable."""

    async def user(self, user_id: str) -> User | None: ...

    async def items(self, ids: Sequence[str]) -> Mapping[str, StoredItem]: ...

    async def search(self, request: SearchRequest) -> Sequence[Hit]: ...

    async def popular(self, limit: int, filters: Filters = ...) -> Sequence[StoredItem]: ...

    async def fields(self) -> Mapping[str, FieldKind]: ...

    async def revision(self) -> str: ...

    async def read_counts(self) -> None: ...


class TextEmbedder(Protocol):
    """Unit vectors of texts, [n, d]. Raises EmbedderError."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]: ...


@dataclass(frozen=True, slots=True)
class Retriever:
    """Finds candidates. ``embedder`` is None where none could be loaded."""

    catalog: Catalog
    embedder: TextEmbedder | None
    vocabulary: Vocabulary

    async def retrieve(self, query: Query, keywords: Keywords, limit: int) -> tuple[Retrieval, list[Degradation]]:
        """Up to ``limit`` candidates that pass the filters; seen items are left out where the query says so.

        One hybrid search over what there is: the query's vector, its key words, the user's vector. A query without a
        user is searched by text alone, a user without a query by the history, neither by what is popular. Without an
        embedder key words stand for the text, and that is said.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """
        (user, history), (vector, degraded) = await asyncio.gather(self._customer(query), self._embedded(query.text))
        collaborative = [each.collaborative for each in history if each.collaborative is not None]
        signals = Signals(vector, keywords.terms, user_vector(collaborative))
        dismissed = frozenset(user.dismissed if user else ())
        seen = dismissed | (frozenset(user.history if user else ()) if query.exclude_seen else frozenset())
        hits, signals = await self._search(query.filters, signals, history, _depth(query, limit), seen)
        hits = [hit for hit in hits if query.filters.matches(hit.stored.item)]
        candidates = _candidates(hits, signals, seen, limit)
        items = tuple(each.item for each in history)
        return Retrieval(tuple(candidates), user, items, signals, seen), degraded

    async def _customer(self, query: Query) -> tuple[User | None, list[StoredItem]]:
        """The user with the history that counts (the request's own before the stored one), its items oldest first."""
        user = await self.catalog.user(query.user_id) if query.user_id else None
        if query.history is not None:
            known = user or User(query.user_id or "")
            user = User(known.id, known.traits, query.history, known.dismissed)
        if user is None or not user.history:
            return user, []
        latest = user.history[-HISTORY_READ:]
        stored = await self.catalog.items(list(dict.fromkeys(latest)))
        return user, [stored[item_id] for item_id in latest if item_id in stored]

    async def _embedded(self, text: str) -> tuple[Vector | None, list[Degradation]]:
        if not text.strip():
            return None, []
        if self.embedder is not None:
            try:
                return (await asyncio.to_thread(self.embedder.embed, [text]))[0], []
            except EmbedderError:
                pass  # told to the client below; the embedder's own message names files and goes to the log of its load
        return None, [Degradation(Stage.RETRIEVE, Reason.NO_EMBEDDER)]

    async def _search(
        self, filters: Filters, signals: Signals, history: Sequence[StoredItem], limit: int, seen: frozenset[str]
    ) -> tuple[Sequence[Hit], Signals]:
        """The hits, and the signals that they were found by."""
        text = signals.query_vector
        if text is None and signals.user_vector is None and not signals.terms:
            # A history of items that are new, and so without collaborative vectors, still has what their texts say.
            text = mean_direction([each.text for each in history])
        if text is None and signals.user_vector is None and not signals.terms:
            return popular_hits(await self.catalog.popular(limit + len(seen), filters)), replace(signals, popular=True)
        words = " ".join(self.vocabulary.expand(signals.terms))
        request = SearchRequest(text, words, signals.user_vector, filters, limit, excluded=seen)
        return await self.catalog.search(request), signals


def _depth(query: Query, limit: int) -> int:
    """Hits to ask for: what is forbidden is sorted out here, so that more are needed."""
    return FORBIDDEN_DEPTH * limit if query.filters.forbidden else limit


def from_memory(query: Query, keywords: Keywords, popular: Sequence[StoredItem], limit: int) -> Retrieval:
    """Candidates without the store: popular items that pass the filters, those that hold key words first. Pure."""
    seen = frozenset(query.history or ()) if query.exclude_seen else frozenset[str]()
    passing = [each for each in popular if each.item.in_stock and query.filters.matches(each.item)]
    signals = Signals(terms=keywords.terms, popular=True)
    candidates = _candidates(popular_hits(passing), signals, seen, len(passing))
    candidates.sort(key=lambda each: -each.evidence.get(Arm.KEYWORDS, 0.0))
    return Retrieval(tuple(candidates[:limit]), user=None, history=(), signals=signals, seen=seen)


def popular_hits(popular: Sequence[StoredItem]) -> list[Hit]:
    """Items that are popular in this order, scored as a search with one arm would."""
    return [Hit(stored, 1 / (RRF_CONSTANT + place)) for place, stored in enumerate(popular, 1)]


def _candidates(hits: Sequence[Hit], signals: Signals, seen: frozenset[str], limit: int) -> list[Candidate]:
    """The unseen hits, best first, ties by id: the same request gives the same order."""
    unseen = [hit for hit in hits if hit.stored.item.id not in seen]
    ordered = sorted(unseen, key=lambda hit: (-hit.score, hit.stored.item.id))[:limit]
    return [Candidate(hit.stored.item, hit.score, evidence(hit.stored, signals), hit.stored.text) for hit in ordered]

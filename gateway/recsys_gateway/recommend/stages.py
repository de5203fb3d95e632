"""What each stage of the pipeline hands to the next (docs/design/pipeline.md). Values only: no behaviour, no I/O.

Query -> Keywords -> Retrieval -> RankPrompt -> Ranking -> Verified -> Slate -> Narration
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from recsys_gateway.catalog.filters import NO_FILTERS, Filters
from recsys_gateway.catalog.records import Item, User
from recsys_gateway.config import RankingMode

Vector = NDArray[np.float32]


PINNED = "pinned"
"""Among what confirms an item: that a rule put it there."""


class Stage(StrEnum):
    """The stages, in order. The values are the labels of metrics, of ``timings_ms`` and of ``degraded``."""

    KEYWORDS = "keywords"
    RETRIEVE = "retrieve"
    PROMPT = "prompt"
    RANK = "rank"
    VERIFY = "verify"
    DIVERSIFY = "diversify"
    NARRATE = "narrate"


class Arm(StrEnum):
    """The searches that retrieval fuses. The values are what ``confirmed_by`` shows."""

    TEXT = "text"
    KEYWORDS = "keywords"
    HISTORY = "history"
    POPULAR = "popular"


@dataclass(frozen=True, slots=True)
class Sampling:
    """Knobs that the engine gets. None leaves the engine's own default."""

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Query:
    """A request, with its defaults filled in."""

    text: str
    user_id: str | None
    size: int
    mode: RankingMode
    sampling: Sampling
    mmr_lambda: float
    target_ild: float | None
    language: str | None
    exclude_seen: bool
    narrate: bool
    filters: Filters = NO_FILTERS
    history: tuple[str, ...] | None = None
    pin: tuple[str, ...] = ()
    category_cap: int | None = None


@dataclass(frozen=True, slots=True)
class Keywords:
    """Key terms of the query, most telling first, and its language (ISO 639-1)."""

    terms: tuple[str, ...]
    language: str


@dataclass(frozen=True, slots=True, eq=False)
class Signals:
    """What retrieval searched with: the query's vector and key words, the user's vector; both of length 1.

    ``popular``: it is among the popular items that was searched.
    """

    query_vector: Vector | None = None
    terms: tuple[str, ...] = ()
    user_vector: Vector | None = None
    popular: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """An item that retrieval found. ``score`` is the fused one (RRF); ``vector`` its text vector, unit length
    (empty where candidates are only written into a prompt, as in training).

    ``evidence`` says why: cosine to the query (text), share of the key words that its document holds (keywords),
    inner product with the user's vector (history), share of all events (popular); an arm not searched is absent.
    """

    item: Item
    score: float
    evidence: Mapping[Arm, float]
    vector: Vector = field(default_factory=lambda: np.zeros(0, np.float32))


@dataclass(frozen=True, slots=True, eq=False)
class Retrieval:
    """Candidates, best first; the user as the store knows it (None: cold) with the history's items, oldest first.

    ``seen`` holds what must not be shown: the ids of the whole history, where the request excludes them.
    """

    candidates: tuple[Candidate, ...]
    user: User | None
    history: tuple[Item, ...]
    signals: Signals = Signals()
    seen: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Message:
    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Ask:
    """One call. ``tokens`` maps what the model may say (an item token, a letter) to the item's id."""

    messages: tuple[Message, ...]
    tokens: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RankPrompt:
    """What the tuned model is asked; ``messages`` and ``tokens`` as in ``Ask``, ``reordered`` the same in other orders.

    ``plain`` is the same request with full documents and nothing left out: what the saving is measured against.
    ``nameless`` are the candidates that the model has no token for; with ``open`` it may name any item of its
    vocabulary, but those in ``excluded``.
    """

    messages: tuple[Message, ...]
    plain: tuple[Message, ...]
    tokens: Mapping[str, str]
    left_out: int
    reordered: tuple[Ask, ...] = ()
    nameless: frozenset[str] = frozenset()
    open: bool = False
    excluded: frozenset[str] = frozenset()

    @property
    def asks(self) -> tuple[Ask, ...]:
        """Every call that is to be made, the first one first."""
        return Ask(self.messages, self.tokens), *self.reordered


@dataclass(frozen=True, slots=True)
class Usage:
    prompt: int = 0
    completion: int = 0


@dataclass(frozen=True, slots=True)
class Scored:
    item_id: str
    score: float


@dataclass(frozen=True, slots=True)
class Ranking:
    """The tuned model's list, best first, as it said it: ids may be unknown or doubled until verified.

    ``nameless``: candidates that it could not have named; retrieval alone speaks for them.
    """

    items: tuple[Scored, ...]
    usage: Usage
    nameless: frozenset[str] = frozenset()


class Rejection(StrEnum):
    """Why verification dropped an item of the tuned model."""

    UNKNOWN = "unknown"
    OUT_OF_STOCK = "out_of_stock"
    FILTERED = "filtered"
    DUPLICATE = "duplicate"
    SEEN = "seen"


@dataclass(frozen=True, slots=True, eq=False)
class VerifiedItem:
    """An item that the store holds and the request allows. ``vector`` is its text vector, unit length.

    ``confirmed_by`` names what speaks for it: ``tuned`` and the arms of retrieval, whose numbers are in ``evidence``.
    """

    item: Item
    score: float
    confirmed_by: tuple[str, ...]
    vector: Vector
    evidence: Mapping[Arm, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verified:
    """At least as many items as asked for, where the store has them; best first; what was dropped is counted."""

    items: tuple[VerifiedItem, ...]
    rejected: Mapping[Rejection, int]
    dropped: Mapping[str, Rejection] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ild:
    """Intra-list diversity: mean pairwise 1 - cosine of text vectors, and mean Jaccard distance of categories."""

    cosine: float
    genre: float


@dataclass(frozen=True, slots=True)
class Slate:
    items: tuple[VerifiedItem, ...]
    ild: Ild

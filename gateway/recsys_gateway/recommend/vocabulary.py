"""What words a catalogue uses: how rare each is, and in which inflections it stands there. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from recsys_gateway.recommend.inflection import stem, words

MAX_FORMS = 4
"""Inflections of one term that a search asks for."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Drawn from ``documents`` documents: in how many of them a stem occurs, and its forms, the frequent ones first."""

    documents: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    forms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, documents: Iterable[str]) -> Vocabulary:
        total, counts, forms = 0, Counter[str](), dict[str, Counter[str]]()
        for document in documents:
            total += 1
            present = set(words(document))
            counts.update({stem(word) for word in present})
            for word in present:
                forms.setdefault(stem(word), Counter())[word] += 1
        return cls(total, dict(counts), {stemmed: _by_frequency(found) for stemmed, found in forms.items()})

    def rarity(self, stemmed: str) -> float:
        """Inverse document frequency, log((N + 1) / (n + 1)): 0 for what stands everywhere."""
        return math.log((self.documents + 1) / (self.counts.get(stemmed, 0) + 1))

    def expand(self, terms: Iterable[str]) -> list[str]:
        """``terms`` with the forms in which the catalogue writes them: a keyword search knows no inflection."""
        expanded: dict[str, None] = {}
        for term in terms:
            expanded[term] = None
            expanded.update(dict.fromkeys(self.forms.get(stem(term), ())[:MAX_FORMS]))
        return list(expanded)


def _by_frequency(found: Mapping[str, int]) -> tuple[str, ...]:
    return tuple(sorted(found, key=lambda word: (-found[word], word)))

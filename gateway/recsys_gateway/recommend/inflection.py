"""Words of a text, and what two inflections of one English word have in common."""

from __future__ import annotations

import re
from functools import lru_cache

WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")

_ENDINGS = (("es", "s"), ("ing", "ed", "er"), ("ie", "i", "y", "e"))
"""One of each group is taken off, group by group: plural, verb or comparison, the vowel that is left."""
_KEPT = 3


def words(text: str) -> list[str]:
    """The words of ``text`` in order, case folded; letters and digits of any script."""
    return [match.casefold() for match in WORD.findall(text)]


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """What inflections of an English word share: hike, hikes, hiked and hiking are one, rain and rainy too.

    Endings are taken off while three letters stay, then a doubled last letter is made single (running -> run). Too
    greedy for display, right for comparing. Words with other letters than a to z come back as they are.
    """
    if not word.isascii() or not word.isalpha():
        return word
    for group in _ENDINGS:
        if not word.endswith("ss"):
            word = next(
                (word[: -len(end)] for end in group if word.endswith(end) and len(word) >= _KEPT + len(end)), word
            )
    return word[:-1] if len(word) > _KEPT and word[-1] == word[-2] else word


@lru_cache(maxsize=4_096)
def stems(text: str) -> frozenset[str]:
    """The stems of the words of ``text``."""
    return frozenset(map(stem, words(text)))

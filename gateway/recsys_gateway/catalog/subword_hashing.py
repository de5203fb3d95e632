"""Text -> bucket numbers, for encoders without a vocabulary (fastText's way: Bojanowski et al. 2017, arXiv:1607.04606).

Every word and every run of ``min_n`` to ``max_n`` of its characters, with its ends marked, is hashed to a bucket. So a
word that no training ever saw still shares buckets with those that it resembles. Hangul is taken apart into its
letters first: a word and the same word with a particle at its end then share most of their runs.
"""

from __future__ import annotations

import json
import re
import unicodedata
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

PADDING = 0
WORD_LETTERS = 48
"""Letters of a word that count: a hash or a URL cannot crowd out the rest of a text."""

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*|[^\w\s]")


@dataclass(frozen=True, slots=True)
class SubwordHashing:
    """How text becomes bucket numbers: bucket 0 is padding, at most ``max_tokens`` numbers come from one text."""

    buckets: int
    min_n: int = 3
    max_n: int = 5
    max_tokens: int = 1024

    def __post_init__(self) -> None:
        if self.buckets < 2 or not 1 <= self.min_n <= self.max_n or self.max_tokens < 1:
            raise ValueError(
                f"no such hashing: {asdict(self)}; needs buckets >= 2, 1 <= min_n <= max_n, max_tokens >= 1"
            )

    def ids(self, text: str) -> list[int]:
        """Between 1 and ``max_tokens`` numbers in 1..buckets-1. A text without a word gives the empty word's bucket."""
        found: list[int] = []
        for word in words(text[: 8 * self.max_tokens]):
            found += [self._bucket(piece) for piece in self._pieces(word)]
            if len(found) >= self.max_tokens:
                break
        return found[: self.max_tokens] or [self._bucket("<>")]

    def _pieces(self, word: str) -> Iterator[str]:
        """The word, ends marked, then its shorter runs of characters."""
        marked = f"<{word[:WORD_LETTERS]}>"
        yield marked
        for size in range(self.min_n, min(self.max_n, len(marked) - 1) + 1):
            yield from (marked[start : start + size] for start in range(len(marked) - size + 1))

    def _bucket(self, piece: str) -> int:
        return 1 + zlib.crc32(piece.encode("utf-8", "surrogatepass")) % (self.buckets - 1)


def words(text: str) -> Iterator[str]:
    """The words of ``text``, casefolded, without accents and apostrophes; a symbol or emoji is a word of its own."""
    # Decomposed first: "é" is then "e" and a mark, which is dropped, and a Hangul syllable its two or three letters.
    decomposed = unicodedata.normalize("NFKD", text).casefold()
    plain = "".join(letter for letter in decomposed if unicodedata.category(letter) not in {"Mn", "Cf"})
    for word in _WORD.findall(plain):
        if word[0].isalnum():
            yield word.replace("'", "").replace("’", "")
        elif unicodedata.category(word).startswith("S"):
            yield word


def load_hashing(path: Path) -> SubwordHashing:
    """The hashing that the JSON file at ``path`` describes.

    Raises:
        ValueError: no JSON object, a field that is not known, or numbers that make no sense.
    """
    document = json.loads(path.read_text(encoding="utf-8"))
    known = {field.name for field in fields(SubwordHashing)}
    if not isinstance(document, dict) or "buckets" not in document or not set(document) <= known:
        raise ValueError(f"needs an object with buckets, and of {', '.join(sorted(known))} only")
    if not all(type(value) is int for value in document.values()):
        raise ValueError("every value must be a whole number")
    return SubwordHashing(**document)


def dump_hashing(hashing: SubwordHashing) -> str:
    """The JSON that ``load_hashing`` reads."""
    return json.dumps(asdict(hashing), indent=2) + "\n"

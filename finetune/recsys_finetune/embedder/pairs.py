"""Training pairs of the embedder: what a customer says, and the text that should be near. Pure: generators passed in.

Two kinds. Wishes teach meaning: "keep me dry" is near a rain jacket. Scraps of made-up titles teach likeness of
letters, over the whole of the hash table: words that no training saw, typing errors, a title without its year.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TypeVar

import numpy as np
import yaml
from recsys_gateway.catalog.records import Item
from recsys_gateway.document import Frozen

from recsys_finetune.shop.queries import Phrasing, Wish, make_wish

T = TypeVar("T")

KOREAN_SHARE = 0.2
TITLE_SHARE = 0.1
TYPING_ERROR_SHARE = 0.2
FIRST_SYLLABLE, SYLLABLES = 0xAC00, 11_172


class Korean(Frozen):
    """The content of ``korean.yaml``."""

    phrasings: tuple[str, ...]
    features: Mapping[str, tuple[str, ...]]
    uses: Mapping[str, tuple[str, ...]]
    kinds: Mapping[str, tuple[str, ...]]


@cache
def load_korean() -> Korean:
    """The words that ship with the package."""
    return Korean.model_validate(yaml.safe_load(files(__package__).joinpath("korean.yaml").read_text(encoding="utf-8")))


class MadeUp(Frozen):
    """The content of ``made_up.yaml``."""

    onsets: tuple[str, ...]
    vowels: tuple[str, ...]
    codas: tuple[str, ...]
    particles: tuple[str, ...]
    film_first: tuple[str, ...]
    film_second: tuple[str, ...]
    film_end: tuple[str, ...]
    genres: tuple[str, ...]


@cache
def load_made_up() -> MadeUp:
    """The pieces that ship with the package."""
    text = files(__package__).joinpath("made_up.yaml").read_text(encoding="utf-8")
    return MadeUp.model_validate(yaml.safe_load(text))


@dataclass(frozen=True, slots=True)
class Ask:
    """A text to search with, and what it asks of an item; without a wish only the text's own item fits."""

    text: str
    item: Item
    wish: Wish | None


def shop_ask(item: Item, rng: np.random.Generator) -> Ask:
    """What a customer may say for ``item``: English, Korean, or its title as somebody types it."""
    draw = rng.random()
    if draw < TITLE_SHARE:
        return Ask(scrap(item.title.split(), rng), item, None)
    if draw < TITLE_SHARE + KOREAN_SHARE:
        wish = korean_wish(item, rng)
        return Ask(wish.text, item, wish)
    wish = make_wish(item, Phrasing.TRAIN, rng)
    return Ask(_mistyped(wish.text, rng) if rng.random() < TYPING_ERROR_SHARE else wish.text, item, wish)


def _mistyped(text: str, rng: np.random.Generator) -> str:
    """``text`` with a typing error in one of its longer words, where it has any."""
    words = text.split()
    longer = [index for index, word in enumerate(words) if len(word) > 4]
    if longer:
        index = _one(longer, rng)
        words[index] = typing_error(words[index], rng)
    return " ".join(words)


def korean_wish(item: Item, rng: np.random.Generator) -> Wish:
    """A Korean query that ``item`` of the sample shop answers."""
    words = load_korean()
    template = _one(words.phrasings, rng)
    feature = _one(str(item.attributes["feature"]).split(), rng)
    use, kind = str(item.attributes["use"]), str(item.attributes["kind"])
    word = _one(words.kinds[kind], rng)
    meant = frozenset(other for other, names in words.kinds.items() if word in names)
    return Wish(
        text=template.format(feature=_one(words.features[feature], rng), use=_one(words.uses[use], rng), kind=word),
        item_id=item.id,
        kinds=meant if "{kind}" in template else frozenset(),
        features=frozenset({feature}) if "{feature}" in template else frozenset(),
        use=use if "{use}" in template else None,
    )


def lexical_pair(vocabulary: Sequence[str], rng: np.random.Generator) -> tuple[str, str]:
    """A part of a made-up title, as somebody types it, and a document that begins with that title."""
    title = [_word(vocabulary, rng) for _ in range(int(rng.integers(1, 6)))]
    year = f" ({int(rng.integers(1920, 2027))})" if rng.random() < 0.4 else ""
    rest = [_word(vocabulary, rng) for _ in range(int(rng.integers(0, 14)))]
    article = "The " if rng.random() < 0.25 else ""
    document = f"{article}{' '.join(title).title()}{year}. {', '.join(rest)}"
    return scrap(title, rng), document


def scrap(title: Sequence[str], rng: np.random.Generator) -> str:
    """Some words of ``title`` in lower case, at times with a typing error, half a word, or a Korean particle."""
    kept = [word for word in title if rng.random() < 0.85] or [title[int(rng.integers(len(title)))]]
    words = [word.lower() for word in kept]
    index = int(rng.integers(len(words)))
    word = words[index]
    draw = rng.random()
    if draw < 0.2 and len(word) > 3:
        words[index] = typing_error(word, rng)
    elif draw < 0.3 and len(word) > 5:
        words[index] = word[: (len(word) + 1) // 2] if rng.random() < 0.5 else word[len(word) // 2 :]
    elif FIRST_SYLLABLE <= ord(word[-1]) < FIRST_SYLLABLE + SYLLABLES:
        words[index] = word + _one(load_made_up().particles, rng)
    return " ".join(words)


def typing_error(word: str, rng: np.random.Generator) -> str:
    """``word`` with two letters swapped, one left out, or one doubled."""
    place = int(rng.integers(len(word) - 1))
    before, first, second, after = word[:place], word[place], word[place + 1], word[place + 2 :]
    return _one((before + second + first + after, before + second + after, before + first * 2 + second + after), rng)


def _word(vocabulary: Sequence[str], rng: np.random.Generator) -> str:
    """A known word, a number, a word that does not exist, or a Korean one that does not."""
    draw = rng.random()
    if draw < 0.25:
        return _one(vocabulary, rng)
    if draw < 0.3:
        return str(int(rng.integers(1, 3000)))
    if draw < 0.45:
        return "".join(chr(FIRST_SYLLABLE + int(rng.integers(SYLLABLES))) for _ in range(int(rng.integers(1, 5))))
    parts = load_made_up()
    syllables = int(rng.integers(1, 4))
    return "".join(_one(group, rng) for _ in range(syllables) for group in (parts.onsets, parts.vowels, parts.codas))


def _one(values: Sequence[T], rng: np.random.Generator) -> T:
    return values[int(rng.integers(len(values)))]

"""Training pairs of the base model: the very prompt that the gateway sends, and a sentence that keeps to it. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from recsys_gateway.catalog.records import Item
from recsys_gateway.recommend.keywords import extract
from recsys_gateway.recommend.prompt import excerpt, narrate_messages
from recsys_gateway.recommend.stages import Message

from recsys_finetune.narration.facts import Speakable, speakable
from recsys_finetune.narration.phrasing import Phrases, load_phrases
from recsys_finetune.narration.worlds import Worlds
from recsys_finetune.shop.queries import Phrasing, make_wish

SPOKEN = 3
SIZES, SIZE_SHARES = (1, 2, 3, 4, 6, 10), (0.15, 0.15, 0.55, 0.07, 0.05, 0.03)
KOREAN_SHARE = 0.18
OTHER_LANGUAGES = ("de", "fr", "ja", "zh", "es")
OTHER_SHARE = 0.03
EMPTY_SHARE = 0.06
UNRELATED_SHARE = 0.15
PLAIN_SHARE = 0.35
_SLOT = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Prompt:
    """A narration prompt, with what its lines show of each item."""

    messages: tuple[Message, ...]
    items: tuple[Speakable, ...]
    language: str


@dataclass(frozen=True, slots=True)
class Pair:
    prompt: Prompt
    answer: str


def narration_prompt(request: str, items: Sequence[Item], language: str | None = None) -> Prompt:
    """The prompt for ``items`` as the gateway would write it; the language of the request unless another is given."""
    keywords = extract(request)
    shown = excerpt(request, keywords)
    spoken_in = language or keywords.language
    return Prompt(
        messages=narrate_messages(shown, items, keywords.terms, spoken_in),
        items=tuple(speakable(number, item, keywords.terms, shown) for number, item in enumerate(items, 1)),
        language=spoken_in,
    )


def phrases_for(language: str) -> Phrases:
    """The phrases of ``language``, or the English ones."""
    phrases = load_phrases()
    return phrases.get(language, phrases["en"])


def random_pair(worlds: Worlds, rng: np.random.Generator) -> Pair:
    """A prompt about one to ten random items, and one of the answers that are right for it."""
    items = worlds.slate(int(rng.choice(SIZES, p=SIZE_SHARES)), rng)
    korean = rng.random() < KOREAN_SHARE
    request = _request(worlds, items[0], rng, korean=korean)
    language = "ko" if korean else None
    if not korean and rng.random() < OTHER_SHARE:
        language = OTHER_LANGUAGES[int(rng.integers(len(OTHER_LANGUAGES)))]
    prompt = narration_prompt(request, items, language)
    return Pair(prompt, phrases_for(prompt.language).say(prompt.items[:SPOKEN], rng))


def _request(worlds: Worlds, item: Item, rng: np.random.Generator, *, korean: bool) -> str:
    """A request that fits ``item``, or another thing, or nothing at all."""
    draw = rng.random()
    if draw < EMPTY_SHARE:
        return ""
    if draw < EMPTY_SHARE + UNRELATED_SHARE:
        item = worlds.slate(1, rng)[0]
    if not korean and "kind" in item.attributes and rng.random() > PLAIN_SHARE:
        return make_wish(item, Phrasing.TRAIN, rng).text
    templates = worlds.words.requests["ko" if korean else "en"]
    return _SLOT.sub(lambda slot: _word(slot.group(1), worlds, item, rng), templates[int(rng.integers(len(templates)))])


def _word(slot: str, worlds: Worlds, item: Item, rng: np.random.Generator) -> str:
    """A word for ``slot``: the item's own where it has one, else any."""
    words = worlds.words
    if slot == "category" and item.categories:
        return item.categories[0].lower()
    own = item.attributes.get(slot)
    if isinstance(own, str) and own:
        parts = own.split() if slot == "feature" else [own]
        return parts[int(rng.integers(len(parts)))]
    pool = {
        "category": words.categories,
        "feature": words.features,
        "material": words.materials,
        "use": words.uses,
        "colour": words.colours,
        "noun": words.nouns,
    }[slot]
    return pool[int(rng.integers(len(pool)))]

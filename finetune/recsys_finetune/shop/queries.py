"""What customers of the sample shop ask for, in many words: (query, item) pairs to train and to measure with. Pure.

Two splits keep the measured quality honest:

- **phrasings**: ``queries.yaml`` lists those to train on and those that are held out;
- **products**: ``held_out_products`` names a tenth of the items, which the narration of the base model never sees.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files

import numpy as np
import yaml
from recsys_gateway.catalog.records import Item
from recsys_gateway.document import Frozen

HELD_OUT_IN = 10
_SLOT = re.compile(r"\{(\w+)\}")


class Phrasing(StrEnum):
    """Which phrasings a query is made from. The values are the keys of ``queries.yaml``."""

    TRAIN = "train"
    HELD_OUT = "held_out"


class Use(Frozen):
    nouns: tuple[str, ...]
    outing: tuple[str, ...]
    outings: tuple[str, ...]


class KindWords(Frozen):
    words: tuple[str, ...]
    purposes: tuple[str, ...]


class Language(Frozen):
    """The content of ``queries.yaml``."""

    train: tuple[str, ...]
    held_out: tuple[str, ...]
    features: Mapping[str, tuple[str, ...]]
    weather: Mapping[str, tuple[str, ...]]
    uses: Mapping[str, Use]
    kinds: Mapping[str, KindWords]
    prices: tuple[int, ...]

    def phrasings(self, phrasing: Phrasing) -> tuple[str, ...]:
        return self.train if phrasing is Phrasing.TRAIN else self.held_out


@dataclass(frozen=True, slots=True)
class Wish:
    """A query and what it asks for, in the shop's own terms. An empty set, or None, means that anything will do.

    ``features`` must all be there, ``kinds`` names the product types that the words may mean.
    """

    text: str
    item_id: str
    kinds: frozenset[str] = frozenset()
    features: frozenset[str] = frozenset()
    use: str | None = None
    material: str | None = None
    colour: str | None = None
    below: float | None = None


@cache
def load_language() -> Language:
    """The words that ship with the package."""
    text = files(__package__).joinpath("queries.yaml").read_text(encoding="utf-8")
    return Language.model_validate(yaml.safe_load(text))


def held_out_products(items: Iterable[Item]) -> frozenset[str]:
    """About a tenth of the items, chosen by a hash of the id: the same ones whatever else the catalogue holds."""
    return frozenset(item.id for item in items if zlib.crc32(item.id.encode()) % HELD_OUT_IN == 0)


def make_wish(item: Item, phrasing: Phrasing, rng: np.random.Generator) -> Wish:
    """One query that ``item`` of the sample shop answers, in a phrasing drawn from those that fit it.

    Raises:
        KeyError: the item has not the attributes kind, feature, use, material and colour of the sample shop.
    """
    speaker = _Speaker(item, load_language(), rng)
    templates = [text for text in speaker.language.phrasings(phrasing) if speaker.can_say(text)]
    return speaker.say(templates[int(rng.integers(len(templates)))])


def satisfies(item: Item, wish: Wish) -> bool:
    """Whether ``item`` has all that ``wish`` asks for; the item that the wish was made from always has."""
    attributes = item.attributes
    return (
        (not wish.kinds or attributes.get("kind") in wish.kinds)
        and wish.features <= set(_features(item))
        and (wish.use is None or wish.use in _uses(item))
        and (wish.material is None or attributes.get("material") == wish.material)
        and (wish.colour is None or attributes.get("colour") == wish.colour)
        and (wish.below is None or (item.price is not None and item.price < wish.below))
    )


def _features(item: Item) -> list[str]:
    return str(item.attributes["feature"]).split()


def _uses(item: Item) -> list[str]:
    """The first use is an attribute; a second one is said in the description only."""
    first = str(item.attributes["use"])
    second = re.search(r"good for (\w+) too", item.description)
    return [first, second.group(1)] if second else [first]


class _Speaker:
    """Fills the slots of a phrasing from one item, and notes what each asks for."""

    def __init__(self, item: Item, language: Language, rng: np.random.Generator) -> None:
        self.item, self.language, self.rng = item, language, rng
        features = _features(item)
        self.first, self.second = (features[i] for i in rng.permutation(len(features))[:2])
        self.use = self._one(_uses(item))
        self.kind = str(item.attributes["kind"])

    def can_say(self, template: str) -> bool:
        """A phrasing with weather needs a feature that some weather calls for, one with a price a price."""
        slots = _SLOT.findall(template)
        if "weather" in slots and self.second not in self.language.weather:
            return False
        return "price" not in slots or self._limits() != []

    def say(self, template: str) -> Wish:
        slots = set(_SLOT.findall(template))
        word = self._one(self.language.kinds[self.kind].words)
        plural = word.endswith("s")
        feature = self._one(self.language.features[self.first])
        purpose = self._one(self.language.kinds[self.kind].purposes)
        use = self.language.uses[self.use]
        limits = self._limits()
        price = limits[0] if limits else None
        values = {
            "kind": word,
            "be": "are" if plural else "is",
            "a_kind": _with_article(word, plural=plural),
            "feature": feature,
            "a_feature_kind": _with_article(f"{feature} {word}", plural=plural),
            "other": self._one(self.language.features[self.second]),
            "weather": self._one(self.language.weather.get(self.second, ("",))),
            "purpose": purpose,
            "use": self._one(use.nouns),
            "outing": self._one(use.outing),
            "outings": self._one(use.outings),
            "material": str(self.item.attributes["material"]),
            "colour": str(self.item.attributes["colour"]),
            "price": str(price),
        }
        asked = {self.first} if slots & {"feature", "a_feature_kind"} else set()
        asked |= {self.second} if slots & {"other", "weather"} else set()
        return Wish(
            text=template.format_map(values),
            item_id=self.item.id,
            kinds=self._kinds_meant(slots, word, purpose),
            features=frozenset(asked),
            use=self.use if slots & {"use", "outing", "outings"} else None,
            material=values["material"] if "material" in slots else None,
            colour=values["colour"] if "colour" in slots else None,
            below=price if "price" in slots else None,
        )

    def _kinds_meant(self, slots: set[str], word: str, purpose: str) -> frozenset[str]:
        kinds = self.language.kinds.items()
        if slots & {"kind", "a_kind", "a_feature_kind"}:
            return frozenset(kind for kind, words in kinds if word in words.words)
        if "purpose" in slots:
            return frozenset(kind for kind, words in kinds if purpose in words.purposes)
        return frozenset()

    def _limits(self) -> list[int]:
        return [limit for limit in self.language.prices if self.item.price is not None and limit > self.item.price]

    def _one(self, values: Iterable[str]) -> str:
        options = list(values)
        return options[int(self.rng.integers(len(options)))]


def _with_article(words: str, *, plural: bool) -> str:
    return words if plural else f"{'an' if words[0] in 'aeiou' else 'a'} {words}"

"""Products of the sample shop, made from the assortment. Pure: the generator of random numbers is passed in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from recsys_gateway.catalog.records import Item

from recsys_finetune.shop.assortment import Assortment, Category, Kind

PER_KIND = 7
OUT_OF_STOCK = 0.05
FLAGSHIPS = 2

USE_PHRASES = {
    "hiking": "for hiking in all seasons",
    "camping": "for nights at a camp site",
    "climbing": "for climbing and steep ground",
    "winter": "for winter and freezing days",
    "running": "for running, short or long",
    "cycling": "for cycling near and far",
    "yoga": "for yoga at home or in class",
    "commuting": "for commuting to work every day",
    "travel": "for travel by train and plane",
    "coffee": "for coffee lovers",
    "cooking": "for cooking with friends",
    "music": "for music wherever you are",
    "reading": "for quiet hours of reading",
}


@dataclass(frozen=True, slots=True)
class Product:
    """An item with what the taste model needs to know of it. ``quality`` in 0..1 is its place in the price range."""

    item: Item
    category: str
    kind: str
    uses: tuple[str, ...]
    quality: float


def make_products(assortment: Assortment, rng: np.random.Generator, per_kind: int = PER_KIND) -> list[Product]:
    """``per_kind`` products of every kind, one more of the first kind of a category."""
    maker = _ProductMaker(assortment, rng)
    products: list[Product] = []
    for category in assortment.categories:
        number = 0
        for position, kind in enumerate(category.kinds):
            for index in range(per_kind + (position == 0)):
                number += 1
                products.append(maker.make(category, kind, number, flagship=index < FLAGSHIPS))
    return products


@dataclass(frozen=True, slots=True)
class _Make:
    """What a product is made as, before it is described."""

    kind: Kind
    features: tuple[str, ...]
    uses: tuple[str, ...]
    material: str
    colour: str
    brand: str


class _ProductMaker:
    """Draws products one after another; no title comes twice."""

    def __init__(self, assortment: Assortment, rng: np.random.Generator) -> None:
        self.assortment, self.rng = assortment, rng
        self.titles: set[str] = set()

    def make(self, category: Category, kind: Kind, number: int, *, flagship: bool) -> Product:
        # Flagships have the first features and the first uses of their kind, so that the obvious wish can be answered.
        features, uses = ((values if flagship else self._shuffled(values))[:2] for values in (kind.features, kind.uses))
        material, colour = str(self.rng.choice(kind.materials)), str(self.rng.choice(self.assortment.colours))
        brand, title = self._title(category, kind, features)
        quality = float(self.rng.beta(1.6, 2.2))
        item = Item(
            id=f"{category.prefix}-{number:03d}",
            title=title,
            description=self._description(_Make(kind, features, uses, material, colour, brand)),
            categories=tuple(dict.fromkeys((category.name, uses[0].capitalize()))),
            price=_price(kind, quality),
            in_stock=flagship or bool(self.rng.random() >= OUT_OF_STOCK),
            attributes={
                "feature": " ".join(features),
                "use": uses[0],
                "material": material,
                "brand": brand,
                "colour": colour,
                "kind": kind.name.lower(),
            },
        )
        return Product(item=item, category=category.name, kind=kind.name, uses=uses, quality=quality)

    def _title(self, category: Category, kind: Kind, features: tuple[str, ...]) -> tuple[str, str]:
        """Brand and an unused title: brand, a line's name or the first feature, and the kind."""
        brands = self.assortment.brands[category.brands]
        for _ in range(1000):
            brand = str(self.rng.choice(brands))
            line = features[0].capitalize() if self.rng.random() < 0.3 else str(self.rng.choice(self.assortment.lines))
            title = f"{brand} {line} {kind.name}"
            if title not in self.titles and line not in kind.name:
                self.titles.add(title)
                return brand, title
        raise ValueError(f"{kind.name}: no unused title is left; give the assortment more brands or lines")

    def _description(self, made: _Make) -> str:
        """Three sentences: what it is and for what, a detail of its kind, a closing."""
        kind = made.kind
        what = f"{' and '.join(made.features)} {kind.name.lower()} of {made.material} {USE_PHRASES[made.uses[0]]}"
        if len(made.uses) > 1:
            what += f", and good for {made.uses[1]} too"
        first = what[0].upper() + what[1:] if kind.plural else f"{_article(what)} {what}"
        detail = str(self.rng.choice(kind.details))
        closing = str(self.rng.choice(self.assortment.closings)).format(colour=made.colour, brand=made.brand)
        return f"{first}. {detail} {closing}"

    def _shuffled(self, values: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(values[index] for index in self.rng.permutation(len(values)))


def _price(kind: Kind, quality: float) -> float:
    """Geometric between the lowest and the highest price of the kind, ending in .95."""
    low, high = kind.price
    return float(round(low * (high / low) ** quality - 0.5)) + 0.95


def _article(word: str) -> str:
    return "An" if word[0] in "aeiou" else "A"

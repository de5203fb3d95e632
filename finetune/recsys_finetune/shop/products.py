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
    products: list[Product] = []
    titles: set[str] = set()
    for category in assortment.categories:
        number = 0
        for position, kind in enumerate(category.kinds):
            for index in range(per_kind + (position == 0)):
                number += 1
                product = _product(assortment, category, kind, number, rng, flagship=index < FLAGSHIPS, taken=titles)
                titles.add(product.item.title)
                products.append(product)
    return products


def _product(
    assortment: Assortment,
    category: Category,
    kind: Kind,
    number: int,
    rng: np.random.Generator,
    *,
    flagship: bool,
    taken: set[str],
) -> Product:
    # Flagships have the first features and the first uses of their kind, so that the obvious wish can be answered.
    order = np.arange(len(kind.features)) if flagship else rng.permutation(len(kind.features))
    features = tuple(kind.features[i] for i in order[:2])
    uses = tuple(kind.uses[i] for i in (np.arange(len(kind.uses)) if flagship else rng.permutation(len(kind.uses)))[:2])
    material, colour = str(rng.choice(kind.materials)), str(rng.choice(assortment.colours))
    brand, title = _title(assortment, category, kind, features, rng, taken)
    quality = float(rng.beta(1.6, 2.2))
    item = Item(
        id=f"{category.prefix}-{number:03d}",
        title=title,
        description=_description(assortment, kind, features, uses, material, colour, brand, rng),
        categories=tuple(dict.fromkeys((category.name, uses[0].capitalize()))),
        price=_price(kind, quality),
        in_stock=flagship or bool(rng.random() >= OUT_OF_STOCK),
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


def _title(
    assortment: Assortment,
    category: Category,
    kind: Kind,
    features: tuple[str, ...],
    rng: np.random.Generator,
    taken: set[str],
) -> tuple[str, str]:
    """Brand and an unused title: brand, a line's name or the first feature, and the kind."""
    brands = assortment.brands[category.brands]
    for _ in range(1000):
        brand = str(rng.choice(brands))
        middle = features[0].capitalize() if rng.random() < 0.3 else str(rng.choice(assortment.lines))
        title = f"{brand} {middle} {kind.name}"
        if title not in taken and middle not in kind.name:
            return brand, title
    raise ValueError(f"{kind.name}: no unused title is left; give the assortment more brands or lines")


def _price(kind: Kind, quality: float) -> float:
    """Geometric between the lowest and the highest price of the kind, ending in .95."""
    low, high = kind.price
    return float(round(low * (high / low) ** quality - 0.5)) + 0.95


def _description(
    assortment: Assortment,
    kind: Kind,
    features: tuple[str, ...],
    uses: tuple[str, ...],
    material: str,
    colour: str,
    brand: str,
    rng: np.random.Generator,
) -> str:
    """Three sentences: what it is and for what, a detail of its kind, a closing."""
    name = kind.name.lower()
    what = f"{' and '.join(features)} {name} of {material} {USE_PHRASES[uses[0]]}"
    if len(uses) > 1:
        what += f", and good for {uses[1]} too"
    first = what[0].upper() + what[1:] if kind.plural else f"{_article(what)} {what}"
    detail = str(rng.choice(kind.details))
    closing = str(rng.choice(assortment.closings)).format(colour=colour, brand=brand)
    return f"{first}. {detail} {closing}"


def _article(word: str) -> str:
    return "An" if word[0] in "aeiou" else "A"

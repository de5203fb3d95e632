"""What the sample shop sells, typed: the content of ``assortment.yaml``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files

import yaml
from recsys_gateway.document import Frozen


class Kind(Frozen):
    """A product type, such as a rain jacket. ``price`` is (lowest, highest)."""

    name: str
    plural: bool
    materials: tuple[str, ...]
    features: tuple[str, ...]
    uses: tuple[str, ...]
    price: tuple[float, float]
    details: tuple[str, ...]


class Category(Frozen):
    """``after`` maps a category to how strongly customers turn to it after this one."""

    name: str
    prefix: str
    brands: str
    after: Mapping[str, float]
    kinds: tuple[Kind, ...]


class Assortment(Frozen):
    brands: Mapping[str, tuple[str, ...]]
    lines: tuple[str, ...]
    colours: tuple[str, ...]
    closings: tuple[str, ...]
    categories: tuple[Category, ...]
    regions: tuple[str, ...]
    interests: tuple[str, ...]
    leanings: Mapping[str, Mapping[str, float]]

    def kinds(self) -> Iterator[tuple[Category, Kind]]:
        """Every kind with its category, in the order of the file."""
        for category in self.categories:
            for kind in category.kinds:
                yield category, kind


@cache
def load_assortment() -> Assortment:
    """The assortment that ships with the package."""
    text = files(__package__).joinpath("assortment.yaml").read_text(encoding="utf-8")
    return Assortment.model_validate(yaml.safe_load(text))

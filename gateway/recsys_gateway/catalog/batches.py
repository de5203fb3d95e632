"""A stream in pieces. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

Element = TypeVar("Element")


def batched(elements: Iterable[Element], size: int) -> Iterator[list[Element]]:
    """``elements`` in lists of ``size``, the last one shorter."""
    rest = iter(elements)
    while batch := list(islice(rest, size)):
        yield batch

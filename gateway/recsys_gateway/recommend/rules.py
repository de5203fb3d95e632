"""What the business asks of a list, whatever the models say: items it pins, and how many a category may have. Pure.

What must and must not be is part of the filters; a pinned item passes them by, for somebody has chosen it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from recsys_gateway.catalog.rows import StoredItem
from recsys_gateway.recommend.stages import PINNED, VerifiedItem


@dataclass(frozen=True, slots=True)
class Rules:
    """``pin``: ids that come first, in this order. ``category_cap``: items of one category in a list, at most."""

    pin: tuple[str, ...] = ()
    category_cap: int | None = None


NO_RULES = Rules()


@dataclass(frozen=True, slots=True)
class Ruled:
    """``pinned`` come first; of ``free`` any choice keeps the cap. ``capped`` are the ids that had to go for it.

    ``not_pinned`` says of a pin why it could not be followed: unknown, or out_of_stock.
    """

    pinned: tuple[VerifiedItem, ...]
    free: tuple[VerifiedItem, ...]
    capped: tuple[str, ...]
    not_pinned: Mapping[str, str]


def apply(rules: Rules, items: Sequence[VerifiedItem], stored: Mapping[str, StoredItem], size: int) -> Ruled:
    """``items``, best first, under ``rules``; ``stored`` holds what the store knows of the pinned ids."""
    verified = {each.item.id: each for each in items}
    pinned, not_pinned = list[VerifiedItem](), dict[str, str]()
    for item_id in dict.fromkeys(rules.pin):
        found = stored.get(item_id)
        if found is None or not found.item.in_stock:
            not_pinned[item_id] = "unknown" if found is None else "out_of_stock"
        elif len(pinned) < size:
            known = verified.get(item_id)
            confirmed = (PINNED, *(known.confirmed_by if known else ()))
            evidence = known.evidence if known else {}
            pinned.append(VerifiedItem(found.item, known.score if known else 0.0, confirmed, found.text, evidence))
    chosen = {each.item.id for each in pinned}
    held = Counter(category for each in pinned for category in each.item.categories)
    free, capped = list[VerifiedItem](), list[str]()
    for each in items:
        if each.item.id in chosen:
            continue
        if rules.category_cap is not None and any(
            held[category] >= rules.category_cap for category in each.item.categories
        ):
            capped.append(each.item.id)
            continue
        held.update(each.item.categories)
        free.append(each)
    return Ruled(tuple(pinned), tuple(free), tuple(capped), not_pinned)

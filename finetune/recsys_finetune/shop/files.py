"""The sample shop as files: CSV tables in the layout that the catalogue loads, and the report beside them."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from recsys_finetune.shop.generate import Shop
from recsys_finetune.shop.purchases import Purchase

EVENT_COLUMNS = ("id", "user_id", "item_id", "type", "timestamp")
ATTRIBUTES = ("feature", "use", "material", "brand", "colour", "kind")


def write_shop(shop: Shop, report: dict[str, object], folder: Path) -> None:
    """Writes items, users, interactions, heldout (CSV) and report.json; the same shop gives the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    _write(
        folder / "items.csv",
        ("id", "title", "description", "categories", "price", "in_stock", *ATTRIBUTES),
        (
            (
                item.id,
                item.title,
                item.description,
                "|".join(item.categories),
                f"{item.price:.2f}",
                str(item.in_stock).lower(),
                *(item.attributes[name] for name in ATTRIBUTES),
            )
            for item in shop.items
        ),
    )
    _write(
        folder / "users.csv",
        ("id", "age", "gender", "region"),
        ((user.id, *(user.traits[name] for name in ("age", "gender", "region"))) for user in shop.customers),
    )
    kept = [purchase for row in shop.purchases for purchase in row[:-1]]
    held_out = [row[-1] for row in shop.purchases]
    _write(folder / "interactions.csv", EVENT_COLUMNS, _events(shop, kept, "e"))
    _write(folder / "heldout.csv", EVENT_COLUMNS, _events(shop, held_out, "h"))
    text = json.dumps(report, indent=2) + "\n"
    (folder / "report.json").write_text(text, encoding="utf-8", newline="\n")


def _events(shop: Shop, purchases: Sequence[Purchase], prefix: str) -> Iterable[Sequence[object]]:
    """Rows of an events table, oldest first."""
    ordered = sorted(purchases, key=lambda purchase: (purchase.timestamp, purchase.customer))
    for number, purchase in enumerate(ordered, 1):
        customer, item = shop.customers[purchase.customer], shop.items[purchase.item]
        yield f"{prefix}{number}", customer.id, item.id, "purchase", purchase.timestamp


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)

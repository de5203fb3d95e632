"""A catalogue is saved as Parquet, and put back into another store: row for row the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recsys_gateway.catalog import schema
from recsys_gateway.catalog.backup import BackupError, backup, restore
from recsys_gateway.catalog.migration import prepare
from recsys_gateway.catalog.records import Interaction, Item, User
from recsys_gateway.catalog.updates import CatalogUpdates
from recsys_gateway.catalog.writing import CatalogWriter

from .conftest import MilvusLite
from .test_catalog_loading import HashedWords

COLLECTIONS = (schema.ITEMS, schema.USERS, schema.INTERACTIONS, schema.STATISTICS, schema.TOMBSTONES, schema.CATALOG)
SEARCHED = frozenset({"keywords", "unused"})


def whole(writer: CatalogWriter) -> dict[str, list[dict[str, Any]]]:
    """Every row, without what Milvus computes itself."""
    return {
        collection: [
            {name: _plain(value) for name, value in sorted(row.items()) if name not in SEARCHED}
            for row in writer.all_rows(collection, ["*"])
        ]
        for collection in COLLECTIONS
    }


def _plain(value: Any) -> Any:
    return [round(float(each), 6) for each in value] if isinstance(value, np.ndarray) else value


def fill(writer: CatalogWriter) -> None:
    encoder = HashedWords()
    prepare(writer, encoder)
    updates = CatalogUpdates(writer, encoder)
    updates.put_items(
        [Item("A", "비옷", "", ("Rain",), 9.5, attributes={"brand": "두루"}), Item("B", "Mat"), Item("C", "X")]
    )
    updates.put_users([User("u", {"age": 34})])
    updates.add_events([Interaction("e1", "u", "A", "rating", 4.0, 1.5), Interaction("e2", "u", "B", "dismiss")], 7)
    updates.remove_item("C")


def test_what_is_restored_is_what_was_saved(milvus: MilvusLite, tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    with CatalogWriter(milvus.config) as writer:
        fill(writer)
        before = whole(writer)
        assert backup(writer, saved)["items"] == 2
        with pytest.raises(BackupError, match="not an empty folder"):
            backup(writer, saved)
        with pytest.raises(BackupError, match="--replace"):
            restore(writer, saved)
        CatalogUpdates(writer, HashedWords()).erase_user("u")
        assert restore(writer, saved, replace=True)["interactions"] == 2
        assert whole(writer) == before
        with pytest.raises(BackupError, match="no backup"):
            restore(writer, tmp_path)
    other = MilvusLite(tmp_path / "other")
    try:
        other.start()
        with CatalogWriter(other.config) as writer:
            with pytest.raises(BackupError, match="load one first"):
                backup(writer, tmp_path / "nothing")
            restore(writer, saved)
            assert whole(writer) == before
    finally:
        other.kill()

"""JSON Lines and Parquet as catalogue tables: types are kept, a bad row is named, columns are mapped."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet
from recsys_gateway.catalog.importers.reading import read_interactions, read_items, read_users
from recsys_gateway.catalog.importers.row_error import RowError
from recsys_gateway.catalog.records import Interaction, Item, User
from recsys_gateway.catalog.source import SourceError, TableSource

ROWS = [
    {"id": 1, "title": "Tent\x1b[31m", "categories": ["Tents", "Camp"], "price": 99.5, "seats": 2, "new": True},
    {"id": "B", "title": "Mat", "categories": "Tents|Sleep", "price": None, "seats": None, "new": False},
]
ITEMS = [
    Item("1", "Tent[31m", categories=("Tents", "Camp"), price=99.5, attributes={"seats": 2, "new": True}),
    Item("B", "Mat", categories=("Tents", "Sleep"), attributes={"new": False}),
]


def json_lines(folder: Path, *rows: object) -> TableSource:
    path = folder / "table.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return TableSource(uri=str(path), format="jsonl")


def test_json_lines_keep_types_and_lose_control_characters(tmp_path: Path) -> None:
    assert list(read_items(json_lines(tmp_path, *ROWS))) == ITEMS


def test_parquet_is_read_as_json_lines_are(tmp_path: Path) -> None:
    path = tmp_path / "items.parquet"
    rows = [{**row, "id": str(row["id"]), "categories": item.categories} for row, item in zip(ROWS, ITEMS, strict=True)]
    parquet.write_table(pa.Table.from_pylist(rows), path)
    assert list(read_items(TableSource(uri=str(path), format="parquet"))) == ITEMS


def test_columns_are_mapped_and_the_rest_is_left(tmp_path: Path) -> None:
    source = json_lines(tmp_path, {"sku": "A", "name": "Tent", "secret": "x"})
    mapped = source.model_copy(update={"columns": {"id": "sku", "title": "name"}})
    assert list(read_items(mapped)) == [Item("A", "Tent")]


def test_users_and_events(tmp_path: Path) -> None:
    assert list(read_users(json_lines(tmp_path, {"id": "u", "age": 34}))) == [User("u", {"age": 34})]
    moment = datetime(2024, 3, 1, tzinfo=UTC)
    events = json_lines(tmp_path, {"id": "e", "user_id": "u", "item_id": 7, "type": "view", "timestamp": str(moment)})
    assert list(read_interactions(events)) == [Interaction("e", "u", "7", "view", None, moment.timestamp())]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("{", "not JSON in UTF-8"),
        ("[1]", "not a JSON object"),
        ({"id": "A"}, "title: empty"),
        ({"title": "Tent"}, "id: empty"),
        ({"id": "A", "title": ["Tent"]}, "title: a text is needed"),
        ({"id": "A", "title": "Tent", "price": -1}, "price: -1 is negative"),
        ({"id": "A", "title": "Tent", "price": "cheap"}, "price: 'cheap' is no number"),
        ({"id": "A", "title": "Tent", "size": {"x": 1}}, "size: a text, a number"),
        ('{"id": "A", "title": "\\ud800"}', "title: no valid Unicode"),
        ({"id": "1", "title": "Again"}, "stands twice"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, row: object, reason: str) -> None:
    good, bad = read_items(json_lines(tmp_path, {"id": "1", "title": "Mat"}, row))
    assert isinstance(good, Item)
    assert isinstance(bad, RowError)
    assert bad.line == 2
    assert reason in bad.reason


def test_what_is_no_parquet_and_lacks_a_column_is_told(tmp_path: Path) -> None:
    path = tmp_path / "items.parquet"
    with pytest.raises(SourceError, match="no such file"):
        read_items(TableSource(uri=str(path), format="parquet"))
    path.write_text("id,title")
    with pytest.raises(SourceError, match="not Parquet"):
        read_items(TableSource(uri=str(path), format="parquet"))
    parquet.write_table(pa.Table.from_pylist([{"id": "A"}]), path)
    with pytest.raises(SourceError, match="no column 'title'; the file has id"):
        read_items(TableSource(uri=str(path), format="parquet"))


def test_the_latest_movielens_layout(tmp_path: Path) -> None:
    (tmp_path / "movies.csv").write_text(
        'movieId,title,genres\n1,"Stalker (1979)",Drama|Sci-Fi\n2,X,(no genres listed)\n'
    )
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating,timestamp\n7,1,4.5,964982703\n")
    source = TableSource(uri=str(tmp_path), format="movielens")
    assert list(read_items(source)) == [
        Item("1", "Stalker (1979)", categories=("Drama", "Sci-Fi"), attributes={"year": 1979}),
        Item("2", "X"),
    ]
    assert list(read_interactions(source)) == [Interaction("7-1", "7", "1", "rating", 4.5, 964982703.0)]
    assert list(read_users(source)) == []

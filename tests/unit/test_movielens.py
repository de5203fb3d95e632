"""The MovieLens 100K folder, by a tiny one of the same layout."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from recsys_gateway.catalog.importers.reading import read_interactions, read_items, read_users
from recsys_gateway.catalog.importers.row_error import RowError
from recsys_gateway.catalog.records import Interaction, Item, User
from recsys_gateway.catalog.source import SourceError, TableSource


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "u.genre").write_text("unknown|0\nAction|1\nDrama|2\n\n")
    (tmp_path / "u.item").write_bytes(
        "1|Misérables, Les (1995)|01-Jan-1995||http://x|0|0|1\n"
        "2|Land (1994) (V)|01-Jan-1994||http://x|0|1|1\n"
        "3|unknown||||1|0|0\n"
        "4|Short|x||x|1\n"
        "3|Again (1990)|||x|0|1|0\n".encode("latin-1")
    )
    (tmp_path / "u.user").write_text("1|24|M|technician|85711\n2|x|F|other|94043\n")
    (tmp_path / "u.data").write_text("1\t2\t5\t881250949\n1\t1\t3\t881250949\n2\t1\n")
    return tmp_path


def source(folder: Path | str) -> TableSource:
    return TableSource.model_validate({"uri": f"file://{folder}", "format": "movielens"})


def test_films_have_genres_and_a_year(folder: Path) -> None:
    records = list(read_items(source(folder)))
    assert records[:3] == [
        Item("1", "Misérables, Les (1995)", categories=("Drama",), attributes={"year": 1995}),
        Item("2", "Land (1994) (V)", categories=("Action", "Drama"), attributes={"year": 1994}),
        Item("3", "unknown"),
    ]
    assert [str(record).removeprefix(f"{folder}/") for record in records[3:]] == [
        "u.item:4: 1 genre flags, where u.genre names 3 genres",
        "u.item:5: id: '3' stands twice in the file",
    ]


def test_users_have_traits_and_no_zip_code(folder: Path) -> None:
    good, bad = read_users(source(folder))
    assert good == User("1", {"age": 24, "gender": "M", "occupation": "technician"})
    assert isinstance(bad, RowError)
    assert bad.line == 2


def test_ratings_are_events_in_the_order_of_the_file(folder: Path) -> None:
    first, second, bad = read_interactions(source(folder))
    assert first == Interaction("1-2", "1", "2", "rating", 5.0, 881250949.0)
    assert second == Interaction("1-1", "1", "1", "rating", 3.0, 881250949.0)
    assert isinstance(bad, RowError)


@pytest.mark.parametrize("uri", ["${MOVIELENS_DIR}", "/nowhere"])
def test_without_the_folder_it_says_what_to_download(uri: str) -> None:
    with pytest.raises(SourceError) as refused:
        read_items(source(uri), {} if "$" in uri else os.environ)
    assert "ml-100k.zip" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.skipif("MOVIELENS_DIR" not in os.environ, reason="MOVIELENS_DIR names no MovieLens 100K folder")
def test_the_official_folder_is_read_whole() -> None:
    official = source(os.environ.get("MOVIELENS_DIR", ""))
    items, users, events = list(read_items(official)), list(read_users(official)), list(read_interactions(official))
    assert (len(items), len(users), len(events)) == (1682, 943, 100_000)
    assert not any(isinstance(record, RowError) for record in [*items, *users, *events])

"""The official MovieLens latest folders (ml-latest-small, ml-latest): ``movies.csv`` and ``ratings.csv``.

Films get their genres as categories and the year of the title as an attribute. Users are known by their ratings alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from recsys_gateway.catalog.importers import csv_tables
from recsys_gateway.catalog.importers.row_error import RowError
from recsys_gateway.catalog.records import Interaction, Item, User
from recsys_gateway.catalog.source import TableSource

_MOVIES, _RATINGS = "movies.csv", "ratings.csv"
_NO_GENRE = "(no genres listed)"
_YEAR = re.compile(r".*\((\d{4})\)")


def is_it(folder: Path) -> bool:
    """Whether ``folder`` has this layout, and not that of MovieLens 100K."""
    return (folder / _MOVIES).is_file()


def read_items(folder: Path) -> Iterator[Item | RowError]:
    """Films. Raises as ``csv_tables.read_items``."""
    columns = {"id": "movieId", "title": "title", "categories": "genres"}
    source = TableSource(uri=str(folder / _MOVIES), columns=columns)
    films = csv_tables.read_items(folder / _MOVIES, source)
    return (film if isinstance(film, RowError) else _dated(film) for film in films)


def read_users(folder: Path) -> Iterator[User | RowError]:
    """None: the folder says nothing of them but their ratings."""
    del folder
    return iter(())


def read_interactions(folder: Path) -> Iterator[Interaction | RowError]:
    """Ratings, in the order of the file. Raises as ``csv_tables.read_items``."""
    columns = {"user_id": "userId", "item_id": "movieId", "value": "rating", "timestamp": "timestamp"}
    source = TableSource(uri=str(folder / _RATINGS), columns=columns)
    ratings = csv_tables.read_interactions(folder / _RATINGS, source)
    return (rating if isinstance(rating, RowError) else _rating(rating) for rating in ratings)


def _dated(film: Item) -> Item:
    year = _YEAR.match(film.title)
    genres = tuple(genre for genre in film.categories if genre != _NO_GENRE)
    return Item(film.id, film.title, categories=genres, attributes={"year": int(year.group(1))} if year else {})


def _rating(event: Interaction) -> Interaction:
    """A user rates a film once, which makes the event's id."""
    key = f"{event.user_id}-{event.item_id}"
    return Interaction(key, event.user_id, event.item_id, "rating", event.value, event.timestamp)

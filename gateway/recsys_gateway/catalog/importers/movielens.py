"""The official MovieLens 100K folder: ``u.item``, ``u.user``, ``u.data`` (its README gives the columns).

Films get their genres as categories and the year of the title as an attribute; users their age, gender and occupation
(a zip code is no taste); ratings become events of type ``rating``, in the order of the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from recsys_gateway.catalog.importers.cells import number, required
from recsys_gateway.catalog.importers.row_error import RowError
from recsys_gateway.catalog.limits import BadValue, fitting_item, fitting_user
from recsys_gateway.catalog.plain_text import plain
from recsys_gateway.catalog.records import Interaction, Item, Scalar, User
from recsys_gateway.catalog.source import SourceError

DOWNLOAD = "download ml-100k.zip from GroupLens (grouplens.org/datasets/movielens/100k) and unpack it"

_ITEMS, _USERS, _RATINGS, _GENRES = "u.item", "u.user", "u.data", "u.genre"
_NO_GENRE = "unknown"
_FIELDS_BEFORE_GENRES = 5
_YEAR = re.compile(r".*\((\d{4})\)")

Record = TypeVar("Record", Item, User, Interaction)


def read_items(folder: Path) -> Iterator[Item | RowError]:
    """Films, with genres as categories and ``year`` where the title has one.

    Raises:
        SourceError: the folder or a file of it is absent.
    """
    genres = _genres(folder)

    def film(fields: list[str]) -> Item:
        flags = fields[_FIELDS_BEFORE_GENRES:]
        if len(flags) != len(genres):
            raise BadValue(f"{len(flags)} genre flags, where {_GENRES} names {len(genres)} genres")
        title = required("title", plain(fields[1]))
        year = _YEAR.match(title)
        record = Item(
            id=required("id", fields[0]),
            title=title,
            categories=tuple(
                genre for genre, flag in zip(genres, flags, strict=True) if flag.strip() == "1" and genre != _NO_GENRE
            ),
            attributes={"year": int(year.group(1))} if year else {},
        )
        return fitting_item(record)

    return _records(folder, _ITEMS, "|", _FIELDS_BEFORE_GENRES, film, seen=set())


def read_users(folder: Path) -> Iterator[User | RowError]:
    """Users with age, gender and occupation.

    Raises:
        SourceError: as ``read_items``.
    """

    def user(fields: list[str]) -> User:
        traits: dict[str, Scalar] = {"age": int(number("age", fields[1])), "gender": fields[2], "occupation": fields[3]}
        return fitting_user(User(id=required("id", fields[0]), traits=traits))

    return _records(folder, _USERS, "|", 5, user, seen=set())


def read_interactions(folder: Path) -> Iterator[Interaction | RowError]:
    """Ratings in the order of the file; a user rates a film once, which makes the event's id.

    Raises:
        SourceError: as ``read_items``.
    """

    def rating(fields: list[str]) -> Interaction:
        user, item = required("user id", fields[0]), required("item id", fields[1])
        value, moment = number("rating", fields[2]), number("timestamp", fields[3])
        return Interaction(f"{user}-{item}", user, item, "rating", value, moment)

    return _records(folder, _RATINGS, "\t", 4, rating)


def _genres(folder: Path) -> tuple[str, ...]:
    names = (line.rstrip("\n").rsplit("|", 1)[0] for _, line in _lines(folder, _GENRES))
    return tuple(name for name in names if name)


def _records(
    folder: Path,
    name: str,
    separator: str,
    least: int,
    make: Callable[[list[str]], Record],
    seen: set[str] | None = None,
) -> Iterator[Record | RowError]:
    path = folder / name
    _found(folder, name)

    def records() -> Iterator[Record | RowError]:
        for line, text in _lines(folder, name):
            fields = text.rstrip("\r\n").split(separator)
            if fields == [""]:
                continue
            if len(fields) < least:
                yield RowError(path, line, f"{len(fields)} fields, at least {least} are needed")
                continue
            try:
                record = make(fields)
            except BadValue as error:
                yield RowError(path, line, str(error))
                continue
            if seen is not None and record.id in seen:
                yield RowError(path, line, f"id: {record.id!r} stands twice in the file")
                continue
            if seen is not None:
                seen.add(record.id)
            yield record

    return records()


def _lines(folder: Path, name: str) -> Iterator[tuple[int, str]]:
    with _found(folder, name).open(encoding="latin-1", newline="\n") as file:
        yield from enumerate(file, 1)


def _found(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.is_file():
        raise SourceError(f"{path}: no such file; {DOWNLOAD}, then name the folder with u.item, u.user and u.data")
    return path

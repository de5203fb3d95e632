"""Items, users and interactions from CSV files with a header, a row at a time.

``columns`` of the source maps our fields, and new attribute names, to the file's columns; then nothing else is read.
Without it the file's own names count, and columns that are no field of ours become attributes (traits of a user). A
column of attributes holds numbers, or booleans, where all of its cells are such; the file is read once before for that.
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TypeVar

from recsys_gateway.catalog.filters import FieldKind
from recsys_gateway.catalog.importers import cells
from recsys_gateway.catalog.importers.row_error import RowError
from recsys_gateway.catalog.limits import BadValue, fitting_interaction, fitting_item, fitting_user
from recsys_gateway.catalog.plain_text import plain
from recsys_gateway.catalog.records import Interaction, Item, Scalar, User
from recsys_gateway.catalog.source import SourceError, TableSource

Record = TypeVar("Record", Item, User, Interaction)
Cells = Mapping[str, str]

_ITEM_COLUMNS = ("id", "title", "description", "categories", "price", "in_stock")
_USER_COLUMNS = ("id",)
_INTERACTION_COLUMNS = ("id", "user_id", "item_id", "type", "value", "timestamp")


def read_items(path: Path, source: TableSource) -> Iterator[Item | RowError]:
    """Items of the file, each id once.

    Raises:
        SourceError: the file is absent, empty, or lacks a column that is needed.
    """
    columns = _columns(path, source, _ITEM_COLUMNS, needed=("id", "title"))
    kinds = _kinds(path, {name: column for name, column in columns.items() if name not in _ITEM_COLUMNS})

    def item(row: Cells) -> Item:
        record = Item(
            id=cells.required("id", row["id"]),
            title=cells.required("title", plain(row["title"])),
            description=plain(row.get("description", "")),
            categories=cells.several(plain(row.get("categories", "")), source.separator),
            price=cells.price(row.get("price", "")),
            in_stock=cells.truth("in_stock", row["in_stock"]) if row.get("in_stock", "").strip() else True,
            attributes=_scalars(row, kinds),
        )
        return fitting_item(record)

    return _records(path, columns, item, seen=set())


def read_users(path: Path, source: TableSource) -> Iterator[User | RowError]:
    """Users of the file, each id once; every other column is a trait.

    Raises:
        SourceError: as ``read_items``.
    """
    columns = _columns(path, source, _USER_COLUMNS, needed=("id",))
    kinds = _kinds(path, {name: column for name, column in columns.items() if name not in _USER_COLUMNS})

    def user(row: Cells) -> User:
        return fitting_user(User(id=cells.required("id", row["id"]), traits=_scalars(row, kinds)))

    return _records(path, columns, user, seen=set())


def read_interactions(path: Path, source: TableSource) -> Iterator[Interaction | RowError]:
    """Events of the file. Without a column ``id`` an event's id is made of what it says, and how often it was said.

    Without a column ``timestamp`` the order of the file is the order of time.

    Raises:
        SourceError: as ``read_items``.
    """
    columns = _columns(path, source, _INTERACTION_COLUMNS, needed=("user_id", "item_id"))
    columns = {name: column for name, column in columns.items() if name in _INTERACTION_COLUMNS}
    occurrences: Counter[bytes] = Counter()

    def interaction(row: Cells) -> Interaction:
        user, item = cells.required("user_id", row["user_id"]), cells.required("item_id", row["item_id"])
        event_type = row.get("type", "").strip() or "purchase"
        moment = cells.timestamp(row["timestamp"]) if "timestamp" in row else 0.0
        if "id" in row:
            event_id = cells.required("id", row["id"])
        else:
            event_id = event_id_of(user, item, event_type, moment, occurrences)
        value = cells.number("value", row["value"]) if row.get("value", "").strip() else None
        return fitting_interaction(Interaction(event_id, user, item, event_type, value, moment))

    return _records(path, columns, interaction)


def event_id_of(user: str, item: str, event_type: str, moment: float, occurrences: Counter[bytes]) -> str:
    """The id of an event that its source gives none: equal in every reading of the same file."""
    said = hashlib.sha256("\x00".join([user, item, event_type, repr(moment)]).encode()).digest()[:12]
    occurrences[said] += 1
    return f"{said.hex()}-{occurrences[said]}"


def _columns(path: Path, source: TableSource, known: tuple[str, ...], needed: tuple[str, ...]) -> dict[str, str]:
    """Our name of each column that is read -> the file's name."""
    header = _header(path)
    columns = dict(source.columns) or {name: name for name in header}
    missing = [column for column in columns.values() if column not in header]
    missing += [name for name in needed if name not in columns]
    if missing:
        raise SourceError(
            f"{path}: no column {', '.join(map(repr, missing))}; the file has {', '.join(map(cells.shown, header))}; "
            f"`columns` maps {', '.join(known)} to other names"
        )
    return columns


def _header(path: Path) -> list[str]:
    with _opened(path) as file:
        try:
            header = next(csv.reader(file, strict=True), [])
        except csv.Error as error:
            raise SourceError(f"{path}:1: not CSV: {error}") from None
    if any(_broken(name) or "\x00" in name for name in header):
        raise SourceError(f"{path}: not UTF-8 CSV (binary, or of another encoding such as UTF-16); save it as UTF-8")
    if not any(name.strip() for name in header):
        raise SourceError(f"{path}: empty; the first line must name the columns")
    doubled = [name for name, times in Counter(header).items() if times > 1]
    if doubled:
        raise SourceError(f"{path}:1: the column {doubled[0]!r} stands twice")
    return header


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str] | RowError]]:
    """Line and cells of each row that is not blank, the header's names as keys."""
    header = _header(path)
    with _opened(path) as file:
        reader = csv.reader(file, strict=True)
        next(reader)
        while True:
            line = reader.line_num + 1
            try:
                row = next(reader, None)
            except csv.Error as error:
                yield line, RowError(path, line, f"not CSV: {error}")
                continue
            if row is None:
                return
            if not row:
                continue
            if len(row) != len(header):
                yield line, RowError(path, line, f"{len(row)} cells, where the header names {len(header)} columns")
            elif any(not cell.isascii() and _broken(cell) for cell in row):
                yield line, RowError(path, line, "not UTF-8")
            else:
                yield line, dict(zip(header, row, strict=True))


def _records(
    path: Path, columns: Mapping[str, str], make: Callable[[Cells], Record], seen: set[str] | None = None
) -> Iterator[Record | RowError]:
    """Each row as a record; with ``seen`` an id may come only once."""
    for line, row in _rows(path):
        if isinstance(row, RowError):
            yield row
            continue
        try:
            record = make({name: row[column] for name, column in columns.items()})
        except BadValue as error:
            yield RowError(path, line, str(error))
            continue
        if seen is None:
            yield record
        elif record.id in seen:
            yield RowError(path, line, f"id: {record.id!r} stands twice in the file")
        else:
            seen.add(record.id)
            yield record


def _kinds(path: Path, columns: Mapping[str, str]) -> dict[str, FieldKind]:
    """What each of ``columns`` holds, by a reading of the whole file."""
    found: dict[str, set[FieldKind]] = {name: set() for name in columns}
    if not columns:
        return {}
    for _, row in _rows(path):
        if isinstance(row, RowError):
            continue
        for name, column in columns.items():
            if row[column].strip():
                found[name].add(cells.kind_of_cell(row[column]))
    return {name: cells.kind_of_column(kinds) for name, kinds in found.items()}


def _scalars(row: Cells, kinds: Mapping[str, FieldKind]) -> dict[str, Scalar]:
    return {name: cells.scalar(row[name], kind) for name, kind in kinds.items() if row[name].strip()}


def _broken(cell: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in cell)


@contextmanager
def _opened(path: Path) -> Iterator[IO[str]]:
    """The file as text. Bytes that are no UTF-8 become surrogates: one bad cell must not end the reading."""
    try:
        file = path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")
    except FileNotFoundError:
        raise SourceError(f"{path}: no such file; give the path of a CSV file with a header") from None
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}") from None
    with file:
        yield file

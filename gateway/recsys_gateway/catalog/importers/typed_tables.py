"""Items, users and interactions from JSON Lines and Parquet: rows whose values have types of their own.

``columns`` works as for CSV. Lists are categories; text, numbers and booleans are attributes as they are; null is a
value that is not there. Parquet is read a few thousand rows at a time, JSON Lines a line at a time.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from recsys_gateway.catalog.importers import cells
from recsys_gateway.catalog.importers.csv_tables import event_id_of
from recsys_gateway.catalog.importers.row_error import RowError
from recsys_gateway.catalog.limits import BadValue, fitting_interaction, fitting_item, fitting_user
from recsys_gateway.catalog.plain_text import plain
from recsys_gateway.catalog.records import Interaction, Item, Scalar, User
from recsys_gateway.catalog.source import Format, SourceError, TableSource

Record = TypeVar("Record", Item, User, Interaction)
Values = Mapping[str, Any]

PARQUET_ROWS = 4_096
_ITEM_FIELDS = frozenset({"id", "title", "description", "categories", "price", "in_stock"})


def read_items(path: Path, source: TableSource) -> Iterator[Item | RowError]:
    """Items of the file, each id once.

    Raises:
        SourceError: the file cannot be read, or lacks a column that is needed.
    """

    def item(row: Values) -> Item:
        in_stock = row.get("in_stock")
        record = Item(
            id=_key("id", row.get("id")),
            title=cells.required("title", plain(_text("title", row.get("title")))),
            description=plain(_text("description", row.get("description"))),
            categories=_several(row.get("categories"), source.separator),
            price=_price(row.get("price")),
            in_stock=True if in_stock is None else cells.truth("in_stock", str(in_stock)),
            attributes=_scalars(row, _ITEM_FIELDS),
        )
        return fitting_item(record)

    return _records(path, source, item, {"id", "title"}, seen=set())


def read_users(path: Path, source: TableSource) -> Iterator[User | RowError]:
    """Users of the file, each id once; every other value is a trait. Raises as ``read_items``."""

    def user(row: Values) -> User:
        return fitting_user(User(id=_key("id", row.get("id")), traits=_scalars(row, frozenset({"id"}))))

    return _records(path, source, user, {"id"}, seen=set())


def read_interactions(path: Path, source: TableSource) -> Iterator[Interaction | RowError]:
    """Events of the file, as of a CSV file. Raises as ``read_items``."""
    occurrences: Counter[bytes] = Counter()

    def interaction(row: Values) -> Interaction:
        user, item = _key("user_id", row.get("user_id")), _key("item_id", row.get("item_id"))
        event_type = _text("type", row.get("type")).strip() or "purchase"
        moment = _moment(row.get("timestamp"))
        given = row.get("id")
        event_id = event_id_of(user, item, event_type, moment, occurrences) if given is None else _key("id", given)
        value = None if row.get("value") is None else _number("value", row["value"])
        return fitting_interaction(Interaction(event_id, user, item, event_type, value, moment))

    return _records(path, source, interaction, {"user_id", "item_id"})


def _records(
    path: Path,
    source: TableSource,
    make: Callable[[Values], Record],
    needed: set[str],
    seen: set[str] | None = None,
) -> Iterator[Record | RowError]:
    """Each row as a record; with ``seen`` an id may come only once. The file is opened at once."""
    if source.columns and (missing := needed - source.columns.keys()):
        raise SourceError(f"{path}: `columns` names no column for {', '.join(sorted(missing))}")
    rows = _parquet(path, source, needed) if source.format is Format.PARQUET else _json_lines(path)

    def records() -> Iterator[Record | RowError]:
        for line, row in rows:
            if isinstance(row, RowError):
                yield row
                continue
            try:
                record = make(_renamed(row, source.columns))
            except BadValue as error:
                yield RowError(path, line, str(error))
                continue
            if seen is None or isinstance(record, Interaction):
                yield record
            elif record.id in seen:
                yield RowError(path, line, f"id: {record.id!r} stands twice in the file")
            else:
                seen.add(record.id)
                yield record

    return records()


def _renamed(row: Values, columns: Mapping[str, str]) -> Values:
    return {name: row.get(column) for name, column in columns.items()} if columns else row


def _json_lines(path: Path) -> Iterator[tuple[int, Values | RowError]]:
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise SourceError(f"{path}: no such file; give the path of a JSON Lines file") from None
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}") from None

    def lines() -> Iterator[tuple[int, Values | RowError]]:
        with file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
                except (ValueError, RecursionError):
                    yield number, RowError(path, number, "not JSON in UTF-8")
                    continue
                shape = isinstance(row, dict)
                yield number, row if shape else RowError(path, number, "not a JSON object")

    return lines()


def _parquet(path: Path, source: TableSource, needed: set[str]) -> Iterator[tuple[int, Values]]:
    import pyarrow
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(path)
    except FileNotFoundError:
        raise SourceError(f"{path}: no such file; give the path of a Parquet file") from None
    except (OSError, pyarrow.ArrowException) as error:
        raise SourceError(f"{path}: not Parquet: {' '.join(str(error).split())[:200]}") from None
    names = file.schema_arrow.names
    wanted = list(source.columns.values()) if source.columns else names
    missing = [name for name in (wanted if source.columns else needed) if name not in names]
    if missing:
        raise SourceError(f"{path}: no column {', '.join(map(repr, sorted(missing)))}; the file has {', '.join(names)}")

    def rows() -> Iterator[tuple[int, Values]]:
        with file:
            number = 0
            for batch in file.iter_batches(PARQUET_ROWS, columns=wanted):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row

    return rows()


def _key(name: str, value: object) -> str:
    """An id: a text, or a whole number as one writes it."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return cells.required(name, _text(name, value))


def _text(name: str, value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadValue(f"{name}: a text is needed, not {cells.shown(str(value))}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadValue(f"{name}: no valid Unicode (half of a surrogate pair)") from None
    return value


def _number(name: str, value: object) -> float:
    if isinstance(value, str):
        return cells.number(name, value)
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal) or not math.isfinite(value):
        raise BadValue(f"{name}: {cells.shown(str(value))} is no number")
    return float(value)


def _price(value: object) -> float | None:
    if value is None or value == "":
        return None
    price = _number("price", value)
    if price < 0:
        raise BadValue(f"price: {price:g} is negative")
    return price


def _several(value: object, separator: str) -> tuple[str, ...]:
    if value is None or isinstance(value, str):
        return cells.several(plain(value or ""), separator)
    if not isinstance(value, list):
        raise BadValue("categories: a list of texts, or one text, is needed")
    return tuple(dict.fromkeys(text for each in value if (text := plain(_text("categories", each)))))


def _moment(value: object) -> float:
    """Seconds: a number, a date and time, or what a CSV cell may say. Absent: the order of the file counts."""
    if value is None:
        return 0.0
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    return cells.timestamp(value) if isinstance(value, str) else _number("timestamp", value)


def _scalars(row: Values, taken: frozenset[str]) -> dict[str, Scalar]:
    return {name: _scalar(name, value) for name, value in row.items() if name not in taken and value is not None}


def _scalar(name: str, value: object) -> Scalar:
    match value:
        case bool():
            return value
        case int() if abs(value) < 2**53:
            return value
        case float() | Decimal() if math.isfinite(value):
            return float(value)
        case str():
            return plain(_text(name, value))
        case date():
            return value.isoformat()
        case _:
            raise BadValue(f"{name}: a text, a number, true or false is needed, not {cells.shown(str(value))}")

"""Cells of a table as values. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime

from recsys_gateway.catalog.filters import FieldKind
from recsys_gateway.catalog.limits import BadValue
from recsys_gateway.catalog.plain_text import plain
from recsys_gateway.catalog.records import Scalar

# Not what float() takes: codes such as 007, 1e5 and 1_000 are texts.
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})", re.ASCII)
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,18})?", re.ASCII)
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)
_TRUE = frozenset({"true", "1", "yes"})
_FALSE = frozenset({"false", "0", "no"})


def required(name: str, cell: str) -> str:
    """The cell without blanks around it.

    Raises:
        BadValue: nothing is left.
    """
    if text := cell.strip():
        return text
    raise BadValue(f"{name}: empty")


def number(name: str, cell: str) -> float:
    """A finite number, in ASCII, with or without an exponent.

    Raises:
        BadValue: it is none.
    """
    # float() alone takes 1_000 and the digits of every script, too.
    value = float(cell) if _NUMBER.fullmatch(cell.strip()) else math.nan
    if not math.isfinite(value):
        raise BadValue(f"{name}: {shown(cell)} is no number")
    return value


def price(cell: str) -> float | None:
    """A number that is not negative; None where the cell is empty."""
    if not cell.strip():
        return None
    value = number("price", cell)
    if value < 0:
        raise BadValue(f"price: {shown(cell)} is negative")
    return value


def truth(name: str, cell: str) -> bool:
    """true/1/yes or false/0/no, in any case."""
    word = cell.strip().casefold()
    if word not in _TRUE | _FALSE:
        raise BadValue(f"{name}: {shown(cell)} is none of true, false, 1, 0, yes, no")
    return word in _TRUE


def timestamp(cell: str) -> float:
    """Seconds since the epoch: a number, or a date and time of ISO 8601 (UTC where it names no zone)."""
    try:
        return number("timestamp", cell)
    except BadValue:
        pass  # no number: then it must be a date
    try:
        moment = datetime.fromisoformat(cell.strip())
    except ValueError:
        raise BadValue(f"timestamp: {shown(cell)} is neither a number nor a date and time of ISO 8601") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def several(cell: str, separator: str) -> tuple[str, ...]:
    """The values of one cell, each once, in order."""
    return tuple(dict.fromkeys(part.strip() for part in cell.split(separator) if part.strip()))


def kind_of_column(kinds: Iterable[FieldKind]) -> FieldKind:
    """What a column holds whose cells could be ``kinds``: text, unless all agree."""
    distinct = set(kinds)
    return distinct.pop() if len(distinct) == 1 else FieldKind.TEXT


def kind_of_cell(cell: str) -> FieldKind:
    """The narrowest kind that ``cell`` (not empty) can be read as."""
    text = cell.strip()
    if text.casefold() in ("true", "false"):
        return FieldKind.BOOLEAN
    return FieldKind.NUMBER if _DECIMAL.fullmatch(text) else FieldKind.TEXT


def scalar(cell: str, kind: FieldKind) -> Scalar:
    """``cell`` as a value of ``kind``, which ``kind_of_cell`` found."""
    text = cell.strip()
    match kind:
        case FieldKind.BOOLEAN:
            return text.casefold() == "true"
        case FieldKind.NUMBER:
            return int(text) if _INTEGER.fullmatch(text) else float(text)
        case _:
            return plain(text)


def shown(cell: str) -> str:
    text = repr(cell)
    return text if len(text) <= 60 else text[:59] + "…"

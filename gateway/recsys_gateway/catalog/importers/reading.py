"""A table of the resource -> its records, whatever the format. ``sample://`` is resolved before it comes here."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from recsys_gateway.catalog.importers import csv_tables, movielens
from recsys_gateway.catalog.importers.row_error import RowError
from recsys_gateway.catalog.records import Interaction, Item, User
from recsys_gateway.catalog.source import Format, SourceError, TableSource, expand

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://(.*)", re.IGNORECASE | re.DOTALL)


def read_items(source: TableSource, environment: Mapping[str, str] = os.environ) -> Iterator[Item | RowError]:
    """Items of the table.

    Raises:
        SourceError: the table cannot be read; the message says what to do.
    """
    path = located(source, environment)
    return movielens.read_items(path) if _is_movielens(source) else csv_tables.read_items(path, source)


def read_users(source: TableSource, environment: Mapping[str, str] = os.environ) -> Iterator[User | RowError]:
    """Users of the table; raises as ``read_items``."""
    path = located(source, environment)
    return movielens.read_users(path) if _is_movielens(source) else csv_tables.read_users(path, source)


def read_interactions(
    source: TableSource, environment: Mapping[str, str] = os.environ
) -> Iterator[Interaction | RowError]:
    """Events of the table; raises as ``read_items``."""
    path = located(source, environment)
    return movielens.read_interactions(path) if _is_movielens(source) else csv_tables.read_interactions(path, source)


def located(source: TableSource, environment: Mapping[str, str] = os.environ) -> Path:
    """The file (the folder, for MovieLens) that ``source`` names.

    Raises:
        SourceError: a variable that is not set, or an address that is no path.
    """
    try:
        uri = expand(source.uri, environment)
    except SourceError as error:
        if _is_movielens(source):
            raise SourceError(f"{error}; {movielens.DOWNLOAD}, then set it to that folder") from None
        raise
    scheme = _SCHEME.fullmatch(uri)
    if scheme is None:
        return Path(uri)
    if scheme.group(1).lower() == "file":
        return Path(scheme.group(2))
    raise SourceError(f"{source.uri}: {scheme.group(1)}:// cannot be read here; give file://PATH or a path")


def _is_movielens(source: TableSource) -> bool:
    match source.format:
        case Format.MOVIELENS:
            return True
        case Format.CSV:
            return False
        case _:
            raise SourceError(f"{source.uri}: format {source.format} cannot be read; csv and movielens can")

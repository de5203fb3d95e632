"""A table of the resource -> its records, whatever the format. ``sample://`` is resolved before it comes here."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType

from recsys_gateway.catalog.importers import csv_tables, movielens, movielens_latest, typed_tables
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
    match source.format:
        case Format.MOVIELENS:
            found: Iterator[Item | RowError] = _movielens(path).read_items(path)
            return found
        case Format.CSV:
            return csv_tables.read_items(path, source)
        case _:
            return typed_tables.read_items(path, source)


def read_users(source: TableSource, environment: Mapping[str, str] = os.environ) -> Iterator[User | RowError]:
    """Users of the table; raises as ``read_items``."""
    path = located(source, environment)
    match source.format:
        case Format.MOVIELENS:
            found: Iterator[User | RowError] = _movielens(path).read_users(path)
            return found
        case Format.CSV:
            return csv_tables.read_users(path, source)
        case _:
            return typed_tables.read_users(path, source)


def read_interactions(
    source: TableSource, environment: Mapping[str, str] = os.environ
) -> Iterator[Interaction | RowError]:
    """Events of the table; raises as ``read_items``."""
    path = located(source, environment)
    match source.format:
        case Format.MOVIELENS:
            return (
                movielens_latest.read_interactions(path)
                if movielens_latest.is_it(path)
                else movielens.read_interactions(path)
            )
        case Format.CSV:
            return csv_tables.read_interactions(path, source)
        case _:
            return typed_tables.read_interactions(path, source)


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


def _movielens(folder: Path) -> ModuleType:
    """The reader of the folder's layout: that of the latest ones, or that of 100K."""
    return movielens_latest if movielens_latest.is_it(folder) else movielens


def _is_movielens(source: TableSource) -> bool:
    return source.format is Format.MOVIELENS

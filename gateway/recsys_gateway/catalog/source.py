"""Where a catalogue comes from: the ``catalog`` part of the resource, and how its addresses are read."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from enum import StrEnum

from pydantic import Field

from recsys_gateway.document import Frozen

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class SourceError(ValueError):
    """A catalogue source that cannot be read; the message says which and what to do."""


class Format(StrEnum):
    CSV = "csv"
    PARQUET = "parquet"
    JSONL = "jsonl"
    MOVIELENS = "movielens"


class TableSource(Frozen):
    """One table. ``columns`` maps a field of ours to a column of the file; without it the file's own names count."""

    uri: str = Field(
        min_length=1,
        description="file://PATH or sample://shop; in a cluster also https://HOST/PATH and s3://BUCKET/KEY. ${NAME} is "
        "an environment variable.",
    )
    format: Format = Field(default=Format.CSV, description="How the table is written.")
    columns: Mapping[str, str] = Field(default_factory=dict, description="A field of ours: a column of the file.")
    separator: str = Field(default="|", min_length=1, max_length=4, description="Between the values of one cell.")


class CatalogSource(Frozen):
    """Items are needed; users and interactions are what makes the answers personal."""

    items: TableSource = Field(description="What can be recommended.")
    users: TableSource | None = Field(default=None, description="Customers and their traits.")
    interactions: TableSource | None = Field(default=None, description="Purchases, ratings and other events.")


def expand(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """``text`` with each ``${NAME}`` replaced.

    Raises:
        SourceError: a variable is not set.
    """

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if not environment.get(name):
            raise SourceError(f"{text}: the environment variable {name} is not set")
        return environment[name]

    return _VARIABLE.sub(value, text)

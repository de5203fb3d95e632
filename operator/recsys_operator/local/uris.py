"""Addresses of files on this machine: ``file://`` and ``sample://``. (``hf://`` is read by ``local/hub.py``.)"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from recsys_gateway.catalog.source import SourceError, expand


class UriError(ValueError):
    """An address that leads nowhere; the message says why and what to do."""


def samples_folder() -> Path:
    """The folder of the sample data and sample models that come with this package."""
    return Path(str(files("recsys_operator"))) / "samples"


def file_path(uri: str, environment: Mapping[str, str] = os.environ) -> Path:
    """The absolute path in ``file://PATH``, with each ``${NAME}`` replaced. Nothing is said of its being there.

    Raises:
        UriError: a variable is not set, or the path is not absolute.
    """
    try:
        path = Path(expand(uri, environment).removeprefix("file://")).expanduser()
    except SourceError as error:
        raise UriError(str(error)) from None
    if not path.is_absolute():
        raise UriError(f"{uri}: the path must be absolute, such as file:///data/{path.name or 'model.gguf'}")
    return path


def sample_model_path(uri: str, samples: Path) -> Path:
    """The file or folder of ``sample://tuned``, ``sample://base`` or ``sample://embedder``.

    Raises:
        UriError: there is no such sample.
    """
    name = uri.removeprefix("sample://")
    known = {"tuned": "tuned.gguf", "base": "base.gguf", "embedder": "embedder"}
    if name not in known:
        raise UriError(f"{uri}: no such sample model; there are {', '.join(f'sample://{each}' for each in known)}")
    return samples / "models" / known[name]


def sample_table_path(uri: str, table: str, samples: Path) -> Path:
    """The file of ``table`` (items, users, interactions) in the sample shop: ``sample://shop``.

    Raises:
        UriError: there is no such sample.
    """
    if uri != "sample://shop":
        raise UriError(f"{uri}: no such sample catalogue; there is sample://shop")
    return samples / "shop" / f"{table}.csv"

"""A key of an S3 bucket, or everything below it, into a folder.

``s3://BUCKET/KEY?endpoint_override=HOST:PORT&scheme=http&region=…`` names a store that is not Amazon's.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from pyarrow import fs

from recsys_operator.local.uris import UriError
from recsys_operator.pods.termination import TryAgain

_OPTIONS = ("endpoint_override", "scheme", "region")
_KEYS = {
    "access_key": "AWS_ACCESS_KEY_ID",
    "secret_key": "AWS_SECRET_ACCESS_KEY",
    "session_token": "AWS_SESSION_TOKEN",
}


def fetch_bucket(uri: str, folder: Path, secret: Path | None) -> None:
    """
    Raises:
        UriError: nothing is there, or the address or its secret cannot be used.
        TryAgain: the store cannot be reached or fails.
    """
    parts = urlsplit(uri)
    place = f"{parts.netloc}{parts.path}".rstrip("/")
    store = _store(uri, parts.query, secret)
    try:
        (found,) = store.get_file_info([place])
        files = [found] if found.is_file else store.get_file_info(fs.FileSelector(place, recursive=True))
        for info in files:
            if info.is_file:
                inside = info.path.removeprefix(place).lstrip("/") or info.base_name
                _copy(store, info.path, folder / inside)
    except FileNotFoundError:
        raise UriError(f"{uri}: nothing there") from None
    except PermissionError:
        raise UriError(f"{uri}: the store refuses: does tokenSecretRef hold the right keys?") from None
    except OSError as error:
        if "ACCESS_DENIED" in str(error) or "HTTP status 403" in str(error):
            raise UriError(f"{uri}: the store refuses: does tokenSecretRef hold the right keys?") from None
        raise TryAgain(f"{uri}: the store fails: {str(error).splitlines()[0]}") from None


def _store(uri: str, query: str, secret: Path | None) -> fs.S3FileSystem:
    options = {name: values[-1] for name, values in parse_qs(query).items()}
    if unknown := sorted(set(options) - set(_OPTIONS)):
        raise UriError(f"{uri}: unknown {', '.join(unknown)}; there are {', '.join(_OPTIONS)}")
    options |= {name: value for name, key in _KEYS.items() if (value := _key(secret, key))}
    if certificates := os.environ.get("SSL_CERT_FILE"):
        options["tls_ca_file_path"] = certificates
    return fs.S3FileSystem(**options)


def _key(secret: Path | None, name: str) -> str | None:
    path = None if secret is None else secret / name
    return path.read_text(encoding="utf-8").strip() if path is not None and path.is_file() else None


def _copy(store: fs.S3FileSystem, path: str, target: Path) -> None:
    """By way of another name: a file that is there is whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    with store.open_input_stream(path) as source, part.open("wb") as sink:
        shutil.copyfileobj(source, sink, 1 << 22)
    part.replace(target)

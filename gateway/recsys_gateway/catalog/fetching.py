"""Tables that lie elsewhere -> files of this machine: https://, http://, s3://, and sample:// of the image."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import urllib3

from recsys_gateway.catalog.http_embedding import pool_for
from recsys_gateway.catalog.source import CatalogSource, Format, SourceError, TableSource, expand

CONNECT_SECONDS = 10.0
SILENCE_SECONDS = 60.0
CHUNK_BYTES = 1 << 20
SAMPLES = "RECSYS_SAMPLES"
"""Environment variable with the folder of the sample data; the gateway's image has both."""

_RETRIES = urllib3.Retry(total=4, redirect=5, backoff_factor=1, status_forcelist=(429, 500, 502, 503, 504))

Bytes = Iterator[bytes]


def fetch_catalog(source: CatalogSource, folder: Path, limit: int) -> CatalogSource:
    """``source`` with every table on this machine; those from elsewhere lie in ``folder`` then.

    Raises:
        SourceError: one of them cannot be had, or is larger than ``limit`` bytes.
    """
    tables = {"items": source.items, "users": source.users, "interactions": source.interactions}
    found = {name: fetch_table(table, name, folder, limit) for name, table in tables.items() if table is not None}
    return source.model_copy(update=found)


def fetch_table(
    table: TableSource, name: str, folder: Path, limit: int, environment: Mapping[str, str] = os.environ
) -> TableSource:
    """One table; raises as ``fetch_catalog``. An address without a scheme, or file://, is returned as it is."""
    uri = expand(table.uri, environment)
    scheme = urlsplit(uri).scheme.lower()
    if scheme == "sample":
        return table.model_copy(update={"uri": f"file://{_sample(uri, name, environment)}"})
    opened = _OPENERS.get(scheme)
    if opened is None:
        return table
    if table.format is Format.MOVIELENS:
        raise SourceError(f"{shown(uri)}: MovieLens is a folder of files: mount it, and give file://FOLDER")
    target = folder / f"{name}.{table.format.value}"
    _write(opened(uri, environment), target, shown(uri), limit)
    return table.model_copy(update={"uri": f"file://{target}"})


def shown(uri: str) -> str:
    """The address for a message: without what may be a secret in it."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _write(pieces: Bytes, target: Path, source: str, limit: int) -> None:
    size = 0
    try:
        with target.open("wb") as file:
            for piece in pieces:
                size += len(piece)
                if size > limit:
                    raise SourceError(f"{source}: more than {limit:,} bytes; maxTableBytes allows no more")
                file.write(piece)
    except OSError as error:
        raise SourceError(f"{source}: cannot be written to {target}: {error.strerror or error}") from None


def _over_http(uri: str, _environment: Mapping[str, str]) -> Bytes:
    source, limits = shown(uri), urllib3.Timeout(connect=CONNECT_SECONDS, read=SILENCE_SECONDS)
    try:
        response = pool_for(uri).request("GET", uri, preload_content=False, timeout=limits, retries=_RETRIES)
        if response.status != 200:
            hint = "; a private address needs a signed URL" if response.status in {401, 403} else ""
            raise SourceError(f"{source}: status {response.status}{hint}")
        yield from response.stream(CHUNK_BYTES, decode_content=True)
    except urllib3.exceptions.HTTPError as error:
        raise SourceError(f"{source}: cannot be fetched: {type(error).__name__}") from error


def _from_s3(uri: str, environment: Mapping[str, str]) -> Bytes:
    """Credentials as AWS's own tools take them: environment, shared files, the pod's role. Others than AWS are named by
    AWS_ENDPOINT_URL."""
    from pyarrow import fs

    source, parts = shown(uri), urlsplit(uri)
    endpoint = urlsplit(environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL") or "")
    options: dict[str, object] = {"connect_timeout": CONNECT_SECONDS, "request_timeout": SILENCE_SECONDS}
    if region := environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION"):
        options["region"] = region
    if endpoint.netloc:
        options |= {"scheme": endpoint.scheme, "endpoint_override": endpoint.netloc, "region": region or "us-east-1"}
    if authorities := environment.get("SSL_CERT_FILE"):
        options["tls_ca_file_path"] = authorities
    try:
        with fs.S3FileSystem(**options).open_input_stream(parts.netloc + parts.path) as stream:
            while piece := stream.read(CHUNK_BYTES):
                yield piece
    except FileNotFoundError:
        raise SourceError(f"{source}: there is no such object") from None
    except OSError as error:
        reason = " ".join(str(error).split())[:300]
        raise SourceError(f"{source}: cannot be read: {reason} (credentials: AWS_ACCESS_KEY_ID, …)") from None


def _sample(uri: str, name: str, environment: Mapping[str, str]) -> Path:
    if uri != "sample://shop":
        raise SourceError(f"{uri}: no such sample catalogue; there is sample://shop")
    folder = environment.get(SAMPLES)
    if not folder:
        raise SourceError(f"{uri}: {SAMPLES} names no folder of samples; the gateway's image has one")
    return Path(folder) / "shop" / f"{name}.csv"


_OPENERS: Mapping[str, Callable[[str, Mapping[str, str]], Bytes]] = {
    "https": _over_http,
    "http": _over_http,
    "s3": _from_s3,
}

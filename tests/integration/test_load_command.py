"""``recsys-gateway load`` as a process, as the Job of a cluster runs it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from recsys_gateway.catalog.fetching import fetch_table, shown
from recsys_gateway.catalog.source import SourceError, TableSource
from running_gateway import EMBEDDER, SAMPLES

from .conftest import MilvusLite

ITEMS = b"id,title,price\nJ1,Rain jacket,80\nJ2,Wool scarf,20\n"
EVENTS = b"user_id,item_id\n17,J1\n17,J2\n"


class Files:
    """A server of files, in the manner of a web server and of S3 (path style). ``failures``: statuses given first."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.failures: list[int] = []
        self.asked: list[tuple[str, str | None]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.asked.append((self.path, self.headers.get("authorization")))
                data = files.get(self.path.partition("?")[0])
                status = server.failures.pop() if server.failures else 200 if data is not None else 404
                data = data if status == 200 and data is not None else b""
                if (wanted := re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("range", ""))) and data:
                    status, whole = 206, len(data)
                    data = data[int(wanted[1]) : int(wanted[2]) + 1]
                    self._answer(status, data, {"content-range": f"bytes {wanted[1]}-{wanted[2]}/{whole}"})
                    return
                self._answer(status, data, {})

            def do_HEAD(self) -> None:
                data = files.get(self.path.partition("?")[0])
                self._answer(404 if data is None else 200, b"", {"content-length": str(len(data or b""))})

            def _answer(self, status: int, data: bytes, headers: dict[str, str]) -> None:
                self.send_response(status)
                for name, value in ({"content-length": str(len(data)), "etag": '"1"'} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_arguments: object) -> None:
                """Tests want no lines of it."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def files() -> Iterator[Files]:
    server = Files({"/shop/items.csv": ITEMS, "/bucket/shop/interactions.csv": EVENTS})
    yield server
    server.close()


class Job:
    """One run after another of the same configuration, with a file for the last message."""

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        self._file, self._log = folder / "load.yaml", folder / "termination-log"
        self._file.write_text(json.dumps(config))
        self._log.touch()

    def run(self, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "recsys_gateway.main", "load", "--config", str(self._file)]
        command += ["--termination-log", str(self._log)]
        given = os.environ | {"RECSYS_SAMPLES": str(SAMPLES)} | environment
        return subprocess.run(command, capture_output=True, text=True, env=given, timeout=120, check=False)

    @property
    def last_message(self) -> str:
        return self._log.read_text()


def config(milvus: str, items: str, **more: Any) -> dict[str, Any]:
    tables = {"items": {"uri": items}} | more.pop("catalog", {})
    return {
        "catalog": tables,
        "vectorStore": {"uri": milvus},
        "embedder": {"path": str(EMBEDDER)},
        "waitSeconds": 1,
    } | more


def test_a_catalogue_from_the_web_and_from_s3_is_loaded_once(milvus: MilvusLite, files: Files, tmp_path: Path) -> None:
    events = {"catalog": {"interactions": {"uri": "s3://bucket/shop/interactions.csv"}}}
    job = Job(tmp_path, config(str(milvus.config.uri), f"{files.url}/shop/items.csv", **events))
    s3 = {"AWS_ENDPOINT_URL": files.url, "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
    first = job.run(**s3)
    assert (first.returncode, first.stderr) == (0, "")
    acknowledged = [int(rows) for rows in re.findall(r"^acknowledged (\d+)$", first.stdout, re.MULTILINE)]
    assert acknowledged == sorted(acknowledged)
    assert acknowledged[-1] >= 5  # two items, two events, a user, and what the store says of itself
    assert job.last_message == "loaded: 2 items, 2 events"
    assert any((key or "").startswith("AWS4-HMAC-SHA256 Credential=key/") for _, key in files.asked)
    second = job.run(**s3)
    assert second.returncode == 0
    assert "acknowledged" not in second.stdout
    assert "2 items (unchanged)" in second.stdout


def test_the_sample_shop_is_loaded_from_where_the_image_has_it(milvus: MilvusLite, tmp_path: Path) -> None:
    done = Job(tmp_path, config(str(milvus.config.uri), "sample://shop")).run()
    assert done.stdout.endswith("loaded: 366 items\n")


def test_a_store_that_comes_up_late_is_waited_for(files: Files, tmp_path: Path) -> None:
    milvus = MilvusLite(tmp_path / "milvus")
    job = Job(tmp_path, config(str(milvus.config.uri), f"{files.url}/shop/items.csv", waitSeconds=60))
    starting = threading.Timer(6, milvus.start)
    starting.start()
    try:
        done = job.run()
    finally:
        starting.join()
        milvus.kill()
    assert done.returncode == 0
    assert "waiting for the vector store: " in done.stdout


@pytest.mark.parametrize(
    ("change", "status", "told"),
    [
        ({"embedder": {"path": "/nowhere"}}, 1, "the embedder did not come up in time: /nowhere: no such folder"),
        ({}, 1, "the vector store did not come up in time: http://127.0.0.1:1/"),
        ({"catalog": {"items": {"uri": "sample://nothing"}}}, 1, "there is sample://shop"),
        ({"catalog": {"items": {"uri": "https://127.0.0.1:1/items.csv?signature=secret"}}}, 1, "cannot be fetched"),
        ({"embedder": {"type": "Other"}}, 2, "embedder: type: InProcess, Triton, TEI or OpenAI is needed"),
        ({"onError": "ignore"}, 2, "onError"),
    ],
)
def test_what_is_wrong_is_the_last_message(
    change: dict[str, Any], status: int, told: str, files: Files, tmp_path: Path
) -> None:
    job = Job(tmp_path, config("http://127.0.0.1:1", f"{files.url}/shop/items.csv") | change)
    done = job.run()
    assert done.returncode == status
    assert told in job.last_message
    assert job.last_message in done.stderr
    assert "secret" not in done.stderr + done.stdout


def test_a_bad_row_is_told_with_its_line(milvus: MilvusLite, tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_bytes(ITEMS + b",no id,1\n")
    job = Job(tmp_path, config(str(milvus.config.uri), f"file://{tmp_path}/items.csv"))
    assert job.run().returncode == 1
    assert "items.csv:4: id: " in job.last_message
    assert "onError: skip" in job.last_message
    skipping = config(str(milvus.config.uri), f"file://{tmp_path}/items.csv", onError="skip")
    done = Job(tmp_path, skipping).run()
    assert done.returncode == 0
    assert "1 bad row skipped" in done.stdout


def table(uri: str) -> TableSource:
    return TableSource(uri=uri)


def test_a_server_that_fails_for_a_moment_is_asked_again(files: Files, tmp_path: Path) -> None:
    files.failures = [503]
    found = fetch_table(table(f"{files.url}/shop/items.csv"), "items", tmp_path, 1 << 20, {})
    assert Path(found.uri.removeprefix("file://")).read_bytes() == ITEMS


def test_a_table_that_is_too_large_is_refused(files: Files, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="more than 20 bytes"):
        fetch_table(table(f"{files.url}/shop/items.csv"), "items", tmp_path, 20, {})


def test_a_table_that_is_not_there_is_told(files: Files, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"items\.csv: status 404"):
        fetch_table(table(f"{files.url}/items.csv"), "items", tmp_path, 1 << 20, {})
    with pytest.raises(SourceError, match=r"s3://bucket/none\.csv: "):
        fetch_table(table("s3://bucket/none.csv"), "items", tmp_path, 1 << 20, {"AWS_ENDPOINT_URL": files.url})


def test_the_proxy_of_the_environment_is_used(files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", files.url)
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(SourceError):
        fetch_table(table("http://shop.test/items.csv"), "items", tmp_path, 1 << 20, {})
    assert ("http://shop.test/items.csv", None) in files.asked


@pytest.mark.parametrize(
    ("uri", "safe"),
    [
        ("https://user:key@shop.test/items.csv?signature=abc", "https://shop.test/items.csv"),
        ("s3://bucket/key.csv", "s3://bucket/key.csv"),
    ],
)
def test_no_secret_of_an_address_is_shown(uri: str, safe: str) -> None:
    assert shown(uri) == safe


def test_a_mounted_table_is_read_where_it_lies(tmp_path: Path) -> None:
    mounted = table("file:///mnt/catalog/items/items.csv")
    assert fetch_table(mounted, "items", tmp_path, 1, {}) is mounted

"""Fetching a model as a pod does: from a hub, from a bucket, out of the package; twice, at once, and in vain."""

from __future__ import annotations

import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hub_server import REPOSITORIES, TOKEN, Hub

OBJECTS = {"llm/config.json": b"{}", "llm/model.safetensors": b"weights" * 1000, "gguf/m.gguf": b"GGUF"}


class BucketHandler(BaseHTTPRequestHandler):
    """What of S3's protocol a download needs: an object's head and body, and the list below a key."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._object()

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        if "list-type" in query:
            self._list(query.get("prefix", [""])[0])
        else:
            self._object()

    def _object(self) -> None:
        if "Credential=reader/" not in self.headers.get("authorization", ""):
            self._send(403, b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>")
            return
        content = OBJECTS.get(unquote(urlsplit(self.path).path).removeprefix("/shop/"))
        if content is None:
            self._send(404, b"<Error><Code>NoSuchKey</Code><Message>no such key</Message></Error>")
            return
        if (asked := self.headers.get("range")) and self.command == "GET":
            first, _, last = asked.removeprefix("bytes=").partition("-")
            end = min(int(last or len(content) - 1), len(content) - 1)
            piece = content[int(first) : end + 1]
            self._send(206, piece, {"content-range": f"bytes {first}-{end}/{len(content)}"})
            return
        self._send(200, content)

    def _list(self, prefix: str) -> None:
        found = "".join(
            f"<Contents><Key>{key}</Key><Size>{len(content)}</Size>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>e</ETag></Contents>"
            for key, content in OBJECTS.items()
            if key.startswith(prefix)
        )
        head = '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        self._send(200, f"{head}<Name>shop</Name><IsTruncated>false</IsTruncated>{found}</ListBucketResult>".encode())

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        dated = {"last-modified": "Thu, 01 Jan 2026 00:00:00 GMT", "etag": '"e"', "content-type": "application/xml"}
        for name, value in {**dated, **(headers or {}), "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Not on the test's screen."""


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def bucket() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), BucketHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"?endpoint_override=127.0.0.1:{server.server_address[1]}&scheme=http&region=us-east-1"
        server.shutdown()


def fetch(uri: str, folder: Path, form: str, *options: str, endpoint: str = "") -> tuple[int, str]:
    """(exit status, the last line that was said)."""
    command = [sys.executable, "-m", "recsys_operator.pods.fetch_model", uri, str(folder), "--format", form, *options]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder.parent), "HF_ENDPOINT": endpoint}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, (done.stdout + done.stderr).strip().splitlines()[-1]


def test_a_repository_is_fetched_once_without_what_no_engine_reads(hub: Hub, tmp_path: Path) -> None:
    folder = tmp_path / "llm"
    assert fetch("hf://shop/llm", folder, "transformers", endpoint=hub.url)[0] == 0
    names = {path.name for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")}
    assert names == {"config.json", "model.safetensors", "tokenizer.json"}
    hub.requests.clear()
    assert fetch("hf://shop/llm", folder, "transformers", endpoint=hub.url) == (0, f"{folder}: complete")
    assert hub.requests == []


def test_a_gguf_file_gets_the_name_that_engines_are_given(hub: Hub, tmp_path: Path) -> None:
    assert fetch("hf://shop/many-gguf:m-Q8_0.gguf", tmp_path / "m", "gguf", endpoint=hub.url)[0] == 0
    assert (tmp_path / "m" / "model.gguf").read_bytes() == b"GGUF8"


def test_an_encoder_lies_flat(hub: Hub, tmp_path: Path) -> None:
    assert fetch("hf://shop/encoder", tmp_path / "e", "encoder", endpoint=hub.url)[0] == 0
    assert (tmp_path / "e" / "model.onnx").is_file()
    assert (tmp_path / "e" / "tokenizer.json").is_file()


def test_a_token_is_read_from_its_file_and_never_said(hub: Hub, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    status, said = fetch("hf://shop/private", tmp_path / "p", "gguf", endpoint=hub.url)
    assert status == 2
    assert "private" in said
    (secret / "token").write_text(TOKEN)
    status, said = fetch("hf://shop/private", tmp_path / "p", "gguf", "--secret", str(secret), endpoint=hub.url)
    assert status == 0, said
    assert TOKEN not in said
    assert (tmp_path / "p" / "model.gguf").read_bytes() == REPOSITORIES["shop/private"]["model.gguf"]


def test_of_two_at_once_one_fetches(hub: Hub, tmp_path: Path) -> None:
    def once(_: int) -> tuple[int, str]:
        return fetch("hf://shop/llm", tmp_path / "llm", "transformers", endpoint=hub.url)

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(once, range(2)))
    assert [status for status, _ in results] == [0, 0]
    assert sum(said.endswith("complete") for _, said in results) == 1


@pytest.mark.parametrize(
    ("uri", "form", "status", "told"),
    [
        ("hf://shop/none", "gguf", 2, "no such repository"),
        ("hf://shop/one-gguf", "transformers", 2, "no config.json"),
        ("sample://none", "gguf", 2, "no such sample model"),
        ("https://shop/llm", "gguf", 2, "only hf://, s3:// and sample:// are fetched"),
    ],
)
def test_what_cannot_be_had_is_told_for_good(
    hub: Hub, tmp_path: Path, uri: str, form: str, status: int, told: str
) -> None:
    assert (lambda got: (got[0], told in got[1]))(fetch(uri, tmp_path / "x", form, endpoint=hub.url)) == (status, True)


def test_a_hub_out_of_reach_is_worth_another_try(tmp_path: Path) -> None:
    status, said = fetch("hf://shop/llm", tmp_path / "x", "transformers", endpoint="http://127.0.0.1:9")
    assert status == 1
    assert "cannot be reached" in said
    assert "spec.hfEndpoint" in said


def test_a_bucket_is_opened_by_the_keys_in_the_secret(bucket: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    for name, value in (("AWS_ACCESS_KEY_ID", "reader"), ("AWS_SECRET_ACCESS_KEY", "s3cret")):
        (secret / name).write_text(value)
    status, said = fetch(f"s3://shop/llm{bucket}", tmp_path / "llm", "transformers", "--secret", str(secret))
    assert status == 0, said
    assert (tmp_path / "llm" / "model.safetensors").read_bytes() == OBJECTS["llm/model.safetensors"]
    status, said = fetch(f"s3://shop/gguf/m.gguf{bucket}", tmp_path / "g", "gguf", "--secret", str(secret))
    assert status == 0, said
    assert (tmp_path / "g" / "model.gguf").read_bytes() == b"GGUF"
    (secret / "AWS_ACCESS_KEY_ID").write_text("stranger")
    status, said = fetch(f"s3://shop/gguf/m.gguf{bucket}", tmp_path / "no", "gguf", "--secret", str(secret))
    assert (status, "tokenSecretRef" in said) == (2, True)


def test_certificates_are_joined_to_the_public_ones(tmp_path: Path) -> None:
    public = ssl.create_default_context().get_ca_certs(binary_form=True)
    own = tmp_path / "own.crt"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=company",
        "-keyout",
        "/dev/null",
    ]
    subprocess.run([*command, "-out", str(own)], check=True, capture_output=True)
    target = tmp_path / "all.crt"
    join = [sys.executable, "-m", "recsys_operator.pods.join_certificates", str(own), str(target)]
    subprocess.run(join, check=True)
    store = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    store.load_verify_locations(target)
    assert len(store.get_ca_certs()) == len(public) + 1
    own.write_text("not PEM")
    assert subprocess.run(join, capture_output=True, check=False).returncode == 1

"""Embedders by HTTP against servers that speak the published protocols of TEI and of OpenAI."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recsys_gateway.catalog.embedders import load_embedder
from recsys_gateway.catalog.embedding import EmbedderError
from recsys_gateway.config import OpenAiEmbedder, TeiEmbedder

SECRET_TEXT = "what a customer asked for"
Answer = tuple[int, object]


class Server:
    """Answers each POST by ``answer(path, body)``. ``asked`` holds path, body and Authorization of every call."""

    def __init__(self, answer: Callable[[str, Any], Answer]) -> None:
        self.answer = answer
        self.asked: list[tuple[str, Any, str | None]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                server.asked.append((self.path, body, self.headers.get("authorization")))
                status, said = server.answer(self.path, body)
                data = said if isinstance(said, bytes) else json.dumps(said).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                with contextlib.suppress(BrokenPipeError):  # the caller has gone
                    self.wfile.write(data)

            def log_message(self, *_arguments: object) -> None:
                """Tests want no lines of it."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


def vector(text: str) -> list[float]:
    return [float(len(text)), 1.0, 2.0]


def tei(path: str, body: Mapping[str, Any]) -> Answer:
    """As TEI 1.8: POST /embed, at most 32 inputs, empty ones refused."""
    assert (path, body["normalize"], body["truncate"]) == ("/embed", True, True)
    if len(body["inputs"]) > 32:
        return 413, {"error": "batch size 40 > maximum allowed batch size 32", "error_type": "Validation"}
    if not all(body["inputs"]):
        return 413, {"error": "`inputs` cannot be empty", "error_type": "Empty"}
    return 200, [vector(text) for text in body["inputs"]]


def openai(path: str, body: Mapping[str, Any]) -> Answer:
    """As OpenAI; the order of the answer is not that of the question."""
    assert (path, body["model"], body["encoding_format"]) == ("/v1/embeddings", "e5", "float")
    rows = [{"object": "embedding", "index": n, "embedding": vector(text)} for n, text in enumerate(body["input"])]
    return 200, {"object": "list", "data": rows[::-1], "model": "e5", "usage": {"prompt_tokens": 1, "total_tokens": 1}}


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[str, Any], Answer]], Server]]:
    running: list[Server] = []

    def start(answer: Callable[[str, Any], Answer]) -> Server:
        running.append(Server(answer))
        return running[-1]

    yield start
    for server in running:
        server.close()


Serve = Callable[[Callable[[str, Any], Answer]], Server]


def tei_config(server: Server, **more: object) -> TeiEmbedder:
    return TeiEmbedder.model_validate({"type": "TEI", "url": server.url, "timeoutSeconds": 2, **more})


def openai_config(server: Server, **more: object) -> OpenAiEmbedder:
    return OpenAiEmbedder.model_validate({"type": "OpenAI", "url": server.url, "model": "e5", **more})


TEXTS = ["a light jacket", "", "  ", "\ud800", *("x" * n for n in range(1, 40))]


def expected(texts: list[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
    rows = np.asarray([vector(text if text.strip() else "-") for text in texts], np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_tei_gets_batches_that_it_takes(serve: Serve) -> None:
    server = serve(tei)
    embedder = load_embedder(tei_config(server))
    assert np.abs(embedder.embed(TEXTS) - expected(TEXTS)).max() < 1e-6
    assert max(len(body["inputs"]) for _, body, _ in server.asked) == 32


def test_openais_vectors_are_put_in_order(serve: Serve) -> None:
    server = serve(openai)
    embedder = load_embedder(openai_config(server, dimensions=3, url=f"{server.url}/v1"))
    assert np.abs(embedder.embed(TEXTS) - expected(TEXTS)).max() < 1e-6
    assert server.asked[-1][1]["dimensions"] == 3


def test_a_key_is_read_again_when_its_file_changes(serve: Serve, tmp_path: Path) -> None:
    server, file = serve(openai), tmp_path / "key"
    file.write_text("first\n")
    embedder = load_embedder(openai_config(server, apiKeyFile=str(file)))
    file.write_text("second\n")
    embedder.embed(["a"])
    assert [key for _, _, key in server.asked] == ["Bearer first", "Bearer second"]


@pytest.mark.parametrize("status", [424, 429, 500, 502, 503])
def test_what_may_pass_is_tried_once_more(serve: Serve, status: int) -> None:
    failures = [status]

    def answer(path: str, body: Mapping[str, Any]) -> Answer:
        return (
            (failures.pop(), {"error": "Model is overloaded", "error_type": "Overloaded"})
            if failures
            else tei(path, body)
        )

    server = serve(answer)
    embedder = load_embedder(tei_config(server))
    assert len(server.asked) == 2
    assert embedder.problem == ""


@pytest.mark.parametrize(
    ("answered", "told"),
    [
        ((503, {"error": f"no: {SECRET_TEXT}", "error_type": "Overloaded"}), r"/embed: status 503 \(Overloaded\)"),
        (
            (401, {"error": {"message": SECRET_TEXT, "code": "invalid_api_key"}}),
            r"/embed: status 401 \(invalid_api_key\)",
        ),
        ((400, SECRET_TEXT.encode()), r"/embed: status 400$"),
        ((200, b"no JSON"), "its answer is no JSON"),
        ((200, {"vectors": []}), "something else than vectors"),
        ((200, [[1.0, 2.0], [1.0]]), "something else than vectors"),
        ((200, [[1.0, 2.0], [1.0, 3.0]]), r"\(2, 2\) numbers, where \(1, 3\) were due"),
        ((200, [[1.0, None, 2.0]]), "not all finite"),
    ],
)
def test_a_failure_is_told_without_what_was_asked(serve: Serve, answered: Answer, told: str) -> None:
    server = serve(tei)
    embedder = load_embedder(tei_config(server))
    server.answer = lambda _path, _body: answered
    with pytest.raises(EmbedderError, match=told) as failure:
        embedder.embed([SECRET_TEXT])
    assert SECRET_TEXT not in str(failure.value)
    assert embedder.problem == str(failure.value)
    server.answer = tei
    embedder.embed([SECRET_TEXT])
    assert embedder.problem == ""


def test_a_server_that_hangs_costs_no_more_than_its_time(serve: Serve) -> None:
    server = serve(tei)
    embedder = load_embedder(tei_config(server, timeoutSeconds=0.5))

    def hang(path: str, body: Mapping[str, Any]) -> Answer:
        time.sleep(1.5)
        return tei(path, body)

    server.answer = hang
    began = time.monotonic()
    with pytest.raises(EmbedderError, match=r"no answer within 0\.5 s"):
        embedder.embed(["a"])
    assert time.monotonic() - began < 1.4


def test_a_server_that_is_not_there_is_told() -> None:
    config = TeiEmbedder.model_validate({"type": "TEI", "url": "http://127.0.0.1:1"})
    with pytest.raises(EmbedderError, match=r"http://127\.0\.0\.1:1/embed: not reachable"):
        load_embedder(config)

"""Clients that send slowly, or half of what they announced: each is told so after its time, and its connection ends."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from running_gateway import wait_for_status
from test_lean_start import MODELS

BODY, HEADER = 1.5, 1.0
"""Seconds; 30 and 15 where nobody says otherwise."""
SERVE = f"""
import sys
from recsys_gateway.api import bounded_protocol, envelope
from recsys_gateway.main import main
envelope.BODY_SECONDS = {BODY}
bounded_protocol.HEADER_SECONDS = {HEADER}
sys.exit(main(sys.argv[1:]))
"""
LATE = 10.0
"""By when an answer must be there, on a machine that others use, too."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, port: Callable[[], int]) -> Iterator[tuple[str, int]]:
    chosen, file = port(), tmp_path_factory.mktemp("slow") / "gateway.json"
    file.write_text(json.dumps(MODELS))
    command = [sys.executable, "-c", SERVE, "--config", str(file), "--port", str(chosen)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        wait_for_status(f"http://127.0.0.1:{chosen}/healthz", 200, process)
        yield "127.0.0.1", chosen
    finally:
        process.terminate()
        process.wait(timeout=20)


def head(path: str, length: int) -> bytes:
    lines = (f"POST {path} HTTP/1.1", "host: x", "content-type: application/json", f"content-length: {length}")
    return "\r\n".join((*lines, "", "")).encode()


def answer(address: tuple[str, int], *pieces: bytes, pause: float = 0.0) -> tuple[bytes, float]:
    """What comes until the gateway ends the connection, and after how long; ``pieces`` are sent with pauses."""
    began = time.monotonic()
    with socket.create_connection(address, timeout=LATE) as connection:
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(pause)  # the client under test is slow
        said = b""
        while True:
            more = connection.recv(4096)
            if not more:
                return said, time.monotonic() - began
            said += more
            if whole(said):
                return said, time.monotonic() - began


def whole(said: bytes) -> bool:
    """Whether all of an answer is there that leaves the connection open."""
    headers, end, body = said.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", headers)
    closes = b"connection: close" in headers
    return bool(end and length and not closes and len(body) >= int(length[1]))


@pytest.mark.parametrize(
    ("path", "code"),
    [("/v1/recommendations", b"too_slow"), ("/v1/events", b"too_slow"), ("/v1/chat/completions", b"408")],
)
def test_a_body_of_which_half_comes_is_given_up(address: tuple[str, int], path: str, code: bytes) -> None:
    said, seconds = answer(address, head(path, 100) + b'{"half": ')
    assert said.startswith(b"HTTP/1.1 408 ")
    assert code in said
    assert BODY * 0.9 < seconds < BODY + LATE / 2


def test_a_body_that_trickles_has_no_more_time_than_one_that_stops(address: tuple[str, int]) -> None:
    said, seconds = answer(address, head("/v1/events", 1000), *[b" "] * 10, pause=BODY / 8)
    assert said.startswith(b"HTTP/1.1 408 ")
    assert seconds < BODY + LATE / 2


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-half"])
def test_headers_that_do_not_come_are_given_up(address: tuple[str, int], sent: bytes) -> None:
    said, seconds = answer(address, sent)
    assert said.startswith(b"HTTP/1.1 408 ")
    assert HEADER * 0.9 < seconds < HEADER + LATE / 2


def test_too_many_bytes_of_headers_are_refused_at_once(address: tuple[str, int]) -> None:
    said, _ = answer(address, b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-large: " + b"x" * 70_000 + b"\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 431 ")


def test_others_are_served_meanwhile(address: tuple[str, int]) -> None:
    halves = [socket.create_connection(address) for _ in range(50)]
    try:
        for half in halves:
            half.sendall(head("/v1/events", 100))
        wait_for_status(f"http://{address[0]}:{address[1]}/healthz", 200, seconds=BODY)
    finally:
        for half in halves:
            half.close()

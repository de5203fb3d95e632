"""Every route under made-up requests, right ones and wrong ones, as the OpenAPI document describes them.

No status above 499 but 503 with Retry-After, every body valid by the document, and the gateway's memory stays flat.
RECSYS_FUZZ sets how many requests of each kind a route gets (10,000 in all: RECSYS_FUZZ=400).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from running_gateway import configuration, load_small_shop, start_gateway, wait_for_status
from schemathesis.checks import response_schema_conformance, status_code_conformance
from schemathesis.specs.openapi.checks import content_type_conformance

from .conftest import MilvusLite

EXAMPLES = int(os.environ.get("RECSYS_FUZZ", "10"))
FLAT_MIB = 60
"""What the gateway may grow by while it is fuzzed: caches fill, items are added. 9,103 requests: 16 MiB."""
SETTINGS = settings(
    max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck), derandomize=True
)
CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]
NEGATIVE = schemathesis.GenerationMode.NEGATIVE


class Fuzzed:
    """A gateway on an embedder and a Milvus of its own, without engines."""

    def __init__(self, url: str, pid: int) -> None:
        self.url, self.pid = url, pid
        self.schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
        self.session = requests.Session()

    def memory(self) -> float:
        """MiB that are resident."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.fixture(scope="module")
def gateway(
    shared_milvus: MilvusLite, tmp_path_factory: pytest.TempPathFactory, port: Callable[[], int]
) -> Iterator[Fuzzed]:
    folder, chosen = tmp_path_factory.mktemp("fuzzed"), port()
    load_small_shop(shared_milvus.config, folder)
    nobody = "http://127.0.0.1:9"
    process = start_gateway(configuration(str(shared_milvus.config.uri), nobody, nobody), chosen, folder)
    try:
        wait_for_status(f"http://127.0.0.1:{chosen}/readyz", 200, process)
        yield Fuzzed(f"http://127.0.0.1:{chosen}", process.pid)
    finally:
        process.terminate()
        process.wait(timeout=20)


@pytest.mark.timeout(3600)
def test_no_request_breaks_a_route_and_every_body_is_as_documented(gateway: Fuzzed) -> None:
    sent = 0
    before = gateway.memory()
    for found in gateway.schema.get_all_operations():
        operation = found.ok()
        for mode in schemathesis.GenerationMode:

            @SETTINGS
            @given(case=operation.as_strategy(generation_mode=mode))
            def send(case: schemathesis.Case) -> None:
                nonlocal sent
                sent += 1
                response = case.call(session=gateway.session, timeout=60)
                assert response.status_code < 500 or (
                    response.status_code == 503 and int(response.headers["retry-after"][0]) >= 1
                ), (response.status_code, response.text)
                case.validate_response(response, checks=CHECKS)

            # A route without any input has no wrong one.
            with contextlib.suppress(Unsatisfiable) if mode is NEGATIVE else contextlib.nullcontext():
                send()
    grown = gateway.memory() - before
    assert sent > 100
    assert grown < FLAT_MIB, f"{grown:.0f} MiB more after {sent} requests"
    print(f"{sent} requests, {grown:+.0f} MiB")

"""What a Prometheus would answer of the gateways' counters: pods of a simulated node answer nothing themselves."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CALLS = "recsys_gateway_upstream_requests_total"


class CanaryCalls:
    """Calls of a base model's canary, by outcome; running totals as a gateway's."""

    def __init__(self) -> None:
        self.outcomes: dict[str, int] = {"ok": 0}
        self.queries: list[str] = []
        self.url = ""

    def add(self, outcome: str, calls: int) -> None:
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + calls

    def vector(self) -> dict[str, object]:
        labels = {"__name__": CALLS, "role": "base", "track": "canary", "pod": "gateway-0"}
        result = [
            {"metric": {**labels, "outcome": outcome}, "value": [0, str(calls)]}
            for outcome, calls in self.outcomes.items()
        ]
        return {"status": "success", "data": {"resultType": "vector", "result": result}}


@contextmanager
def prometheus_answers() -> Iterator[CanaryCalls]:
    calls = CanaryCalls()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            calls.queries.append(self.path)
            body = json.dumps(calls.vector()).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        calls.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield calls
        server.shutdown()
        thread.join()

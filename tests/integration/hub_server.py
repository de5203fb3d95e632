"""A hub of our own on 127.0.0.1 that speaks the real one's protocol."""

from __future__ import annotations

import hashlib
import json
import socketserver
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler

SHA = "0123456789abcdef0123456789abcdef01234567"
REPOSITORIES: Mapping[str, Mapping[str, bytes]] = {
    "shop/one-gguf": {"README.md": b"# one", "model.gguf": b"GGUF" + bytes(1000)},
    "shop/many-gguf": {"m-Q8_0.gguf": b"GGUF8", "m-Q4_K_M.gguf": b"GGUF4"},
    "shop/weights": {"model.safetensors": b"{}", "config.json": b"{}"},
    "shop/encoder": {"onnx/model.onnx": b"onnx", "tokenizer.json": b"{}", "README.md": b"#"},
    "shop/llm": {
        "config.json": b"{}",
        "model.safetensors": b"weights",
        "tokenizer.json": b"{}",
        "original/consolidated.00.pth": b"the same again",
        "pytorch_model.bin": b"and again",
    },
    "shop/private": {"model.gguf": b"GGUF-private"},
}
TOKEN = "hf_secret"


class HubHandler(BaseHTTPRequestHandler):
    """The routes that a download takes: the model's information, and a file's head and body."""

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def _answer(self) -> None:
        parts = self.path.split("?")[0].strip("/").split("/")
        match parts:
            case ["api", "models", organisation, name, "revision", revision]:
                self._information(f"{organisation}/{name}", revision)
            case ["api", "models", organisation, name]:
                self._information(f"{organisation}/{name}", "main")
            case [organisation, name, "resolve", revision, *path]:
                self._file(f"{organisation}/{name}", revision, "/".join(path))
            case _:
                self._error(404, "EntryNotFound")

    def _allowed(self, repo: str) -> bool:
        if repo in REPOSITORIES and (repo != "shop/private" or self.headers.get("authorization") == f"Bearer {TOKEN}"):
            return True
        # The real hub does not tell a private repository from one that is not there.
        self._error(401, "RepoNotFound")
        return False

    def _information(self, repo: str, revision: str) -> None:
        if not self._allowed(repo):
            return
        if revision not in {"main", "v1", SHA}:
            self._error(404, "RevisionNotFound")
            return
        files = [{"rfilename": name} for name in REPOSITORIES[repo]]
        body = json.dumps({"id": repo, "modelId": repo, "sha": SHA, "private": False, "tags": [], "siblings": files})
        self._send(200, body.encode(), {"content-type": "application/json"})

    def _file(self, repo: str, revision: str, path: str) -> None:
        if not self._allowed(repo):
            return
        content = REPOSITORIES[repo].get(path)
        if content is None or revision not in {"main", "v1", SHA}:
            self._error(404, "EntryNotFound")
            return
        etag = hashlib.sha256(content).hexdigest()
        self._send(200, content, {"etag": f'"{etag}"', "x-repo-commit": SHA, "accept-ranges": "bytes"})

    def _error(self, status: int, code: str) -> None:
        self._send(status, b"{}", {"x-error-code": code, "x-error-message": code})

    def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.server.requests.append(f"{self.command} {self.path}")  # type: ignore[attr-defined]  # the server is ours
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Not on the test's screen."""


class Hub(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), HubHandler)
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

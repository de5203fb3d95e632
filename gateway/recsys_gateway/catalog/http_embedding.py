"""Sentence encoders by HTTP: Text Embeddings Inference, and servers with OpenAI's ``/v1/embeddings``."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import numpy as np
import urllib3
from numpy.typing import NDArray

from recsys_gateway.catalog.remote_embedding import EmbedderAway
from recsys_gateway.catalog.unit_vectors import EmbedderError, unit_vectors
from recsys_gateway.config import OpenAiEmbedder, TeiEmbedder
from recsys_gateway.credentials import secret

CONNECTIONS = 32
_WORDS = re.compile(r"[A-Za-z0-9_ .-]{1,80}")


def pool_for(url: str) -> urllib3.PoolManager:
    """Connections to ``url``, through the proxy that the environment names for it, if any.

    Authorities are those of the system, or of SSL_CERT_FILE.
    """
    parts = urlsplit(url)
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if proxy and not proxy_bypass(parts.netloc):
        return urllib3.ProxyManager(proxy, maxsize=CONNECTIONS)
    return urllib3.PoolManager(maxsize=CONNECTIONS)


class TeiServer:
    """A ``VectorServer``: Hugging Face's Text Embeddings Inference."""

    def __init__(self, config: TeiEmbedder) -> None:
        self.batch = config.batch
        self._config = config
        self._calls = _JsonCalls(str(config.url), "/embed")

    def vectors(self, texts: Sequence[str], seconds: float) -> NDArray[np.float32]:
        body = {"inputs": list(texts), "normalize": True, "truncate": True}
        answer = self._calls.post(body, seconds, secret(None, self._config.api_key_file))
        return unit_vectors(answer, None, self._calls.url)


class OpenAiServer:
    """A ``VectorServer``: OpenAI itself, and every server that speaks like it."""

    def __init__(self, config: OpenAiEmbedder) -> None:
        self.batch = config.batch
        self._config = config
        self._calls = _JsonCalls(str(config.url).rstrip("/").removesuffix("/v1"), "/v1/embeddings")

    def vectors(self, texts: Sequence[str], seconds: float) -> NDArray[np.float32]:
        body: dict[str, Any] = {"model": self._config.model, "input": list(texts), "encoding_format": "float"}
        if self._config.dimensions:
            body["dimensions"] = self._config.dimensions
        answer = self._calls.post(body, seconds, secret(self._config.api_key_env, self._config.api_key_file))
        try:
            rows = sorted(answer["data"], key=lambda row: int(row["index"]))
            vectors = [row["embedding"] for row in rows]
        except (LookupError, TypeError, ValueError):
            raise EmbedderError(f"{self._calls.url}: its answer has no data with index and embedding") from None
        return unit_vectors(vectors, None, self._calls.url)


class _JsonCalls:
    def __init__(self, base: str, path: str) -> None:
        self.url = base.rstrip("/") + path
        self._pool = pool_for(self.url)

    def post(self, body: Mapping[str, Any], seconds: float, key: str | None) -> Any:
        """
        Raises:
            EmbedderError: no answer, or an error instead of one.
        """
        headers = {"content-type": "application/json", **({"authorization": f"Bearer {key}"} if key else {})}
        data = json.dumps(body, ensure_ascii=False).encode()
        limits = urllib3.Timeout(total=seconds)
        try:
            # A POST is tried again by the caller, who knows how much time is left.
            response = self._pool.request("POST", self.url, body=data, headers=headers, timeout=limits, retries=False)
        except urllib3.exceptions.NewConnectionError as error:  # which calls itself a ConnectTimeoutError
            raise EmbedderAway(f"{self.url}: not reachable") from error
        except (urllib3.exceptions.ConnectTimeoutError, urllib3.exceptions.ReadTimeoutError):
            raise EmbedderError(f"{self.url}: no answer within {seconds:.3g} s") from None
        except urllib3.exceptions.HTTPError as error:
            raise EmbedderAway(f"{self.url}: not reachable: {type(error).__name__}") from error
        if response.status != 200:
            kind = EmbedderAway if response.status in {424, 429} or response.status >= 500 else EmbedderError
            raise kind(f"{self.url}: status {response.status}{_said(response.data)}")
        try:
            return json.loads(response.data)
        except ValueError:
            raise EmbedderError(f"{self.url}: its answer is no JSON") from None


def _said(body: bytes) -> str:
    """The class of an error as the server names it. Not its text: that may repeat what was sent."""
    try:
        error = json.loads(body)
        inner = error.get("error") if isinstance(error.get("error"), dict) else error
        word = inner.get("error_type") or inner.get("code") or inner.get("type")
    except (ValueError, AttributeError):
        return ""
    return f" ({word})" if isinstance(word, str) and _WORDS.fullmatch(word) else ""

"""``/v1/embeddings``: the catalogue's own sentence encoder, for clients of OpenAI's API."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import numpy as np

from recsys_gateway.api.openai_errors import ApiError, invalid
from recsys_gateway.api.runtime import Runtime
from recsys_gateway.catalog.embedders import TextEmbedder
from recsys_gateway.catalog.embedding import EmbedderError

EMBEDDER = "embedder"
MAX_TEXTS = 2048


async def embeddings(runtime: Runtime, body: dict[str, Any]) -> dict[str, Any]:
    """The answer to a request with ``input`` (a text or a list of them).

    Raises:
        ApiError: the request is wrong, no embedder is configured, or it is not there yet.
    """
    model = body.get("model")
    if runtime.config.embedder is None:
        raise ApiError(404, "invalid_request_error", "not_configured", "this gateway has no embedder configured")
    if model != EMBEDDER:
        message = f"the model {str(model)[:200]!r} makes no embeddings here; model: {EMBEDDER}"
        raise ApiError(404, "invalid_request_error", "model_not_found", message, param="model")
    texts, form = _texts(body.get("input")), body.get("encoding_format", "float")
    if form not in {"float", "base64"}:
        raise invalid("encoding_format: float or base64 is needed", "encoding_format")
    embedder = runtime.embedder
    if embedder is None:
        headers = {"retry-after": "2"}
        raise ApiError(503, "service_unavailable", "loading", "the embedder is not there yet", headers=headers)
    if body.get("dimensions") not in (None, embedder.dimension):
        raise invalid(f"dimensions: this embedder makes {embedder.dimension}", "dimensions")
    vectors = await _embed(embedder, texts)
    rows = [{"object": "embedding", "index": n, "embedding": _shown(row, form)} for n, row in enumerate(vectors)]
    # The encoder does not say how many tokens it read: none are stated rather than made up.
    return {"object": "list", "data": rows, "model": EMBEDDER, "usage": {"prompt_tokens": 0, "total_tokens": 0}}


async def _embed(embedder: TextEmbedder, texts: list[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
    try:
        return await asyncio.to_thread(embedder.embed, texts)
    except EmbedderError as error:
        raise ApiError(500, "api_error", "embedder_failed", "the embedder failed; the log has it") from error


def _texts(given: object) -> list[str]:
    match given:
        case str():
            return [given]
        case list() if given and len(given) <= MAX_TEXTS and all(isinstance(each, str) for each in given):
            return list(given)
        case _:
            raise invalid(
                f"input: a text or 1 to {MAX_TEXTS} texts are needed (token ids belong to another model's tokenizer; "
                "with langchain-openai set check_embedding_ctx_length=False)",
                "input",
            )


def _shown(row: np.ndarray[Any, np.dtype[np.float32]], form: str) -> list[float] | str:
    return [float(each) for each in row] if form == "float" else base64.b64encode(row.astype("<f4").tobytes()).decode()

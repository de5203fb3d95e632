"""OpenAI's routes in the OpenAPI document: they are served in front of FastAPI, which does not know them."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

_ERROR = {
    "description": "OpenAI's error body.",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "properties": {
                    "error": {
                        "type": "object",
                        "properties": {
                            "message": {"type": "string"},
                            "type": {"type": "string"},
                            "param": {"type": ["string", "null"]},
                            "code": {"type": ["string", "null"]},
                        },
                    }
                },
            }
        }
    },
}
_MESSAGES = {"type": "array", "items": {"type": "object"}}
_PROMPT = {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
_HEADERS = [
    ("x-request-timeout", "Seconds, decimal, that the call may take, its wait included."),
    ("x-priority", "high, normal or low."),
    ("x-session-id", "What keeps its version of a model, and its pod where the policy is Affinity."),
]


def _post(summary: str, text: str, fields: dict[str, Any], required: list[str]) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"model": {"type": "string"}, **fields}, "required": required}
    return {
        "summary": summary,
        "description": text,
        "parameters": [
            {"name": name, "in": "header", "required": False, "schema": {"type": "string"}, "description": meaning}
            for name, meaning in _HEADERS
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {
            "200": {"description": "The engine's answer: JSON, or server-sent events with `stream`."},
            **{str(status): _ERROR for status in (400, 401, 404, 422, 429, 502, 503, 504)},
        },
    }


_STREAM = {"stream": {"type": "boolean"}}
_PATHS: dict[str, Any] = {
    "/v1/chat/completions": {
        "post": _post(
            "Chat",
            "OpenAI's chat completions, by the model that `model` names: the tuned one, the base one, an adapter, or "
            "`recommender`, which answers with the whole pipeline (the items come as `recommendation`).",
            {"messages": _MESSAGES, **_STREAM},
            ["model", "messages"],
        )
    },
    "/v1/completions": {
        "post": _post("Completion", "OpenAI's completions.", {"prompt": _PROMPT, **_STREAM}, ["model", "prompt"])
    },
    "/v1/embeddings": {
        "post": _post(
            "Embeddings",
            "Vectors of the catalogue's own sentence encoder, where one is configured; `model` is `embedder`.",
            {"input": _PROMPT, "encoding_format": {"enum": ["float", "base64"]}},
            ["model", "input"],
        )
    },
    "/v1/models": {
        "get": {
            "summary": "Models",
            "description": "What `model` may name.",
            "responses": {"200": {"description": "OpenAI's list of models."}, "401": _ERROR},
        }
    },
}


def document_openai(app: FastAPI) -> None:
    """Add the routes to what ``app`` says of itself."""
    own = app.openapi

    def whole() -> dict[str, Any]:
        document = own()
        document["paths"].update(_PATHS)
        return document

    app.__dict__["openapi"] = whole  # FastAPI documents assigning it as the way of extending it

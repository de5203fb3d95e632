"""What OpenAI's clients send, put so that TGI's router takes it and means the same (captured: release 3.3.7).

The router refuses ``stop`` as a string, ``top_p`` of 1, ``response_format`` without ``value`` and of type ``text``, and
``tools`` that are empty; it takes any model but "tgi" for an adapter, answers one choice whatever ``n`` says, and lets
a schema pass only with ``properties`` at its top.
"""

from __future__ import annotations

from typing import Any

from recsys_gateway.engines.dialect import CannotTranslate, Json

BASE_MODEL = "tgi"
MAX_STOPS = 4
MIN_PENALTY = -2.0


def tgi_request(path: str, body: Json, model: str) -> dict[str, object]:
    """The request with ``model`` as TGI names it.

    Raises:
        CannotTranslate: TGI would answer something else, or refuse it whatever it is put like.
    """
    changed = {name: value for name, value in body.items() if value is not None}
    changed["model"] = model
    _one_choice(changed)
    _stops(changed)
    _sampling(changed)
    if path == "/v1/chat/completions":
        _tools(changed)
        _format(changed)
    elif "suffix" in changed:
        raise CannotTranslate("suffix", "there is no text after the completion here")
    return changed


def _one_choice(body: dict[str, object]) -> None:
    for field in ("n", "best_of"):
        if body.pop(field, 1) != 1:
            raise CannotTranslate(field, f"{field}: it answers one choice a request")
    if body.pop("echo", False):
        raise CannotTranslate("echo", "echo: it does not repeat the prompt")


def _stops(body: dict[str, object]) -> None:
    match body.get("stop"):
        case str(stop):
            body["stop"] = [stop]
        case list(stops) if len(stops) > MAX_STOPS:
            raise CannotTranslate("stop", f"stop: at most {MAX_STOPS} sequences")


def _sampling(body: dict[str, object]) -> None:
    """``top_p`` of 1 is no restriction; a penalty of -2 is the limit that the router leaves out."""
    match body.get("top_p"):
        case int(top_p) | float(top_p) if top_p == 1:
            del body["top_p"]
    match body.get("presence_penalty"):
        case int(penalty) | float(penalty) if penalty <= MIN_PENALTY:
            raise CannotTranslate("presence_penalty", f"presence_penalty: above {MIN_PENALTY:g} is needed")


def _tools(body: dict[str, object]) -> None:
    if not body.get("tools"):
        body.pop("tools", None)
        body.pop("tool_choice", None)
        body.pop("parallel_tool_calls", None)
    elif body.get("tool_choice") == "none":
        del body["tools"], body["tool_choice"]
    elif body.get("response_format") not in (None, {"type": "text"}):
        raise CannotTranslate("response_format", "response_format: tools and a format exclude each other")


def _format(body: dict[str, object]) -> None:
    match body.get("response_format"):
        case None:
            return
        case {"type": "text"}:
            del body["response_format"]
        case {"type": "json_schema", "json_schema": {"schema": dict(schema)}}:
            body["response_format"] = {"type": "json_object", "value": _with_properties(schema)}
        case {"type": "json_object", **rest} if "value" not in rest:
            # OpenAI's JSON mode is any object: the schema says no more than that.
            body["response_format"] = {"type": "json_object", "value": {"type": "object", "properties": {}}}
        case {"type": "json_object" | "json" | "regex" | "json_schema", "value": _}:
            return  # as TGI has it
        case _:
            raise CannotTranslate("response_format", "response_format: text, json_object or json_schema is needed")


def _with_properties(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema whose top is a reference to a definition shows that definition's properties."""
    match schema:
        case {"properties": _}:
            return schema
        case {"$ref": str(reference), "$defs": dict(definitions)} if reference.startswith("#/$defs/"):
            named = definitions.get(reference.removeprefix("#/$defs/"))
            if isinstance(named, dict) and "properties" in named:
                return {**named, "$defs": definitions}
        case {"type": "object"}:
            return {**schema, "properties": {}}
    raise CannotTranslate("response_format", "response_format: a schema of an object with properties is needed")

"""What an answer says: scripted by the prompt, invented from a JSON schema, or words that mean nothing."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import cycle, islice
from typing import Any

DEFAULT_TOKENS = 16
_SENTENCE = "The quick brown fox jumps over the lazy dog and then it sleeps under an old tree"
_DIRECTIVE = re.compile(r"@@(N|OUT):([A-Za-z0-9+/=]+)@@")
_PIECE = re.compile(r"\s?\w+|\s?[^\w\s]|\s")


@dataclass(frozen=True)
class Text:
    """An answer in pieces, one a token. ``reason`` is why it ends; ``stop`` means by a token that nobody sees."""

    pieces: Sequence[str]
    reason: str

    @property
    def tokens(self) -> int:
        """As an engine counts them: the unseen last token counts."""
        return len(self.pieces) + (self.reason == "stop")


def pieces_of(text: str) -> list[str]:
    return _PIECE.findall(text)


def answer_to(prompt: str, max_tokens: int | None, stop: Sequence[str] = (), invented: str | None = None) -> Text:
    """What is said to ``prompt``: its ``@@OUT:…@@``, else ``invented``, else as many words as ``@@N:…@@`` says.

    Without a number: ``max_tokens`` words, and 16 where that is not given either.
    """
    match _DIRECTIVE.search(prompt):
        case re.Match() as directive if directive[1] == "OUT":
            pieces: Sequence[str] = pieces_of(_decoded(directive[2]))
        case _ if invented is not None:
            pieces = pieces_of(invented)
        case re.Match() as directive if directive[2].isdecimal():
            pieces = _words(int(directive[2]))
        case _:
            pieces = _words(DEFAULT_TOKENS if max_tokens is None else max_tokens)
    for end in range(1, len(pieces) + 1 if stop else 0):
        if any(word in "".join(pieces[:end]) for word in stop):
            return Text(pieces[:end], "stop_sequence")
    if max_tokens is None or len(pieces) < max_tokens:
        return Text(pieces, "stop")
    return Text(pieces[:max_tokens], "length")


@cache
def _words(count: int) -> tuple[str, ...]:
    return tuple(f" {word}" for word in islice(cycle(_SENTENCE.split()), count))


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return text


def text_of(content: object) -> str:
    """The text of a message's content: a string, parts, or nothing."""
    match content:
        case str():
            return content
        case list():
            return "".join(part.get("text", "") for part in content if isinstance(part, dict))
        case _:
            return ""


def fitting(schema: Mapping[str, Any]) -> Any:
    """A value that fits ``schema``: objects, arrays, strings, numbers, enums; the first choice of several."""
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for several in ("anyOf", "oneOf"):
        if schema.get(several):
            return fitting(schema[several][0])
    match schema.get("type", "object" if "properties" in schema else "string"):
        case "object":
            return {name: fitting(part) for name, part in schema.get("properties", {}).items()}
        case "array":
            return _array(schema)
        case "integer" | "number":
            return schema.get("minimum", 3)
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return "fox".ljust(int(schema.get("minLength", 0)), "x")[: int(schema.get("maxLength", 1000))]


def _array(schema: Mapping[str, Any]) -> list[Any]:
    """As many items as asked for; different ones where the schema wants that of an enum."""
    items, count = schema.get("items", {}), int(schema.get("minItems", 1))
    choices = items.get("enum", [])
    if schema.get("uniqueItems") and choices:
        return list(choices[:count])
    return [fitting(items) for _ in range(count)]


def resolved(schema: Any, root: Mapping[str, Any] | None = None) -> Any:
    """``schema`` with each ``$ref`` into its own ``$defs`` replaced by what it names."""
    root = schema if root is None else root
    if isinstance(schema, list):
        return [resolved(part, root) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if isinstance(schema.get("$ref"), str):
        target: Any = root
        for step in schema["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        return resolved(target, root)
    return {name: resolved(part, root) for name, part in schema.items() if name != "$defs"}


def json_text(value: object) -> str:
    """As engines write it under a grammar: no spaces."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

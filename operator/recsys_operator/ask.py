"""`recsys ask`: one question to a running gateway, and its answer on the screen."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from recsys_gateway.client import Client, GatewayError, GatewayUnreachable
from recsys_gateway.client.calls import recommend
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from recsys_operator.program import program

TIMEOUT_SECONDS = 120
WIDE_COLUMNS = 100
"""Of a terminal that has room for every column."""
NOTHING_FITS = "Nothing in the catalogue fits this request."
COLUMNS: Mapping[str, Mapping[str, Any]] = {
    "#": {"justify": "right", "style": "dim"},
    "id": {"style": "cyan", "no_wrap": True},
    "title": {"style": "bold", "overflow": "fold"},
    "price": {"justify": "right", "no_wrap": True},
    "score": {"justify": "right", "no_wrap": True},
    "why": {"overflow": "fold"},
    "confirmed by": {"style": "dim", "overflow": "fold"},
}


class AskError(RuntimeError):
    """No answer; the message says why in one line. ``body`` is what the gateway sent, if it sent anything."""

    def __init__(self, message: str, body: bytes = b"") -> None:
        super().__init__(message)
        self.body = body


def parse_filters(given: Sequence[str]) -> dict[str, object]:
    """``FIELD=VALUE`` texts as the gateway's filters.

    A value is a number, true or false where it reads so, else text; ``LOW..HIGH`` is a range with either end left out
    at will; a field that is given twice may have either value.

    Raises:
        ValueError: a text has no ``=`` or no field, or a field has a range and something else.
    """
    values: dict[str, list[object]] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise ValueError(f"{text}: expected FIELD=VALUE, such as brand=Northwind or price=20..80")
        values.setdefault(name.strip(), []).append(_filter_value(value))
    for name, found in values.items():
        if len(found) > 1 and any(isinstance(value, dict) for value in found):
            raise ValueError(f"{name}: give one range such as 20..80, or single values, not several at once")
    return {name: found[0] if len(found) == 1 else {"in": found} for name, found in values.items()}


def _filter_value(text: str) -> object:
    low, dots, high = text.partition("..")
    bounds = {"gte": _scalar(low), "lte": _scalar(high)}
    if dots and all(isinstance(bound, int | float) or bound == "" for bound in bounds.values()) and (low or high):
        return {name: bound for name, bound in bounds.items() if bound != ""}
    return _scalar(text)


def _scalar(text: str) -> object:
    """``80`` and ``true`` are themselves; everything else, NaN too, is text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)) else text


def ask(url: str, request: Mapping[str, object]) -> bytes:
    """The body of the gateway's answer, as it came. ``url`` may lack ``http://``.

    Raises:
        AskError: no gateway is there, or it refused.
    """
    try:
        # A refusal for the moment is told at once: the one who asks sees it, and may ask again.
        client = Client(url, timeout=TIMEOUT_SECONDS, tries=1)
        return client.content(recommend(str(request.get("query", "")), request))
    except GatewayError as error:
        raise AskError(f"{url}: {error}", error.body) from None
    except GatewayUnreachable as error:
        raise AskError(f"{url}: no gateway answers there ({error}); start one with: {program()} up") from None


def show(console: Console, body: bytes) -> None:
    """Print an answer for people.

    Raises:
        AskError: it is not an answer of ``/v1/recommendations``.
    """
    try:
        answer = json.loads(body)
        lines = list(_summary(answer))
        table = _table(answer["items"], wide=console.width >= WIDE_COLUMNS)
        sentence = str(answer.get("answer") or "")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise AskError(f"not an answer of a recsys gateway: {type(error).__name__} {error}", body) from None
    if not answer["items"]:
        console.print(f"[yellow]{NOTHING_FITS}[/]")
    else:
        if sentence:
            console.print(f"{escape(sentence)}\n", highlight=False)
        console.print(table)
    for line in lines:
        console.print(line, highlight=False)


def _table(items: Sequence[Mapping[str, Any]], *, wide: bool) -> Table:
    """A row an item; columns that would be empty are left out, and where it is not ``wide`` the last one."""
    rows = [
        {
            "#": str(number),
            "id": str(item["id"]),
            "title": str(item["title"]),
            "price": f"{item['price']:.2f}" if item.get("price") is not None else "",
            "score": f"{item['score']:.3f}",
            "why": str(item.get("reason") or ""),
            "confirmed by": ", ".join(item.get("confirmed_by") or ()),
        }
        for number, item in enumerate(items, 1)
    ]
    table = Table(
        box=None,
        pad_edge=False,
        header_style="bold",
        caption="score: relevance; the order also weighs diversity",
        caption_style="dim",
        caption_justify="left",
    )
    shown = [name for name in COLUMNS if any(row[name] for row in rows) and (wide or name != "confirmed by")]
    for name in shown:
        table.add_column(name, **COLUMNS[name])
    for row in rows:
        table.add_row(*(escape(row[name]) for name in shown))
    return table


def _summary(answer: Mapping[str, Any]) -> Iterator[str]:
    # Of an empty list there is nothing to measure.
    if answer["items"]:
        yield from _measures(answer)
    if answer.get("degraded"):
        yield f"[yellow]degraded: {escape('; '.join(map(_reason, answer['degraded'])))}[/]"
    if samples := _samples(answer):
        yield f"[dim](sample models: {escape(', '.join(samples))})[/]"


def _measures(answer: Mapping[str, Any]) -> Iterator[str]:
    ild, tokens, timings = answer.get("ild") or {}, answer.get("tokens") or {}, answer.get("timings_ms") or {}
    parts = []
    if ild:
        parts.append("diversity (ILD) " + ", ".join(f"{name} {value:.2f}" for name, value in ild.items()))
    if tokens:
        parts.append(_tokens(tokens))
    if parts:
        yield f"[dim]{' · '.join(parts)}[/]"
    if timings:
        yield f"[dim]ms: {' · '.join(f'{escape(str(name))} {value:.0f}' for name, value in timings.items())}[/]"


def _tokens(tokens: Mapping[str, Any]) -> str:
    prompt, completion, plain = (tokens.get(name) or 0 for name in ("prompt", "completion", "plain_prompt"))
    text = f"tokens {prompt} + {completion}"
    if plain > 0 and (saved := tokens.get("saved")):
        text += f", {saved / plain:.0%} saved against the plain prompt ({plain})"
    return text


def _reason(entry: object) -> str:
    if isinstance(entry, dict):
        return ": ".join(str(entry[name]) for name in ("stage", "reason", "detail") if entry.get(name))
    return str(entry)


def _samples(answer: Mapping[str, Any]) -> list[str]:
    """Roles that one of recsys's own sample models plays."""
    models = answer.get("models") or {}
    return [str(role) for role, model in models.items() if model.get("sample")]

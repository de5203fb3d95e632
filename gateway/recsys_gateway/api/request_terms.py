"""What headers say of a call: how long it may take, how urgent it is, what it belongs to."""

from __future__ import annotations

import re
from collections.abc import Iterable

from starlette.types import Scope

from recsys_gateway.serving.admission.waiting_queue import Priority
from recsys_gateway.serving.caller import Caller

MAX_TIMEOUT_SECONDS = 600.0

_DECIMAL = re.compile(r"[0-9]{1,9}(\.[0-9]{0,18})?|\.[0-9]{1,18}", re.ASCII)  # float() would take 5_0, too
_PRIORITIES = {priority.name.lower(): priority for priority in Priority}


class BadHeader(ValueError):
    """A header that cannot be meant; the message names it and says what is needed."""


def seconds_of(header: bytes | str | None, default: float) -> float:
    """``x-request-timeout``, in decimal seconds.

    Raises:
        BadHeader: it is no such number, or out of bounds.
    """
    if header is None:
        return default
    given = _text(header)
    if not _DECIMAL.fullmatch(given) or not 0 < float(given) <= MAX_TIMEOUT_SECONDS:
        raise BadHeader(f"x-request-timeout: decimal seconds above 0, at most {MAX_TIMEOUT_SECONDS:g}, are needed")
    return float(given)


def priority_of(header: bytes | str | None) -> Priority:
    """``x-priority``: high, normal or low.

    Raises:
        BadHeader: it is none of them.
    """
    if header is None:
        return Priority.NORMAL
    try:
        return _PRIORITIES[_text(header).lower()]
    except KeyError:
        raise BadHeader(f"x-priority: one of {', '.join(_PRIORITIES)} is needed") from None


def caller_of(scope: Scope, priority: bytes | str | None, user: str | None) -> Caller:
    """On whose behalf the calls of a request are made; a user, or a session, stays with one version of a model.

    Raises:
        BadHeader: ``x-priority`` is wrong.
    """
    state = scope["state"]
    tenant, request_id = state.get("tenant"), state["exchange"].request_id
    session = header(scope["headers"], b"x-session-id")
    return Caller(tenant.name if tenant else "", priority_of(priority), session or user or request_id, request_id)


def header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> str | None:
    """The first value of ``name`` (lower case) among raw ASGI headers."""
    for each in headers:
        if each[0] == name:
            return each[1].decode("latin-1")
    return None


def _text(given: bytes | str) -> str:
    return (given.decode("latin-1") if isinstance(given, bytes) else given).strip()

"""On whose behalf the pipeline calls a model: set once for a request, read wherever a call of it is made.

A context variable, since the stages between do not care: tasks that a request starts inherit it.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

from recsys_gateway.serving.admission.waiting_queue import Priority


@dataclass(frozen=True, slots=True)
class Caller:
    """``sticky`` decides between a model and its canary: the same caller meets the same one."""

    tenant: str = ""
    priority: Priority = Priority.NORMAL
    sticky: str = ""
    request_id: str = ""


caller: ContextVar[Caller] = ContextVar("caller", default=Caller())  # noqa: B039  frozen

"""What a person must know of a system though it is built: a wish that this cluster, or an engine, cannot fulfil."""

from __future__ import annotations

from typing import NamedTuple


class Note(NamedTuple):
    """``reason`` is one word for programs; ``message`` says what is so and what to do."""

    reason: str
    message: str

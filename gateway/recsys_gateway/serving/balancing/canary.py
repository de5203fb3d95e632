"""Which version of a model a call goes to: a share of the keys, and always the same ones."""

from __future__ import annotations

from hashlib import blake2b

from recsys_gateway.config import Track

_STEPS = 1 << 32


def track_of(key: str, canary_percent: float) -> Track:
    """The track of ``key`` (a session, a user). A larger percentage keeps the keys that the smaller one had."""
    drawn = int.from_bytes(blake2b(key.encode(errors="replace"), digest_size=4).digest(), "big")
    return Track.CANARY if drawn < canary_percent / 100 * _STEPS else Track.STABLE

"""Texts of a catalogue without what would reach terminals and pages. Pure."""

from __future__ import annotations

import re

_BREAKS = re.compile(r"\r\n|[\t\n\v\f\r\x85]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def plain(text: str) -> str:
    """``text`` without control characters (C0, C1, DEL). What separates lines and words becomes a blank."""
    if text.isascii() and text.isprintable():
        return text.strip()
    return _CONTROL.sub("", _BREAKS.sub(" ", text)).strip()

"""Import pymilvus without pandas.

pymilvus imports pandas for callers who hand it DataFrames. Nobody here does, and pandas costs each process that speaks
to Milvus half a second of CPU in its start, 2 s where there is no bytecode, and 65 MiB (docs/design/measurements.md).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

_NAMES = ("pandas", "pandas.api", "pandas.api.types")


class _StandIn(ModuleType):
    """Whatever is asked of it is a class of its own, of which nothing is an instance."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


@contextmanager
def without_pandas() -> Iterator[None]:
    """What is imported meanwhile gets a stand-in for pandas; a later import of pandas gets pandas.

    Where pandas is loaded already, it is used: there is nothing to win.
    """
    if "pandas" in sys.modules:
        yield
        return
    sys.modules.update({name: _StandIn(name) for name in _NAMES})
    try:
        yield
    finally:
        for name in _NAMES:
            sys.modules.pop(name, None)

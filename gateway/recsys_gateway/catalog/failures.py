"""How the catalogue fails. Here, so that who tells a client of it need not load what speaks with Milvus."""

from __future__ import annotations


class StoreUnavailable(Exception):
    """Milvus cannot be asked, or cannot answer; the message says why. A later call may succeed: nothing is kept."""


class StoreRefused(StoreUnavailable):
    """Milvus is there, and does not take what it was asked: the same call would be refused again."""


class NewerSchema(Exception):
    """A later recsys has written this store: this one would damage it."""


class QueueFull(Exception):
    """More changes wait than can be written soon."""


class NotReady(Exception):
    """The embedder is not there yet: nothing can be written."""

"""The collections of a catalogue in Milvus: their names and fields. ``creating.py`` makes them. Pure.

``items`` holds what is searched; all others are read by their keys, which is quick on every Milvus: ``users``,
``interactions``, ``statistics`` (events of each item), ``tombstones`` (what was removed through the API), ``catalog``
(a few facts about the whole). Milvus wants a vector in every collection: where there is none to search, ``unused`` is
one of two zeros.
"""

from __future__ import annotations

from recsys_gateway.catalog.engine_features import EngineFeatures
from recsys_gateway.catalog.user_vectors import RANK

SCHEMA_VERSION = 2
"""Written with the catalogue; ``migration.py`` brings a store of an older one up to it."""

ITEMS = "items"
USERS = "users"
INTERACTIONS = "interactions"
STATISTICS = "statistics"
TOMBSTONES = "tombstones"
CATALOG = "catalog"

REVISION = "revision"
"""The fact that names the state of the items: a random id, so that no two stores share one."""

COLLABORATIVE_DIMENSION = 2 * RANK
UNUSED = (0.0, 0.0)

ITEM_FIELDS = (
    "id",
    "title",
    "description",
    "categories",
    "price",
    "in_stock",
    "attributes",
    "text",
    "collaborative",
)

USER_FIELDS = ("id", "traits", "history", "dismissed")
INTERACTION_FIELDS = ("user_id", "item_id", "type", "timestamp", "position")
NO_NUMBER = -1.7e308
"""Stands for a number that is not there, on a Milvus that knows no null."""


def item_fields(features: EngineFeatures) -> list[str]:
    """What is read of an item: without a list everything comes back, the sparse vector and the document too."""
    return [name for name in ITEM_FIELDS if name != "collaborative" or features.several_vectors]

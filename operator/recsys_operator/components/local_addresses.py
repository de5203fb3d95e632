"""Addresses that only one machine can read: what ``recsys up`` takes and no pod sees."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from recsys_operator.api.recommender_system import RecommenderSystem
from recsys_operator.components.model_identity import by_role
from recsys_operator.components.note import Note

_FILE = "file://"


def local_address_notes(system: RecommenderSystem) -> Iterator[Note]:
    """Whoever brings a volume of their own by a podTemplate may well have the file in it: nothing is said there."""
    catalog = system.spec.catalog
    if not _brings_volumes(catalog.pod_template):
        for name, table in (("items", catalog.items), ("users", catalog.users), ("interactions", catalog.interactions)):
            if table is not None and table.uri.startswith(_FILE):
                yield _note(
                    f"spec.catalog.{name}", table.uri, "configMap://NAME/FILE, pvc://CLAIM/PATH, s3:// or https://"
                )
    for role, model in by_role(system.spec.models).items():
        has_own = all(_brings_volumes(pool.pod_template) for pool in model.pools)
        if model.model.uri.startswith(_FILE) and not has_own:
            yield _note(f"spec.models.{role}.model", model.model.uri, "hf://ORG/NAME, pvc://CLAIM/PATH or s3://")
    embedder = system.spec.embedder
    if embedder.model.uri.startswith(_FILE) and not _brings_volumes(embedder.pod_template):
        yield _note("spec.embedder.model", embedder.model.uri, "hf://ORG/NAME, pvc://CLAIM/PATH or s3://")


def _note(where: str, uri: str, instead: str) -> Note:
    return Note("FileNotInCluster", f"{where}.uri: {uri} is a file of one machine, which no pod sees: give {instead}")


def _brings_volumes(template: Any) -> bool:
    return bool(((template or {}).get("spec") or {}).get("volumes"))

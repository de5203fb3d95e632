"""The cluster -> ``Observed``: the facts beside the spec that children depend on."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterable

from recsys_operator.components.manifest import ApiKind, Manifest
from recsys_operator.reconcile.cluster_api import ClusterApi
from recsys_operator.reconcile.kinds import CONFIG_MAP, OPTIONAL_CHILD_KINDS, SYSTEM_KIND, Path, plural


class ServedApis:
    """Which of the kinds that a cluster may lack it serves: those of other projects, and our own."""

    def __init__(self, api: ClusterApi) -> None:
        self._api = api
        self.kinds: frozenset[ApiKind] = frozenset()

    async def refresh(self) -> bool:
        """Whether it is another set than before. One request, and one for each group that is there."""
        wanted = OPTIONAL_CHILD_KINDS | {SYSTEM_KIND: plural(SYSTEM_KIND)}
        present = await self._api.served_groups()
        groups = sorted({(kind.group, kind.version) for kind in wanted} & present)
        found = await asyncio.gather(*(self._api.served_plurals(*group) for group in groups))
        served = dict(zip(groups, found, strict=True))
        kinds = frozenset(kind for kind in wanted if wanted[kind] in served.get((kind.group, kind.version), ()))
        has_changed, self.kinds = kinds != self.kinds, kinds
        return has_changed


async def config_map_digests(api: ClusterApi, namespace: str, names: Iterable[str]) -> dict[str, str]:
    """By ``ConfigMap/NAME``; what is not there has none."""
    ordered = sorted(names)
    found = await asyncio.gather(*(api.get(Path(CONFIG_MAP, namespace, name)) for name in ordered))
    return {
        f"ConfigMap/{name}": _content_digest(body)
        for name, body in zip(ordered, found, strict=True)
        if body is not None
    }


def autoscaled(children: Iterable[Manifest]) -> frozenset[str]:
    """Names of Deployments whose number somebody sets by the scale subresource: an autoscaler, or a person."""
    return frozenset(
        child["metadata"]["name"]
        for child in children
        if child["kind"] == "Deployment"
        and any(entry.get("subresource") == "scale" for entry in child["metadata"].get("managedFields") or ())
    )


def _content_digest(body: Manifest) -> str:
    content = [body.get("data") or {}, body.get("binaryData") or {}]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

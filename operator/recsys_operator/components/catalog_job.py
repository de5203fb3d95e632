"""The Job that loads the catalogue. A Job cannot change, so its name carries a digest of all that it does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from recsys_gateway.catalog.load_config import LoadConfig, OnError
from recsys_gateway.catalog.source import CatalogSource, TableSource

from recsys_operator.api.recommender_system import RecommenderSystem
from recsys_operator.components.encoder_files import tokenizer_containers, tokenizer_mounts, tokenizer_volumes
from recsys_operator.components.labels import child_name, digest, labels, metadata
from recsys_operator.components.manifest import Manifest
from recsys_operator.components.observed import Observed
from recsys_operator.components.platform_pod import platform_pod
from recsys_operator.components.pod_template import (
    RESTRICTED_CONTAINER,
    container_resources,
    outbound_env,
    outbound_mounts,
)
from recsys_operator.components.release import GATEWAY, image
from recsys_operator.components.retrieval_access import embedder_access, retrieval_secrets, vector_store_access
from recsys_operator.components.yaml_text import yaml_text

COMPONENT = "catalog"
TABLES = Path("/mnt/catalog")
CONFIG = Path("/etc/recsys")
CONFIG_FILE = "load.yaml"
WAIT_SECONDS = 1800
"""For embedder and vector store: the first images of a new system take long to pull."""
RETRIES = 6
_USAGE = {"containerName": COMPONENT, "operator": "In", "values": [2]}
"""A configuration that the program refuses: another try cannot help."""
CLAIM, CONFIG_MAP = "pvc", "configMap"


class MountedTable(NamedTuple):
    """A table that a volume brings: ``source`` is the name of a claim or of a ConfigMap, ``path`` a path within."""

    table: str
    scheme: str
    source: str
    path: str

    @property
    def volume(self) -> str:
        return f"table-{self.table}"

    @property
    def directory(self) -> Path:
        return TABLES / self.table


def catalog_manifests(system: RecommenderSystem, observed: Observed) -> list[Manifest]:
    """The load's configuration and its Job. Another source, or another content of a ConfigMap, is another Job."""
    config = yaml_text(_load_config(system))
    used = {f"ConfigMap/{name}": observed.digests.get(f"ConfigMap/{name}", "") for name in catalog_config_maps(system)}
    template = platform_pod(system, COMPONENT, _pod(system), system.spec.catalog)
    name = child_name(system, f"{COMPONENT}-{digest([config, template, used])}")
    mounted = {"name": "config", "configMap": {"name": name}}
    template["spec"]["volumes"] = [mounted, *template["spec"]["volumes"]]
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata(system, name, labels(system, COMPONENT)),
            "data": {CONFIG_FILE: config},
        },
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": metadata(system, name, labels(system, COMPONENT)),
            # It stays when it is done: its end is what the status tells, and what keeps it from running again.
            "spec": {
                "backoffLimit": RETRIES,
                "podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": _USAGE}]},
                "completions": 1,
                "parallelism": 1,
                "template": template,
            },
        },
    ]


def catalog_config_maps(system: RecommenderSystem) -> list[str]:
    """The users' ConfigMaps that tables come from."""
    return sorted({table.source for table in _mounted(system) if table.scheme == CONFIG_MAP})


def _load_config(system: RecommenderSystem) -> dict[str, object]:
    catalog = system.spec.catalog
    mounted = {table.table: table for table in _mounted(system)}
    tables = {
        name: source.model_copy(update={"uri": f"file://{mounted[name].directory / mounted[name].path}"})
        if name in mounted
        else source
        for name, source in _tables(system)
    }
    load = LoadConfig(
        catalog=CatalogSource.model_validate({name: table.model_dump() for name, table in tables.items()}),
        vector_store=vector_store_access(system),
        embedder=embedder_access(system),
        on_error=OnError(catalog.on_error.value),
        wait_seconds=WAIT_SECONDS,
    )
    return load.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude_none=True)


def _tables(system: RecommenderSystem) -> Iterator[tuple[str, TableSource]]:
    catalog = system.spec.catalog
    for name, source in (("items", catalog.items), ("users", catalog.users), ("interactions", catalog.interactions)):
        if source is not None:
            yield name, source


def _mounted(system: RecommenderSystem) -> list[MountedTable]:
    found = []
    for name, table in _tables(system):
        scheme, _, rest = table.uri.partition("://")
        if scheme in {CLAIM, CONFIG_MAP}:
            source, _, path = rest.partition("/")
            found.append(MountedTable(name, scheme, source, path))
    return found


def _pod(system: RecommenderSystem) -> Manifest:
    secrets = retrieval_secrets(system)
    tables = _mounted(system)
    container: Manifest = {
        "name": COMPONENT,
        "image": image(system, system.spec.gateway.image or GATEWAY),
        "command": ["recsys-gateway", "load", "--config", str(CONFIG / CONFIG_FILE)],
        "env": outbound_env(system),
        **container_resources(system.spec.catalog.resources),
        "securityContext": RESTRICTED_CONTAINER,
        "volumeMounts": [
            {"name": "config", "mountPath": str(CONFIG), "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  a path inside the container
            *(secret.as_mount() for secret in secrets),
            *({"name": table.volume, "mountPath": str(table.directory), "readOnly": True} for table in tables),
            *outbound_mounts(system),
            *tokenizer_mounts(system),
        ],
    }
    if reference := system.spec.catalog.secret_ref:
        container["envFrom"] = [{"secretRef": {"name": reference.name}}]
    return {
        "restartPolicy": "Never",
        "initContainers": tokenizer_containers(system),
        "containers": [container],
        "volumes": [
            {"name": "tmp", "emptyDir": {}},
            *(secret.as_volume() for secret in secrets),
            *(_table_volume(table) for table in tables),
            *tokenizer_volumes(system),
        ],
    }


def _table_volume(table: MountedTable) -> Manifest:
    if table.scheme == CLAIM:
        return {"name": table.volume, "persistentVolumeClaim": {"claimName": table.source, "readOnly": True}}
    return {"name": table.volume, "configMap": {"name": table.source}}

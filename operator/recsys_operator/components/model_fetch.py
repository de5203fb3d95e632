"""The containers that bring a model's files into a volume, and the volumes that they need."""

from __future__ import annotations

from collections.abc import Iterable

from recsys_operator.api.recommender_system import RecommenderSystem
from recsys_operator.api.workload import SecretReference
from recsys_operator.components.labels import digest
from recsys_operator.components.manifest import Manifest
from recsys_operator.components.model_files import (
    MODELS,
    VOLUME,
    ModelFiles,
    cache_claim,
    claim_volumes,
    fetched_once,
)
from recsys_operator.components.pod_template import (
    outbound_env,
    outbound_init_containers,
    outbound_mounts,
    outbound_volumes,
    restricted_init_container,
)
from recsys_operator.components.release import OPERATOR, image

SECRETS = "/etc/recsys/secrets"
TOKEN = "token"  # noqa: S105 - the key of a secret, and no secret
"""The key of a secret that holds one token, where the resource names none; and the file that it becomes."""
TMP = "/tmp"  # noqa: S108 - of a container of its own
_SCRATCH = {"name": "fetch-tmp", "emptyDir": {}}


def fetch_container(system: RecommenderSystem, files: ModelFiles, name: str) -> Manifest:
    """A container that brings ``files`` into their folder where they are not there yet, and ends.

    Its pod needs the volumes of ``fetch_volumes`` and first the init containers of ``outbound_init_containers``.
    """
    revision = [] if files.revision is None else ["--revision", files.revision]
    secret = [] if files.secret is None else ["--secret", _secret_folder(files.secret)]
    options = ["--format", files.format.value, *revision, *secret]
    return {
        "name": name,
        "image": image(system, OPERATOR),
        "command": ["python", "-m", "recsys_operator.pods.fetch_model", files.uri, files.folder, *options],
        "env": [
            {"name": "HOME", "value": TMP},
            {"name": "HF_HUB_DISABLE_TELEMETRY", "value": "1"},
            *outbound_env(system),
        ],
        "securityContext": restricted_init_container(),
        "volumeMounts": [
            {"name": VOLUME, "mountPath": MODELS},
            {"name": _SCRATCH["name"], "mountPath": TMP},
            *_secret_mounts((files,)),
            *outbound_mounts(system),
        ],
    }


def fetch_containers(system: RecommenderSystem, wanted: Iterable[ModelFiles]) -> list[Manifest]:
    """One for each of ``wanted`` that must be fetched."""
    return [fetch_container(system, files, f"fetch-{index}") for index, files in enumerate(fetched_once(wanted))]


def fetch_init_containers(system: RecommenderSystem, wanted: Iterable[ModelFiles]) -> list[Manifest]:
    """The same as init containers of a pod that reads the files; they end at once where the cache has them."""
    containers = fetch_containers(system, wanted)
    return [*outbound_init_containers(system), *containers] if containers else []


def fetch_volumes(system: RecommenderSystem, wanted: tuple[ModelFiles, ...]) -> list[Manifest]:
    """Volumes of a pod that fetches and reads ``wanted``."""
    fetched = fetched_once(wanted)
    if not fetched:
        return claim_volumes(wanted)
    claim = cache_claim(system)
    where: Manifest = {"emptyDir": {}} if claim is None else {"persistentVolumeClaim": {"claimName": claim}}
    models = {"name": VOLUME, **where}
    return [models, _SCRATCH, *_secret_volumes(fetched), *outbound_volumes(system), *claim_volumes(wanted)]


def _secret_volumes(fetched: tuple[ModelFiles, ...]) -> list[Manifest]:
    """A hub's token is one key; a bucket's secret is mounted as a whole, since its keys belong together."""
    volumes: dict[str, Manifest] = {}
    for files in fetched:
        if files.secret is None:
            continue
        source: Manifest = {"secretName": files.secret.name, "defaultMode": 0o440}
        if not files.uri.startswith("s3://"):
            source["items"] = [{"key": files.secret.key or TOKEN, "path": TOKEN}]
        name = _secret_volume(files.secret)
        volumes[name] = {"name": name, "secret": source}
    return list(volumes.values())


def _secret_mounts(fetched: tuple[ModelFiles, ...]) -> list[Manifest]:
    secrets = dict.fromkeys(files.secret for files in fetched if files.secret is not None)
    return [
        {"name": _secret_volume(secret), "mountPath": _secret_folder(secret), "readOnly": True} for secret in secrets
    ]


def _secret_folder(secret: SecretReference) -> str:
    return f"{SECRETS}/{_secret_volume(secret)}"


def _secret_volume(secret: SecretReference) -> str:
    return f"secret-{digest({'name': secret.name, 'key': secret.key})}"

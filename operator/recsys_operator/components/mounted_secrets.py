"""Users' secrets in pods: always as files, which the kubelet keeps fresh, so that the operator never reads one."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from recsys_gateway.config import Role

from recsys_operator.api.models import Model
from recsys_operator.api.recommender_system import RecommenderSystem
from recsys_operator.api.workload import SecretReference
from recsys_operator.components.manifest import Manifest
from recsys_operator.components.model_identity import by_role

SECRETS = Path("/etc/recsys/secrets")
KEYS = SECRETS / "keys"
ADMIN_KEYS = SECRETS / "admin-keys"
TOKEN = "token"  # noqa: S105  the name of a key and of a file
"""Key of a secret that holds one token, where the resource names no key; and the file that the token becomes."""


class MountedSecret(NamedTuple):
    """The secret ``name`` in ``directory`` of a container: all its keys as files, or one alone as the file TOKEN.

    ``volume`` is its name in the pod.
    """

    volume: str
    directory: Path
    name: str
    key: str | None

    @property
    def file(self) -> Path:
        return self.directory / TOKEN

    def as_volume(self) -> Manifest:
        source: Manifest = {"secretName": self.name, "defaultMode": 0o440}
        if self.key is not None:
            source["items"] = [{"key": self.key, "path": TOKEN}]
        return {"name": self.volume, "secret": source}

    def as_mount(self) -> Manifest:
        return {"name": self.volume, "mountPath": str(self.directory), "readOnly": True}


def token_secret(volume: str, directory: Path, reference: SecretReference) -> MountedSecret:
    return MountedSecret(volume, directory, reference.name, reference.key or TOKEN)


def engine_key(role: Role, model: Model) -> MountedSecret | None:
    """The key of an engine that somebody else runs. (The token of a hub goes to the pods that download.)"""
    reference = model.model.token_secret_ref
    if reference is None or not model.model.is_external:
        return None
    return token_secret(f"engine-{role}", SECRETS / f"engine-{role}", reference)


def engine_key_file(role: Role, model: Model) -> Path | None:
    secret = engine_key(role, model)
    return secret.file if secret else None


def gateway_secrets(system: RecommenderSystem) -> list[MountedSecret]:
    """What the gateway alone is given: its clients' keys, and the keys of external engines."""
    found = []
    if auth := system.spec.gateway.auth:
        found.append(MountedSecret("keys", KEYS, auth.secret_ref.name, None))
        if auth.admin_secret_ref:
            found.append(MountedSecret("admin-keys", ADMIN_KEYS, auth.admin_secret_ref.name, None))
    engines = [engine_key(role, model) for role, model in by_role(system.spec.models).items()]
    return [*found, *(secret for secret in engines if secret)]

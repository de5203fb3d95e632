"""Where the files of a model lie in a pod.

Engines never reach out: our own init container fetches a model into a folder of the cache, or of the pod itself where
there is no cache, and the engine is given that path. So one way of fetching serves every engine, and no token, proxy or
certificate has to reach an image of somebody else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from recsys_operator.api.models import ModelSource
from recsys_operator.api.recommender_system import RecommenderSystem
from recsys_operator.api.workload import SecretReference
from recsys_operator.components.labels import child_name, digest
from recsys_operator.components.manifest import Manifest

MODELS = "/models"
"""Mount path of the volume that fetched models lie in."""
CLAIMS = "/claims"
"""Below it each volume claim of a pvc:// address is mounted by its own name."""
VOLUME = "models"

_FETCHED = ("hf://", "s3://")
_NO_SLUG = re.compile(r"[^a-z0-9]+")


class Format(StrEnum):
    """What an engine reads: a folder as transformers saves it, one GGUF file, an ONNX encoder with its tokenizer."""

    TRANSFORMERS = "transformers"
    GGUF = "gguf"
    ENCODER = "encoder"


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """One model, or one adapter, in the format that its engine reads. ``secret`` opens the hub or the bucket."""

    uri: str
    format: Format
    revision: str | None = None
    secret: SecretReference | None = None

    @property
    def fetched(self) -> bool:
        """Whether it must be brought from elsewhere; else it is in the image or in a volume already."""
        return self.uri.startswith(_FETCHED)

    @property
    def claim(self) -> str | None:
        """The volume claim that it lies in, of ``pvc://CLAIM/PATH``."""
        return _rest(self.uri).partition("/")[0] if self.uri.startswith("pvc://") else None

    @property
    def folder(self) -> str:
        """Where it is fetched to: told by content, so that another revision comes to lie beside the first."""
        content = {"uri": self.uri, "revision": self.revision, "format": self.format}
        slug = _NO_SLUG.sub("-", _rest(self.uri).lower()).strip("-")[:40].strip("-")
        return f"{MODELS}/{slug}-{digest(content)}"

    @property
    def path(self) -> str:
        """What the engine is given."""
        if self.fetched:
            return f"{self.folder}/model.gguf" if self.format is Format.GGUF else self.folder
        if self.claim is not None:
            return f"{CLAIMS}/{_rest(self.uri)}".rstrip("/")
        return self.uri if self.uri.startswith("sample://") else _rest(self.uri)


def model_files(source: ModelSource, form: Format) -> ModelFiles:
    return ModelFiles(source.uri, form, source.revision, source.token_secret_ref)


def adapter_files(source: ModelSource, form: Format) -> tuple[ModelFiles, ...]:
    """Of the model's adapters. A revision is the model's own; the token is for both."""
    return tuple(ModelFiles(uri, form, None, source.token_secret_ref) for uri in source.adapters)


def fetched_once(wanted: Iterable[ModelFiles]) -> tuple[ModelFiles, ...]:
    """Those that must be fetched, one of each folder."""
    return tuple({files.folder: files for files in wanted if files.fetched}.values())


def cache_claim(system: RecommenderSystem) -> str | None:
    """Name of the claim of the model cache, where the resource asks for one."""
    return None if system.spec.model_cache is None else child_name(system, "model-cache")


def claim_volumes(wanted: Iterable[ModelFiles]) -> list[Manifest]:
    """Users' own volumes, never written to."""
    return [
        {"name": _claim_volume(claim), "persistentVolumeClaim": {"claimName": claim, "readOnly": True}}
        for claim in _claims(wanted)
    ]


def claim_mounts(wanted: Iterable[ModelFiles]) -> list[Manifest]:
    return [
        {"name": _claim_volume(claim), "mountPath": f"{CLAIMS}/{claim}", "readOnly": True} for claim in _claims(wanted)
    ]


def read_mounts(wanted: tuple[ModelFiles, ...]) -> list[Manifest]:
    """Mounts of the container that reads ``wanted``."""
    models = {"name": VOLUME, "mountPath": MODELS, "readOnly": True}
    return [*([models] if fetched_once(wanted) else []), *claim_mounts(wanted)]


def _claims(wanted: Iterable[ModelFiles]) -> list[str]:
    return list(dict.fromkeys(files.claim for files in wanted if files.claim is not None))


def _claim_volume(claim: str) -> str:
    return f"claim-{digest(claim)}"


def _rest(uri: str) -> str:
    return uri.partition("://")[2]

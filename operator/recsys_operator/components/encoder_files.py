"""The files of the text encoder in the pods that read them: the embedder's own, and those that only need its tokenizer.

They lie in the model cache where several pods may mount it, and else in the pod itself: a read-write-once cache belongs
to the model's one pod, and a gateway that waited for that volume might never start.
"""

from __future__ import annotations

from recsys_operator.api.platform import AccessMode
from recsys_operator.api.recommender_system import RecommenderSystem
from recsys_operator.api.retrieval import EmbedderEngineType
from recsys_operator.components.manifest import Manifest
from recsys_operator.components.model_fetch import fetch_container, fetch_init_containers, fetch_volumes
from recsys_operator.components.model_files import VOLUME, Format, ModelFiles, model_files, read_mounts
from recsys_operator.components.pod_template import outbound_init_containers, outbound_volumes

_SCRATCH: Manifest = {"name": "fetch-tmp", "emptyDir": {}}


def encoder_files(system: RecommenderSystem) -> ModelFiles:
    embedder = system.spec.embedder
    is_tei = embedder.engine.type is EmbedderEngineType.TEI
    return model_files(embedder.model, Format.TRANSFORMERS if is_tei else Format.ENCODER)


def tokenizer_containers(system: RecommenderSystem) -> list[Manifest]:
    """Init containers of a pod that embeds by Triton: texts become numbers there, and vectors are Triton's.

    The sample's tokenizer comes with the gateway's image; other embedders take texts.
    """
    if not _reads_tokenizer(system):
        return outbound_init_containers(system)
    return fetch_init_containers(system, (encoder_files(system),)) or outbound_init_containers(system)


def tokenizer_volumes(system: RecommenderSystem) -> list[Manifest]:
    if not _reads_tokenizer(system):
        return outbound_volumes(system)
    return _with_certificates(system, _volumes(system, encoder_files(system)))


def tokenizer_mounts(system: RecommenderSystem) -> list[Manifest]:
    return read_mounts((encoder_files(system),)) if _reads_tokenizer(system) else []


def encoder_containers(system: RecommenderSystem) -> list[Manifest]:
    """Init containers of the embedder's own pods. A sample is copied out of our image."""
    files = encoder_files(system)
    if system.spec.embedder.model.is_sample:
        return [*outbound_init_containers(system), fetch_container(system, files, "copy-sample")]
    return fetch_init_containers(system, (files,))


def encoder_volumes(system: RecommenderSystem) -> list[Manifest]:
    if system.spec.embedder.model.is_sample:
        return _with_certificates(system, [{"name": VOLUME, "emptyDir": {}}, _SCRATCH])
    return _volumes(system, encoder_files(system))


def encoder_mount(system: RecommenderSystem, folder: str) -> Manifest:
    """The encoder, and nothing else of the volume that it lies in, at ``folder``."""
    files = encoder_files(system)
    if files.claim is not None:
        (mount,) = read_mounts((files,))
        inside = files.path.removeprefix(mount["mountPath"]).strip("/")
        return {**mount, "mountPath": folder, **({"subPath": inside} if inside else {})}
    inside = files.folder.rpartition("/")[2]
    return {"name": VOLUME, "mountPath": folder, "subPath": inside, "readOnly": True}


def _reads_tokenizer(system: RecommenderSystem) -> bool:
    embedder = system.spec.embedder
    return embedder.engine.type is EmbedderEngineType.TRITON and not embedder.model.is_sample


def _volumes(system: RecommenderSystem, files: ModelFiles) -> list[Manifest]:
    cache = system.spec.model_cache
    shared = cache is not None and cache.access_mode is not AccessMode.READ_WRITE_ONCE
    own: Manifest = {"name": VOLUME, "emptyDir": {}}
    return [volume if shared or volume["name"] != VOLUME else own for volume in fetch_volumes(system, (files,))]


def _with_certificates(system: RecommenderSystem, volumes: list[Manifest]) -> list[Manifest]:
    there = {volume["name"] for volume in volumes}
    return [*volumes, *(volume for volume in outbound_volumes(system) if volume["name"] not in there)]

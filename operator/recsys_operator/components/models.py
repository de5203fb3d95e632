"""All children of a system's language models, in the order of applying: files, addresses, pods, what scales them."""

from __future__ import annotations

from collections.abc import Iterable

from recsys_gateway.config import EngineType, Track

from recsys_operator.api.recommender_system import RecommenderSystem
from recsys_operator.components.autoscaling import autoscalers, autoscaling_notes
from recsys_operator.components.canary import ModelPool, model_pools
from recsys_operator.components.disruption_budget import disruption_budget
from recsys_operator.components.manifest import Manifest
from recsys_operator.components.model_cache import model_cache
from recsys_operator.components.model_deployment import model_deployment, pool_files
from recsys_operator.components.model_service import model_service
from recsys_operator.components.note import Note
from recsys_operator.components.observed import Observed

_GGUF_ENGINES = (EngineType.LLAMA_CPP, EngineType.OLLAMA)


def model_manifests(system: RecommenderSystem, observed: Observed) -> list[Manifest]:
    """The model cache with its Job; of every pool the Service, the Deployment, the budget, the autoscaler."""
    pools = list(model_pools(system, observed))
    return [
        *model_cache(system, tuple(files for pool in pools for files in pool_files(pool))),
        *(model_service(system, pool) for pool in pools),
        *(model_deployment(system, pool, observed) for pool in pools),
        *(
            disruption_budget(system, pool.name, pool.labels(system), pool.selector(system))
            for pool in pools
            if pool.track is Track.STABLE
        ),
        *autoscalers(system, pools, observed),
    ]


def notes(system: RecommenderSystem, observed: Observed) -> list[Note]:
    """What of the models' settings cannot be as it is asked for."""
    pools = list(model_pools(system, observed))
    return [*autoscaling_notes(system, pools, observed), *_source_notes(pools)]


def _source_notes(pools: Iterable[ModelPool]) -> Iterable[Note]:
    """One line a model and problem: its pools share it."""
    found: dict[Note, None] = {}
    for pool in pools:
        uri, engine = pool.source.uri, pool.model.engine.type
        if pool.source.is_sample or uri.startswith("sample://"):
            continue
        where = f"spec.models.{pool.role}"
        if engine in _GGUF_ENGINES and uri.startswith(("pvc://", "file://")) and not uri.endswith(".gguf"):
            message = (
                f"{where}: {engine} reads one GGUF file: let the address end in its name, such as {uri}/model.gguf"
            )
            found[Note("NotOneFile", message)] = None
        if engine not in _GGUF_ENGINES and uri.endswith(".gguf"):
            message = f"{where}: {engine} reads no GGUF file but a folder of transformers: set engine.type to LlamaCpp"
            found[Note("WrongFormat", message)] = None
    return found

"""Which processes a system is on this machine, and its gateway's configuration. Pure: paths and ports are given."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from pydantic import AnyHttpUrl
from recsys_gateway.catalog.source import CatalogSource
from recsys_gateway.config import (
    Balancing,
    CallTimeouts,
    Endpoint,
    EngineType,
    GatewayConfig,
    InProcessEmbedder,
    Role,
    ServedModel,
    VectorStore,
)
from recsys_gateway.config import Pool as ServedPool

from recsys_operator.api.models import Model
from recsys_operator.api.recommender_system import RecommenderSystem, RecommenderSystemSpec, ResourceError
from recsys_operator.components.model_identity import by_role, served_names
from recsys_operator.local.catalog_job import OnError
from recsys_operator.local.milvus_files import discard_index_files
from recsys_operator.local.resolve import ExternalEngine, ModelFile, NotTunedYet, ResolvedFiles
from recsys_operator.local.state import DataDirectory, RunningModel

LOCALHOST = "127.0.0.1"
DEFAULT_SLOTS = 2
MOST_SLOTS = 4
"""A pool's slots are those of a GPU; here each costs memory for its context and shares the same few cores."""
CONTEXT_TOKENS = 4096
SAMPLE_TIMEOUTS = CallTimeouts(first_byte_seconds=5)
"""Sample models begin within milliseconds: one that hangs is soon known, and the answer goes without it."""
QUIET = {"ORT_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "PYTHONUNBUFFERED": "1"}


@dataclass(frozen=True, slots=True)
class HttpHealth:
    """Healthy once a GET of ``url`` answers 200."""

    url: str


@dataclass(frozen=True, slots=True)
class TcpHealth:
    """Healthy once somebody listens on ``port`` of this machine."""

    port: int


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """One child process. ``environment`` is added to the supervisor's own; ``stop_signal`` asks it to end well.

    ``before_start`` runs before each start, the first one and those after a death.
    """

    name: str
    argv: tuple[str, ...]
    port: int
    health: HttpHealth | TcpHealth
    log: Path
    environment: Mapping[str, str] = field(default_factory=lambda: dict(QUIET))
    stop_signal: signal.Signals = signal.SIGTERM
    start_seconds: float = 60
    before_start: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class Ports:
    gateway: int
    milvus: int
    engines: Mapping[Role, int]


@dataclass(frozen=True, slots=True)
class LocalPlan:
    """``backing`` may start side by side; the gateway starts when they are up and the catalogue is loaded.

    ``notes`` are lines for the user: what is different here from a cluster; ``on_error`` is what a bad row does.
    """

    backing: tuple[ProcessSpec, ...]
    gateway: ProcessSpec
    config: GatewayConfig
    catalog: CatalogSource
    url: str
    models: tuple[RunningModel, ...]
    vector_store: VectorStore
    notes: tuple[str, ...]
    on_error: OnError = "stop"


def plan(
    system: RecommenderSystem,
    files: ResolvedFiles,
    ports: Ports,
    directory: DataDirectory,
    host: str,
    source: Path,
    *,
    program: str = "recsys",
) -> LocalPlan:
    """The local form of ``system``. Messages name ``source``, the resource's file, and ``program``, the command.

    Raises:
        ResourceError: no language model is left to run.
    """
    spec = system.spec
    served = _served_models(spec, files, ports)
    if not served:
        raise ResourceError(
            f"{source}: spec.models: the tuned model is not made yet and there is no base model; "
            f"make it with: {program} finetune -f {source}"
        )
    backing = [_milvus(directory, ports.milvus)] if spec.vector_store.managed is not None else []
    for model in served:
        place = files.models[model.role]
        if isinstance(place, ModelFile):
            backing.append(_engine(model, place.path, ports.engines[model.role], directory))
    store = _vector_store(spec, ports)
    config = GatewayConfig(
        models=tuple(served),
        admission=spec.gateway.admission,
        balancing=Balancing.model_validate(spec.gateway.balancing.model_dump()),
        cors=spec.gateway.cors,
        tracing=spec.gateway.tracing,
        embedder=InProcessEmbedder(path=files.embedder),
        vector_store=store,
        recommendation=spec.recommendation,
    )
    return LocalPlan(
        backing=tuple(backing),
        gateway=_gateway(directory, host, ports.gateway),
        config=config,
        catalog=files.catalog,
        url=f"http://{reachable(host)}:{ports.gateway}",
        models=tuple(RunningModel(role=model.role, name=model.name, sample=model.sample) for model in served),
        vector_store=store,
        notes=tuple(_notes(spec, files, f"{program} finetune -f {source}")),
    )


def reachable(host: str) -> str:
    """The host that a client on this machine writes for a server that listens on ``host``."""
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - compared, not listened on
        return LOCALHOST
    return f"[{host}]" if ":" in host else host


def _served_models(spec: RecommenderSystemSpec, files: ResolvedFiles, ports: Ports) -> list[ServedModel]:
    models = {
        role: model for role, model in by_role(spec.models).items() if not isinstance(files.models[role], NotTunedYet)
    }
    names = served_names(models)
    return [_served_model(role, names[role], model, files, ports) for role, model in models.items()]


def _served_model(role: Role, name: str, model: Model, files: ResolvedFiles, ports: Ports) -> ServedModel:
    place = files.models[role]
    pool = model.pools[0]
    if isinstance(place, ExternalEngine):
        # Ollama serves OpenAI's API too.
        engine, url, slots = EngineType.OPENAI, place.url, pool.slots
    else:
        engine, url = EngineType.LLAMA_CPP, f"http://{LOCALHOST}:{ports.engines[role]}"
        slots = min(pool.slots or DEFAULT_SLOTS, MOST_SLOTS)
    endpoints = (Endpoint(url=AnyHttpUrl(url)),)
    served_pool = ServedPool(name=pool.name, weight=pool.weight, slots=slots, endpoints=endpoints)
    return ServedModel(
        name=name,
        role=role,
        engine=engine,
        pools=(served_pool,),
        timeouts=SAMPLE_TIMEOUTS if model.model.is_sample else CallTimeouts(**model.timeouts.model_dump()),
        sample=model.model.is_sample,
    )


def _vector_store(spec: RecommenderSystemSpec, ports: Ports) -> VectorStore:
    external = spec.vector_store.external
    if external is None:
        return VectorStore(uri=AnyHttpUrl(f"http://{LOCALHOST}:{ports.milvus}"))
    return VectorStore(uri=external.uri, token_env="MILVUS_TOKEN" if external.secret_ref else None)


def _milvus(directory: DataDirectory, port: int) -> ProcessSpec:
    options = ("--data-dir", str(directory.milvus), "--host", LOCALHOST, "--port", str(port))
    return ProcessSpec(
        name="milvus",
        argv=(sys.executable, "-m", "recsys_operator.local.milvus_process", *options),
        port=port,
        health=TcpHealth(port),
        log=directory.log("milvus"),
        # Its orderly shutdown hangs on this one.
        stop_signal=signal.SIGINT,
        before_start=partial(discard_index_files, directory.milvus),
    )


def _engine(model: ServedModel, path: Path, port: int, directory: DataDirectory) -> ProcessSpec:
    name = f"engine-{model.role}"
    options = ("--model", str(path), "--alias", model.name, "--port", str(port))
    sizes = ("--slots", str(model.pools[0].slots), "--context", str(CONTEXT_TOKENS))
    return ProcessSpec(
        name=name,
        argv=(sys.executable, "-m", "recsys_operator.local.engine_process", *options, *sizes),
        port=port,
        health=HttpHealth(f"http://{LOCALHOST}:{port}/health"),
        log=directory.log(name),
        # Gigabytes may have to be read from a slow disk.
        start_seconds=600,
    )


def _gateway(directory: DataDirectory, host: str, port: int) -> ProcessSpec:
    options = ("--config", str(directory.gateway_config), "--host", host, "--port", str(port))
    return ProcessSpec(
        name="gateway",
        argv=(sys.executable, "-m", "recsys_gateway.main", *options),
        port=port,
        health=HttpHealth(f"http://{reachable(host)}:{port}/healthz"),
        log=directory.log("gateway"),
    )


def _notes(spec: RecommenderSystemSpec, files: ResolvedFiles, finetune: str) -> list[str]:
    notes = []
    models = {Role.TUNED: spec.models.tuned, Role.BASE: spec.models.base}
    local = [model for role, model in models.items() if model and isinstance(files.models[role], ModelFile)]
    others = sorted({model.engine.type.value for model in local} - {EngineType.LLAMA_CPP.value})
    if others:
        notes.append(f"On one machine llama.cpp runs the models, in place of {', '.join(others)}.")
    samples = [role.value for role, model in models.items() if model and model.model.is_sample]
    if samples:
        notes.append(f"Sample models: {', '.join(samples)}. They are tiny; --base and --tuned take real ones.")
    if isinstance(files.models.get(Role.TUNED), NotTunedYet):
        notes.append(
            "No tuned model yet: lists keep the order of retrieval. "
            f"Make it (about 8 minutes on a CPU), then start again: {finetune}"
        )
    ignored = [name for name, is_set in _cluster_only(spec).items() if is_set]
    if ignored:
        notes.append(f"Only in a cluster: {', '.join(ignored)}.")
    return notes


def _cluster_only(spec: RecommenderSystemSpec) -> Mapping[str, bool]:
    """Fields with an effect in a cluster alone, and whether this system sets them."""
    models = [model for model in (spec.models.tuned, spec.models.base) if model is not None]
    return {
        "spec.paused": spec.paused,
        "spec.gateway.auth": spec.gateway.auth is not None,
        "spec.prometheus": spec.prometheus is not None,
        "spec.models.*.model.tokenSecretRef": any(model.model.token_secret_ref for model in models),
        "spec.models.*.canary": any(model.canary for model in models),
        "spec.models.*.engine.args": any(model.engine.args for model in models),
        "further pools": any(len(model.pools) > 1 for model in models),
        "spec.fineTuning.schedule": spec.fine_tuning.schedule is not None,
    }

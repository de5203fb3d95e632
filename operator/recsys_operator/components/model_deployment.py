"""The Deployment of a pool: the engine's pods, their probes, their files and their end."""

from __future__ import annotations

import math
from typing import Any

from recsys_gateway.config import EngineType

from recsys_operator.api.platform import AccessMode
from recsys_operator.api.recommender_system import RecommenderSystem
from recsys_operator.components.autoscaling import fewest_replicas
from recsys_operator.components.canary import COMPONENT, ModelPool
from recsys_operator.components.engines.engine import PORT, Engine, EngineRun, gpus, whole
from recsys_operator.components.engines.registry import engine_of
from recsys_operator.components.labels import metadata, selector
from recsys_operator.components.manifest import Manifest
from recsys_operator.components.model_fetch import TMP, fetch_init_containers, fetch_volumes
from recsys_operator.components.model_files import (
    ModelFiles,
    adapter_files,
    cache_claim,
    fetched_once,
    model_files,
    read_mounts,
)
from recsys_operator.components.model_identity import adapter_name, by_role, served_names
from recsys_operator.components.observed import Observed
from recsys_operator.components.pod_template import (
    BASELINE_CONTAINER,
    RESTRICTED_CONTAINER,
    baseline_pod,
    container_resources,
    outbound_checksum,
    placed,
    pull_secrets,
    restricted_pod,
)
from recsys_operator.components.release import image

CONTAINER = "engine"
PORT_NAME = "http"

LEAVE_SECONDS = 5
"""Between a pod's end being decided and the engine being told: gateways hear of it first and send nothing more."""
GRACE_SECONDS = 10
"""Beyond the drain, for the engine to end before it is killed."""
FETCH_SECONDS = 1800
"""Beyond the start-up, for a download: until then a rollout does not count as stuck."""
_PROBE_PERIOD = 10


def model_deployment(system: RecommenderSystem, pool: ModelPool, observed: Observed) -> Manifest:
    rollout = pool.model.rollout
    spec: Manifest = {
        **_replicas(system, pool, observed),
        "revisionHistoryLimit": 3,
        "progressDeadlineSeconds": pool.model.startup_timeout_seconds + FETCH_SECONDS,
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": rollout.max_surge, "maxUnavailable": rollout.max_unavailable},
        },
        "selector": {"matchLabels": pool.selector(system)},
        "template": _template(system, pool, observed),
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(system, pool.name, pool.labels(system)),
        "spec": spec,
    }


def pool_files(pool: ModelPool) -> tuple[ModelFiles, ...]:
    """What the pool's pods read: the model, then its adapters."""
    form = engine_of(pool.source, pool.model.engine).format
    return (model_files(pool.source, form), *adapter_files(pool.source, form))


def _replicas(system: RecommenderSystem, pool: ModelPool, observed: Observed) -> Manifest:
    """Left out once an autoscaler has written the scale: before that, leaving it out would mean one pod."""
    scaling = pool.settings.scaling
    if scaling is None:
        return {"replicas": 1 if pool.settings.replicas is None else pool.settings.replicas}
    return {} if pool.name in observed.autoscaled else {"replicas": fewest_replicas(system, scaling, observed)}


def _template(system: RecommenderSystem, pool: ModelPool, observed: Observed) -> Manifest:
    files = pool_files(pool)
    template: Manifest = {
        "metadata": {
            "labels": pool.labels(system),
            **_annotations(system, files, observed),
        },
        "spec": _pod(system, pool, files),
    }
    return placed(template, pool.settings)


def _annotations(system: RecommenderSystem, files: tuple[ModelFiles, ...], observed: Observed) -> Manifest:
    checksum = outbound_checksum(system, observed) if fetched_once(files) else {}
    return {"annotations": checksum} if checksum else {}


def _pod(system: RecommenderSystem, pool: ModelPool, files: tuple[ModelFiles, ...]) -> Manifest:
    engine = engine_of(pool.source, pool.model.engine)
    run = _run(system, pool, files)
    context = RESTRICTED_CONTAINER if engine.restricted else BASELINE_CONTAINER
    mounts = read_mounts(files)
    own = engine.container(run)
    shared_memory = pool.settings.shared_memory
    volumes = [*fetch_volumes(system, files), *engine.volumes(), {"name": "tmp", "emptyDir": {}}]
    mounts = [*mounts, *own.get("volumeMounts", []), {"name": "tmp", "mountPath": TMP}]
    if shared_memory is not None:
        volumes.append({"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": shared_memory}})
        mounts.append({"name": "shm", "mountPath": "/dev/shm"})  # noqa: S108 in a pod
    container: Manifest = {
        "name": CONTAINER,
        "image": _image(system, pool, engine, run),
        **{key: own[key] for key in ("command", "args") if key in own},
        "env": _environment(own.get("env", []), pool),
        "ports": [{"name": PORT_NAME, "containerPort": PORT, "protocol": "TCP"}],
        **container_resources(pool.settings.resources),
        **_probes(engine, pool.model.startup_timeout_seconds),
        **_pre_stop(engine, pool.model.drain_seconds),
        "securityContext": context,
        "volumeMounts": mounts,
    }
    created = [
        {
            **each,
            "image": _image(system, pool, engine, run),
            "securityContext": context,
            "volumeMounts": [*read_mounts(files), *each["volumeMounts"]],
        }
        for each in engine.init_containers(run)
    ]
    before = [*fetch_init_containers(system, files), *created]
    return {
        "automountServiceAccountToken": False,
        # A Service called vllm would set VLLM_PORT, which the engine takes for its own.
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": LEAVE_SECONDS + pool.model.drain_seconds + GRACE_SECONDS,
        "securityContext": restricted_pod() if engine.restricted else baseline_pod(),
        **pull_secrets(system),
        **_neighbours(system, pool, files),
        **({"initContainers": before} if before else {}),
        "containers": [container],
        "volumes": volumes,
    }


def _run(system: RecommenderSystem, pool: ModelPool, files: tuple[ModelFiles, ...]) -> EngineRun:
    engine, resources = pool.model.engine, pool.settings.resources
    cores = resources.limits.get("cpu", resources.requests.get("cpu"))
    return EngineRun(
        # The canary's pods answer to the name of the model that they may replace.
        name=served_names(by_role(system.spec.models))[pool.role],
        path=files[0].path,
        adapters={adapter_name(uri): each.path for uri, each in zip(pool.source.adapters, files[1:], strict=True)},
        slots=pool.settings.slots,
        context_tokens=engine.context_tokens,
        batch_tokens=engine.batch_tokens,
        gpus=gpus(resources),
        cpus=None if cores is None else whole(cores),
        drain_seconds=pool.model.drain_seconds,
        args=() if _replaced(pool) else engine.args,
    )


def _replaced(pool: ModelPool) -> bool:
    """A sample model runs on llama.cpp whatever ``engine.type`` says: settings of another engine are not for it."""
    return pool.source.is_sample and pool.model.engine.type is not EngineType.LLAMA_CPP


def _image(system: RecommenderSystem, pool: ModelPool, engine: Engine, run: EngineRun) -> str:
    given = None if _replaced(pool) else pool.model.engine.image
    return image(system, engine.image(run) if given is None else given)


def _environment(own: list[Manifest], pool: ModelPool) -> list[Manifest]:
    """The engine's variables, then the resource's: of two with one name the later stands."""
    given: dict[str, Manifest] = {each["name"]: each for each in own}
    for variable in () if _replaced(pool) else pool.model.engine.env:
        value: dict[str, Any] = (
            {"value": variable.value} if variable.value_from is None else {"valueFrom": dict(variable.value_from)}
        )
        given[variable.name] = {"name": variable.name, **value}
    return list(given.values())


def _probes(engine: Engine, startup_seconds: int) -> Manifest:
    """Loading may take all of ``startup_seconds``; a busy engine has minutes before it is taken for dead."""
    health = engine.health
    get: Manifest = {
        "httpGet": {"path": health.path, "port": PORT_NAME},
        "timeoutSeconds": health.timeout_seconds,
    }
    started, attempts = get, max(1, math.ceil(startup_seconds / _PROBE_PERIOD))
    if health.started:
        # It loads the model itself: one try takes as long as loading, those before the server listens fail at once.
        started, attempts = {"exec": {"command": list(health.started)}, "timeoutSeconds": startup_seconds}, 6
    return {
        "startupProbe": {**started, "periodSeconds": _PROBE_PERIOD, "failureThreshold": attempts},
        "readinessProbe": {**get, "periodSeconds": 5, "failureThreshold": 3},
        "livenessProbe": {**get, "periodSeconds": 30, "failureThreshold": 6},
    }


def _pre_stop(engine: Engine, drain_seconds: int) -> Manifest:
    """An engine that drains is told once no new call can come; one that cuts its streams only after their time."""
    if drain_seconds == 0:
        return {}
    seconds = LEAVE_SECONDS if engine.drains else LEAVE_SECONDS + drain_seconds
    return {"lifecycle": {"preStop": {"sleep": {"seconds": seconds}}}}


def _neighbours(system: RecommenderSystem, pool: ModelPool, files: tuple[ModelFiles, ...]) -> Manifest:
    """Spread over nodes; but beside each other where they share a volume that only one node can mount."""
    cache = system.spec.model_cache
    shared = cache_claim(system) is not None and bool(fetched_once(files))
    if cache is not None and shared and cache.access_mode is AccessMode.READ_WRITE_ONCE:
        term = {
            "labelSelector": {"matchLabels": selector(system, COMPONENT)},
            "topologyKey": "kubernetes.io/hostname",
        }
        preferred = [{"weight": 100, "podAffinityTerm": term}]
        return {"affinity": {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}}
    constraint: Manifest = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": pool.selector(system)},
    }
    return {"topologySpreadConstraints": [constraint]}

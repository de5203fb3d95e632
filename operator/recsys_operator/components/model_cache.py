"""The model cache: one volume for the files of all models, and the Job that fills it before pods start."""

from __future__ import annotations

from recsys_operator.api.platform import ModelCache
from recsys_operator.api.recommender_system import DeletionPolicy, RecommenderSystem
from recsys_operator.components.labels import child_name, digest, labels, metadata
from recsys_operator.components.manifest import Manifest
from recsys_operator.components.model_fetch import fetch_containers, fetch_volumes
from recsys_operator.components.model_files import ModelFiles, fetched_once
from recsys_operator.components.pod_template import (
    OUR_USER,
    outbound_init_containers,
    pull_secrets,
    restricted_pod,
)

COMPONENT = "model-cache"
PERMANENT_FAILURE = 2
"""Exit status of the fetching program where another try cannot help: no such model, no permission."""


def model_cache(system: RecommenderSystem, wanted: tuple[ModelFiles, ...]) -> list[Manifest]:
    """The claim, and the Job where there is something to fetch beforehand."""
    cache = system.spec.model_cache
    if cache is None:
        return []
    fetched = fetched_once(wanted)
    jobs = [_prefetch_job(system, fetched)] if cache.prefetch and fetched else []
    return [_claim(system, cache), *jobs]


def _claim(system: RecommenderSystem, cache: ModelCache) -> Manifest:
    owned = system.spec.deletion_policy is DeletionPolicy.DELETE
    spec: Manifest = {
        "accessModes": [cache.access_mode.value],
        "resources": {"requests": {"storage": cache.size}},
    }
    if cache.storage_class_name is not None:
        spec["storageClassName"] = cache.storage_class_name
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata(system, child_name(system, COMPONENT), labels(system, COMPONENT), owned=owned),
        "spec": spec,
    }


def _prefetch_job(system: RecommenderSystem, fetched: tuple[ModelFiles, ...]) -> Manifest:
    """Named by its content, since a Job cannot change. No time to live: a Job that vanishes would be made anew."""
    pod: Manifest = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "restartPolicy": "Never",
        "securityContext": restricted_pod(OUR_USER),
        **pull_secrets(system),
        "initContainers": outbound_init_containers(system),
        "containers": fetch_containers(system, fetched),
        "volumes": fetch_volumes(system, fetched),
    }
    hopeless = {"operator": "In", "values": [PERMANENT_FAILURE]}
    spec: Manifest = {
        "backoffLimit": 6,
        "podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": hopeless}]},
        "template": {"metadata": {"labels": labels(system, COMPONENT)}, "spec": pod},
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata(system, f"{child_name(system, COMPONENT)}-{digest(spec)}", labels(system, COMPONENT)),
        "spec": spec,
    }

"""What the gateway of a system reads: the resource and what was observed, as the gateway's own configuration."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from pydantic import AnyHttpUrl
from recsys_gateway.config import (
    Auth,
    Balancing,
    CallTimeouts,
    Endpoint,
    GatewayConfig,
    PodMetrics,
    PodService,
    Pool,
    PrometheusMetrics,
    Role,
    ServedModel,
    ServiceReference,
)
from recsys_gateway.engines.ranking_modes import ITEM_ALTERNATIVES, engine_arguments

from recsys_operator.api.models import Model
from recsys_operator.api.recommender_system import RecommenderSystem
from recsys_operator.components.canary import ModelPool, model_pools, on_trial
from recsys_operator.components.labels import SYSTEM, digest, pool_labels, selector
from recsys_operator.components.model_identity import adapter_name, by_role, engine_type, served_names
from recsys_operator.components.mounted_secrets import ADMIN_KEYS, KEYS, engine_key_file
from recsys_operator.components.observed import Observed
from recsys_operator.components.retrieval_access import embedder_access, vector_store_access
from recsys_operator.components.yaml_text import yaml_text

COMPONENT = "gateway"


def gateway_config(system: RecommenderSystem, observed: Observed) -> GatewayConfig:
    """The configuration of the gateways of ``system``: pods are found by the Services of their pools."""
    spec = system.spec
    gateway = spec.gateway
    return GatewayConfig(
        models=_models(system, observed),
        admission=gateway.admission,
        balancing=Balancing(
            **gateway.balancing.model_dump(),
            replicas=gateway.replicas,
            gateways=ServiceReference(namespace=_namespace(system), selector=selector(system, COMPONENT)),
        ),
        metrics_source=(
            PrometheusMetrics(type="Prometheus", url=AnyHttpUrl(spec.prometheus.url))
            if spec.prometheus
            else PodMetrics()
        ),
        auth=_auth(system),
        cors=gateway.cors,
        tracing=gateway.tracing,
        embedder=embedder_access(system),
        vector_store=vector_store_access(system),
        recommendation=spec.recommendation,
    )


def config_text(config: GatewayConfig) -> str:
    """``config`` as the gateway reads it, without what it would take as a default."""
    return yaml_text(_plain(config))


def restart_digest(config: GatewayConfig) -> str:
    """Changes with what a gateway takes at its start only; the rest it reads from its file as it runs.

    As ``recsys_gateway.api.runtime`` and ``recsys_gateway.serving.fleet`` have it: a test holds this list to theirs.
    """
    plain = _plain(config)
    fixed = {name: plain.get(name) for name in FIXED_PARTS}
    models = [(model.name, model.role, model.engine) for model in config.models]
    return digest({**fixed, "models": models, "drainSeconds": float(config.admission.drain_seconds)})


FIXED_PARTS = ("embedder", "vectorStore", "recommendation", "auth", "cors", "tracing", "metricsSource")


def _plain(config: GatewayConfig) -> dict[str, Any]:
    return config.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude_none=True)


def _models(system: RecommenderSystem, observed: Observed) -> tuple[ServedModel, ...]:
    models = by_role(system.spec.models)
    names, pools = served_names(models), list(model_pools(system, observed))
    return tuple(
        ServedModel(
            name=names[role],
            role=role,
            engine=engine_type(model),
            pools=(
                (_external_pool(model),)
                if model.model.is_external
                else tuple(_pool(system, pool) for pool in pools if pool.role is role)
            ),
            timeouts=CallTimeouts(start_up_seconds=model.startup_timeout_seconds, **model.timeouts.model_dump()),
            adapters=tuple(map(adapter_name, model.model.adapters)),
            canary_traffic=model.canary.traffic if model.canary and on_trial(role, model, observed) else 0,
            token_budget=model.engine.batch_tokens,
            log_probabilities=_alternatives(role, model),
            api_key_file=engine_key_file(role, model),
            sample=model.model.is_sample,
        )
        for role, model in models.items()
    )


def _alternatives(role: Role, model: Model) -> int | None:
    """Alternatives of a token that the tuned model's engine is started to tell; its own arguments win over ours."""
    ours = engine_arguments(engine_type(model))
    if role is not Role.TUNED or model.model.is_external or not ours:
        return None
    name, own = ours[0], model.engine.args
    told = [after for said, after in pairwise((*own, "")) if said == name]
    told += [said.removeprefix(f"{name}=") for said in own if said.startswith(f"{name}=")]
    return next((int(value) for value in told if value.isdecimal() and int(value)), ITEM_ALTERNATIVES)


def _external_pool(model: Model) -> Pool:
    """Whoever runs the engine balances behind its one address."""
    pool = model.pools[0]
    endpoint = Endpoint(url=AnyHttpUrl(model.model.uri.rstrip("/").removesuffix("/v1")))
    return Pool(name=pool.name, weight=pool.weight, slots=pool.slots, endpoints=(endpoint,))


def _pool(system: RecommenderSystem, pool: ModelPool) -> Pool:
    """Its Service's labels tell which EndpointSlices name its pods."""
    name = pool.settings.name
    labels = {SYSTEM: system.metadata.name, **pool_labels(pool.role, name, pool.track)}
    return Pool(
        name=name,
        weight=pool.settings.weight,
        slots=pool.settings.slots,
        track=pool.track,
        service=PodService(namespace=_namespace(system), selector=labels),
    )


def _auth(system: RecommenderSystem) -> Auth | None:
    auth = system.spec.gateway.auth
    if auth is None:
        return None
    return Auth(keys_directory=KEYS, admin_keys_directory=ADMIN_KEYS if auth.admin_secret_ref else None)


def _namespace(system: RecommenderSystem) -> str:
    return system.metadata.namespace or "default"

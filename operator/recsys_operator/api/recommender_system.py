"""The custom resource ``recsys.io/v1alpha1`` RecommenderSystem, and how a file of it is read."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import yaml
from pydantic import ConfigDict, Field, StringConstraints, ValidationError
from pydantic.alias_generators import to_camel
from recsys_gateway.config import Recommendation, Role
from recsys_gateway.document import Frozen, describe

from recsys_operator.api.gateway import Gateway
from recsys_operator.api.models import Models
from recsys_operator.api.platform import (
    AccessMode,
    FineTuning,
    ModelCache,
    Monitoring,
    NetworkPolicy,
    Prometheus,
    Proxy,
)
from recsys_operator.api.retrieval import Catalog, Embedder, VectorStore
from recsys_operator.api.rules import KeyedBy, Rule, Ruled
from recsys_operator.api.status import RecommenderSystemStatus
from recsys_operator.api.workload import ConfigMapReference, HttpUrl, LocalObjectReference

KIND = "RecommenderSystem"


class ResourceError(ValueError):
    """A resource that cannot be used. ``str()`` is one line a problem, each with the file and the field's path."""


class DeletionPolicy(StrEnum):
    RETAIN = "Retain"
    DELETE = "Delete"


def _one_writer(role: Role) -> Rule:
    model = f"self.models.{role}"
    return Rule(
        f"""!has(self.modelCache) || self.modelCache.accessMode != 'ReadWriteOnce' || !has({model})
|| (has({model}.canary) ? {model}.canary.replicas : 0)
 + {model}.pools.map(p, has(p.scaling) ? p.scaling.maxReplicas : has(p.replicas) ? p.replicas : 1).sum() <= 1""",
        f"modelCache.accessMode ReadWriteOnce is for one pod a model, and models.{role} may have more (its canary "
        "counts too): set it to ReadWriteMany, or keep to one replica in one pool",
        lambda spec: (
            spec.model_cache is None
            or spec.model_cache.access_mode is not AccessMode.READ_WRITE_ONCE
            or role not in spec.models.given
            or spec.models.given[role].most_replicas <= 1
        ),
    )


class RecommenderSystemSpec(Ruled):
    """What a team asks for."""

    paused: bool = Field(default=False, description="The operator leaves the system alone while this is true.")
    deletion_policy: DeletionPolicy = Field(
        default=DeletionPolicy.RETAIN, description="What becomes of the volumes of vector store and model cache."
    )
    image_registry: str = Field(
        default="", max_length=500, description="Replaces the registry of every image, such as registry.example.org/ai."
    )
    image_pull_secrets: Annotated[tuple[LocalObjectReference, ...], KeyedBy(("name",))] = Field(
        default=(), max_length=16, description="For that registry."
    )
    ca_config_map_ref: ConfigMapReference | None = Field(
        default=None, description="PEM certificates that pods trust beside the public ones: an inner registry, a proxy."
    )
    proxy: Proxy | None = Field(default=None, description="Way to the internet for downloads.")
    hf_endpoint: HttpUrl | None = Field(
        default=None, description="Mirror of the Hugging Face hub for hf:// addresses, where the hub is out of reach."
    )
    prometheus: Prometheus | None = Field(default=None, description="Source of metrics and trigger of autoscaling.")
    catalog: Catalog = Field(description="Items, users and interactions.")
    models: Models = Field(description="The language models.")
    embedder: Embedder = Field(description="The text encoder.")
    vector_store: VectorStore = Field(description="Milvus.")
    gateway: Gateway = Field(default=Gateway(), description="The HTTP API.")
    recommendation: Recommendation = Field(default=Recommendation(), description="Defaults of an answer.")
    fine_tuning: FineTuning = Field(default=FineTuning(), description="Training of the tuned model.")
    model_cache: ModelCache | None = Field(default=None, description="Volume of the models' files.")
    monitoring: Monitoring = Field(default=Monitoring(), description="Alerts and dashboards.")
    network_policy: NetworkPolicy = Field(default=NetworkPolicy(), description="Who may reach whom.")

    RULES: ClassVar = (_one_writer(Role.TUNED), _one_writer(Role.BASE))


class Metadata(Frozen):
    """The parts of an object's metadata that recsys reads; what else a cluster puts there is kept out."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)

    name: Annotated[str, StringConstraints(pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", max_length=40)] = Field(
        description="At most 40 characters, so that the names of children fit."
    )
    namespace: str | None = Field(default=None, description="Where it lives in a cluster.")
    uid: str | None = Field(default=None, description="Given by the cluster.")
    generation: int | None = Field(default=None, description="Counts the changes of spec.")


LONGEST_NAMES = 49
"""Of a system and a pool together: ``{system}-tuned-{pool}-canary`` is the name of a Service, 63 characters at most."""


def _names_fit(role: Role) -> Rule:
    model = f"self.spec.models.{role}"
    return Rule(
        f"!has({model}) || {model}.pools.all(p, self.metadata.name.size() + p.name.size() <= {LONGEST_NAMES})",
        f"metadata.name and the name of a pool of models.{role} have more than {LONGEST_NAMES} characters together: "
        "shorten one of them, names of Services are made from both",
        lambda system: (
            role not in system.spec.models.given
            or all(
                len(system.metadata.name) + len(pool.name) <= LONGEST_NAMES
                for pool in system.spec.models.given[role].pools
            )
        ),
    )


class RecommenderSystem(Ruled):
    """One recommender over one catalogue."""

    api_version: Literal["recsys.io/v1alpha1"] = Field(description="Version of this schema.")
    kind: Literal["RecommenderSystem"] = Field(description="Name of this schema.")
    metadata: Metadata = Field(description="Name and place.")
    spec: RecommenderSystemSpec = Field(description="What is asked for.")
    status: RecommenderSystemStatus | None = Field(default=None, description="What is there.")

    RULES: ClassVar = (
        Rule(
            "self.metadata.name.size() <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
            "metadata.name must have at most 40 characters, small letters, digits and -, and begin with a letter: "
            "names of children are made from it",
        ),
        _names_fit(Role.TUNED),
        _names_fit(Role.BASE),
    )


def load_resource(path: Path) -> RecommenderSystem:
    """The one RecommenderSystem among the YAML documents in the file at ``path``.

    Raises:
        ResourceError: the file is absent, is no YAML, holds no or several of them, or a field is wrong.
    """
    found = [document for document in _documents(path) if isinstance(document, dict) and document.get("kind") == KIND]
    if len(found) != 1:
        raise ResourceError(f"{path}: {len(found) or 'no'} documents of kind {KIND}, one is wanted")
    try:
        return RecommenderSystem.model_validate(found[0])
    except ValidationError as error:
        raise ResourceError("\n".join(f"{path}: {line}" for line in describe(error).splitlines())) from None


def _documents(path: Path) -> Iterator[object]:
    try:
        yield from yaml.safe_load_all(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ResourceError(f"{path}: no such file") from None
    except OSError as error:
        raise ResourceError(f"{path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ResourceError(f"{path}: not YAML: {_yaml_problem(error)}") from None


def _yaml_problem(error: Exception) -> str:
    """One line, with the place where it is known; without PyYAML's picture of it."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem and error.problem_mark:
        mark = error.problem_mark
        return f"{error.problem} (line {mark.line + 1}, column {mark.column + 1})"
    return " ".join(str(error).split())

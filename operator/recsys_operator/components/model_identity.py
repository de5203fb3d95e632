"""What a model is called by clients, and which engine really runs it: one answer for a cluster and one machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

from recsys_gateway.config import EngineType, Role

from recsys_operator.api.models import Model, Models


def by_role(models: Models) -> Mapping[Role, Model]:
    """The models that are there; tuned first."""
    wanted = {Role.TUNED: models.tuned, Role.BASE: models.base}
    return {role: model for role, model in wanted.items() if model is not None}


def served_names(models: Mapping[Role, Model]) -> Mapping[Role, str]:
    """What clients ask for, by role. Of two models with one name the second is told by its role."""
    names: dict[Role, str] = {}
    for role, model in models.items():
        name = served_name(model)
        names[role] = f"{name}-{role}" if name in names.values() else name
    return names


def served_name(model: Model) -> str:
    """The given name, else one that the address tells."""
    source = model.model
    if source.name is not None:
        return source.name
    if source.is_external:
        return "default"
    scheme, _, rest = source.uri.partition("://")
    match scheme:
        case "sample":
            return f"sample-{rest}"
        case "hf":
            return rest.split(":")[0]
        case _:
            path = PurePosixPath(rest)
            return path.parent.name if path.stem == "model" and path.parent.name else path.stem


def engine_type(model: Model) -> EngineType:
    """The engine in effect: sample models are GGUF files, which llama.cpp runs whatever ``engine.type`` says."""
    return EngineType.LLAMA_CPP if model.model.is_sample else model.engine.type


def adapter_name(uri: str) -> str:
    """What clients ask for to get an adapter: the last part of its address."""
    return PurePosixPath(uri.partition("://")[2]).name

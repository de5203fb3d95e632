"""From the file and the options of `recsys up` to a plan: everything that can fail before a process is started."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError
from recsys_gateway.config import EngineType, Role

from recsys_operator.api.models import EXTERNAL_SCHEMES, Engine, Model, ModelSource
from recsys_operator.api.recommender_system import RecommenderSystem, ResourceError, load_resource
from recsys_operator.local.catalog_job import OnError
from recsys_operator.local.plan import LocalPlan, Ports, plan
from recsys_operator.local.ports import free_ports
from recsys_operator.local.resolve import Resolver
from recsys_operator.local.state import DataDirectory
from recsys_operator.local.uris import samples_folder
from recsys_operator.program import program


@dataclass(frozen=True, slots=True)
class UpOptions:
    """What the user gave. ``base`` and ``tuned`` replace the ``model.uri`` of the resource.

    ``on_error`` is what a bad row of the catalogue does.
    """

    file: Path
    host: str
    port: int
    base: str | None = None
    tuned: str | None = None
    on_error: OnError = "stop"


def quickstart_file() -> Path:
    """The resource that `recsys up` takes when no file is given."""
    return samples_folder() / "quickstart.yaml"


def read_system(options: UpOptions) -> RecommenderSystem:
    """The resource in the file, with the models that the options name.

    Raises:
        ResourceError: the file or an option is wrong.
    """
    system = load_resource(options.file)
    system = _with_model(system, Role.BASE, options.base)
    return _with_model(system, Role.TUNED, options.tuned)


def prepare(system: RecommenderSystem, options: UpOptions, directory: DataDirectory) -> LocalPlan:
    """The plan of ``system``, with what it fetched from a hub and the ports that it chose.

    Raises:
        ResourceError: a file is absent, an address leads nowhere, or no model is left to run.
    """
    given = {Role.BASE: options.base, Role.TUNED: options.tuned}
    # An address that an option gave is that option's fault, not the file's.
    blamed = {f"spec.models.{role}.model.uri": f"--{role}" for role, uri in given.items() if uri is not None}
    files = Resolver(options.file, samples_folder(), options=blamed).resolve(system)
    milvus, tuned, base = free_ports(3)
    ports = Ports(gateway=options.port, milvus=milvus, engines={Role.TUNED: tuned, Role.BASE: base})
    made = plan(system, files, ports, directory, options.host, options.file, program=program())
    return replace(made, on_error=options.on_error)


def _with_model(system: RecommenderSystem, role: Role, uri: str | None) -> RecommenderSystem:
    """``system`` with another model in ``role``; the rest of that role's settings stays."""
    if uri is None:
        return system
    try:
        source = ModelSource(uri=uri)
    except ValidationError:
        raise ResourceError(
            f"--{role} {uri}: expected file:///PATH/MODEL.gguf, hf://ORG/NAME, sample://{role} or http://HOST:PORT"
        ) from None
    present = system.spec.models.tuned if role is Role.TUNED else system.spec.models.base
    engine = Engine(type=EngineType.OPENAI) if uri.startswith(EXTERNAL_SCHEMES) else Engine()
    model = (
        Model(model=source, engine=engine)
        if present is None
        else present.model_copy(update={"model": source, "engine": engine})
    )
    models = system.spec.models.model_copy(update={role.value: model})
    return system.model_copy(update={"spec": system.spec.model_copy(update={"models": models})})

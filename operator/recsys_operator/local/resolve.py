"""From the addresses in a resource to files on this machine; the first that leads nowhere is told, with its field."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from recsys_gateway.catalog.importers.movielens import DOWNLOAD
from recsys_gateway.catalog.importers.reading import located
from recsys_gateway.catalog.source import CatalogSource, Format, SourceError, TableSource
from recsys_gateway.config import EngineType, Role

from recsys_operator.api.models import Model
from recsys_operator.api.recommender_system import RecommenderSystem, ResourceError
from recsys_operator.api.retrieval import Embedder
from recsys_operator.local.hub import fetch_encoder, fetch_language_model
from recsys_operator.local.uris import UriError, file_path, sample_model_path, sample_table_path


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A GGUF file to serve."""

    path: Path


@dataclass(frozen=True, slots=True)
class ExternalEngine:
    """An engine that somebody else runs; ``url`` is its root, without ``/v1``."""

    url: str


@dataclass(frozen=True, slots=True)
class NotTunedYet:
    """The tuned model's place, which fine-tuning has yet to fill."""

    path: Path


ModelPlace = ModelFile | ExternalEngine | NotTunedYet


@dataclass(frozen=True, slots=True)
class ResolvedFiles:
    """Where everything that a local system reads lies. Addresses in ``catalog`` are all ``file://``."""

    models: Mapping[Role, ModelPlace]
    embedder: Path
    catalog: CatalogSource


@dataclass(frozen=True, slots=True)
class Resolver:
    """``samples`` holds the sample data and models.

    A message opens with ``source``, the resource's file, and the field's path; or with the command's option that gave
    the field, where ``options`` has one under that path.
    """

    source: Path
    samples: Path
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    options: Mapping[str, str] = field(default_factory=dict)

    def resolve(self, system: RecommenderSystem) -> ResolvedFiles:
        """
        Raises:
            ResourceError: a file is absent or an address cannot be served here; one line with the field's path.
        """
        tuned, base = system.spec.models.tuned, system.spec.models.base
        models = {role: model for role, model in ((Role.TUNED, tuned), (Role.BASE, base)) if model is not None}
        # Local files first: a missing one is said before minutes of downloads.
        catalog = self._catalog(system.spec.catalog)
        order = sorted(models, key=lambda role: models[role].model.uri.startswith("hf://"))
        places = {role: self._model(role, models[role], self._made_by_fine_tuning(system, role)) for role in order}
        embedder = self._embedder(system.spec.embedder)
        return ResolvedFiles({role: places[role] for role in models}, embedder, catalog)

    def resolve_catalog(self, system: RecommenderSystem) -> tuple[CatalogSource, Path]:
        """What loading needs alone: the tables, and the embedder's folder. Raises as ``resolve`` does."""
        return self._catalog(system.spec.catalog), self._embedder(system.spec.embedder)

    def _catalog(self, catalog: CatalogSource) -> CatalogSource:
        tables = {"items": catalog.items, "users": catalog.users, "interactions": catalog.interactions}
        return CatalogSource.model_validate({name: self._table(name, table) for name, table in tables.items() if table})

    def _table(self, name: str, table: TableSource) -> TableSource:
        with self._field(f"spec.catalog.{name}.uri"):
            if table.uri.startswith("sample://"):
                path = sample_table_path(table.uri, name, self.samples)
            else:
                path = located(table, self.environment).absolute()
            if not path.exists():
                hint = f"; {DOWNLOAD}" if table.format is Format.MOVIELENS else ""
                raise UriError(f"{path}: no such file or folder{hint}")
        return table.model_copy(update={"uri": f"file://{path}"})

    def _model(self, role: Role, model: Model, made_here: bool) -> ModelPlace:
        source = model.model
        if model.engine.type is EngineType.OLLAMA and not source.is_external:
            with self._field(f"spec.models.{role}.engine.type"):
                raise UriError(
                    "Ollama is not started here: give the address of a running one as model.uri "
                    "(http://127.0.0.1:11434), or another engine.type"
                )
        if source.adapters:
            with self._field(f"spec.models.{role}.model.adapters"):
                raise UriError("adapters are not loaded on one machine yet: merge them into the GGUF file")
        with self._field(f"spec.models.{role}.model.uri"):
            if source.is_external:
                return ExternalEngine(source.uri.rstrip("/").removesuffix("/v1"))
            if source.uri.startswith("hf://"):
                return ModelFile(fetch_language_model(source.uri, source.revision))
            path = sample_model_path(source.uri, self.samples) if source.is_sample else self._file(source.uri)
            if made_here and not path.exists():
                return NotTunedYet(path)
            return ModelFile(_existing(path, ".gguf"))

    def _made_by_fine_tuning(self, system: RecommenderSystem, role: Role) -> bool:
        """Whether the tuned model is one that ``recsys finetune`` writes: its file lies in fineTuning.output."""
        tuning, tuned = system.spec.fine_tuning, system.spec.models.tuned
        if role is not Role.TUNED or tuned is None or not tuning.enabled or tuning.output is None:
            return False
        if not tuning.output.startswith("file://") or not tuned.model.uri.startswith("file://"):
            return False
        with self._field("spec.fineTuning.output"):
            return self._file(tuned.model.uri).is_relative_to(self._file(tuning.output))

    def _embedder(self, embedder: Embedder) -> Path:
        source = embedder.model
        with self._field("spec.embedder.model.uri"):
            if source.is_external:
                raise UriError("on one machine the embedder runs inside the gateway: give sample://, file:// or hf://")
            if source.uri.startswith("hf://"):
                return fetch_encoder(source.uri, source.revision)
            path = sample_model_path(source.uri, self.samples) if source.is_sample else self._file(source.uri)
            if path.is_dir():
                return path
            return _existing(path, ".onnx").parent

    def _file(self, uri: str) -> Path:
        if not uri.startswith("file://"):
            raise UriError(f"{uri}: one machine reads hf://, file:// and sample://")
        return file_path(uri, self.environment)

    @contextmanager
    def _field(self, path: str) -> Iterator[None]:
        try:
            yield
        except (UriError, SourceError) as error:
            raise ResourceError(f"{self.options.get(path) or f'{self.source}: {path}'}: {error}") from None


def _existing(path: Path, suffix: str) -> Path:
    if not path.is_file():
        raise UriError(f"{path}: no such file")
    if path.suffix != suffix:
        raise UriError(f"{path}: not a {suffix} file")
    return path

"""The part of a RecommenderSystem that fine-tuning reads: where its catalogue is, and where the model is to go."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from recsys_gateway.catalog.importers.reading import read_interactions, read_items, read_users
from recsys_gateway.catalog.importers.row_error import RowError
from recsys_gateway.catalog.records import Interaction, Item, User
from recsys_gateway.catalog.source import CatalogSource, Format, SourceError, TableSource, expand
from recsys_gateway.document import describe

from recsys_finetune.evaluation.datasets import Dataset
from recsys_finetune.ranking.catalogue import dataset_of

Record = TypeVar("Record", Item, User, Interaction)

SAMPLE_SHOP = "sample://shop"


class ResourceError(ValueError):
    """A resource that cannot be fine-tuned for; one line a problem, each with the path of its field."""


class _Part(BaseModel):
    """What is not read here is not judged here: ``recsys up`` does that."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


class FineTuning(_Part):
    enabled: bool = True
    output: str = Field(min_length=1)


class Spec(_Part):
    catalog: CatalogSource
    fine_tuning: FineTuning


class Metadata(_Part):
    name: str = Field(min_length=1)


class Resource(_Part):
    metadata: Metadata
    spec: Spec


def read_resource(path: Path) -> Resource:
    """The resource in the YAML file at ``path``.

    Raises:
        ResourceError: the file is absent, is no YAML, or lacks a field that fine-tuning needs.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ResourceError(f"{path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ResourceError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    try:
        resource = Resource.model_validate(document)
    except ValidationError as error:
        raise ResourceError("\n".join(f"{path}: {line}" for line in describe(error).splitlines())) from None
    if not resource.spec.fine_tuning.enabled:
        raise ResourceError(f"{path}: spec.fineTuning.enabled is false")
    if resource.spec.catalog.interactions is None:
        raise ResourceError(f"{path}: spec.catalog.interactions: absent; a tuned model learns from what was chosen")
    return resource


def output_folder(uri: str, environment: Mapping[str, str] = os.environ) -> Path:
    """The folder in ``file://PATH`` of ``spec.fineTuning.output``.

    Raises:
        ResourceError: it is no such address, or a variable in it is not set.
    """
    try:
        text = expand(uri, environment)
    except SourceError as error:
        raise ResourceError(f"spec.fineTuning.output: {error}") from None
    path = Path(text.removeprefix("file://"))
    if not text.startswith("file://") or not path.is_absolute():
        raise ResourceError(f"spec.fineTuning.output: {uri}: on this machine it must be file:// and an absolute path")
    return path


def read_dataset(catalog: CatalogSource, samples: Path | None) -> Dataset:
    """Items, users and interactions of ``catalog``; ``samples`` is the folder that ``sample://`` stands for.

    Raises:
        SourceError: a table cannot be read, or a row of it is wrong.
    """
    items = records(read_items(_resolved(catalog.items, "items", samples)))
    users = records(read_users(_resolved(catalog.users, "users", samples))) if catalog.users else iter(())
    events: Iterator[Interaction] = iter(())
    if catalog.interactions:
        events = records(read_interactions(_resolved(catalog.interactions, "interactions", samples)))
    return dataset_of(items, users, events)


def records(rows: Iterable[Record | RowError]) -> Iterator[Record]:
    """The rows, the first wrong one as an error: a model must not be made from half a catalogue without a word."""
    for row in rows:
        if isinstance(row, RowError):
            raise SourceError(str(row))
        yield row


def _resolved(source: TableSource, table: str, samples: Path | None) -> TableSource:
    if not source.uri.startswith("sample://"):
        return source
    if source.uri != SAMPLE_SHOP:
        raise SourceError(f"{source.uri}: no such sample catalogue; there is {SAMPLE_SHOP}")
    if samples is None:
        raise SourceError(f"{source.uri}: the samples come with the package recsys-operator, which is not installed")
    return TableSource(uri=str(samples / "shop" / f"{table}.csv"), format=Format.CSV)

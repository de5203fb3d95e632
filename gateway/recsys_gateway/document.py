"""A YAML document held to a type: what the configuration, the resource and its tables have in common."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel


class ConfigurationError(ValueError):
    """A configuration that cannot work. ``str()`` is one line a problem, each with the path of its field."""


class Frozen(BaseModel):
    """Base of every node: immutable, camelCase outside, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


Document = TypeVar("Document", bound=Frozen)


def describe(error: ValidationError, root: str = "") -> str:
    """One line a problem: ``path.of.field: what was wrong``."""
    lines = []
    for problem in error.errors(include_url=False):
        path = ".".join(str(part) for part in (root, *problem["loc"]) if part != "")
        given = problem.get("input")
        shown = f" (given: {given!r})" if isinstance(given, str | int | float) else ""
        lines.append(f"{path or 'the document'}: {problem['msg']}{shown}")
    return "\n".join(lines)


def read_document(path: Path, model: type[Document]) -> Document:
    """The ``model`` in the YAML file at ``path``.

    Raises:
        ConfigurationError: the file is absent, is no YAML, or a field is wrong; the message names file and field.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(f"{path}: no such file") from None
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise ConfigurationError("\n".join(f"{path}: {line}" for line in describe(error).splitlines())) from None

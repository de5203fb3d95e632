"""What a field's own bounds cannot say, written once for both judges: an expression for the API server, and Python.

A type lists its rules in ``RULES``. The API server evaluates ``cel`` (``x-kubernetes-validations`` of the custom
resource definition), ``RecommenderSystem.model_validate`` evaluates ``holds``; both answer with ``message``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema
from recsys_gateway.document import Frozen

VALIDATIONS = "x-kubernetes-validations"


class Rule(NamedTuple):
    """``holds`` is None for a change of what runs already, which one file alone cannot show, and for metadata, whose
    own type judges it."""

    cel: str
    message: str
    holds: Callable[[Any], bool] | None = None


class Ruled(Frozen):
    """Base of the types with rules."""

    RULES: ClassVar[Sequence[Rule]] = ()

    @model_validator(mode="after")
    def _rules_hold(self) -> Self:
        for rule in self.RULES:
            if rule.holds is not None and not rule.holds(self):
                raise ValueError(rule.message)
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        found = handler(schema)
        if cls.RULES:
            handler.resolve_ref_schema(found)[VALIDATIONS] = [
                {"rule": rule.cel, "message": rule.message} for rule in cls.RULES
            ]
        return found


@dataclass(frozen=True)
class KeyedBy:
    """Marks a list whose entries are told apart by ``keys``: two with the same ones are refused, and server-side apply
    merges such a list entry by entry."""

    keys: tuple[str, ...]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._all_differ, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        found = handler(schema)
        found |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(self.keys)}
        return found

    def _all_differ(self, entries: tuple[Any, ...]) -> tuple[Any, ...]:
        seen = set()
        for entry in entries:
            key = tuple(str(getattr(entry, name)) for name in self.keys)
            if key in seen:
                raise ValueError(f"two entries have the same {' and '.join(self.keys)}: {', '.join(key)}")
            seen.add(key)
        return entries

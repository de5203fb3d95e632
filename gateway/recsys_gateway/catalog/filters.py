"""Filters of a request: parsed against the fields of the catalogue, as a Milvus expression and as a predicate.

A condition is ``field: value`` (equal; for a field with several values: holds it) or ``field: {gte, lte, gt, lt, in}``.
Conditions are joined by *and*. An item that lacks the field does not pass. Text is compared exactly.
Literals are escaped here: Milvus Lite refuses the templates (``filter_params``) that would do it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from recsys_gateway.catalog.records import Item, Scalar

MAX_VALUES = 100
MAX_TEXT = 2_000

_MATCHES_NOTHING = 'id == ""'
_COLUMNS = frozenset({"id", "title", "categories", "price", "in_stock"})
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})

MAX_NUMBER = 2**53
"""Up to here every whole number is a double, as the store keeps numbers."""


class FilterError(ValueError):
    """A filter that cannot work; the message names the field and what would."""


class FieldKind(StrEnum):
    """What a field holds, and so what it may be compared with."""

    TEXT = "text"
    TEXTS = "texts"
    NUMBER = "number"
    BOOLEAN = "boolean"


ITEM_FIELDS: Mapping[str, FieldKind] = {
    "id": FieldKind.TEXT,
    "title": FieldKind.TEXT,
    "categories": FieldKind.TEXTS,
    "price": FieldKind.NUMBER,
    "in_stock": FieldKind.BOOLEAN,
}
"""The fields that every catalogue has; attributes come on top."""


class Comparison(StrEnum):
    """Orders that a number may be asked to keep. The values are the keys of a request."""

    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"


_SYMBOLS = {Comparison.GT: ">", Comparison.GTE: ">=", Comparison.LT: "<", Comparison.LTE: "<="}
_OPERATORS = ", ".join([*Comparison, "in"])


def kind_of(value: Scalar) -> FieldKind:
    """The kind of a field that holds ``value``."""
    if isinstance(value, bool):
        return FieldKind.BOOLEAN
    return FieldKind.TEXT if isinstance(value, str) else FieldKind.NUMBER


@dataclass(frozen=True, slots=True)
class AnyOf:
    """The field equals one of ``values``, or holds one of them; no values: nothing passes."""

    field: str
    kind: FieldKind
    values: tuple[Scalar, ...]

    def expression(self) -> str:
        if not self.values:
            return _MATCHES_NOTHING
        path, literals = _path(self.field), [literal(value) for value in self.values]
        if self.kind is FieldKind.TEXTS:
            return _either(f"array_contains({path}, {value})" for value in literals)
        # A JSON path cannot stand before "in" on Milvus Lite, so equalities are spelt out.
        return _either(f"{path} == {value}" for value in literals)

    def matches(self, item: Item) -> bool:
        if self.kind is FieldKind.TEXTS:
            return any(value in item.categories for value in self.values)
        value = _value(item, self.field)
        return value is not None and kind_of(value) is self.kind and value in self.values


@dataclass(frozen=True, slots=True)
class Compared:
    """The field is a number on the given side of ``bound``."""

    field: str
    comparison: Comparison
    bound: float

    def expression(self) -> str:
        compared = f"{_path(self.field)} {_SYMBOLS[self.comparison]} {literal(self.bound)}"
        if self.field == "price" and self.comparison in (Comparison.LT, Comparison.LTE):
            return f"({compared} and price >= {-MAX_NUMBER})"  # no price is a very low one on a Milvus without null
        return compared

    def matches(self, item: Item) -> bool:
        value = _value(item, self.field)
        if value is None or isinstance(value, str | bool):
            return False
        match self.comparison:
            case Comparison.GT:
                return value > self.bound
            case Comparison.GTE:
                return value >= self.bound
            case Comparison.LT:
                return value < self.bound
            case Comparison.LTE:
                return value <= self.bound


@dataclass(frozen=True, slots=True)
class Filters:
    """A conjunction of conditions on an item's fields."""

    conditions: tuple[AnyOf | Compared, ...] = ()
    forbidden: tuple[AnyOf | Compared, ...] = ()
    """What an item must not be, none of it."""

    def expression(self) -> str:
        """The conditions in Milvus's language; empty where there are none.

        Of what is forbidden only what every item has: engines differ in what "not" means where a value is missing.
        """
        wanted = [condition.expression() for condition in self.conditions]
        return " and ".join([*wanted, *(f"not {each.expression()}" for each in self.forbidden if _everywhere(each))])

    def matches(self, item: Item) -> bool:
        """Whether ``item`` passes every condition: the same meaning as ``expression``."""
        wanted = all(condition.matches(item) for condition in self.conditions)
        return wanted and not any(condition.matches(item) for condition in self.forbidden)

    def __and__(self, other: Filters) -> Filters:
        return Filters(self.conditions + other.conditions, self.forbidden + other.forbidden)

    def negated(self) -> Filters:
        """Forbids what these filters ask for: each condition by itself."""
        return Filters(forbidden=self.conditions)


NO_FILTERS = Filters()


def _everywhere(condition: AnyOf | Compared) -> bool:
    return isinstance(condition, AnyOf) and condition.field in _COLUMNS - {"price"} and bool(condition.values)


def parse_filters(raw: Mapping[str, object], fields: Mapping[str, FieldKind]) -> Filters:
    """The filters of a request, checked against ``fields`` (those of the catalogue, with what they hold).

    Raises:
        FilterError: a field that is not there, an operator that is none, or a value of the wrong type.
    """
    conditions: list[AnyOf | Compared] = []
    for field, wanted in raw.items():
        kind = fields.get(field)
        if kind is None:
            raise FilterError(f"filters: no field {field!r}; there are: {', '.join(sorted(fields))}")
        conditions += _conditions(field, kind, wanted)
    return Filters(tuple(conditions))


def _conditions(field: str, kind: FieldKind, wanted: object) -> Iterator[AnyOf | Compared]:
    if not isinstance(wanted, Mapping):
        yield AnyOf(field, kind, (_checked(field, kind, wanted),))
        return
    if not wanted:
        raise FilterError(f"filters.{field}: no operator given; there are: {_OPERATORS}")
    for operator, operand in wanted.items():
        if operator == "in":
            yield AnyOf(field, kind, _checked_list(field, kind, operand))
        elif operator in set(Comparison):
            yield Compared(field, Comparison(operator), _checked_bound(field, kind, operator, operand))
        else:
            raise FilterError(f"filters.{field}: no operator {operator!r}; there are: {_OPERATORS}")


def _checked_list(field: str, kind: FieldKind, operand: object) -> tuple[Scalar, ...]:
    if not isinstance(operand, list | tuple):
        raise FilterError(f"filters.{field}.in: a list is needed, not {_shown(operand)}")
    if len(operand) > MAX_VALUES:
        raise FilterError(f"filters.{field}.in: {len(operand)} values, at most {MAX_VALUES} are possible")
    return tuple(_checked(field, kind, value) for value in operand)


def _checked_bound(field: str, kind: FieldKind, operator: str, operand: object) -> float:
    if kind is not FieldKind.NUMBER:
        raise FilterError(f"filters.{field}.{operator}: the field holds {kind}, and only numbers have an order")
    return _checked_number(field, operand)


def _checked(field: str, kind: FieldKind, value: object) -> Scalar:
    """``value`` if it is what a field of ``kind`` can be compared with."""
    match kind:
        case FieldKind.NUMBER:
            return _checked_number(field, value)
        case FieldKind.TEXT | FieldKind.TEXTS:
            return _checked_text(field, value)
        case FieldKind.BOOLEAN:
            if isinstance(value, bool):
                return value
            raise FilterError(f"filters.{field}: true or false is needed, not {_shown(value)}")


def _checked_number(field: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FilterError(f"filters.{field}: a number is needed, not {_shown(value)}")
    if not -MAX_NUMBER <= value <= MAX_NUMBER:  # nor what is not finite
        raise FilterError(f"filters.{field}: a finite number from -2^53 to 2^53 is needed")
    return value


def _checked_text(field: str, value: object) -> str:
    if not isinstance(value, str):
        raise FilterError(f"filters.{field}: a text is needed, not {_shown(value)}")
    if len(value) > MAX_TEXT:
        raise FilterError(f"filters.{field}: {len(value)} characters, at most {MAX_TEXT} are possible")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise FilterError(f"filters.{field}: the text is no valid Unicode (half of a surrogate pair)") from None
    return value


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"


def _path(field: str) -> str:
    return field if field in _COLUMNS else f"attributes[{literal(field)}]"


def literal(value: Scalar) -> str:
    """``value`` as it stands in a Milvus expression."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value.translate(_ESCAPES)}"'
    return repr(value)


def _either(expressions: Iterator[str]) -> str:
    return f"({' or '.join(expressions)})"


def _value(item: Item, field: str) -> Scalar | None:
    match field:
        case "id":
            return item.id
        case "title":
            return item.title
        case "price":
            return item.price
        case "in_stock":
            return item.in_stock
        case _:
            return item.attributes.get(field)

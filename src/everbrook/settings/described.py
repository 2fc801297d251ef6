"""What each setting is, read off its type: name, help, unit, the words for its range. Holds no values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import inspect

ENV_PREFIX = "EVERBROOK_"

_ARTICLES = {"int": "an int", "number": "a number", "text": "a text"}
_PLURALS = {"int": "ints", "number": "numbers", "text": "texts"}
_BOUNDS = (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<="))


@dataclass(frozen=True, slots=True)
class Described:
    """One setting, without its value."""

    name: str  # 'group.field'
    type: Any  # the annotated type, as msgspec takes it
    help: str
    unit: str | None
    must: str  # 'an int >= 1'
    secret: bool
    numeric: bool
    nullable: bool
    many: bool  # a list or a table rather than one value

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return ENV_PREFIX + self.name.replace(".", "_").upper()


def describe(kind: type[msgspec.Struct]) -> dict[str, Described]:
    """Every setting of a two-level Struct, by 'group.field', in the order of writing."""
    return {described.name: described for described in _walk(kind)}


def _walk(kind: type[msgspec.Struct]) -> Iterator[Described]:
    for group in msgspec.structs.fields(kind):
        info = inspect.type_info(group.type)
        if not isinstance(info, inspect.StructType):
            raise TypeError(f"Settings group '{group.name}' must be a Struct; got {group.type!r}.")
        for field, shape in zip(msgspec.structs.fields(group.type), info.fields, strict=True):
            yield _described(f"{group.name}.{field.name}", field.type, shape.type)


def _described(name: str, kind: Any, shape: inspect.Type) -> Described:
    notes = list(_notes(shape))
    extra: dict[str, Any] = {}
    for note in notes:
        extra.update(note.extra or {})
    leaves = list(_leaves(shape))
    return Described(
        name=name,
        type=kind,
        help=next((text for note in notes if (text := (note.extra_json_schema or {}).get("description"))), ""),
        unit=extra.get("unit"),
        must=must(shape),
        secret=bool(extra.get("secret", False)),
        numeric=any(isinstance(leaf, inspect.IntType | inspect.FloatType) for leaf in leaves),
        nullable=any(isinstance(leaf, inspect.NoneType) for leaf in leaves),
        many=any(isinstance(part, _CONTAINERS) for part in _outer(shape)),
    )


_ROWS = (inspect.VarTupleType, inspect.ListType, inspect.SetType, inspect.FrozenSetType)
_CONTAINERS = (*_ROWS, inspect.TupleType, inspect.DictType, inspect.StructType)


def _notes(shape: inspect.Type) -> Iterator[inspect.Metadata]:
    """The notes on a type, outermost first."""
    if isinstance(shape, inspect.Metadata):
        yield shape
        yield from _notes(shape.type)
    elif isinstance(shape, inspect.UnionType):
        for part in shape.types:
            yield from _notes(part)


def _outer(shape: inspect.Type) -> Iterator[inspect.Type]:
    """The members of the outermost union, without notes."""
    if isinstance(shape, inspect.Metadata):
        yield from _outer(shape.type)
    elif isinstance(shape, inspect.UnionType):
        for part in shape.types:
            yield from _outer(part)
    else:
        yield shape


def _leaves(shape: inspect.Type) -> Iterator[inspect.Type]:
    """The single values inside lists and unions; tables and records speak for themselves."""
    for part in _outer(shape):
        if isinstance(part, _ROWS):
            yield from _leaves(part.item_type)
        elif isinstance(part, inspect.TupleType):
            for item in part.item_types:
                yield from _leaves(item)
        else:
            yield part


def must(shape: inspect.Type) -> str:
    """The words for what a value must be, such as 'an int >= 1'."""
    parts = [_one(part) for part in _outer(shape)]
    return " or ".join(sorted(parts, key=lambda words: words == "none"))


def _one(shape: inspect.Type) -> str:
    if isinstance(shape, inspect.NoneType):
        return "none"
    if isinstance(shape, inspect.BoolType):
        return "true or false"
    if isinstance(shape, inspect.LiteralType):
        return "one of " + ", ".join(f"'{value}'" for value in shape.values)
    if isinstance(shape, _ROWS):
        return "a list of " + " or ".join(_noun(part, _PLURALS) for part in _outer(shape.item_type))
    if isinstance(shape, inspect.TupleType):
        return f"a list of {len(shape.item_types)} values"
    if isinstance(shape, inspect.DictType):
        return "a table of " + " or ".join(_noun(part, _PLURALS) for part in _outer(shape.value_type))
    return _noun(shape, _ARTICLES)


def _noun(shape: inspect.Type, words: dict[str, str]) -> str:
    if isinstance(shape, inspect.IntType | inspect.FloatType):
        word = words["int" if isinstance(shape, inspect.IntType) else "number"]
        bounds = [f"{sign} {value:g}" if isinstance(value, float) else f"{sign} {value}"
                  for key, sign in _BOUNDS if (value := getattr(shape, key)) is not None]
        return " ".join([word, " and ".join(bounds)]).strip()
    if isinstance(shape, inspect.StrType):
        if shape.min_length == 1:
            return words["text"].replace("text", "non-empty text")
        return words["text"] + (f" of at least {shape.min_length} characters" if shape.min_length else "")
    if isinstance(shape, inspect.StructType):
        return "a table with " + ", ".join(field.name for field in shape.fields)
    if isinstance(shape, _CONTAINERS):
        return "lists" if words is _PLURALS else _one(shape)
    return _one(shape) if words is _ARTICLES else "values"

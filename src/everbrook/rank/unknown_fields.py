"""Fields that nothing has, in what is asked for: told with the nearest right one, however deep they stand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from msgspec import inspect

from everbrook.errors import UnknownNameError

_TOLD = re.compile(r"Object contains unknown field `(.*?)`(?: - at `\$([^`]*)`)?", re.DOTALL)
_STEP = re.compile(r"\.(\w+)|\[[^\]]*\]")


def unknown_field(error: Exception, kind: Any) -> UnknownNameError | None:
    """The error about a field that nothing has; None where something else is wrong.

    Args:
        error: as msgspec raised it.
        kind: the type that was to be read.
    """
    found = _TOLD.fullmatch(str(error))
    if found is None:
        return None
    name, place = found[1], found[2] or ""
    shapes = list(_members(inspect.type_info(kind)))
    for step in _STEP.finditer(place):
        shapes = [inner for shape in shapes for inner in _inside(shape, step[1])]
    known = {field.encode_name for shape in shapes if isinstance(shape, inspect.StructType) for field in shape.fields}
    return UnknownNameError("field", name, known, place.removeprefix("."))


def _members(shape: inspect.Type) -> Iterator[inspect.Type]:
    """What a value of a type may be, without notes."""
    if isinstance(shape, inspect.Metadata):
        yield from _members(shape.type)
    elif isinstance(shape, inspect.UnionType):
        for part in shape.types:
            yield from _members(part)
    else:
        yield shape


def _inside(shape: inspect.Type, name: str | None) -> Iterator[inspect.Type]:
    """What stands inside: in a field of this name, or among the members where there is none."""
    if isinstance(shape, inspect.StructType):
        for field in shape.fields:
            if field.encode_name == name:
                yield from _members(field.type)
    elif name is None:
        if isinstance(shape, inspect.DictType):
            yield from _members(shape.value_type)
        elif isinstance(shape, inspect.VarTupleType | inspect.ListType):
            yield from _members(shape.item_type)

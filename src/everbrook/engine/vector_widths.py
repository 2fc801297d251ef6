"""Vectors that callers give with items must fit those of the same name that came before."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from everbrook.engine.core import Core
from everbrook.errors import RecordError
from everbrook.events.records import ItemChange
from everbrook.models.content import Content


def check_vectors(items: Sequence[ItemChange], core: Core) -> None:
    """Refuse vectors that nothing could be made of. The first of a name sets how many numbers it has.

    Args:
        items: that are to be put.
        core: of the engine; where its mixture has no content nothing looks at vectors.

    Raises:
        RecordError: one has another number of numbers, or no direction.
    """
    if any(item.vectors for item in items) and (content := core.family(Content)) is not None:
        _check(items, content.vector_width)


def _check(items: Sequence[ItemChange], width_of: Callable[[str], int]) -> None:
    widths: dict[str, int] = {}
    for position, item in enumerate(items):
        for name, numbers in (item.vectors or {}).items():
            if not numbers:
                continue
            width = widths.setdefault(name, width_of(name) or len(numbers))
            if len(numbers) != width:
                raise RecordError(
                    f"Vector '{name}' must have {width} numbers, as the first of that name; got {len(numbers)}. Give "
                    "vectors of another width another name.", position,
                )  # fmt: skip
            if not 0.0 < sum(float(number) * number for number in numbers) < math.inf:
                raise RecordError(f"Vector '{name}' must have a direction: its numbers are 0, or too large.", position)

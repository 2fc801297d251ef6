"""Events as columns: the shape in which millions of them are read, folded and learned."""

from __future__ import annotations

from dataclasses import dataclass

from everbrook.types import F32, I32, I64


@dataclass(frozen=True, slots=True)
class Coded:
    """Texts as codes into a list of distinct names."""

    codes: I32  # (B,) -1 where missing
    names: list[str]


@dataclass(frozen=True, slots=True)
class EventColumns:
    """B events in log order. Optional columns are None where no event has them."""

    ts_ms: I64  # (B,)
    user: Coded
    session: Coded
    item: Coded
    kind: Coded
    scenario: Coded
    value: F32  # (B,) NaN where missing
    id: Coded | None = None
    request: Coded | None = None
    position: I32 | None = None  # -1 where missing
    context: Coded | None = None  # JSON text

    def __len__(self) -> int:
        return len(self.ts_ms)

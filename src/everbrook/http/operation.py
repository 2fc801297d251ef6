"""What a route is, said once: its scope and types stand here for the lock, the description and the clients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Scope: TypeAlias = Literal["open", "read", "write", "admin"]
"""What a key must be for; 'open' asks for none."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One route.

    Args:
        method: in lower case.
        path: as the description writes it; '{id}' takes any text.
        call: the room's method that answers it.
        summary: one sentence.
        scope: what a key must be for.
        takes: type of the body; None where there is none.
        asks: a Struct of what may stand behind the '?'; None where there is nothing.
        gives: type of the answer.
        errors: statuses besides those that every route has.
        example: a body.
        media: type of the answer's content.
        direct: the room's method that answers a whole body of it without a task (`everbrook.http.direct`); empty where
            there is none.
        together: whether many of them are answered at the same moment, so that their answers are sent together.
    """

    method: str
    path: str
    call: str
    summary: str
    scope: Scope
    takes: Any = None
    asks: Any = None
    gives: Any = dict[str, Any]
    errors: tuple[int, ...] = ()
    example: Any = None
    media: str = "application/json"
    direct: str = ""
    together: bool = False

    @property
    def is_strict(self) -> bool:
        """Whether what it does not know behind the '?' is refused; probes and pages take anything."""
        return self.path.startswith("/v1/")

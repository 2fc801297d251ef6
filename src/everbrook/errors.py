"""The one tree of errors: each class is mapped once to an exit code and an HTTP status.

A message says what must be, what was got, and what to do if that is known.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar


class EverbrookError(Exception):
    """Any error that a caller can act on."""

    type: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InputError(EverbrookError):
    """What was sent is wrong; nothing of it is kept."""

    type = "bad_input"
    exit_code = 2
    http_status = 400


class SettingError(InputError):
    """A setting is unknown, of the wrong type or out of range."""

    type = "bad_setting"


class UnknownNameError(InputError):
    """A name is not one of the known ones.

    Args:
        what: the noun, such as 'scenario'.
        got: the name that was given.
        known: the names that would have been right.
        place: where it stands, if that is not plain.
    """

    type = "unknown_name"

    def __init__(self, what: str, got: str, known: Iterable[str], place: str = "") -> None:
        super().__init__(unknown_name(what, got, known) + (f" It stands at '{place}'." if place else ""))
        self.type = f"unknown_{what}"  # type: ignore[misc]  # 'unknown_scenario' is what clients match on


class RecordError(InputError):
    """A record of a batch is wrong; nothing of the batch is kept."""

    type = "bad_record"
    http_status = 422

    def __init__(self, message: str, position: int | None = None) -> None:
        super().__init__(message if position is None else f"Record {position}: {message}")
        self.position = position


class NotFoundError(EverbrookError):
    """The thing asked for does not exist."""

    type = "not_found"
    exit_code = 4
    http_status = 404


class DataError(EverbrookError):
    """A file or a data directory cannot be used as it is."""

    type = "bad_data"
    exit_code = 3
    http_status = 500


class BusyError(EverbrookError):
    """Another process holds the data directory."""

    type = "busy"
    exit_code = 5
    http_status = 503


class StorageError(EverbrookError):
    """The disk refused a write; what was not acknowledged is not kept."""

    type = "storage"
    exit_code = 6
    http_status = 503


class OverloadedError(EverbrookError):
    """More is waiting than may; nothing of what was sent is kept, and it may be sent again."""

    type = "overloaded"
    exit_code = 8
    http_status = 503


class NotReadyError(EverbrookError):
    """The engine cannot answer this yet."""

    type = "not_ready"
    exit_code = 7
    http_status = 503


def unknown_name(what: str, got: str, known: Iterable[str]) -> str:
    """Word the sentence for a wrong name, with the nearest right one.

    Args:
        what: the noun, such as 'scenario'.
        got: the name that was given.
        known: the names that would have been right.
    """
    names = sorted(known)
    close = difflib.get_close_matches(got, names, n=1, cutoff=0.5)
    guess = f" Did you mean '{close[0]}'?" if close else ""
    listed = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    return f"Unknown {what.replace('_', ' ')} '{got}'.{guess} Known: {listed or 'none'}."

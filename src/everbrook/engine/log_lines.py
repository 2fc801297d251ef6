"""Lines for those who run a server: one for each thing worth knowing, for people (text) or machines (json).

A line is a sentence or a name, and fields. A traceback tells classes and places and leaves out what the error says, for
an error's words may hold what somebody sent. Not the log of events, which is `everbrook.events`.
"""

from __future__ import annotations

import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from everbrook.settings.serve import ServeSettings

FIELDS = "everbrook_fields"  # where a record keeps what `say` was given
_QUOTED = frozenset(' "=\n\r\t')

LineFormat = Literal["text", "json"]


def say(log: logging.Logger, what: str, level: int = logging.INFO, **fields: Any) -> None:
    """Write a line with fields.

    Args:
        log: whose line it is.
        what: what happened.
        level: of the standard library.
        fields: names, numbers and truths; nothing that somebody sent. What is None is not said.
    """
    if log.isEnabledFor(level):
        log.log(level, what, extra={FIELDS: {name: value for name, value in fields.items() if value is not None}})


class Lines(logging.Formatter):
    """Makes one line of a record.

    Args:
        form: for whom.
        process: which of the processes writes.
    """

    def __init__(self, form: LineFormat, process: str) -> None:
        super().__init__()
        self._form, self._process = form, process

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        fields = dict(getattr(record, FIELDS, {}))
        if record.exc_info and record.exc_info[0] is not None:
            fields |= {"error": record.exc_info[0].__name__, "trace": _frames(record)}
        told = {
            "ts": when, "level": record.levelname.lower(), "process": self._process, "logger": record.name,
            "event": record.getMessage(), **fields,
        }  # fmt: skip
        if self._form == "json":
            return msgspec.json.encode(told, enc_hook=str).decode()
        head = f"{when} {told['level']:<7} {self._process} {record.name}: {_flat(told['event'])}"
        return " ".join([head, *(f"{name}={_written(value)}" for name, value in fields.items())])


def _frames(record: logging.LogRecord) -> str:
    assert record.exc_info is not None
    return "".join(traceback.format_tb(record.exc_info[2])).strip()


def _flat(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")


def _written(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    return msgspec.json.encode(text).decode() if not text or _QUOTED & set(text) else text


def write_lines(settings: ServeSettings, process: str) -> None:
    """Let this process write its lines to standard error from now on, in place of what it did before.

    Args:
        settings: which lines, and for whom.
        process: which of the processes this is: 'server' or 'learner'.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines(settings.log_format, process))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("everbrook").setLevel(settings.log_level.upper())


__all__ = ["LineFormat", "Lines", "say", "write_lines"]

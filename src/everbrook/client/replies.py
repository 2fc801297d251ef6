"""What a server answers: the value, the error that it told, or how long to wait before the next try."""

from __future__ import annotations

import random
import re
from typing import TypeVar

import httpx
import msgspec

from everbrook import errors
from everbrook.client.asks import Ask
from everbrook.errors import EverbrookError, InputError, NotFoundError, NotReadyError, RecordError

AnswerT = TypeVar("AnswerT")
FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 10.0
TRY_AGAIN = frozenset({429, 502, 503, 504})


class KeyRefusedError(EverbrookError):
    """The key is missing, not known, or for something else."""

    type = "unauthorised"
    http_status = 401


class RateError(EverbrookError):
    """More was sent than the server takes from this key."""

    type = "too_many_requests"
    http_status = 429


class UnreachableError(NotReadyError):
    """No server answers there, or not in time."""

    type = "unreachable"


_BY_STATUS: dict[int, type[EverbrookError]] = {
    400: InputError, 401: KeyRefusedError, 403: KeyRefusedError, 404: NotFoundError, 413: InputError, 415: InputError,
    422: RecordError, 429: RateError, 503: NotReadyError,
}  # fmt: skip
_POSITION = re.compile(r"Record (\d+): ")
_BY_TYPE = {
    kind.type: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, EverbrookError)
}


class _Told(msgspec.Struct):
    type: str
    message: str
    hint: str | None = None


class _Body(msgspec.Struct):
    error: _Told


def value_of(ask: Ask[AnswerT], reply: httpx.Response) -> AnswerT:
    """What was asked for.

    Raises:
        EverbrookError: what the server told, in its own words, as the class that it is here; or that the answer is
            none of Everbrook's.
    """
    if reply.status_code >= 400:
        raise error_of(reply)
    try:
        return msgspec.json.decode(reply.content, type=ask.gives)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise EverbrookError(
            f"A server must answer in Everbrook's form; got status {reply.status_code} with a body that is not."
        ) from None


def error_of(reply: httpx.Response) -> EverbrookError:
    """The error that a server told."""
    try:
        told = msgspec.json.decode(reply.content, type=_Body).error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        message = f"A server must answer in Everbrook's form; got status {reply.status_code}."
        if reply.status_code != 413:  # which a proxy says in its own form
            return EverbrookError(message)
        told = _Told("too_large", message)
    kind = _BY_TYPE.get(told.type) or _BY_STATUS.get(reply.status_code, EverbrookError)
    error = kind.__new__(kind)
    EverbrookError.__init__(error, told.message, told.hint)
    error.type = told.type  # type: ignore[misc]  # 'unknown_scenario' is what callers match on
    if isinstance(error, RecordError):
        named = _POSITION.match(told.message)
        error.position = int(named[1]) if named else None
    return error


def wait_s(ask: Ask[AnswerT], attempt: int, reply: httpx.Response | None, never_sent: bool = False) -> float | None:
    """How long to wait before the next try; None where there is none.

    Args:
        ask: what was asked.
        attempt: how often it was tried before.
        reply: the answer; None where there was none.
        never_sent: the connection was refused.
    """
    if reply is None:
        return backoff_s(attempt) if ask.again or never_sent else None
    if reply.status_code not in TRY_AGAIN or not (ask.again or reply.status_code == 429):
        return None
    try:
        return max(0.0, float(reply.headers.get("retry-after", "")))
    except ValueError:
        return backoff_s(attempt)


def limits(ask: Ask[AnswerT], timeout_s: float) -> httpx.Timeout:
    """How long to wait for a connection, for sending, and for the answer of what takes its time."""
    return httpx.Timeout(timeout_s, read=max(timeout_s, ask.patience_s))


def backoff_s(attempt: int) -> float:
    """Twice as long each time, with chance in it, so that many clients do not come back at once."""
    return float(min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0**attempt) * random.uniform(0.5, 1.0))

"""What goes wrong at the door, and the one form in which every error leaves it."""

from __future__ import annotations

import logging
import traceback
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

from everbrook.engine.log_lines import say
from everbrook.errors import EverbrookError, InputError, RecordError
from everbrook.http.operation import Operation
from everbrook.rank.unknown_fields import unknown_field

log = logging.getLogger("everbrook.http")

OPERATION = "everbrook.operation"  # in ASGI's scope: the route that was found
UNEXPECTED = "Something went wrong inside; the server's log has the traceback under this request's id."


class TooLargeError(InputError):
    """The body is larger than the server takes."""

    type = "too_large"
    http_status = 413


class EncodedError(InputError):
    """The body comes encoded, which the server does not undo."""

    type = "unsupported_encoding"
    http_status = 415


class KeyRefusedError(EverbrookError):
    """The request carries no key, or a wrong one."""

    type = "unauthorised"
    http_status = 401


class ScopeRefusedError(EverbrookError):
    """The key is known, and for something else."""

    type = "forbidden"
    http_status = 403


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong."""

    type: str
    message: str
    hint: str | None = None


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    """The body of every answer that is not a success."""

    error: Failure


def json_response(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Encode an answer."""
    return Response(msgspec.json.encode(value), status, headers, media_type="application/json")


def from_everbrook(request: Request, error: Exception) -> Response:
    """The answer to an error that the caller can act on."""
    if not isinstance(error, EverbrookError):
        raise error
    headers = {"Retry-After": str(getattr(error, "retry_after_s", 1))} if error.http_status in (429, 503) else None
    if error.http_status == 401:
        headers = {"WWW-Authenticate": "Bearer"}
    body = ErrorBody(error=Failure(type=error.type, message=error.message, hint=error.hint))
    return json_response(body, error.http_status, headers)


def from_router(request: Request, error: Exception) -> Response:
    """The answer where no route fits: 404 and 405."""
    if not isinstance(error, HTTPException):
        raise error
    names = {404: "not_found", 405: "method_not_allowed"}
    messages = {
        404: f"No route '{_shown(request)}'. The routes are listed at /docs and /openapi.json.",
        405: f"Route '{_shown(request)}' does not take {request.method}.",
    }
    headers = dict(error.headers or {})
    if error.status_code == 405:  # the router names the methods of one route; a path may have several
        headers["Allow"] = ", ".join(sorted(_methods(request)))
    allowed = headers.get("Allow")
    failure = Failure(
        type=names.get(error.status_code, "bad_request"),
        message=messages.get(error.status_code, HTTPStatus(error.status_code).phrase + "."),
        hint=f"It takes {allowed}." if allowed else None,
    )
    return json_response(ErrorBody(error=failure), error.status_code, headers)


def _methods(request: Request) -> set[str]:
    """What the routes of a path take."""
    routes = [one for one in request.app.routes if one.matches(request.scope)[0] is not Match.NONE]
    return {method for one in routes for method in getattr(one, "methods", None) or ()}


def _shown(request: Request) -> str:
    """A path without what may be somebody's id."""
    parts = request.url.path.split("/")
    shown = 3 if parts[1:2] == ["v1"] else 2
    return "/".join(parts[:shown]) + ("/…" if len(parts) > shown else "")


def _route(request: Request) -> str:
    """The route that was found, as the description writes it."""
    operation: Operation | None = request.scope.get(OPERATION)
    return "none" if operation is None else operation.path


def from_the_unexpected(request: Request, error: Exception, request_id: str = "-") -> Response:
    """The answer to a fault of ours: logged with where it came from but no values of it, told without details."""
    frames = "".join(traceback.format_tb(error.__traceback__))
    say(log, "A request ended with a fault inside.", logging.ERROR, request=request_id, route=_route(request),
        error=type(error).__name__, trace=frames)
    return json_response(ErrorBody(error=Failure(type="internal", message=UNEXPECTED)), 500)


def reworded(error: msgspec.ValidationError | msgspec.DecodeError, what: str, kind: Any) -> InputError:
    """Word what the decoder found in a request's body.

    Args:
        error: as msgspec raised it.
        what: the body's noun, such as 'A wish for a list'.
        kind: the type that was to be read.
    """
    if unknown := unknown_field(error, kind):
        return unknown
    text, _, place = str(error).partition(" - at `")
    where = f" at '{place[2:-1]}'" if len(place) > 3 else ""
    if isinstance(error, msgspec.ValidationError):
        return InputError(f"{what} must fit its description at /docs; got a wrong value{where}: {_lowered(text)}.")
    return InputError(f"{what} must be a JSON object; {_lowered(text)}.")


def _lowered(text: str) -> str:
    begin = text[:1] if text[1:2].isupper() else text[:1].lower()  # JSON stays JSON
    return begin + text[1:].rstrip(".")


__all__ = [
    "EncodedError", "ErrorBody", "Failure", "KeyRefusedError", "RecordError", "ScopeRefusedError", "TooLargeError",
    "from_everbrook", "from_router", "from_the_unexpected", "json_response", "reworded",
]

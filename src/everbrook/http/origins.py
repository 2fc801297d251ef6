"""Pages of other sites: which may speak with this server from a browser."""

from __future__ import annotations

import ipaddress

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from everbrook.errors import EverbrookError
from everbrook.http.failures import ErrorBody, Failure, json_response

ALLOWED = ("GET", "POST", "PATCH", "DELETE")
SENT = ("Authorization", "Content-Type", "X-Request-Id")
SHOWN = ("X-Request-Id", "Retry-After")
REMEMBERED_S = 600


class OriginRefusedError(EverbrookError):
    """A page of another site asks, which the settings do not name."""

    type = "origin_refused"
    http_status = 403


class Origins(CORSMiddleware):
    """Lets pages of the named sites ask; what it refuses leaves in the house's form."""

    def preflight_response(self, request_headers: Headers) -> Response:
        """The answer to a browser that asks whether it may ask."""
        answer = super().preflight_response(request_headers)
        if answer.status_code < 400:
            return answer
        told = {name: value for name, value in answer.headers.items() if not name.startswith("content-")}
        failure = Failure(type=OriginRefusedError.type, message=f"{bytes(answer.body).decode()}.")
        return json_response(ErrorBody(error=failure), 400, told)


def check_page(headers: dict[bytes, bytes], allowed: tuple[str, ...]) -> None:
    """Keep strange pages from a server without keys, which any browser on this machine reaches.

    Args:
        headers: of a request.
        allowed: sites of the setting 'serve.cors_origins'.

    Raises:
        OriginRefusedError: a page of another site asks, or asks under a name that is not this machine's.
    """
    host = headers.get(b"host", b"").decode("latin-1")
    if host and not _is_this_machine(_name(host)):
        raise OriginRefusedError(
            "Without keys a server must be spoken to as localhost or 127.0.0.1; got another name in 'Host'.",
            "Set keys (everbrook keys new) to be reached under other names.",
        )
    origin = headers.get(b"origin", b"").decode("latin-1")
    if origin and origin.partition("://")[2] != host and origin not in allowed:
        raise OriginRefusedError(
            "A page that asks must be of this server or of a site in 'serve.cors_origins'; got another.",
        )


def _is_this_machine(name: str) -> bool:
    """Whether a name is loopback's: one of its addresses, which 127.example.com is not, or its name."""
    try:
        return name.lower() == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _name(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]

"""The application: the rooms' routes behind the guard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Match, Route
from starlette.types import Scope

from everbrook.engine.spans import is_on
from everbrook.errors import EverbrookError
from everbrook.http.direct import Answer, Call, Direct
from everbrook.http.direct import Route as DirectRoute
from everbrook.http.failures import from_everbrook, from_router
from everbrook.http.gate import Gate, check_warm
from everbrook.http.guard import Endpoint, Guard, locked, once_warm
from everbrook.http.keys import Keyring
from everbrook.http.made_traffic import MadeTraffic
from everbrook.http.operation import Operation
from everbrook.http.origins import ALLOWED, REMEMBERED_S, SENT, SHOWN, Origins
from everbrook.http.page import PageFiles, open_paths
from everbrook.http.request_lines import RequestLines
from everbrook.http.room import Room
from everbrook.http.rooms import ROOMS, operations
from everbrook.http.shortcuts import Shortcuts
from everbrook.http.traces import Traces
from everbrook.http.watching import Watching

if TYPE_CHECKING:
    from everbrook.engine.recommender import Recommender
    from everbrook.settings import Settings


class AnyText(PathConvertor):
    """An id in a path: any text, line ends too."""

    regex = r"(?s:.*)"


register_url_convertor("text", AnyText())


class Tailed(Route):
    """A route that goes on behind an id. Where the address has its end encoded, it is the end of an id."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether an address is of this route."""
        tail = self.path.partition("{id:text}")[2].encode()
        if not scope.get("raw_path", tail).endswith(tail):
            return Match.NONE, {}
        return super().matches(scope)


def _endpoint(room: Room, one: Operation) -> Endpoint:
    answer: Endpoint = getattr(room, one.call)
    return locked(one, once_warm(lambda: room.engine.is_warm(), answer) if room.is_computing else answer)


def _call(room: Room, one: Operation) -> Call:
    """The same for a whole body that is answered without a task."""
    answer: Call = getattr(room, one.direct)
    engine = room.engine

    def call(body: bytes, outcome: Answer) -> None:
        check_warm(engine.is_warm)
        answer(body, outcome)

    return call if room.is_computing else answer


def build_app(engine: Recommender, settings: Settings, keyring: Keyring | None = None) -> Starlette:
    """Put the door together.

    Args:
        engine: an open engine; the caller closes it.
        settings: the limits and keys, and the log's tolerance for times in the future.
        keyring: who is let in; the keys of the settings where None.
    """
    rooms = [kind(engine, settings) for kind in ROOMS]
    watching = next(room for room in rooms if isinstance(room, Watching))
    made = next(room for room in rooms if isinstance(room, MadeTraffic))
    made.playing.took, watching.stream.more["made"] = watching.lately.took, made.playing.status
    routes = [
        Tailed(one.path.replace("{id}", "{id:text}"), _endpoint(room, one), methods=[one.method.upper()])
        for room in rooms for one in room.operations
    ]
    routes.sort(key=lambda route: route.path.endswith("}"))  # an id takes any text: what stands behind one comes first
    opened = frozenset(one.path for one in operations() if one.scope == "open") | open_paths()
    watchers = (watching.meter, watching.lately, RequestLines(settings.serve))
    gate = Gate(settings.serve, keyring, opened, watchers)
    watching.stream.admits = gate.admits
    middleware = [Middleware(Guard, gate=gate)]
    shortcuts = {
        (one.method.upper(), one.path): _endpoint(room, one)
        for room in rooms for one in room.operations if "{" not in one.path
    }
    middleware += [Middleware(Shortcuts, endpoints=shortcuts), Middleware(PageFiles)]
    if settings.serve.cors_origins:
        middleware.insert(0, Middleware(
            Origins, allow_origins=settings.serve.cors_origins, allow_methods=ALLOWED, allow_headers=SENT,
            expose_headers=SHOWN, max_age=REMEMBERED_S,
        ))  # fmt: skip
    if is_on():
        middleware.insert(0, Middleware(Traces))
    app = Starlette(
        routes=routes, middleware=middleware,
        exception_handlers={EverbrookError: from_everbrook, HTTPException: from_router},
    )
    app.router.redirect_slashes = False

    def close() -> None:
        for room in rooms:
            room.close()

    app.state.close, app.state.gate = close, gate
    directly = {
        (one.method.upper(), one.path): DirectRoute(one, _call(room, one))
        for room in rooms for one in room.operations if one.direct
    }
    app.state.direct = None if is_on() else Direct(gate, directly, settings.serve.body_limit_bytes)
    return app

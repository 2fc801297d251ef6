"""The application: the rooms' routes behind the guard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Route

from everbrook.errors import EverbrookError
from everbrook.http.failures import from_everbrook, from_router
from everbrook.http.guard import Guard
from everbrook.http.rooms import ROOMS

if TYPE_CHECKING:
    from everbrook.engine.recommender import Recommender
    from everbrook.settings import Settings


def build_app(engine: Recommender, settings: Settings) -> Starlette:
    """Put the door together.

    Args:
        engine: an open engine; the caller closes it.
        settings: the limits and keys, and the log's tolerance for times in the future.
    """
    routes = [
        Route(one.path.replace("{id}", "{id:path}"), getattr(room, one.call), methods=[one.method.upper()])
        for room in (kind(engine, settings) for kind in ROOMS) for one in room.operations
    ]
    routes.sort(key=lambda route: route.path.endswith("}"))  # an id takes any text: what stands behind one comes first
    app = Starlette(
        routes=routes,
        middleware=[Middleware(Guard, settings=settings.serve)],
        exception_handlers={EverbrookError: from_everbrook, HTTPException: from_router},
    )
    app.router.redirect_slashes = False
    return app

"""The routes: each decodes, calls the engine once, and encodes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from importlib import resources
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from everbrook.errors import EverbrookError, InputError, NotReadyError, RecordError
from everbrook.events.log_intake import decode_events, decode_items, decode_users
from everbrook.http.failures import from_everbrook, from_router, json_response, reworded
from everbrook.http.guard import Guard, read_body
from everbrook.http.openapi import document
from everbrook.http.wishes import Nothing, Override, Rollback
from everbrook.rank.requests import Recommend

if TYPE_CHECKING:
    from everbrook.engine.recommender import Recommender
    from everbrook.settings import Settings

_recommend_decoder = msgspec.json.Decoder(Recommend)


@dataclass(frozen=True, slots=True)
class Door:
    """What the routes share."""

    engine: Recommender
    settings: Settings

    async def post_events(self, request: Request) -> Response:
        """Keep a batch of events, durably, before answering."""
        body = await read_body(request, self.settings.serve.body_limit_bytes)
        tolerance_ms = int(self.settings.log.future_tolerance_s * 1000)
        events = decode_events(body, self.engine.clock.now_ms(), tolerance_ms)
        self._check_count(len(events))
        return json_response(await self._aside(self.engine.ingest, events))

    async def post_items(self, request: Request) -> Response:
        """Insert or change items."""
        items = decode_items(await read_body(request, self.settings.serve.body_limit_bytes))
        self._check_count(len(items))
        return json_response(await self._aside(self.engine.put_items, items))

    async def post_users(self, request: Request) -> Response:
        """Insert or change users."""
        users = decode_users(await read_body(request, self.settings.serve.body_limit_bytes))
        self._check_count(len(users))
        return json_response(await self._aside(self.engine.put_users, users))

    async def post_recommend(self, request: Request) -> Response:
        """Make a list."""
        body = await read_body(request, self.settings.serve.body_limit_bytes)
        try:
            wish = _recommend_decoder.decode(body)
        except (msgspec.ValidationError, msgspec.DecodeError) as error:
            raise reworded(error, "A wish for a list", Recommend.__struct_fields__) from None
        except UnicodeDecodeError:
            raise InputError("The body must be UTF-8; got bytes that are not.") from None
        return json_response(self.engine.recommend(wish))

    async def get_item(self, request: Request) -> Response:
        """What is known of an item."""
        return json_response(self.engine.item(request.path_params["id"]))

    async def get_status(self, request: Request) -> Response:
        """Where everything stands."""
        return json_response(await self._aside(self.engine.status))

    async def get_ready(self, request: Request) -> Response:
        """Whether lists can be made."""
        if not await self._aside(self.engine.is_ready):
            raise NotReadyError("The engine is still catching up with its log.")
        return json_response({"ready": True})

    async def get_versions(self, request: Request) -> Response:
        """What answers, and what can be gone back to."""
        return json_response(await self._aside(self.engine.versions))

    async def post_rollback(self, request: Request) -> Response:
        """Go back to a version."""
        asked: Rollback = await self._asked(request, Rollback, "A wish to go back")
        return json_response(await self._aside(self.engine.rollback, asked.to))

    async def post_override(self, request: Request) -> Response:
        """Set the stage of the live weights."""
        asked: Override = await self._asked(request, Override, "A wish for a stage")
        return json_response(await self._aside(self.engine.override, asked.stage))

    async def post_pause(self, request: Request) -> Response:
        """Let the gate make no moves by itself."""
        await self._asked(request, Nothing, "The body of this request")
        return json_response(await self._aside(self.engine.pause))

    async def post_resume(self, request: Request) -> Response:
        """Let the gate make its moves again."""
        await self._asked(request, Nothing, "The body of this request")
        return json_response(await self._aside(self.engine.resume))

    async def post_refit(self, request: Request) -> Response:
        """Fit the large model anew in the background."""
        await self._asked(request, Nothing, "The body of this request")
        return json_response(await self._aside(self.engine.refit))

    async def _asked(self, request: Request, kind: Any, what: str) -> Any:
        """What a body asks for, which may be missing where it has nothing to say."""
        body = await read_body(request, self.settings.serve.body_limit_bytes)
        try:
            return msgspec.json.decode(body or b"{}", type=kind)
        except (msgspec.ValidationError, msgspec.DecodeError) as error:
            raise reworded(error, what, kind.__struct_fields__) from None
        except UnicodeDecodeError:
            raise InputError("The body must be UTF-8; got bytes that are not.") from None

    def _check_count(self, count: int) -> None:
        limit = self.settings.serve.batch_limit
        if count > limit:
            raise InputError(f"A batch must hold at most {limit} records; got {count}.", "Send smaller batches.")

    async def _aside(self, call: Any, *arguments: Any) -> Any:
        """Wait for the disk or the learner on another thread, so that lists go on being made."""
        return await asyncio.get_running_loop().run_in_executor(None, partial(call, *arguments))


async def get_health(request: Request) -> Response:
    """Whether the process lives."""
    return json_response({"status": "ok"})


async def get_openapi(request: Request) -> Response:
    """The description of every route."""
    return json_response(document())


async def get_docs(request: Request) -> Response:
    """The page that shows the description; it loads nothing from elsewhere."""
    return HTMLResponse(resources.files("everbrook.http").joinpath("static/docs.html").read_text(encoding="utf-8"))


def build_app(engine: Recommender, settings: Settings) -> Starlette:
    """Put the door together.

    Args:
        engine: an open engine; the caller closes it.
        settings: the limits and keys, and the log's tolerance for times in the future.
    """
    door = Door(engine, settings)
    routes = [
        Route("/v1/events", door.post_events, methods=["POST"]),
        Route("/v1/items", door.post_items, methods=["POST"]),
        Route("/v1/items/{id:path}", door.get_item, methods=["GET"]),
        Route("/v1/users", door.post_users, methods=["POST"]),
        Route("/v1/recommend", door.post_recommend, methods=["POST"]),
        Route("/v1/status", door.get_status, methods=["GET"]),
        Route("/v1/versions", door.get_versions, methods=["GET"]),
        Route("/v1/rollback", door.post_rollback, methods=["POST"]),
        Route("/v1/override", door.post_override, methods=["POST"]),
        Route("/v1/pause", door.post_pause, methods=["POST"]),
        Route("/v1/resume", door.post_resume, methods=["POST"]),
        Route("/v1/refit", door.post_refit, methods=["POST"]),
        Route("/healthz", get_health, methods=["GET"]),
        Route("/readyz", door.get_ready, methods=["GET"]),
        Route("/openapi.json", get_openapi, methods=["GET"]),
        Route("/docs", get_docs, methods=["GET"]),
    ]
    app = Starlette(
        routes=routes,
        middleware=[Middleware(Guard, settings=settings.serve)],
        exception_handlers={EverbrookError: from_everbrook, HTTPException: from_router},
    )
    app.router.redirect_slashes = False
    return app


__all__ = ["Door", "RecordError", "build_app"]

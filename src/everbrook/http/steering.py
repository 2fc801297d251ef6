"""Looking after what learns: versions, going back, pausing, refits."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from everbrook.http.failures import json_response
from everbrook.http.operation import Operation
from everbrook.http.room import Room
from everbrook.http.wishes import Nothing, Override, Rollback


class Steering(Room):
    """What those who look after the learner see of it and do with it."""

    operations = (
        Operation(
            "get", "/v1/versions", "get_versions",
            "What answers, what can be gone back to (newest first), and what was decided lately.", "read",
        ),
        Operation(
            "post", "/v1/rollback", "post_rollback",
            "Go back to a version: what the live model learned since is undone.", "admin", takes=Rollback,
            errors=(400, 404, 413, 503), example={"to": "anchor"},
        ),
        Operation(
            "post", "/v1/pause", "post_pause",
            "Let the gate make no moves by itself; learning goes on. While the learner starts, it waits for it "
            "(pending).", "admin", takes=Nothing, errors=(400, 413, 503),
        ),
        Operation(
            "post", "/v1/resume", "post_resume",
            "Let the gate make its moves again. While the learner starts, it waits for it (pending).", "admin",
            takes=Nothing, errors=(400, 413, 503),
        ),
        Operation(
            "post", "/v1/override", "post_override", "Say by hand whom the live weights serve.", "admin",
            takes=Override, errors=(400, 413, 503), example={"stage": "canary"},
        ),
        Operation(
            "post", "/v1/refit", "post_refit", "Fit the large model anew in the background; the gate lets it in.",
            "admin", takes=Nothing, errors=(400, 413, 503),
        ),
    )  # fmt: skip

    async def get_versions(self, request: Request) -> Response:
        """What answers, and what can be gone back to."""
        return json_response(await self.aside(self.engine.versions))

    async def post_rollback(self, request: Request) -> Response:
        """Go back to a version."""
        asked = await self.asked(request, Rollback, "A wish to go back")
        return json_response(await self.aside(self.engine.rollback, asked.to))

    async def post_override(self, request: Request) -> Response:
        """Set the stage of the live weights."""
        asked = await self.asked(request, Override, "A wish for a stage")
        return json_response(await self.aside(self.engine.override, asked.stage))

    async def post_pause(self, request: Request) -> Response:
        """Let the gate make no moves by itself."""
        await self.asked(request, Nothing, "The body of this request")
        return json_response(await self.aside(self.engine.pause))

    async def post_resume(self, request: Request) -> Response:
        """Let the gate make its moves again."""
        await self.asked(request, Nothing, "The body of this request")
        return json_response(await self.aside(self.engine.resume))

    async def post_refit(self, request: Request) -> Response:
        """Fit the large model anew in the background."""
        await self.asked(request, Nothing, "The body of this request")
        return json_response(await self.aside(self.engine.refit))

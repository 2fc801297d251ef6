"""Experiments on lists over HTTP."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from everbrook.engine.experiments import Name, Variant
from everbrook.errors import InputError
from everbrook.http.failures import json_response
from everbrook.http.operation import Operation
from everbrook.http.room import Room


class ExperimentWish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An experiment to begin (with variants), or to end (with stop)."""

    name: Name
    variants: Annotated[tuple[Variant, ...], Meta(description="The first is what the others are held against.")] = ()
    scenario: Annotated[str | None, Meta(description="Only lists of this scenario.")] = None
    kinds: Annotated[
        tuple[str, ...], Meta(description="Kinds of events that take something from a list; empty: all good ones.")
    ] = ()
    stop: Annotated[bool, Meta(description="End the experiment of this name.")] = False


class VariantOutcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A variant, and what came of it; all but the first are compared with the first."""

    name: str
    share: float
    wishes: dict[str, Any]
    people: int
    lists: int
    clicked: int
    click_rate: float
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    verdict: str | None = None


class ExperimentOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """An experiment, and what came of it so far."""

    name: str
    running: bool
    started_ms: int
    stopped_ms: int | None
    scenario: str | None
    kinds: tuple[str, ...]
    counted_to: int
    confidence: float
    variants: tuple[VariantOutcome, ...]


class ExperimentOutcomes(msgspec.Struct, frozen=True):
    """All experiments."""

    experiments: tuple[ExperimentOutcome, ...]


class Experiments(Room):
    """Lists made in several ways at once."""

    operations = (
        Operation(
            "get", "/v1/experiments", "get_experiments", "Experiments on lists, and what came of each so far.", "read",
            gives=ExperimentOutcomes,
        ),
        Operation(
            "post", "/v1/experiments", "post_experiments",
            "Begin an experiment: lists are made in several ways, each for its share of the people; or end one.",
            "admin", takes=ExperimentWish, gives=ExperimentOutcome, errors=(400, 404, 413, 503),
            example={"name": "fresher", "variants": [
                {"name": "as it is", "share": 0.5}, {"name": "fresher", "share": 0.5, "wishes": {"freshness": 0.3}},
            ]},
        ),
    )  # fmt: skip

    async def get_experiments(self, request: Request) -> Response:
        """All experiments."""
        return json_response(await self.aside(self.engine.experiments))

    async def post_experiments(self, request: Request) -> Response:
        """Begin or end one."""
        wish = await self.asked(request, ExperimentWish, "A wish for an experiment")
        if wish.stop:
            if wish.variants:
                raise InputError("An experiment must be begun with 'variants' or ended with 'stop'; got both.")
            return json_response(await self.aside(self.engine.stop_experiment, wish.name))
        begun = await self.aside(
            self.engine.start_experiment, wish.name, wish.variants, wish.scenario, wish.kinds
        )
        return json_response(begun)

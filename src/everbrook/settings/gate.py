"""Settings of the gate: how sure it must be before learned weights serve, stay or go."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta


class GateSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The paired test of the live weights against earlier ones, and what follows from it."""

    start: Annotated[
        Literal["shadow", "canary", "live"],
        Meta(description="The state in which new live weights begin: who is served by them before anything is proven."),
    ] = "shadow"
    alarms_per_month: Annotated[
        float,
        Meta(
            description="False alarms of harm that may be expected in a month of event time, over all scenarios.",
            gt=0.0,
            le=1000.0,
            extra={"unit": "1/month"},
        ),
    ] = 1.0
    promotions_per_month: Annotated[
        float,
        Meta(
            description="Promotions that may be expected in a month of event time from weights that are never better.",
            gt=0.0,
            le=1000.0,
            extra={"unit": "1/month"},
        ),
    ] = 1.0
    recent_tolerance: Annotated[
        float,
        Meta(
            description="Mean loss against weights of about a minute ago that is not yet harm.",
            ge=0.0,
            le=1.0,
            extra={"unit": "nats"},
        ),
    ] = 2e-4
    anchor_tolerance: Annotated[
        float,
        Meta(
            description="Mean loss against the anchor that is not yet harm.", ge=0.0, le=1.0, extra={"unit": "nats"}
        ),
    ] = 2e-3
    margin: Annotated[
        float,
        Meta(
            description="Mean loss against the anchor below which live weights count as good enough.",
            gt=0.0,
            le=1.0,
            extra={"unit": "nats"},
        ),
    ] = 1e-2
    clip_nats: Annotated[
        float,
        Meta(
            description="Largest difference of log-probabilities that one event may contribute.",
            gt=0.0,
            le=100.0,
            extra={"unit": "nats"},
        ),
    ] = 8.0
    gross_nats: Annotated[
        float,
        Meta(
            description="Mean loss over 64 events at which weights are gross: rolled back at once, in shadow too.",
            gt=0.0,
            le=100.0,
            extra={"unit": "nats"},
        ),
    ] = 1.0
    block_events: Annotated[
        int,
        Meta(
            description="Events in a row whose mean difference makes one bet.", ge=1, le=4096, extra={"unit": "events"}
        ),
    ] = 8
    scenarios: Annotated[
        int,
        Meta(
            description="Scenarios that are judged on their own; further ones count only among all.",
            ge=0,
            le=1000,
            extra={"unit": "scenarios"},
        ),
    ] = 32
    canary_share: Annotated[
        float,
        Meta(
            description="Share of users, by a hash of their id, whom weights in the state canary serve.",
            ge=0.0,
            le=1.0,
            extra={"unit": "share"},
        ),
    ] = 0.1
    canary_least_s: Annotated[
        float,
        Meta(description="Least time from canary to live.", ge=0.0, le=1e8, extra={"unit": "s"}),
    ] = 60.0
    noninferior_s: Annotated[
        float,
        Meta(
            description="How long being good enough must stay proven for a promotion without being better.",
            ge=0.0,
            le=1e8,
            extra={"unit": "s"},
        ),
    ] = 600.0
    anchor_every_s: Annotated[
        float,
        Meta(
            description="Live weights that stayed unharmed this long and are good enough become the next anchor.",
            gt=0.0,
            le=1e8,
            extra={"unit": "s"},
        ),
    ] = 300.0
    anchor_events: Annotated[
        int,
        Meta(
            description="Events compared at least before an anchor gives way to the next.",
            ge=0,
            le=10**9,
            extra={"unit": "events"},
        ),
    ] = 4_000
    stretch_s: Annotated[
        float,
        Meta(
            description="Evidence for a new anchor is gathered anew at least after this time.",
            gt=0.0,
            le=1e8,
            extra={"unit": "s"},
        ),
    ] = 120.0
    stretch_events: Annotated[
        int,
        Meta(
            description="Events that a stretch of evidence for a new anchor holds at least.",
            ge=1,
            le=10**9,
            extra={"unit": "events"},
        ),
    ] = 20_000
    stretch_error: Annotated[
        float,
        Meta(
            description="Probability that a stretch calls weights good enough, or better, that are not.",
            gt=0.0,
            lt=1.0,
            extra={"unit": "1"},
        ),
    ] = 0.01
    harms: Annotated[
        int,
        Meta(
            description="Harms within `gate.harms_within_s` after which weights go to shadow and learning rests.",
            ge=1,
            le=100,
            extra={"unit": "harms"},
        ),
    ] = 3
    harms_within_s: Annotated[
        float,
        Meta(description="Window in which repeated harms are counted.", gt=0.0, le=1e8, extra={"unit": "s"}),
    ] = 3600.0
    rest_s: Annotated[
        float,
        Meta(description="How long learning rests after repeated harm.", ge=0.0, le=1e8, extra={"unit": "s"}),
    ] = 600.0
    candidate_s: Annotated[
        float,
        Meta(
            description="How long a refitted model is compared before it is given up.",
            gt=0.0,
            le=1e8,
            extra={"unit": "s"},
        ),
    ] = 86_400.0

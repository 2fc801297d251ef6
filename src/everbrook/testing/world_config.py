"""What a made world is like: one frozen struct, and presets whose right answer is known.

Not the world itself (see `worlds`).
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from everbrook.errors import UnknownNameError

DAY_MS = 86_400_000


class WorldConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A made world: people with tastes, items that come and go, visits, and the law by which one chooses the other."""

    seed: Annotated[int, Meta(ge=0, description="Two worlds of one seed are one world.")] = 0
    start_ms: Annotated[int, Meta(ge=0, description="The first moment, milliseconds since 1970.")] = 1_750_032_000_000
    days: Annotated[float, Meta(gt=0, description="How long the world lasts.")] = 10.0
    events_per_day: Annotated[float, Meta(gt=0, description="Expected events a day, bots aside.")] = 10_000.0

    items: Annotated[int, Meta(ge=1, description="Items that exist at some time.")] = 1_000
    genres: Annotated[int, Meta(ge=1, le=64, description="Genres; each item has one.")] = 12
    popularity: Annotated[float, Meta(ge=0, description="Zipf exponent of the items' lasting weights.")] = 0.7
    born_share: Annotated[float, Meta(ge=0, le=1, description="Share of items born after the start, evenly.")] = 0.0
    rise_s: Annotated[float, Meta(ge=0, description="Time in which a new item comes to 63 % of its weight.")] = 0.0
    fade_s: Annotated[float, Meta(ge=0, description="Mean time in which weight falls by e; 0: never.")] = 0.0
    death_s: Annotated[float, Meta(ge=0, description="Age at which an item is gone; 0: never.")] = 0.0
    bursts_per_day: Annotated[float, Meta(ge=0, description="Items that trend all of a sudden, a day.")] = 0.0
    burst: Annotated[float, Meta(ge=0, description="Factor on the weight when a trend begins.")] = 50.0
    burst_s: Annotated[float, Meta(gt=0, description="Time in which a trend falls by e.")] = 7_200.0
    tick_s: Annotated[float, Meta(gt=0, description="Item weights are constant in between.")] = 3_600.0

    users: Annotated[int, Meta(ge=1, description="People who exist at some time.")] = 1_000
    activity: Annotated[float, Meta(ge=0, description="Spread of how often people come (log-normal sigma).")] = 1.0
    new_share: Annotated[float, Meta(ge=0, le=1, description="Share of people who first come after the start.")] = 0.0
    taste: Annotated[float, Meta(ge=0, description="Spread of the utility of genres, in nats; 0: all alike.")] = 1.5
    drift_per_day: Annotated[float, Meta(ge=0, description="How far tastes turn a day, in radians.")] = 0.0
    flip_days: Annotated[
        tuple[float, ...], Meta(description="Days after the start at which all tastes turn over.")
    ] = ()
    parity: Annotated[bool, Meta(description="Person and genre of the same parity like each other, and no other.")] = (
        False
    )

    successors: Annotated[int, Meta(ge=0, description="How many items tend to follow each item in a visit.")] = 0
    follow: Annotated[float, Meta(ge=0, description="Odds of going to a successor against anything else.")] = 0.0
    outside: Annotated[
        float, Meta(ge=0, description="Weight of taking nothing from a shown list, in items of average weight.")
    ] = 100.0

    visit_events: Annotated[float, Meta(ge=1, description="Mean events of a visit.")] = 5.0
    gap_s: Annotated[float, Meta(gt=0, description="Mean time between the events of a visit.")] = 60.0
    day_swing: Annotated[float, Meta(ge=0, lt=1, description="How much busier the day is than the night.")] = 0.5
    guest_share: Annotated[float, Meta(ge=0, le=1, description="Share of visits that begin without a user.")] = 0.0
    join_share: Annotated[float, Meta(ge=0, le=1, description="Share of guests' visits that sign in midway.")] = 0.5
    name_sessions: Annotated[bool, Meta(description="Whether visits of known users carry a session id too.")] = True
    kinds: Annotated[tuple[str, ...], Meta(description="Kinds of events, each a step deeper on one item.")] = ("view",)
    deeper: Annotated[
        tuple[float, ...], Meta(description="Chance that the next event goes one kind deeper on the same item.")
    ] = ()
    scenarios: Annotated[tuple[str, ...], Meta(description="Places where visits happen; none: no scenario.")] = ()
    tilt: Annotated[float, Meta(ge=0, description="Spread of what a place adds to the utility of genres.")] = 0.0
    ratings: Annotated[bool, Meta(description="Whether events carry a value of 1..5 that follows the taste.")] = False
    bots: Annotated[int, Meta(ge=0, description="Machines that push one item each, at random times.")] = 0
    bot_events: Annotated[int, Meta(ge=1, description="Events of a bot's only visit, one a second.")] = 500

    @property
    def end_ms(self) -> int:
        """The first moment after the world."""
        return self.start_ms + round(self.days * DAY_MS)


PRESETS: dict[str, WorldConfig] = {
    "shop": WorldConfig(
        items=2_000, users=2_000, days=28, events_per_day=5_000, born_share=0.3, new_share=0.4, rise_s=86_400,
        bursts_per_day=1, drift_per_day=0.02, successors=2, follow=0.5, guest_share=0.25,
        kinds=("view", "cart", "purchase"), deeper=(0.15, 0.4), scenarios=("home", "product", "search"), tilt=0.5,
    ),
    "news": WorldConfig(
        items=3_000, users=5_000, days=8, events_per_day=25_000, genres=16, born_share=0.97, new_share=0.5, taste=0.8,
        popularity=1.0, rise_s=1_200, fade_s=14_400, death_s=172_800, bursts_per_day=6, tick_s=300, successors=2,
        follow=0.3, visit_events=3, gap_s=90, guest_share=0.5, kinds=("click",), tilt=0.5,
        scenarios=("front", "search", "social"),
    ),
    # A personal model can only lose here: everyone is the same, and nothing follows from anything.
    "popularity-only": WorldConfig(items=500, users=500, taste=0.0, popularity=1.0),
    "flip": WorldConfig(items=400, users=200, genres=8, taste=3.0, popularity=0.3, flip_days=(5.0,)),
    # Nine of ten events within a visit are a known function of the one before.
    "markov": WorldConfig(items=500, users=300, taste=0.0, popularity=0.0, successors=1, follow=9.0, visit_events=20),
    "checkerboard": WorldConfig(items=200, users=200, genres=2, taste=8.0, popularity=0.0, parity=True),
}  # fmt: skip


def preset(name: str, **changes: object) -> WorldConfig:
    """A preset by name, with fields replaced.

    Raises:
        UnknownNameError: when there is no such preset.
    """
    if name not in PRESETS:
        raise UnknownNameError("world", name, PRESETS)
    return msgspec.structs.replace(PRESETS[name], **changes)

"""What is asked for and what is answered, as the three doors speak it."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

VARIANTS = "The variant of each running experiment under which the list was made, by the experiment's name."


class Boost(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Items whose probability is multiplied."""

    filter: str
    by: float


class Pin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An item that is to stand in a place, counted from 0."""

    item: str
    position: int


class Recommend(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A wish for a list. Ids are the caller's; `at` is milliseconds since 1970 or RFC 3339 text."""

    user: str | None = None
    session: str | None = None
    k: int = 20
    scenario: str | None = None
    item: str | None = None
    items: tuple[str, ...] = ()
    query: str | None = None
    candidates: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()
    exclude_seen: bool | None = None
    categories: tuple[str, ...] = ()
    filter: str | None = None
    boost: tuple[Boost, ...] = ()
    pin: tuple[Pin, ...] = ()
    diversity: float | None = None
    calibration: float | None = None
    freshness: float | None = None
    popularity: float | None = None
    explore: float | None = None
    explain: bool = True
    context: dict[str, str | int | float | bool] | None = None
    at: int | str | None = None


class Reason(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Why an item stands in the list: which expert brought it and, where there is one, because of which item."""

    kind: str  # 'because' (of an item) | 'expert' | 'pin'
    expert: str
    share: float  # of the item's probability that the expert gave, 0..1
    text: str
    item: str | None = None


class Recommended(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One place of the list."""

    id: str
    score: float  # probability that it comes next, given that it is one of the visible, times the wish's factors
    propensity: float = 1.0  # probability that the item was shown in this place; 1.0 without exploration
    title: str | None = None
    reasons: tuple[Reason, ...] = ()


class ModelStamp(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Which published version answered."""

    version: str
    offset: int  # log offset up to which the published model has learned
    age_ms: int


class Recommendation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The answer."""

    request: str
    items: tuple[Recommended, ...]
    model: ModelStamp
    took_ms: float
    variants: Annotated[dict[str, str], Meta(description=VARIANTS)] = {}


class Near(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An item that is like another."""

    id: str
    score: float  # 0..1, the mean of the shares
    shares: dict[str, float]  # by where the likeness is seen: 'behaviour', 'content', 'categories', 'sequence', 'live'
    title: str | None = None


class Similar(msgspec.Struct, frozen=True, kw_only=True):
    """Items like one, most alike first."""

    item: str
    items: tuple[Near, ...]


class Trend(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An item and how much happened with it lately."""

    id: str
    score: float  # events within the window that say something good
    title: str | None = None


class Trending(msgspec.Struct, frozen=True, kw_only=True):
    """What happens most, most first."""

    window: str
    window_s: Annotated[
        int, Meta(description="How long the window is. Counts are kept for 64 days; a longer window is refused (400).")
    ]
    since_ms: Annotated[
        int,
        Meta(
            description="Where the window begins. Events are counted by 10 seconds where it is at most 15 minutes "
            "long, by 5 minutes up to 3 hours, by hours up to 3 days, by days beyond; of the count in which it begins, "
            "the share counts that lies within it."
        ),
    ]
    scenario: str | None
    items: tuple[Trend, ...]


class Part(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who or what brought an item, and its share of what was brought."""

    share: float
    expert: str | None = None
    item: str | None = None


class Hindrance(msgspec.Struct, frozen=True, kw_only=True):
    """What keeps an item out of a list."""

    kind: str  # 'hidden' | 'expired' | 'disliked' | 'seen' | 'excluded' | 'filtered' | 'rank' | …
    text: str


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """Why an item stands where it stands in a list of k, or why not."""

    item: str
    user: str | None
    shown: bool
    rank: int  # among all candidates by probability, from 1, the item itself counted wherever it may be shown
    candidates: int
    probability: float
    needed: float  # probability of the last item of the list of k
    lift: float  # what the probability would have to be multiplied by to be in the list; 1 where it is
    experts: tuple[Part, ...]
    history: tuple[Part, ...]  # by leaving each past item out
    hindrances: tuple[Hindrance, ...]
    model: ModelStamp
    variants: Annotated[dict[str, str], Meta(description=VARIANTS)] = {}

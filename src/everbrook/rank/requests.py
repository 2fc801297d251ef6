"""What is asked for and what is answered, as the three doors speak it."""

from __future__ import annotations

import msgspec


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
    explain: bool = True
    context: dict[str, str | int | float | bool] | None = None
    at: int | str | None = None


class Reason(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why an item stands in the list: which expert brought it and, where there is one, because of which item."""

    kind: str  # 'because' (of an item) | 'expert'
    expert: str
    share: float  # of the item's probability that the expert gave, 0..1
    text: str
    item: str | None = None


class Recommended(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One place of the list."""

    id: str
    score: float  # probability that this item comes next, given that it is one of the visible
    propensity: float = 1.0  # probability that the item was shown in this place; 1.0 without exploration
    title: str | None = None
    reasons: tuple[Reason, ...] = ()


class ModelStamp(msgspec.Struct, frozen=True, kw_only=True):
    """Which published version answered."""

    version: str
    offset: int  # log offset up to which the published model has learned
    age_ms: int


class Recommendation(msgspec.Struct, frozen=True, kw_only=True):
    """The answer."""

    request: str
    items: tuple[Recommended, ...]
    model: ModelStamp
    took_ms: float

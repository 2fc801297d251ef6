"""Settings of rule-based lists."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A list of items by a filter and an order."""

    name: Annotated[str, Meta(description="What the column is called, after 'rules/'.", min_length=1, max_length=64)]
    order: Annotated[
        Literal["newest", "popular", "highest", "lowest", "manual"], Meta(description="What stands first.")
    ] = "newest"
    scenarios: Annotated[
        tuple[str, ...], Meta(description="Scenarios in which the rule applies; all where empty.")
    ] = ()
    categories: Annotated[tuple[str, ...], Meta(description="An item must have one of these; any where empty.")] = ()
    tags: Annotated[tuple[str, ...], Meta(description="An item must have one of these; any where empty.")] = ()
    kinds: Annotated[
        tuple[str, ...], Meta(description="Kinds of events that count for 'popular'; all where empty.")
    ] = ()
    property: Annotated[str, Meta(description="The numeric property by which 'highest' and 'lowest' order.")] = ""
    items: Annotated[tuple[str, ...], Meta(description="The items of a 'manual' list, first one first.")] = ()
    max_age_s: Annotated[
        float, Meta(description="Items that exist for longer are left out; 0 keeps all.", ge=0, extra={"unit": "s"})
    ] = 0.0
    half_life_s: Annotated[
        float, Meta(description="Half-life of the counts of 'popular'; 0 never forgets.", ge=0, extra={"unit": "s"})
    ] = 86_400.0
    limit: Annotated[int, Meta(description="Length of the list.", ge=1, le=10_000, extra={"unit": "items"})] = 200
    falloff: Annotated[
        float, Meta(description="Probability of each place as a fraction of the one before.", gt=0, le=1)
    ] = 0.97


class RulesSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rule-based lists, one column each."""

    rules: Annotated[tuple[Rule, ...], Meta(description="The lists.")] = (Rule(name="newest"),)
    least_rest: Annotated[float, Meta(description="Share that each list leaves to the base.", ge=0, lt=1,
                                      extra={"unit": "share"})] = 0.2
    refresh_events: Annotated[
        int, Meta(description="Events after which 'popular' lists are ordered anew.", ge=1, extra={"unit": "events"})
    ] = 256

"""Filters and boosts of a wish for a list: its own, and those that the variants of experiments join to it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from everbrook.errors import InputError
from everbrook.rank.requests import Boost, Recommend

MOST_BY = 1000.0
MOST_BOOSTS = 32  # of one wish, and of one variant


class Joined(Recommend, frozen=True, kw_only=True, omit_defaults=True):
    """A wish with what variants join to it: every filter is read by itself, so that no text reaches into another."""

    filters: tuple[str, ...] = ()
    boosts: tuple[Boost, ...] = ()


def joined(wish: Recommend, filters: tuple[str, ...], boosts: tuple[Boost, ...]) -> Joined:
    """A wish with more filters and boosts beside its own."""
    own = wish if isinstance(wish, Joined) else Joined(**msgspec.structs.asdict(wish))
    return msgspec.structs.replace(own, filters=(*own.filters, *filters), boosts=(*own.boosts, *boosts))


def filters_of(wish: Recommend) -> tuple[str, ...]:
    """All filters that a list is made under, the wish's own first."""
    own = () if wish.filter is None else (wish.filter,)
    return (*own, *wish.filters) if isinstance(wish, Joined) else own


def boosts_of(wish: Recommend) -> tuple[Boost, ...]:
    """All boosts that a list is made under, the wish's own first."""
    return (*wish.boost, *wish.boosts) if isinstance(wish, Joined) else wish.boost


def check_boosts(boosts: Sequence[Boost], whose: str = "") -> None:
    """Refuse boosts that no list may have.

    Args:
        boosts: of one wish or of one variant.
        whose: which variant's, as the message says it.

    Raises:
        InputError: they are too many, or one multiplies by what it must not.
    """
    if len(boosts) > MOST_BOOSTS:
        raise InputError(f"'boost'{whose} must have at most {MOST_BOOSTS} entries; got {len(boosts)}.")
    for boost in boosts:
        if not 0.0 <= boost.by <= MOST_BY:
            raise InputError(f"'by' of a boost{whose} must be between 0 and {MOST_BY:g}; got {boost.by:g}.")


__all__ = ["MOST_BOOSTS", "MOST_BY", "Joined", "boosts_of", "check_boosts", "filters_of", "joined"]

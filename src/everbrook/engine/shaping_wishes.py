"""What a wish says beside whose list it is: filters, boosts, pins, influences; checked, with their rows found."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from everbrook.engine.core import Core
from everbrook.engine.joined_wishes import boosts_of, check_boosts
from everbrook.errors import InputError
from everbrook.rank.requests import Boost, Recommend
from everbrook.rank.shaping import Freshness, Shaping
from everbrook.rank.spaces import joined, spaces_of
from everbrook.rank.variety import Mix, mix_of, no_mix
from everbrook.settings.rank import RankSettings
from everbrook.types import F32, I32, I64, NO_ROW, Bool, Query

MOST_DISLIKED = 16  # the latest, against which candidates are held
_LEAST = {"diversity": 0.0, "calibration": 0.0, "explore": 0.0, "freshness": -1.0, "popularity": -1.0}
_NO_PINS = (np.empty(0, np.int32), np.empty(0, np.int64))


def shaping_of(
    wish: Recommend, core: Core, settings: RankSettings, query: Query, disliked: I32, draws: np.random.Generator | None
) -> Shaping | None:
    """All that decides beside the probability; None where nothing does.

    Args:
        wish: what is asked for.
        core: knows what there is.
        settings: what holds where the wish says nothing.
        query: whose list.
        disliked: items that the asker does not want, latest last.
        draws: where chance comes from; fresh where None.

    Raises:
        InputError: a number is out of range, or pins contradict each other.
        FilterError: a boost's filter cannot be read or does not fit the catalogue.
    """
    check_boosts(wish.boost)
    asked = {name: _number(wish, settings, name) for name in _LEAST}
    boosts = boosts_of(wish)
    if not (boosts or wish.pin or len(disliked) or any(asked.values())):
        return None
    pinned, positions = _pins(wish, core, query.now_ms) if wish.pin else _NO_PINS
    freshness = None
    if asked["freshness"]:
        half_life_ms = 1000.0 * settings.fresh_half_life_s
        born_ms = partial(_born_ms, core)
        freshness = Freshness(asked["freshness"], settings.fresh_factor, half_life_ms, born_ms, query.now_ms)
    return Shaping(
        boosts=_masked(boosts, core, query.now_ms), pinned=pinned, positions=positions, freshness=freshness,
        popularity=asked["popularity"], disliked=disliked[-MOST_DISLIKED:], dislike=settings.dislike,
        diversity=asked["diversity"], calibration=asked["calibration"], pool=settings.pool, explore=asked["explore"],
        temperature=settings.explore_temperature, draws=draws or np.random.default_rng(),
        vectors=partial(vectors_of, core), mix=partial(_mix, core, query.items if asked["calibration"] else None),
    )  # fmt: skip


def _number(wish: Recommend, settings: RankSettings, name: str) -> float:
    given = getattr(wish, name)
    if given is None:
        return float(getattr(settings, name))
    if not _LEAST[name] <= given <= 1.0:
        raise InputError(f"'{name}' must be between {_LEAST[name]:g} and 1; got {given:g}.")
    return float(given)


def _masked(boosts: Sequence[Boost], core: Core, now_ms: int) -> tuple[tuple[Bool, float], ...]:
    """(N,) which items each boost is for, and what it multiplies their probability by."""
    return tuple((core.filters.mask(boost.filter, now_ms), boost.by) for boost in boosts)


def _pins(wish: Recommend, core: Core, now_ms: int) -> tuple[I32, I64]:
    """The rows that are pinned and may be shown, and where; ids that nobody knows are passed over, as in `exclude`."""
    ids, positions = [pin.item for pin in wish.pin], [pin.position for pin in wish.pin]
    for name, values in (("item", ids), ("position", positions)):
        twice = [value for place, value in enumerate(values) if value in values[:place]]
        if twice:
            raise InputError(f"'pin' must name each {name} once; got '{twice[0]}' twice.")
    wrong = [position for position in positions if not 0 <= position < wish.k]
    if wrong:
        raise InputError(f"'position' of a pin must be between 0 and {wish.k - 1}, the list's last; got {wrong[0]}.")
    both = sorted(set(ids) & set(wish.exclude))
    if both:
        raise InputError(f"An item must not be both pinned and excluded; got '{both[0]}' in 'pin' and 'exclude'.")
    rows = core.state.items.rows(ids)
    shown = rows != NO_ROW
    shown[shown] = core.state.visible(now_ms)[rows[shown]]
    return rows[shown], np.array(positions, np.int64)[shown]


def vectors_of(core: Core, rows: I32) -> F32:
    """(M, D) where items lie, for their likeness."""
    return joined(spaces_of(core.mixture, core.state, rows), len(rows))


def _born_ms(core: Core, rows: I32) -> I64:
    state = core.state
    return state.catalogue.born_ms_of(rows, state.births.first_ms(state.n_items))


def _mix(core: Core, history: I32 | None, rows: I32) -> Mix:
    if history is None:
        return no_mix(len(rows))
    categories = core.state.catalogue.categories
    return mix_of(categories.of(history), categories.of(rows))

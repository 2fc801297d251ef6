"""From candidates to the list: what may be shown, and the best k of it."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, TypeAlias, TypeVar

import msgspec
import numpy as np

from everbrook.models.best import pick_best
from everbrook.models.members import allowed_of, among
from everbrook.rank.exploring import explored
from everbrook.rank.mixture import Mixture
from everbrook.rank.shaping import Shaping
from everbrook.rank.variety import varied
from everbrook.rank.weighing import Asked, Weighed
from everbrook.types import F64, I32, I64, NO_ROW, Bool, Query

MadeT = TypeVar("MadeT")
Steps: TypeAlias = Generator[Query | Asked, Any, MadeT]
"""What is made step by step: it says whose candidates or what weights it needs, and is given them."""

MOST_BOOSTED = 200
_NO_ROWS: I32 = np.empty(0, np.int32)
_FILLED = 5  # where a filter takes most proposals away, popular items join until there are so many for each place


class Match(msgspec.Struct, frozen=True, eq=False, gc=False):
    """What a typed text matches."""

    rows: I32  # (M,)
    relevance: F64  # (M,) probability of each item under the text alone


class Wish(msgspec.Struct, frozen=True, eq=False, gc=False):
    """What is asked for, in row space."""

    query: Query
    k: int
    allowed: Bool  # (N,) rows that may be shown
    narrow: bool  # whether `allowed` is a filter's doing, so that proposals may miss most of it
    left_out: I32  # rows that may not be shown and are known not to come (seen, excluded)
    only: I32 | None  # rank just these rows
    match: Match | None = None  # rank just what a typed text matches, by both
    shaping: Shaping | None = None  # what else decides beside the probability


class Listed(msgspec.Struct, frozen=True, eq=False, gc=False):
    """The list, best first."""

    rows: I32  # (T,)
    scores: F64  # (T,) probability that the item comes next
    weighed: Weighed
    places: I32  # (T,) position of each listed item among the weighed candidates
    propensities: F64 | None = None  # (T,) probability that each was shown in its place; None: all 1


def make_list(mixture: Mixture, wish: Wish, scan: int) -> Listed:
    """The best k of what may be shown.

    Args:
        mixture: what knows.
        wish: what is asked for.
        scan: up to so many allowed rows are all scored where a filter is narrow; 0: never.
    """
    return make_lists(mixture, [wish], scan)[0]


def make_lists(mixture: Mixture, wishes: Sequence[Wish], scan: int) -> list[Listed]:
    """A list for each wish, made together: what they need of the mixture is asked for at once.

    Args:
        mixture: what knows.
        wishes: what is asked for.
        scan: see `make_list`.
    """
    if all(one.shaping is None and one.match is None and one.only is None for one in wishes):
        return _plain(mixture, wishes, scan)
    return _together(mixture, [_made(mixture, wish, scan) for wish in wishes])


def _plain(mixture: Mixture, wishes: Sequence[Wish], scan: int) -> list[Listed]:
    """Lists of which the probability alone decides, as `_made` makes them one by one."""
    shown: list[I32 | None] = [_every(mixture, wish, scan) for wish in wishes]
    lacking = [at for at, rows in enumerate(shown) if rows is None]
    if lacking:
        proposed = mixture.candidates_of([wishes[at].query for at in lacking])
        for at, rows in zip(lacking, proposed, strict=True):
            shown[at] = _filled(mixture, wishes[at], rows)
    asked = [
        Asked(wish.query, rows, _NO_ROWS, wish.left_out)
        for wish, rows in zip(wishes, shown, strict=True) if rows is not None
    ]  # fmt: skip
    return [_best(weighed, wish.k) for weighed, wish in zip(mixture.weigh_all(asked), wishes, strict=True)]


def _best(weighed: Weighed, k: int) -> Listed:
    """The best k of what may be shown."""
    places, rows, scores = _picked(weighed.final, weighed.rows, weighed.shown, k)
    return Listed(rows, scores, weighed, places)


def _picked(final: F64, rows: I32, shown: int, k: int) -> tuple[I32, I32, F64]:
    """Of the first so many the best k, best first: where they are, their rows, and what they have."""
    size = max(0, min(k, shown))
    picked: tuple[I32, I32, F64] = np.empty(size, np.int32), np.empty(size, np.int32), np.empty(size)
    pick_best(final, rows, shown, *picked)
    return picked


def _together(mixture: Mixture, steps: Sequence[Steps[MadeT]]) -> list[MadeT]:
    """Let each of several go on until all are done, and give them what they wait for."""
    made: dict[int, MadeT] = {}
    given: dict[int, Any] = dict.fromkeys(range(len(steps)))
    while given:
        queries: dict[int, Query] = {}
        asked: dict[int, Asked] = {}
        for at, told in given.items():
            try:
                wanted = steps[at].send(told)
            except StopIteration as done:
                made[at] = done.value
                continue
            if isinstance(wanted, Query):
                queries[at] = wanted
            else:
                asked[at] = wanted
        given = dict(zip(queries, mixture.candidates_of(list(queries.values())), strict=True)) if queries else {}
        given |= dict(zip(asked, mixture.weigh_all(list(asked.values())), strict=True)) if asked else {}
    return [made[at] for at in range(len(steps))]


def _made(mixture: Mixture, wish: Wish, scan: int) -> Steps[Listed]:
    shown = yield from _rows(mixture, wish, scan)
    shaping = wish.shaping
    if shaping is not None:
        return (yield from _shaped(mixture, wish, shaping, shown))
    weighed: Weighed = yield Asked(wish.query, shown, _NO_ROWS, wish.left_out)
    if wish.match is None:
        return _best(weighed, wish.k)
    final = of_both(weighed.final[: weighed.shown], shown, wish.match)
    places, rows, scores = _picked(final, weighed.rows, weighed.shown, wish.k)
    return Listed(rows, scores, weighed, places)


def _shaped(mixture: Mixture, wish: Wish, shaping: Shaping, shown: I32) -> Steps[Listed]:
    """The list where more than the probability decides: factors, variety, draws, pinned places."""
    pinned = shaping.pinned
    shown = _with_boosted(mixture, wish, shaping, shown)
    if len(pinned):
        shown = shown[~among(shown, pinned)]
    weighed: Weighed = yield Asked(wish.query, shown, pinned, wish.left_out)
    m = weighed.shown
    final = weighed.final.copy()
    if wish.match is not None:
        final[:m] = of_both(final[:m], shown, wish.match)
    final *= shaping.factors(mixture, weighed)
    free = min(wish.k - len(pinned), m)
    most = max(free, shaping.pool)
    best, _, _ = _picked(final, weighed.rows, m, max(most, 2 * free) if shaping.explore else most)
    pool, below = best[:most], best[most:]  # variety chooses of the pool; each place needs something below to draw
    ranked, rest = pool[:free], pool[free:]
    if (shaping.diversity or shaping.calibration) and free > 0:
        ranked, rest = _varied(shaping, weighed.rows, final, pool, free)
    known = np.ones(len(ranked))
    if shaping.explore:
        rest = np.concatenate((rest, below))
        ranked, known = explored(ranked, rest, final, shaping.explore, shaping.temperature, shaping.draws)
    places, known = _pinned(ranked, known, m + np.arange(len(pinned)), shaping.positions)
    return Listed(weighed.rows[places], final[places], weighed, places, known)


def _varied(shaping: Shaping, rows: I32, final: F64, pool: I32, free: int) -> tuple[I32, I32]:
    """What variety chooses of a pool that stands best first, and the rest; what has no probability only fills up."""
    able = pool[final[pool] > 0.0]
    beside = np.concatenate((rows[able], shaping.pinned))
    chosen = varied(
        shaping.vectors(beside) if shaping.diversity else np.zeros((len(beside), 1), np.float32),
        final[able], shaping.mix(beside), free, (shaping.diversity, shaping.calibration),
        _turns(free, shaping.positions),
    )  # fmt: skip
    rest = np.delete(pool, chosen)
    more = free - len(chosen)
    return np.concatenate((pool[chosen], rest[:more])), rest[more:]


def _turns(others: int, positions: I64) -> I64:
    """(places,) which pin stands in each place, NO_ROW where one of the others does; a pin beyond the end is last."""
    total = others + len(positions)
    taken = np.zeros(max(total, int(positions.max(initial=-1)) + 1), np.bool_)
    taken[positions] = True
    slots = np.concatenate((positions, np.flatnonzero(~taken)[:others]))
    order = np.argsort(slots, kind="stable")
    return np.where(order < len(positions), order, NO_ROW)


def _pinned(ranked: I32, known: F64, pins: I64, positions: I64) -> tuple[I32, F64]:
    """Pinned candidates at their positions, the others in the places between."""
    if not len(pins):
        return ranked, known
    turns = _turns(len(ranked), positions)
    places, odds = np.empty(len(turns), np.int32), np.ones(len(turns))
    places[turns >= 0] = pins[turns[turns >= 0]]
    places[turns < 0], odds[turns < 0] = ranked, known
    return places, odds


def competing(mixture: Mixture, wish: Wish, scan: int) -> I32:
    """The rows that compete for a list, before any is weighed.

    Args:
        mixture: what proposes.
        wish: what is asked for.
        scan: see `make_list`.
    """
    shown = _together(mixture, [_rows(mixture, wish, scan)])[0]
    return shown if wish.shaping is None else _with_boosted(mixture, wish, wish.shaping, shown)


def _with_boosted(mixture: Mixture, wish: Wish, shaping: Shaping, shown: I32) -> I32:
    """With items that a boost lifts though nobody proposes them: all where they are few, else the popular ones."""
    if wish.only is not None or wish.match is not None:
        return shown
    for mask, by in shaping.boosts:
        if by <= 1.0:
            continue
        if np.count_nonzero(mask) <= MOST_BOOSTED:
            lifted: I32 = np.flatnonzero(mask).astype(np.int32)
        else:
            popular = mixture.experts[0].propose(wish.query, min(mixture.n_items, MOST_BOOSTED))
            lifted = popular[mask[popular]]
        lifted = lifted[wish.allowed[lifted]]
        lifted = lifted[~among(lifted, wish.left_out)]
        shown = np.concatenate((shown, lifted[~among(lifted, shown)]))
    return shown


def of_both(final: F64, shown: I32, match: Match) -> F64:
    """The product of two opinions, scaled to sum 1 (a log-linear pool of equal weights; Genest & Zidek 1986).

    Args:
        final: (M,) the mixture's.
        shown: (M,) rows.
        match: the other; what it does not name has none of its probability.
    """
    relevance = np.zeros(1 + max(int(match.rows.max(initial=0)), int(shown.max(initial=0))))
    relevance[match.rows] = match.relevance
    product = final * relevance[shown]
    return np.asarray(product / max(float(product.sum()), 1e-300), dtype=np.float64)


def _rows(mixture: Mixture, wish: Wish, scan: int) -> Steps[I32]:
    given = wish.only if wish.match is None else wish.match.rows
    if given is not None:
        if wish.match is not None and wish.only is not None:
            given = given[among(given, wish.only)]
        return allowed_of(given, wish.allowed, wish.left_out)
    every = _every(mixture, wish, scan)
    if every is not None:
        return every
    shown: I32 = yield wish.query
    return _filled(mixture, wish, shown)


def _every(mixture: Mixture, wish: Wish, scan: int) -> I32 | None:
    """All that is allowed, where it is little enough to be weighed whole; None where it is not."""
    most = most_weighed(mixture, scan, wish.narrow)
    least = np.count_nonzero(wish.allowed) - len(wish.left_out) if wish.narrow else len(wish.allowed)
    if least <= most:
        every: I32 = np.flatnonzero(wish.allowed).astype(np.int32)
        every = every[~among(every, wish.left_out)] if len(wish.left_out) else every
        if len(every) <= most:
            return every
    return None


def _filled(mixture: Mixture, wish: Wish, shown: I32) -> I32:
    """What of proposals is allowed; with others where they do not fill the list, and what its places draw from."""
    shown = allowed_of(shown, wish.allowed, wish.left_out)
    k = wish.k if wish.shaping is None or not wish.shaping.explore else 2 * wish.k
    if len(shown) < (max(_FILLED * wish.k, k) if wish.narrow else k):
        shown = np.concatenate((shown, _more(mixture, wish, shown, k)))
    return shown


def most_weighed(mixture: Mixture, scan: int, is_narrow: bool) -> int:
    """Up to how many allowed items are all weighed, whoever proposes them.

    Without a filter: as many as the families might propose together, which costs no more than to let them propose.

    Args:
        mixture: whose families.
        scan: see `make_list`.
        is_narrow: whether a filter says what is allowed.
    """
    return scan if is_narrow else min(scan, len(mixture.experts) * mixture.settings.candidates)


def _more(mixture: Mixture, wish: Wish, shown: I32, k: int) -> I32:
    """Popular items, then any, where the proposals are fewer than k."""
    rest = wish.allowed.copy()
    rest[wish.left_out] = False
    rest[shown] = False
    popular = mixture.experts[0].propose(wish.query, min(mixture.n_items, 20 * wish.k + len(shown)))
    popular = popular[rest[popular]]
    if len(popular) >= k - len(shown):
        return popular
    rest[popular] = False
    return np.concatenate((popular, np.flatnonzero(rest)[:k].astype(np.int32)))


__all__ = ["NO_ROW", "Listed", "Wish", "competing", "make_list", "make_lists", "most_weighed", "of_both"]

"""Why an item stands where it stands in somebody's list, or what holds it back: worked out anew, without the list's
short cuts."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np

from everbrook.engine.core import Core
from everbrook.engine.joined_wishes import filters_of
from everbrook.engine.searching import matched
from everbrook.engine.wishes import disliked_of, read_wish, seen_of
from everbrook.events.log_intake import shown_ms
from everbrook.models.members import among
from everbrook.rank.lists import Listed, Wish, competing, make_list, of_both
from everbrook.rank.mixture import Mixture
from everbrook.rank.reasons import column_weights, shares
from everbrook.rank.requests import Explained, Hindrance, ModelStamp, Part, Recommend
from everbrook.rank.weighing import Weighed
from everbrook.settings.rank import RankSettings
from everbrook.types import F64, I32, Query

MOST_PAST = 16  # items of the history that are left out one by one, the latest
_LEAST_SHARE = 0.0005
_NOTHING = np.empty(0, np.int32)


def explained(
    core: Core, settings: RankSettings, wish: Recommend, item: tuple[str, int], now_ms: int, stamp: ModelStamp
) -> Explained:
    """Weigh an item as a list would, and say who brought it and what keeps it out.

    Args:
        core: knows who and what there is.
        settings: of lists.
        wish: the list that the item would stand in.
        item: its id and row.
        now_ms: the present.
        stamp: which version answers.
    """
    asked = read_wish(wish, core, settings, now_ms)
    row = item[1]
    found = hindrances(core, settings, wish, asked, row)
    listed = make_list(core.mixture, asked, settings.scan)
    weighed, final, at = _weighed(core, asked, settings.scan, row)
    others = np.delete(final, at)
    rank = 1 + int((others > final[at]).sum() + (final[weighed.rows < row] == final[at]).sum())
    free = wish.k - (0 if asked.shaping is None else len(asked.shaping.pinned))
    needed = float(np.sort(others)[-max(free, 1)]) if len(others) >= max(free, 1) else 0.0
    shown = bool((listed.rows == row).any())
    lift = 1.0 if shown or final[at] >= needed else needed / max(float(final[at]), 1e-300)
    if not shown and not found:
        stands = _Standing(rank, len(final), float(final[at]), needed, lift, wish.k, free)
        found = _unlisted(core.mixture, stands, is_weighed=bool((listed.weighed.rows == row).any()))
    place = np.array([at], np.int32)
    given = shares(core.mixture, Listed(weighed.rows[place], final[place], weighed, place))[0]
    order = [column for column in np.argsort(-given).tolist() if given[column] >= _LEAST_SHARE]
    return Explained(
        item=item[0], user=wish.user, shown=shown, rank=rank, candidates=len(final), probability=float(final[at]),
        needed=needed, lift=lift, hindrances=found, model=stamp, history=_history(core, asked.query, row),
        experts=tuple(Part(share=round(float(given[c]), 4), expert=core.mixture.columns[c]) for c in order),
    )  # fmt: skip


def _weighed(core: Core, asked: Wish, scan: int, row: int) -> tuple[Weighed, F64, int]:
    """The candidates with the item among them, whether or not it may be shown: probabilities, and where it is."""
    mixture, match = core.mixture, asked.match
    shown = competing(mixture, asked, scan)
    if asked.shaping is not None:
        shown = shown[~among(shown, asked.shaping.pinned)]
    if not (shown == row).any():
        shown = np.append(shown, np.int32(row)).astype(np.int32)
    weighed = mixture.weigh(asked.query, shown, _NOTHING, asked.left_out[asked.left_out != row])
    final = weighed.final.copy()
    if match is not None and not (match.rows == row).any():
        match = matched(core, asked.query, shown)
    if match is not None:
        final = of_both(final, weighed.rows, match)
    if asked.shaping is not None:
        final *= asked.shaping.factors(mixture, weighed)
    return weighed, final, int(np.flatnonzero(shown == row)[0])


def hindrances(core: Core, settings: RankSettings, wish: Recommend, asked: Wish, row: int) -> tuple[Hindrance, ...]:
    """What keeps an item out of a list whatever its probability."""
    state, at_ms = core.state, asked.query.now_ms
    record = state.catalogue.get(row)
    whole = state.query(now_ms=at_ms, user=wish.user, session=wish.session)
    guest = state.guest_beside(whole.actor, wish.session)
    exclude_seen = settings.exclude_seen if wish.exclude_seen is None else wish.exclude_seen
    item_id = state.items.id(row)
    asked_about = {*wish.items} | ({wish.item} if wish.item is not None else set())
    gone_ms = record.expires if record is not None and isinstance(record.expires, int) else None
    missed = [text for text in filters_of(wish) if not core.filters.mask(text, at_ms)[row]]
    unmatched = _unmatched(core, asked, row)
    told = {
        "hidden": (bool(state.catalogue.hidden(state.n_items)[row]), "It is hidden: its record says so."),
        "expired": (gone_ms is not None and gone_ms <= at_ms, f"It expired at {shown_ms(gone_ms or 0)}."),
        "disliked": (
            row in disliked_of(state, whole, guest), "The last thing that was heard of it is that it is not wanted."
        ),
        "seen": (
            exclude_seen and row in seen_of(state, whole, settings, guest), "It counts as seen, and seen items are out."
        ),
        "excluded": (item_id in wish.exclude, "The request excludes it."),
        "asked": (item_id in asked_about, "It is what the request asks about."),
        "candidates": (
            wish.candidates is not None and item_id not in wish.candidates, "It is not among the request's candidates."
        ),
        "categories": (
            bool(wish.categories) and not state.in_categories(wish.categories)[row],
            "It is in none of the request's categories.",
        ),
        "filtered": (
            bool(missed),
            "It does not match the request's filter." if wish.filter in missed else
            "It does not match the filter that a variant of an experiment joins to the request's.",
        ),
        "unmatched": (unmatched is not None, unmatched or ""),
    }  # fmt: skip
    return tuple(Hindrance(kind=kind, text=text) for kind, (holds, text) in told.items() if holds)


def _unmatched(core: Core, asked: Wish, row: int) -> str | None:
    """Why a search weighs others than this item; None where it is weighed, or where something else keeps it out."""
    if asked.match is None or (asked.match.rows == row).any():
        return None
    alone = matched(core, asked.query, np.array([row], np.int32))
    if alone is None or not len(alone.rows):
        return "The typed text does not match it."
    if asked.only is not None or not asked.allowed[row] or (asked.left_out == row).any():
        return None
    return (
        f"The typed text matches it, but it is not among the {len(asked.match.rows)} items that are weighed, which "
        "match best as far as content.postings reaches."
    )


@dataclass(frozen=True, slots=True)
class _Standing:
    """Where an item stands among the candidates."""

    rank: int
    candidates: int
    own: float  # probability
    needed: float  # that of the last item of the list
    lift: float
    k: int
    free: int  # places that no pin takes


def _unlisted(mixture: Mixture, at: _Standing, is_weighed: bool) -> tuple[Hindrance, ...]:
    """Why an item is not in the list though no wish keeps it out; more than one thing may."""
    if not is_weighed:
        most = mixture.settings.candidates
        text = (
            f"No family of experts proposed it among its first {most} items (mixture.candidates), so it was not "
            "weighed for this list; events with it, or a boost above 1, would make it a candidate."
        )
        unproposed = Hindrance(kind="unproposed", text=text)
        return (unproposed,) if at.rank <= at.free else (unproposed, _outranked(at))
    if at.rank <= at.free:
        text = f"It is ranked {at.rank} of {at.candidates}; variety gave its place to another."
        return (Hindrance(kind="variety", text=text),)
    return (_outranked(at),)


def _outranked(at: _Standing) -> Hindrance:
    stands = f"It is ranked {at.rank} of {at.candidates}"
    if at.own <= 0.0:
        text = "A boost by 0, or its likeness to what is not wanted, takes its whole probability away."
        return Hindrance(kind="factor", text=text)
    if at.rank <= at.k:
        text = f"{stands}, and pinned items take {at.k - at.free} of the {at.k} places."
        return Hindrance(kind="pin", text=text)
    if at.lift <= 1.0:
        text = f"{stands}, level with the list's last, which is known for longer; any boost above 1 would lift it."
        return Hindrance(kind="rank", text=text)
    return Hindrance(
        kind="rank",
        text=f"{stands}: its probability of {at.own:.3g} would have to be {at.lift:.3g} times as much, "
        f"{at.needed:.3g}, for a list of {at.k}; a boost by that, or events after which people take it, would lift it.",
    )


def _history(core: Core, query: Query, row: int) -> tuple[Part, ...]:
    """The share of each past item: how much the experts' probability falls when it is left out of the history."""
    whole = _expected(core.mixture, query, row)
    _, back = np.unique(query.items[::-1], return_index=True)
    past: I32 = query.items[::-1][np.sort(back)][:MOST_PAST]
    falls = np.array([max(0.0, whole - _expected(core.mixture, _without(query, one), row)) for one in past.tolist()])
    total = float(falls.sum()) if len(falls) else 0.0
    if total <= 0.0:
        return ()
    order = [at for at in np.argsort(-falls).tolist() if falls[at] >= _LEAST_SHARE * total]
    ids = core.state.items.ids(past[order])
    return tuple(Part(share=round(float(falls[at] / total), 4), item=one) for at, one in zip(order, ids, strict=True))


def _expected(mixture: Mixture, query: Query, row: int) -> float:
    """An item's probability under the pools and experts, without the stacker, which needs all candidates."""
    weighed = mixture.weigh(query, np.array([row], np.int32), _NOTHING, _NOTHING)
    weights = column_weights(mixture, weighed)
    return float(weighed.p[0] @ weights / max(float(weights.sum()), 1e-300))


def _without(query: Query, item_row: int) -> Query:
    kept = query.items != item_row
    session_n = int(kept[len(kept) - query.session_n :].sum())
    return msgspec.structs.replace(
        query, items=query.items[kept], times=query.times[kept], kinds=query.kinds[kept], session_n=session_n
    )

"""From rows to the answer that callers read: ids, titles, reasons in words."""

from __future__ import annotations

from everbrook.events.records import Impression
from everbrook.rank.lists import Listed, Wish, because, reasons_for, shares
from everbrook.rank.mixture import Mixture
from everbrook.rank.requests import Reason, Recommend, Recommendation, Recommended
from everbrook.state import State
from everbrook.types import NO_ROW

WORDS = {
    "popularity": "Popular now",
    "scenario": "Popular here",
    "transitions": "Often next",
    "window": "Often next",
    "covisit": "Often taken together",
    "repeats": "You had this before",
    "neighbours": "Others went on to this",
    "collaborative": "People with your taste took this",
    "content": "Similar in content",
    "rules": "Chosen for this place",
    "sequence": "Fits your history",
}
"""What each family of experts says when no single item is the reason."""

PINNED = Reason(kind="pin", expert="pin", share=1.0, text="Pinned here")


def describe(mixture: Mixture, state: State, listed: Listed, wish: Wish, most: int) -> tuple[Recommended, ...]:
    """The listed items as callers read them.

    Args:
        mixture: what made the list.
        state: knows ids and titles.
        listed: the list.
        wish: what it was made for.
        most: reasons an item may have; 0 gives none.
    """
    query, shaping = wish.query, wish.shaping
    pinned = set() if shaping is None else set(shaping.pinned.tolist())
    known = listed.propensities
    given = shares(mixture, listed) if most else None
    brought = because(mixture, listed, query) if most else {}
    items = []
    for place, row in enumerate(listed.rows):
        left = most - (int(row) in pinned)
        found = reasons_for(mixture, given, brought, place, left) if given is not None and left > 0 else []
        items.append(
            Recommended(
                id=state.items.id(int(row)), score=float(listed.scores[place]), title=state.catalogue.title(int(row)),
                propensity=1.0 if known is None else float(known[place]),
                reasons=(PINNED,) * (int(row) in pinned and most > 0) + tuple(_reason(state, *one) for one in found),
            )
        )  # fmt: skip
    return tuple(items)


def impression_of(wish: Recommend, answer: Recommendation, now_ms: int) -> Impression:
    """The record of a list that was shown."""
    return Impression(
        request=answer.request, items=tuple(item.id for item in answer.items), ts=now_ms, user=wish.user,
        session=wish.session, scenario=wish.scenario, model=answer.model.version,
        propensities=tuple(item.propensity for item in answer.items),
    )  # fmt: skip


def _reason(state: State, column: str, share: float, item_row: int) -> Reason:
    if item_row == NO_ROW:
        words = WORDS.get(column.partition("/")[0], column)
        return Reason(kind="expert", expert=column, share=round(share, 4), text=words)
    item_id = state.items.id(item_row)
    named = state.catalogue.title(item_row) or item_id
    return Reason(kind="because", expert=column, share=round(share, 4), text=f"Because of {named}", item=item_id)

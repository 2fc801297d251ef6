"""From rows to the answer that callers read: ids, titles, reasons in words."""

from __future__ import annotations

from everbrook.events.records import Impression
from everbrook.rank.lists import Listed, Wish
from everbrook.rank.mixture import Mixture
from everbrook.rank.reasons import reasons
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
    "live": "Fits what you do now",
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
    shaping, rows = wish.shaping, listed.rows.tolist()
    scores, ids = listed.scores.tolist(), state.items.ids(listed.rows)
    titles = state.catalogue.titles_of(rows)
    known = [1.0] * len(rows) if listed.propensities is None else listed.propensities.tolist()
    if not most:
        return tuple([
            Recommended(id=own, score=score, title=title, propensity=propensity)
            for own, score, title, propensity in zip(ids, scores, titles, known, strict=True)
        ])
    pinned = set() if shaping is None else set(shaping.pinned.tolist())
    words, items = _Words(state), []
    for row, own, score, title, propensity, found in zip(
        rows, ids, scores, titles, known, reasons(mixture, listed, wish.query, most) if rows else (), strict=True
    ):
        told = (PINNED,) if row in pinned else ()
        why = (*told, *[words.reason(*one) for one in found[: most - len(told)]])
        items.append(Recommended(id=own, score=score, title=title, propensity=propensity, reasons=why))
    return tuple(items)


def impression_of(wish: Recommend, answer: Recommendation, now_ms: int) -> Impression:
    """The record of a list that was shown."""
    return Impression(
        request=answer.request, items=tuple(item.id for item in answer.items), ts=now_ms, user=wish.user,
        session=wish.session, scenario=wish.scenario, model=answer.model.version,
        propensities=tuple(item.propensity for item in answer.items),
    )  # fmt: skip


class _Words:
    """Says reasons in words; the past items of a list are few and come again and again."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._named: dict[int, tuple[str, str]] = {}  # id and text of a past item

    def reason(self, column: str, share: float, past_row: int) -> Reason:
        """One reason."""
        if past_row == NO_ROW:
            words = WORDS.get(column.partition("/")[0], column)
            return Reason(kind="expert", expert=column, share=round(share, 4), text=words)
        if past_row not in self._named:
            item_id = self._state.items.id(past_row)
            named = self._state.catalogue.title(past_row) or item_id
            self._named[past_row] = item_id, f"Because of {named}"
        item_id, text = self._named[past_row]
        return Reason(kind="because", expert=column, share=round(share, 4), text=text, item=item_id)

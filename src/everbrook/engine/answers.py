"""From rows to the answer that callers read: ids, titles, reasons in words."""

from __future__ import annotations

from collections.abc import Sequence

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
    if not most and listed.propensities is None:
        return tuple([
            Recommended(id=own, score=score, title=title)
            for own, score, title in zip(ids, scores, titles, strict=True)
        ])
    known = [1.0] * len(rows) if listed.propensities is None else listed.propensities.tolist()
    if not most or not rows:
        return tuple([
            Recommended(id=own, score=score, title=title, propensity=propensity)
            for own, score, title, propensity in zip(ids, scores, titles, known, strict=True)
        ])
    pinned = set() if shaping is None else set(shaping.pinned.tolist())
    words, items = _Words(mixture, state), []
    found = reasons(mixture, listed, wish.query, most)
    for row, own, score, title, propensity, columns, shares, past in zip(
        rows, ids, scores, titles, known, *(part.tolist() for part in found), strict=True
    ):
        why = words.reasons(columns, shares, past)
        if row in pinned:
            why = (PINNED, *why[: most - 1])
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
    """Says reasons in words; the experts and past items of a list are few and come again and again."""

    def __init__(self, mixture: Mixture, state: State) -> None:
        self._columns, self._state = mixture.columns, state
        self._told: dict[tuple[int, int], tuple[str, str, str, str | None]] = {}

    def reasons(self, columns: Sequence[int], shares: Sequence[float], past: Sequence[int]) -> tuple[Reason, ...]:
        """The reasons of one item.

        Args:
            columns: (R,) which experts, NO_ROW behind the last.
            shares: (R,) what each gave.
            past: (R,) rows of the items that brought it, NO_ROW where none did.
        """
        found, told = [], self._told
        for column, share, row in zip(columns, shares, past, strict=True):
            if column == NO_ROW:
                break
            said = told.get((column, row))
            if said is None:
                said = told[column, row] = self._said(column, row)
            kind, expert, text, item = said
            found.append(Reason(kind=kind, expert=expert, share=round(share, 4), text=text, item=item))
        return tuple(found)

    def _said(self, column: int, past_row: int) -> tuple[str, str, str, str | None]:
        """Kind, expert, words, and the past item's id where there is one."""
        expert = self._columns[column]
        if past_row == NO_ROW:
            return "expert", expert, WORDS.get(expert.partition("/")[0], expert), None
        item_id = self._state.items.id(past_row)
        named = self._state.catalogue.title(past_row) or item_id
        return "because", expert, f"Because of {named}", item_id

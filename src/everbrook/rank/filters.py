"""Filters that were asked for lately: what they compiled to, and what they matched while nothing changed."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from everbrook.rank.filter_plans import Plan, Scope, compile_filter
from everbrook.state import State
from everbrook.state.property_columns import PropertyColumns
from everbrook.types import Bool

KEPT = 64
MASK_BYTES = 64 << 20


@dataclass(slots=True)
class _Kept:
    """A compiled filter, and its newest mask."""

    columns: PropertyColumns  # that it was checked against
    shape: int
    plan: Plan
    key: tuple[int, int] | None = None
    mask: Bool | None = None


class Filters:
    """The newest filters of one state; older ones are dropped."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    def mask(self, text: str, now_ms: int) -> Bool:
        """(N,) which items match a filter at a moment; the caller must not write into it.

        Raises:
            FilterError: it cannot be read, or does not fit the catalogue.
        """
        kept, state = self._plan(text), self._state
        if kept.plan.by_age:
            return kept.plan.mask(Scope(state, state.n_items, now_ms))
        key = (state.catalogue.version, state.n_items)
        if kept.mask is None or kept.key != key:
            kept.mask, kept.key = kept.plan.mask(Scope(state, state.n_items, now_ms)), key
            self._drop_masks()
        return kept.mask

    def _plan(self, text: str) -> _Kept:
        columns = self._state.catalogue.properties
        kept = self._kept.get(text)
        if kept is None or kept.columns is not columns or kept.shape != columns.shape:
            kept = self._kept[text] = _Kept(columns, columns.shape, compile_filter(text, self._state))
        self._kept.move_to_end(text)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return kept

    def _drop_masks(self) -> None:
        """Keep as many masks as fit, the newest."""
        left = MASK_BYTES
        for kept in reversed(self._kept.values()):
            left -= 0 if kept.mask is None else len(kept.mask)
            if left < 0 and kept is not next(reversed(self._kept.values())):
                kept.mask = None

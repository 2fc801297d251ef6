"""Lists: what may stand in them, in which order, and why."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from everbrook.rank.lists import Wish, make_list
from everbrook.rank.mixture import Mixture
from everbrook.rank.reasons import best_columns, counted, reasons, shares
from everbrook.settings.mixture import MixtureSettings
from everbrook.types import F32, I32, NO_ROW, Arrays, Query, Step

ITEMS = 30
NOW_MS = 1_750_000_000_000
NOBODY = (np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros(0, np.int16))
QUERY = Query(NOW_MS, 0, NO_ROW, np.array([3, 4], np.int32), np.zeros(2, np.int64), np.zeros(2, np.int16), 1)
STRANGER = Query(NOW_MS, NO_ROW, NO_ROW, *NOBODY, 0)


class Fixed:
    """An expert that gives each item what it was told to, and proposes the best few."""

    def __init__(self, name: str, mass: Iterable[float], rest: float = 0.1, brought_by: int = NO_ROW) -> None:
        self.names = (name,)
        given = np.array(list(mass))
        self.mass = (1.0 - rest) * given / max(given.sum(), 1e-12)
        self.rest, self.brought_by = rest, brought_by

    def grow(self, items: int, actors: int) -> None: ...

    def observe(self, step: Step, mass: F32, rest: F32) -> None: ...

    def propose(self, query: Query, limit: int) -> I32:
        best = np.argsort(-self.mass, kind="stable")[:limit]
        return best[self.mass[best] > 0.0].astype(np.int32)

    def score(self, query: Query, rows: I32, mass: F32, rest: F32) -> None:
        mass[:, 0], rest[0] = self.mass[rows], self.rest

    def because(self, query: Query, rows: I32) -> I32:
        return np.full(len(rows), self.brought_by, np.int32)

    def state(self) -> Arrays:
        return {}

    def load(self, arrays: Arrays) -> None: ...


def mixture_of(*experts: Fixed) -> Mixture:
    mixture = Mixture(experts, MixtureSettings())
    mixture.grow(ITEMS, 1)
    return mixture


@pytest.fixture
def mixture() -> Mixture:
    """Popularity falls with the row over the first twenty items; another expert likes rows 7 and 8."""
    popular = Fixed("popularity/fixed", [20.0 - i if i < 20 else 0.0 for i in range(ITEMS)])
    return mixture_of(popular, Fixed("next/fixed", [i in (7, 8) for i in range(ITEMS)], 0.3, brought_by=4))


def wish(
    k: int = 5, query: Query = QUERY, hidden: Iterable[int] = (), narrow: bool = False, left_out: Iterable[int] = (),
    only: Iterable[int] | None = None,
) -> Wish:  # fmt: skip
    """A wish in which all items may be shown but the hidden."""
    allowed = np.ones(ITEMS, np.bool_)
    allowed[list(hidden)] = False
    rows = None if only is None else np.array(list(only), np.int32)
    return Wish(query, k, allowed, narrow, np.array(list(left_out), np.int32), rows)


def test_a_list_is_the_best_of_all_items_in_order(mixture: Mixture) -> None:
    listed = make_list(mixture, wish(5), 3000)
    every = mixture.weigh(QUERY, np.arange(ITEMS, dtype=np.int32), np.empty(0, np.int32), np.empty(0, np.int32))
    assert listed.rows.tolist() == np.argsort(-every.final, kind="stable")[:5].tolist()
    assert set(listed.rows.tolist()) >= {7, 8}
    assert (np.diff(listed.scores) <= 0.0).all()


@pytest.mark.parametrize("scan", [3000, 0])
@pytest.mark.parametrize("query", [QUERY, STRANGER])
def test_what_may_not_be_shown_is_not_shown(mixture: Mixture, query: Query, scan: int) -> None:
    listed = make_list(mixture, wish(30, query, hidden=(7, 0), left_out=(8, 1)), scan)
    assert sorted(listed.rows.tolist()) == [row for row in range(ITEMS) if row not in (0, 1, 7, 8)]


def test_the_inputs_of_a_wish_are_left_as_they_were(mixture: Mixture) -> None:
    asked = wish(30, hidden=(7,), left_out=(8,))
    make_list(mixture, asked, 3000)
    assert asked.allowed.sum() == ITEMS - 1


@pytest.mark.parametrize("scan", [3000, 0])
def test_a_list_longer_than_the_proposals_is_filled_up_and_one_longer_than_all_holds_all(
    mixture: Mixture, scan: int
) -> None:
    assert len(make_list(mixture, wish(25), scan).rows) == 25
    everything = make_list(mixture, wish(1000), scan).rows
    assert sorted(everything.tolist()) == list(range(ITEMS))


@pytest.mark.parametrize(("most", "holds"), [(15, True), (14, False)])
def test_of_no_more_items_than_might_be_proposed_all_are_weighed(most: int, holds: bool) -> None:
    """Two families of 15 proposals each might name all 30 items; both name the same first ones."""
    popular = Fixed("popularity/fixed", [2.0] * most + [1.0] * (ITEMS - most))
    mixture = Mixture([popular, Fixed("next/fixed", [1.0] * ITEMS)], MixtureSettings(candidates=most))
    mixture.grow(ITEMS, 1)
    assert len(mixture.candidates(QUERY)) == most  # what is judged and learned from stays what is proposed
    assert (make_list(mixture, wish(5), 3000).weighed.shown == ITEMS) == holds
    assert make_list(mixture, wish(5), 0).weighed.shown == most


def test_only_given_candidates_are_ranked(mixture: Mixture) -> None:
    listed = make_list(mixture, wish(5, only=(2, 8, 25, 9), hidden=(9,), left_out=(2,)), 3000)
    assert listed.rows.tolist() == [8, 25]


def test_no_candidates_give_an_empty_list(mixture: Mixture) -> None:
    for asked in (wish(5, only=()), wish(5, hidden=range(ITEMS)), wish(5, hidden=range(ITEMS), narrow=True)):
        assert len(make_list(mixture, asked, 3000).rows) == 0


@pytest.mark.parametrize("scan", [3000, 0])
def test_a_narrow_filter_still_fills_the_list(mixture: Mixture, scan: int) -> None:
    """Rows 20 and above are proposed by nobody; they are found by scanning, or by filling up."""
    listed = make_list(mixture, wish(4, hidden=range(20), narrow=True), scan)
    assert len(listed.rows) == 4
    assert listed.rows.min() >= 20


def test_equals_stand_in_the_order_of_their_rows() -> None:
    level = mixture_of(Fixed("popularity/level", [1.0] * ITEMS))
    listed = make_list(level, wish(30, STRANGER), 3000)
    assert len(set(np.round(listed.scores, 9))) == 1
    assert listed.rows.tolist() == list(range(ITEMS))
    for k in range(1, ITEMS):  # the last place goes to the first of those that are level, too
        assert make_list(level, wish(k, STRANGER), 3000).rows.tolist() == list(range(k))


def test_a_mixture_without_items_gives_an_empty_list() -> None:
    empty = Mixture([Fixed("popularity/none", [])], MixtureSettings())
    asked = Wish(STRANGER, 5, np.zeros(0, np.bool_), False, np.empty(0, np.int32), None)
    assert len(make_list(empty, asked, 3000).rows) == 0


def test_shares_sum_to_one_and_follow_who_brought_the_item(mixture: Mixture) -> None:
    listed = make_list(mixture, wish(6), 3000)
    given = shares(mixture, listed)
    np.testing.assert_allclose(given.sum(axis=1), 1.0)
    for place, row in enumerate(listed.rows.tolist()):
        assert (given[place, 1] > given[place, 0]) == (row in (7, 8))


def test_a_reason_names_the_expert_and_the_item_that_brought_it(mixture: Mixture) -> None:
    listed = make_list(mixture, wish(6), 3000)
    place = listed.rows.tolist().index(7)
    found = reasons(mixture, listed, QUERY, 2)
    first, second = ([part[place, rank] for part in found] for rank in range(2))
    assert (mixture.columns[first[0]], first[2]) == ("next/fixed", 4)
    assert (mixture.columns[second[0]], second[2]) == ("popularity/fixed", NO_ROW)
    assert first[1] + second[1] == pytest.approx(1.0)
    assert [part[place, 0] for part in reasons(mixture, listed, QUERY, 1)] == first


def test_the_columns_that_are_named_are_the_greatest_of_different_families() -> None:
    rng, most = np.random.default_rng(3), 3
    family_of = np.array([0, 0, 0, 1, 2, 2, 3, 3, 3])
    given = rng.random((200, 9)) * (rng.random((200, 9)) < 0.5)
    columns, sums = np.empty((200, most), np.int32), np.empty((200, most))
    best_columns(given, family_of, columns, sums)
    for t in range(len(given)):
        firsts = [max(np.flatnonzero(family_of == family), key=lambda e: given[t, e]) for family in range(4)]
        wanted = sorted((e for e in firsts if given[t, e] > 0.0), key=lambda e: -given[t, e])[:most]
        assert columns[t].tolist() == wanted + [NO_ROW] * (most - len(wanted))
        np.testing.assert_allclose(
            sums[t, : len(wanted)], [given[t, family_of == family_of[e]].sum() for e in wanted]
        )


def test_what_a_column_counts_is_its_weight_in_every_layer() -> None:
    rng = np.random.default_rng(4)
    pools, top, awake = rng.random((4, 33, 9)), rng.random(14), rng.random(9) < 0.7
    buckets, out = np.array([0, 3, 5, 32]), np.empty(9)
    counted(pools, buckets, awake, top, out)
    own = np.where(awake, pools[np.arange(4), buckets], 0.0)
    by_pool = top[:4] + np.array([top[4], 0.0, 0.0, 0.0])  # the stacker begins as the pool of all
    np.testing.assert_allclose(out, by_pool @ (own / own.sum(axis=1, keepdims=True)) + np.where(awake, top[5:], 0.0))

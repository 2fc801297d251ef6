from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from everbrook.models import neighbours_query as query
from everbrook.models.collaborative import ITEMS as ITEM_BASED
from everbrook.models.collaborative import USERS as USER_BASED
from everbrook.models.collaborative import Collaborative
from everbrook.settings.collaborative import CollaborativeSettings
from everbrook.testing.contracts import EXPERT_CHECKS, Capabilities
from everbrook.testing.streams import START_MS, fold_step
from everbrook.types import NO_ROW, Query

DAY_MS = 86_400_000
N = 64


def small(**given):
    return Collaborative(CollaborativeSettings(**{"users": 64, "user_items": 50, **given}))


def learned(actors, items, gap_ms=DAY_MS, **given):
    expert = small(**given)
    expert.grow(N, N)
    step = fold_step(START_MS + gap_ms * np.arange(len(items)), np.array(actors, "i4"), np.array(items, "i4"))
    expert.observe(step, np.empty((len(step), 2), np.float32), np.empty((len(step), 2), np.float32))
    return expert


def asked(*items, actor=NO_ROW):
    rows = np.array(items, np.int32)
    return Query(START_MS, actor, NO_ROW, rows, np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int16), 0)


def scores(expert, query):
    mass, rest = np.empty((N, 2), np.float32), np.empty(2, np.float32)
    expert.score(query, np.arange(N, dtype=np.int32), mass, rest)
    return mass, rest


@pytest.mark.parametrize("name", EXPERT_CHECKS)
def test_collaborative_filtering_keeps_the_contract(name):
    EXPERT_CHECKS[name](small, Capabilities(learns=frozenset({"checkerboard"}), observe_sleeps=True))


def test_items_of_the_same_users_are_similar_both_ways_and_across_sessions():
    expert = learned([0, 0, 1, 1], [1, 2, 3, 4])
    for one, other in ((1, 2), (2, 1), (3, 4), (4, 3)):
        assert np.flatnonzero(scores(expert, asked(one))[0][:, ITEM_BASED]).tolist() == [other]


def test_item_similarities_are_shrunk_cosines_of_faded_pair_counts():
    rng = np.random.default_rng(3)
    actors, items = rng.integers(0, 8, 200), rng.integers(0, 12, 200)
    settings = {"half_life_s": 864_000.0, "query_items": 1, "item_sharpness": 1.0, "row_items": 64, "learn_window": 3}
    mass, rest = scores(learned(actors, items, **settings), asked(5))
    pairs, counts, past = Counter(), Counter(), {}
    for b, (actor, item) in enumerate(zip(actors.tolist(), items.tolist(), strict=True)):
        add = 2.0 ** ((b - 199) / 10)
        counts[item] += add
        history = past.setdefault(actor, [])
        for place, other in enumerate([i for i in dict.fromkeys(reversed(history[-20:])) if i != item][:3]):
            pairs[frozenset((item, other))] += add * 0.85**place
        history.append(item)
    alike = np.zeros(N)
    for other in range(12):
        alike[other] = pairs[frozenset((5, other))] / (np.sqrt(counts[5] * counts[other]) + 5.0)
    alike[5] = 0
    np.testing.assert_allclose(mass[:, ITEM_BASED], (1 - rest[ITEM_BASED]) * alike / alike.sum(), rtol=2e-2, atol=1e-3)


def test_users_who_share_items_recommend_what_else_they_have():
    mass, _ = scores(learned([0, 0, 0, 1, 1], [1, 2, 3, 4, 5]), asked(1, 2, actor=7))
    assert set(np.flatnonzero(mass[:, USER_BASED] > 0)) >= {3}
    assert mass[4:6, USER_BASED].sum() == 0


def test_nobody_is_their_own_neighbour():
    _, rest = scores(learned([0, 0, 0], [1, 2, 3]), asked(1, 2, 3, actor=0))
    assert np.isnan(rest[USER_BASED])


def test_where_users_never_return_their_items_get_nothing():
    mass, _ = scores(learned(np.repeat(np.arange(10), 4), np.tile([1, 2, 3, 4], 10)), asked(1, 2))
    assert mass[[1, 2]].sum() == 0


def test_where_users_return_their_items_get_their_share():
    mass, _ = scores(learned(np.repeat(np.arange(10), 8), np.tile([1, 2, 3, 4], 20)), asked(1, 2, 3))
    assert (mass[[1, 2, 3]].sum(axis=0) > 0.2).all()


def test_old_pairs_fade():
    items = [1, 2, *([1, 3] * 3)]
    actors = [0, 0, 1, 1, 2, 2, 3, 3]
    for half_life_s, less in ((86_400.0, 0.1), (0.0, 0.75)):
        mass, _ = scores(learned(actors, items, half_life_s=half_life_s, shrinkage=0.0), asked(1))
        ratio = mass[2, ITEM_BASED] / mass[3, ITEM_BASED]
        assert ratio < less
    assert ratio > 0.3


def test_rows_stay_within_their_limit():
    rng = np.random.default_rng(0)
    expert = learned(rng.integers(0, 4, 3000), rng.integers(0, N, 3000), row_items=16)
    state = expert.state()
    assert state["items.rooms"].max() == 16
    assert len(state["items.keys"]) <= 16 * N * 2


def test_the_reason_is_the_most_similar_item_of_the_history():
    expert = learned([0, 0, 1, 1], [1, 2, 3, 4])
    assert expert.because(asked(1, 3), np.array([2, 4, 9], np.int32)).tolist() == [1, 3, NO_ROW]


def test_proposals_come_from_both_columns():
    expert = learned([0, 0, 0, 1, 1], [1, 2, 3, 4, 5])
    proposed = expert.propose(asked(1, 4), 10).tolist()
    assert {2, 3, 5} <= set(proposed)
    assert all(a != b for a, b in pairwise(proposed))


def test_what_a_neighbour_had_far_from_the_shared_item_counts_for_nothing(monkeypatch):
    """Against the same loop over all that the neighbours have."""
    rng = np.random.default_rng(4)
    actors, items = np.repeat(np.arange(8), 45), np.concatenate([rng.permutation(N)[:45] for _ in range(8)])
    store = learned(actors, items, distance_decay=0.7)._users
    a, shape = store._arrays, store.shape
    recent = np.array([3, 17, 40], np.int32)
    found = query.gather(
        a["at"], a["pool"], a["blocks"], a["sizes"], a["counts"], a["lengths"], recent, NO_ROW, shape.sample,
        shape.floats, store._near, store._first, store._touched,
    )  # fmt: skip
    told, totals = [], []
    for vote, faded in ((query.vote, query.FADED), (query.vote.py_func, 0.0)):
        monkeypatch.setattr(query, "FADED", faded)
        votes, rows = np.zeros(N, np.float32), np.empty(N, np.int32)
        count, total = vote(
            a["at"], a["members"], a["lengths"], recent, store._touched[:found], store._near, store._first,
            shape.floats, votes, rows,
        )  # fmt: skip
        told.append((votes, count))
        totals.append(total)
    (near, few), (whole, all_of_them) = told
    assert totals[0] == pytest.approx(totals[1], rel=1e-6)
    assert few <= all_of_them
    assert (near <= whole + 1e-6).all()
    assert 0.0 < (whole - near).max() < 1e-3 * totals[0]

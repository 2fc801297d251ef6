from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from msgspec.structs import replace

from everbrook.models import answers
from everbrook.models import neighbours_votes as voting
from everbrook.models.collaborative import ITEMS as ITEM_BASED
from everbrook.models.collaborative import USERS as USER_BASED
from everbrook.models.collaborative import Collaborative
from everbrook.models.neighbours import SessionNeighbours
from everbrook.models.neighbours_store import around_of
from everbrook.models.portion import Portion
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


def test_what_a_neighbour_had_far_from_the_shared_item_counts_for_nothing():
    """Against the same loop over all that the neighbours have."""
    rng = np.random.default_rng(4)
    actors, items = np.repeat(np.arange(8), 45), np.concatenate([rng.permutation(N)[:45] for _ in range(8)])
    store = learned(actors, items, distance_decay=0.7)._users
    a, recent = store._arrays, np.array([3, 17, 40], np.int32)
    groups, near, first = np.arange(8, dtype=np.int32), np.full(8, 0.5, np.float32), np.arange(8, dtype=np.int32) % 3
    told, totals = [], []
    for around in (around_of(store.shape), around_of(store.shape, 0.0)):
        begins, (sizes, leads), weights = np.empty(16, np.int64), np.empty((2, 16), np.int32), np.empty(16, np.float32)
        runs, total = voting.listen(
            a["members"].reshape(-1), store.shape.group_items, a["lengths"], recent, groups, near, first, 0.0,
            len(around) // 2, begins, sizes, leads, weights,
        )  # fmt: skip
        (names, taken), parts, votes = np.empty((2, N + 1), np.int32), np.empty(N + 1, np.float32), np.zeros(N)
        count, named = sizes[:runs].sum(), voting.hear(
            a["members"].reshape(-1), around, begins, sizes, leads, weights, runs, np.zeros(2 * N, np.int32), 1, 0,
            names, taken, parts,
        )  # fmt: skip
        votes[names[:named]] = parts[:named]
        told.append((votes, count))
        totals.append(total)
    (close, few), (whole, all_of_them) = told
    assert totals[0] == totals[1] == 4.0
    assert few < all_of_them == 8 * 45
    assert (close <= whole + 1e-6).all()
    assert 0.0 < (whole - close).max() < 1e-3 * totals[0]


class Plain:
    """Users in a dict from actor to what they took, in order, and the items' users in the order in which they came."""

    def __init__(self, s, step, returns):
        self.s, self.returns, self.users, self.of_item = s, returns, {}, {}
        for actor, item in zip(step.actor.tolist(), step.item.tolist(), strict=True):
            taken = self.users.setdefault(actor, [])
            if item not in taken[-s.user_items :]:
                taken.append(item)
                self.of_item.setdefault(item, []).append(actor)

    def mass(self, history, asker):
        """What neighbours give all items, and what they leave to the base."""
        s, order = self.s, list(self.users)
        recent = list(dict.fromkeys(reversed(history)))[: s.user_query_items]
        pull, place = Counter(), {}
        for p, item in enumerate(recent):
            for user in self.of_item.get(item, [])[-s.sample :]:
                if user != asker:
                    pull[user] += (len(recent) - p) / len(recent)
                    place.setdefault(user, p)
        near = {user: pulls / len(self.users[user]) ** s.size_power for user, pulls in pull.items()}
        best = sorted(near, key=lambda user: (round(near[user], 5), order.index(user)))[-s.nearest :]
        votes = Counter()
        for user in best:
            taken = self.users[user][-s.user_items :]
            shared = taken.index(recent[place[user]]) if recent[place[user]] in taken else len(taken)
            for q, item in enumerate(taken):
                before = s.before_factor if q < shared else 1.0
                votes[item] += near[user] * before * s.distance_decay ** abs(q - shared)
        parts = {i: v * np.log(1 + len(order) / len(self.of_item[i])) ** s.rarity_power for i, v in votes.items()}
        peak, left = max(parts.values()), s.kappa / (s.kappa + sum(near[user] for user in best))
        parts = {i: (v / peak) ** s.user_sharpness for i, v in parts.items() if v >= voting.FAINT * peak}
        left, mass = s.least_rest + (1 - s.least_rest) * left, np.zeros(N)
        sides = [{i: v for i, v in parts.items() if (i in history) == own} for own in (False, True)]
        share = (self.returns if sides[0] else 1.0) if sides[1] else 0.0
        for side, part in zip(sides, (1 - share, share), strict=True):
            for item, vote in side.items():
                mass[item] = part * (1 - left) * vote / sum(side.values())
        return mass, left


MANY = {"user_items": 3, "sample": 8192, "user_query_items": 128}


@pytest.mark.parametrize("given", [{}, {"nearest": 7}, {"user_items": 6}, {"sample": 5, "user_query_items": 3}, MANY])
def test_users_and_what_they_bring_are_those_of_a_plain_loop(given):
    rng = np.random.default_rng(11)
    actors, items = rng.integers(0, 30, 500), np.minimum(rng.zipf(1.4, 500) - 1, N - 1)
    expert = learned(actors, items, **given)
    step = fold_step(START_MS + DAY_MS * np.arange(500), actors.astype("i4"), items.astype("i4"))
    plain = Plain(expert.settings, step, float(expert.state()["items.returns"][0]))
    for actor in range(0, 30, 3):
        history = rng.permutation(20)[:6].tolist()
        mass, rest = scores(expert, asked(*history, actor=actor))
        wanted, left = plain.mass(history, actor)
        assert rest[USER_BASED] == pytest.approx(left, rel=1e-4)
        np.testing.assert_allclose(mass[:, USER_BASED], wanted, rtol=1e-3, atol=1e-6)


def together(expert, queries, rows):
    starts = np.concatenate(([0], np.cumsum([len(part) for part in rows])))
    mass, rest = np.empty((starts[-1], 2), np.float32), np.empty((len(queries), 2), np.float32)
    expert.score_all(queries, np.concatenate(rows), starts.tolist(), mass, rest)
    return [mass[a:b] for a, b in pairwise(starts.tolist())], rest


def test_queries_that_are_foreseen_together_are_answered_as_if_each_came_alone():
    rng = np.random.default_rng(5)
    expert, alone = (learned(*np.random.default_rng(1).integers(0, 40, (2, 800))) for _ in range(2))
    queries = [asked(*rng.integers(0, N, n), actor=n) for n in (0, 1, 5, 5, 20, 40, 3)]
    rows = [rng.integers(0, N, size).astype(np.int32) for size in (10, 0, 64, 200, 5, 64, 1)]
    for _ in range(2):
        expert.foresee(queries, 12)
        mass, rest = together(expert, queries, rows)
        for b, query_b in enumerate(queries):
            assert expert.propose(query_b, 12).tolist() == alone.propose(query_b, 12).tolist()
            wanted, left = scores(alone, query_b)
            np.testing.assert_array_equal(mass[b], wanted[rows[b]])
            np.testing.assert_array_equal(rest[b], left)
        expert.grow(N, N)


@pytest.mark.parametrize("room", [1, 100, 4096])
def test_a_portion_is_answered_as_if_each_query_came_alone(room, monkeypatch):
    monkeypatch.setattr(answers, "FIRST_ROOM", room)  # what does not fit is answered in several turns
    monkeypatch.setattr(answers, "FIRST_QUERIES", 3)
    rng = np.random.default_rng(5)
    for made in (small, SessionNeighbours):
        expert, alone = ready(made), ready(made)
        queries = Portion(replace(asked(*rng.integers(0, N, n), actor=n), session_n=n) for n in (0, 1, 5, 5, 20, 40, 3))
        found, kept = np.empty((len(queries), 12), np.int32), np.empty(len(queries), np.int64)
        expert.propose_into(queries, 12, found, kept)
        for some in (queries, queries[:3], [queries[4], queries[1]]):
            mass, rest = together(expert, some, [np.arange(N, dtype=np.int32)] * len(some))
            for b, query_b in enumerate(some):
                wanted, left = scores(alone, query_b)
                np.testing.assert_array_equal(mass[b], wanted)
                np.testing.assert_array_equal(rest[b], left)
        for b, query_b in enumerate(queries):
            assert found[b, : kept[b]].tolist() == alone.propose(query_b, 12).tolist()


def test_how_many_took_an_item_stands_beside_its_number():
    expert, other = ready(Collaborative), Collaborative()
    expert.grow(500, N)
    rows = np.arange(9, dtype=np.int32)
    more = fold_step(START_MS + 10**8 + 60_000 * np.arange(9), rows, 90 + rows)
    expert.observe(more, np.empty((9, 2), np.float32), np.empty((9, 2), np.float32))
    other.load(expert.state())
    for store in (expert._users, other._users):
        np.testing.assert_array_equal(store._place[1::2][: store.items], store._arrays["counts"])
        assert store._place[1::2][90:99].all()
        assert len(store._place) >= 2 * max(store.items, expert._items.items)


def ready(made):
    expert = made()
    expert.grow(N, N)
    actors, items = np.random.default_rng(1).integers(0, 40, (2, 800)).astype("i4")
    step = fold_step(START_MS + 60_000 * np.arange(800), actors, items)
    expert.observe(step, np.empty((800, 2), np.float32), np.empty((800, 2), np.float32))
    return expert


def test_numbers_begin_again_before_they_end():
    expert, alone = (learned(*np.random.default_rng(1).integers(0, 40, (2, 800))) for _ in range(2))
    expert._users._epoch[0] = (1 << 31) - (1 << 24) - 20
    for n in range(1, 8):
        np.testing.assert_array_equal(scores(expert, asked(n, n + 9))[0], scores(alone, asked(n, n + 9))[0])
    assert 0 < expert._users._epoch[0] < 1 << 20


def test_what_was_answered_is_forgotten_with_the_actor():
    expert = learned([0, 0, 1, 1], [1, 2, 3, 4])
    scores(expert, asked(1, actor=0))
    expert.forget_actor(0)
    items = expert._answers.memory()[0]
    assert not expert._answers._places
    assert not items.any()
    assert expert._answers.ready is None

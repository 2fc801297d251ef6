"""Session neighbours against a slow definition over lists of sessions."""

import math
from collections import defaultdict

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from everbrook.models.neighbours import SessionNeighbours
from everbrook.settings.neighbours import NeighboursSettings
from everbrook.testing.streams import ACTORS, ITEMS, fold_step

ALL = np.arange(ITEMS, dtype=np.int32)


class Plain:
    """All sessions in a list, all sessions of an item in a list."""

    def __init__(self, s):
        self.s, self.sessions, self.of_item, self.current = s, [], defaultdict(list), {}

    def learn(self, step, b):
        actor, item = int(step.actor[b]), int(step.item[b])
        if step.session_n[b] == 0:
            self.current.pop(actor, None)
        if step.weight[b] <= 0:
            return
        g = self.current.get(actor)
        if g is None or g < len(self.sessions) - self.s.sessions:
            g = self.current[actor] = len(self.sessions)
            self.sessions.append([])
        if item not in self.sessions[g]:
            self.sessions[g].append(item)
            self.of_item[item].append(g)

    def score(self, query):
        s = self.s
        session = query.items[len(query.items) - query.session_n :].tolist() if query.session_n else []
        recent = list(dict.fromkeys(reversed(session)))[: s.query_items]
        near, place = defaultdict(float), {}
        for p, item in enumerate(recent):
            for g in self.of_item[item][-s.sample :]:
                if g != self.current.get(query.actor) and g >= len(self.sessions) - s.sessions:
                    near[g] += (len(recent) - p) / len(recent)
                    place.setdefault(g, p)
        best = sorted(near, key=lambda g: (round(near[g], 5), g))[-s.nearest :]
        votes, total = defaultdict(float), 0.0
        for g in best:
            weight = near[g] * max(0.0, 1 - s.match_decay * place[g])
            total += weight
            shared = self.sessions[g].index(recent[place[g]])
            for q, item in enumerate(self.sessions[g]):
                before = s.before_factor if q < shared else 1.0
                votes[item] += weight * before * s.distance_decay ** abs(q - shared)
        rarity = {i: math.log(1 + len(self.sessions) / len(self.of_item[i])) ** s.rarity_power for i in votes}
        left = s.least_rest + (1 - s.least_rest) * s.kappa / (s.kappa + total)
        parts = {i: (v * rarity[i]) ** s.sharpness for i, v in votes.items()}
        return [self.spread({i: v for i, v in parts.items() if i not in own}, left) for own in (session, [])]

    @staticmethod
    def spread(parts, left):
        mass, total = np.zeros(ITEMS), sum(parts.values())
        for item, part in parts.items():
            mass[item] = (1 - left) * part / total
        return mass, left if parts else math.nan


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    sessions=st.sampled_from([16, 64]),
    sample=st.integers(1, 40),
    nearest=st.integers(1, 30),
    query_items=st.integers(1, 6),
)
def test_scores_equal_those_of_a_plain_loop(seed, sessions, sample, nearest, query_items):
    given_settings = NeighboursSettings(
        sessions=sessions, session_items=64, sample=sample, nearest=nearest, query_items=query_items
    )
    rng = np.random.default_rng(seed)
    gaps = rng.choice([1_000, 700_000], 300)
    item = np.minimum(rng.zipf(1.3, 300) - 1, ITEMS - 1).astype(np.int32)
    step = fold_step(np.cumsum(gaps).astype(np.int64), rng.integers(0, ACTORS, 300).astype(np.int32), item)
    expert, plain = SessionNeighbours(given_settings), Plain(given_settings)
    expert.grow(ITEMS, ACTORS)
    mass, rest = np.empty((ITEMS, 2), np.float32), np.empty(2, np.float32)
    scratch = np.empty((1, 2), np.float32)
    for b in range(len(step)):
        if b % 7 == 0:
            expert.score(step.query(b), ALL, mass, rest)
            for column, (want, left) in enumerate(plain.score(step.query(b))):
                np.testing.assert_allclose(rest[column], left, rtol=1e-4)
                np.testing.assert_allclose(mass[:, column], want, atol=2e-3)
        expert.observe(step.slice(b, b + 1), scratch, scratch.copy())
        plain.learn(step, b)

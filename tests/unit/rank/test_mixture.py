"""The mixture over real experts: one probability over all items, learned before it is told."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace

from everbrook.models.collaborative import Collaborative
from everbrook.models.content import Content
from everbrook.models.neighbours import SessionNeighbours
from everbrook.models.popularity import Popularity
from everbrook.models.repeats import Repeats
from everbrook.models.transitions import Transitions
from everbrook.rank import contexts
from everbrook.rank.layers import POOLED_SHARE
from everbrook.rank.mixture import Mixture
from everbrook.rank.weighing import Asked, Weighed
from everbrook.settings.mixture import MixtureSettings
from everbrook.testing.probes import copied, same_arrays
from everbrook.testing.streams import ACTORS, ITEMS, random_stream
from everbrook.types import Query, Step

NONE = np.empty(0, np.int32)
ALL = np.arange(ITEMS, dtype=np.int32)


def fresh(**changes: object) -> Mixture:
    """A mixture of counting experts with room for the made streams."""
    families = [Popularity(), Transitions(), Repeats(), SessionNeighbours(), Collaborative()]
    mixture = Mixture(families, MixtureSettings(**changes))  # type: ignore[arg-type]
    mixture.grow(ITEMS, ACTORS)
    return mixture


def judged(mixture: Mixture, step: Step) -> Mixture:
    """The same mixture after it judged and learned every event."""
    for b in range(len(step)):
        told = step.weight[b] > 0 and mixture.judge(step.query(b), int(step.item[b]), NONE) is not None
        mixture.observe(step.slice(b, b + 1), np.array([told]))
    return mixture


@pytest.fixture(scope="module")
def known() -> tuple[Mixture, Step]:
    """A mixture that judged some events and folded the rest, and those events."""
    step = random_stream(41, 300)
    mixture = judged(fresh(), step.slice(0, 150))
    mixture.observe(step.slice(150, 300))
    return mixture, step


def _queries(step: Step) -> list[Query]:
    return [step.query(b) for b in (0, 7, 151, 299)]


def _sums_to_one(mixture: Mixture, w: Weighed) -> None:
    """Every layer does, but where all items are shown the stacker keeps what it gives to 'none of these'."""
    for layer in (w.pooled, w.p[:, w.awake]):
        np.testing.assert_allclose(layer.sum(axis=0, dtype=np.float64), 1.0, atol=1e-4)
    lost = 0.0 if w.shown < len(w.rows) else 1.0 - mixture.stacker.inside_share(w.inside)
    assert lost < 0.01
    assert w.stacked.sum() == pytest.approx(1.0 - lost, abs=2e-4)
    assert 1.0 - lost - 1e-4 < w.final.sum() < 1.0 + 1e-4
    for layer in (w.final, w.pooled, w.stacked, w.p):
        assert (layer >= 0.0).all()


def test_every_layer_gives_all_items_together_one(known: tuple[Mixture, Step]) -> None:
    mixture, step = known
    rng = np.random.default_rng(1)
    for query in _queries(step):
        for shown in (ALL, mixture.candidates(query), rng.permutation(ALL)[:9]):
            _sums_to_one(mixture, mixture.weigh(query, shown, np.setdiff1d(ALL, shown), NONE))


def test_what_cannot_come_gives_its_probability_to_the_others(known: tuple[Mixture, Step]) -> None:
    mixture, step = known
    for query in _queries(step):
        left_out = np.array([1, 5, 11], np.int32)
        kept = np.setdiff1d(ALL, left_out).astype(np.int32)
        whole, less = mixture.weigh(query, ALL, NONE, NONE), mixture.weigh(query, kept, NONE, left_out)
        assert len(less.rows) == len(kept)
        _sums_to_one(mixture, less)
        given = whole.p[kept][:, whole.awake]
        expected = given / given.sum(axis=0, dtype=np.float64)
        np.testing.assert_allclose(less.p[:, less.awake], expected, rtol=1e-3)


def test_proposals_are_distinct_rows_that_exist(known: tuple[Mixture, Step]) -> None:
    mixture, step = known
    for query in _queries(step):
        rows = mixture.candidates(query).tolist()
        assert len(set(rows)) == len(rows) > 0
        assert all(0 <= row < ITEMS for row in rows)


def test_judging_without_learning_moves_nothing(known: tuple[Mixture, Step]) -> None:
    mixture, step = known
    before = copied(mixture.state())
    for b in range(0, 300, 3):
        mixture.judge(step.query(b), int(step.item[b]), NONE, learn=False)
    same_arrays(before, mixture.state(), "after judging without learning")


def test_ranks_count_ties_against_us(known: tuple[Mixture, Step]) -> None:
    mixture, step = known
    for b in range(0, 300, 10):
        item = int(step.item[b])
        judgement = mixture.judge(step.query(b), item, NONE, learn=False)
        assert judgement is not None
        w = judgement.weighed
        systems = [w.final, *w.pooled.T, w.stacked, *w.p.T]
        shown = w.rows[: w.shown].tolist()
        for rank, scores in zip(judgement.ranks.tolist(), systems, strict=True):
            if item not in shown:
                assert rank == 0
                continue
            own = scores[shown.index(item)]
            assert rank == sum(float(score) >= float(own) for score in scores[: w.shown])
        assert judgement.rank == judgement.ranks[0]


def test_an_item_that_is_left_out_is_not_judged(known: tuple[Mixture, Step]) -> None:
    mixture, step = known
    assert mixture.judge(step.query(5), 3, np.array([2, 3], np.int32)) is None


def test_the_logarithms_are_of_the_insured_probability_before_learning(known: tuple[Mixture, Step]) -> None:
    _, step = known
    mixture = judged(fresh(), step.slice(0, 60))
    for b in range(60, 90):
        query, item = step.query(b), int(step.item[b])
        before = mixture.weigh(query, mixture.candidates(query), ALL, NONE)
        place = before.shown + item
        if item in before.rows[: before.shown]:
            place = int(np.flatnonzero(before.rows[: before.shown] == item)[0])
        judgement = mixture.judge(query, item, NONE)
        assert judgement is not None
        np.testing.assert_allclose(judgement.logp, np.log(before.final[place]), rtol=1e-6)
        mixture.observe(step.slice(b, b + 1), np.ones(1, np.bool_))


def test_observing_in_one_run_equals_observing_singly() -> None:
    step = random_stream(42, 200)
    whole, single = fresh(), fresh()
    logp = whole.observe(step)
    alone = np.concatenate([single.observe(step.slice(b, b + 1)) for b in range(len(step))])
    np.testing.assert_allclose(alone, logp, rtol=1e-5)
    assert np.isnan(logp).tolist() == (step.weight <= 0).tolist()
    for name in ("base_weights", "pools", "top", "losses", "loss"):
        np.testing.assert_allclose(getattr(single, name), getattr(whole, name), rtol=1e-5)


def test_losses_are_told_for_every_event_once() -> None:
    step = random_stream(43, 120)
    mixture = judged(fresh(), step)
    positive = int((step.weight > 0).sum())
    assert mixture.loss[1] == positive
    assert mixture.regret() == pytest.approx((mixture.loss[0] - mixture.losses.min()) / positive)
    assert mixture.regret() <= mixture.regret_bound()


def test_a_part_that_never_said_anything_is_not_the_best_in_hindsight() -> None:
    step = random_stream(43, 120)
    mixture = Mixture([Popularity(), Transitions(), Content()], MixtureSettings())  # no item has a text: it sleeps
    mixture.grow(ITEMS, ACTORS)
    judged(mixture, step)
    slept = [n for n, name in enumerate(mixture.names) if name.startswith("content/")]
    np.testing.assert_allclose(mixture.losses[slept], mixture.loss[0])
    spoke = np.delete(mixture.losses, slept)
    assert mixture.regret() == pytest.approx((mixture.loss[0] - spoke.min()) / mixture.loss[1])
    assert not mixture.best().startswith("content/")


def test_a_mixture_that_was_loaded_goes_on_like_the_other() -> None:
    step = random_stream(44, 160)
    old, new = judged(fresh(), step.slice(0, 80)), fresh()
    new.load(copied(old.state()))
    same_arrays(old.state(), new.state(), "after load")
    for b in range(80, 160):
        one, two = (mixture.judge(step.query(b), int(step.item[b]), NONE) for mixture in (old, new))
        assert one is not None
        assert two is not None
        np.testing.assert_allclose(two.logps, one.logps, rtol=1e-4)
        for mixture in (old, new):
            mixture.observe(step.slice(b, b + 1), np.ones(1, np.bool_))


def test_first_seen_is_the_time_of_the_first_event() -> None:
    step = random_stream(45, 200)
    mixture = fresh()
    for start in range(0, 200, 64):
        mixture.observe(step.slice(start, start + 64))
    for row in range(ITEMS):
        at = np.flatnonzero(step.item == row)
        assert mixture.first_seen_ms[row] == (step.ts_ms[at[0]] if len(at) else 0)


def test_buckets_of_a_step_are_those_of_its_queries() -> None:
    step = random_stream(46, 200)
    expected = np.stack([contexts.of_query(step.query(b)) for b in range(len(step))])
    np.testing.assert_array_equal(contexts.of_events(step.scenario, step.n, step.session_n), expected)
    assert expected.max() < contexts.BUCKETS
    assert all(0 <= contexts.for_stack(row) < contexts.STACK_CONTEXTS for row in expected)


def test_lists_that_are_weighed_together_are_those_weighed_alone(known: tuple[Mixture, Step]) -> None:
    mixture, step = known
    asked = [
        Asked(query, ALL[1 + b : 30 : 1 + b], ALL[31 : 31 + b], ALL[34 : 34 + 2 * (b % 2)])
        for b, query in enumerate(_queries(step))
    ]
    for one, own in zip(asked, mixture.weigh_all(asked), strict=True):
        alone = mixture.weigh(one.query, one.shown, one.more, one.left_out)
        assert (own.shown, own.inside) == (alone.shown, alone.inside)
        assert alone.x.shape == (len(one.shown), mixture.stacker.width)
        for name in ("rows", "p", "awake", "pooled", "choice", "stacked", "final", "buckets"):
            np.testing.assert_array_equal(getattr(own, name), getattr(alone, name), err_msg=name)
    assert mixture.weigh_all([]) == []


def test_moments_and_scenarios_may_differ_among_lists_that_are_weighed_together(known: tuple[Mixture, Step]) -> None:
    mixture, step = known
    queries = [replace(query, scenario=b % 2, now_ms=query.now_ms + b) for b, query in enumerate(_queries(step))]
    together = mixture.weigh_all([Asked(query, ALL, NONE, NONE) for query in queries])
    for query, own in zip(queries, together, strict=True):
        np.testing.assert_array_equal(own.p, mixture.weigh(query, ALL, NONE, NONE).p)


def test_what_is_weighed_follows_from_its_layers(known: tuple[Mixture, Step]) -> None:
    mixture, step = known
    for query in _queries(step):
        w = mixture.weigh(query, ALL[3:20], ALL[20:25], ALL[25:30])
        m, j = w.shown, w.pooled.shape[1]
        np.testing.assert_array_equal(w.buckets, contexts.of_query(query))
        np.testing.assert_allclose(w.choice, mixture.stacker.probabilities(w.x, contexts.for_stack(w.buckets)), 1e-6)
        for pool, bucket, pooled in zip(mixture.pools, w.buckets, w.pooled.T, strict=True):
            weights = pool[bucket] * w.awake
            np.testing.assert_allclose(pooled, w.p @ weights / weights.sum(), rtol=1e-5)
        among = w.pooled.mean(axis=1, dtype=np.float64)
        assert w.inside == pytest.approx(among[:m].sum())
        share = mixture.stacker.inside_share(w.inside)
        own = np.concatenate((share * w.choice, (1.0 - share) * np.minimum(among[m:] / (1.0 - w.inside), 1.0)))
        np.testing.assert_allclose(w.stacked, (1.0 - POOLED_SHARE) * own + POOLED_SHARE * among, rtol=1e-9)
        up = np.concatenate((np.ones(j + 1, np.bool_), w.awake))
        of_all = np.column_stack((w.pooled, w.stacked, w.p))
        np.testing.assert_allclose(w.final, of_all[:, up] @ mixture.top[up] / mixture.top[up].sum(), rtol=1e-5)

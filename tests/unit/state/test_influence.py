"""The influence guard: its bounds hold whoever attacks, and it is the same however the log is cut."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from everbrook.settings.guard import GuardSettings
from everbrook.state.influence import Influence
from everbrook.testing.probes import same_arrays
from everbrook.testing.streams import Marks, fold_step, plain_marks
from everbrook.types import Bool, Step

START_MS = 1_750_000_000_000
TARGET = 399
SMALL = GuardSettings(
    window_s=600, actor_events=12, actor_item_events=2, item_window_s=60, least_events=40, item_growth=2.0,
    item_share=0.01, item_events=6, known_items=2, newcomer_ratio=3.0, newcomer_events=3,
)  # fmt: skip
LOOSE = GuardSettings(
    window_s=600, actor_events=10_000, actor_item_events=64, item_window_s=60, least_events=40, item_growth=100.0,
    item_share=1.0, item_events=10_000, known_items=0, newcomer_ratio=1000.0, newcomer_events=10_000,
)  # fmt: skip


class Slow:
    """The guard's rules as sentences, one event at a time, with dictionaries."""

    def __init__(self, settings: GuardSettings) -> None:
        self.s = settings
        self.clock = self.since = -1
        self.late = self.window = self.arrived = 0
        self.total = 0.0
        self.now: defaultdict[str, float] = defaultdict(float)
        self.own: dict[int, defaultdict[int, float]] = {-1: defaultdict(float), 0: defaultdict(float)}
        self.before, self.ratio, self.unit = 0.0, 0.0, 1.0
        self.came: set[int] = set()
        self.actor: dict[int, tuple[float, int]] = {}
        self.item: dict[int, tuple[float, float, float]] = {}

    def counts(self, step: Step, b: int) -> bool:
        self.tick(int(step.ts_ms[b]))
        if step.weight[b] <= 0:
            return True
        self.arrived += 1
        s, actor, item = self.s, int(step.actor[b]), int(step.item[b])
        past = step.items[b, : step.n[b]].tolist()
        recent = step.times[b, : step.n[b]] >= step.ts_ms[b] - 1000 * s.window_s
        debt, touched_ms = self.actor.get(actor, (0.0, 0))
        drained = (self.clock - touched_ms) * (0.5 * s.actor_events) / (1000 * s.window_s)
        debt = max(0.0, debt - drained) if self.clock >= touched_ms else 0.0
        self.actor[actor] = (debt, self.clock)
        again = sum(1 for one, lately in zip(past, recent.tolist(), strict=True) if one == item and lately)
        if debt + 1 > 0.5 * s.actor_events or again >= s.actor_item_events:
            return False
        known = len(set(past) - {item}) >= s.known_items
        self.came.add(item)
        floor = max(s.item_share, 1 / len(self.came))
        share = self.own[self.window - 1][item] / self.before if self.before else 0.0
        all_debt, new_debt, total = self.item.get(item, (0.0, 0.0, 0.0))
        all_debt = max(0.0, all_debt - (self.total - total) * max(floor, s.item_growth * share))
        new_debt = max(0.0, new_debt - (self.total - total) * floor)
        self.item[item] = (all_debt, new_debt, self.total)
        trusted = known or math.isinf(self.ratio) or new_debt < s.newcomer_events
        if self.before and (all_debt >= s.item_events or not trusted):
            return False
        self.actor[actor] = (debt + 1, self.clock)
        self.count(item, float(step.weight[b]), known)
        return True

    def count(self, item: int, weight: float, known: bool) -> None:
        cost = weight / self.unit
        self.total += cost
        self.own[self.window][item] += cost
        for name, amount in (("counted", cost), ("weight", weight), ("events", 1), ("known" if known else "new", cost)):
            self.now[name] += amount
        if not self.before:
            return
        all_debt, new_debt, total = self.item[item]
        if math.isinf(self.ratio):
            new_debt = 0.0
        else:
            new_debt = max(0.0, new_debt - self.s.newcomer_ratio * self.ratio * cost) if known else new_debt + cost
        self.item[item] = (all_debt + cost, new_debt, total)

    def tick(self, ts_ms: int) -> None:
        if self.clock < 0:
            self.clock = self.since = ts_ms
        self.late = self.late + 1 if ts_ms < self.clock - 1000 * max(self.s.window_s, self.s.item_window_s) else 0
        if ts_ms > self.clock or self.late >= 1000:
            self.clock, self.since, self.late = ts_ms, min(self.since, ts_ms), 0
        if self.clock - self.since < 1000 * self.s.item_window_s or self.arrived < self.s.least_events:
            return
        now = self.now
        self.before = now["counted"]
        self.ratio = now["new"] / now["known"] if now["new"] <= 10 * now["known"] and now["known"] else math.inf
        self.unit = now["weight"] / now["events"] if now["events"] else self.unit
        self.window, self.since, self.arrived = self.window + 1, self.clock, 0
        self.own[self.window] = defaultdict(float)
        self.now = defaultdict(float)


def honest(rng: np.random.Generator, events: int, actors: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times, actors and items of people who take popular things: about one event a second."""
    ts_ms = START_MS + np.cumsum(rng.exponential(1000, events)).astype(np.int64)
    item = np.minimum(rng.zipf(1.3, events) - 1, TARGET - 1).astype(np.int32)
    return ts_ms, rng.integers(0, actors, events).astype(np.int32), item


def flooded(seed: int, events: int, actors: int, aged: int = 0) -> tuple[Step, Bool]:
    """Half of the traffic is bots' on one item from the middle on; each bot takes `aged` other items before.

    Returns:
        The events, and (B,) which are on the target.
    """
    rng = np.random.default_rng(seed)
    ts_ms, actor, item = honest(rng, events)
    bot = (rng.random(events) < 0.5) & (np.arange(events) >= events // 2)
    turn = np.cumsum(bot) - 1
    actor[bot] = 1000 + (turn[bot] // (aged + 1)) % actors
    item[bot] = np.where(turn[bot] % (aged + 1) == aged, TARGET, 200 + turn[bot] % 150)
    return fold_step(ts_ms, actor, item), item == TARGET


@pytest.mark.parametrize("seed", range(4))
def test_it_decides_like_the_rules_taken_one_by_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ts_ms, actor, item = honest(rng, 2500, actors=400)
    item[rng.random(2500) < 0.2] = 7
    actor[rng.random(2500) < 0.1] = 3
    ts_ms[rng.random(2500) < 0.05] -= 90_000
    marks = replace(plain_marks(2500), weight=rng.choice(np.array([1, 1, 3, 0, -1], np.float32), 2500))
    step = fold_step(ts_ms, actor, item, marks)
    slow = Slow(SMALL)
    counts = Influence(SMALL).counts(step)
    assert counts.tolist() == [slow.counts(step, b) for b in range(len(step))]
    assert 100 < (~counts).sum() < 2000


@pytest.mark.parametrize("piece", [1, 7, 640])
def test_it_is_the_same_however_the_log_is_cut(piece: int) -> None:
    step, _ = flooded(1, 1500, actors=100)
    whole, cut = Influence(SMALL), Influence(SMALL)
    counts = whole.counts(step)
    parts = [cut.counts(step.slice(a, min(a + piece, len(step)))) for a in range(0, len(step), piece)]
    assert np.concatenate(parts).tolist() == counts.tolist()
    same_arrays(cut.state(), whole.state(), "after the same events")


def test_a_stored_guard_goes_on_where_it_stopped() -> None:
    step, _ = flooded(2, 1500, actors=100)
    whole, first, second = Influence(SMALL), Influence(SMALL), Influence(SMALL)
    counts = whole.counts(step)
    first.counts(step.slice(0, 900))
    second.load(first.state())
    assert second.counts(step.slice(900, 1500)).tolist() == counts[900:].tolist()
    same_arrays(second.state(), whole.state(), "after going on")


def test_weights_are_changed_only_where_an_event_does_not_count() -> None:
    step, _ = flooded(3, 1500, actors=1)
    weight = step.weight.copy()
    weighed, counts = Influence(SMALL).weigh(step), Influence(SMALL).counts(step)
    assert step.weight.tolist() == weight.tolist()
    assert weighed.weight.tolist() == np.where(counts, weight, 0).tolist()
    assert weighed.items is step.items
    assert weighed.n is step.n


def test_it_can_be_left_out() -> None:
    step, _ = flooded(3, 800, actors=1)
    assert Influence(replace_setting(SMALL, enabled=False)).weigh(step) is step


def test_what_is_not_positive_is_not_bounded() -> None:
    ts_ms, actor, item = honest(np.random.default_rng(1), 900, actors=1)
    for weight in (0.0, -1.0):
        marks = replace(plain_marks(900), weight=np.full(900, weight, np.float32))
        assert Influence(SMALL).weigh(fold_step(ts_ms, actor, item, marks)).weight.tolist() == [weight] * 900


def replace_setting(settings: GuardSettings, **changes: object) -> GuardSettings:
    """The settings with some changed."""
    return msgspec.structs.replace(settings, **changes)


# -- actors ------------------------------------------------------------------------------------------------------


def most_within(ts_ms: np.ndarray, span_ms: float) -> int:
    """The most moments in any span of such a length."""
    return max((int(np.searchsorted(ts_ms, t + span_ms) - k) for k, t in enumerate(ts_ms.tolist())), default=0)


def test_no_window_holds_more_of_an_actor_than_is_set() -> None:
    settings = replace_setting(LOOSE, actor_events=12)
    ts_ms, actor, item = honest(np.random.default_rng(4), 4000, actors=1)
    counts = Influence(settings).counts(fold_step(ts_ms, actor, item))
    assert 6 <= most_within(ts_ms[counts], 600_000) <= 12
    assert counts.sum() >= 4000 * 12 / 600 / 2 - 12


def test_no_window_holds_more_of_an_actor_on_an_item_than_is_set() -> None:
    settings = replace_setting(LOOSE, actor_item_events=2)
    ts_ms, actor, item = honest(np.random.default_rng(5), 600, actors=1)
    item[::5] = TARGET
    counts = Influence(settings).counts(fold_step(ts_ms, actor, item))
    assert most_within(ts_ms[counts & (item == TARGET)], 600_000) == 2
    assert counts[np.flatnonzero(item == TARGET)[:3]].tolist() == [True, True, False]


def test_an_actor_who_plays_with_the_clock_gains_nothing() -> None:
    """Its events say they come from long ago, or alternate between two days: the clock never goes back for them."""
    settings = replace_setting(LOOSE, actor_events=12)
    ts_ms, actor, item = honest(np.random.default_rng(6), 3000, actors=20)
    own = np.flatnonzero(np.arange(3000) % 2)
    actor[own] = 999
    for lie in (-1_000 * np.arange(len(own)), np.where(np.arange(len(own)) % 2, -86_400_000, 0)):
        told = ts_ms.copy()
        told[own] = ts_ms[own] + lie
        counts = Influence(settings).counts(fold_step(told, actor, item))
        mine = own[counts[own]]
        assert most_within(ts_ms[mine], 600_000) <= 12


def test_a_clock_that_was_wrong_once_holds_nobody_back_for_long() -> None:
    settings = replace_setting(LOOSE, actor_events=20)
    ts_ms, actor, item = honest(np.random.default_rng(7), 6000, actors=10)
    plain = Influence(settings).counts(fold_step(ts_ms, actor, item))
    ts_ms[500] += 365 * 86_400_000
    counts = Influence(settings).counts(fold_step(ts_ms, actor, item))
    assert counts[2000:].mean() == pytest.approx(plain[2000:].mean(), abs=0.02)


# -- items -------------------------------------------------------------------------------------------------------


def windows_of(settings: GuardSettings, step: Step) -> tuple[Bool, np.ndarray]:
    """Which events count, and the item window that each belongs to."""
    guard, window, counts = Influence(settings), [], []
    for b in range(len(step)):
        counts.append(bool(guard.counts(step.slice(b, b + 1))[0]))
        window.append(int(guard.state()["meter"][2]))
    return np.array(counts), np.array(window)


@pytest.mark.parametrize("aged", [0, 3])
@pytest.mark.parametrize("actors", [1, 100, 10_000])
def test_an_items_share_obeys_the_law_of_growth_whoever_takes_it(actors: int, aged: int) -> None:
    step, on_target = flooded(8, 4000, actors, aged)
    counts, window = windows_of(SMALL, step)
    shares, spent, allowed = [0.0], 0.0, 0.0
    for w in range(2, window.max() + 1):
        inside, before = counts & (window == w), counts & (window == w - 1)
        came = len(np.unique(step.item[window < w]))
        limit = max(SMALL.item_share, 1 / came, SMALL.item_growth * (before & on_target).sum() / before.sum())
        counted = (inside & on_target).sum()
        spent, allowed = spent + counted, allowed + limit * inside.sum()
        assert counted <= SMALL.item_events + 1 + limit * inside.sum()
        assert spent <= SMALL.item_events + 1 + allowed
        shares.append(counted / inside.sum())
    if not aged:
        assert on_target[len(step) // 2 :].mean() == pytest.approx(0.5, abs=0.05)
        assert max(shares) <= 0.2


def test_fresh_actors_are_bounded_by_what_known_people_do_with_the_item() -> None:
    """Ten thousand of them, as long as they like: a few people who know their way bear out a few of them."""
    step, on_target = flooded(9, 12_000, actors=10_000)
    guard = Influence(replace_setting(SMALL, item_growth=100.0, item_events=10_000))
    late = np.arange(len(step)) >= 9000  # a thousand flooding events after the flood began
    counts = guard.counts(step)
    came = len(np.unique(step.item[:9000]))
    limit = max(SMALL.item_share, 1 / came) * counts[late].sum() + SMALL.newcomer_events + 1
    assert not (late & on_target & (step.actor < 1000)).any()  # nobody else takes it
    assert (counts & late & on_target).sum() <= limit < 0.05 * (late & on_target).sum()


def test_honest_events_are_not_held_back_for_a_flood() -> None:
    step, on_target = flooded(10, 6000, actors=10_000)
    quiet, _ = flooded(10, 6000, actors=1)
    people = step.actor < 1000
    with_flood, without = Influence(SMALL).counts(step), Influence(SMALL).counts(quiet)
    late = people & (np.arange(6000) >= 3500)
    assert with_flood[late].mean() >= without[late].mean() - 0.03
    assert (~with_flood[late & ~on_target]).mean() < 0.25


def test_a_new_item_that_people_want_is_held_back_only_for_the_first_windows() -> None:
    """From nothing to a third of all traffic at once: the law of growth lets it through within a few windows."""
    rng = np.random.default_rng(11)
    ts_ms, actor, item = honest(rng, 6000, actors=300)
    late = (np.arange(6000) >= 3000) & (rng.random(6000) < 0.33)
    item[late] = TARGET
    settings = replace_setting(SMALL, actor_events=1000, actor_item_events=64)
    counts = Influence(settings).counts(fold_step(ts_ms, actor, item))
    minutes = (ts_ms - ts_ms[3000]) // 60_000
    assert counts[late & (minutes < 2)].mean() < 0.9
    assert counts[late & (minutes >= 7)].mean() > 0.95


def test_a_world_of_newcomers_needs_nobody_to_bear_it_out() -> None:
    ts_ms, _, item = honest(np.random.default_rng(12), 3000)
    step = fold_step(ts_ms, np.arange(3000, dtype=np.int32), item)
    known_rule = Influence(replace_setting(SMALL, item_events=10_000)).counts(step)
    assert known_rule.all()


def test_a_world_of_one_item_is_learned() -> None:
    ts_ms, actor, _ = honest(np.random.default_rng(13), 3000, actors=3000)
    counts = Influence(SMALL).counts(fold_step(ts_ms, actor, np.zeros(3000, np.int32)))
    assert counts[500:].mean() > 0.9


def test_kinds_that_weigh_more_use_up_more() -> None:
    """A flood with an event of three times the weight is bounded like one with three events."""
    step, on_target = flooded(14, 4000, actors=10_000)
    weight = np.where(on_target, np.float32(3), np.float32(1))
    heavy = fold_step(step.ts_ms, step.actor, step.item, Marks(step.kind, step.scenario, weight))
    plain_counts, heavy_counts = Influence(SMALL).counts(step), Influence(SMALL).counts(heavy)
    plain_sum = plain_counts[on_target].sum()
    assert (heavy_counts * weight)[on_target].sum() <= 1.3 * plain_sum + 2 * 3


def test_a_million_actors_take_sixteen_megabytes() -> None:
    guard = Influence(SMALL)
    last = fold_step(np.array([START_MS]), np.array([999_999]), np.array([5]))
    guard.counts(last)
    assert sum(array.nbytes for array in guard.state().values()) <= 16_001_000

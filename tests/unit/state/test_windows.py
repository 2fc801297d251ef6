"""Counts by windows of time, against a slow second computation over all events."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from everbrook.errors import DataError
from everbrook.events.columns import EventColumns
from everbrook.events.records import Event
from everbrook.settings.state import StateSettings
from everbrook.state import State, windows
from everbrook.state.windows import LONGEST_S, Windows

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
NOW_MS = 20_000 * DAY_MS + 7 * HOUR_MS + 123_456
SIZES = ((10_000, 90), (300_000, 36), (HOUR_MS, 72), (DAY_MS, 64))
ITEMS, SCENARIOS = 12, 3
Made = tuple[int, int, int, float]  # time, item, scenario, weight


class Slow:
    """The same in plain Python, one event after the other."""

    def __init__(self, most_pairs: int = 32_768, portion: int = 32_768) -> None:
        self.most_pairs, self.portion, self.n = most_pairs, portion, 0
        self.rings: list[dict[int, Counter[tuple[int, int]]]] = [{} for _ in SIZES]

    def add(self, ts_ms: int, item: int, scenario: int, weight: float) -> None:
        if not weight > 0.0:
            return
        for (size_ms, buckets), ring in zip(SIZES, self.rings, strict=True):
            ring.setdefault(ts_ms // size_ms, Counter())[item, scenario] += 1
            if len(ring) > buckets + 4:
                del ring[min(ring)]
        self.n += 1
        if self.n % self.portion == 0:
            for ring in self.rings:
                for bucket in sorted(ring)[:-1]:
                    ring[bucket] = self.cut(ring[bucket])

    def cut(self, counts: Counter[tuple[int, int]]) -> Counter[tuple[int, int]]:
        left = {scenario: sorted((-n, item) for (item, place), n in counts.items() if place == scenario)
                for scenario in {place for _, place in counts}}  # fmt: skip
        kept: Counter[tuple[int, int]] = Counter()
        for rank in range(len(counts)):
            for item, scenario in sorted((ones[rank][1], s % 65_536) for s, ones in left.items() if rank < len(ones)):
                if len(kept) < self.most_pairs:
                    pair = item, -1 if scenario == 65_535 else scenario
                    kept[pair] = counts[pair]
        return kept

    def totals(self, now_ms: int, window_s: int, scenario: int = -1) -> list[float]:
        since_ms, totals = now_ms - 1000 * window_s, [0.0] * ITEMS
        at = next(n for n, (size_ms, buckets) in enumerate(SIZES) if 1000 * window_s <= size_ms * buckets)
        for bucket, counts in self.rings[at].items():
            start_ms = bucket * SIZES[at][0]
            if start_ms > now_ms:
                continue
            stop_ms = min(start_ms + SIZES[at][0], now_ms + 1)
            share = (stop_ms - max(start_ms, since_ms)) / (stop_ms - start_ms)
            for (item, place), n in counts.items():
                totals[item] += max(0.0, share) * n if scenario in (-1, place) else 0.0
        return totals


def stream(seed: int, n: int = 400, reach_ms: int = 80 * DAY_MS) -> list[Made]:
    """Events of all ages, most of them young, many late, a few from clocks that run ahead; some at buckets' edges."""
    rng = np.random.default_rng(seed)
    ages = (rng.pareto(0.5, n) * 60_000).clip(0, reach_ms).astype(np.int64)
    ages.sort()
    ts_ms = NOW_MS - ages[::-1]
    late = rng.random(n) < 0.3
    ts_ms[late] -= (rng.pareto(0.5, n) * 60_000).clip(0, reach_ms).astype(np.int64)[late]
    ts_ms[rng.random(n) < 0.02] += 400_000
    edges = rng.random(n) < 0.2
    ts_ms[edges] = ts_ms[edges] // 300_000 * 300_000 - rng.integers(0, 2, n)[edges]
    items, places = rng.integers(0, ITEMS, n), rng.integers(-1, SCENARIOS, n)
    weights = rng.choice([1.0, 0.5, 0.0, -1.0, np.nan], n, p=[0.6, 0.2, 0.1, 0.05, 0.05])
    return list(map(tuple, zip(ts_ms.tolist(), items.tolist(), places.tolist(), weights.tolist(), strict=True)))


def add(counted: Windows, events: list[Made]) -> None:
    ts_ms, item, scenario, weight = (list(column) for column in zip(*events, strict=True))
    counted.add(
        np.array(ts_ms, np.int64), np.array(item, np.int32), np.array(scenario, np.int16), np.array(weight, np.float32)
    )


def folded(events: list[Made]) -> Windows:
    counted = Windows()
    add(counted, events)
    return counted


def assert_same(left: Windows, right: Windows) -> None:
    ours, theirs = left.arrays(), right.arrays()
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        assert array.dtype == theirs[name].dtype, name
        np.testing.assert_array_equal(array, theirs[name], err_msg=name)


@pytest.mark.parametrize("seed", range(6))
def test_a_window_counts_what_a_slow_count_counts(seed: int) -> None:
    events, slow = stream(seed), Slow()
    counted = folded(events)
    for event in events:
        slow.add(*event)
    for window_s in (1, 60, 300, 900, 901, 3600, 10_799, 10_800, 10_801, 86_400, 259_200, 259_201, 604_800, LONGEST_S):
        for scenario in (-1, 0, 1, 2):
            for now_ms in (NOW_MS, NOW_MS - NOW_MS % HOUR_MS, NOW_MS + 12 * HOUR_MS + 1):
                found = counted.totals(ITEMS, now_ms, window_s, scenario)
                np.testing.assert_allclose(found, slow.totals(now_ms, window_s, scenario), err_msg=str(window_s))


@pytest.mark.parametrize("window_s", [60, 600, 3600, 86_400, 604_800, 30 * 86_400])
def test_a_window_errs_by_no_more_than_the_bucket_it_begins_in(window_s: int) -> None:
    events = [event for event in stream(7, 3000) if event[0] <= NOW_MS]
    found = folded(events).totals(ITEMS, NOW_MS, window_s)
    since_ms = NOW_MS - 1000 * window_s
    size_ms = next(size_ms for size_ms, buckets in SIZES if 1000 * window_s <= size_ms * buckets)
    for item in range(ITEMS):
        good = [ts_ms for ts_ms, row, _, weight in events if row == item and weight > 0.0]
        edge = sum(ts_ms // size_ms == since_ms // size_ms for ts_ms in good)
        assert abs(found[item] - sum(ts_ms >= since_ms for ts_ms in good)) <= edge
    assert found.sum() > 0.0


@pytest.mark.parametrize("seed", range(4))
def test_how_events_come_in_and_who_asks_changes_nothing(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "PORTION_EVENTS", 37)
    monkeypatch.setattr(windows, "MOST_PAIRS", 4)
    events, rng = stream(seed), np.random.default_rng(seed)
    whole, single, mixed = folded(events), Windows(), Windows()
    for event in events:
        add(single, [event])
    at = 0
    while at < len(events):
        stop = at + int(rng.integers(1, 60))
        add(mixed, events[at:stop])
        at = stop
        mixed.totals(ITEMS, NOW_MS, 3600)
        if rng.random() < 0.5:
            kept, mixed = mixed.arrays(), Windows()
            mixed.load(kept)
    assert_same(whole, single)
    assert_same(whole, mixed)


@pytest.mark.parametrize("seed", range(4))
def test_a_bucket_that_is_over_keeps_what_was_met_most_of_every_scenario(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows, "PORTION_EVENTS", 50)
    monkeypatch.setattr(windows, "MOST_PAIRS", 6)
    events, slow = stream(seed, 1000), Slow(most_pairs=6, portion=50)
    counted = folded(events)
    for event in events:
        slow.add(*event)
    for window_s in (3600, 86_400, 604_800, LONGEST_S):
        for scenario in (-1, 0, 2):
            expected = slow.totals(NOW_MS, window_s, scenario)
            np.testing.assert_allclose(counted.totals(ITEMS, NOW_MS, window_s, scenario), expected)


def test_memory_is_bounded_whatever_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "PORTION_EVENTS", 1000)
    monkeypatch.setattr(windows, "MOST_PAIRS", 50)
    counted, rng = Windows(), np.random.default_rng(0)
    sizes = []
    for day in range(20):  # every pair is new, and times jump about
        n = 1000
        ts_ms = NOW_MS + day * DAY_MS + rng.integers(-70 * DAY_MS, DAY_MS, n)
        item = np.arange(n, dtype=np.int32) + n * day
        counted.add(ts_ms, item, np.full(n, -1, np.int16), np.ones(n, np.float32))
        sizes.append(counted.n_bytes)
    buckets = 94 + 40 + 76 + 68
    latest = 4 * 2000  # of the bucket that still goes on, and what came since buckets were cut
    assert max(sizes) <= 16 * 1000 + 12 * (buckets * 50 + latest)
    assert sizes[-1] < 1.3 * sizes[10]


def test_a_clock_far_ahead_does_not_end_the_counting() -> None:
    counted = folded([(NOW_MS, 0, 0, 1.0)] * 3 + [(NOW_MS + 10_000 * DAY_MS, 1, 0, 1.0)])
    add(counted, [(NOW_MS + 1000, 0, 0, 1.0)])
    for window_s in (3600, 86_400, LONGEST_S):
        assert counted.totals(2, NOW_MS + 2000, window_s).tolist() == [4.0, 0.0]


def test_a_late_event_counts_where_it_belongs_and_one_too_late_nowhere() -> None:
    counted = folded([(NOW_MS - day * DAY_MS, 0, 0, 1.0) for day in range(80)])
    before = counted.totals(2, NOW_MS, 7 * 86_400)
    add(counted, [(NOW_MS - 10 * DAY_MS, 1, 0, 1.0)] * 5 + [(NOW_MS - 79 * DAY_MS, 1, 0, 1.0)])
    np.testing.assert_array_equal(counted.totals(2, NOW_MS, 7 * 86_400), before)
    assert counted.totals(2, NOW_MS, 30 * 86_400)[1] == 5.0
    assert counted.totals(2, NOW_MS, LONGEST_S)[1] == 5.0


def test_events_that_nobody_asked_about_yet_are_kept_with_a_state() -> None:
    counted, other = folded(stream(3)), Windows()
    kept = counted.arrays()
    other.load(kept)
    add(other, stream(4))
    other.load(kept)  # what was added later went into arrays of its own
    assert_same(counted, other)


def views(n: int, **fields: object) -> EventColumns:
    return EventColumns.from_records([
        Event(item=f"i{at % 3}", user="ann", ts=NOW_MS, **fields) for at in range(n)  # type: ignore[arg-type]
    ])  # fmt: skip


def test_a_state_counts_what_says_something_good() -> None:
    state = State(StateSettings(positive_from={"rating": 3.0}))
    for kind, value in (("view", None), ("seen", None), ("dislike", None), ("rating", 1.0), ("rating", 4.0)):
        state.fold(views(3, kind=kind, value=value))
    state.fold(views(1, kind="view", scenario="cart"))
    counted = state.counters.windows
    assert counted is not None
    assert counted.totals(3, NOW_MS, 3600).tolist() == [3.0, 2.0, 2.0]
    assert counted.totals(3, NOW_MS, 3600, state.scenario_row("cart")).tolist() == [1.0, 0.0, 0.0]
    other = State(StateSettings(positive_from={"rating": 3.0}))
    other.load(state.arrays())
    assert other.counters.windows is not None
    assert_same(counted, other.counters.windows)


def without_windows() -> State:
    state = State()
    state.counters.windows = None
    return state


def test_a_state_without_windows_is_not_taken_for_one_with_them() -> None:
    plain = without_windows()
    plain.fold(views(3))
    state = State()
    with pytest.raises(DataError, match=r"^A stored state must have .*'windows'.*; got .*\. Replay the log"):
        state.load(plain.arrays())
    assert state.n_items == 0
    again = without_windows()
    again.load(plain.arrays())
    assert again.n_items == 3

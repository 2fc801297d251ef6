"""Judged lists stay within their share of a core, and at rest every event is judged."""

from __future__ import annotations

import pytest

from everbrook.engine.allowance import Allowance


class Clock:
    """Seconds, set by hand."""

    def __init__(self) -> None:
        self.s = 100.0

    def __call__(self) -> float:
        return self.s


def judged_within(
    seconds: int, events_a_call: int, calls_a_second: int, cost_s: float, core_share: float, busy: float = 0.0
) -> int:
    """Lists judged in so many seconds, as the engine drives an allowance; the process is busy for a share of them."""
    clock = Clock()
    allowance = Allowance(core_share, 32, clock, lambda: busy * clock.s)
    total = 0
    for _ in range(seconds * calls_a_second):
        lists = int(allowance.share_of(events_a_call) * events_a_call)
        allowance.spent(lists, lists * cost_s)
        total += lists
        clock.s += 1.0 / calls_a_second
    return total


@pytest.mark.parametrize("cost_s", [0.0005, 0.003, 0.02])
def test_under_load_judging_takes_its_share_of_a_core_whatever_a_list_costs(cost_s: float) -> None:
    lists = judged_within(60, 100, 50, cost_s, 0.2)
    assert lists * cost_s == pytest.approx(60 * 0.2, rel=0.25)


@pytest.mark.parametrize(("busy", "share"), [(0.0, 0.2), (0.4, 0.12), (0.9, 0.05), (1.0, 0.05), (1.8, 0.05)])
def test_judging_takes_its_share_of_what_the_process_has_left_and_a_quarter_of_it_where_nothing_is(
    busy: float, share: float
) -> None:
    lists = judged_within(600, 100, 50, 0.003, 0.2, busy)
    assert lists * 0.003 == pytest.approx(600 * share, rel=0.25)


def test_at_rest_every_event_is_judged() -> None:
    assert judged_within(60, 1, 20, 0.003, 0.2) == 60 * 20


def test_without_a_share_there_is_no_limit() -> None:
    assert judged_within(1, 10_000, 50, 0.003, 0.0) == 10_000 * 50


def test_a_pause_fills_no_more_than_the_burst() -> None:
    clock = Clock()
    allowance = Allowance(0.2, 32, clock)
    clock.s += 3600.0
    assert allowance.share_of(64) == 0.5

"""From durable to served: what is measured, against times that are set."""

from __future__ import annotations

from typing import Any

from everbrook.engine.freshness import Freshness


def _percentiles(fresh: Freshness) -> dict[str, Any]:
    return {name: told for name, told in fresh.told().items() if name not in ("buckets", "sum_s")}


def test_before_anything_is_served_nothing_is_told() -> None:
    fresh = Freshness()
    fresh.note(10, 1.0)
    assert _percentiles(fresh) == {"p50_ms": None, "p99_ms": None, "measured": 0, "waiting": 1}


def test_each_growth_of_the_log_is_measured_to_the_delta_that_has_learned_it() -> None:
    fresh = Freshness()
    for end, now_s in ((10, 1.00), (20, 1.01), (30, 1.02)):
        fresh.note(end, now_s)
    fresh.served(20, 1.05)
    assert _percentiles(fresh) == {"p50_ms": 45.0, "p99_ms": 49.9, "measured": 2, "waiting": 1}
    fresh.served(29, 2.0)
    assert fresh.told()["waiting"] == 1
    fresh.served(30, 2.0)
    assert (fresh.told()["measured"], fresh.told()["p99_ms"]) == (3, 961.4)


def test_an_end_that_is_told_twice_counts_once() -> None:
    fresh = Freshness()
    fresh.note(10, 1.0)
    fresh.note(10, 2.0)
    fresh.served(10, 3.0)
    assert fresh.told()["measured"] == 1


def test_lately_is_about_the_last_minute_alone() -> None:
    freshness = Freshness()
    for n in range(10):
        freshness.note(n + 1, 100.0 + n)
    freshness.served(10, 200.0)  # a backlog: up to 100 s
    freshness.note(11, 300.0)
    freshness.served(11, 300.25)
    assert freshness.lately(310.0) == {"p50_ms": 250.0, "p99_ms": 250.0, "measured": 1}
    assert freshness.lately(310.0, window_s=200.0)["measured"] == 11
    assert freshness.lately(400.0) == {"p50_ms": None, "p99_ms": None, "measured": 0}

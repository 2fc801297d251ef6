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

"""A fit in a process beside which another one learns: what that one has sent so far goes on answering."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from everbrook import Recommender
from everbrook.engine.resuming import resumed
from everbrook.models.live_expert import LiveExpert
from everbrook.settings import Settings, load_settings
from everbrook.testing.clock import FakeClock
from everbrook.testing.world_config import preset
from everbrook.testing.worlds import World

SETTINGS: Settings = load_settings(
    environment={},
    assignments=[
        "mixture.experts=popularity,transitions,live", "live.width=8", "live.negatives=16", "gate.start=live",
        "learner.core_share=1", "learner.niceness=0",
    ],
).settings  # fmt: skip
WORLD = World(preset("markov", items=30, users=20, days=1, events_per_day=500, seed=3))
EVENTS = WORLD.all_events()
RECORDS = EVENTS.records()
HALF = len(RECORDS) // 2
NEW = "seen-for-the-first-time"


def until(what: Callable[[], object], seconds: float = 280.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)


def live_of(shop: Recommender) -> LiveExpert:
    expert = shop._core.family(LiveExpert)
    assert expert is not None
    return expert


def weights(expert: LiveExpert) -> dict[str, np.ndarray]:
    """Everything that a list is made from."""
    arrays = {f"network/{name}": array.copy() for name, array in expert.network.arrays().items()}
    assert expert.prior is not None
    return arrays | {"rows": expert.rows.table[: expert.items].copy(), "prior": expert.prior.weights.copy()}


def same(one: dict[str, np.ndarray], two: dict[str, np.ndarray]) -> None:
    assert one.keys() == two.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(two[name], array, err_msg=name)


def said(shop: Recommender) -> np.ndarray:
    """What the live expert gives all items, for a few people."""
    every, found = np.arange(shop._core.state.n_items, dtype=np.int32), []
    for user in sorted({one.user for one in RECORDS[:HALF] if one.user})[:8]:
        query = shop._core.state.query(now_ms=WORLD.config.end_ms, user=user)
        mass, rest = np.zeros((len(every), 1), np.float32), np.zeros(1, np.float32)
        live_of(shop).score(query, every, mass, rest)
        found.append(np.append(mass[:, 0], rest))
    return np.array(found)


def caught_up(shop: Recommender) -> bool:
    stamp: Any = shop.live.stamp
    return stamp is not None and stamp.offset >= shop._core.offset and shop.live.status().get("note") is None


def test_a_fit_leaves_what_the_process_has_sent_and_what_it_sends_later_fits(tmp_path: Path) -> None:
    path = tmp_path / "shop"
    with Recommender.open(path, SETTINGS, FakeClock(WORLD.config.end_ms)) as shop:
        shop.import_columns(EVENTS.slice(0, HALF))
        assert shop.start_learner()
        shop.ingest(RECORDS[HALF : HALF + 20])
        until(lambda: caught_up(shop))
        before, told, stamp = weights(live_of(shop)), said(shop), shop.live.stamp
        assert not np.isnan(told[:, -1]).any()
        first = live_of(shop)
        shop.fit()
        assert live_of(shop) is not first
        same(before, weights(live_of(shop)))
        assert shop.live.stamp == stamp
        np.testing.assert_allclose(said(shop), told, rtol=1e-4)
        shop.ingest([*RECORDS[HALF + 20 :], {"user": RECORDS[0].user, "item": NEW}])
        until(lambda: caught_up(shop))
        last = weights(live_of(shop))
        assert (last["rows"][: len(before["rows"])] != before["rows"]).any()
        assert shop.status()["live"]["process"]["starts"] == 1
    learning = resumed(path, SETTINGS, len(RECORDS) + 1)
    assert learning is not None
    rows = learning.learner.weights.rows
    np.testing.assert_array_equal(rows.table[: len(last["rows"])], last["rows"])
    for name, array in learning.learner.weights.network.arrays().items():
        np.testing.assert_array_equal(array, last[f"network/{name}"], err_msg=name)


def test_a_fit_before_the_process_has_sent_anything_waits_for_it_with_nothing(tmp_path: Path) -> None:
    with Recommender.open(tmp_path / "shop", SETTINGS, FakeClock(WORLD.config.end_ms)) as shop:
        shop.import_columns(EVENTS.slice(0, HALF))
        assert shop.start_learner()
        assert live_of(shop).stage == "off"
        shop.fit()
        until(lambda: caught_up(shop))
        assert live_of(shop).stage == "live"
        assert not np.isnan(said(shop)[:, -1]).any()
        assert shop.live.errors == []

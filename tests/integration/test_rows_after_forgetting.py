"""After a person was forgotten, what is learned anew from the log means the same items as what is running."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from everbrook import Recommender
from everbrook.engine.learning_files import read_arrays
from everbrook.engine.refit_process import FOLDER, ROWS, fold, run
from everbrook.engine.refit_run import order_for
from everbrook.events.log import Run
from everbrook.events.log_follower import LogFollower
from everbrook.settings import Settings, load_settings
from everbrook.state.numbering import numbering
from everbrook.testing.clock import FakeClock

NOW_MS = 1_767_225_600_000
ITEMS = 12


def settings() -> Settings:
    return load_settings(
        assignments=[
            "mixture.experts=popularity,transitions,sequence", "learner.mode=off", "engine.least_fit_events=100",
            "fit.epochs=12", "fit.threads=1", "sequence.width=16", "engine.refit_every_s=0",
        ]
    ).settings  # fmt: skip


def visited(shop: Recommender) -> None:
    """The first user sees the items backwards; all others go round them, one after the other."""
    first = [{"user": "gone", "item": f"i{n}", "kind": "view", "ts": NOW_MS - 10**7 + n} for n in range(ITEMS)[::-1]]
    shop.ingest(sorted(first, key=lambda event: -int(event["item"][1:])))
    rng = np.random.default_rng(0)
    for user in range(40):
        start = int(rng.integers(ITEMS))
        shop.ingest([
            {"user": f"u{user}", "item": f"i{(start + step) % ITEMS}", "kind": "view",
             "ts": NOW_MS - 10**6 + 1_000 * user + step}
            for step in range(8)
        ])  # fmt: skip


def _items(part: Run) -> list[str]:
    assert part.events is not None
    return [part.events.item.names[code] for code in part.events.item.codes.tolist()]


def test_what_is_folded_anew_means_the_items_that_the_running_state_means(tmp_path: Path) -> None:
    with Recommender.open(tmp_path, settings(), FakeClock(NOW_MS)) as shop:
        visited(shop)
        shop.delete_user("gone")
        rows = numbering(shop._core.state)
        with LogFollower(tmp_path) as log:
            told = [item for part in log.runs(0, log.end, ("event",)) for item in _items(part)]
            alone, _, _ = fold(log, settings())
            kept, _, items = fold(log, settings(), rows)
        ids = shop._core.state.items
        assert items == ITEMS
        assert [ids.id(row) for row in kept.histories().items.tolist()] == told  # people came one after the other
        assert [ids.id(row) for row in alone.histories().items.tolist()] != told


def test_a_fit_after_forgetting_keeps_the_rows_of_what_is_running(tmp_path: Path) -> None:
    with Recommender.open(tmp_path, settings(), FakeClock(NOW_MS)) as shop:
        visited(shop)
        before = [shop._core.state.items.id(row) for row in range(ITEMS)]
        assert before == [f"i{n}" for n in range(ITEMS)[::-1]]
        shop.delete_user("gone")
        shop.fit()
        assert [shop._core.state.items.id(row) for row in range(ITEMS)] == before
        assert shop.recommend(items=["i3"], k=1).items[0].id == "i4"  # what all others did next


def test_the_process_of_a_refit_finds_the_rows_that_it_was_left(tmp_path: Path) -> None:
    with Recommender.open(tmp_path, settings(), FakeClock(NOW_MS)) as shop:
        visited(shop)
        shop.delete_user("gone")
        told = numbering(shop._core.state)
        order = order_for(tmp_path, settings(), "digest", False, told)
        found = read_arrays(tmp_path / FOLDER / ROWS)
        assert found.keys() == told.keys()
        assert all(np.array_equal(found[name], told[name]) for name in told)
        outcome = run(order, lambda _: None)
        assert outcome is not None
        assert outcome.items == ITEMS

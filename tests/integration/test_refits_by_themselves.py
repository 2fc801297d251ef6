"""Refits that nobody asks for: the first one, those of the schedule, and one that a change of tastes brings about.

One recommender with a clock to set, real refits in their processes, in the order of a life.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from everbrook import Recommender
from everbrook.events.columns import EventColumns
from everbrook.settings import Settings, load_settings
from everbrook.testing.clock import FakeClock
from everbrook.testing.world_config import DAY_MS, preset
from everbrook.testing.worlds import World

pytestmark = pytest.mark.timeout(600)  # fits in processes that may wait long on a busy machine

DAY_S = 86_400.0
SETTINGS: Settings = load_settings(
    environment={},
    assignments=[
        "mixture.experts=popularity,transitions,sequence,live", "mixture.judge_share=1", "sequence.width=8",
        "sequence.layers=1", "sequence.heads=1", "sequence.history=8", "fit.epochs=1", "fit.refit_epochs=1",
        "fit.device=cpu", "fit.warmup_steps=2", "fit.threads=1", "engine.least_fit_events=100",
        "engine.trust_events=50", "engine.live_events=5000", "engine.refit_every_s=864000", "engine.refit_niceness=0",
        "engine.refit_drift_s=86400", "engine.log_impressions=false", "learner.mode=inside",
        "learner.micro_batch_events=50", "live.width=16", "live.negatives=32", "live.tested=1", "live.reservoir=256",
        "drift.mean_events=8", "drift.delta=0.01", "drift.refit_rises=1", "gate.margin=1", "gate.noninferior_s=0",
        "gate.block_events=1", "gate.promotions_per_month=1000",
    ],
).settings  # fmt: skip
# What follows what is another thing in the second world: all that was learned of the first is wrong from then on.
BEFORE = World(preset("markov", seed=2, users=20, items=40, days=1, events_per_day=2400))
LATER_MS = BEFORE.config.end_ms + 12 * DAY_MS
AFTER = World(preset("markov", seed=9, users=20, items=40, days=1, events_per_day=800, start_ms=LATER_MS))
FIRST = BEFORE.all_events()
CLOCK = FakeClock(BEFORE.config.end_ms)


def until(what: Callable[[], object], seconds: float = 280.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)


class Life:
    """The recommender, and what happens to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.shop = Recommender.open(path, SETTINGS, CLOCK)

    def again(self) -> None:
        """Close and open."""
        self.shop.close()
        self.shop = Recommender.open(self.path, SETTINGS, CLOCK)
        self.shop.start_refits()

    @property
    def refit(self) -> dict[str, Any]:
        return self.shop.refitting.status()

    @property
    def version(self) -> str:
        return self.shop._published.version

    def happens(self, columns: EventColumns) -> None:
        """Events in portions of fifty, each at its time."""
        for start in range(0, len(columns), 50):
            piece = columns.slice(start, min(start + 50, len(columns)))
            CLOCK.set_ms(max(CLOCK.now_ms(), int(piece.ts_ms[-1])))
            self.shop.import_columns(piece)

    def decide(self, records: list[Any]) -> None:
        """Let what is on trial be compared on further events, a minute for each twenty, until it is decided."""
        for start in range(0, 4000, 20):
            if self.refit["state"] != "on_trial":
                return
            CLOCK.advance(60)
            at = start % (len(records) - 20)
            self.shop.ingest([{"user": one.user, "item": one.item} for one in records[at : at + 20]])
            until(lambda: not self.refit.get("candidate", {}).get("waiting"))
        raise AssertionError(self.refit)


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    """One for the tests below, in their order."""
    one = Life(tmp_path_factory.mktemp("life") / "shop")
    yield one
    one.shop.close()


def test_the_first_fit_begins_when_there_is_enough_to_learn_from(life: Life) -> None:
    life.happens(FIRST.slice(0, 90))
    life.shop.start_refits()
    assert life.shop.refitting._due() is None
    life.happens(FIRST.slice(90, 2000))
    until(lambda: life.version.startswith("sequence-"))
    until(lambda: life.refit["state"] == "idle")
    told = life.shop.status()["decisions"]
    assert next(one["because"] for one in told if one["action"] == "refit") == "There is no large model yet."
    assert next(one["because"] for one in told if one["action"] == "publish") == "There was no large model."


def test_the_next_begins_when_its_time_has_come_and_takes_the_place_of_the_first_by_the_gate(life: Life) -> None:
    first = life.version
    life.happens(FIRST.slice(2000, len(FIRST)))
    CLOCK.advance(9.8 * DAY_S)
    assert life.shop.refitting._due() is None
    CLOCK.advance(0.3 * DAY_S)
    until(lambda: life.refit["state"] == "on_trial")
    assert life.refit["last"]["because"] == "Its time has come."
    assert life.version == first
    life.decide(FIRST.records())
    until(lambda: life.version != first)
    actions = [one["action"] for one in life.shop.status()["decisions"]]
    assert {"swap", "publish"} <= set(actions)


def test_when_tastes_turn_over_drift_asks_for_a_fit_and_for_one_only(life: Life) -> None:
    assert life.refit["state"] == "idle"
    fits, version = life.refit["fits"], life.version
    life.happens(AFTER.all_events())
    until(lambda: life.refit["state"] == "on_trial")
    assert life.refit["fits"] == fits + 1
    assert life.refit["last"]["because"] == "The loss has risen again and again."
    assert "drift" in [one["action"] for one in life.shop.status()["decisions"]]
    life.decide(AFTER.all_events().records())
    until(lambda: life.version != version)
    life.shop.live.on_drift("Again.")
    assert life.refit["state"] == "idle"


def test_a_restart_makes_no_fit_due_that_was_not_due_before(life: Life) -> None:
    life.again()
    life.shop.live.on_drift("Again.")
    assert life.refit["state"] == "idle"
    assert life.shop.refitting._due() is None
    CLOCK.advance(DAY_S)
    life.shop.live.on_drift("Again.")
    assert life.refit["state"] in ("asked", "fitting")


def test_nothing_went_wrong_in_that_life(life: Life) -> None:
    assert life.shop.errors == []
    assert life.shop.live.errors == []

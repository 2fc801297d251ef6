"""Looking after what learns, through the library: versions seen and gone back to, the gate paused and overridden."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from everbrook import Recommender
from everbrook.engine.decisions import last_decisions
from everbrook.errors import NotFoundError, NotReadyError, SettingError, UnknownNameError
from everbrook.settings import Settings
from everbrook.settings.engine import EngineSettings
from everbrook.settings.fit import FitSettings
from everbrook.settings.learner import LearnerSettings
from everbrook.settings.mixture import MixtureSettings
from everbrook.settings.sequence import SequenceSettings
from everbrook.testing.clock import FakeClock
from everbrook.testing.world_config import preset
from everbrook.testing.worlds import World

WORLD = World(preset("markov", items=30, users=20, days=1, events_per_day=500, seed=3))
EVENTS = WORLD.all_events()
CLOCK = FakeClock(WORLD.config.end_ms)
SETTINGS = Settings(
    mixture=MixtureSettings(experts=("popularity", "transitions", "sequence", "live")),
    sequence=SequenceSettings(width=8, layers=1, heads=1, history=8),
    fit=FitSettings(epochs=1, refit_epochs=1, batch_events=512, threads=1, device="cpu", warmup_steps=2),
    engine=EngineSettings(least_fit_events=100, trust_events=50),
)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Recommender]:
    """A shop that has learned from one day."""
    with Recommender.open(tmp_path / "shop", SETTINGS, CLOCK) as opened:
        opened.import_columns(EVENTS)
        yield opened


def weights(shop: Recommender) -> np.ndarray:
    learning = shop.live.learning
    assert learning is not None
    rows = learning.learner.weights.rows
    return rows.table[: rows.count].copy()


def test_versions_tell_what_answers_and_what_can_be_gone_back_to(shop: Recommender) -> None:
    found = shop.versions()
    assert found["published"]["name"] == "counts-0"
    assert found["live"]["offset"] == len(EVENTS)
    times = [point["ts_ms"] for point in found["points"]]
    assert times == sorted(times, reverse=True)
    assert [point["age_ms"] for point in found["points"]] == [times[0] - ts for ts in times]
    assert (found["gate"]["stage"], found["gate"]["paused"]) == ("shadow", False)


def test_a_rollback_undoes_what_was_learned_since_and_is_in_the_log(shop: Recommender) -> None:
    points = shop.versions()["points"]
    before = weights(shop)
    told = shop.rollback(points[-1]["version"])
    assert told["to_offset"] == points[-1]["offset"]
    assert told["rows"] > 0
    assert not np.array_equal(weights(shop), before)
    newest = shop.versions()["decisions"][0]
    assert (newest["action"], newest["to"], newest["because"]) == ("rollback", points[-1]["version"], "Asked for.")


def test_a_version_that_is_not_there_is_told_with_those_that_are(shop: Recommender) -> None:
    with pytest.raises(NotFoundError, match=r"^Unknown version 'live-1'\..* Known: .*anchor, live-") as caught:
        shop.rollback("live-1")
    assert caught.value.type == "unknown_version"


def test_the_gate_is_paused_resumed_and_overridden_by_hand(shop: Recommender) -> None:
    assert shop.pause() == {"paused": True}
    assert shop.versions()["gate"]["paused"]
    assert shop.override("live") == {"stage": "live"}
    assert shop.status()["live"]["stage"] == "live"
    assert shop.resume() == {"paused": False}
    assert [one["action"] for one in shop.versions()["decisions"]][:3] == ["resume", "override", "pause"]
    with pytest.raises(UnknownNameError, match=r"^Unknown stage 'life'\. Did you mean 'live'\?"):
        shop.override("life")


def test_what_was_done_by_hand_is_there_after_opening_again(tmp_path: Path) -> None:
    with Recommender.open(tmp_path / "shop", SETTINGS, CLOCK) as shop:
        shop.import_columns(EVENTS)
    with Recommender.open(tmp_path / "shop", SETTINGS, CLOCK) as shop:
        shop.rollback(shop.versions()["points"][-1]["version"])
        shop.pause()
        after = weights(shop)
    with Recommender.open(tmp_path / "shop", SETTINGS, CLOCK) as shop:
        assert shop.versions()["gate"]["paused"]
        np.testing.assert_array_equal(weights(shop), after)


def test_the_large_model_before_can_be_gone_back_to(shop: Recommender) -> None:
    shop.fit()
    first = shop.status()["version"]["name"]
    shop.ingest([{"user": "u", "item": "new"}])
    shop.fit()
    second = shop.status()["version"]["name"]
    assert first != second
    shop.rollback(first)
    assert shop.status()["version"]["name"] == first
    assert shop.versions()["previous"]["version"] == second
    assert last_decisions(shop.log, 1)[0]["action"] == "rollback"


def test_without_a_learner_there_is_nothing_to_pause(tmp_path: Path) -> None:
    settings = Settings(mixture=SETTINGS.mixture, learner=LearnerSettings(mode="off"))
    with Recommender.open(tmp_path / "shop", settings, CLOCK) as shop:
        with pytest.raises(NotReadyError, match=r"the setting learner.mode is 'off'"):
            shop.pause()
        assert shop.versions()["points"] == []


def test_a_refit_without_a_large_model_is_a_wrong_question_and_not_one_to_ask_again(tmp_path: Path) -> None:
    settings = Settings(mixture=MixtureSettings(experts=("popularity",)))
    told = r"^Setting 'mixture\.experts' must name 'sequence' for a refit; it does not\."
    with (
        Recommender.open(tmp_path / "shop", settings, CLOCK) as shop,
        pytest.raises(SettingError, match=told) as raised,
    ):
        shop.refit()
    assert raised.value.http_status == 400


def test_a_refit_needs_something_to_learn_from(tmp_path: Path) -> None:
    told = r"^A refit must have at least 100 events to learn from; there are 0\."
    with Recommender.open(tmp_path / "shop", SETTINGS, CLOCK) as shop, pytest.raises(NotReadyError, match=told):
        shop.refit()

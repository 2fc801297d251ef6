"""Fitting the sequence model on a small made world: published, kept, trusted, and out of nobody's way."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from everbrook import Recommender
from everbrook.engine.fitting import relearn
from everbrook.models.sequence_expert import SequenceExpert
from everbrook.settings import Settings
from everbrook.settings.engine import EngineSettings
from everbrook.settings.fit import FitSettings
from everbrook.settings.mixture import MixtureSettings
from everbrook.settings.sequence import SequenceSettings
from everbrook.testing.clock import FakeClock
from everbrook.testing.world_config import preset
from everbrook.testing.worlds import World

SETTINGS = Settings(
    mixture=MixtureSettings(experts=("popularity", "transitions", "sequence")),
    sequence=SequenceSettings(width=16, layers=1, heads=1, history=8),
    fit=FitSettings(epochs=1, refit_epochs=1, batch_events=512, threads=1, device="cpu", warmup_steps=2),
    engine=EngineSettings(least_fit_events=300, trust_events=100),
)
WORLD = World(preset("markov", items=40, users=40, days=2, events_per_day=450, seed=5))
CLOCK = FakeClock(WORLD.config.end_ms)


def sequence_of(shop: Recommender) -> SequenceExpert:
    expert = shop._core.family(SequenceExpert)
    assert expert is not None
    return expert


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recommender]:
    """A shop that was fitted once."""
    with Recommender.open(tmp_path_factory.mktemp("fitted") / "shop", SETTINGS, CLOCK) as opened:
        opened.import_columns(WORLD.all_events())
        opened.outcome = opened.fit()  # type: ignore[attr-defined]
        yield opened


def test_a_fit_publishes_a_version(shop: Recommender) -> None:
    events = len(WORLD.all_events())
    outcome = shop.outcome  # type: ignore[attr-defined]
    assert outcome["version"] == f"sequence-{events}"
    assert (outcome["events"], outcome["items"]) == (events, shop.status()["items"])
    assert shop.recommend(user="u1").model.version == outcome["version"]
    assert shop.status()["version"]["name"] == outcome["version"]
    assert shop.status()["ready"]


def test_the_published_model_speaks_in_lists(shop: Recommender) -> None:
    assert "sequence/live" in shop.status()["mixture"]["weights"]
    query = shop._core.state.query(now_ms=CLOCK.now_ms(), user=WORLD.all_events().user.names[0])
    assert len(sequence_of(shop).propose(query, 10)) == 10


def test_the_published_model_survives_closing(shop: Recommender, tmp_path: Path) -> None:
    shutil.copytree(shop.path, tmp_path / "copy")
    with Recommender.open(tmp_path / "copy", SETTINGS, CLOCK) as again:
        assert again.status()["version"]["name"] == shop.status()["version"]["name"]
        for user in WORLD.all_events().user.names[:5]:
            one, two = (opened.recommend(user=user, k=10) for opened in (shop, again))
            assert [item.id for item in one.items] == [item.id for item in two.items]
            assert [item.score for item in two.items] == pytest.approx([item.score for item in one.items], rel=1e-4)


def test_too_little_to_learn_from_publishes_counts(tmp_path: Path) -> None:
    with Recommender.open(tmp_path, SETTINGS, CLOCK) as shop:
        shop.import_columns(WORLD.all_events().slice(0, 50))
        outcome = shop.fit()
        assert outcome["version"] == "counts-50"
        assert sequence_of(shop).model is None
        assert len(shop.recommend(user="u1", k=5).items) == 5


def test_events_that_come_while_a_fit_runs_are_learned_by_what_it_publishes(tmp_path: Path) -> None:
    columns = WORLD.all_events()
    late = columns.slice(len(columns) - 20, len(columns)).records()
    with Recommender.open(tmp_path, SETTINGS, CLOCK) as shop:
        shop.import_columns(columns.slice(0, len(columns) - 20))
        sender = threading.Thread(target=lambda: [shop.ingest([event]) for event in late])
        shop.fit(progress=lambda _: sender.start() if sender.ident is None else None)
        assert sender.ident is not None
        sender.join()
        assert shop.status()["events"] == len(columns)
        assert shop._core.offset == shop.log.end
        assert shop._core.state.n_items == len(set(columns.item.codes.tolist()))


def test_learning_anew_twice_gives_the_same(shop: Recommender) -> None:
    one, two = (relearn(shop.log, SETTINGS) for _ in range(2))
    assert one.quality == two.quality
    assert one.core.mixture.top.tolist() == two.core.mixture.top.tolist()

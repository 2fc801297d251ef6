"""Quality over time: the same figures as a plain loop over the judgements, in memory that does not grow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from everbrook import Recommender
from everbrook.engine.glancing import QUALITY
from everbrook.engine.quality import MOST_PER_S, SPANS, Quality
from everbrook.errors import UnknownNameError
from everbrook.rank.mixture import Judgement, Mixture
from everbrook.settings import load_settings
from everbrook.testing.clock import FakeClock
from everbrook.types import NO_ROW, Step

SETTINGS = load_settings(
    environment={},
    assignments=[
        'mixture.experts=["popularity", "transitions", "live"]', "live.width=8", "learner.micro_batch_events=4",
    ],
).settings
COUNTS = load_settings(environment={}, assignments=['mixture.experts=["popularity"]']).settings
Judged = list[tuple[int, int, Judgement]]  # moment, scenario row


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> Judged:
    """What was noted, kept aside."""
    kept: Judged = []
    own = Quality.note

    def note(self: Quality, mixture: Mixture, step: Step, b: int, found: Judgement, now_ms: int) -> None:
        kept.append((now_ms, int(step.scenario[b]), found))
        own(self, mixture, step, b, found, now_ms)

    monkeypatch.setattr(Quality, "note", note)
    return kept


def _played(path: Path, events: int) -> dict[str, Any]:
    clock = FakeClock(10_000_000)
    with Recommender.open(path, SETTINGS, clock) as engine:
        for n in range(events):
            clock.advance(0.7)
            one = {"user": f"u{n % 4}", "item": f"i{(n * 5 + n // 7) % 12}", "scenario": ("home", "cart")[n % 2]}
            engine.ingest([one])
        return {"all": engine.learning(), "home": engine.learning(scenario="home"), "now_ms": clock.now_ms(),
                "later": engine.learning(since_ms=clock.now_ms() - 20_000)}  # fmt: skip


def test_the_figures_are_those_of_a_plain_loop(tmp_path: Path, judged: Judged) -> None:
    told = _played(tmp_path / "data", 60)
    for name, chosen in (("all", judged), ("home", [one for one in judged if one[1] == judged[0][1]])):
        found = told[name]
        assert sum(found["events"]) == len(chosen)
        ranks = [one.rank for _, _, one in chosen]
        mixture = found["systems"]["mixture"]
        assert sum(mixture["hits"]) == sum(0 < rank <= 20 for rank in ranks)
        assert sum(mixture["reciprocal"]) == pytest.approx(sum(1 / rank for rank in ranks if 0 < rank <= 20), abs=0.01)
        assert sum(mixture["log_loss"]) == pytest.approx(-sum(one.logp for _, _, one in chosen), abs=0.01)
    length_ms = SPANS["hour"][0]
    assert told["all"]["ts_ms"] == sorted({at // length_ms * length_ms for at, _, _ in judged})
    assert told["later"]["ts_ms"] == [at for at in told["all"]["ts_ms"] if at + length_ms > told["now_ms"] - 20_000]


def test_live_and_anchor_are_asked_about_the_same_events(tmp_path: Path, judged: Judged) -> None:
    systems = _played(tmp_path / "data", 60)["all"]["systems"]
    assert systems["live"]["awake"] == systems["anchor"]["awake"]
    assert sum(systems["live"]["awake"]) > 30
    assert sum(systems["live"]["log_loss"]) != pytest.approx(sum(systems["anchor"]["log_loss"]), abs=1e-3)


def test_the_lines_go_on_over_a_restart_by_the_names_of_scenarios(tmp_path: Path) -> None:
    told = _played(tmp_path / "data", 60)
    with Recommender.open(tmp_path / "data", SETTINGS, FakeClock(told["now_ms"])) as engine:
        for name, scenario in (("all", None), ("home", "home")):
            found = engine.learning(scenario=scenario)
            for part in ("ts_ms", "events", "systems", "weights"):
                assert found[part] == told[name][part]
        engine.ingest([{"user": "u1", "item": "i1", "scenario": "home"}])
        assert sum(engine.learning(scenario="home")["events"]) == sum(told["home"]["events"]) + 1


def test_lines_of_other_systems_or_a_damaged_file_are_not_taken_up(tmp_path: Path) -> None:
    told = _played(tmp_path / "data", 20)
    with Recommender.open(tmp_path / "data", COUNTS, FakeClock(told["now_ms"])) as engine:
        assert engine.learning()["events"] == []
        assert not engine.errors
    _played(tmp_path / "other", 20)
    (tmp_path / "other" / QUALITY).write_bytes(b"not arrays")
    with Recommender.open(tmp_path / "other", SETTINGS, FakeClock(told["now_ms"])) as engine:
        assert engine.learning()["events"] == []
        assert "The lines of quality begin anew" in engine.errors[-1]


def test_an_unknown_span_or_scenario_is_told(tmp_path: Path) -> None:
    with Recommender.open(tmp_path / "data", SETTINGS, FakeClock(1)) as engine:
        with pytest.raises(UnknownNameError, match="Unknown span 'year'"):
            engine.learning("year")
        with pytest.raises(UnknownNameError, match="Unknown scenario 'nowhere'"):
            engine.learning(scenario="nowhere")
        assert engine.learning()["events"] == []


def test_memory_does_not_grow_with_time_and_of_many_events_a_share_is_summed(tmp_path: Path, judged: Judged) -> None:
    with Recommender.open(tmp_path / "data", COUNTS, FakeClock(10_000_000)) as engine:
        for n in range(6):
            engine.ingest([{"user": "u", "item": f"i{n % 3}"}])
        mixture, found = engine._core.mixture, judged[-1][2]
        quality = Quality(mixture)
        step = engine._core.state.fold(_columns())
        for n in range(800):
            quality.note(mixture, step, 0, found, 1_000 * 20 * n)
        told = quality.told("hour", NO_ROW, 1_000 * 20 * 799, 0, ("mixture",))
        assert len(told["ts_ms"]) <= SPANS["hour"][1]
        burst = Quality(mixture)
        for _ in range(500):
            burst.note(mixture, step, 0, found, 5_000)
        assert sum(burst.told("hour", NO_ROW, 5_000, 0, ("mixture",))["events"]) == int(MOST_PER_S)
        assert np.isfinite(told["systems"]["mixture"]["log_loss"]).all()


def _columns() -> Any:
    from everbrook.events.columns import EventColumns
    from everbrook.events.records import Event

    return EventColumns.from_records([Event(user="u", item="i1", ts=10_000_000)])

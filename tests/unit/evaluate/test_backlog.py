"""Learning that lags: what is judged knows nothing that is not due, and in the end everything was learned."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from everbrook.engine import Core, Judging
from everbrook.engine.building import new_core
from everbrook.evaluate import backlog as waiting
from everbrook.evaluate.accumulate import Judged
from everbrook.evaluate.backlog import Backlog, lagged
from everbrook.evaluate.due import NEVER_MS, Due
from everbrook.evaluate.options import ReplayOptions
from everbrook.evaluate.replay import run_replay
from everbrook.evaluate.report import Report
from everbrook.events.columns import Coded, EventColumns
from everbrook.rank.mixture import Judgement
from everbrook.settings import Settings
from everbrook.settings.learner import LearnerSettings
from everbrook.settings.mixture import MixtureSettings
from everbrook.testing.streams import fold_step
from everbrook.testing.world_config import preset
from everbrook.testing.worlds import World
from everbrook.types import Step

FAST = Settings(mixture=MixtureSettings(experts=("popularity", "transitions", "repeats")))
WORLD = World(preset("shop", items=80, users=40, days=4, events_per_day=120, seed=4))
COLUMNS = WORLD.all_events()
N = len(COLUMNS)
HOUR_MS = 3_600_000


def watched(columns: EventColumns, settings: Settings = FAST, **options: Any) -> tuple[Report, Judged]:
    """The report of a replay, and every judged event in one piece."""
    parts: list[Judged] = []
    report = run_replay(
        columns, [], ReplayOptions(**options), settings, watch=lambda _systems, judged: parts.append(judged)
    )
    names = ("ts_ms", "ranks", "logps")
    merged = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    return report, Judged(**merged)


def spread(columns: EventColumns, gap_ms: int = 60_000) -> EventColumns:
    """The same events in the same order, each some time after the one before."""
    return replace(columns, ts_ms=columns.ts_ms[0] + gap_ms * np.arange(len(columns), dtype=np.int64))


@pytest.mark.parametrize("experts", [FAST.mixture.experts, ("popularity", "live")])
def test_a_delay_shorter_than_any_gap_is_as_none(experts: tuple[str, ...]) -> None:
    settings = Settings(mixture=MixtureSettings(experts=experts), learner=LearnerSettings(micro_batch_events=32))
    columns = spread(COLUMNS.slice(0, 260))
    options = {"sample": 0.4, "from_ms": int(columns.ts_ms[100]), "warm_sample": 0.1}
    (_, once), (_, lag) = (watched(columns, settings, delay_ms=delay_ms, **options) for delay_ms in (0, 30_000))
    np.testing.assert_allclose(lag.logps, once.logps, rtol=1e-4, atol=1e-4)
    assert (lag.ranks != once.ranks).mean() < 0.01  # ties may fall otherwise


@pytest.mark.parametrize("options", [{"delay_ms": 12 * HOUR_MS}, {"batch": True, "refit_ms": 24 * HOUR_MS}])
def test_an_event_says_nothing_before_it_is_due(options: dict[str, Any]) -> None:
    """One event goes to another item: until it is due, only lists for the same actor may change."""
    at, late = 300, ReplayOptions(**options)
    step = new_core(FAST).fold(COLUMNS).happened
    codes = COLUMNS.item.codes.copy()
    codes[at] = next(code for code in codes[:at] if code != codes[at])
    other = replace(COLUMNS, item=Coded(codes, COLUMNS.item.names))
    (_, one), (_, two) = (watched(columns, FAST, **options) for columns in (COLUMNS, other))
    due_ms = int(Due.of(late, int(COLUMNS.ts_ms[0])).moments(COLUMNS.ts_ms[at : at + 1])[0])
    chosen = np.flatnonzero(step.weight > 0.0)
    apart = (chosen != at) & (step.actor[chosen] != step.actor[at])
    before, after = apart & (one.ts_ms < due_ms), apart & (one.ts_ms >= due_ms)
    assert (before & (chosen > at)).sum() > 5
    np.testing.assert_array_equal(one.ranks[before], two.ranks[before])
    np.testing.assert_array_equal(one.logps[before], two.logps[before])
    assert (one.logps[after] != two.logps[after]).any()


def driven(options: ReplayOptions, settings: Settings = FAST, share: float = 0.3) -> tuple[Core, Backlog, list[int]]:
    """Everything taken in pieces; what waited after each."""
    core = new_core(settings)
    late = Backlog(core, [], options, settings)
    late.expect(COLUMNS.ts_ms, Due.of(options, int(COLUMNS.ts_ms[0])).moments(COLUMNS.ts_ms))
    waited = []
    for start in range(0, N, 50):
        columns = COLUMNS.slice(start, min(N, start + 50))
        folded = core.fold(columns)
        late.take(columns, folded.happened, folded.learned.weight, Judging(share=share), None)
        waited.append(late.waiting)
    return core, late, waited


def test_what_waits_at_the_end_is_learned() -> None:
    core, late, waited = driven(ReplayOptions(delay_ms=6 * HOUR_MS))
    assert max(waited) > 20
    assert late.waiting > 0
    late.drain()
    assert late.waiting == 0
    plain = new_core(FAST)
    for start in range(0, N, 50):
        plain.absorb_events(COLUMNS.slice(start, min(N, start + 50)), Judging(share=0.3))
    assert late.n_items == plain.state.n_items
    for mine, theirs in zip(core.mixture.experts, plain.mixture.experts, strict=True):
        for name, array in theirs.state().items():
            close = {"rtol": 0.01} if name == "trust" else {"rtol": 1e-6}  # trust is told how many items exist
            np.testing.assert_allclose(mine.state()[name], array, err_msg=name, **close)
    assert int(core.mixture.loss[1]) == int(plain.mixture.loss[1])  # as many events taught the weights


def test_what_is_never_learned_does_not_wait() -> None:
    freeze_ms = int(COLUMNS.ts_ms[200])
    core, late, _ = driven(ReplayOptions(delay_ms=HOUR_MS, freeze_ms=freeze_ms))
    late.drain()
    assert late.learned == int(np.searchsorted(COLUMNS.ts_ms, freeze_ms))
    assert (core.mixture.first_seen_ms < freeze_ms).all()


def test_no_more_waits_than_there_is_memory_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "MOST_LESSONS", 20)
    monkeypatch.setattr(waiting, "MOST_NOTES", 30)
    core, late, _ = driven(ReplayOptions(delay_ms=24 * HOUR_MS), share=1.0)
    lessons, notes = late.shares(1.0)
    assert 0.0 < lessons < 0.5
    assert notes < 0.5
    late.drain()
    assert 0 < core.mixture.loss[1] < 2 * lessons * N
    told, _ = watched(COLUMNS, delay_ms=24 * HOUR_MS)
    assert any(f"share of {lessons:.3g} of the scored events" in note for note in told.conditions.notes)


def test_weights_are_learned_from_what_was_said_when_it_happened() -> None:
    """The loss is that of lists which knew less, not of those that would have been made when they were learned."""
    found: list[float] = []

    def note(_step: Step, _b: int, judgement: Judgement) -> None:
        found.append(judgement.logp)

    core = new_core(FAST)
    options = ReplayOptions(delay_ms=12 * HOUR_MS)
    late = Backlog(core, [], options, FAST)
    late.expect(COLUMNS.ts_ms, COLUMNS.ts_ms + options.delay_ms)
    folded = core.fold(COLUMNS)
    late.take(COLUMNS, folded.happened, folded.learned.weight, Judging(), note)
    late.drain()
    assert len(found) == (folded.happened.weight > 0).sum()
    assert core.mixture.loss[1] == (folded.learned.weight > 0).sum()
    plain = new_core(FAST)
    plain.absorb_events(COLUMNS, Judging())
    assert core.mixture.loss[0] > plain.mixture.loss[0]  # who knows less pays more


@pytest.mark.parametrize("delay_ms", [0, 20_000, 10**9])
def test_histories_end_so_long_before_the_event(delay_ms: int) -> None:
    rng = np.random.default_rng(5)
    ts_ms = 1_750_000_000_000 + np.cumsum(rng.integers(0, 9_000, 200))
    step = fold_step(ts_ms, rng.integers(0, 6, 200).astype(np.int32), rng.integers(0, 9, 200).astype(np.int32))
    late = lagged(step, delay_ms)
    for b in range(len(step)):
        times = step.times[b, : step.n[b]]
        kept = [t for t in times.tolist() if delay_ms == 0 or t <= int(step.ts_ms[b]) - delay_ms]
        assert late.query(b).times.tolist() == kept
        assert late.session_n[b] == max(0, int(step.session_n[b]) - (len(times) - len(kept)))


def test_lagging_histories_alone_cost_something_and_learn_all() -> None:
    (told, once), (_, lag) = watched(COLUMNS), watched(COLUMNS, history_delay_ms=HOUR_MS)
    assert told.conditions.judged_events == len(lag.ranks)
    assert np.nanmean(lag.logps[:, 0]) < np.nanmean(once.logps[:, 0])


def test_moments_are_those_of_a_slow_reckoning() -> None:
    ts_ms = np.arange(1_000, 1_300, 7, dtype=np.int64)
    batch = Due(every_ms=50, first_ms=1_110, freeze_ms=1_250)
    grid = [1_110 + 50 * k for k in range(-10, 10)]
    for ts, due in zip(ts_ms.tolist(), batch.moments(ts_ms).tolist(), strict=True):
        assert due == (NEVER_MS if ts >= 1_250 else min(moment for moment in grid if moment > ts))
    lag = Due(delay_ms=30)
    assert lag.moments(ts_ms).tolist() == [ts + 30 for ts in ts_ms.tolist()]
    for one in (batch, lag, Due()):
        due_ms = one.moments(ts_ms)
        for now_ms in ts_ms.tolist():
            known = ts_ms[due_ms <= now_ms]
            assert known.tolist() == ts_ms[ts_ms <= one.known_ms(now_ms)].tolist()

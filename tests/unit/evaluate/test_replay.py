"""Replay: each event is scored before it is learned, on what is asked for and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from everbrook.engine import Core, Judging
from everbrook.engine.building import new_core
from everbrook.errors import InputError
from everbrook.evaluate.options import ReplayOptions
from everbrook.evaluate.replay import run_replay
from everbrook.evaluate.report import ALL, Report
from everbrook.events.columns import Coded, EventColumns
from everbrook.rank.mixture import Judgement
from everbrook.settings import Settings
from everbrook.settings.engine import EngineSettings
from everbrook.settings.fit import FitSettings
from everbrook.settings.mixture import MixtureSettings
from everbrook.settings.sequence import SequenceSettings
from everbrook.testing.world_config import preset
from everbrook.testing.worlds import World
from everbrook.types import Step

FAST = Settings(mixture=MixtureSettings(experts=("popularity", "transitions", "repeats")))
WORLD = World(preset("shop", items=80, users=40, days=4, events_per_day=120, seed=4))
COLUMNS = WORLD.all_events()
N = len(COLUMNS)


def row(report: Report, system: str, name: str = ALL) -> dict[str, Any]:
    """The figures of one system."""
    return next(one.metrics for one in report.rows if (one.system, one.slice) == (system, name))


def replayed(columns: EventColumns = COLUMNS, settings: Settings = FAST, **options: Any) -> Report:
    return run_replay(columns, [], ReplayOptions(**options), settings)


def judged_slowly(columns: EventColumns, judging: Judging, core: Core | None = None) -> list[tuple[int, Judgement]]:
    """Event by event: judge with everything standing still, then learn."""
    core = core or new_core(FAST)
    found: list[tuple[int, Judgement]] = []

    def note(step: Step, b: int, judgement: Judgement) -> None:
        found.append((int(step.ts_ms[b]), judgement))

    folded = core.fold(columns)
    core.learn(folded.learned, judging, note, folded.happened)
    return found


def _fold(core: Core, columns: EventColumns) -> Step:
    return core.fold(columns).happened


def test_the_figures_are_those_of_the_judgements() -> None:
    report = replayed(sample=0.4, seed=6)
    found = judged_slowly(COLUMNS, Judging(share=0.4, seed=7))  # the scored part has the next seed
    ranks = np.array([judgement.ranks for _, judgement in found])
    logps = np.array([[judgement.logp, *judgement.logps] for _, judgement in found])
    mixture = new_core(FAST).mixture
    assert report.conditions.judged_events == len(found) > 50
    for s, system in enumerate(("mixture", *mixture.names)):
        told = row(report, system)
        for k in (10, 20):
            within = [rank if 0 < rank <= k else 0 for rank in ranks[:, s].tolist()]
            assert told[f"hit_rate@{k}"] == pytest.approx(np.mean([rank > 0 for rank in within]))
            assert told[f"mrr@{k}"] == pytest.approx(np.mean([1 / rank if rank else 0 for rank in within]))
            gains = [1 / np.log2(1 + rank) if rank else 0.0 for rank in within]
            assert told[f"ndcg@{k}"] == pytest.approx(np.mean(gains))
        awake = ~np.isnan(logps[:, s])
        assert told["awake"] == pytest.approx(awake.mean())
        if awake.any():
            assert told["log_loss"] == pytest.approx(-logps[awake, s].mean())


def test_a_replay_twice_gives_the_same() -> None:
    one, two = (replayed(sample=0.3, seed=3) for _ in range(2))
    assert str(one.rows) == str(two.rows)  # as text: what is not a number is itself here
    other = replayed(sample=0.3, seed=4)
    assert row(other, "mixture") != row(one, "mixture")


def test_nothing_of_an_event_is_known_before_it_is_scored() -> None:
    """Every item comes once, in a random order: whoever ranks one in a list of twenty among 500 has looked ahead."""
    rng = np.random.default_rng(2)
    names = [f"i{n}" for n in rng.permutation(500)]
    codes = np.arange(500, dtype=np.int32)
    columns = _stream(codes, names, users=10)
    report = replayed(columns)
    assert report.conditions.judged_events == 500
    for system in ("mixture", "stack", "pool/all", "popularity of the last hour"):
        assert row(report, system)["hit_rate@20"] == 0.0


def test_what_was_learned_is_used_at_once() -> None:
    """Each item comes twice in a row by two users: the second time it leads the list of what is most recent."""
    codes = np.repeat(np.arange(200, dtype=np.int32), 2)
    report = replayed(_stream(codes, [f"i{n}" for n in range(200)], users=40, step_ms=600_000))
    assert row(report, "mixture")["hit_rate@20"] >= 0.45
    assert row(report, "popularity of the last hour")["hit_rate@20"] == pytest.approx(0.5)


def _stream(codes: np.ndarray, names: list[str], users: int, step_ms: int = 60_000) -> EventColumns:
    size = len(codes)
    blank = Coded.missing(size)
    return EventColumns(
        ts_ms=1_750_000_000_000 + step_ms * np.arange(size, dtype=np.int64),
        user=Coded(np.arange(size, dtype=np.int32) % users, [f"u{n}" for n in range(users)]), session=blank,
        item=Coded(codes, names), kind=Coded(np.zeros(size, np.int32), ["view"]), scenario=blank,
        value=np.full(size, np.nan, np.float32),
    )  # fmt: skip


def test_only_the_span_asked_for_is_scored_and_what_follows_it_changes_nothing() -> None:
    first, last = int(COLUMNS.ts_ms[200]), int(COLUMNS.ts_ms[320])
    report = replayed(from_ms=first, to_ms=last)
    inside = (COLUMNS.ts_ms >= first) & (COLUMNS.ts_ms < last)
    assert report.conditions.judged_events == inside.sum()
    assert report.conditions.learned_events == (COLUMNS.ts_ms < last).sum()
    cut = replayed(COLUMNS.slice(0, report.conditions.learned_events), from_ms=first)
    assert row(cut, "mixture") == row(report, "mixture")


def test_a_span_without_events_is_told() -> None:
    after = int(COLUMNS.ts_ms[-1]) + 1
    with pytest.raises(InputError) as error:
        replayed(from_ms=after)
    assert error.value.message == f"The span must hold events; got none between {after} and None among {N} events."


def test_after_freezing_nothing_is_learned_but_histories_go_on() -> None:
    start = int(COLUMNS.ts_ms[250])
    report = replayed(from_ms=start, freeze_ms=start, warm_sample=0.2)
    core = new_core(FAST)
    judged_slowly(COLUMNS.slice(0, 250), Judging(share=0.2, seed=0), core)
    found: list[Judgement] = []
    late = _fold(core, COLUMNS.slice(250, N))
    for b in range(len(late)):
        one = late.slice(b, b + 1)
        core.judge_only(one, Judging(learn=False), lambda _step, _b, judgement: found.append(judgement))
        core.mixture.know(int(late.item[b]) + 1)  # that an item exists is no learning
    assert report.conditions.judged_events == len(found)
    hits = np.mean([0 < judgement.rank <= 20 for judgement in found])
    assert row(report, "mixture")["hit_rate@20"] == pytest.approx(hits)
    assert report.weights is not None
    assert len({tuple(weights) for weights in report.weights.values}) == 1


def test_freezing_before_the_tastes_turn_costs_what_learning_gains() -> None:
    world = World(preset("flip", items=60, users=20, days=6, events_per_day=150, flip_days=(3.0,), seed=1))
    columns, flip_ms = world.all_events(), world.flips_ms[0]
    settings = Settings(mixture=MixtureSettings(experts=("popularity", "transitions", "repeats", "collaborative")))
    live, frozen = (
        run_replay(columns, [], ReplayOptions(from_ms=flip_ms, freeze_ms=freeze_ms), settings)
        for freeze_ms in (None, flip_ms)
    )
    assert row(live, "mixture")["log_loss"] < row(frozen, "mixture")["log_loss"]


def test_shuffling_keeps_times_and_events_and_takes_the_order_away() -> None:
    world = World(preset("markov", items=60, users=20, days=3, events_per_day=250, seed=3))
    columns = world.all_events()
    ordered, shuffled = (replayed(columns, from_ms=int(columns.ts_ms[300]), shuffle=mix) for mix in (False, True))
    assert shuffled.conditions.shuffled
    assert not ordered.conditions.shuffled
    assert shuffled.conditions.judged_events == ordered.conditions.judged_events
    assert (shuffled.conditions.start, shuffled.conditions.end) == (ordered.conditions.start, ordered.conditions.end)
    assert row(ordered, "mixture")["mrr@20"] > row(shuffled, "mixture")["mrr@20"] + 0.1


def test_what_an_actor_had_is_left_out_and_not_scored() -> None:
    core = new_core(FAST)
    step = _fold(core, COLUMNS)
    new = [step.item[b] not in step.items[b, : step.n[b]] for b in range(N)]
    report = replayed(exclude_seen=True)
    assert report.conditions.judged_events == int((np.array(new) & (step.weight > 0)).sum())


def test_first_events_of_sessions_are_not_scored_where_not_wanted() -> None:
    step = _fold(new_core(FAST), COLUMNS)
    report = replayed(first_of_session=False)
    assert report.conditions.judged_events == int(((step.session_n > 0) & (step.weight > 0)).sum())


def test_slices_part_the_events() -> None:
    report = replayed()
    events = {one.slice: one.events for one in report.rows if one.system == "mixture"}
    total = events[ALL]
    assert events["item younger than 1 day"] + events["item of 1 day or more"] == total
    assert events["actor with fewer than 5 events"] + events["actor with 5 events or more"] == total
    places = [count for name, count in events.items() if name.startswith("scenario ")]
    assert sum(places) == total
    assert len(places) == len(WORLD.config.scenarios)


def test_progress_is_told_to_the_end() -> None:
    told: list[tuple[int, int]] = []
    options = ReplayOptions(sample=0.05)
    run_replay(COLUMNS, WORLD.item_changes(), options, FAST, progress=lambda *done: told.append(done))
    assert told[-1] == (N, N)
    assert told == sorted(told)


def test_the_sequence_model_is_refitted_along_the_way() -> None:
    settings = Settings(
        mixture=MixtureSettings(experts=("popularity", "transitions", "sequence")),
        sequence=SequenceSettings(width=8, layers=1, heads=1, history=6),
        fit=FitSettings(epochs=1, refit_epochs=1, threads=1, device="cpu", batch_events=512),
        engine=EngineSettings(least_fit_events=60),
    )
    day_ms = 86_400_000
    start = WORLD.config.start_ms + 2 * day_ms
    report = replayed(settings=settings, from_ms=start, refit_ms=day_ms, sample=0.3)
    refits = [timing for timing in report.timings if timing.part == "refit"]
    assert len(refits) == 1
    assert 0 < refits[0].events <= N
    assert row(report, "sequence/live")["awake"] > 0.5
    assert row(report, "mixture")["diversity@10"] > 0.0  # by the model's vectors
    never = replayed(settings=settings, from_ms=start, sample=0.3)
    assert row(never, "sequence/live")["awake"] == 0.0


def test_a_replay_stamps_its_conditions() -> None:
    report = replayed(sample=0.3, seed=5)
    told = report.conditions
    assert (told.sample, told.seed, told.settings_digest) == (0.3, 5, FAST.digest())
    assert told.learned_events == N


def test_columns_given_are_left_as_they_were() -> None:
    before = replace(COLUMNS, ts_ms=COLUMNS.ts_ms.copy())
    codes = COLUMNS.item.codes.copy()
    replayed(sample=0.1, shuffle=True)
    np.testing.assert_array_equal(before.ts_ms, COLUMNS.ts_ms)
    np.testing.assert_array_equal(codes, COLUMNS.item.codes)

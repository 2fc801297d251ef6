"""The accumulator and the report: chunks add up to what the metrics say of the whole, and the files hold it."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import msgspec
import numpy as np
import pytest

from everbrook.errors import DataError
from everbrook.evaluate.accumulate import MOST_WEIGHTS, Accumulator, Judged, System
from everbrook.evaluate.page import html, save
from everbrook.evaluate.report import Conditions, Delay, Report, load_json, save_csv
from everbrook.evaluate.slices import HOUR_MS, slices_of
from everbrook.metrics import confidence, prediction, probability, ranking, variety

SYSTEMS = [
    System("mixture", "mixture"),
    System("pool/linear", "pool"),
    System("popularity/1h", "floor"),
    System("transitions/plain", "floor"),
    System("transitions/<decayed>", "expert"),
    System("sequence/anchor", "expert"),
]
START_MS = 1_750_032_000_000
STRENGTH = np.array([6.0, 6.5, 40.0, 20.0, 10.0, 12.0])


def made_judgements(seed: int, events: int, start_ms: int = START_MS) -> Judged:
    rng = np.random.default_rng(seed)
    ease = rng.exponential(1.0, (events, 1))
    ranks = np.ceil(ease * STRENGTH * rng.lognormal(0, 0.4, (events, 6))).astype(np.int32)
    logps = -np.log(1 + ranks) + rng.normal(0, 0.1, (events, 6))
    logps[rng.random(events) < 0.2, 5] = np.nan
    age = rng.integers(0, 72 * HOUR_MS, events)
    top = rng.beta(1, 4, events)
    ranks[:, 0] = np.where(rng.random(events) < 0.9 * top, 1, np.maximum(ranks[:, 0], 2))
    ts_ms = start_ms + np.sort(rng.integers(0, 60 * HOUR_MS, events))
    scenario = rng.integers(-1, 2, events).astype(np.int16)
    slices = slices_of(age, rng.integers(0, 20, events).astype(np.int32), scenario, ["home", "search"])
    lists = rng.permuted(np.tile(np.arange(40, dtype=np.int32), (events, 1)), axis=1)[:, :20]
    return Judged(ts_ms=ts_ms, ranks=ranks, logps=logps, slices=slices, top_probability=top, lists={"mixture": lists})


def made_report(events: int = 3_000) -> Report:
    rng = np.random.default_rng(7)
    found = Accumulator(SYSTEMS, [system.name for system in SYSTEMS[1:]])
    for chunk in range(3):
        judged = made_judgements(chunk, events // 3, START_MS + chunk * 60 * HOUR_MS)
        vectors = rng.standard_normal((40, 4)).astype(np.float32)
        found.add(judged, np.arange(40), vectors, (vectors > 0).astype(np.float32))
        found.add_timing("recommend", 0.2, events // 3)
    for place in range(200):
        rest = place / 500
        found.add_weights(START_MS + place * HOUR_MS, np.array([0.6 - rest, 0.1, 0.1, 0.1, 0.1 + rest]))
    actual = rng.integers(1, 6, 500).astype(float)
    found.add_ratings(actual + rng.normal(0, 1, 500), actual)
    clicked = rng.random(500) < 0.3
    found.add_clicks(np.clip(0.3 * clicked + rng.random(500) * 0.6, 0, 1), clicked)
    conditions = Conditions(
        title="Replay of <made> days", command="everbrook replay 'made days' --report out", commit="abc1234",
        settings_digest="5f1d", data="made", start="2025-06-16T00:00:00Z", end="2025-06-23T12:00:00Z", sample=0.25,
        seed=3, learned_events=12_000, machine="2 cores", version="0.1.0", notes=("A made example.",),
    )  # fmt: skip
    report = found.report(conditions, known_items=80)
    worse = Accumulator(SYSTEMS)
    worse.add(made_judgements(9, events))
    control = worse.report(msgspec.structs.replace(conditions, shuffled=True))
    delays = [
        Delay(delay_s=delay, metrics={"hit_rate@20": 0.6 / (1 + place), "mrr@20": 0.2 / (1 + place)})
        for place, delay in enumerate((1.0, 60.0, 3_600.0, 86_400.0, None))
    ]
    return msgspec.structs.replace(report, control=[row for row in control.rows if row.slice == "all"], delays=delays)


@pytest.fixture(scope="module")
def report() -> Report:
    return made_report()


@pytest.fixture(scope="module")
def page(report: Report) -> str:
    return html(report)


@pytest.fixture(scope="module")
def whole() -> Judged:
    parts = [made_judgements(chunk, 1_000, START_MS + chunk * 60 * HOUR_MS) for chunk in range(3)]
    return Judged(
        ts_ms=np.concatenate([part.ts_ms for part in parts]),
        ranks=np.concatenate([part.ranks for part in parts]),
        logps=np.concatenate([part.logps for part in parts]),
        slices={name: np.concatenate([part.slices[name] for part in parts]) for name in parts[0].slices},
        top_probability=np.concatenate([part.top_probability for part in parts if part.top_probability is not None]),
        lists={"mixture": np.concatenate([part.lists["mixture"] for part in parts])},
    )


def test_chunks_add_up_to_the_metrics_of_the_whole(report: Report, whole: Judged) -> None:
    for s, system in enumerate(SYSTEMS):
        row = report.row(system.name)
        assert row.events == 3_000
        for k in (10, 20):
            for name, metric in ranking.RANK_METRICS.items():
                assert row.metrics[f"{name}@{k}"] == pytest.approx(metric(whole.ranks[:, s], k).mean())
        awake = ~np.isnan(whole.logps[:, s])
        assert row.metrics["log_loss"] == pytest.approx(-whole.logps[awake, s].mean())
        assert row.metrics["awake"] == pytest.approx(awake.mean())


def test_a_slice_holds_its_events_alone(report: Report, whole: Judged) -> None:
    for name, mark in whole.slices.items():
        row = report.row("mixture", name)
        assert row.events == mark.sum()
        assert row.metrics["mrr@20"] == pytest.approx(ranking.mrr(whole.ranks[mark, 0], 20).mean())


def test_differences_are_paired(report: Report, whole: Judged) -> None:
    values = ranking.hit_rate(whole.ranks[:, 0], 20) - ranking.hit_rate(whole.ranks[:, 4], 20)
    expected = confidence.normal_interval(values)
    got = next(d for d in report.differences if d.system == SYSTEMS[4].name and d.measure == "hit_rate")
    assert (got.estimate, got.low, got.high) == pytest.approx(tuple(expected))
    asleep = next(d for d in report.differences if d.system == SYSTEMS[5].name and d.measure == "log_likelihood")
    gap = whole.logps[:, 0] - whole.logps[:, 5]
    assert asleep.estimate == pytest.approx(np.nanmean(gap))


def test_hours_add_up_to_the_whole(report: Report) -> None:
    found = report.over_time
    assert sum(found.events) == 3_000
    assert found.span_hours == 6  # 17 events an hour are too few to see more than chance
    hits = sum(n * share for n, share in zip(found.events, found.series["mixture"]["hit_rate"], strict=True))
    assert hits / 3_000 == pytest.approx(report.row("mixture").metrics["hit_rate@20"], abs=1e-5)


def test_long_times_are_gathered_into_longer_spans() -> None:
    found = Accumulator(SYSTEMS)
    judged = made_judgements(0, 400)
    years = Judged(START_MS + np.arange(400) * 9 * 24 * HOUR_MS, judged.ranks, judged.logps)
    found.add(years)
    over = found.report(Conditions()).over_time
    assert over.span_hours == 365 * 24
    assert len(over.start_ms) == 11
    assert sum(over.events) == 400


def test_calibration_is_of_the_first_place(report: Report, whole: Judged) -> None:
    assert report.reliability is not None
    assert whole.top_probability is not None
    table = probability.calibration(whole.top_probability, (whole.ranks[:, 0] == 1).astype(float), 20)
    assert report.reliability.error == pytest.approx(table.error)
    assert report.reliability.events == table.events.tolist()


def test_variety_is_of_the_lists(report: Report, whole: Judged) -> None:
    metrics = report.row("mixture").metrics
    assert metrics["coverage@20"] == 0.5
    assert metrics["novelty@10"] == pytest.approx(np.mean(variety.novelty(whole.lists["mixture"], np.arange(40), 10)))
    assert 0 < (metrics["category_diversity@10"] or 0) < 1
    assert "coverage@20" not in report.row("sequence/anchor").metrics


def test_ratings_and_clicks_are_reported_where_there_are_any(report: Report) -> None:
    assert report.ratings is not None
    assert report.clicks is not None
    assert 0.8 < (report.ratings["rmse"] or 0) < 1.2 < (report.ratings["rmse_of_the_mean"] or 0)
    assert 0.6 < (report.clicks["auc"] or 0) < 1
    assert Accumulator(SYSTEMS).report(Conditions()).ratings is None
    assert prediction.mse(np.ones(2), np.ones(2)) == 0


def test_weights_are_thinned_and_keep_their_order() -> None:
    found = Accumulator(SYSTEMS, ["a"])
    for place in range(5 * MOST_WEIGHTS):
        found.add_weights(place, np.array([0.5]))
    weights = found.report(Conditions()).weights
    assert weights is not None
    assert MOST_WEIGHTS / 3 < len(weights.ts_ms) <= MOST_WEIGHTS
    assert (np.diff(weights.ts_ms) > 0).all()
    assert weights.ts_ms[-1] > 4.9 * MOST_WEIGHTS


def test_a_report_comes_back_from_its_file(report: Report, tmp_path: Path) -> None:
    save(report, tmp_path / "new folder")
    again = load_json(tmp_path / "new folder" / "report.json")
    assert again.conditions == report.conditions
    assert again.row("mixture") == report.row("mixture")
    assert again.best("hit_rate@20") == report.best("hit_rate@20")


def test_the_csv_has_a_line_for_each_system_and_slice(report: Report, tmp_path: Path) -> None:
    save_csv(report, tmp_path / "report.csv")
    with (tmp_path / "report.csv").open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(report.rows) == 6 * 8
    assert float(lines[0]["hit_rate@20"]) == pytest.approx(report.rows[0].metrics["hit_rate@20"], rel=1e-4)


def test_a_file_that_is_no_report_is_refused(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("{}")
    with pytest.raises(DataError, match=r"must be a replay's report\.json"):
        load_json(tmp_path / "report.json")


def test_the_page_needs_nothing_from_outside(page: str) -> None:
    links = set(re.findall(r"https?://[^\s\"'<]+", page)) - {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert not links
    assert "<script" not in page
    assert page.count("<svg") == 5


def test_the_page_escapes_names(page: str) -> None:
    assert "transitions/&lt;decayed&gt;" in page
    assert "<decayed>" not in page
    assert "Replay of &lt;made&gt; days" in page


def test_ids_on_the_page_are_unique(page: str) -> None:
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_the_same_report_makes_the_same_page(report: Report, page: str) -> None:
    assert html(report) == page


def test_a_replay_that_judged_nothing_says_so() -> None:
    page = html(Accumulator(SYSTEMS).report(Conditions(title="Nothing")))
    assert "Nothing was judged" in page
    assert "<svg" not in page


def test_one_judged_event_makes_a_page() -> None:
    found = Accumulator(SYSTEMS)
    found.add(made_judgements(1, 1))
    assert "1 events" in html(found.report(Conditions()))

"""Predicted values along a replay: reported where the stream has such, on real streams too."""

from __future__ import annotations

import csv
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from everbrook.evaluate.accumulate import Accumulator, System
from everbrook.evaluate.options import ReplayOptions
from everbrook.evaluate.replay import run_replay
from everbrook.evaluate.report import Conditions, Report
from everbrook.evaluate.values import PredictedValues
from everbrook.events.columns import Coded, EventColumns
from everbrook.settings import Settings
from everbrook.settings.mixture import MixtureSettings
from everbrook.settings.values import ValuesSettings
from everbrook.state import State

LIGHT = Settings(mixture=MixtureSettings(experts=("popularity",)))
BASE_MS = 1_700_000_000_000


def columns_of(kinds: list[str], value: np.ndarray | None = None, seed: int = 0) -> EventColumns:
    rng, B = np.random.default_rng(seed), len(kinds)
    return EventColumns(
        ts_ms=BASE_MS + 60_000 * np.arange(B, dtype=np.int64),
        user=Coded.of([f"u{row}" for row in rng.integers(0, 20, B)]), session=Coded.missing(B),
        item=Coded.of([f"i{row}" for row in rng.integers(0, 30, B)]), kind=Coded.of(kinds),
        scenario=Coded.missing(B), value=np.full(B, np.nan, np.float32) if value is None else value,
    )  # fmt: skip


def fed(columns: EventColumns, scored_from: int, settings: ValuesSettings | None = None) -> Report:
    """The report on predicted values alone."""
    state, gathered = State(), Accumulator([System("mixture", "mixture")])
    values = PredictedValues(settings or ValuesSettings(), state.kinds.names)
    for a, b in ((0, scored_from), (scored_from, len(columns))):
        part = columns.slice(a, b)
        values.take(state.fold(part), part.position, gathered if a == scored_from else None)
    return gathered.report(Conditions())


def test_a_stream_without_values_and_without_things_shown_reports_neither() -> None:
    report = run_replay(columns_of(["view"] * 300), [], ReplayOptions(sample=0.1), LIGHT)
    assert report.ratings is None
    assert report.clicks is None


def test_a_replay_reports_only_what_lies_in_its_span() -> None:
    value = np.random.default_rng(0).normal(3, 1, 400).astype(np.float32)
    kinds = ["view", "impression"] * 200
    options = ReplayOptions(from_ms=BASE_MS + 300 * 60_000, sample=0.1)
    report = run_replay(columns_of(kinds, value), [], options, LIGHT)
    assert report.ratings is not None
    assert report.clicks is not None
    assert report.ratings["events"] == report.clicks["events"] == 100
    assert report.ratings["rmse_of_mean_so_far"] == pytest.approx(1.0, abs=0.3)
    assert report.clicks["share_clicked"] == report.clicks["accuracy_of_the_majority"] == 0.5


def test_frozen_values_stay_as_they_were() -> None:
    value = np.concatenate((np.full(200, 1.0), np.full(100, 5.0))).astype(np.float32)
    options = ReplayOptions(from_ms=BASE_MS + 200 * 60_000, sample=0.1)
    frozen = ReplayOptions(from_ms=options.from_ms, freeze_ms=options.from_ms, sample=0.1)
    live, still = (run_replay(columns_of(["rating"] * 300, value), [], one, LIGHT).ratings for one in (options, frozen))
    assert live is not None
    assert still is not None
    assert still["rmse"] == 4.0
    assert (live["rmse"] or 9.0) < 3.0


def test_things_taken_before_anything_was_shown_in_vain_do_not_count() -> None:
    report = fed(columns_of(["view"] * 150 + ["seen"] + ["view"] * 49), 100)
    assert report.clicks is not None
    assert report.clicks["events"] == 50


def test_kinds_that_answer_what_is_shown_can_be_named() -> None:
    kinds = ["seen", "click", "view", "dislike"] * 50
    report = fed(columns_of(kinds), 100, ValuesSettings(click_kinds=("click",)))
    assert report.clicks is not None
    assert report.clicks["events"] == 75
    assert report.clicks["share_clicked"] == pytest.approx(1 / 3)


def test_values_of_several_kinds_are_told_apart() -> None:
    rng = np.random.default_rng(0)
    value = np.where(np.arange(400) % 2, rng.normal(3, 1, 400), rng.normal(500, 100, 400)).astype(np.float32)
    kinds = ["purchase", "rating"] * 200
    both = fed(columns_of(kinds, value), 200).ratings
    one = fed(columns_of(kinds, value), 200, ValuesSettings(rated_kinds=("rating",))).ratings
    assert both is not None
    assert one is not None
    assert (both["events"], both["rating_events"], one["events"]) == (200, 100, 100)
    assert both["rating_rmse"] == one["rmse"]
    assert (one["rmse"] or 9.0) < 1.5 < 50.0 < (both["purchase_rmse"] or 0.0)
    assert "rating_rmse" not in one


def test_ratings_of_movies_are_predicted_better_than_by_biases(real_data: Callable[[str], Path]) -> None:
    ratings = np.loadtxt(real_data("ml-latest-small") / "ratings.csv", delimiter=",", skiprows=1)
    ratings = ratings[np.argsort(ratings[:, 3], kind="stable")]
    B = len(ratings)
    columns = EventColumns(
        ts_ms=(1_000 * ratings[:, 3]).astype(np.int64), user=Coded.of([f"{row:.0f}" for row in ratings[:, 0]]),
        session=Coded.missing(B), item=Coded.of([f"{row:.0f}" for row in ratings[:, 1]]),
        kind=Coded.of(["rating"] * B), scenario=Coded.missing(B), value=ratings[:, 2].astype(np.float32),
    )  # fmt: skip
    report = fed(columns, int(0.8 * B))
    assert report.clicks is None
    assert report.ratings is not None
    found = {name: round(value or 0.0, 3) for name, value in report.ratings.items()}
    assert found["rmse"] < 0.83
    assert found["rmse"] < found["rmse_of_biases"] < found["rmse_of_item_mean"] < found["rmse_of_mean_so_far"]


def test_things_shown_in_a_shop_are_followed(real_data: Callable[[str], Path]) -> None:
    """46 clicks among 10,000: chance is 0.5 +- 0.04, and uniformly random lists leave little more to know."""
    report = fed(shown_in_a_shop(real_data("open-bandit") / "random/men/men.csv"), 2_000)
    assert report.ratings is None
    assert report.clicks is not None
    found = report.clicks
    assert found["events"] == 8_000
    assert 0.4 < (found["auc"] or 0.0) < 0.65
    assert found["accuracy"] == pytest.approx(found["accuracy_of_the_majority"], abs=0.001)


def shown_in_a_shop(path: Path) -> EventColumns:
    """Things shown and not taken as impressions, the others as clicks; people as far as the file tells them apart."""
    with path.open(encoding="utf-8") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["timestamp"])
    B = len(rows)
    moments = [datetime.fromisoformat(row["timestamp"]).timestamp() for row in rows]
    return EventColumns(
        ts_ms=(1_000 * np.array(moments)).astype(np.int64), session=Coded.missing(B), scenario=Coded.missing(B),
        user=Coded.of(["-".join(row[f"user_feature_{k}"] for k in range(4)) for row in rows]),
        item=Coded.of([row["item_id"] for row in rows]),
        kind=Coded.of(["click" if row["click"] == "1" else "impression" for row in rows]),
        value=np.full(B, np.nan, np.float32), position=np.array([int(row["position"]) for row in rows], np.int32),
    )  # fmt: skip

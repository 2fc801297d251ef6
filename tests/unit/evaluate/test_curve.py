"""The curve of quality against staleness: it falls where things come and go, and stands where nothing does."""

from __future__ import annotations

import argparse
import csv
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from everbrook.cli import replaying
from everbrook.cli.curving import asked_of, table
from everbrook.errors import DataError, InputError
from everbrook.evaluate.curve import CurveOptions, run_curve
from everbrook.evaluate.curve_data import Curve, load_json, save_json, sentences
from everbrook.evaluate.curve_page import save
from everbrook.evaluate.curve_plots import places
from everbrook.evaluate.options import ReplayOptions, parse_delays
from everbrook.evaluate.replay import run_replay
from everbrook.evaluate.report import Conditions
from everbrook.settings import Settings
from everbrook.settings.mixture import MixtureSettings
from everbrook.testing.world_config import DAY_MS, preset
from everbrook.testing.worlds import World

FAST = Settings(mixture=MixtureSettings(experts=("popularity", "transitions")))
WORLD = World(preset("news", items=150, users=60, days=3, events_per_day=450, guest_share=0.0, seed=4))
COLUMNS = WORLD.all_events()
BASE = ReplayOptions(from_ms=WORLD.config.start_ms + DAY_MS, sample=0.4, refit_ms=DAY_MS // 2)
DELAYS = parse_delays("0s,10m,3h,never")


@pytest.fixture(scope="module")
def curve() -> Curve:
    words = Conditions(title="Made <news>", command="everbrook replay made", data="made")
    return run_curve(COLUMNS, [], BASE, CurveOptions(DELAYS, control=True), FAST, words)


def quality(curve: Curve, metric: str = "mrr@20", system: str = "mixture") -> list[float]:
    return [point.value(system, metric) or 0.0 for point in curve.points]


def test_where_things_come_and_go_quality_falls_with_the_delay(curve: Curve) -> None:
    assert [point.label for point in curve.points] == ["0 s", "10 min", "3 h", "never", "refit 12 h"]
    for system in ("mixture", "transitions/ever", "popularity of the last hour"):
        hits = quality(curve, "hit_rate@20", system)
        assert hits[0] >= hits[1] > hits[2] > hits[3]
    hits = quality(curve, "hit_rate@20")
    assert hits[0] > 1.4 * hits[3]
    assert hits[3] < hits[4] < hits[1]  # the batch world lies between
    losses = quality(curve, "log_loss")
    assert losses[0] < losses[2] < losses[3]


def test_with_the_order_shuffled_freshness_is_worth_little(curve: Curve) -> None:
    assert curve.control is not None
    real, control = (
        points[0].value("mixture", "hit_rate@20") / (points[2].value("mixture", "hit_rate@20") or 1.0)  # type: ignore[operator]
        for points in (curve.points, curve.control)
    )
    assert real > 1.3
    assert control == pytest.approx(1.0, abs=0.1)
    said = sentences(curve)
    held = re.compile(r"Control: shuffled, mixture loses less than 0\.5 % .*: holds \(worst .*\)\.")
    assert any(held.fullmatch(line) for line in said)


def test_no_delay_is_the_plain_replay_and_never_the_frozen_one(curve: Curve) -> None:
    base = replace(BASE, refit_ms=None)
    for place, options in ((0, base), (3, replace(base, freeze_ms=base.from_ms))):
        report = run_replay(COLUMNS, [], options, FAST)
        for row in curve.points[place].rows:
            theirs = report.row(row.system, row.slice)
            assert row.events == theirs.events
            for name, value in row.metrics.items():
                assert str(value) == str(theirs.metrics.get(name))


def test_a_curve_of_the_control_alone_is_read_as_one(curve: Curve) -> None:
    assert curve.control is not None
    told = msgspec.structs.replace(curve.conditions, shuffled=True)
    alone = msgspec.structs.replace(curve, points=curve.control, control=None, conditions=told)
    assert sentences(alone) == [line for line in sentences(curve) if not line.startswith("In order")]


def test_every_point_judges_the_same_events(curve: Curve) -> None:
    assert curve.control is not None
    assert len({point.events for point in [*curve.points, *curve.control]}) == 1
    for slice_ in curve.slices:
        assert len({point.events_of(slice_) for point in curve.points}) == 1


def test_losses_against_the_first_point_are_told_with_bounds(curve: Curve) -> None:
    found = {(one.system, one.metric): one for one in curve.points[2].lost}
    hits = found["mixture", "hit_rate@20"]
    values = quality(curve, "hit_rate@20")
    assert hits.estimate == pytest.approx(values[0] - values[2], abs=1e-6)
    assert hits.low < hits.estimate < hits.high
    losses = quality(curve, "log_loss")
    assert found["mixture", "log_loss"].estimate == pytest.approx(losses[2] - losses[0], abs=1e-4)
    assert all(one.estimate == 0.0 for one in curve.points[0].lost)


def test_the_files_hold_it(curve: Curve, tmp_path: Path) -> None:
    page = save(curve, tmp_path / "made")
    kept = load_json(page.with_name("curve.json"))
    assert msgspec.json.encode(kept) == msgspec.json.encode(curve)
    with page.with_name("curve.csv").open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert curve.control is not None
    assert len(lines) == sum(len(point.rows) for point in [*curve.points, *curve.control])
    one = next(line for line in lines if (line["order"], line["point"], line["slice"]) == ("real", "3 h", "all"))
    assert (one["system"], one["delay_s"]) == ("mixture", "10800")
    assert float(one["mrr@20"]) == pytest.approx(curve.points[2].value("mixture", "mrr@20"), rel=1e-5)


def test_the_page_stands_alone_and_says_what_was_found(curve: Curve, tmp_path: Path) -> None:
    text = save(curve, tmp_path).read_text(encoding="utf-8")
    assert "<title>Made &lt;news&gt;</title>" in text
    assert text.count("<svg") == 3
    assert not re.search(r'(src|href)="(?!#)', text)
    for part in ("Quality against staleness", "New items, new people", "item younger than 1 h", "refit 12 h", "never"):
        assert part in text
    for line in sentences(curve):
        assert line in text.replace("&#x27;", "'").replace("&lt;", "<")


def test_a_single_point_has_a_page_too(tmp_path: Path) -> None:
    found = run_curve(COLUMNS.slice(0, 200), [], ReplayOptions(sample=0.2), CurveOptions((60_000,)), FAST)
    assert found.points[0].label == "1 min"
    assert "<svg" in save(found, tmp_path).read_text(encoding="utf-8")
    assert sentences(found) == []


def test_points_stand_by_the_logarithm_of_their_delay(curve: Curve) -> None:
    at = places(curve.points)
    assert at[2] - at[1] == pytest.approx(np.log10(3 * 60 / 10))
    assert (np.diff(at) > 0).all()


def test_what_is_no_curve_is_told(tmp_path: Path) -> None:
    (path := tmp_path / "curve.json").write_text("{}", encoding="utf-8")
    with pytest.raises(DataError, match=r"must be a replay's curve\.json"):
        load_json(path)
    empty = Curve(conditions=Conditions(), points=[], format=9)
    save_json(empty, path)
    with pytest.raises(DataError, match="must be a curve of format 1; got format 9"):
        load_json(path)


def test_the_table_has_a_line_for_each_delay_and_system(curve: Curve) -> None:
    lines = table(curve).splitlines()
    assert sum(line.startswith("10 min") for line in lines) == 2 * len(curve.systems)
    assert lines[-1].startswith("Control: ")


def asked(*words: str) -> CurveOptions | None:
    parser = argparse.ArgumentParser()
    replaying.configure(parser)
    arguments = parser.parse_args(["events.csv", *words])
    return asked_of(arguments, replaying.options_of(arguments))


def test_what_a_curve_is_asked_for() -> None:
    assert asked() is None
    assert asked("--delay", "1d, 0s", "--control") == CurveOptions((0, DAY_MS), control=True)
    assert asked("--delay", "never,1h", "--from", "2026-01-01") == CurveOptions((3_600_000, None))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--delay", "never"], "--delay never must come with --from, before which it learns; got no --from."),
        (["--delay", "1h", "--freeze", "5"], "--freeze must be left out beside --delay; got both."),
        (["--delay", "1h,60m"], "Each delay must come once; got '60m' again in '1h,60m'."),
        (
            ["--delay", "1h,soon"],
            "A span of time must be a number and one of ms, s, m, h, d, w, such as '1d'; got 'soon'.",
        ),
        (["--delay", "1h", "--taught", "0"], "--taught must be above 0 and at most 1; got 0.0."),
        (
            ["--delay", "1h", "--shuffle", "--control"],
            "--shuffle and --control must not both stand beside --delay.",
        ),
    ],
)
def test_what_cannot_be_asked_is_told(words: list[str], message: str) -> None:
    with pytest.raises(InputError) as error:
        asked(*words)
    assert error.value.message == message


def test_a_curve_refuses_what_contradicts_it() -> None:
    options: dict[str, Any] = {"asked": CurveOptions((0, None)), "settings": FAST}
    with pytest.raises(InputError, match="'never' freezes what was learned before the scored part"):
        run_curve(COLUMNS, [], ReplayOptions(), **options)
    with pytest.raises(InputError, match="must have no moment of freezing of its own"):
        run_curve(COLUMNS, [], ReplayOptions(from_ms=1, freeze_ms=2), **options)

"""`check` says what is wrong with a user's data, and the import does what it said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from everbrook.events.checking import CheckLine, CheckReport, check, render
from everbrook.events.cleaning import fences
from everbrook.events.importing import open_source
from everbrook.settings.data import DataSettings

T0 = 1_700_000_000


def write(path: Path, rows: list[str], heading: str = "user,item,ts,value") -> Path:
    path.write_text("\n".join([heading, *rows]) + "\n", encoding="utf-8")
    return path


def good_rows(n: int) -> list[str]:
    return [f"u{k % 13},i{k % 17},{T0 + 60 * k},{k % 5}" for k in range(n)]


def line(report: CheckReport, name: str) -> CheckLine:
    return next(line for line in report.lines if line.name == name)


def test_good_data_passes_every_line(tmp_path: Path) -> None:
    report = check(write(tmp_path / "e.csv", good_rows(200)), now_ms=(T0 + 10**6) * 1000)
    assert report.ok
    assert {line.level for line in report.lines} == {"PASS"}
    assert report.events == report.kept == 200
    assert render(report).endswith("PASS, 0 WARN, 0 FAIL. An import takes 200 of 200 events.")


def test_every_fault_is_counted_and_the_import_keeps_what_was_said(tmp_path: Path) -> None:
    rows = good_rows(200)
    rows[10] = f",i1,{T0},1"
    rows[11] = f"u1,,{T0},1"
    rows[12] = "u1,i1,,1"
    rows += [rows[50], rows[51], rows[51]]
    rows[100] = f"u1 ,i5,{T0 + 6000},1"
    rows[101] = f"U2,i5,{T0 + 6060},1000"
    file = write(tmp_path / "e.csv", rows)
    report = check(file)
    counts = {name: line(report, name).count for name in (
        "missing item", "missing time", "missing user and session", "duplicates", "user spaces", "user case", "order",
        "outliers",
    )}
    assert counts == {
        "missing item": 1, "missing time": 1, "missing user and session": 1, "duplicates": 3, "user spaces": 1,
        "user case": 1, "order": 0, "outliers": 1,
    }
    assert line(report, "duplicates").where == f"'{file}' line 202"
    source = open_source(file)
    assert len(source.load()) == report.kept == 203 - 6
    assert [finding.name for finding in source.cleaning] == [each.name for each in report.lines if each.level != "PASS"]


def test_disorder_is_counted_against_the_latest_so_far(tmp_path: Path) -> None:
    times = [5, 1, 6, 2, 3, 7]
    file = write(tmp_path / "e.csv", [f"u,i{n},{T0 + at},{n}" for n, at in enumerate(times)])
    found = line(check(file), "order")
    assert (found.level, found.count) == ("WARN", 3)
    assert open_source(file).load().ts_ms.tolist() == [1000 * (T0 + at) for at in sorted(times)]


def test_the_fences_are_tukeys_and_are_stated(tmp_path: Path) -> None:
    values = [*range(1, 101), 400]
    file = write(tmp_path / "e.csv", [f"u{n},i,{T0 + n},{value}" for n, value in enumerate(values)])
    ordered = sorted(values)
    first, third = ordered[25], ordered[75]
    low, high = first - 1.5 * (third - first), third + 1.5 * (third - first)
    assert fences(np.array(values, np.float64), 1.5) == (low, high)
    assert f"the fences {low:g} … {high:g}" in line(check(file), "outliers").text
    clipped = open_source(file, settings=DataSettings(outliers="clip")).load()
    assert clipped.value.max() == high
    assert len(open_source(file, settings=DataSettings(outliers="drop")).load()) == 100


def test_inhuman_rates_are_found_and_dropped_where_wished(tmp_path: Path) -> None:
    people = [f"p{n % 5},i{n % 30},{T0 + 30 * n},{n % 3}" for n in range(300)]
    bot = [f"bot,i{n},{T0 + n // 3},1" for n in range(200)]
    slow = [f"slow,i{n},{T0 + n},1" for n in range(60)]  # exactly one a second is 60 a minute
    file = write(tmp_path / "e.csv", people + bot + slow)
    strict = DataSettings(bot_rate=60)
    assert line(check(file, settings=strict), "bots").count == 1
    users = open_source(file, settings=DataSettings(bot_rate=60, bots="drop")).load().user.texts()
    assert set(users) == {"p0", "p1", "p2", "p3", "p4", "slow"}
    assert len(users) == 360


def test_look_alikes_become_one_where_wished(tmp_path: Path) -> None:
    file = write(tmp_path / "e.csv", [f"Ann,i1,{T0},1", f"ann,i2,{T0 + 1},2", f" ANN ,i3,{T0 + 2},3", f"bob,i4,{T0},4"])
    report = check(file)
    assert line(report, "user spaces").count == 1
    assert line(report, "user case").count == 2
    assert set(open_source(file).load().user.texts()) == {"Ann", "ann", "ANN", "bob"}
    folded = open_source(file, settings=DataSettings(fold_case=True)).load()
    assert set(folded.user.texts()) == {"ann", "bob"}
    as_is = open_source(file, settings=DataSettings(strip_spaces=False)).load()
    assert set(as_is.user.texts()) == {"Ann", "ann", " ANN ", "bob"}


def test_an_id_of_spaces_only_is_missing(tmp_path: Path) -> None:
    report = check(write(tmp_path / "e.csv", [f"  ,i1,{T0},1", f"u,i2,{T0 + 1},2"]))
    assert line(report, "missing user and session").count == 1
    assert report.kept == 1


def test_the_same_event_id_counts_once(tmp_path: Path) -> None:
    rows = [f"u,i1,{T0},1,e1", f"u,i2,{T0 + 1},2,e1", f"u,i3,{T0 + 2},2,", f"u,i4,{T0 + 3},2,"]
    file = write(tmp_path / "e.csv", rows, "user,item,ts,value,event_id")
    assert [event.item for event in open_source(file).load().records()] == ["i1", "i3", "i4"]
    assert line(check(file), "duplicates").count == 1


def test_a_wrong_unit_fails_with_a_hint(tmp_path: Path) -> None:
    file = write(tmp_path / "e.csv", [f"u,i{n},{n},1" for n in range(5)])
    report = check(file)
    assert not report.ok
    found = line(report, "times old")
    assert (found.level, found.count, found.action) == ("FAIL", 5, "stops")
    assert "the unit may be wrong" in found.text
    assert render(report).endswith("An import would stop and keep nothing.")


@pytest.mark.parametrize(("way", "kept"), [("drop", 1), ("keep", 2)])
def test_times_in_the_future_go_the_way_that_is_set(tmp_path: Path, way: str, kept: int) -> None:
    file = write(tmp_path / "e.csv", [f"u,i1,{T0},1", f"u,i2,{T0 + 10**6},2"])
    settings = DataSettings(times=way)  # type: ignore[arg-type]  # a literal of the settings
    assert len(open_source(file, settings=settings, now_ms=T0 * 1000).load()) == kept


def test_missing_values_stop_where_wished(tmp_path: Path) -> None:
    file = write(tmp_path / "e.csv", [f"u,i1,{T0},1", f"u,,{T0},2"])
    assert not check(file, settings=DataSettings(missing="stop")).ok


def test_constant_columns_and_short_data_are_warned_of(tmp_path: Path) -> None:
    report = check(write(tmp_path / "e.csv", [f"u,i{n},{T0 + n},1" for n in range(9)]))
    assert line(report, "constant user").text == "every event has the same user"
    assert line(report, "constant value").text == "every event has the value 1"
    assert line(report, "rows").level == "WARN"
    assert report.ok


def test_what_cannot_be_read_is_one_failing_line(tmp_path: Path) -> None:
    report = check(write(tmp_path / "e.csv", ["u,i"]))
    assert [(each.level, each.name) for each in report.lines] == [("FAIL", "file")]
    assert "line 2 must have 4 cells; got 2" in report.lines[0].text
    assert report.to_dict()["ok"] is False


def test_items_are_checked_too(tmp_path: Path) -> None:
    write(tmp_path / "events.csv", good_rows(100))
    (tmp_path / "items.csv").write_text("id,title\ni1,One\ni1,Uno\ni2,\n", encoding="utf-8")
    report = check(tmp_path)
    assert line(report, "items").count == 2
    assert line(report, "items title").count == 1
    assert line(report, "items repeated").count == 1


def test_a_check_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    file = write(tmp_path / "e.csv", good_rows(100))
    before = file.read_bytes()
    check(file)
    assert [path.name for path in tmp_path.iterdir()] == ["e.csv"]
    assert file.read_bytes() == before

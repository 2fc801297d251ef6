"""`everbrook export`: everything that is stored comes back, or all of one person and nobody else's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from everbrook.cli.main import main
from everbrook.events.checking import check
from everbrook.events.importing import open_source
from everbrook.events.records import Event, Impression, ItemChange, UserChange
from everbrook.events.sqlite_log import SqliteLog

T0 = 1_700_000_000_000


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log with records of each type, of two people."""
    path = tmp_path_factory.mktemp("exported") / "data"
    with SqliteLog.open(path) as log:
        log.append([
            Event(session="s1", item="i1", ts=T0 + 1), Event(user="u1", session="s1", item="i2", ts=T0 + 2, value=3.0),
            Event(user="u2", item="i1", ts=T0 + 3, context={"device": "phone"}),
            UserChange(id="u1", properties={"country": "DE"}), UserChange(id="u2", properties={"country": "FR"}),
            ItemChange(id="i1", title="One", properties={"price": 2}),
            Impression(request="r1", items=("i1",), ts=T0 + 4, user="u1"),
            Impression(request="r2", items=("i2",), ts=T0 + 5, user="u2"),
        ])  # fmt: skip
    return path


def _exported(data: Path, folder: Path, *options: str) -> dict[str, int]:
    with SqliteLog.open(data):  # a server that holds the directory keeps nobody from reading
        assert main(["export", str(folder), "--data", str(data), *options]) == 0
    return {str(path.relative_to(folder)): len(_lines(path)) for path in sorted(folder.rglob("*")) if path.is_file()}


def _lines(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        rows: list[dict[str, Any]] = pyarrow.parquet.read_table(path).to_pylist()
        return rows
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_everything_comes_back(data: Path, tmp_path: Path, form: str) -> None:
    files = _exported(data, tmp_path / "out", "--format", form)
    rest = {"rest/export.json": 1, "rest/impressions.jsonl": 2}
    assert files == rest | {f"events.{form}": 3, f"items.{form}": 1, f"users.{form}": 2}


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_what_was_written_makes_the_same_people_items_and_events(data: Path, tmp_path: Path, form: str) -> None:
    _exported(data, tmp_path / "out", "--format", form)
    source = open_source(tmp_path / "out")
    with SqliteLog.open(data) as log:
        records = [one for run in log.runs(0) if run.events is None for one in run.records]
        events = [one for run in log.runs(0) if run.events is not None for one in run.events.records()]
    assert [one for some in source.users() for one in some] == [one for one in records if isinstance(one, UserChange)]
    assert [one for some in source.items() for one in some] == [one for one in records if isinstance(one, ItemChange)]
    assert source.read().columns.records() == events


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_what_a_file_of_elsewhere_would_be_cleaned_of_comes_back(tmp_path: Path, form: str) -> None:
    events = [
        Event(user="u1", item="i1", ts=0), Event(user="u1", item="i1", ts=5), Event(user="u1", item="i1", ts=5),
        Event(user=" u1", item="i1 ", ts=6), Event(user="u1", item="i1", ts=T0),
    ]  # fmt: skip
    with SqliteLog.open(tmp_path / "data") as log:
        log.append(events)
    _exported(tmp_path / "data", tmp_path / "out", "--format", form)
    assert open_source(tmp_path / "out", now_ms=T0 - 10**9).load().records() == events
    assert check(tmp_path / "out", now_ms=T0 - 10**9).kept == len(events)
    (tmp_path / "out" / "rest" / "export.json").unlink()
    assert not check(tmp_path / "out", now_ms=T0 - 10**9).ok


def test_a_file_of_users_alone_tells_of_no_item(tmp_path: Path) -> None:
    file = tmp_path / "users.csv"
    file.write_text("user_id,country,age\nu1,DE,30\nu2,,\n")
    source = open_source(file)
    assert list(source.items()) == []
    assert list(source.users()) == [[UserChange(id="u1", properties={"country": "DE", "age": 30}), UserChange(id="u2")]]
    assert [(line.name, line.count) for line in check(file).lines] == [("users", 2)]


def test_a_file_called_users_with_items_in_it_holds_events(tmp_path: Path) -> None:
    file = tmp_path / "users.csv"
    file.write_text("user,item,ts\nu1,i1,1700000000000\n")
    assert len(open_source(file).load()) == 1


def test_a_person_gets_what_is_stored_of_them_and_nobody_elses(data: Path, tmp_path: Path) -> None:
    files = _exported(data, tmp_path / "out", "--user", "u1")
    assert files == {"events.jsonl": 2, "rest/export.json": 1, "rest/impressions.jsonl": 1, "users.jsonl": 1}
    text = "".join(path.read_text() for path in (tmp_path / "out").rglob("*.jsonl"))
    assert '"u2"' not in text
    assert [event["item"] for event in _lines(tmp_path / "out" / "events.jsonl")] == ["i1", "i2"]

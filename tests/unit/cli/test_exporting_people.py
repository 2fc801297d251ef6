"""`everbrook export`: everything that is stored comes back, or all of one person and nobody else's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from everbrook.cli.main import main
from everbrook.events.records import Event, Impression, ItemChange, UserChange
from everbrook.events.sqlite_log import SqliteLog


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log with records of each type, of two people."""
    path = tmp_path_factory.mktemp("exported") / "data"
    with SqliteLog.open(path) as log:
        log.append([
            Event(session="s1", item="i1", ts=1), Event(user="u1", session="s1", item="i2", ts=2, value=3.0),
            Event(user="u2", item="i1", ts=3, context={"device": "phone"}),
            UserChange(id="u1", properties={"country": "DE"}), UserChange(id="u2", properties={"country": "FR"}),
            ItemChange(id="i1", title="One", properties={"price": 2}),
            Impression(request="r1", items=("i1",), ts=4, user="u1"),
            Impression(request="r2", items=("i2",), ts=5, user="u2"),
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
    assert files == {f"events.{form}": 3, f"items.{form}": 1, "rest/impressions.jsonl": 2, "rest/users.jsonl": 2}


def test_a_person_gets_what_is_stored_of_them_and_nobody_elses(data: Path, tmp_path: Path) -> None:
    files = _exported(data, tmp_path / "out", "--user", "u1")
    assert files == {"events.jsonl": 2, "rest/impressions.jsonl": 1, "rest/users.jsonl": 1}
    text = "".join(path.read_text() for path in (tmp_path / "out").rglob("*.jsonl"))
    assert '"u2"' not in text
    assert [event["item"] for event in _lines(tmp_path / "out" / "events.jsonl")] == ["i1", "i2"]

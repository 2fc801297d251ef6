"""`everbrook doctor` on directories that are really damaged: each trouble is named, and nothing is changed."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from everbrook import Recommender
from everbrook.cli.main import main
from everbrook.engine import checkup
from everbrook.engine.checkup import is_healthy, look_over
from everbrook.engine.learner_journal import Journal
from everbrook.events.columns import EventColumns
from everbrook.events.log_checkup import log_troubles
from everbrook.events.records import Event
from everbrook.learn.checkpoints import check_folder
from everbrook.settings import load_settings

SETTINGS = load_settings(
    environment={}, assignments=["learner.mode=off", 'mixture.experts=["popularity", "transitions"]']
).settings


def _fill(path: Path) -> None:
    with Recommender.open(path, SETTINGS) as engine:
        engine.put_items([{"id": f"i{n}", "title": "a thing"} for n in range(5)])
        for part in range(2):
            events = [Event(user=f"u{n % 7}", item=f"i{n % 5}", ts=1000 + n, id=f"{part}-{n}") for n in range(40)]
            engine.import_columns(EventColumns.from_records(events))
        engine.ingest([{"user": f"u{n % 7}", "item": f"i{n % 5}", "id": f"live-{n}"} for n in range(30)])
    journal = Journal(path / "checkpoints" / "learner.journal")
    for stop in range(3):
        journal.append(stop)
    journal.close()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory in good order: two imported segments, live records, a checkpoint, a journal."""
    path = tmp_path_factory.mktemp("doctor") / "data"
    _fill(path)
    return path


@pytest.fixture
def data(whole: Path, tmp_path: Path) -> Path:
    """A copy of it, to damage."""
    return Path(shutil.copytree(whole, tmp_path / "data"))


def _flip(file: Path, at: float = 0.5) -> None:
    body = bytearray(file.read_bytes())
    body[int(at * (len(body) - 1))] ^= 8
    file.write_bytes(body)


def _change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path / "log.sqlite")) as database:
        for statement in statements:
            database.execute(statement)
        database.commit()


def _only(folder: Path, pattern: str) -> Path:
    return next(iter(sorted(folder.glob(pattern))))


def _wrong(path: Path) -> list[tuple[str, str]]:
    return [(one.check, one.message) for one in look_over(path, SETTINGS) if one.level == "wrong"]


def _files(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


def test_a_directory_in_good_order_is_healthy_and_left_as_it_is(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {name: body for name, body in _files(data).items() if not name.endswith(("-shm", "-wal"))}
    found = look_over(data, SETTINGS)
    assert [one.level for one in found] == ["fine"] * len(found)
    assert {name: body for name, body in _files(data).items() if not name.endswith(("-shm", "-wal"))} == before
    assert main(["doctor", str(data), "--set", 'mixture.experts=["popularity", "transitions"]']) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"{data} is in good order."


def test_flipped_bytes_of_the_database_that_are_not_seen_lie_where_no_record_is(data: Path, tmp_path: Path) -> None:
    body, held = (data / "log.sqlite").read_bytes(), _records(data)
    unseen = 0
    for at in range(100, len(body) - 64, len(body) // 24):
        changed = bytearray(body)
        changed[at : at + 64] = bytes(one ^ 0xFF for one in body[at : at + 64])
        (data / "log.sqlite").write_bytes(changed)
        if not [one for one in log_troubles(data) if one.level == "wrong"]:
            unseen += 1
            assert body[at : at + 64] == bytes(64), at  # what a page has beyond its rows
            assert _records(data) == held
    assert 0 < unseen < 24


def _records(path: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path / "log.sqlite")) as database:
        tables = ("batches", "event_ids", "segments")
        return [row for table in tables for row in database.execute(f"SELECT * FROM {table} ORDER BY 1")]


DAMAGE: dict[str, tuple[Callable[[Path], Any], str, str]] = {
    "a flipped bit of a segment": (
        lambda path: _flip(path / "segments" / "00000001.arrow"), "segments", "00000001.arrow' must be as it was",
    ),
    "a lost segment": (
        lambda path: (path / "segments" / "00000002.arrow").unlink(), "segments", "00000002.arrow' must be there",
    ),
    "a flipped bit of a segment's ids": (
        lambda path: _flip(path / "segments" / "00000001.ids.arrow"), "segments", "00000001.ids.arrow' must be as",
    ),
    "a row that is no JSON": (
        lambda path: _change(path, "UPDATE batches SET body = '[{' WHERE type = 'event'"), "log", "is damaged: ",
    ),
    "a row that lost a record": (
        lambda path: _change(path, "UPDATE batches SET body = json_remove(body, '$[0]') WHERE type = 'event'"),
        "log", "is damaged: it holds 29 records",
    ),
    "a lost row": (
        lambda path: _change(path, "DELETE FROM batches WHERE type = 'item'"), "offsets", "5 offsets of",
    ),
    "two records at an offset": (
        lambda path: _change(path, "INSERT INTO batches VALUES (2, 3, 'user', '[{\"id\":\"u\"}]')"),
        "offsets", "have two records, the first is 2",
    ),
    "ids that nobody knows": (
        lambda path: _change(path, "DELETE FROM event_ids WHERE id IN ('live-3', 'live-4')"), "ids", "2 events of",
    ),
    "a database that is none": (
        lambda path: (path / "log.sqlite").write_bytes(b"not a database" * 1000), "log", "must be a SQLite database",
    ),
    "no database": (lambda path: (path / "log.sqlite").unlink(), "log", "was used: 2 segments of events lie"),
    "an empty database": (lambda path: (path / "log.sqlite").write_bytes(b""), "log", "it is empty"),
    "a stranger's segment": (
        lambda path: shutil.copy(path / "segments" / "00000001.arrow", path / "segments" / "00000009.arrow"),
        "segments", "the log does not know",
    ),
    "experiments cut short": (
        lambda path: (path / "experiments.json").write_text('{"x'), "experiments", "experiments.json' must hold",
    ),
    "keys cut short": (
        lambda path: ((path / "keys.json").write_text('{"x'), (path / "keys.json").chmod(0o600)), "keys",
        "keys.json' must hold keys",
    ),
    "deletions cut short": (
        lambda path: (path / "erasing.json").write_text('["somebody'), "deletions", "erasing.json' must be a JSON list",
    ),
    "a damaged checkpoint": (
        lambda path: _flip(_only(path / "checkpoints", "0*/state.safetensors")),
        "checkpoints", "state.safetensors' must have the checksum",
    ),
    "a checkpoint without its index": (
        lambda path: _only(path / "checkpoints", "0*/checkpoint.json").unlink(), "checkpoints", "checkpoint.json' must",
    ),
    "a journal with a changed line": (
        lambda path: _flip(path / "checkpoints" / "learner.journal", 0.85), "journal", "is damaged",
    ),
    "a candidate that cannot be read": (
        lambda path: ((path / "refit").mkdir(), (path / "refit" / "model.safetensors").write_bytes(b"\x09" * 99)),
        "candidate", "model.safetensors' cannot be read",
    ),
    "a deletion that did not end": (
        lambda path: (path / "erasing.json").write_text('["somebody"]'), "deletions", "1 deletion of people began",
    ),
    "keys that all may read": (
        lambda path: ((path / "keys.json").write_text("{}"), (path / "keys.json").chmod(0o644)), "keys", "others may",
    ),
    "another format": (
        lambda path: (path / "everbrook.json").write_text('{"format": 7}'), "format", "must have format 1; it has",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_each_damage_is_named_with_what_to_do(name: str, data: Path) -> None:
    damage, check, told = DAMAGE[name]
    damage(data)
    found = [one for one in look_over(data, SETTINGS) if one.level == "wrong"]
    assert (check, True) in [(one.check, told in one.message) for one in found], found
    assert all(one.hint for one in found)
    assert "somebody" not in str(found)
    assert not is_healthy(found)


def test_leftovers_are_noted_and_no_trouble(data: Path) -> None:
    (data / "segments" / "00000009.arrow").write_bytes(b"half")
    (data / "checkpoints" / "0000000000000099.draft").mkdir()
    notes = [one for one in look_over(data, SETTINGS) if one.level == "note"]
    assert {one.check for one in notes} == {"segments", "unended"}
    assert "00000009.arrow" in notes[0].message
    assert _wrong(data) == []


def test_holes_of_forgotten_people_are_noted_and_no_trouble(data: Path) -> None:
    with Recommender.open(data, SETTINGS) as engine:
        engine.delete_user("u3")
    found = {one.check: one for one in look_over(data, SETTINGS) if one.level != "fine"}
    assert list(found) == ["offsets"]
    assert found["offsets"].level == "note"
    assert "forgotten people leave such holes" in found["offsets"].message


def test_checkpoints_of_other_settings_are_noted(data: Path) -> None:
    other = load_settings(environment={}, assignments=["state.history_events=7"]).settings
    notes = [one.message for one in look_over(data, other) if one.level == "note"]
    assert notes == [
        "No checkpoint of the server's was made under these settings: the next start reads the log from its beginning."
    ]


def test_beside_a_process_that_writes_it_names_the_process_and_finds_nothing(tmp_path: Path) -> None:
    _fill(tmp_path / "data")
    with Recommender.open(tmp_path / "data", SETTINGS) as engine:
        for n in range(20):
            engine.ingest([{"user": "u", "item": f"i{n}", "id": f"more-{n}"}])
            found = {one.check: one for one in look_over(tmp_path / "data", SETTINGS) if one.level != "fine"}
            assert list(found) == ["lock"]
        assert found["lock"].message.startswith(f"Process {os.getpid()} holds the directory")
        assert engine.ingest([{"user": "u", "item": "i1", "id": "last"}]).accepted == 1


def test_for_machines_it_is_json_and_the_exit_code_tells(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _flip(data / "segments" / "00000001.arrow")
    assert main(["doctor", "--data", str(data), "--json"]) == 3
    told = json.loads(capsys.readouterr().out)
    assert (told["path"], told["healthy"]) == (str(data), False)
    assert [one["check"] for one in told["findings"] if one["level"] == "wrong"] == ["segments"]
    assert main(["doctor", str(data / "nowhere")]) == 3
    assert "there is no 'everbrook.json' in it" in capsys.readouterr().out


def test_a_checkpoint_that_the_server_removes_meanwhile_is_no_trouble(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(path: Path) -> dict[str, Any]:
        shutil.rmtree(path)
        return check_folder(path)

    monkeypatch.setattr(checkup, "check_folder", gone)
    monkeypatch.setattr(checkup, "holder_of", lambda _: 4321)
    assert is_healthy(look_over(data, SETTINGS))

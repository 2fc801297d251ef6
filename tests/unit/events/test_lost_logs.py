"""A directory that was used and lost its log is refused as it lies; files of segments go only where that is safe."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from everbrook.errors import DataError
from everbrook.events.columns import EventColumns
from everbrook.events.log_bulk import BulkWriter
from everbrook.events.log_checkup import log_troubles
from everbrook.events.log_follower import LogFollower
from everbrook.events.log_lost import RESTORE
from everbrook.events.records import Deletion, Event
from everbrook.events.segments import write_segment
from everbrook.events.sqlite_log import SqliteLog

EVENTS = [Event(user=f"u{n % 3}", item=f"i{n}", ts=n, id=f"e{n}") for n in range(20)]
COLUMNS = EventColumns.from_records(EVENTS)
MORE = EventColumns.from_records([Event(user="u", item="i", ts=n, id=f"more-{n}") for n in range(5)])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A directory with one segment of twenty events."""
    with SqliteLog.open(tmp_path / "data") as log:
        log.append_columns(COLUMNS)
    return tmp_path / "data"


def _files(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


def _empty(file: Path) -> None:
    file.write_bytes(b"")


def _without_tables(file: Path) -> None:
    file.unlink()
    with closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE other (x)")


LOSSES = {"is missing": Path.unlink, "is empty": _empty, "has none of its tables": _without_tables}


@pytest.mark.parametrize("state", LOSSES)
def test_segments_without_their_database_are_refused_and_left_as_they_are(state: str, data: Path) -> None:
    LOSSES[state](data / "log.sqlite")
    before = _files(data)
    for opens in (SqliteLog.open, LogFollower):
        with pytest.raises(DataError) as raised:
            opens(data)
        assert raised.value.message == (
            f"'{data}/log.sqlite' must hold the log, for the directory was used: 1 segment of events lies in "
            f"'{data}/segments'; it {state}."
        )
        assert raised.value.hint == RESTORE
    assert [(one.level, one.message) for one in log_troubles(data)] == [("wrong", raised.value.message)]
    assert _files(data) == before


@pytest.mark.parametrize("state", LOSSES)
def test_checkpoints_without_the_log_are_refused(state: str, tmp_path: Path) -> None:
    with SqliteLog.open(tmp_path) as log:
        log.append(EVENTS)
    (tmp_path / "checkpoints" / "0000000000000020").mkdir(parents=True)
    LOSSES[state](tmp_path / "log.sqlite")
    with pytest.raises(DataError, match=f"what was learned lies in '{tmp_path}/checkpoints'; it {state}"):
        SqliteLog.open(tmp_path)


def test_a_new_directory_that_was_cut_short_while_it_was_made_is_made(tmp_path: Path) -> None:
    SqliteLog.open(tmp_path).close()
    for cut_short in LOSSES.values():
        cut_short(tmp_path / "log.sqlite")
        with SqliteLog.open(tmp_path) as log:
            assert log.end == 0


def test_whole_segments_that_the_database_does_not_know_stay(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    known, folder = data / "segments" / "00000001.arrow", data / "segments"
    write_segment(folder / "00000007.arrow", COLUMNS)
    strange = {name: body for name, body in _files(folder).items() if name.startswith("00000007")}
    for _ in range(2):
        with SqliteLog.open(data) as log:
            assert len(log.read_events()) == 20
    assert len(strange) == 2
    assert strange.items() <= _files(folder).items()
    assert "00000007.arrow" in caplog.text
    wrong = [one.message for one in log_troubles(data) if one.level == "wrong"]
    assert wrong == [
        f"Segments that the log does not know lie in '{folder}': 00000007.arrow, 00000007.ids.arrow."
    ]  # fmt: skip
    assert known.exists()


def test_no_file_goes_where_the_database_knows_of_no_segment(tmp_path: Path) -> None:
    SqliteLog.open(tmp_path).close()
    (tmp_path / "segments" / "00000001.arrow").write_bytes(b"half, or of another moment")
    SqliteLog.open(tmp_path).close()
    assert (tmp_path / "segments" / "00000001.arrow").exists()


@pytest.mark.parametrize("how", ["seal", "append_columns"])
def test_a_segment_that_was_written_and_not_registered_is_cleared_away(
    how: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = tmp_path / "killed"
    with SqliteLog.open(data) as log:
        log.append(MORE.records())
        goes_on = log._writer.do

        def copied(*arguments: Any) -> Any:
            shutil.copytree(data, killed)  # as it lies on disk if the process is killed now
            return goes_on(*arguments)

        monkeypatch.setattr(log._writer, "do", copied)
        if how == "seal":
            log.seal()
        else:
            log.append_columns(EventColumns.from_records([Event(user="u", item="i", ts=9, id="other")]))
    assert (killed / "segments" / "00000002.arrow").exists()
    with SqliteLog.open(killed) as log:
        assert _names(killed / "segments") == ["00000001.arrow", "00000001.ids.arrow"]
        assert log.read_events().records() == [*EVENTS, *MORE.records()]
    with SqliteLog.open(data) as log:
        assert [name for name in _names(data / "segments") if name.endswith("2.arrow")] == ["00000002.arrow"]
        assert len(log.read_events()) == (25 if how == "seal" else 26)


def test_what_a_forgotten_person_did_goes_after_a_kill_too(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = tmp_path / "killed"
    goes_on = BulkWriter._forget_segments

    def copied(bulk: BulkWriter, rewritten: Any) -> None:
        shutil.copytree(data, killed)  # the new segment is in the log, the one before lies there still
        goes_on(bulk, rewritten)

    monkeypatch.setattr(BulkWriter, "_forget_segments", copied)
    with SqliteLog.open(data) as log:
        log.append([Deletion(what="user", id="u1", ts=1)])
        log.erase("u1", log.end - 1)
    assert (killed / "segments" / "00000001.arrow").exists()
    SqliteLog.open(killed).close()
    assert _names(killed / "segments") == _names(data / "segments") == ["00000002.arrow", "00000002.ids.arrow"]


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_copied_log_can_be_opened_where_it_is_put(data: Path, tmp_path: Path) -> None:
    with SqliteLog.open(shutil.copytree(data, tmp_path / "copy")) as log:
        assert len(log.read_events()) == 20

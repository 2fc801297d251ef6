"""A person's records leave the log with all their bytes; everything else stays where it was."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from everbrook.errors import DataError, StorageError
from everbrook.events import log_bulk
from everbrook.events.columns import EventColumns
from everbrook.events.erasing import Intents
from everbrook.events.log_follower import LogFollower
from everbrook.events.records import Deletion, Event, Impression, ItemChange, UserChange
from everbrook.events.sqlite_log import SqliteLog
from everbrook.settings.log import LogSettings

PERSON, GUEST = "pérson-\"27182", "guest-31415"
NO_SEALING = LogSettings(seal_events=0)


def _event(n: int, **more: Any) -> Event:
    return Event(**({"user": f"u{n % 5}", "item": f"i{n % 7}", "ts": 1000 + n, "id": f"e{n}"} | more))


def _others(log: SqliteLog) -> dict[int, Any]:
    """Every record by its offset, as it is read."""
    found: dict[int, Any] = {}
    for run in log.runs(0):
        records = run.events.records() if run.events is not None else run.records
        found.update(zip(run.offsets.tolist(), records, strict=True))
    return found


def _is_theirs(record: Any) -> bool:
    if isinstance(record, UserChange | Deletion):
        return record.id == PERSON
    return getattr(record, "user", None) == PERSON or (
        getattr(record, "session", None) == GUEST and record.user is None
    )


def _fill(log: SqliteLog) -> None:
    """Imported, sealed and live records, some of them the person's."""
    theirs = {"user": PERSON, "session": GUEST}
    log.append_columns(EventColumns.from_records([
        _event(n, **(theirs if n % 10 == 3 else {}), id=f"{PERSON}-{n}" if n % 10 == 3 else f"e{n}") for n in range(60)
    ]))  # fmt: skip
    log.append([_event(100 + n, user=None, session=GUEST if n % 2 else f"s{n}", id=None) for n in range(6)])
    log.append([UserChange(id=PERSON, properties={"name": PERSON}), UserChange(id="u1")])
    log.append([ItemChange(id="i1", title="t")])
    log.append([_event(200, id=f"{PERSON}-200", **theirs), _event(201)])
    log.seal()
    log.append([Impression(request="r1", items=("i1",), ts=1, user=PERSON), Impression(request="r2", items=(), ts=1)])
    log.append([_event(300 + n, **(theirs if n in (0, 2, 5) else {}), id=None) for n in range(6)])
    log.append([Deletion(what="user", id=PERSON, ts=5), Deletion(what="item", id="i9", ts=6)])


def _bytes_left(folder: Path, *needles: str) -> list[str]:
    return [
        f"{path.name}: {needle}" for path in folder.rglob("*") if path.is_file() for needle in needles
        if needle.encode() in path.read_bytes() or needle.replace('"', '\\"').encode() in path.read_bytes()
    ]


def test_a_person_is_gone_from_every_file_and_nobody_else_is(tmp_path: Path) -> None:
    with SqliteLog.open(tmp_path / "log", NO_SEALING) as log:
        _fill(log)
        before, end = _others(log), log.end
        assert _bytes_left(tmp_path, PERSON, GUEST)
        erased = log.erase(PERSON)
        theirs = {offset for offset, record in before.items() if _is_theirs(record)}
        assert erased.events == 6 + 3 + 1 + 3
        assert (erased.changes, erased.impressions, erased.deletions, erased.sessions) == (1, 1, 1, 1)
        assert _bytes_left(tmp_path, PERSON, GUEST, "27182") == []
        after = _others(log)
        assert log.end == end
        last = after[end - 2]
        assert isinstance(last, Deletion)
        assert last.id.startswith("forgotten-")
        kept = {offset: record for offset, record in before.items() if offset not in theirs}
        assert {offset: record for offset, record in after.items() if offset != end - 2} == kept
        with LogFollower(tmp_path / "log") as follower:
            assert follower.end == end
            assert sum(len(run) for run in follower.runs(0)) == len(after)
    with SqliteLog.open(tmp_path / "log", NO_SEALING) as log:
        assert _others(log) == after


def test_ids_of_other_events_still_count_once_and_the_persons_are_free(tmp_path: Path) -> None:
    with SqliteLog.open(tmp_path / "log", NO_SEALING) as log:
        _fill(log)
        log.erase(PERSON)
        assert log.append([_event(0), _event(201)]).accepted == 0
        assert log.append([_event(3, id=f"{PERSON}-3"), _event(3, id=f"{PERSON}-200")]).accepted == 2


def test_what_the_person_does_afterwards_stays(tmp_path: Path) -> None:
    with SqliteLog.open(tmp_path / "log", NO_SEALING) as log:
        _fill(log)
        stop = log.end
        log.append([_event(400, user=PERSON, session=None)])
        log.erase(PERSON, stop)
        assert [record.ts for record in _others(log).values() if getattr(record, "user", None) == PERSON] == [1400]


def test_erasing_nobody_changes_nothing(tmp_path: Path) -> None:
    with SqliteLog.open(tmp_path / "log", NO_SEALING) as log:
        _fill(log)
        before = _others(log)
        assert log.erase("nobody").events == 0
        assert _others(log) == before


@pytest.mark.parametrize("live", [False, True])
def test_a_log_that_held_one_person_alone_goes_on_at_its_offset(tmp_path: Path, live: bool) -> None:
    events = [_event(n, user=PERSON) for n in range(4)]
    with SqliteLog.open(tmp_path / "log", NO_SEALING) as log:
        log.append(events) if live else log.append_columns(EventColumns.from_records(events))
        log.append([Deletion(what="user", id=PERSON, ts=5)])
        log.erase(PERSON)
        assert (log.end, list(_others(log))) == (5, [4])
        assert log.append([_event(9)]).first == 5


def test_an_intent_is_there_until_it_is_done(tmp_path: Path) -> None:
    intents = Intents(tmp_path)
    assert intents.pending() == []
    intents.begin("b")
    intents.begin("a")
    assert Intents(tmp_path).pending() == ["a", "b"]
    intents.end("a")
    intents.end("b")
    assert list(tmp_path.iterdir()) == []


def _full(database: sqlite3.Connection) -> None:
    database.execute("COMMIT")
    raise sqlite3.OperationalError("database or disk is full")  # as VACUUM says


def test_where_the_disk_refuses_to_write_the_log_anew_the_next_try_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SqliteLog.open(tmp_path / "log", NO_SEALING) as log:
        _fill(log)
        log.append_columns(EventColumns.from_records([_event(400, user=PERSON), _event(401)]))
        with monkeypatch.context() as patched:
            patched.setattr(log_bulk, "write_anew", _full)
            with pytest.raises(StorageError, match="disk is full"):
                log.erase(PERSON)
        assert log.append([_event(401)]).accepted == 0
        log.erase(PERSON)
        assert _bytes_left(tmp_path, PERSON, GUEST, "27182") == []
        assert len(list((tmp_path / "log" / "segments").iterdir())) == 2 * 2 + 1  # imported ones have files of ids
        after = _others(log)
    with SqliteLog.open(tmp_path / "log", NO_SEALING) as log:
        assert _others(log) == after


def test_where_the_disk_refuses_to_remove_a_segment_the_next_try_removes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise OSError(5, "Input/output error", str(path))

    with SqliteLog.open(tmp_path / "log", NO_SEALING) as log:
        _fill(log)
        with monkeypatch.context() as patched:
            patched.setattr(log_bulk, "remove_segment", refuse)
            with pytest.raises(StorageError, match="Input/output error"):
                log.erase(PERSON)
        log.erase(PERSON)
        assert _bytes_left(tmp_path, PERSON, GUEST, "27182") == []


def _two_segments(log: SqliteLog) -> None:
    """One of u1 to u4 alone, and one in which the person is among others."""
    log.append([_event(n, user=f"u{1 + n % 4}") for n in range(5)])
    log.seal()
    log.append([_event(5 + n, user=PERSON if n % 11 == 0 else "u1") for n in range(55)])
    log.seal()


@pytest.mark.parametrize("reader", ["the log's own", "strict", "lenient"])
def test_a_reader_under_way_misses_nobody_else_while_somebody_is_forgotten(tmp_path: Path, reader: str) -> None:
    with SqliteLog.open(tmp_path / "log", NO_SEALING) as log:
        _two_segments(log)
    with (
        SqliteLog.open(tmp_path / "log", NO_SEALING) as log,  # which has no record in memory any more
        LogFollower(tmp_path / "log", lenient=reader == "lenient") as follower,
    ):
        reading = log if reader == "the log's own" else follower
        runs = reading.runs(0, limit=3)
        events = next(runs).events.records()
        log.erase(PERSON)
        log.append([Deletion(what="user", id="u3", ts=9)])
        log.erase("u3")  # whose segment is being read, and stays as it was begun
        log.erase("u4")  # and once more in the same
        events += [event for run in runs if run.events is not None for event in run.events.records()]
        assert [event.id for event in events] == [f"e{n}" for n in range(60) if n < 5 or (n - 5) % 11]
        assert reading.health.told()["damaged_segments"] == {}
        assert log.check() == {}


def test_events_in_one_piece_miss_nobody_else_while_somebody_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SqliteLog.open(tmp_path / "log", NO_SEALING) as log, LogFollower(tmp_path / "log") as follower:
        _two_segments(log)
        look = follower._reader._step

        def looked(*args: Any) -> Any:
            found = look(*args)
            log.erase(PERSON)
            return found

        monkeypatch.setattr(follower._reader, "_step", looked)
        events = follower.read_events().records()
        assert [event.id for event in events] == [f"e{n}" for n in range(60) if n < 5 or (n - 5) % 11]


def test_a_segment_that_is_missing_and_that_the_log_knows_is_still_damage(tmp_path: Path) -> None:
    with SqliteLog.open(tmp_path / "log", NO_SEALING) as log:
        _two_segments(log)
        with LogFollower(tmp_path / "log") as strict, LogFollower(tmp_path / "log", lenient=True) as lenient:
            (tmp_path / "log" / "segments" / "00000002.arrow").unlink()
            with pytest.raises(DataError, match="must be there; it is missing"):
                list(strict.runs(0))
            assert sum(len(run) for run in lenient.runs(0)) == 5
            assert list(lenient.health.told()["damaged_segments"]) == ["00000002.arrow"]

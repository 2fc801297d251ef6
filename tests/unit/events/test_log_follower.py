"""Following a log from beside its writer: the same records, soon, and never in the way."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from everbrook.errors import NotFoundError
from everbrook.events.log import Log
from everbrook.events.log_follower import LogFollower
from everbrook.events.records import Event, ItemChange
from everbrook.events.sqlite_log import SqliteLog
from everbrook.settings.log import LogSettings

EVENTS = [Event(user=f"u{n % 7}", item=f"i{n % 5}", ts=n) for n in range(40)]


def told(log: Log | LogFollower, start: int = 0, stop: int | None = None) -> list[tuple[int, object]]:
    entries: list[tuple[int, object]] = []
    for run in log.runs(start, stop):
        records = run.events.records() if run.events is not None else run.records
        entries += zip(run.offsets.tolist(), records, strict=True)
    return entries


def test_a_follower_reads_what_the_writer_reads(tmp_path: Path) -> None:
    path = tmp_path / "data"
    with SqliteLog.open(path, LogSettings(seal_events=0)) as log, LogFollower(path) as follower:
        assert follower.end == 0
        log.append(EVENTS)
        log.append([ItemChange(id="i1", title="one")])
        log.append_columns(log.read_events(0, 10))
        assert told(follower) == told(log)
        assert told(follower, 5, 45) == told(log, 5, 45)
        log.seal()
        log.append(EVENTS[:3])
        assert told(follower) == told(log)
        assert follower.end == log.end
        assert follower.read_events().records() == log.read_events().records()


def test_what_is_committed_is_seen_within_a_few_milliseconds(tmp_path: Path) -> None:
    with SqliteLog.open(tmp_path / "data") as log, LogFollower(tmp_path / "data") as follower:
        log.append(EVENTS)
        seen_s: list[float] = []

        def watch() -> None:
            seen_s.extend(time.monotonic() for n in range(20) if follower.wait(40 + n, 30.0))

        thread = threading.Thread(target=watch)
        thread.start()
        committed_s = []
        for n in range(20):
            time.sleep(0.01)
            assert log.append([Event(user="u", item="i", ts=n)]).accepted == 1
            committed_s.append(time.monotonic())
        thread.join()
        late_s = sorted(seen - committed for seen, committed in zip(seen_s, committed_s, strict=True))
        assert late_s[3] < 0.005  # the quickest of them: other work on the machine only adds to it


def test_a_reader_in_the_middle_of_its_work_keeps_no_writer_waiting(tmp_path: Path) -> None:
    with SqliteLog.open(tmp_path / "data") as log, LogFollower(tmp_path / "data") as follower:
        for _ in range(20):
            log.append(EVENTS)
        runs = follower.runs(0, limit=5)
        first = next(runs)
        before = log.end
        log.append(EVENTS)
        log.seal()
        rest = [int(offset) for run in runs for offset in run.offsets]
        assert [*first.offsets.tolist(), *rest] == list(range(before))
        assert follower.end == log.end == before + len(EVENTS)


def test_waiting_ends_when_its_time_is_over(tmp_path: Path) -> None:
    with SqliteLog.open(tmp_path / "data") as log, LogFollower(tmp_path / "data") as follower:
        log.append(EVENTS)
        assert follower.wait(40, 0.01) == 40


def test_a_missing_log_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as raised:
        LogFollower(tmp_path)
    assert raised.value.message == (
        f"'{tmp_path}' must be an Everbrook data directory; there is no 'log.sqlite' in it."
    )

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from everbrook.errors import BusyError, DataError, StorageError
from everbrook.events.columns import EventColumns
from everbrook.events.records import Event
from everbrook.events.sqlite_log import SqliteLog

EVENTS = [Event(user="u", item=f"i{n}", ts=n, id=f"e{n}") for n in range(20)]


def run_python(source: str, *args: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(source), *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_a_second_process_is_kept_out(tmp_path):
    source = """
        import sys
        from everbrook.errors import BusyError
        from everbrook.events.sqlite_log import SqliteLog
        try:
            SqliteLog.open(sys.argv[1])
        except BusyError as error:
            print(error.message)
    """
    with SqliteLog.open(tmp_path / "data") as log:
        log.append(EVENTS)
        expected = (
            f"The data directory '{tmp_path / 'data'}' must be used by one process at a time; "
            f"process {os.getpid()} holds it."
        )
        assert run_python(source, tmp_path / "data").stdout.strip() == expected
        with pytest.raises(BusyError):
            SqliteLog.open(tmp_path / "data")
        assert log.append(EVENTS).accepted == 0
    SqliteLog.open(tmp_path / "data").close()


def test_another_version_is_refused(tmp_path):
    SqliteLog.open(tmp_path).close()
    (tmp_path / "everbrook.json").write_text('{"format": 2}')
    with pytest.raises(DataError) as raised:
        SqliteLog.open(tmp_path)
    assert raised.value.message == (
        f"The data directory '{tmp_path}' must have format 1; it has format 2, of another version of Everbrook. "
        "Use that version, or export with it and import here."
    )


@pytest.mark.parametrize("body", ["", "{}", "[1]", '{"format": "1"}', "\udcff"])
def test_a_spoilt_format_file_is_named(tmp_path, body):
    SqliteLog.open(tmp_path).close()
    (tmp_path / "everbrook.json").write_text(body, errors="surrogateescape")
    with pytest.raises(DataError) as raised:
        SqliteLog.open(tmp_path)
    assert raised.value.message == f"'{tmp_path}/everbrook.json' must hold {{\"format\": 1}}; it holds something else."


def test_a_directory_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(DataError, match=r"must be empty or Everbrook's own; it holds 'letter.txt'"):
        SqliteLog.open(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]
    with pytest.raises(DataError, match="must be a directory; it is a file"):
        SqliteLog.open(tmp_path / "letter.txt")


def test_a_damaged_database_is_named(tmp_path):
    SqliteLog.open(tmp_path).close()
    (tmp_path / "log.sqlite").write_bytes(b"not a database" * 1000)
    with pytest.raises(DataError, match=r"log\.sqlite' must be a SQLite database in good order"):
        SqliteLog.open(tmp_path)
    with pytest.raises(DataError):  # and the lock was let go of
        SqliteLog.open(tmp_path)


def test_a_damaged_batch_is_named(tmp_path):
    import sqlite3

    with SqliteLog.open(tmp_path) as log:
        log.append(EVENTS)
    for body in ("[]", "[{", '[{"id": "a"}]'):
        database = sqlite3.connect(tmp_path / "log.sqlite")
        with database:
            database.execute("UPDATE batches SET body = ?", (body,))
        database.close()
        with SqliteLog.open(tmp_path) as log, pytest.raises(DataError, match="whole records at the offsets 0 to 19"):
            log.read_events()


def test_half_written_segments_are_cleared_away(tmp_path):
    with SqliteLog.open(tmp_path) as log:
        log.append_columns(EventColumns.from_records(EVENTS))
    (tmp_path / "segments" / "00000002.arrow").write_bytes(b"half")
    (tmp_path / "segments" / "00000002.ids.arrow").write_bytes(b"half")
    with SqliteLog.open(tmp_path) as log:
        there = sorted(path.name for path in (tmp_path / "segments").iterdir())
        assert there == ["00000001.arrow", "00000001.ids.arrow"]
        assert log.read_events().records() == EVENTS


def test_a_full_disk_keeps_nothing_by_halves_and_the_log_goes_on_when_there_is_room(tmp_path):
    source = """
        import resource, sys
        from everbrook.errors import StorageError
        from everbrook.events.columns import EventColumns
        from everbrook.events.records import Event
        from everbrook.events.sqlite_log import SqliteLog

        def events(start, size):
            return [Event(user="u" * 200, item="i", ts=n, id=f"e{n}") for n in range(start, start + size)]

        with SqliteLog.open(sys.argv[1]) as log:
            log.append(events(0, 10))
            log.append_columns(EventColumns.from_records(events(10, 10)))
            resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))  # the disk is full
            for attempt in (lambda: log.append(events(100, 5000)),
                            lambda: log.append_columns(EventColumns.from_records(events(100, 50_000)))):
                try:
                    attempt()
                    print("kept")
                except StorageError as error:
                    print(error.message.partition(" refused: ")[0].rpartition("/")[2])
            print(log.end, len(log.read_events()))
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            print(log.append(events(0, 30)).accepted, log.end)
            print(log.append_columns(EventColumns.from_records(events(100, 5000))).accepted)
    """
    done = run_python(source, tmp_path / "data")
    assert [line.partition(",")[0] for line in done.stderr.splitlines()] == [
        "New records are refused", "New records are taken again",
    ]  # fmt: skip
    assert done.stdout.splitlines() == ["log.sqlite'; it", "00000002.arrow'; it", "20 20", "10 30", "5000"]
    assert len(list((tmp_path / "data" / "segments").iterdir())) == 4
    with SqliteLog.open(tmp_path / "data") as log:
        assert len(log.read_events()) == 5030


def test_a_refused_write_is_told_to_everyone_who_shared_it(tmp_path, monkeypatch):
    import sqlite3

    from everbrook.events import log_writer

    def refuse(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with SqliteLog.open(tmp_path) as log:
        with monkeypatch.context() as patch:
            patch.setattr(log_writer, "commit", refuse)
            futures = [log.submit([event]) for event in EVENTS]
            for future in futures:
                with pytest.raises(StorageError, match=r"it refused: database or disk is full\. Nothing"):
                    future.result()
        assert log.end == 0
        assert log.append(EVENTS).accepted == len(EVENTS)


def test_a_killed_process_loses_nothing_that_it_acknowledged(tmp_path):
    source = """
        import sys
        from everbrook.events.columns import EventColumns
        from everbrook.events.records import Event
        from everbrook.events.sqlite_log import SqliteLog
        with SqliteLog.open(sys.argv[1]) as log:
            for n in range(1_000_000):
                event = Event(user="u", item=str(n), ts=n)
                done = log.append_columns(EventColumns.from_records([event])) if n % 10 == 7 else log.append([event])
                print(done.first, flush=True)
    """
    command = [sys.executable, "-c", textwrap.dedent(source), str(tmp_path / "data")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        acknowledged = [int(process.stdout.readline()) for _ in range(40)]
        process.send_signal(signal.SIGKILL)
        acknowledged += [int(line) for line in process.stdout if line.endswith("\n")]
    with SqliteLog.open(tmp_path / "data") as log:
        items = log.read_events().item.texts()
        assert acknowledged == list(range(len(acknowledged)))
        assert items[: len(acknowledged)] == [str(n) for n in acknowledged]
        assert len(items) - len(acknowledged) in (0, 1)  # one may have been on its way

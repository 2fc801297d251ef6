import asyncio
import sqlite3
import threading
import time

import msgspec
import pytest

from everbrook.errors import DataError, NotFoundError, NotReadyError
from everbrook.events.columns import EventColumns
from everbrook.events.log import Appended
from everbrook.events.log_checkup import log_troubles
from everbrook.events.records import MAX_TIME_MS, Deletion, Event, Impression, ItemChange, UserChange, Version
from everbrook.events.sqlite_log import SqliteLog
from everbrook.settings.log import LogSettings

EVENTS = [Event(user=f"u{n % 7}", item=f"i{n % 5}", ts=n, id=f"e{n}", value=float(n)) for n in range(60)]
OTHERS = [
    ItemChange(id="i", title=None, tags=["a"]),
    UserChange(id="u", properties={"country": "DE"}),
    Deletion(what="user", id="u", ts=4),
    Impression(request="r", items=("i", "j"), ts=5, user="u", propensities=(0.5, 0.5)),
    Version(version="v1", offset=3, ts=6),
]


@pytest.fixture
def log(tmp_path):
    with SqliteLog.open(tmp_path / "data") as log:
        yield log


def told(log: SqliteLog, *args, **more) -> list:
    """Every record with its offset, in the order in which runs give them."""
    entries = []
    for run in log.runs(*args, **more):
        records = run.events.records() if run.events is not None else run.records
        entries += zip(run.offsets.tolist(), records, strict=True)
    return entries


def test_a_new_log_is_empty(log):
    assert log.end == 0
    assert told(log, 0) == []
    assert len(log.read_events()) == 0


def test_records_lie_in_the_order_of_their_appends(log):
    assert log.append(EVENTS[:2]) == Appended(0, 2)
    assert log.append([OTHERS[0], EVENTS[2], *OTHERS[1:]]) == Appended(2, 8)
    assert log.append_columns(EventColumns.from_records(EVENTS[3:9])) == Appended(8, 14)
    assert log.append(EVENTS[9:10]) == Appended(14, 15)
    expected = [*EVENTS[:2], OTHERS[0], EVENTS[2], *OTHERS[1:], *EVENTS[3:10]]
    assert told(log, 0) == list(enumerate(expected))
    assert log.read_events().records() == EVENTS[:10]


def test_what_was_kept_is_there_after_opening_again(tmp_path):
    with SqliteLog.open(tmp_path / "data") as log:
        log.append([*EVENTS[:5], *OTHERS])
        log.append_columns(EventColumns.from_records(EVENTS[5:9]))
        before = told(log, 0)
    with SqliteLog.open(tmp_path / "data", create=False) as log:
        assert told(log, 0) == before
        assert log.append(EVENTS[3:10]) == Appended(14, 15, (0, 1, 2, 3, 4, 5))


def test_the_same_id_counts_once_wherever_it_comes_again(log):
    assert log.append([EVENTS[0], EVENTS[1], EVENTS[0]]) == Appended(0, 2, (2,))
    assert log.append(EVENTS[1:3]) == Appended(2, 3, (0,))
    columns = EventColumns.from_records([EVENTS[5], EVENTS[2], EVENTS[5], EVENTS[6]])
    assert log.append_columns(columns) == Appended(3, 5, (1, 2))
    assert log.append(EVENTS[4:8]) == Appended(5, 7, (1, 2))
    assert log.append_columns(columns) == Appended(7, 7, (0, 1, 2, 3))
    assert log.append(EVENTS[:3]) == Appended(7, 7, (0, 1, 2))
    assert log.read_events().id.texts() == ["e0", "e1", "e2", "e5", "e6", "e4", "e7"]


def test_ids_with_any_characters_are_compared_whole(log):
    names = ["a", "a\0", "a\0b", "é", "e\u0301", "'", '"', "A"]
    events = [Event(user="u", item="i", ts=1, id=name) for name in names]
    assert log.append(events).accepted == len(names)
    assert log.append(events).accepted == 0
    assert log.append_columns(EventColumns.from_records(events)).accepted == 0


def test_events_without_ids_are_never_duplicates(log):
    event = Event(user="u", item="i", ts=1)
    assert log.append([event, event]).accepted == 2
    assert log.append_columns(EventColumns.from_records([event, event])).accepted == 2


def test_an_id_that_comes_during_an_import_is_seen(tmp_path, monkeypatch):
    from everbrook.events import log_bulk

    with SqliteLog.open(tmp_path / "data") as log:
        write = log_bulk.write_segment

        def write_while_events_arrive(*args):
            if log.end == 0:
                log.append(EVENTS[2:4])
            return write(*args)

        monkeypatch.setattr(log_bulk, "write_segment", write_while_events_arrive)
        assert log.append_columns(EventColumns.from_records(EVENTS[:6])) == Appended(2, 6, (2, 3))
        assert sorted(log.read_events().id.texts()) == [f"e{n}" for n in range(6)]
    assert len(list((tmp_path / "data" / "segments").glob("*"))) == 2


def test_an_empty_batch_changes_nothing(log):
    assert log.append([]) == Appended(0, 0)
    assert log.append_columns(EventColumns.empty()) == Appended(0, 0)
    assert log.end == 0


def test_any_range_can_be_read(log):
    log.append(EVENTS[:10])
    log.append_columns(EventColumns.from_records(EVENTS[10:20]))
    log.append([*OTHERS, *EVENTS[20:25]])
    everything = told(log, 0)
    for start in range(0, 31, 3):
        for stop in range(start, 34, 4):
            assert told(log, start, stop) == everything[start:stop]
    assert told(log, 0, types=["item", "user"]) == [(20, OTHERS[0]), (21, OTHERS[1])]
    assert log.read_events(8, 12).records() == EVENTS[8:12]


def test_runs_are_no_longer_than_asked(log):
    log.append(EVENTS[:10])
    log.append_columns(EventColumns.from_records(EVENTS[10:20]))
    log.append(OTHERS)
    assert max(len(run) for run in log.runs(0, limit=3)) == 3
    assert told(log, 0, limit=3) == told(log, 0)


def test_optional_columns_can_be_left_out(log):
    log.append_columns(EventColumns.from_records(EVENTS))
    assert log.read_events(leave_out=["id"]).id is None


def test_sealing_changes_nothing_that_is_read(tmp_path):
    with SqliteLog.open(tmp_path / "data") as log:
        log.append(EVENTS[:4])
        log.append([*OTHERS, *EVENTS[4:9], OTHERS[0]])
        log.append_columns(EventColumns.from_records(EVENTS[9:15]))
        log.append([EVENTS[15], *OTHERS, *EVENTS[16:20]])
        before = told(log, 0)
        assert log.seal() == 14
        assert log.seal() == 0
        log.append(EVENTS[18:22])
        after = told(log, 0)
        assert after[: len(before)] == before
        assert told(log, 3, 12) == after[3:12]
        assert log.read_events().records() == EVENTS[:22]
    with SqliteLog.open(tmp_path / "data") as log:
        assert told(log, 0) == after
        assert log.append(EVENTS[:22]).accepted == 0


def test_many_live_events_are_sealed_by_themselves(tmp_path):
    with SqliteLog.open(tmp_path / "data", LogSettings(seal_events=50)) as log:
        log.append(EVENTS)
        give_up_s = time.monotonic() + 20
        while not list((tmp_path / "data" / "segments").glob("*.arrow")) and time.monotonic() < give_up_s:
            time.sleep(0.005)
    assert list((tmp_path / "data" / "segments").glob("*.arrow"))
    with SqliteLog.open(tmp_path / "data") as log:
        assert log.read_events().records() == EVENTS


def test_threads_share_the_log_without_losing_or_mixing_anything(tmp_path):
    appended: dict[int, list[tuple[Appended, list[Event]]]] = {n: [] for n in range(8)}

    def work(thread: int) -> None:
        for n in range(25):
            batch = [Event(user=f"u{thread}", item=f"{n}-{m}", ts=n) for m in range(1 + n % 3)]
            appended[thread].append((log.append(batch), batch))

    with SqliteLog.open(tmp_path / "data", LogSettings(group_events=20)) as log:
        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        everything = log.read_events().records()
    assert len(everything) == sum(len(batch) for done in appended.values() for _, batch in done)
    for done in appended.values():
        for place, batch in done:
            assert everything[place.first : place.stop] == batch


def test_order_of_submits_is_order_of_offsets(log):
    futures = [log.submit([event]) for event in EVENTS]
    assert [future.result().first for future in futures] == list(range(60))


def test_an_event_loop_goes_on_while_records_become_durable(log):
    async def work() -> list[Appended]:
        return await asyncio.gather(*(log.append_async([event]) for event in EVENTS))

    assert asyncio.run(work()) == [Appended(n, n + 1) for n in range(60)]


def test_a_cancelled_append_does_not_harm_the_others(log):
    async def work() -> Appended:
        task = asyncio.ensure_future(log.append_async(EVENTS[:1]))
        await asyncio.sleep(0)
        task.cancel()
        return await log.append_async(EVENTS[1:2])

    assert asyncio.run(work()).accepted == 1


def test_waiting_ends_when_records_come(log):
    assert log.wait(0, timeout_s=0.01) == 0
    thread = threading.Timer(0.05, log.append, [EVENTS[:3]])
    thread.start()
    assert log.wait(0, timeout_s=20) == 3
    thread.join()
    assert log.wait(1, timeout_s=20) == 3


def test_a_closed_log_says_so(tmp_path):
    log = SqliteLog.open(tmp_path / "data")
    log.close()
    log.close()
    with pytest.raises(NotReadyError, match=r"^The log must be open to be written to; it is closed\.$"):
        log.append(EVENTS)


def test_closing_finishes_what_was_submitted(tmp_path):
    with SqliteLog.open(tmp_path / "data") as log:
        futures = [log.submit([event]) for event in EVENTS]
    assert all(future.done() for future in futures)
    with SqliteLog.open(tmp_path / "data") as log:
        assert log.read_events().records() == EVENTS


def test_reading_never_creates(tmp_path):
    with pytest.raises(NotFoundError) as raised:
        SqliteLog.open(tmp_path / "data", create=False)
    assert raised.value.message == (
        f"'{tmp_path / 'data'}' must be an Everbrook data directory; there is no 'everbrook.json' in it."
    )
    assert not (tmp_path / "data").exists()


def test_live_events_can_be_read_with_sqlite_alone(tmp_path):
    with SqliteLog.open(tmp_path / "data") as log:
        log.append(EVENTS)
    database = sqlite3.connect(tmp_path / "data" / "log.sqlite")
    rows = database.execute("SELECT json_extract(value, '$.id') FROM batches, json_each(body)").fetchall()
    database.close()
    assert [name for (name,) in rows] == [event.id for event in EVENTS]


LATE_MS = MAX_TIME_MS + 19_000_000  # "9999-12-31T23:59:59-05:00", which was let in once


def test_a_moment_after_the_year_9999_that_lies_in_the_log_is_read_as_its_end(tmp_path):
    late = ItemChange(id="a", title="x", properties={"n": 12.5}, ts=LATE_MS, expires=LATE_MS)
    mended = msgspec.structs.replace(late, ts=MAX_TIME_MS, expires=MAX_TIME_MS)
    with SqliteLog.open(tmp_path / "data") as log:
        log.append([OTHERS[0], late])
        log.append([Event(user="a", item="a", ts=1), Deletion(what="user", id="a", ts=2)])
        assert log.erase("a").events == 1
    with SqliteLog.open(tmp_path / "data") as log:
        assert [record for _, record in told(log, 0, types=["item"])] == [OTHERS[0], mended]
    assert not [found for found in log_troubles(tmp_path / "data") if found.level == "wrong"]


def test_a_moment_far_after_the_year_9999_is_damage(tmp_path):
    with SqliteLog.open(tmp_path / "data") as log:
        log.append([ItemChange(id="a", ts=10 * MAX_TIME_MS)])
    with SqliteLog.open(tmp_path / "data") as log, pytest.raises(DataError, match="must hold whole records"):
        told(log, 0)

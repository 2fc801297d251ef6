"""What the log keeps of its end in memory is what it has on disk."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import numpy as np
import pytest

from everbrook.events.log import Run
from everbrook.events.log_tail import MOST_RECORDS, Tail
from everbrook.events.records import Deletion, Event, ItemChange, Record, UserChange
from everbrook.events.sqlite_log import SqliteLog


def told(runs: list[Run]) -> list[tuple[int, str, Record]]:
    """Every record with its offset and type, however the runs are cut."""
    found: list[tuple[int, str, Record]] = []
    for run in runs:
        records = run.records if run.events is None else tuple(run.events.records())
        found += zip(run.offsets.tolist(), [run.type] * len(run), records, strict=True)
    return found


def batch(rng: random.Random, number: int) -> list[Record]:
    """A few records of any types; some event ids come again."""
    made: list[Record] = []
    for row in range(rng.randrange(1, 6)):
        kind = rng.randrange(5)
        if kind < 3:
            id_ = rng.choice([None, f"e{rng.randrange(60)}", f"n{number}-{row}"])
            made.append(Event(user=f"u{rng.randrange(4)}", item=f"i{rng.randrange(4)}", ts=1000 + number, id=id_))
        elif kind == 3:
            made.append(ItemChange(id=f"i{rng.randrange(4)}", properties={"price": rng.random(), "old": None}))
        else:
            others = (UserChange(id="u1", properties={"a": [1, "b"]}), Deletion(what="item", id="x", ts=5))
            made.append(rng.choice(others))
    return made


def test_the_tail_and_the_disk_tell_the_same(tmp_path: Path) -> None:
    rng = random.Random(1)
    with SqliteLog.open(tmp_path / "data") as log:
        for number in range(60):
            log.append(batch(rng, number))
        for _ in range(60):
            start, stop = sorted(rng.sample(range(log.end + 1), 2))
            types = rng.sample(("event", "item", "user", "deletion"), rng.randrange(1, 5))
            limit = rng.choice([1, 3, 1000])
            kept = log._writer.tail.runs(start, stop, types, limit)
            assert kept is not None
            assert max((len(run) for run in kept), default=0) <= limit
            assert told(kept) == told(list(log._reader.runs(start, stop, types, limit)))


def test_after_a_reopening_the_disk_tells(tmp_path: Path) -> None:
    with SqliteLog.open(tmp_path / "data") as log:
        log.append([Event(user="u", item="a", ts=1)])
    with SqliteLog.open(tmp_path / "data") as log:
        log.append([Event(user="u", item="b", ts=2)])
        assert log._writer.tail.runs(0, 2, ("event",), 10) is None
        assert [record.item for _, _, record in told(list(log.runs(0)))] == ["a", "b"]  # type: ignore[union-attr]


def test_a_forgotten_person_is_not_kept_in_memory(tmp_path: Path) -> None:
    with SqliteLog.open(tmp_path / "data") as log:
        log.append([Event(user="secret", item="a", ts=1), Event(user="u", item="a", ts=2)])
        log.append([Deletion(what="user", id="secret", ts=3)])
        log.erase("secret")
        assert log._writer.tail.runs(0, 1, ("event",), 10) is None
        assert b"secret" not in msgspec.json.encode([record for _, _, record in told(list(log.runs(0)))])


def test_what_is_kept_is_bounded_and_has_no_holes() -> None:
    tail = Tail()
    event = Event(user="u", item="i", ts=1)
    for first in range(0, 3 * MOST_RECORDS, 64):
        tail.add([(first, "event", [event] * 64)])
    stop = 3 * MOST_RECORDS
    assert tail.runs(stop - MOST_RECORDS, stop, ("event",), stop) is not None
    assert tail.runs(stop - MOST_RECORDS - 64, stop, ("event",), stop) is None
    tail.add([(stop + 100, "event", [event])])  # others wrote in between
    assert tail.runs(stop - 1, stop, ("event",), 10) is None
    found = tail.runs(stop + 100, stop + 101, ("event",), 10)
    assert found is not None
    np.testing.assert_array_equal(found[0].offsets, [stop + 100])


@pytest.mark.parametrize("start", [5, 9])
def test_nothing_is_told_of_what_is_not_there(start: int) -> None:
    tail = Tail()
    tail.add([(0, "event", [Event(user="u", item="i", ts=1)])])
    assert tail.runs(start, start + 3, ("event",), 10) is None

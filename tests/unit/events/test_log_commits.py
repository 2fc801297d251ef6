"""Commits that many share: whatever lies in one, it keeps what a plain loop over the writes keeps."""

from __future__ import annotations

import random
import sqlite3
import threading
from concurrent.futures import Future
from pathlib import Path

import pytest

from everbrook.events.log import Appended
from everbrook.events.log_writer import Job
from everbrook.events.records import Event, ItemChange, Record
from everbrook.events.sqlite_log import SqliteLog


def _writes(rng: random.Random, plain: bool) -> list[list[Record]]:
    """Some of one commit: of events that come singly, or of everything that may come."""
    made: list[list[Record]] = []
    for n in range(rng.randrange(1, 30)):
        ids = [f"{rng.random()}" if plain else rng.choice(["a", "b", "é\0", "", f"{rng.random()}"]) for _ in range(3)]
        events: list[Record] = [Event(user="u", item=f"i{n}", ts=n, id=name or None) for name in ids]
        if plain:
            made.append(events[:1])
        else:
            items: list[Record] = [ItemChange(id=f"i{n}")]
            made.append(rng.choice([events[:1], events, [], items, [*events[:2], *items]]))
    return made


def _expected(writes: list[list[Record]], end: int, known: set[str]) -> tuple[list[Appended], list[Record]]:
    told, kept = list[Appended](), list[Record]()
    for records in writes:
        first, duplicates = end + len(kept), list[int]()
        for position, record in enumerate(records):
            name = record.id if isinstance(record, Event) else None
            if name in known:
                duplicates.append(position)
                continue
            if name is not None:
                known.add(name)
            kept.append(record)
        told.append(Appended(first, end + len(kept), tuple(duplicates)))
    return told, kept


@pytest.mark.parametrize("plain", [True, False])
def test_a_shared_commit_keeps_what_its_writes_would_keep_one_by_one(tmp_path: Path, plain: bool) -> None:
    rng, known, all_kept = random.Random(5), set[str](), list[Record]()
    with SqliteLog.open(tmp_path / "data") as log:
        for _ in range(12):
            writes = _writes(rng, plain)
            wanted, kept = _expected(writes, len(all_kept), known)
            hold, commits = threading.Event(), log._writer.tail
            before = len(commits._stretches)
            log._writer.put(Job(lambda *_, hold=hold: hold.wait(10), lambda _: None, Future()))  # others queue up
            futures = [log.submit(records) for records in writes]
            hold.set()
            assert [future.result() for future in futures] == wanted
            all_kept += kept
            assert len(commits._stretches) - before <= (1 if plain else len(kept))
        found = [
            record for run in log.runs(0)
            for record in (run.events.records() if run.events is not None else run.records)
        ]
    assert found == all_kept
    with sqlite3.connect(tmp_path / "data" / "log.sqlite") as database:
        rows = database.execute("SELECT typeof(first), typeof(type), typeof(body) FROM batches").fetchall()
        ids = {name for (name,) in database.execute("SELECT id FROM event_ids")}
        others = database.execute("SELECT name FROM sqlite_master WHERE type IN ('view', 'trigger')").fetchall()
    assert set(rows) == {("integer", "text", "text")}
    assert ids == known
    assert not others  # what commits at once is of the connection, and in no file

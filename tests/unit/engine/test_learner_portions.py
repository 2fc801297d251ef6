"""Portions: each record once, in order, and the same runs however the log was read, cut before, or sealed."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everbrook.engine.learner_portions import Portions
from everbrook.events.columns import EventColumns
from everbrook.events.log_follower import LogFollower
from everbrook.events.records import Event, Impression, ItemChange, Record
from everbrook.events.segments import Segment
from everbrook.events.sqlite_log import SqliteLog
from everbrook.settings.log import LogSettings

TYPES = ("event", "item")
Told = list[tuple[str, list[int], list[object]]]
KINDS: dict[str, Record] = {
    "event": Event(user="u", item="i", ts=1), "item": ItemChange(id="i"),
    "shown": Impression(request="r", items=(), ts=2),
}  # fmt: skip


def told(portions: Portions, stop: int) -> Told:
    return [
        (run.type, run.offsets.tolist(), list(run.records) if run.events is None else list(run.events.records()))
        for run in portions.take(stop)
    ]


def expected(records: list[Record], start: int, stop: int) -> Told:
    """A plain loop over a list."""
    found: Told = []
    for offset in range(start, stop):
        record = records[offset]
        kind = "event" if isinstance(record, Event) else "item" if isinstance(record, ItemChange) else None
        if kind is None:
            continue
        if not found or found[-1][0] != kind:
            found.append((kind, [], []))
        found[-1][1].append(offset)
        found[-1][2].append(record)
    return found


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(["event", "event", "item", "shown"]), min_size=1, max_size=6), max_size=8),
    st.lists(st.integers(0, 40), max_size=6), st.lists(st.integers(0, 40), max_size=3), st.booleans(),
)
def test_portions_are_a_plain_loop_over_the_log(
    batches: list[list[str]], cuts: list[int], looks: list[int], sealed: bool
) -> None:
    records = [KINDS[kind] for batch in batches for kind in batch]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data"
        with SqliteLog.open(path, LogSettings(seal_events=0)) as log, LogFollower(path) as follower:
            portions = Portions(follower, 0, TYPES)
            for number, batch in enumerate(batches):
                log.append([KINDS[kind] for kind in batch])
                if sealed and number == 2:
                    log.seal()
            start = 0
            for position, stop in enumerate(sorted({min(cut, len(records)) for cut in cuts} | {len(records)})):
                if position < len(looks):
                    portions.look(log.end, looks[position])
                assert told(portions, stop) == expected(records, start, stop)
                start = stop
            assert portions.waiting == 0


def test_a_cut_lies_behind_as_many_records_as_are_wanted(tmp_path: Path) -> None:
    kinds = ["event", "shown", "shown", "item", "event", "event", "shown"]
    with SqliteLog.open(tmp_path / "data") as log, LogFollower(tmp_path / "data") as follower:
        log.append([KINDS[kind] for kind in kinds])
        portions = Portions(follower, 0, TYPES)
        portions.look(log.end, 100)
        assert portions.waiting == 4
        assert [portions.cut(n) for n in (1, 2, 3, 4, 9)] == [1, 4, 5, 6, 6]
        assert [run.type for run in portions.take(5)] == ["event", "item", "event"]
        assert portions.waiting == 1
        assert portions.taken == 5


def test_records_that_came_in_many_batches_are_one_run(tmp_path: Path) -> None:
    with SqliteLog.open(tmp_path / "data") as log, LogFollower(tmp_path / "data") as follower:
        for _ in range(5):
            log.append([KINDS["event"], KINDS["shown"]])
        (run,) = Portions(follower, 0, TYPES).take(10)
        np.testing.assert_array_equal(run.offsets, [0, 2, 4, 6, 8])
        assert run.events is not None
        assert len(run.events) == 5


def test_a_segment_is_decoded_once_for_all_the_portions_that_are_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its names are as many as the segment has, however small the portion is."""
    decoded, columns = [0], Segment.columns

    def counted(self: Segment, *given: Any) -> EventColumns:
        decoded[0] += 1
        return columns(self, *given)

    with SqliteLog.open(tmp_path / "data", LogSettings(seal_events=0)) as log:
        log.append([Event(user=f"u{n}", item=f"i{n}", ts=n) for n in range(60)])
        log.seal()
        monkeypatch.setattr(Segment, "columns", counted)
        with LogFollower(tmp_path / "data") as follower:
            portions = Portions(follower, 0, TYPES)
            found = [offset for stop in range(5, 61, 5) for run in portions.take(stop) for offset in run.offsets]
    assert found == list(range(60))
    assert decoded == [1]

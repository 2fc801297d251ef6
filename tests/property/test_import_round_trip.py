"""Whatever events are written as CSV, JSON lines or Parquet come back the same; the row kernels equal slow loops."""

from __future__ import annotations

import csv
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from everbrook.events.cleaning import clean
from everbrook.events.columns import EventColumns
from everbrook.events.encoding import compact
from everbrook.events.importing import open_source
from everbrook.events.mapping import Mapping
from everbrook.events.records import Event
from everbrook.events.rows import fast_rows, repeated_rows
from everbrook.settings.data import DataSettings

AS_IS = DataSettings(duplicates="keep", strip_spaces=False, times="keep")
MAPPING = Mapping(time="ms")
FIELDS = ("user", "session", "item", "kind", "scenario", "ts", "value", "request", "position")

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)
ids = st.one_of(st.sampled_from(["a", "b", "A", "0", "007", "NA", "null", "nan", "1.0"]), texts)
moments = st.integers(631_152_000_000, 4_000_000_000_000)


@st.composite
def events(draw: st.DrawFn) -> Event:
    """One event as a file can hold it: with a user or a session."""
    user, session = draw(st.tuples(ids, st.none() | ids) | st.tuples(st.none(), ids))
    return Event(
        user=user, session=session, item=draw(ids), kind=draw(ids), scenario=draw(st.none() | ids), ts=draw(moments),
        value=draw(st.none() | st.floats(-(2.0**100), 2.0**100, width=32)),
        request=draw(st.none() | ids), position=draw(st.none() | st.integers(0, 2**31 - 1)),
    )


def columns_of(batch: list[Event]) -> dict[str, list[Any]]:
    return {field: [getattr(event, field) for event in batch] for field in FIELDS}


def write_csv(path: Path, batch: list[Event]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(FIELDS)
        writer.writerows(zip(*columns_of(batch).values(), strict=True))


def write_jsonl(path: Path, batch: list[Event]) -> None:
    path.write_bytes(b"\n".join(msgspec.json.encode(event) for event in batch))


def write_parquet(path: Path, batch: list[Event]) -> None:
    kinds = {"ts": pa.int64(), "value": pa.float32(), "position": pa.int32()}
    arrays = {name: pa.array(column, kinds.get(name, pa.large_string())) for name, column in columns_of(batch).items()}
    pq.write_table(pa.table(arrays), path)


WRITERS = {"e.csv": write_csv, "e.jsonl": write_jsonl, "e.parquet": write_parquet}


@settings(max_examples=40, deadline=None)
@given(st.lists(events(), min_size=1, max_size=20), st.integers(1, 7))
def test_every_format_gives_back_the_events_that_were_written(batch: list[Event], chunk_events: int) -> None:
    expected = sorted(batch, key=lambda event: event.ts)
    taken = msgspec.structs.replace(AS_IS, chunk_events=chunk_events)
    for name, write in WRITERS.items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            write(path, batch)
            chunks = list(open_source(path, MAPPING, taken).chunks())
        assert EventColumns.concat(chunks).records() == expected, name


small = st.sampled_from(["a", "b", "c"])
few = st.builds(
    Event, user=st.none() | small, session=small, item=small, kind=st.just("view"), id=st.none() | small,
    ts=st.integers(0, 400).map(lambda step: 1_000_000_000_000 + 1_000 * step),
    value=st.none() | st.sampled_from([0.0, 1.0]),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(few, max_size=30))
def test_repeated_rows_are_those_of_a_slow_look(batch: list[Event]) -> None:
    seen: set[Event | str] = set()
    expected = []
    for event in batch:
        expected.append(event in seen or event.id in seen)
        seen |= {event} if event.id is None else {event, event.id}
    assert repeated_rows(EventColumns.from_records(batch)).tolist() == expected


@settings(max_examples=200, deadline=None)
@given(st.lists(few, max_size=40), st.integers(1, 6))
def test_fast_actors_are_those_of_a_slow_count(batch: list[Event], limit: int) -> None:
    batch = sorted(batch, key=lambda event: event.ts)
    times: dict[tuple[str, str], list[int]] = defaultdict(list)
    keys = [("user", event.user) if event.user else ("session", event.session) for event in batch]
    for key, event in zip(keys, batch, strict=True):
        times[key].append(event.ts)
    fast = {key for key, mine in times.items()
            if any(sum(start <= other < start + 60_000 for other in mine) > limit for start in mine)}
    mask, count = fast_rows(EventColumns.from_records(batch), limit)
    assert count == len(fast)
    assert mask.tolist() == [key in fast for key in keys]


@settings(max_examples=100, deadline=None)
@given(st.lists(few, min_size=1, max_size=30))
def test_cleaning_what_is_clean_changes_nothing(batch: list[Event]) -> None:
    chosen = DataSettings(fold_case=True, bots="drop", bot_rate=3)
    once, _ = clean(EventColumns.from_records(batch), chosen, None)
    twice, findings = clean(once, chosen, None)
    assert twice.records() == once.records()
    # without the bots of the first pass other values may lie outside the fences
    assert {finding.name for finding in findings if finding.action} <= {"rest", "rows", "outliers"}


@given(st.lists(st.none() | small, max_size=20), st.integers(0, 20), st.integers(0, 20))
def test_compacting_keeps_the_texts_and_orders_names_by_appearance(
    column: list[str | None], start: int, stop: int
) -> None:
    batch = [Event(item="i", user=text, ts=0) for text in column]
    part = EventColumns.from_records(batch).slice(start, stop).user
    compacted = compact(part)
    assert compacted.texts() == part.texts()
    assert compacted.names == list(dict.fromkeys(text for text in part.texts() if text is not None))
    assert compacted.codes.dtype == np.int32

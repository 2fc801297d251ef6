import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from everbrook.events.columns import EventColumns
from everbrook.events.log_intake import check_events
from everbrook.events.records import Event, ItemChange, UserChange
from everbrook.events.sqlite_log import SqliteLog

texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
scalars = st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), texts)
events = st.builds(
    Event,
    item=texts,
    user=texts,
    kind=st.sampled_from(["view", "buy"]),
    ts=st.integers(0, 10**13),
    id=st.none() | st.sampled_from("abcdefgh"),
    value=st.none() | st.floats(width=32, min_value=-(2.0**99), max_value=2.0**99),
    session=st.none() | texts,
    scenario=st.none() | texts,
    request=st.none() | texts,
    position=st.none() | st.integers(0, 2**31 - 1),
    context=st.none() | st.dictionaries(texts, scalars, min_size=1, max_size=3),
)
changes = st.builds(ItemChange, id=texts, title=texts | st.none()) | st.builds(
    UserChange, id=texts, properties=st.dictionaries(texts, scalars)
)
steps = st.one_of(
    st.tuples(st.just("records"), st.lists(events | changes, max_size=6)),
    st.tuples(st.just("columns"), st.lists(events, max_size=6)),
    st.tuples(st.just("submit"), st.lists(st.lists(events | changes, max_size=3), max_size=4)),
    st.tuples(st.just("seal"), st.none()),
    st.tuples(st.just("reopen"), st.none()),
)


def told(log, start=0, stop=None):
    entries = []
    for run in log.runs(start, stop, limit=5):
        records = run.events.records() if run.events is not None else run.records
        entries += zip(run.offsets.tolist(), records, strict=True)
    return entries


def keep(model, records):
    """The slow, obvious log: a list, and a look through all of it for every id."""
    for record in records:
        id_ = record.id if isinstance(record, Event) else None
        if id_ is None or all(not isinstance(other, Event) or other.id != id_ for other in model):
            model.append(record)


def apply(log, model, action, payload):
    if action == "records":
        log.append(payload)
        keep(model, payload)
    elif action == "columns":
        log.append_columns(EventColumns.from_records(payload))
        keep(model, payload)
    elif action == "submit":
        for future in [log.submit(batch) for batch in payload]:
            future.result()
        keep(model, [record for batch in payload for record in batch])
    elif action == "seal":
        log.seal()


@settings(max_examples=40, deadline=None)
@given(st.lists(steps, max_size=8), st.integers(0, 30), st.integers(0, 30))
def test_any_interleaving_of_writes_reads_as_a_list_would(actions, start, stop):
    model = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data"
        log = SqliteLog.open(path)
        try:
            for action, payload in actions:
                if action == "reopen":
                    log.close()
                    log = SqliteLog.open(path)
                apply(log, model, action, payload)
                assert log.end == len(model)
            assert told(log) == list(enumerate(model))
            assert told(log, start, stop) == list(enumerate(model))[start:stop]
            assert log.read_events().records() == [record for record in model if isinstance(record, Event)]
        finally:
            log.close()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(events, max_size=6), max_size=5), st.randoms(use_true_random=False))
def test_a_replay_of_events_with_ids_changes_nothing_the_second_time(batches, random):
    with tempfile.TemporaryDirectory() as folder, SqliteLog.open(Path(folder) / "data") as log:
        batches = [[event for event in batch if event.id is not None] for batch in batches]
        for batch in batches:
            log.append(batch) if random.random() < 0.5 else log.append_columns(EventColumns.from_records(batch))
        once = told(log)
        for batch in batches:
            assert log.append(batch).accepted == 0
            assert log.append_columns(EventColumns.from_records(batch)).accepted == 0
        assert told(log) == once


@settings(max_examples=40, deadline=None)
@given(st.lists(events, max_size=12), st.data())
def test_columns_are_the_records_however_they_are_cut(records, data):
    columns = EventColumns.from_records(records)
    assert columns.records() == records
    assert EventColumns.from_table(columns.to_table()).records() == records
    cut = data.draw(st.integers(0, len(records)))
    parts = [columns.slice(0, cut).compact(), EventColumns.from_records(records[cut:])]
    assert EventColumns.concat(parts).records() == records
    rows = data.draw(st.lists(st.integers(0, len(records) - 1))) if records else []
    assert columns.take(np.array(rows, np.int64)).compact().records() == [records[row] for row in rows]


@settings(max_examples=40, deadline=None)
@given(st.lists(events, max_size=5))
def test_a_right_record_passes_the_checks_unchanged(records):
    assert check_events(records, 10**13, 0) == records

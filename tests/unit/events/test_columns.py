import numpy as np
import pyarrow as pa
import pytest

from everbrook.events.columns import Coded, EventColumns
from everbrook.events.records import Event

EVENTS = [
    Event(user="u1", item="i1", ts=5, id="e1", value=2.5, context={"b": 1, "a": "x"}),
    Event(session="s1", item="i2", ts=3, scenario="home", request="r", position=0),
    Event(user="u1", session="s1", item="i1", kind="buy", ts=9),
]


@pytest.mark.parametrize("size", [0, 1, 2, 3])
def test_columns_hold_what_the_records_hold(size):
    columns = EventColumns.from_records(EVENTS[:size])
    assert len(columns) == size
    assert columns.records() == EVENTS[:size]


def test_one_event_has_the_columns_that_many_have():
    for event in EVENTS:
        alone, among = EventColumns.from_records([event]), EventColumns.from_records([event] * 2).slice(0, 1)
        assert alone.records() == among.records() == [event]
        assert [getattr(alone, name) is None for name in alone.__slots__] == [
            getattr(among, name) is None for name in among.__slots__
        ]


def test_names_come_in_order_of_appearance():
    column = Coded.of(["b", None, "a", "b"])
    assert (column.codes.tolist(), column.names) == ([0, -1, 1, 0], ["b", "a"])
    assert column.texts() == ["b", None, "a", "b"]


def test_optional_columns_are_there_only_where_an_event_has_them():
    columns = EventColumns.from_records(EVENTS[2:] * 2)
    assert columns.id is columns.request is columns.position is columns.context is None


def test_joining_parts_gives_the_whole():
    whole = EventColumns.from_records(EVENTS)
    parts = [EventColumns.from_records([event]) for event in EVENTS]
    assert EventColumns.concat(parts).records() == EVENTS
    assert EventColumns.concat([whole.slice(0, 1), whole.slice(1, 3)]).user.names is whole.user.names
    assert EventColumns.concat([]).records() == []


def test_chosen_events_share_names_until_they_are_compacted():
    whole = EventColumns.from_records(EVENTS)
    chosen = whole.take(np.array([2, 0]))
    assert chosen.records() == [EVENTS[2], EVENTS[0]]
    assert chosen.item.names is whole.item.names
    assert chosen.compact().item.names == ["i1"]
    assert chosen.compact().records() == chosen.records()
    assert whole.take(np.array([False, True, False])).records() == EVENTS[1:2]


def test_a_table_keeps_everything_and_marks_what_is_missing_as_null():
    columns = EventColumns.from_records(EVENTS)
    table = columns.to_table()
    assert table.column("user").to_pylist() == ["u1", None, "u1"]
    assert table.column("value").to_pylist() == [2.5, None, None]
    assert table.column("position").to_pylist() == [None, 0, None]
    assert EventColumns.from_table(table).records() == EVENTS
    assert EventColumns.from_table(table, leave_out=["id"]).id is None


def test_a_table_of_plain_text_in_pieces_is_taken_too():
    table = EventColumns.from_records(EVENTS).to_table()
    plain = table.cast(pa.schema([(field.name, _plain(field.type)) for field in table.schema]))
    assert EventColumns.from_table(pa.concat_tables([plain, plain])).records() == EVENTS * 2


def test_an_empty_table_has_no_events():
    assert EventColumns.from_table(EventColumns.empty().to_table()).records() == []


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind

"""Files become events: formats, mappings, times, and what a broken file says."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from everbrook.errors import DataError, UnknownNameError
from everbrook.events.columns import EventColumns
from everbrook.events.importing import Source, open_source
from everbrook.events.mapping import Mapping, parse_mapping
from everbrook.events.records import Event
from everbrook.settings.data import DataSettings

KEEP_ALL = DataSettings(duplicates="keep", times="keep")
T0 = 1_700_000_000_000


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def loaded(path: Path, mapping: Mapping | None = None, settings: DataSettings | None = None) -> list[Event]:
    return open_source(path, mapping, settings).load().records()


def refusal(path: Path, mapping: Mapping | None = None) -> str:
    with pytest.raises(DataError) as caught:
        open_source(path, mapping).load()
    return caught.value.message.replace(str(path), path.name)


def test_csv_columns_with_common_names_need_no_mapping(tmp_path: Path) -> None:
    file = write(tmp_path / "e.csv", "visitorid,timestamp,event,itemid,price\n"
                 "7,1700000000,view,i1,\n8,1700000001,buy,i2,9.5\n")
    assert loaded(file) == [
        Event(user="7", item="i1", kind="view", ts=T0),
        Event(user="8", item="i2", kind="buy", ts=T0 + 1000, value=9.5),
    ]


def test_a_rating_column_makes_the_events_ratings(tmp_path: Path) -> None:
    file = write(tmp_path / "r.csv", "userId,movieId,rating,timestamp\n1,2,4.5,1700000000\n")
    assert loaded(file) == [Event(user="1", item="2", kind="rating", value=4.5, ts=T0)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_told_from_the_heading(tmp_path: Path, delimiter: str) -> None:
    file = write(tmp_path / "e.csv", "user,item,ts\nu,i,1700000000\n".replace(",", delimiter))
    assert loaded(file) == [Event(user="u", item="i", ts=T0)]


def test_quoted_cells_may_hold_marks_and_line_ends(tmp_path: Path) -> None:
    file = write(tmp_path / "e.csv", 'user,item,ts\n"a,b","x ""y""\nz",1700000000\nNA,null,1700000001\n')
    assert [(event.user, event.item) for event in loaded(file)] == [("a,b", 'x "y"\nz'), ("NA", "null")]


def test_ids_that_look_like_numbers_stay_text(tmp_path: Path) -> None:
    file = write(tmp_path / "e.csv", "user,item,ts\n007,1e3,1700000000\n7,1000,1700000001\n")
    assert [(event.user, event.item) for event in loaded(file)] == [("007", "1e3"), ("7", "1000")]


def test_packed_files_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    file = tmp_path / "e.csv.gz"
    file.write_bytes(gzip.compress("\ufeffuser,item,ts\nu,i,1700000000\n".encode()))
    assert loaded(file) == [Event(user="u", item="i", ts=T0)]


def test_json_lines_take_our_own_events_whole(tmp_path: Path) -> None:
    file = write(tmp_path / "e.jsonl", '{"user":"u","item":5,"ts":"2023-11-14T22:13:20Z","context":{"b":1,"a":"x"}}\n\n'
                 '{"session":"s","item":"j","ts":"2023-11-14T23:13:21+01:00","kind":"buy","id":"e1","value":2,"position":3}\n')
    assert loaded(file) == [
        Event(user="u", item="5", ts=T0, context={"a": "x", "b": 1}),
        Event(session="s", item="j", ts=T0 + 1000, kind="buy", id="e1", value=2.0, position=3),
    ]


def test_parquet_takes_numbers_dates_and_dictionaries(tmp_path: Path) -> None:
    table = pa.table({
        "uid": pa.array([1, None], pa.int64()), "session_id": pa.array(["s", "s"]).dictionary_encode(),
        "product_id": pa.array([5.0, 6.0]), "event_time": pa.array([T0, T0 + 1], pa.timestamp("ms", "UTC")),
    })
    pq.write_table(table, tmp_path / "e.parquet")
    assert loaded(tmp_path / "e.parquet") == [
        Event(user="1", session="s", item="5", ts=T0), Event(session="s", item="6", ts=T0 + 1),
    ]


@pytest.mark.parametrize(("cell", "unit"), [
    ("1700000000", "s"), ("1700000000.000", "s"), ("1700000000000", "ms"), ("1700000000000000", "us"),
    ("1700000000000000000", "ns"), ("2023-11-14T22:13:20Z", "text"), ("2023-11-14 22:13:20", "text"),
    ("2023-11-14 23:13:20.000+01:00", "text"), ("2023-11-14T14:13:20-0800", "text"),
])
def test_the_unit_of_times_is_told_by_their_size(tmp_path: Path, cell: str, unit: str) -> None:
    source = open_source(write(tmp_path / "e.csv", f"user,item,time\nu,i,{cell}\n"))
    assert source.read().time_unit == unit
    assert source.load().ts_ms.tolist() == [T0]


def test_a_bare_date_is_its_midnight(tmp_path: Path) -> None:
    assert loaded(write(tmp_path / "e.csv", "user,item,date\nu,i,2023-11-14\n"))[0].ts == 1_699_920_000_000


def test_dates_of_another_spelling_need_their_format(tmp_path: Path) -> None:
    file = write(tmp_path / "e.csv", "user,item,time\nu,i,14/11/2023 22:13\n")
    assert loaded(file, parse_mapping(time="%d/%m/%Y %H:%M"))[0].ts == T0 - 20_000
    assert refusal(file) == (
        "In 'e.csv' line 2: A time must be a number or RFC 3339 text; got '14/11/2023 22:13'. For another spelling "
        "give its format, such as '%d/%m/%Y %H:%M'."
    )


def test_events_come_in_time_order_and_ties_keep_the_files_order(tmp_path: Path) -> None:
    file = write(tmp_path / "e.csv", "user,item,ts\nu,c,1700000002\nu,a,1700000001\nu,b,1700000001\n")
    assert [event.item for event in loaded(file)] == ["a", "b", "c"]


def test_a_file_without_times_keeps_its_order_and_says_so(tmp_path: Path) -> None:
    file = write(tmp_path / "e.csv", "order,session,item\n2,s,b\n0,s,a\n10,s,c\n")
    source = open_source(file)
    assert [event.item for event in source.load().records()] == ["a", "b", "c"]
    assert source.notes == ("There are no times: made from the column 'order', 1 s apart from 2000-01-01.",)


def test_periods_get_spans_of_their_own(tmp_path: Path) -> None:
    file = write(tmp_path / "e.csv", "order,period,session,item\n0,3,s,a\n1,3,s,b\n2,4,s,c\n")
    times = open_source(file, settings=DataSettings(period_s=100.0)).load().ts_ms - 946_684_800_000
    assert times.tolist() == [0, 50_000, 100_000]


def test_the_order_of_lines_can_stand_in_for_times(tmp_path: Path) -> None:
    file = write(tmp_path / "e.csv", "user,item\nu,b\nu,a\n")
    assert "No column of 'e.csv' looks like a time" in refusal(file)
    assert [event.item for event in loaded(file, parse_mapping(["order='line'"]))] == ["b", "a"]


def test_a_mapping_names_columns_and_fixed_texts(tmp_path: Path) -> None:
    file = write(tmp_path / "e.csv", "who,what,when,where\nu,i,1700000000,home\n")
    toml = write(tmp_path / "map.toml", "user = 'who'\nitem = 'wrong'\nts = 'when'\n[constants]\nkind = 'click'\n")
    mapping = parse_mapping(["item=what", "scenario=where"], toml)
    assert loaded(file, mapping) == [Event(user="u", item="i", ts=T0, kind="click", scenario="home")]


def test_a_wrong_column_gets_the_nearest_right_one(tmp_path: Path) -> None:
    file = write(tmp_path / "e.csv", "user,item_code,ts\nu,i,1700000000\n")
    assert refusal(file, parse_mapping(["item=itm_code"])) == (
        "In 'e.csv': Unknown column 'itm_code'. Did you mean 'item_code'? Known: item_code, ts, user."
    )
    with pytest.raises(UnknownNameError, match=r"Unknown field 'usr'\. Did you mean 'user'\?"):
        parse_mapping(["usr=user"])
    with pytest.raises(DataError, match="A mapping must be 'field=column'; got 'user'"):
        parse_mapping(["user"])


def test_kept_columns_become_the_context(tmp_path: Path) -> None:
    file = write(tmp_path / "e.csv", "user,item,ts,device,zip,app\n"
                 "u,i,1700000000,3,007,true\nu,j,1700000001,,008,false\n")
    contexts = [event.context for event in loaded(file, parse_mapping(keep=["device", "zip", "app"]))]
    assert contexts == [{"device": 3, "zip": "007", "app": True}, {"zip": "008", "app": False}]


def test_the_line_with_too_few_cells_is_named_and_nothing_is_kept(tmp_path: Path) -> None:
    lines = ["user,item,ts"] + [f"u,i{n},{1_700_000_000 + n}" for n in range(2, 2001)]
    lines[1041] = "u,i1042"
    source = open_source(write(tmp_path / "e.csv", "\n".join(lines)))
    with pytest.raises(DataError, match=r"line 1042 must have 3 cells; got 2\."):
        next(source.chunks())


def test_a_truncated_file_names_its_last_line(tmp_path: Path) -> None:
    cut = write(tmp_path / "e.csv", "user,item,ts\nu,i,1700000000\nu,")
    assert refusal(cut) == "In 'e.csv' line 3 must have 3 cells; got 2."
    found = refusal(write(tmp_path / "e.jsonl", '{"user":"u","item":"i","ts":1}\n{"user":"u","it'))
    assert found.startswith("In 'e.jsonl' line 2 must be one JSON object; ")
    pq.write_table(pa.table({"user": ["u"], "item": ["i"], "ts": [T0]}), tmp_path / "e.parquet")
    (tmp_path / "e.parquet").write_bytes((tmp_path / "e.parquet").read_bytes()[:-20])
    assert refusal(tmp_path / "e.parquet").startswith("'e.parquet' must be a whole Parquet file; ")


def test_a_quote_left_open_is_found_by_the_length_of_the_id(tmp_path: Path) -> None:
    rest = "".join(f"u,i{n},{1_700_000_000 + n}\n" for n in range(100))
    assert "line 2" in refusal(write(tmp_path / "e.csv", 'user,ts,item\nu,1700000000,"i\n' + rest))


@pytest.mark.parametrize("name", ["e.csv", "e.jsonl"])
def test_text_that_is_not_utf8_names_line_and_byte(tmp_path: Path, name: str) -> None:
    rows = {"e.csv": "user,item,ts\nu,i,1700000000\nu,Café,1700000001\n",
            "e.jsonl": '{"user":"u","item":"i","ts":1}\n{"user":"u","item":"j","ts":2}\n{"item":"Café","ts":3}\n'}
    (tmp_path / name).write_bytes(rows[name].encode("latin-1"))
    place = {"e.csv": 6, "e.jsonl": 13}[name]
    assert refusal(tmp_path / name) == (
        f"'{name}' must be UTF-8 text; line 3 has the byte 0xE9 at place {place}. Save the file as UTF-8."
    )


def test_a_cell_that_is_no_number_names_its_line(tmp_path: Path) -> None:
    file = write(tmp_path / "e.csv", "user,item,ts,value\nu,i,1700000000,NA\n\nu,j,1700000001,nine\n")
    assert refusal(file) == "In 'e.csv' line 4: 'value' must be a number; got 'nine'."


@pytest.mark.parametrize("name", ["e.csv", "e.jsonl"])
def test_an_empty_file_is_refused(tmp_path: Path, name: str) -> None:
    assert refusal(write(tmp_path / name, "")).startswith(f"'{name}' is empty; it must have one"[:24])
    assert refusal(write(tmp_path / "h.csv", "user,item,ts\n")) == (
        "'h.csv': there are no events. Nothing was imported."
    )


def test_what_does_not_exist_or_is_no_data_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "no.csv") == "'no.csv' does not exist."
    assert "holds none" in refusal(tmp_path)
    assert "must name the columns; got '1,2,3'" in refusal(write(tmp_path / "e.csv", "1,2,3\n4,5,6\n"))


def test_times_that_cannot_be_stop_an_import_with_the_line(tmp_path: Path) -> None:
    file = write(tmp_path / "e.csv", f"user,item,ts\nu,i,{T0}\nu,j,{T0 + 10**9}\n")
    with pytest.raises(DataError, match=r"line 3: 1 time is in the future, such as 2023-11-26"):
        open_source(file, now_ms=T0).load()
    found = refusal(file, parse_mapping(time="us"))
    assert "line 2: 2 times are before 1990" in found
    assert found.endswith("Give the unit of the times, or set data.times=drop to leave them out.")


def test_chunks_are_the_whole_and_share_its_names(tmp_path: Path) -> None:
    rows = "".join(f"u{n % 7},i{n % 11},{1_700_000_000 + n}\n" for n in range(100))
    source = open_source(write(tmp_path / "e.csv", "user,item,ts\n" + rows), settings=DataSettings(chunk_events=9))
    seen: list[tuple[int, int]] = []
    chunks = list(source.chunks(lambda done, total: seen.append((done, total))))
    assert [len(chunk) for chunk in chunks] == [9] * 11 + [1]
    assert EventColumns.concat(chunks).records() == source.load().records()
    assert all(chunk.item.names is chunks[0].item.names for chunk in chunks)  # so each name is looked up once
    assert seen[-1] == (100, 100)


def test_reading_reports_progress_up_to_the_total(tmp_path: Path) -> None:
    file = write(tmp_path / "e.csv", "user,item,ts\n" + "u,i,1700000000\n" * 100)
    seen: list[tuple[int, int]] = []
    source = open_source(file, settings=KEEP_ALL)
    assert source.total == file.stat().st_size
    source.load(lambda done, total: seen.append((done, total)))
    assert seen[-1] == (file.stat().st_size, file.stat().st_size)
    assert source.total == 100


def test_a_folder_gives_events_of_all_files_and_its_items(tmp_path: Path) -> None:
    write(tmp_path / "2.jsonl", '{"user":"u","item":"i","ts":1700000001}\n')
    write(tmp_path / "1.jsonl", '{"user":"u","item":"j","ts":1700000000,"value":2}\n')
    write(tmp_path / "items.csv", "id,title,categories,price\ni,Eye,a|b,3.5\nj,,,\n")
    write(tmp_path / "README.md", "hello")
    source: Source = open_source(tmp_path)
    assert [event.item for event in source.load().records()] == ["j", "i"]
    (changes,) = source.items()
    assert (changes[0].id, changes[0].title) == ("i", "Eye")
    assert changes[0].categories == ["a", "b"]
    assert changes[0].properties == {"price": 3.5}


def test_items_alone_are_no_events(tmp_path: Path) -> None:
    file = write(tmp_path / "catalogue.jsonl", '{"id":"i","title":"T","tags":["x"],"image":[0.5,1],"hidden":true}\n')
    source = open_source(file)
    assert len(source.load()) == 0
    (changes,) = source.items()
    assert changes[0].vectors == {"image": [0.5, 1.0]}
    assert changes[0].tags == ["x"]
    assert changes[0].hidden is True


def test_a_row_that_is_no_item_stops_before_the_first_item(tmp_path: Path) -> None:
    rows = "".join(f'{{"id":"i{n}","title":"T"}}\n' for n in range(3000))
    file = write(tmp_path / "items.jsonl", rows + '{"title":"nobody"}\n')
    with pytest.raises(DataError, match=r"row 3001 is no item: Object missing required field `id`"):
        next(open_source(file).items())


def test_a_mapping_that_is_given_is_needed_in_every_file(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "user,item,ts\nu,i,1700000000\n")
    write(tmp_path / "b.csv", "user,thing,ts\nu,i,1700000000\n")
    with pytest.raises(DataError, match="have different columns"):
        open_source(tmp_path)


def test_a_kind_that_is_missing_is_made_and_said(tmp_path: Path) -> None:
    source = open_source(write(tmp_path / "e.csv", "user,item,ts,kind\nu,i,1700000000,\nu,j,1700000000,buy\n"))
    assert [event.kind for event in source.load().records()] == ["view", "buy"]
    assert source.notes == ("Events without a kind: 1; they become 'view'.",)


def test_values_beyond_a_float_are_missing(tmp_path: Path) -> None:
    source = open_source(write(tmp_path / "e.csv", "user,item,ts,value\nu,i,1700000000,1e300\nu,j,1700000000,-inf\n"))
    assert np.isnan(source.load().value).all()

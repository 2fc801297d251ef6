import numpy as np
import pytest

from everbrook.errors import DataError, StorageError
from everbrook.events.columns import EventColumns
from everbrook.events.records import Event
from everbrook.events.segment_ids import candidates, hash_texts, sorted_hashes
from everbrook.events.segments import Segment, ids_in_segments, ids_path, write_segment

EVENTS = [Event(user=f"u{n % 3}", item=f"i{n}", ts=n, id=f"e{n}" if n % 2 else None) for n in range(40)]
COLUMNS = EventColumns.from_records(EVENTS)


def test_a_segment_gives_back_what_was_written(tmp_path):
    segment = Segment(tmp_path, write_segment(tmp_path / "00000001.arrow", COLUMNS))
    assert segment.columns().records() == EVENTS
    assert segment.offsets.tolist() == list(range(40))
    assert EventColumns.from_table(segment.table(5, 9)).records() == EVENTS[5:9]


def test_a_sealed_segment_knows_where_each_event_lies(tmp_path):
    offsets = np.arange(40) * 3 + 7
    entry = write_segment(tmp_path / "00000001.arrow", COLUMNS, offsets)
    assert (entry.first, entry.stop) == (7, 7 + 39 * 3 + 1)
    segment = Segment(tmp_path, entry)
    assert segment.offsets.tolist() == offsets.tolist()
    assert EventColumns.from_table(segment.table(8, 14)).records() == EVENTS[1:3]


def test_ids_are_found_among_those_written(tmp_path):
    segment = Segment(tmp_path, write_segment(tmp_path / "00000001.arrow", COLUMNS))
    assert ids_in_segments([segment], ["e1", "e2", "x", "e39", "e1"]) == {"e1", "e39"}


def test_ids_whose_hashes_are_equal_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.setattr("everbrook.events.segment_ids.hash_texts", lambda texts: np.zeros(len(texts), np.uint64))
    monkeypatch.setattr("everbrook.events.segments.hash_texts", lambda texts: np.zeros(len(texts), np.uint64))
    segment = Segment(tmp_path, write_segment(tmp_path / "00000001.arrow", COLUMNS))
    assert ids_in_segments([segment], ["e1", "e2", "e39"]) == {"e1", "e39"}


def test_a_hash_depends_on_the_text_alone():
    texts = ["", "a", "b", "ab", "ba", "é" * 200, "a\0", "\0a", "\0", "x" * 300, ""]
    together = hash_texts(texts)
    assert together.tolist() == [int(hash_texts([text])[0]) for text in texts]
    assert len(set(together.tolist())) == len(set(texts))


def test_hashes_of_many_texts_hardly_ever_meet():
    hashes, places = sorted_hashes([f"event-{n}" for n in range(100_000)])
    assert len(np.unique(hashes)) == 100_000
    assert candidates(hashes, hash_texts(["event-77", "no"])) == [(0, *_range(places, 77))]


@pytest.mark.parametrize("which", ["columns", "ids"])
def test_a_damaged_file_is_named(tmp_path, which):
    path = tmp_path / "00000001.arrow"
    entry = write_segment(path, COLUMNS)
    path = path if which == "columns" else ids_path(path)
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.write_bytes(body)
    with pytest.raises(DataError) as raised:
        ids_in_segments([Segment(tmp_path, entry)], ["e1"]) if which == "ids" else Segment(tmp_path, entry).columns()
    assert f"The log's segment '{path}' must be as it was written" in raised.value.message


def test_a_truncated_or_missing_file_is_named(tmp_path):
    path = tmp_path / "00000001.arrow"
    entry = write_segment(path, COLUMNS)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(DataError, match="must be as it was written"):
        Segment(tmp_path, entry).columns()
    path.write_bytes(b"")
    with pytest.raises(DataError, match="must be as it was written"):
        Segment(tmp_path, entry).columns()
    path.unlink()
    with pytest.raises(DataError) as raised:
        Segment(tmp_path, entry).columns()
    assert raised.value.message == f"The log's segment '{path}' must be there; it is missing. Restore it from a backup."


def test_a_file_is_never_written_over(tmp_path):
    entry = write_segment(tmp_path / "00000001.arrow", COLUMNS)
    with pytest.raises(StorageError, match="File exists"):
        write_segment(tmp_path / "00000001.arrow", COLUMNS)
    assert Segment(tmp_path, entry).columns().records() == EVENTS


def _range(places, position):
    place = int(np.flatnonzero(places == position)[0])
    return place, place + 1

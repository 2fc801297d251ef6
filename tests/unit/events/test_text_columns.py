"""Text columns of any coding come out the same: written out, as dictionaries, or a dictionary that was given up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from everbrook.errors import DataError
from everbrook.events.formats import _written_out
from everbrook.events.importing import open_source
from everbrook.state import State


def table_of(rows: int) -> pa.Table:
    rng = np.random.default_rng(3)
    users = [f"a rather long name of a user, number {number}" for number in rng.integers(0, rows, rows).tolist()]
    items = [f"é{number}" for number in (rng.zipf(1.5, rows) % 99).tolist()]
    return pa.table({"user": users, "item": items, "ts_ms": np.arange(rows) + 1_600_000_000_000})


@pytest.mark.parametrize("group_rows", [60_000, 7_000])
def test_a_dictionary_that_was_given_up_changes_nothing(tmp_path: Path, group_rows: int) -> None:
    table = table_of(60_000)
    path = tmp_path / "events.parquet"
    pq.write_table(table, path, row_group_size=group_rows)
    columns = open_source(path).load()
    assert _written_out(pq.ParquetFile(path).metadata) == ({"user"} if group_rows == 60_000 else set())
    assert columns.user.texts() == table.column("user").to_pylist()
    assert columns.item.texts() == table.column("item").to_pylist()
    assert columns.user.packed is not None
    assert columns.user.packed.names() == columns.user.names == list(dict.fromkeys(columns.user.texts()))


def test_names_as_bytes_and_as_strings_fold_to_the_same_state(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    pq.write_table(table_of(2_000), path)
    columns = open_source(path).load()
    by_bytes, by_strings = State(), State()
    for start in range(0, len(columns), 300):
        part = columns.slice(start, start + 300)
        by_bytes.fold(part)
        by_strings.fold(type(part).from_records(part.records()))
    left, right = by_bytes.arrays(), by_strings.arrays()
    assert left.keys() == right.keys()
    assert all(np.array_equal(left[name], right[name], equal_nan=left[name].dtype.kind == "f") for name in left)


def test_a_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    raw = pa.array([b"good", b"b\xffd"], pa.binary())
    text = pa.Array.from_buffers(pa.string(), 2, raw.buffers())
    pq.write_table(pa.table({"user": ["u", "u"], "item": text, "ts_ms": [1_600_000_000_000, 1_600_000_000_001]}), path)
    with pytest.raises(DataError, match=r"^Texts must be UTF-8; got b'b\\xffd'\.$"):
        open_source(path).load()

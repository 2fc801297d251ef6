"""The real streams that benchmarks run on, as columns in time order, and how their figures are printed."""

from __future__ import annotations

import functools
import json
import os
import platform
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from everbrook.events.columns import Coded, EventColumns
from everbrook.events.importing import open_source
from everbrook.events.records import ItemChange

WEEK_MS = 7 * 86_400_000
DAY_MS = 86_400_000
FIRST_MS = 1_700_000_000_000  # where the made times of a stream without times begin


def data_folder() -> Path:
    """Where the real data lies."""
    return Path(os.environ.get("EVERBROOK_DATA") or Path(__file__).parents[2] / "shared" / "data")


def news(scenario: str | None = "referrer") -> EventColumns:
    """Clicks of a news site, eight days; the referrer is the scenario unless None is asked for."""
    return _columns(pq.read_table(data_folder() / "news-clicks" / "first-8-days.parquet"), scenario)


def articles() -> EventColumns:
    """Readers of an article platform; every event, as published."""
    return _columns(pq.read_table(data_folder() / "articles-multi-event" / "events.parquet"), None)


def _columns(table: pa.Table, scenario: str | None) -> EventColumns:
    size = table.num_rows
    columns = EventColumns(
        ts_ms=table["ts_ms"].to_numpy(), user=_coded(table["user"]), session=_coded(table["session"]),
        item=_coded(table["item"]), kind=_coded(table["kind"]),
        scenario=Coded.missing(size) if scenario is None else _coded(table[scenario].cast("string")),
        value=np.full(size, np.nan, dtype=np.float32),
    )  # fmt: skip
    return columns.take(np.argsort(columns.ts_ms, kind="stable"))


def sessions() -> tuple[EventColumns, np.ndarray]:
    """Shop sessions in 17 weekly periods, and (B,) the period of each event; order is real, times are spread evenly."""
    table = pq.read_table(data_folder() / "sessions-17-weeks" / "events.parquet")
    period = table["period"].to_numpy().astype(np.int64)
    ts_ms = np.zeros(len(period), dtype=np.int64)
    for week in np.unique(period):
        at = np.flatnonzero(period == week)
        ts_ms[at] = FIRST_MS + week * WEEK_MS + np.arange(len(at)) * WEEK_MS // len(at)
    blank = Coded.missing(len(period))
    return EventColumns(
        ts_ms=ts_ms, user=blank, session=_coded(table["session"]), item=_coded(table["item"]),
        kind=Coded(np.zeros(len(period), dtype=np.int32), ["view"]), scenario=blank,
        value=np.full(len(period), np.nan, dtype=np.float32),
    ), period  # fmt: skip


def movielens() -> tuple[EventColumns, list[ItemChange]]:
    """MovieLens latest-small as the importer gives it."""
    source = open_source(data_folder() / "ml-latest-small")
    columns = source.load()
    return columns, [item for part in source.items() for item in part]


def _coded(column: pa.ChunkedArray) -> Coded:
    encoded = column.combine_chunks().dictionary_encode()
    if hasattr(encoded, "combine_chunks"):
        encoded = encoded.combine_chunks()
    return Coded(encoded.indices.to_numpy(zero_copy_only=False).astype(np.int32), encoded.dictionary.to_pylist())


@functools.cache
def commit() -> str:
    """The commit that is measured, with a mark where files have changed since; asked once, when a run begins."""
    here = Path(__file__).parent
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=here, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"


def tell(name: str, value: float, unit: str, **more: object) -> None:
    """Print one figure as a JSON line."""
    line = {"name": name, "value": round(float(value), 6), "unit": unit, "commit": commit(), "machine": machine()}
    print(json.dumps(line | more), flush=True)


def machine() -> str:
    """What it ran on."""
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


commit()

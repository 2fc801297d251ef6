"""How much memory the log's pages may take (`log.cache_mb`)."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from everbrook.events import sqlite_log
from everbrook.events.log_database import connect
from everbrook.settings.log import LogSettings


@pytest.mark.parametrize("cache_mb", [2, 3, 64])
def test_all_connections_together_keep_within_the_memory_for_pages(
    cache_mb: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[sqlite3.Connection] = []

    def watched(folder: Path, cache_mb: int, write: bool) -> sqlite3.Connection:
        opened.append(connect(folder, cache_mb, write))
        return opened[-1]

    monkeypatch.setattr(sqlite_log, "connect", watched)
    with sqlite_log.SqliteLog.open(tmp_path / "data", LogSettings(cache_mb=cache_mb)):
        kib = [-database.execute("PRAGMA cache_size").fetchone()[0] for database in opened]
    assert len(kib) == 2
    assert all(size >= 1024 for size in kib)
    assert sum(kib) == 1024 * cache_mb

"""What was learned from a log is used with that log alone, up to where both are the same."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from everbrook import Recommender
from everbrook.engine.checkpoint_log import tie_to_log
from everbrook.engine.learner_journal import SKIP, Journal
from everbrook.events.log_database import connect
from everbrook.events.log_lost import LEARNED_FROM
from everbrook.events.log_openings import Opening, held_in_common
from everbrook.settings import load_settings

SETTINGS = load_settings(
    environment={}, assignments=["learner.mode=off", 'mixture.experts=["popularity", "transitions"]']
).settings


def _add(path: Path, item: str, count: int, keep: bool = True) -> None:
    """Some events on one item, then a checkpoint and an end; or as killed, without either."""
    engine = Recommender.open(path, SETTINGS)
    engine.ingest([{"user": f"u{n}", "item": item} for n in range(count)])
    if not keep:
        engine.forgo_checkpoint()
    engine.close()


def _items(path: Path) -> set[str]:
    """All items that are known."""
    with Recommender.open(path, SETTINGS) as engine:
        state = engine._core.state
        return {state.items.id(row) for row in range(state.n_items)}


def _kept(path: Path) -> list[str]:
    return sorted(one.name for one in (path / "checkpoints").iterdir() if one.is_dir())


@pytest.fixture
def restored(tmp_path: Path) -> Iterator[Path]:
    """A directory whose log was put back to 40 events, after 30 more were learned that never happened in it."""
    data, backup = tmp_path / "data", tmp_path / "backup"
    _add(data, "common", 40)
    shutil.copytree(data, backup, ignore=shutil.ignore_patterns("checkpoints*"))
    _add(data, "never", 30)
    assert _kept(data)[-1] == f"{70:016d}"
    for file in data.glob("log.sqlite*"):
        file.unlink()
    shutil.copy(backup / "log.sqlite", data)
    return data


def test_a_checkpoint_beyond_a_log_that_was_put_back_goes_before_the_log_grows_past_it(
    restored: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _add(restored, "other", 50, keep=False)
    assert f"{70:016d}" not in _kept(restored)
    assert "as after a backup was put back" in caplog.text
    assert _items(restored) == {"common", "other"}


def test_a_log_that_grew_elsewhere_takes_no_checkpoint_of_the_one_it_was_copied_from(
    restored: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(restored, elsewhere, ignore=shutil.ignore_patterns("checkpoints*"))
    _add(elsewhere, "other", 50)  # it ends at 90, past the checkpoint at 70
    shutil.copy(elsewhere / "log.sqlite", restored)
    assert _items(restored) == {"common", "other"}
    assert f"{70:016d}" not in _kept(restored)


def test_another_log_takes_no_checkpoint_at_all(restored: Path, tmp_path: Path) -> None:
    _add(tmp_path / "another", "another", 100)
    shutil.copy(tmp_path / "another" / "log.sqlite", restored)
    assert _items(restored) == {"another"}


def test_checkpoints_up_to_where_the_logs_part_stay(restored: Path) -> None:
    assert f"{40:016d}" in _kept(restored)
    with Recommender.open(restored, SETTINGS) as engine:
        assert engine._kept_events == 40  # it was loaded
    assert _kept(restored) == [f"{40:016d}"]


def test_checkpoints_and_logs_of_earlier_versions_are_used_as_they_are(tmp_path: Path) -> None:
    _add(tmp_path, "common", 40)
    (tmp_path / LEARNED_FROM).unlink()
    with closing(connect(tmp_path, 1, write=True)) as database:
        database.execute("DROP TABLE openings")
    with Recommender.open(tmp_path, SETTINGS) as engine:
        assert engine._kept_events == 40
    _add(tmp_path, "common", 5)
    assert _kept(tmp_path)[-1] == f"{45:016d}"


def test_what_the_learner_kept_beyond_the_log_goes_too(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    for offset in (40, 70):
        (folder / f"learner-{offset:016d}").mkdir(parents=True)
    journal = Journal(folder / "learner.journal")
    for entry in (20, ("pause", {}), 40, ("resume", {}), (SKIP, {"stop": 60}), 70, ("rollback", {})):
        journal.append(entry)
    journal.close()
    tie_to_log(tmp_path, [Opening("a", 0), Opening("b", 45)], 45)
    assert _kept(tmp_path) == [f"learner-{40:016d}"]
    assert Journal.peek(folder / "learner.journal") == (0, [20, ("pause", {}), 40, ("resume", {})])
    tie_to_log(tmp_path, [Opening("c", 0), Opening("d", 99)], 99)  # another log altogether
    assert _kept(tmp_path) == []
    assert not (folder / "learner.journal").exists()


def test_damage_of_the_note_leaves_checkpoints_to_the_end_of_the_log(tmp_path: Path) -> None:
    _add(tmp_path, "common", 40)
    (tmp_path / LEARNED_FROM).write_bytes(b'[{"na')
    with Recommender.open(tmp_path, SETTINGS) as engine:
        assert engine._kept_events == 40


def test_logs_are_the_same_up_to_where_either_was_opened_alone() -> None:
    a, b, c, x = Opening("a", 0), Opening("b", 10), Opening("c", 20), Opening("x", 15)
    assert held_in_common([a, b, c], [a, b]) == 20
    assert held_in_common([a, b, x], [a, b, c]) == 15
    assert held_in_common([a, c], [a, b]) == 10
    assert held_in_common([a, b], [x]) is None

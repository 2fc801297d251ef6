"""The journal: entries stay in order, half of one is none, and what is dropped is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from everbrook.engine.learner_journal import Entry, Journal

ENTRIES: list[Entry] = [7, 12, ("rollback", {"to": "v3", "ts_ms": 5}), 19]


def filled(path: Path) -> Journal:
    journal = Journal(path)
    journal.restart(10, "basis")
    for entry in ENTRIES:
        journal.append(entry)
    return journal


def test_entries_are_there_again_by_their_numbers(tmp_path: Path) -> None:
    written = filled(tmp_path / "journal")
    read = Journal(tmp_path / "journal")
    assert (read.id, read.first, read.stop, read.basis) == (written.id, 10, 14, "basis")
    assert read.after(10) == ENTRIES
    assert read.after(12) == ENTRIES[2:]
    assert read.after(14) == []
    assert read.after(9) is None
    assert read.after(15) is None


def test_entries_go_on_after_half_a_line(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    filled(path).close()
    whole = path.read_bytes()
    for cut in range(1, 13):
        path.write_bytes(whole[:-cut])
        journal = Journal(path)
        assert journal.after(10) == ENTRIES[:-1]
        assert journal.damage is None
        journal.append(23)
        journal.close()
        assert Journal(path).after(10) == [*ENTRIES[:-1], 23]


def test_damage_in_the_middle_is_named_and_what_follows_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    filled(path).close()
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(b"12", b"13")
    path.write_bytes(b"".join(lines))
    journal = Journal(path)
    assert journal.after(10) == [7]
    assert journal.damage == f"line 3 of '{path}' is damaged; it and what follows is left out"


def test_what_is_not_a_journal_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_bytes(b"something else\n")
    assert Journal(path).after(0) == []


def test_pruned_and_cut_back_entries_are_gone_and_the_others_keep_their_numbers(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = filled(path)
    journal.prune(12)
    journal.cut_back(13)
    journal.append(40)
    journal.sync()
    journal.close()
    read = Journal(path)
    assert read.after(11) is None
    assert read.after(12) == [ENTRIES[2], 40]
    assert read.id == journal.id


def test_one_that_begins_anew_is_another_one(tmp_path: Path) -> None:
    journal = filled(tmp_path / "journal")
    before = journal.id
    journal.restart(5, "other")
    assert journal.id != before
    assert (journal.first, journal.stop) == (5, 5)


@pytest.mark.parametrize("size", [0, 3])
def test_an_empty_or_tiny_file_begins_anew(tmp_path: Path, size: int) -> None:
    path = tmp_path / "journal"
    path.write_bytes(b"x" * size)
    assert Journal(path).stop == 0

"""The learner's journal: what it did beside reading the log, written before it is done, so that it can be done again.

Where the log is cut into portions depends on the clock, and commands come from people; both change what is learned.
A learner that was killed loads its checkpoint and does the journal's entries after it, and then is what it was.

The entries are lines of text: a CRC-32 and JSON, a number for a cut (records below this offset are learned together),
a list for a command. They reach the kernel before the model changes, which a killed process survives; the disk has
them before a checkpoint that counts them is put in place.
"""

from __future__ import annotations

import os
import uuid
import zlib
from pathlib import Path
from typing import Any

import msgspec

from everbrook.events.log_files import disk_errors, write_durably

FORMAT = 1

Command = tuple[str, dict[str, Any]]
Entry = int | Command


class _Head(msgspec.Struct, frozen=True):
    format: int
    id: str
    first: int  # number of the first entry
    basis: str


SKIP = "skip"
"""The command that stands for a portion that could not be learned: the records below `stop` are left out."""


class Journal:
    """Numbered entries, of which those before `first` are no longer there."""

    _file = -1

    def __init__(self, path: Path) -> None:
        """Open a journal, or begin one where there is none."""
        self._path = path
        self.damage: str | None = None  # what is wrong with the file that was found
        head, self._entries, size = self._read()
        if head is None or head.format != FORMAT:
            self.restart(0, "")
            return
        self.id, self.first, self.basis = head.id, head.first, head.basis
        self._open(size)

    @classmethod
    def look(cls, path: Path) -> str | None:
        """What is wrong with the journal in a file; None where nothing is, or there is none. Nothing is changed."""
        journal = cls.__new__(cls)
        journal._path, journal.damage = path, None
        head, _, _ = journal._read()
        if path.exists() and (head is None or head.format != FORMAT):
            return f"the first line of '{path}' is damaged; all of it is left out"
        return journal.damage

    @classmethod
    def peek(cls, path: Path) -> tuple[int, list[Entry]]:
        """The number of the first entry, and the entries, of the part of a file that is whole. Nothing is changed."""
        journal = cls.__new__(cls)
        journal._path, journal.damage = path, None
        head, entries, _ = journal._read()
        return (0, []) if head is None or head.format != FORMAT else (head.first, entries)

    @property
    def stop(self) -> int:
        """The number of the next entry."""
        return self.first + len(self._entries)

    def after(self, number: int) -> list[Entry] | None:
        """The entries from a number on; None where they are no longer there, or not yet."""
        if not self.first <= number <= self.stop:
            return None
        return self._entries[number - self.first :]

    def append(self, entry: Entry) -> None:
        """Write an entry. It is to be done after this, not before."""
        with disk_errors(self._path):
            os.write(self._file, _line(entry))
        self._entries.append(entry)

    def replace(self, number: int, entry: Entry) -> None:
        """Put another entry in the place of one."""
        at = number - self.first
        self._rewrite(self.id, self.first, [*self._entries[:at], entry, *self._entries[at + 1 :]])

    def cut_back(self, stop: int) -> None:
        """Drop the entries from number `stop` on, which can no longer be done."""
        self._rewrite(self.id, self.first, self._entries[: stop - self.first])

    def restart(self, number: int, basis: str) -> None:
        """Begin anew.

        Args:
            number: of the first entry that will come.
            basis: names what learning begins from where there is no checkpoint.
        """
        self.basis = basis
        self._rewrite(uuid.uuid4().hex[:16], number, [])

    def prune(self, number: int) -> None:
        """Drop the entries before a number."""
        if number > self.first:
            self._rewrite(self.id, number, self._entries[number - self.first :])

    def sync(self) -> None:
        """Make all entries durable."""
        with disk_errors(self._path):
            os.fsync(self._file)

    def close(self) -> None:
        """Let go of the file; a second time does nothing."""
        if self._file >= 0:
            os.close(self._file)
        self._file = -1

    def _open(self, size_bytes: int) -> None:
        self.close()
        with disk_errors(self._path):
            os.truncate(self._path, size_bytes)  # half a line at the end goes
            self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND)

    def _rewrite(self, id_: str, first: int, entries: list[Entry]) -> None:
        body = _line(_Head(FORMAT, id_, first, self.basis)) + b"".join(map(_line, entries))
        self.close()
        with disk_errors(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_durably(self._path, body)
        self.id, self.first, self._entries = id_, first, list(entries)
        self._open(len(body))

    def _read(self) -> tuple[_Head | None, list[Entry], int]:
        """Head, entries and size of the part that is whole."""
        if not self._path.exists():
            return None, [], 0
        with disk_errors(self._path):
            lines = self._path.read_bytes().splitlines(keepends=True)
        head: _Head | None = None
        entries: list[Entry] = []
        size = 0
        for number, line in enumerate(lines):
            body = _body(line)
            try:
                if number == 0:
                    head = msgspec.json.decode(body, type=_Head)
                else:
                    entries.append(msgspec.json.decode(body, type=Entry))
            except msgspec.MsgspecError:
                if number < len(lines) - 1:  # a last line that is cut off was not done either
                    self.damage = f"line {number + 1} of '{self._path}' is damaged; it and what follows is left out"
                break
            size += len(line)
        return head, entries, size


def _line(entry: Any) -> bytes:
    body = msgspec.json.encode(entry)
    return b"%08x %b\n" % (zlib.crc32(body), body)


def _body(line: bytes) -> bytes:
    """The JSON of a whole line; nothing of one that is not."""
    body = line[9:-1]
    return body if line.endswith(b"\n") and line[:9] == b"%08x " % zlib.crc32(body) else b""

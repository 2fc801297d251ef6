"""What is known of each item besides events: its record, and which items may be shown when."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
from msgspec import UNSET

from everbrook.events.records import ItemChange, merge
from everbrook.state.labels import Labels
from everbrook.state.property_columns import PropertyColumns
from everbrook.state.text_column import TextColumn
from everbrook.state.texts import pack, unpack
from everbrook.types import I32, I64, Arrays, Bool

NEVER_MS = int(np.iinfo(np.int64).max)


class Catalogue:
    """Item records by row, and masks over all items. An item without a record may be shown."""

    def __init__(self) -> None:
        self.version = 0
        """Goes up with every change of a record."""
        self._clear()

    def _clear(self) -> None:
        self.categories, self.tags = Labels("category"), Labels("tag")
        self.properties, self.titles = PropertyColumns(), TextColumn()
        self._records: dict[int, ItemChange] = {}
        self._gone: set[int] = set()
        self._expires_ms: I64 = np.full(64, NEVER_MS, np.int64)
        self._hidden: Bool = np.zeros(64, np.bool_)
        self._since_ms: I64 = np.full(64, NEVER_MS, np.int64)  # as the record says; NEVER_MS where it does not
        self._dirty = True
        self._visible: Bool = np.zeros(0, np.bool_)
        self._filled = 0
        self._valid_ms = (0, 0)  # the mask holds from .. until, exclusive

    def __len__(self) -> int:
        return len(self._records)

    def put(self, row: int, change: ItemChange) -> ItemChange:
        """Change a record: fields left out stay as they are, null removes.

        Returns:
            The whole record after the change; what is not known is unset.
        """
        self._gone.discard(row)
        before = self._records.get(row)
        whole = merge(before or ItemChange(id=change.id), change)
        self._records[row] = whole
        self._set(row, before, whole)
        return whole

    def remove(self, row: int) -> None:
        """Drop a record, and show the row no more until it is put again."""
        before = self._records.pop(row, None)
        self._gone.add(row)
        self._set(row, before, ItemChange(id="-", hidden=True))

    def _set(self, row: int, before: ItemChange | None, whole: ItemChange) -> None:
        self.version += 1
        if row >= len(self._hidden):
            self._make_room(row + 1)
        expires = NEVER_MS if whole.expires is UNSET else int(whole.expires)  # type: ignore[arg-type]
        hidden = whole.hidden is True
        if expires != self._expires_ms[row] or hidden != self._hidden[row]:
            self._dirty = True
            self._expires_ms[row], self._hidden[row] = expires, hidden
        self._since_ms[row] = NEVER_MS if whole.ts is UNSET else int(whole.ts)  # type: ignore[arg-type]
        self.categories.put(row, whole.categories or ())
        if whole.tags or (before is not None and before.tags):
            self.tags.put(row, whole.tags or ())
        known = before.properties if before is not None else UNSET
        if whole.properties is not known:
            self.properties.put(row, known or {}, whole.properties or {})
        if whole.title or (before is not None and before.title):
            self.titles.put(row, whole.title or None)

    def _make_room(self, rows: int) -> None:
        more = max(rows, int(1.5 * len(self._hidden))) - len(self._hidden)
        self._expires_ms = np.concatenate([self._expires_ms, np.full(more, NEVER_MS, np.int64)])
        self._hidden = np.concatenate([self._hidden, np.zeros(more, np.bool_)])
        self._since_ms = np.concatenate([self._since_ms, np.full(more, NEVER_MS, np.int64)])

    def get(self, row: int) -> ItemChange | None:
        """The record of an item; None where nothing but events is known of it."""
        return self._records.get(row)

    def rows(self) -> list[int]:
        """The rows that have a record, in order."""
        return sorted(self._records)

    def texts(self, row: int) -> str:
        """Title and text of an item, empty where it has none."""
        whole = self._records.get(row)
        return "" if whole is None else "\n".join(part for part in (whole.title, whole.text) if part)

    def title(self, row: int) -> str | None:
        """The title of an item; None where it has none."""
        whole = self._records.get(row)
        return whole.title or None if whole is not None else None

    def titles_of(self, rows: Sequence[int]) -> list[str | None]:
        """The titles of items; None where one has none."""
        if not self._records:
            return [None] * len(rows)
        return [whole.title or None if (whole := self._records.get(row)) is not None else None for row in rows]

    def visible(self, now_ms: int, n_items: int) -> Bool:
        """(N,) which items may be shown at a moment; the caller must not write into it.

        The same array comes back until a record changes or an item expires.
        """
        if self._dirty or not self._valid_ms[0] <= now_ms < self._valid_ms[1]:
            self._remask(now_ms, n_items)
        elif n_items > self._filled:
            self._extend(n_items)
        return self._visible[:n_items]

    def _remask(self, now_ms: int, n_items: int) -> None:
        self._visible = np.ones(int(1.25 * n_items) + 64, np.bool_)
        known = min(len(self._hidden), len(self._visible))
        expires = self._expires_ms[:known]
        self._visible[:known] = (expires > now_ms) & ~self._hidden[:known]
        past, later = expires[expires <= now_ms], expires[expires > now_ms]
        self._valid_ms = (
            int(past.max()) if len(past) else -NEVER_MS,
            int(later.min()) if len(later) else NEVER_MS,
        )
        self._filled = len(self._visible)
        self._dirty = False

    def _extend(self, n_items: int) -> None:
        """New items have no record yet (else the mask would be dirty), so they may be shown."""
        longer = np.ones(int(1.25 * n_items) + 64, np.bool_)
        longer[: self._filled] = self._visible[: self._filled]
        self._visible, self._filled = longer, len(longer)

    def in_categories(self, names: Iterable[str], n_items: int) -> Bool:
        """(N,) which items are in one of the categories; the caller must not write into it.

        Raises:
            UnknownNameError: no item ever was in one of them.
        """
        return self.categories.carried(names, n_items)

    def born_ms(self, n_items: int, first_ms: I64) -> I64:
        """(N,) since when each item exists: as its record says, else since its first event.

        Args:
            n_items: how many item rows there are.
            first_ms: (N,) time of each item's first event.
        """
        born = first_ms[:n_items].copy()
        known = self._since_ms[:n_items]
        np.copyto(born[: len(known)], known, where=known != NEVER_MS)
        return born

    def born_ms_of(self, rows: I32, first_ms: I64) -> I64:
        """The same for few rows.

        Args:
            rows: (M,) items.
            first_ms: (N,) time of each item's first event.
        """
        known = np.minimum(rows, len(self._since_ms) - 1)
        since = np.where(rows < len(self._since_ms), self._since_ms[known], NEVER_MS)
        return np.asarray(np.where(since == NEVER_MS, first_ms[rows], since), dtype=np.int64)

    def hidden(self, n_items: int) -> Bool:
        """(N,) which items are kept out of lists; the caller must not write into it."""
        if n_items <= len(self._hidden):
            return self._hidden[:n_items]
        return np.concatenate([self._hidden, np.zeros(n_items - len(self._hidden), np.bool_)])

    def is_gone(self, row: int) -> bool:
        """Whether an item was deleted, and not told of again."""
        return row in self._gone

    @property
    def gone(self) -> list[int]:
        """The rows of deleted items that were not told of again."""
        return sorted(self._gone)

    def arrays(self) -> Arrays:
        """All records, packed."""
        rows = self.rows()
        packed = pack(msgspec.json.encode(self._records[row]) for row in rows)
        gone = np.array(sorted(self._gone), np.int32)
        names = pack(name.encode("utf-8", "surrogatepass") for name in self.categories.names.names())
        carried = pack(name.encode("utf-8", "surrogatepass") for name in self.properties.carried())
        return packed | {
            "rows": np.array(rows, np.int32), "gone": gone,
            "category_bytes": names["bytes"], "category_offsets": names["offsets"],
            "property_bytes": carried["bytes"], "property_offsets": carried["offsets"],
        }

    def load(self, arrays: Arrays) -> None:
        """Take over what `arrays` gave."""
        self._clear()
        self.categories.names.load({"bytes": arrays["category_bytes"], "offsets": arrays["category_offsets"]})
        if "property_bytes" in arrays:  # older checkpoints know only the properties that items have now
            carried = unpack({"bytes": arrays["property_bytes"], "offsets": arrays["property_offsets"]})
            self.properties.carry(name.decode("utf-8", "surrogatepass") for name in carried)
        decoder = msgspec.json.Decoder(ItemChange)
        for row, part in zip(arrays["rows"].tolist(), unpack(arrays), strict=True):
            whole = decoder.decode(part)
            self._records[row] = whole
            self._set(row, None, whole)
        for row in arrays["gone"].tolist():
            self.remove(row)

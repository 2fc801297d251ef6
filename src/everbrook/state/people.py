"""What callers told us of their users: properties by user row. What users did is in `histories`."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from everbrook.events.records import UserChange, merge
from everbrook.state.texts import pack, unpack
from everbrook.types import Arrays


class People:
    """User records by row."""

    def __init__(self) -> None:
        self._records: dict[int, UserChange] = {}

    def __len__(self) -> int:
        return len(self._records)

    def put(self, row: int, change: UserChange) -> UserChange:
        """Change a record: fields left out stay as they are, null removes."""
        self._records[row] = merge(self._records.get(row) or UserChange(id=change.id), change)
        return self._records[row]

    def get(self, row: int) -> UserChange | None:
        """The record of a user; None where nobody told us anything."""
        return self._records.get(row)

    def properties(self, row: int) -> dict[str, Any]:
        """The properties of a user; none of an unknown one."""
        whole = self._records.get(row)
        return dict(whole.properties or {}) if whole is not None else {}

    def forget(self, row: int) -> bool:
        """Drop a record; whether there was one."""
        return self._records.pop(row, None) is not None

    def arrays(self) -> Arrays:
        """All records, packed."""
        rows = sorted(self._records)
        packed = pack(msgspec.json.encode(self._records[row]) for row in rows)
        return packed | {"rows": np.array(rows, np.int32)}

    def load(self, arrays: Arrays) -> None:
        """Take over what `arrays` gave."""
        decoder = msgspec.json.Decoder(UserChange)
        self._records = {
            row: decoder.decode(part) for row, part in zip(arrays["rows"].tolist(), unpack(arrays), strict=True)
        }

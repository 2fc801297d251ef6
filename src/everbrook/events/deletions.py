"""Which items an exported folder tells to be deleted: its deletions are a log's, some of which were taken back."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from everbrook.errors import DataError
from everbrook.events.records import Deletion, ItemChange

REST = "rest"
"""The folder, in an exported one, of what is neither event, item nor user, as JSON lines in every format."""


def deleted_items(folder: Path, items: Iterable[list[ItemChange]]) -> list[Deletion]:
    """The items that are deleted: an export's items are those that are known, so whoever is among them came back.

    Deletions of people have nothing to do: of these the log has no records.

    Args:
        folder: what was exported.
        items: the folder's; read only where there are deletions.

    Raises:
        DataError: a line is no deletion; it is named.
    """
    path = folder / REST / "deletions.jsonl"
    if not path.is_file():
        return []
    decoder = msgspec.json.Decoder(Deletion)
    found: dict[str, Deletion] = {}
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                deletion = decoder.decode(line)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise DataError(f"In '{path}' line {number} must be a deletion; {error}.") from None
            if deletion.what == "item":
                found[deletion.id] = deletion
    for some in items if found else ():
        for item in some:
            found.pop(item.id, None)
    return list(found.values())

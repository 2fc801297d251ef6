"""Files of users as user changes, row by row; told from files of items by their name, from events by their columns."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from everbrook.errors import DataError
from everbrook.events.formats import File
from everbrook.events.items import Row, json_object, number_or_text
from everbrook.events.mapping import GUESSES, plain
from everbrook.events.records import UserChange

USER_STEMS = ("users", "user", "customers", "customer", "people", "members", "accounts")
_IDS = ("id", *GUESSES["user"])


def is_user_file(file: File) -> bool:
    """Whether a file is called users (customers, people, …) and names one in each row, and no item."""
    if file.path.name.split(".")[0].lower() not in USER_STEMS:
        return False
    found = {plain(name) for name in file.names()}
    return bool(found & set(_IDS)) and not found & set(GUESSES["item"])


def read_users(file: File) -> Iterator[UserChange]:
    """Each row as a change of one user: 'properties' is an object of them, every other column is one.

    Raises:
        DataError: when a row has no id or a cell cannot be what its column says; it names the row.
    """
    names = file.names()
    by_plain = {plain(name): name for name in reversed(names)}
    own = next(by_plain[guess] for guess in _IDS if guess in by_plain)
    row_number = 0
    for batch, _ in file.batches(names):
        for row in batch.to_pylist():
            row_number += 1
            yield _change(row, own, f"'{file.path}' row {row_number}")


def _change(row: Row, own: str, place: str) -> UserChange:
    whole: Row = {}
    properties: Row = {}
    for name, cell in row.items():
        if cell is None or cell == "" or not name:
            continue
        if name == own:
            whole["id"] = str(cell)
        elif plain(name) == "properties":
            properties.update(json_object(cell, name, place))
        else:
            properties[name] = number_or_text(cell)
    if properties:
        whole["properties"] = properties
    try:
        return msgspec.convert(whole, UserChange)
    except msgspec.ValidationError as error:
        raise DataError(f"{place} is no user: {error}.") from None

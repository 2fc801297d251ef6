"""Files of items as item changes, row by row: items are few where events are many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from everbrook.errors import DataError
from everbrook.events.formats import File
from everbrook.events.log_intake import has_large_int, read_moment
from everbrook.events.mapping import plain
from everbrook.events.records import ItemChange

ITEM_GUESSES: dict[str, tuple[str, ...]] = {
    "id": ("id", "item", "itemid", "productid", "articleid", "movieid", "contentid", "videoid", "bookid", "asin", "sku",
           "parentasin"),
    "title": ("title", "name", "itemname", "productname", "headline"),
    "text": ("text", "description", "abstract", "body", "summary", "overview"),
    "categories": ("categories", "category", "genres", "genre"),
    "tags": ("tags", "keywords"),
    "properties": ("properties",),
    "vectors": ("vectors",),
    "ts": ("ts", "createdat", "publishedat", "published", "releasedate"),
    "expires": ("expires", "expiresat"),
    "hidden": ("hidden",),
}
"""Plain column names by field; every other column becomes a property, or a vector where it holds lists of numbers."""

Row = dict[str, Any]


def is_item_file(names: Sequence[str]) -> bool:
    """Whether columns describe items: an id and a title, categories or text, and nobody who acts."""
    found = {plain(name) for name in names}
    fields = {field for field, guesses in ITEM_GUESSES.items() if found & set(guesses)}
    acting = found & {"user", "userid", "visitorid", "uid", "session", "sessionid", "customerid"}
    described = fields & {"title", "categories", "text", "tags", "properties", "vectors"}
    return "id" in fields and bool(described) and not acting


def read_items(file: File) -> Iterator[ItemChange]:
    """Each row as a change of one item.

    Raises:
        DataError: when a row has no id or a cell cannot be what its column says; it names the row.
    """
    names = file.names()
    fields = item_fields(names)
    if "id" not in fields.values():
        raise DataError(f"No column of '{file.path}' looks like an item's id. Columns: {', '.join(names)}.")
    row_number = 0
    for batch, _ in file.batches(names):
        for row in batch.to_pylist():
            row_number += 1
            yield _change(row, fields, f"'{file.path}' row {row_number}")


def item_fields(names: Sequence[str]) -> dict[str, str]:
    """The field of each column that has one."""
    fields: dict[str, str] = {}
    for field, guesses in ITEM_GUESSES.items():
        by_plain = {plain(name): name for name in reversed(names) if name not in fields}
        found = next((by_plain[guess] for guess in guesses if guess in by_plain), None)
        if found is not None:
            fields[found] = field
    return fields


def _change(row: Row, fields: dict[str, str], place: str) -> ItemChange:
    whole: Row = {}
    properties: Row = {}
    vectors: Row = {}
    for name, cell in row.items():
        field = fields.get(name)
        if cell is None or cell == "":
            continue
        if field in ("properties", "vectors"):
            (properties if field == "properties" else vectors).update(json_object(cell, name, place))
        elif field is not None:
            whole[field] = _cell(field, cell)
        elif name and isinstance(cell, list) and cell and all(isinstance(part, int | float) for part in cell):
            vectors[name] = cell
        elif name:
            properties[name] = number_or_text(cell)
    if properties:
        whole["properties"] = properties
    if vectors:
        whole["vectors"] = vectors
    try:
        return msgspec.convert(whole, ItemChange)
    except msgspec.ValidationError as error:
        raise DataError(f"{place} is no item: {error}.") from None


def _cell(field: str, cell: Any) -> Any:
    if field == "id":
        return str(cell)
    if field in ("categories", "tags"):
        return split_labels(cell)
    if field == "hidden":
        return cell if isinstance(cell, bool) else str(cell).lower() in ("1", "true", "yes")
    if field in ("ts", "expires"):
        if hasattr(cell, "timestamp"):
            return round(cell.timestamp() * 1000)
        return read_moment(cell) if isinstance(cell, str) else cell
    return str(cell)


def split_labels(cell: Any) -> list[str]:
    """Labels of a list, of JSON, or of text with | ; or , between them; each once."""
    if isinstance(cell, str) and cell.startswith("["):
        try:
            cell = msgspec.json.decode(cell)
        except msgspec.DecodeError:
            cell = cell.strip("[]")
    if isinstance(cell, str):
        mark = next((mark for mark in "|;," if mark in cell), "|")
        cell = cell.split(mark)
    parts = cell if isinstance(cell, list) else [cell]
    return list(dict.fromkeys(str(part).strip() for part in parts if part is not None and str(part).strip()))


def number_or_text(cell: Any) -> Any:
    """A text that is exactly how a number is written as that number; lists as they are."""
    if not isinstance(cell, str):
        return cell if isinstance(cell, int | float | bool | list) else str(cell)
    for kind in (int, float):
        try:
            number = kind(cell)
        except ValueError:
            continue
        if str(number) == cell and abs(number) < 2**53:
            return number
    return cell


def json_object(cell: Any, name: str, place: str) -> Row:
    """A cell that is an object, or the text of one.

    Raises:
        DataError: it is neither, or holds a number beyond every float; `place` names the row.
    """
    if isinstance(cell, str):
        try:
            cell = msgspec.json.decode(cell)
        except msgspec.DecodeError:
            cell = None
    if not isinstance(cell, dict):
        raise DataError(f"{place}: '{name}' must be a JSON object.")
    if has_large_int(cell):
        raise DataError(f"{place}: '{name}' must be a JSON object; number out of range.")
    return {key: value for key, value in cell.items() if value is not None}

"""Arrow columns of any type as ours: texts as codes, numbers as float32. No Python per row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from everbrook.errors import DataError
from everbrook.events.columns import Coded, encode_context
from everbrook.events.log_intake import has_large_int
from everbrook.events.moments import CellError
from everbrook.events.text_table import Texts, TextTable
from everbrook.types import F64, I32

if TYPE_CHECKING:
    import pyarrow as pa

NO_TEXTS = ("", "na", "n/a", "nan", "null", "none")
"""Texts that stand for no number, in lower case."""


Scalars = (str, int, float, bool)


class Codes:
    """Gathers a text column batch by batch; `finish` gives all of it one list of names, in order of appearance."""

    def __init__(self) -> None:
        self._table = TextTable(skip_empty=True)
        self._parts: list[I32] = []

    def add(self, array: pa.Array) -> None:
        """Take one batch of any type that can be written as text; empty text is missing."""
        import pyarrow as pa

        if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
            self._parts.append(self._table.add(Texts.from_arrow(array)))
            return
        coded = as_dictionary(array)
        renamed = np.append(self._table.add(Texts.from_arrow(coded.dictionary)), np.int32(-1))  # code -1 takes the last
        indices = coded.indices.fill_null(-1) if coded.indices.null_count else coded.indices
        self._parts.append(renamed[indices.to_numpy(zero_copy_only=False)])

    def finish(self, rows: int) -> Coded:
        """All batches as one, of so many rows."""
        if not rows:
            return Coded.missing(0)
        packed = self._table.texts()
        codes = self._parts[0] if len(self._parts) == 1 else np.concatenate(self._parts)
        try:
            return Coded(codes, packed.names(), packed)
        except UnicodeDecodeError as error:
            raise DataError(f"Texts must be UTF-8; got {error.object[:40]!r}.") from None


def as_dictionary(array: pa.Array) -> pa.DictionaryArray:
    """Any array as int32 codes into text; whole floats lose their '.0', lists and objects become JSON."""
    import pyarrow as pa

    if pa.types.is_nested(array.type):
        encode = msgspec.json.encode
        array = pa.array([None if cell is None else encode(cell).decode() for cell in array.to_pylist()], pa.string())
    if pa.types.is_dictionary(array.type) and array.dictionary.null_count:
        array = array.dictionary_decode()
    if not pa.types.is_dictionary(array.type):
        array = (array.cast(pa.string()) if pa.types.is_null(array.type) else array).dictionary_encode()
    return pa.DictionaryArray.from_arrays(array.indices.cast(pa.int32()), _texts(array.dictionary))


def _texts(values: pa.Array) -> pa.Array:
    import pyarrow as pa

    if pa.types.is_floating(values.type):
        whole = np.asarray(values.to_numpy(zero_copy_only=False))
        if bool(np.all(whole == np.round(whole))) and bool(np.all(np.abs(whole) < 2**53)):
            values = values.cast(pa.int64())
    try:
        return values.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise CellError(0, f"Ids must be text or numbers; got {values.type}.") from None


def without_empty(coded: Coded) -> Coded:
    """The same with empty texts missing."""
    if "" not in coded.names:
        return coded
    empty = coded.names.index("")
    codes = np.where(coded.codes == empty, -1, coded.codes - (coded.codes > empty)).astype(np.int32)
    return Coded(codes, coded.names[:empty] + coded.names[empty + 1 :])


def constant(text: str | None, n: int) -> Coded:
    """n times one text, or n times none."""
    if text is None:
        return Coded(np.full(n, -1, np.int32), [])
    return Coded(np.zeros(n, np.int32), [text])


def recode(coded: Coded, names: list[str]) -> Coded:
    """The same rows under new names (one per old name); names that became equal become one, empty ones missing."""
    import pyarrow as pa

    merged = pa.array(names, pa.string()).dictionary_encode()
    codes = np.append(np.asarray(merged.indices.to_numpy()), np.int32(-1))[coded.codes]  # code -1 takes the last
    return without_empty(Coded(codes.astype(np.int32), merged.dictionary.to_pylist()))


def compact(coded: Coded) -> Coded:
    """The same rows with only the names that occur, in order of first appearance."""
    codes, n = coded.codes, len(coded.names)
    if not n:
        return coded
    first = np.full(n + 1, len(codes), np.int64)
    first[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)  # the earliest is written last; -1 lands in the spare slot
    rows = np.flatnonzero(first[:n] < len(codes))
    rows = rows[np.argsort(first[rows], kind="stable")]
    renumber = np.full(n + 1, -1, np.int32)
    renumber[rows] = np.arange(len(rows), dtype=np.int32)
    names = coded.names
    return Coded(renumber[codes], [names[row] for row in rows.tolist()])


def as_floats(array: pa.Array, field: str) -> F64:
    """Any array as float64, NaN where missing or infinite.

    Raises:
        CellError: when a text is no number; its row counts within the array.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        text = pc.utf8_trim_whitespace(array.cast(pa.string()))
        text = pc.if_else(pc.is_in(pc.utf8_lower(text), pa.array(NO_TEXTS)), None, text)
        array = _parsed(text, field)
    elif pa.types.is_boolean(array.type):
        array = array.cast(pa.int8())
    elif pa.types.is_nested(array.type) or pa.types.is_temporal(array.type):
        raise CellError(0, f"'{field}' must be numbers; got {array.type}.")
    values = np.asarray(array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))
    return np.where(np.isfinite(values), values, np.nan)


def _parsed(text: pa.Array, field: str) -> pa.Array:
    import pyarrow as pa

    try:
        return text.cast(pa.float64())
    except pa.ArrowInvalid:
        for row, cell in enumerate(text.to_pylist()):
            if cell is not None and not _is_number(cell):
                raise CellError(row, f"'{field}' must be a number; got '{cell}'.") from None
        raise


def _is_number(cell: str) -> bool:
    import pyarrow as pa

    try:
        pa.array([cell]).cast(pa.float64())
    except pa.ArrowInvalid:
        return False
    return True


def as_positions(values: F64) -> I32:
    """Places in a list, -1 where missing."""
    known = (values >= 0) & (values < 2**31)
    return np.where(known, np.where(known, values, -1), -1).astype(np.int32)


def combine(columns: dict[str, Coded], base: Coded | None = None) -> Coded | None:
    """Several columns as one of JSON objects: one text per combination that occurs, missing cells left out.

    Args:
        columns: by the key they get.
        base: JSON objects that the cells are added to.

    Raises:
        DataError: when a text of `base` is no JSON object.
    """
    parts = list(columns.values())
    cells = [_typed(coded.names) for coded in parts]
    if base is not None:
        objects = [_object(name) for name in base.names]
    if base is None and not parts:
        return None
    key = np.zeros(len((base or parts[0]).codes), np.int64)
    for coded in (*parts, *([base] if base else ())):
        key = key * (len(coded.names) + 1) + (coded.codes + 1)
        if key.max(initial=0) > 2**31:  # keep the product of sizes from running over
            key = np.unique(key, return_inverse=True)[1].reshape(-1).astype(np.int64)
    _, first, codes = np.unique(key, return_index=True, return_inverse=True)
    names = []
    for row in first.tolist():
        whole = {} if base is None or base.codes[row] < 0 else dict(objects[base.codes[row]])
        for name, coded, values in zip(columns, parts, cells, strict=True):
            if coded.codes[row] >= 0:
                whole[name] = values[coded.codes[row]]
        names.append(encode_context(whole) if whole else "")
    return compact(recode(Coded(codes.reshape(-1).astype(np.int32), names), names))


def _object(text: str) -> dict[str, Any]:
    try:
        whole = msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError:
        raise DataError(f"A context must be a JSON object; got '{text[:60]}'.") from None
    if has_large_int(whole):
        raise DataError(f"A context must be a JSON object; number out of range in '{text[:60]}'.")
    known = {name: value for name, value in whole.items() if value is not None}
    return {name: value if isinstance(value, Scalars) else encode_context(value) for name, value in known.items()}


def _typed(names: list[str]) -> list[Any]:
    """Numbers as numbers where every text is exactly how the number is written ('007' stays text), and booleans."""
    if set(names) <= {"true", "false"}:
        return [name == "true" for name in names]
    for kind in (int, float):
        try:
            values = [kind(name) for name in names]
        except ValueError:
            continue
        if all(str(value) == name and abs(value) < 2**53 for value, name in zip(values, names, strict=True)):
            return values
    return list(names)

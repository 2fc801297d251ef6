"""Times of any spelling as milliseconds since 1970, UTC. The unit of bare numbers is told by their size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from everbrook.errors import DataError
from everbrook.types import I64

if TYPE_CHECKING:
    import pyarrow as pa

NO_TIME = int(np.iinfo(np.int64).min)
"""The time of an event that has none."""

PER_UNIT = {"s": 1_000.0, "ms": 1.0, "us": 1e-3, "ns": 1e-6}
"""Milliseconds in one unit."""

_ZONE = r":.*(Z|z|[+-]\d{2}:?\d{2})$"  # after a clock time, since a bare date ends like a zone


class CellError(Exception):
    """One cell cannot be read; whoever knows the file adds the line."""

    def __init__(self, row: int, sentence: str) -> None:
        super().__init__(sentence)
        self.row = row
        self.sentence = sentence


class Moments:
    """Gathers the time column batch by batch; `finish` settles the unit for all of it."""

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._numbers: list[np.ndarray[Any, Any]] = []
        self._settled: list[bool] = []  # already milliseconds
        self.unit = unit

    def add(self, array: pa.Array) -> None:
        """Take one batch of any type.

        Raises:
            CellError: when a text is no time; its row counts within the batch.
        """
        import pyarrow as pa

        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        if pa.types.is_timestamp(array.type) or pa.types.is_date(array.type):
            self._keep(_to_ms(array), settled=True)
        elif pa.types.is_integer(array.type) or pa.types.is_floating(array.type):
            self._keep(_numbers(array), settled=False)
        elif pa.types.is_string(array.type) or pa.types.is_large_string(array.type) or pa.types.is_null(array.type):
            self._add_text(array.cast(pa.string()))
        else:
            raise CellError(0, f"Times must be numbers, text or timestamps; got {array.type}.")

    def finish(self) -> I64:
        """(B,) milliseconds since 1970; NO_TIME where missing.

        Raises:
            DataError: when some times are numbers and others are dates.
        """
        if len({settled for settled, part in zip(self._settled, self._numbers, strict=True) if _any(part)}) > 1:
            raise DataError("Times must all be numbers or all be dates; got both in one column.")
        values = np.concatenate(self._numbers) if self._numbers else np.empty(0, np.int64)
        if any(self._settled):
            self.unit = "text"
            return values.astype(np.int64)
        self.unit = tell_unit(values) if self._unit in ("auto", "text") or "%" in self._unit else self._unit
        return _scale(values, self.unit)

    def _keep(self, values: np.ndarray[Any, Any], settled: bool) -> None:
        self._numbers.append(values)
        self._settled.append(settled)

    def _add_text(self, array: pa.Array) -> None:
        import pyarrow.compute as pc

        array = pc.utf8_trim_whitespace(array)
        array = pc.if_else(pc.equal(array, ""), None, array)
        if "%" in self._unit:
            self._keep(_to_ms(_by_format(array, self._unit)), settled=True)
            return
        numbers = _as_numbers(array)
        if numbers is not None and self._unit != "text":
            self._keep(_numbers(numbers), settled=False)
        else:
            self._keep(_to_ms(_dates(array)), settled=True)


def tell_unit(values: np.ndarray[Any, Any]) -> str:
    """The unit in which numbers of this size are times between 1973 and the far future: the median decides."""
    known = values[:: max(1, len(values) // 65_536)]  # a sample is enough for an order of magnitude
    known = known[_present(known)]
    middle = float(np.median(np.abs(known))) if len(known) else 0.0
    for unit, above in (("ns", 1e17), ("us", 1e14), ("ms", 1e11)):
        if middle >= above:
            return unit
    return "s"


def _present(values: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return np.isfinite(values) if values.dtype.kind == "f" else values != NO_TIME


def _any(values: np.ndarray[Any, Any]) -> bool:
    return bool(_present(values).any())


def _scale(values: np.ndarray[Any, Any], unit: str) -> I64:
    present = _present(values)
    result = np.full(len(values), NO_TIME, np.int64)
    if values.dtype.kind == "f":
        scaled = np.round(values[present] * PER_UNIT[unit])
        result[present] = np.clip(scaled, -(2.0**62), 2.0**62).astype(np.int64)
    elif unit == "s":
        result[present] = np.clip(values[present], -(2**52), 2**52) * 1000
    else:
        result[present] = values[present] // {"ms": 1, "us": 1_000, "ns": 1_000_000}[unit]
    return result


def _numbers(array: pa.Array) -> np.ndarray[Any, Any]:
    """Integers stay exact; missing ones are NO_TIME, missing floats NaN."""
    import pyarrow as pa

    if pa.types.is_floating(array.type):
        return np.asarray(array.cast(pa.float64()).to_numpy(zero_copy_only=False))
    return np.asarray(array.cast(pa.int64()).fill_null(NO_TIME).to_numpy(zero_copy_only=False))


def _to_ms(array: pa.Array) -> I64:
    import pyarrow as pa

    exact = array.cast(pa.timestamp("ms"), safe=False) if pa.types.is_date(array.type) else array
    unit = exact.type.unit
    values = np.asarray(exact.cast(pa.int64()).fill_null(NO_TIME).to_numpy(zero_copy_only=False))
    return _scale(values, unit)


def _as_numbers(array: pa.Array) -> pa.Array | None:
    import pyarrow as pa

    for kind in (pa.int64(), pa.float64()):
        try:
            return array.cast(kind)
        except pa.ArrowInvalid:
            continue
    return None


def _dates(array: pa.Array) -> pa.Array:
    import pyarrow as pa

    try:
        return _as_dates(array)
    except pa.ArrowInvalid:
        row = _first_wrong(array)
        raise CellError(row, f"A time must be a number or RFC 3339 text; got '{array[row].as_py()}'. For another "
                             "spelling give its format, such as '%d/%m/%Y %H:%M'.") from None


def _as_dates(array: pa.Array) -> pa.Array:
    """Texts as RFC 3339 or ISO 8601; without a zone they are UTC."""
    import pyarrow as pa
    import pyarrow.compute as pc

    zoned = pc.fill_null(pc.match_substring_regex(array, _ZONE), False)
    with_zone = pc.if_else(zoned, array, None).cast(pa.timestamp("us", "UTC")).cast(pa.int64())
    without = pc.if_else(zoned, None, array).cast(pa.timestamp("us")).cast(pa.int64())
    return pc.coalesce(with_zone, without).cast(pa.timestamp("us"))


def _first_wrong(array: pa.Array) -> int:
    """The first row that is no date, by halving, since a cast tells only that there is one."""
    low, high = 0, len(array)
    while high - low > 1:
        middle = (low + high) // 2
        if _is_dates(array.slice(low, middle - low)):
            low = middle
        else:
            high = middle
    return low


def _is_dates(array: pa.Array) -> bool:
    import pyarrow as pa

    try:
        _as_dates(array)
    except pa.ArrowInvalid:
        return False
    return True


def _by_format(array: pa.Array, form: str) -> pa.Array:
    import pyarrow.compute as pc

    times = pc.strptime(array, format=form, unit="us", error_is_null=True)
    wrong = pc.index(pc.and_(pc.is_null(times), pc.is_valid(array)), True).as_py()
    if wrong >= 0:
        raise CellError(wrong, f"A time must look like '{form}'; got '{array[wrong].as_py()}'.")
    return times

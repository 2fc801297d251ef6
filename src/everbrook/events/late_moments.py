"""Records with a moment after the year 9999: once let in, as text with an offset from UTC, and read as that year's end.

What callers send is held to the bound by `log_intake`; this is for what is stored already.
"""

from __future__ import annotations

from typing import Any

import msgspec

from everbrook.events.records import MAX_TIME_MS

LATEST_MS = MAX_TIME_MS + 86_400_000  # an offset from UTC is less than a day; what lies beyond is damage
_MOMENTS = ("ts", "expires")
_AT_THE_END = msgspec.Raw(str(MAX_TIME_MS).encode())
_records: msgspec.json.Decoder[list[dict[str, msgspec.Raw]]] = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])


def decode_stored(decoder: msgspec.json.Decoder[list[Any]], body: bytes) -> list[Any]:
    """Decode a JSON list of records; moments within a day after the year 9999 are read as its last millisecond.

    Args:
        decoder: of a list of records of one type.
        body: the list as it is stored; nothing is looked at twice where it decodes as it stands.

    Raises:
        msgspec.MsgspecError: it is no such list.
        UnicodeDecodeError: it is no UTF-8.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError:
        mended = _mended(body)
        if mended is None:
            raise
        return decoder.decode(mended)


def _mended(body: bytes) -> bytes | None:
    """The list with late moments at the end of the year; None where it has none, or is no list of objects."""
    try:
        records = _records.decode(body)
    except msgspec.ValidationError:
        return None
    found = False
    for record in records:
        for name in _MOMENTS:
            digits = bytes(record.get(name, b""))
            if digits.isdigit() and len(digits) <= len(bytes(_AT_THE_END)) and MAX_TIME_MS < int(digits) <= LATEST_MS:
                record[name], found = _AT_THE_END, True
    return msgspec.json.encode(records) if found else None

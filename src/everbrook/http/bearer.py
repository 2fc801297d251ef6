"""How a key is presented, by clients and by the command line."""

from __future__ import annotations

from everbrook.errors import InputError


def bearer(key: str) -> str:
    """The value of the header 'Authorization'. The end of a line, which a file with a key has, is none of the key.

    Raises:
        InputError: no header can hold the key. It is not told: errors are logged.
    """
    plain = key.strip()
    if not (plain and plain.isascii() and plain.isprintable()):
        raise InputError("A key must be one line of printable ASCII characters; the given one is not.")
    return f"Bearer {plain}"

"""Keys: who may come in and what for. Only their hashes are kept, in memory and on disk alike.

A key is 256 random bits, so that a plain SHA-256 of it cannot be searched for; settings may hold hashes or, hashed when
they are read, keys themselves. Every presented key is compared with all hashes, each in constant time.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import secrets
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from everbrook.errors import DataError, InputError, NotFoundError, SettingError
from everbrook.events.log_files import write_durably

log = logging.getLogger("everbrook.http")

FILE = "keys.json"
SCOPES = ("read", "write", "admin")
PREFIX = "ek_"
LOOK_S = 1.0  # between two looks at the file: a key that was taken away is refused after that
_SCOPE = f"(?:{'|'.join(SCOPES)})"
_WRITTEN = re.compile(rf"(?:({_SCOPE}(?:\+{_SCOPE})*):)?(?:sha256:([0-9a-fA-F]{{64}})|(.+))", re.DOTALL)
_MEANT = re.compile(rf"sha256:|:{PREFIX}")  # what stands in no key: a hash, or scopes before one, that were mistyped


class Key(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is kept of a key."""

    id: str  # the hash's beginning: it may be told
    scopes: tuple[str, ...]
    sha256: str
    name: str | None = None
    created_ms: int | None = None

    def may(self, scope: str) -> bool:
        """Whether it is for something; 'admin' is for everything."""
        return scope in self.scopes or "admin" in self.scopes


def hashed(secret: bytes) -> str:
    """What is kept of a key in place of it."""
    return hashlib.sha256(secret).hexdigest()


def as_key(written: str) -> Key:
    """A key as settings write it, [SCOPE[+SCOPE]:]KEY or [SCOPE[+SCOPE]:]sha256:HASH; without scopes it may all.

    Raises:
        SettingError: it looks like a hash, or a key with scopes, and is none; else its text would be a key for all.
    """
    found = _WRITTEN.fullmatch(written)
    scopes, digest, secret = found.groups() if found else (None, None, written)
    if digest is None and _MEANT.search(secret):
        raise SettingError(
            f"A key in setting 'serve.keys' must be [SCOPE[+SCOPE]:]KEY or [SCOPE[+SCOPE]:]sha256:HASH, with scopes of "
            f"{', '.join(SCOPES)} and a hash of 64 hexadecimal digits; one is not (it is not shown here).",
            "'everbrook keys new' prints a line that fits.",
        )
    kept = digest.lower() if digest else hashed(secret.encode())
    return Key(id=kept[:8], scopes=tuple(scopes.split("+")) if scopes else ("admin",), sha256=kept)


def read_keys(file: Path) -> tuple[Key, ...]:
    """The keys of a data directory; none where there is no file.

    Raises:
        DataError: it holds something else.
    """
    try:
        return msgspec.json.decode(file.read_bytes(), type=tuple[Key, ...])
    except FileNotFoundError:
        return ()
    except (msgspec.MsgspecError, UnicodeDecodeError, OSError) as error:
        raise DataError(f"'{file}' must hold keys as 'everbrook keys' writes them; it does not: {error}.") from None


def new_key(scopes: Sequence[str], now_ms: int, name: str | None = None) -> tuple[str, Key]:
    """Make a key.

    Returns:
        The key itself, which is kept nowhere, and what is kept of it.

    Raises:
        InputError: there is no scope, or an unknown one.
    """
    if not scopes or set(scopes) - set(SCOPES):
        raise InputError(f"A key's scopes must be some of {', '.join(SCOPES)}; got {', '.join(scopes) or 'none'}.")
    secret = PREFIX + secrets.token_urlsafe(32)
    digest = hashed(secret.encode())
    chosen = tuple(scope for scope in SCOPES if scope in scopes)
    return secret, Key(id=digest[:8], scopes=chosen, sha256=digest, name=name, created_ms=now_ms)


def add_key(file: Path, key: Key) -> None:
    """Let a key in."""
    _write(file, (*read_keys(file), key))


def remove_key(file: Path, key_id: str) -> Key:
    """Let a key in no more.

    Raises:
        NotFoundError: there is no such key.
    """
    keys = read_keys(file)
    gone = [key for key in keys if key.id == key_id]
    if not gone:
        raise NotFoundError(f"A key must have the id '{key_id}'; known: {', '.join(key.id for key in keys) or 'none'}.")
    _write(file, tuple(key for key in keys if key.id != key_id))
    return gone[0]


def _write(file: Path, keys: tuple[Key, ...]) -> None:
    write_durably(file, msgspec.json.encode(keys))
    file.chmod(0o600)


class Keyring:
    """The keys that are let in now.

    Args:
        given: as the settings write them.
        file: of the data directory; it is looked at again while the server runs. None: there is none.
    """

    def __init__(self, given: Sequence[str], file: Path | None = None) -> None:
        self._given = tuple(as_key(written) for written in given)
        self._file, self._stamp, self._look_s = file, 0, 0.0
        self._kept: tuple[Key, ...] = ()
        if file is not None:
            self._stamp, self._kept = _stamp(file), read_keys(file)
            self._look_s = time.monotonic() + LOOK_S
        self._was_locked = bool(self._given or self._kept)

    @property
    def locked(self) -> bool:
        """Whether a key is needed. A door that was locked once stays so, also when its last key is taken away."""
        self._look()
        return self._was_locked

    def find(self, secret: bytes) -> Key | None:
        """The key that was presented; None where it is not known. All are compared, whichever fits."""
        self._look()
        digest = hashed(secret)
        found = None
        for key in (*self._given, *self._kept):
            if hmac.compare_digest(key.sha256, digest):
                found = key
        return found

    def admits(self, key: Key | None) -> bool:
        """Whether who came in with a key, or without one where None, would still be let in."""
        if not self.locked:
            return True
        known = (*self._given, *self._kept)
        return key is not None and any(hmac.compare_digest(one.sha256, key.sha256) for one in known)

    def _look(self) -> None:
        if self._file is None or time.monotonic() < self._look_s:
            return
        self._look_s = time.monotonic() + LOOK_S
        stamp = _stamp(self._file)
        if stamp == self._stamp:
            return
        try:
            self._kept, self._stamp = read_keys(self._file), stamp
        except DataError as error:
            log.error("The keys stay as they were: %s", error.message)
            self._stamp = stamp
        self._was_locked = self._was_locked or bool(self._kept)


def _stamp(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0

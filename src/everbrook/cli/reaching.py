"""Reaching what learns: the data directory where nobody holds it, else the server that does, over HTTP."""

from __future__ import annotations

import argparse
import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from everbrook.cli.opening import data_path, loaded_settings, opened
from everbrook.errors import BusyError, EverbrookError, NotReadyError
from everbrook.http.bearer import bearer

if TYPE_CHECKING:
    from everbrook.rank.requests import Explained, Recommend, Recommendation, Similar, Trending
    from everbrook.settings import Settings

StructT = TypeVar("StructT")
TIMEOUT_S = 60.0
NOT_OURS = "A server must answer in Everbrook's form; got status 200 with a body that is not."


class Reached(Protocol):
    """What the commands of looking after ask, of an engine or of a server alike."""

    def status(self) -> dict[str, Any]:
        """Where everything stands."""
        ...

    def versions(self) -> dict[str, Any]:
        """What answers, and what can be gone back to."""
        ...

    def rollback(self, to: str) -> dict[str, Any]:
        """Go back to a version."""
        ...

    def pause(self) -> dict[str, Any]:
        """Let the gate make no moves by itself."""
        ...

    def resume(self) -> dict[str, Any]:
        """Let the gate make its moves again."""
        ...

    def override(self, stage: str) -> dict[str, Any]:
        """Set the stage of the live weights."""
        ...

    def refit(self) -> dict[str, Any]:
        """Fit the large model anew."""
        ...

    def experiments(self) -> dict[str, Any]:
        """Experiments on lists, and what came of each."""
        ...

    def start_experiment(
        self, name: str, variants: Sequence[Any], scenario: str | None = None, kinds: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Make lists in several ways from now on."""
        ...

    def stop_experiment(self, name: str) -> dict[str, Any]:
        """Make lists in one way again."""
        ...

    def similar(self, item: str, k: int = 20, *, filter: str | None = None) -> Similar:
        """Items like one."""
        ...

    def trending(self, k: int = 20, *, scenario: str | None = None, window: str = "1d") -> Trending:
        """Items with which most happened."""
        ...

    def explain(self, item: str, user: str | None = None, **fields: Any) -> Explained:
        """Why an item stands where it stands."""
        ...

    def recommend(self, wish: Recommend) -> Recommendation:
        """Make a list."""
        ...


class Server:
    """A running server as an engine."""

    def __init__(self, url: str, key: str | None = None) -> None:
        """Speak to a server.

        Args:
            url: its address, such as http://127.0.0.1:8000.
            key: that it asks for; None where it asks for none.

        Raises:
            InputError: no header can hold the key.
        """
        self._url = url.rstrip("/")
        self._headers = {"Content-Type": "application/json"}
        if key is not None:
            self._headers["Authorization"] = bearer(key)

    def status(self) -> dict[str, Any]:
        """Where everything stands."""
        return self._ask("status")

    def versions(self) -> dict[str, Any]:
        """What answers, and what can be gone back to."""
        return self._ask("versions")

    def rollback(self, to: str) -> dict[str, Any]:
        """Go back to a version."""
        return self._ask("rollback", {"to": to})

    def pause(self) -> dict[str, Any]:
        """Let the gate make no moves by itself."""
        return self._ask("pause", {})

    def resume(self) -> dict[str, Any]:
        """Let the gate make its moves again."""
        return self._ask("resume", {})

    def override(self, stage: str) -> dict[str, Any]:
        """Set the stage of the live weights."""
        return self._ask("override", {"stage": stage})

    def refit(self) -> dict[str, Any]:
        """Fit the large model anew."""
        return self._ask("refit", {})

    def experiments(self) -> dict[str, Any]:
        """Experiments on lists, and what came of each."""
        return self._ask("experiments")

    def start_experiment(
        self, name: str, variants: Sequence[Any], scenario: str | None = None, kinds: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Make lists in several ways from now on."""
        asked = {"name": name, "variants": list(variants), "scenario": scenario, "kinds": list(kinds)}
        return self._ask("experiments", asked)

    def stop_experiment(self, name: str) -> dict[str, Any]:
        """Make lists in one way again."""
        return self._ask("experiments", {"name": name, "stop": True})

    def similar(self, item: str, k: int = 20, *, filter: str | None = None) -> Similar:
        """Items like one."""
        from everbrook.rank.requests import Similar

        id_ = urllib.parse.quote(item, safe="").replace(".", "%2E")  # proxies take '..' for a way up
        return _read(self._ask(f"items/{id_}/similar", asks={"k": k, "filter": filter}), Similar)

    def trending(self, k: int = 20, *, scenario: str | None = None, window: str = "1d") -> Trending:
        """Items with which most happened."""
        from everbrook.rank.requests import Trending

        return _read(self._ask("trending", asks={"k": k, "scenario": scenario, "window": window}), Trending)

    def explain(self, item: str, user: str | None = None, **fields: Any) -> Explained:
        """Why an item stands where it stands."""
        from everbrook.rank.requests import Explained

        return _read(self._ask("explain", asks={"item": item, "user": user, **fields}), Explained)

    def recommend(self, wish: Recommend) -> Recommendation:
        """Make a list."""
        import msgspec

        from everbrook.rank.requests import Recommendation

        return _read(self._ask("recommend", msgspec.to_builtins(wish)), Recommendation)

    def _ask(
        self, route: str, body: dict[str, Any] | None = None, asks: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        given = {name: _asked(value) for name, value in (asks or {}).items() if value is not None}
        question = "?" + urllib.parse.urlencode(given) if given else ""
        data = None if body is None else json.dumps(body).encode()
        try:
            request = urllib.request.Request(f"{self._url}/v1/{route}{question}", data=data, headers=self._headers)
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                told = json.load(answer)
        except urllib.error.HTTPError as error:
            raise _as_ours(error) from None
        except (OSError, ValueError) as error:
            why = getattr(error, "reason", error)
            raise NotReadyError(f"A server must answer at '{self._url}'; got: {why}.") from None
        if not isinstance(told, dict):
            raise EverbrookError(NOT_OURS)
        return told


def _asked(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _read(told: dict[str, Any], kind: type[StructT]) -> StructT:
    """What a server told, as the library would have given it."""
    import msgspec

    try:
        return msgspec.convert(told, kind)
    except msgspec.ValidationError:
        raise EverbrookError(NOT_OURS) from None


def _as_ours(answer: urllib.error.HTTPError) -> EverbrookError:
    """The error that a server told, as it would have been raised here."""
    try:
        told = json.load(answer)["error"]
        kind, message, hint = told["type"], told["message"], told["hint"]
    except (ValueError, KeyError, TypeError):
        return EverbrookError(f"A server must answer in Everbrook's form; got status {answer.code}.")
    if kind == "unauthorised":
        hint = "Give it: --key KEY, or EVERBROOK_KEY=KEY in the environment."
    classes = [one for one in EverbrookError.__subclasses__() if one.http_status == answer.code]
    named = [one for one in classes if one.type == kind]
    return (named or classes or [EverbrookError])[0](message, hint)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which server is meant."""
    parser.add_argument("--url", help="a server's address, in place of a data directory")
    parser.add_argument("--key", help="the key that the server asks for (else $EVERBROOK_KEY)")


@contextmanager
def reached(arguments: argparse.Namespace) -> Iterator[Reached]:
    """What learns in a data directory: opened where no process holds it, else through the server that does.

    Raises:
        NotFoundError: there is no such directory.
        BusyError: a process that is no server holds it.
        NotReadyError: the server does not answer.
    """
    if arguments.url:
        yield Server(arguments.url, _key(arguments, loaded_settings(arguments).settings))
        return
    try:
        opening = opened(arguments)
        engine = opening.__enter__()
    except BusyError as busy:
        yield _holder(arguments, busy)
        return
    try:
        yield engine
    finally:
        opening.__exit__(None, None, None)


def _holder(arguments: argparse.Namespace, busy: BusyError) -> Server:
    """The server that holds the data directory."""
    from everbrook.events.log_directory import LOCK_FILE
    from everbrook.http.address import announced

    path = data_path(arguments)
    told = announced(path)
    holder = _text(path / LOCK_FILE)
    if told is None or str(told.pid) != holder:
        hint = "It tells no address there: it is no server, or one that is still starting. Or name one: --url URL"
        raise BusyError(busy.message, hint) from None
    return Server(told.url, _key(arguments, loaded_settings(arguments).settings))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def _key(arguments: argparse.Namespace, settings: Settings) -> str | None:
    key: str | None = arguments.key
    return key or os.environ.get("EVERBROOK_KEY") or next(filter(None, map(_secret, settings.serve.keys)), None)


def _secret(written: str) -> str | None:
    """A key that settings hold itself; None where they hold its hash."""
    scopes, _, rest = written.partition(":")
    secret = rest if rest and set(scopes.split("+")) <= {"read", "write", "admin"} else written
    return None if secret.startswith("sha256:") else secret

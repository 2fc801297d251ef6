"""What waits to be sent: order, what is taken out, and a search for the wrong one where nobody names it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import pytest

from everbrook.client.replies import UnreachableError, error_of
from everbrook.client.waiting import MOST_KEPT, RefusedError, Waiting
from everbrook.errors import EverbrookError, InputError, RecordError
from everbrook.events.records import Event

Server = Callable[[list[int]], EverbrookError | None]


def _given(count: int, at_once: int) -> Waiting:
    waiting = Waiting(at_once, 10_000)
    for n in range(count):
        waiting.add({"id": f"e{n}", "item": "i", "user": "u", "position": n})
    return waiting


def _sent(waiting: Waiting, server: Server) -> tuple[list[int], int]:
    """The numbers that a server took, and how often it was asked."""
    taken: list[int] = []
    asked = 0
    while some := waiting.next():
        numbers = [msgspec.json.decode(one)["position"] for one in some]
        asked += 1
        error = server(numbers)
        if error is None:
            taken += numbers
            waiting.taken(len(some))
        else:
            waiting.not_taken(some, error)
    return taken, asked


def _too_large() -> EverbrookError:
    """As a proxy says it."""
    return error_of(httpx.Response(413, text="<html>"))


@pytest.mark.parametrize("wrong", [{0}, {63}, {5, 6, 7}, {0, 31, 32, 99}, set(range(100))])
@pytest.mark.parametrize("named", [True, False])
def test_all_but_the_wrong_ones_are_sent_in_their_order(wrong: set[int], named: bool) -> None:
    def server(numbers: list[int]) -> EverbrookError | None:
        found = [place for place, number in enumerate(numbers) if number in wrong]
        if not found:
            return None
        message = f"Record {found[0]}: It must not be." if named else "The body must not be nested as deep as it is."
        told = {"type": "bad_record" if named else "bad_input", "message": message, "hint": None}
        return error_of(httpx.Response(422 if named else 400, json={"error": told}))

    waiting = _given(100, 64)
    taken, asked = _sent(waiting, server)
    assert taken == sorted(set(range(100)) - wrong)
    assert asked <= 2 + len(wrong) * (1 if named else 14)
    assert (waiting.sent, waiting.failure) == (100 - len(wrong), None)
    with pytest.raises(RefusedError) as caught:
        waiting.tell()
    assert [one.event["position"] for one in caught.value.refusals] == sorted(wrong)
    assert caught.value.count == len(wrong)
    waiting.tell()  # once


def test_a_server_that_takes_fewer_gets_fewer_from_then_on() -> None:
    taken, asked = _sent(_given(1000, 100), lambda numbers: _too_large() if len(numbers) > 30 else None)
    assert taken == list(range(1000))
    assert asked == 2 + 40  # 100 and 50 at once are too many, 25 are not


def test_an_event_that_is_too_large_by_itself_is_taken_out() -> None:
    waiting = _given(20, 8)
    taken, _ = _sent(waiting, lambda numbers: _too_large() if 11 in numbers else None)
    assert taken == [*range(11), *range(12, 20)]
    with pytest.raises(RefusedError, match=r"; 1 of this batch was not and is taken out, .* It has the id 'e11': A "):
        waiting.tell()


@pytest.mark.parametrize("status", [401, 403, 404, 415, 429, 500, 503])
def test_what_is_no_events_fault_leaves_all_waiting(status: int) -> None:
    waiting = _given(3, 10)
    told = {"type": "something", "message": "Not now.", "hint": None}
    for error in (error_of(httpx.Response(status, json={"error": told})), UnreachableError("Nobody is there.")):
        with pytest.raises(type(error)):
            waiting.not_taken(waiting.next(), error)
        assert waiting.failure is error
    waiting.tell()
    assert _sent(waiting, lambda _: None)[0] == [0, 1, 2]


def test_more_refused_ones_are_counted_than_kept() -> None:
    waiting = _given(MOST_KEPT + 5, 10)
    _sent(waiting, lambda _: RecordError("It must not be.", 0))
    with pytest.raises(RefusedError, match=f"; {MOST_KEPT + 5} of this batch were not") as caught:
        waiting.tell()
    assert len(caught.value.refusals) == MOST_KEPT


@pytest.mark.parametrize("event", [
    {"user": "u", "item": object()}, {"user": "u", "item": "\ud800"},
    Event(item=object(), user="u"),  # type: ignore[arg-type]
])  # fmt: skip
def test_what_cannot_be_written_is_refused_at_once(event: Any) -> None:
    waiting = _given(1, 10)
    with pytest.raises(RecordError, match=r"^Every field of an event must be writable as JSON; got: "):
        waiting.add(event)
    assert _sent(waiting, lambda _: None)[0] == [0]


def test_there_is_a_most_that_may_wait() -> None:
    waiting = Waiting(10, 1)
    waiting.add({"user": "u", "item": "i"})
    with pytest.raises(InputError, match=r"^At most 1 events must wait"):
        waiting.add({"user": "u", "item": "i"})

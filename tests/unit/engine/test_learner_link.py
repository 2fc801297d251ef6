"""The line between the two processes: messages whole and in order, whatever the socket takes at a time."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from everbrook.engine.learner_link import Kind, Link, Message
from everbrook.errors import DataError


@pytest.fixture
def ends() -> Iterator[tuple[Link, Link]]:
    one, other = socket.socketpair()
    with one, other:
        yield Link(one), Link(other)


def test_messages_come_whole_and_in_order(ends: tuple[Link, Link]) -> None:
    here, there = ends
    here.tell(Kind.END, 17)
    here.send(Kind.STOP, b"")
    found = there.receive(1.0)
    assert [message.kind for message in found] == [Kind.END, Kind.STOP]
    assert found[0].told() == 17


def test_what_is_put_back_comes_first(ends: tuple[Link, Link]) -> None:
    here, there = ends
    for number in range(3):
        here.tell(Kind.END, number)
    found = there.receive(1.0)
    here.tell(Kind.END, 3)
    there.put_back(found[1:])
    told = [message.told() for _ in range(2) for message in there.receive(1.0)]
    assert told == [1, 2, 3]


def test_a_message_larger_than_the_socket_takes_waits_in_the_outbox(ends: tuple[Link, Link]) -> None:
    here, there = ends
    body = bytes(range(256)) * 20_000
    here.send(Kind.FRAME, body)
    here.send(Kind.FRAME, b"next")
    assert here.waiting_bytes > 0
    found = []
    while len(found) < 2:
        here.flush()
        found += there.receive(0.01)
    assert [message.body for message in found] == [body, b"next"]
    assert here.waiting_bytes == 0


def test_what_was_sent_before_hanging_up_is_received(ends: tuple[Link, Link]) -> None:
    here, there = ends
    here.tell(Kind.BEAT, {"offset": 3})
    here.close()
    assert [message.told() for message in there.receive(1.0)] == [{"offset": 3}]
    assert there.receive(0.1) == []
    assert there.closed
    there.tell(Kind.END, 1)
    assert there.waiting_bytes == 0


def test_several_threads_may_send(ends: tuple[Link, Link]) -> None:
    here, there = ends
    threads = [
        threading.Thread(target=lambda k=k: [here.tell(Kind.END, 1000 * k + n) for n in range(300)]) for k in range(4)
    ]
    for thread in threads:
        thread.start()
    told: list[int] = []
    while len(told) < 1200:
        here.flush()
        told += [message.told() for message in there.receive(0.01)]
    for thread in threads:
        thread.join()
    for k in range(4):
        assert [number for number in told if number // 1000 == k] == list(range(1000 * k, 1000 * k + 300))


def test_what_is_no_message_is_refused(ends: tuple[Link, Link]) -> None:
    here, there = ends
    here._socket.send(b"\xff" * 5)
    with pytest.raises(DataError) as raised:
        there.receive(1.0)
    assert str(raised.value) == "A message must have at most 2147483648 bytes; got 4294967295."


def test_draining_sends_all_to_a_side_that_reads_and_waits_no_longer_for_one_that_does_not(
    ends: tuple[Link, Link],
) -> None:
    one, other = ends
    body, found = bytes(8 << 20), list[Message]()

    def read() -> None:
        while not found:
            found.extend(other.receive(0.01))
            time.sleep(0.001)

    reader = threading.Thread(target=read)
    one.send(Kind.FRAME, body)
    assert one.waiting_bytes > len(body) // 2
    began_s = time.monotonic()
    one.drain(0.05)
    assert time.monotonic() - began_s < 5.0
    assert one.waiting_bytes > len(body) // 2
    reader.start()
    one.drain(60.0)
    assert one.waiting_bytes == 0
    reader.join(60.0)
    assert [len(message.body) for message in found] == [len(body)]


def test_draining_ends_where_the_other_side_is_gone(ends: tuple[Link, Link]) -> None:
    one, other = ends
    one.send(Kind.FRAME, bytes(8 << 20))
    other.close()
    one.drain(60.0)
    assert one.waiting_bytes == 0

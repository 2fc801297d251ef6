"""The line between the server and the learner's process: messages over one socket pair, and what each kind is for.

A message is its size, its kind and a body. Neither side ever waits for the other to read: what the socket does not
take stays in the outbox, and whoever would send more than the other can take looks at `waiting_bytes` first.
"""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from enum import IntEnum
from typing import Any, NamedTuple

import msgspec

from everbrook.errors import DataError

_HEAD = struct.Struct("<IB")
RECEIVE_BYTES = 1 << 20
MOST_BYTES = 1 << 31


class Kind(IntEnum):
    """What a message says."""

    BEGIN = 1  # server: what to learn, and under which settings
    END = 2  # server: the log's end is there now
    COMMAND = 3  # server: do this between two portions, and answer
    ACK = 4  # server: the delta of this serial number is in the lists
    STOP = 5  # server: keep a checkpoint and go
    READY = 16  # learner: from where it goes on
    BEAT = 17  # learner: a sign of life, and where it stands
    FRAME = 18  # learner: a piece of a delta
    ANSWER = 19  # learner: what a command gave
    MOVE = 20  # learner: a decision that is to be written to the log
    ERROR = 21  # learner: something that people should know
    FAILED = 22  # learner: a portion that makes it fail
    LEVEL = 23  # learner: what was learned up to this offset is published, all of it


class Message(NamedTuple):
    """One message."""

    kind: int
    body: bytes

    def told(self) -> Any:
        """The body's JSON."""
        return msgspec.json.decode(self.body)


class Link:
    """One end of the line. Sending is safe from several threads, receiving is for one."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._socket = end
        self._lock = threading.Lock()
        self._outbox, self._inbox = bytearray(), bytearray()
        self._again: list[Message] = []
        self.closed = False  # the other side is gone; what it sent before has been received

    @property
    def waiting_bytes(self) -> int:
        """What was sent and the socket has not taken yet."""
        return len(self._outbox)

    def send(self, kind: Kind, body: bytes) -> None:
        """Send a message, now or as soon as the socket takes it; to a side that is gone, nothing is sent."""
        with self._lock:
            self._outbox += _HEAD.pack(len(body), kind)
            self._outbox += body
            self._push()

    def tell(self, kind: Kind, told: Any) -> None:
        """Send a message whose body is JSON."""
        self.send(kind, msgspec.json.encode(told))

    def flush(self) -> None:
        """Send what the socket takes now."""
        with self._lock:
            self._push()

    def drain(self, limit_s: float) -> None:
        """Send what waits as the other side takes it; what it has not taken after so long goes on waiting.

        Without it a side that is busy gives the socket no more than that holds at a time, once a turn.
        """
        if not self._outbox:
            return
        until, poll = time.monotonic() + limit_s, select.poll()
        poll.register(self._socket, select.POLLOUT)
        self.flush()
        while self._outbox and (left_s := until - time.monotonic()) > 0.0:
            poll.poll(max(1, int(1000 * left_s)))
            self.flush()

    def _push(self) -> None:
        while self._outbox:
            try:
                taken = self._socket.send(self._outbox)
            except BlockingIOError:
                return
            except OSError:  # the other side is gone, which receiving will tell
                self._outbox.clear()
                return
            del self._outbox[:taken]

    def receive(self, timeout_s: float) -> list[Message]:
        """All messages that are there; waits for the first one if there is none.

        Args:
            timeout_s: longest wait; less than a millisecond does not wait.

        Raises:
            DataError: what came is no message.
        """
        self.flush()
        if self._again:
            again, self._again = self._again, []
            return again
        wanted = select.POLLIN | (select.POLLOUT if self._outbox else 0)
        poll = select.poll()
        poll.register(self._socket, wanted)
        if not self.closed and poll.poll(max(0, int(timeout_s * 1000))):
            self.flush()
            self._pull()
        return self._messages()

    def put_back(self, messages: list[Message]) -> None:
        """Let the next `receive` give messages that it is too early for."""
        self._again = messages

    def _pull(self) -> None:
        while True:
            try:
                some = self._socket.recv(RECEIVE_BYTES)
            except BlockingIOError:
                return
            except OSError:
                some = b""
            if not some:
                self.closed = True
                return
            self._inbox += some
            if len(some) < RECEIVE_BYTES:
                return

    def _messages(self) -> list[Message]:
        found = []
        at = 0
        while len(self._inbox) - at >= _HEAD.size:
            size, kind = _HEAD.unpack_from(self._inbox, at)
            if size > MOST_BYTES:
                raise DataError(f"A message must have at most {MOST_BYTES} bytes; got {size}.")
            stop = at + _HEAD.size + size
            if len(self._inbox) < stop:
                break
            found.append(Message(kind, bytes(self._inbox[at + _HEAD.size : stop])))
            at = stop
        del self._inbox[:at]
        return found

    def close(self) -> None:
        """Hang up; a second time does nothing."""
        self.closed = True
        self._socket.close()

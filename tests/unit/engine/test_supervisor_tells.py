"""What the supervisor tells a learner's process of the log's end."""

from __future__ import annotations

import socket
from pathlib import Path

from everbrook.engine.learner_link import Link
from everbrook.engine.supervisor import Supervisor
from everbrook.settings import Settings


def test_each_end_is_told_once_to_a_process_and_again_to_the_next(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path, Settings(), lambda _: None)
    supervisor.note_end(3)
    for expected in ([5, 9], [9, 12]):
        here, there = socket.socketpair()
        with here, there:
            supervisor._link = Link(here)
            for end in (expected[0], expected[0], 4, expected[1], expected[1]):
                supervisor.note_end(end)
            assert [message.told() for message in Link(there).receive(1.0)] == expected

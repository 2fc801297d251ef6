"""The learner's process: whatever becomes of it, the server goes on, and it ends where it would have been anyway."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from counting_learning import WIDTH, uninterrupted

from everbrook.engine.supervisor import Supervisor
from everbrook.errors import InputError, NotReadyError
from everbrook.events.records import Event, ItemChange
from everbrook.events.sqlite_log import SqliteLog
from everbrook.learn.deltas import Delta
from everbrook.settings import Settings
from everbrook.settings.learner import LearnerSettings
from everbrook.settings.log import LogSettings
from everbrook.types import F32

QUICK: dict[str, Any] = {
    "micro_batch_events": 16, "micro_batch_ms": 2.0, "publish_ms": 1.0, "checkpoint_events": 40, "heartbeat_s": 0.05,
    "hang_s": 3.0, "restart_backoff_s": 0.05, "core_share": 1.0, "niceness": 0, "frame_bytes": 1024,
}  # fmt: skip
RNG = np.random.default_rng(0)


class Server:
    """A log, a supervisor, and the table that the lists would be made from."""

    def __init__(self, path: Path, on_delta: Callable[[Delta], None] | None = None, **learner: Any) -> None:
        settings = Settings(learner=LearnerSettings(**QUICK | learner), log=LogSettings(seal_events=0))
        self.path = path
        self.log = SqliteLog.open(path, settings.log)
        self.table: F32 = np.zeros((200, WIDTH), np.float32)
        self.offset, self.moves, self.ready = 0, [], []
        self.supervisor = Supervisor(
            path, settings, on_delta or self.apply, on_ready=self.ready.append,
            factory="counting_learning:open_learning",
        )

    def apply(self, delta: Delta) -> None:
        delta.apply(self.table)
        self.offset = delta.offset

    def send(self, events: int, item: str | None = None, seed: int | None = None) -> None:
        """Append events, and now and then another record."""
        rng = RNG if seed is None else np.random.default_rng(seed)
        records: list[Any] = [
            Event(user=f"u{rng.integers(9)}", item=item or f"i{rng.integers(100)}", ts=n) for n in range(events)
        ]
        records.insert(int(rng.integers(events)), ItemChange(id=f"i{rng.integers(100)}", title="new"))
        self.supervisor.note_end(self.log.append(records).stop)

    def wait(self, what: Callable[[], object], seconds: float = 90.0) -> None:
        until = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < until, self.supervisor.status()
            time.sleep(0.005)

    def wait_for_all(self) -> None:
        self.wait(lambda: self.offset == self.log.end)

    def standing(self) -> dict[str, Any]:
        return self.supervisor.command("standing")

    def kill(self) -> None:
        self.wait(lambda: self.supervisor.status()["pid"])
        pid, starts = self.supervisor.status()["pid"], self.supervisor.status()["starts"]
        os.kill(pid, signal.SIGKILL)
        self.wait(lambda: self.supervisor.status()["starts"] > starts)


@contextmanager
def running(path: Path, on_delta: Callable[[Delta], None] | None = None, **learner: Any) -> Iterator[Server]:
    server = Server(path, on_delta, **learner)
    try:
        server.supervisor.start(server.log.end)
        yield server
    finally:
        server.supervisor.stop()
        server.log.close()


@pytest.fixture(autouse=True)
def _can_import_what_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


def assert_exact(server: Server) -> None:
    """Learned: every event once, in order, as in one go; published: all of it."""
    found = server.standing()
    whole = uninterrupted(server.path, found["cuts"])
    assert found["cuts"][-1] == server.log.end
    assert found["events"] == whole.events == len(server.log.read_events())
    assert found["rows"] == whole.rows
    learned = np.array(found["table"], np.float32)
    assert learned.tobytes() == whole.table.tobytes()
    assert server.table[: len(learned)].tobytes() == learned.tobytes()


def test_what_is_appended_is_learned_and_published(tmp_path: Path) -> None:
    with running(tmp_path / "data") as server:
        for _ in range(5):
            server.send(20)
        server.wait_for_all()
        assert_exact(server)
        status = server.supervisor.status()
        assert (status["state"], status["starts"], status["last_errors"]) == ("learning", 1, [])
        assert status["freshness"]["measured"] == 5


def test_a_wish_is_done_once_as_soon_as_there_is_a_process_whatever_becomes_of_it(tmp_path: Path) -> None:
    server = Server(tmp_path / "data")
    server.supervisor.wish("pause")
    assert server.supervisor.status()["wish"] == "pause"
    try:
        server.supervisor.start(server.log.end)
        server.kill()  # before it could do anything
        server.send(10)
        server.wait_for_all()
        server.wait(lambda: server.supervisor.status()["wish"] is None)
        assert server.standing()["added"] == 1
        server.kill()
        server.supervisor.wish("pause")
        server.wait(lambda: server.supervisor.status()["wish"] is None)
        server.kill()
        server.wait(lambda: server.supervisor.is_ready)
        assert server.standing()["added"] == 2
        server.supervisor.wish("nothing")  # refused, which ends it
        server.wait(lambda: server.supervisor.status()["wish"] is None)
    finally:
        server.supervisor.stop()
        server.log.close()


def test_records_that_change_no_weights_are_not_waited_for(tmp_path: Path) -> None:
    with running(tmp_path / "data") as server:
        server.send(10)
        server.wait_for_all()
        stop = server.log.append([ItemChange(id="i1", title="other")]).stop
        server.supervisor.note_end(stop)
        server.wait(lambda: server.supervisor.status()["published"]["offset"] == stop)
        server.wait(lambda: server.supervisor.status()["freshness"]["waiting"] == 0)


def test_after_being_killed_at_any_moment_it_ends_where_it_would_have_been(tmp_path: Path) -> None:
    with running(tmp_path / "data") as server:
        server.send(10)
        server.wait_for_all()
        for _ in range(5):
            for _ in range(6):
                server.send(int(RNG.integers(1, 40)))
                time.sleep(float(RNG.uniform(0.0, 0.02)))
            server.kill()
        server.send(10)
        server.wait_for_all()
        assert_exact(server)
        status = server.supervisor.status()
        assert status["starts"] == 6
        assert status["last_errors"][0].startswith("The learner's process ended with SIGKILL; it is started again in ")
        assert any(ready["checkpoint"] for ready in server.ready)
    assert len(list((tmp_path / "data/checkpoints").glob("learner-*"))) == 2


def test_commands_are_done_again_after_a_kill_and_only_once(tmp_path: Path) -> None:
    with running(tmp_path / "data", checkpoint_events=100_000) as server:
        server.send(30)
        server.wait_for_all()
        assert server.supervisor.command("add", {"what": 0.5}) == {"added": 1}
        server.send(30)
        server.wait_for_all()
        before = server.standing()
        server.kill()
        server.wait(lambda: server.supervisor.status()["state"] == "learning")
        assert server.standing() == before
        assert before["added"] == 1
        np.testing.assert_array_equal(server.table[: len(before["table"])], np.array(before["table"], np.float32))


def test_a_command_that_is_refused_is_refused_here(tmp_path: Path) -> None:
    with running(tmp_path / "data") as server:
        server.wait(lambda: server.ready)
        with pytest.raises(InputError) as raised:
            server.supervisor.command("fly")
        assert raised.value.message == "Unknown command 'fly'. Known: add, standing."
        assert raised.value.type == "unknown_command"


def test_a_process_that_hangs_is_replaced(tmp_path: Path) -> None:
    with running(tmp_path / "data") as server:
        server.send(20)
        server.wait_for_all()
        pid = server.supervisor.status()["pid"]
        os.kill(pid, signal.SIGSTOP)
        server.send(20)
        server.wait_for_all()
        status = server.supervisor.status()
        assert (status["hangs"], status["starts"]) == (1, 2)
        assert "gave no sign of life for" in status["last_errors"][0]
        assert_exact(server)


def test_a_process_that_sends_much_while_it_learns_slowly_is_not_taken_for_one_that_hangs(tmp_path: Path) -> None:
    """The server is busy: it reads what the socket holds now and then, as it does while it makes lists."""
    done = threading.Event()

    def be_busy() -> None:
        while not done.is_set():
            pass

    with running(tmp_path / "data", hang_s=2.0, frame_bytes=1 << 20, checkpoint_events=100_000) as server:
        server.send(20)
        server.wait_for_all()
        server.send(15, item="large")
        server.send(320, item="slow")  # some 20 portions of a fifth of a second
        busy = threading.Thread(target=be_busy)
        busy.start()
        try:
            server.wait_for_all()
        finally:
            done.set()
            busy.join()
        status = server.supervisor.status()
        assert (status["hangs"], status["starts"]) == (0, 1)
        assert_exact(server)


def test_a_command_to_one_that_hangs_ends_in_time(tmp_path: Path) -> None:
    with running(tmp_path / "data") as server:
        server.wait(lambda: server.ready)
        os.kill(server.supervisor.status()["pid"], signal.SIGSTOP)
        with pytest.raises(NotReadyError) as raised:
            server.supervisor.command("standing", timeout_s=0.2)
        assert raised.value.message == "The learner must answer 'standing' within 0.2 s; it is busy."


def test_it_ends_by_itself_when_the_server_is_gone(tmp_path: Path) -> None:
    source = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_learner_process import Server
server = Server(__import__("pathlib").Path(sys.argv[1]))
server.supervisor.start(0)
server.send(5)
server.wait_for_all()
print(server.supervisor.status()["pid"], flush=True)
time.sleep(60)
"""
    command = [sys.executable, "-c", source, str(tmp_path / "data")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        pid = int(server.stdout.readline())
        server.kill()
    until = time.monotonic() + 10.0
    while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]:
        assert time.monotonic() < until
        time.sleep(0.01)
    with running(tmp_path / "data") as again:
        again.send(5)
        again.wait_for_all()
        assert_exact(again)


def test_it_falls_behind_and_catches_up(tmp_path: Path) -> None:
    with running(tmp_path / "data", behind_events=100) as server:
        server.send(1, item="slow")
        for _ in range(40):
            server.send(50)
        server.wait(lambda: server.supervisor.status()["state"] == "catching_up")
        server.wait_for_all()
        server.wait(lambda: server.supervisor.status()["state"] == "learning")
        assert_exact(server)


def test_sealing_and_imports_change_nothing_of_what_is_learned(tmp_path: Path) -> None:
    with running(tmp_path / "data", checkpoint_events=100_000) as server:
        for _ in range(4):
            server.send(37)
        server.log.seal()
        server.log.append_columns(server.log.read_events(0, 60))
        server.send(11)
        server.wait_for_all()
        server.kill()
        server.wait(lambda: len(server.ready) == 2)
        assert_exact(server)


def test_a_damaged_checkpoint_is_named_and_passed_over(tmp_path: Path) -> None:
    folder = tmp_path / "data/checkpoints"
    with running(tmp_path / "data") as server:
        while len(list(folder.glob("learner-*"))) < 2:
            server.send(30)
            server.wait_for_all()
        server.wait(lambda: not any(path.suffix for path in folder.glob("learner-*")))
    newest = sorted(folder.glob("learner-*"))[-1] / "table.npy"
    body = bytearray(newest.read_bytes())
    body[-3] ^= 1
    newest.write_bytes(body)
    with running(tmp_path / "data") as server:
        server.send(10)
        server.wait_for_all()
        assert server.ready[0]["checkpoint"] != str(newest.parent)
        assert server.ready[0]["checkpoint"] is not None
        said = server.supervisor.status()["last_errors"][0]
        assert said.startswith(
            f"The learner says: The checkpoint '{newest.parent}' is passed over. '{newest}' must have the checksum "
        )
        found = server.standing()
        assert np.array(found["table"], np.float32).tobytes() == uninterrupted(
            server.path, found["cuts"]
        ).table.tobytes()


def test_a_portion_that_makes_learning_fail_is_left_out_after_three_tries(tmp_path: Path) -> None:
    with running(tmp_path / "data") as server:
        server.send(20)
        server.wait_for_all()
        server.send(3, item="poison")
        server.wait(lambda: server.supervisor.status()["starts"] == 4)
        server.send(20)
        server.wait_for_all()
        said = server.supervisor.status()["last_errors"]
        assert any("could not be learned: ValueError('a poisoned item')" in one for one in said)
        assert any("was left out: it could not be learned." in one for one in said)
        assert "poison" not in server.standing()["rows"]
        server.kill()
        server.send(20)
        server.wait_for_all()
        assert "poison" not in server.standing()["rows"]


def test_a_delta_that_cannot_be_used_comes_again(tmp_path: Path) -> None:
    taken: list[int] = []

    def once_broken(delta: Delta) -> None:
        taken.append(len(delta.rows))
        if len(taken) == 2:
            raise RuntimeError("no room")
        server.apply(delta)

    with running(tmp_path / "data", once_broken) as server:
        server.send(20)
        server.wait_for_all()
        server.send(20)
        server.wait_for_all()
        assert "What the learner sent could not be used: no room" in server.supervisor.status()["last_errors"]
        assert_exact(server)


def test_after_an_orderly_stop_nothing_is_done_again(tmp_path: Path) -> None:
    with running(tmp_path / "data") as server:
        server.send(33)
        server.wait_for_all()
        before = server.standing()
    assert server.supervisor.status()["state"] == "stopped"
    with running(tmp_path / "data") as server:
        server.wait(lambda: server.ready)
        assert server.ready[0]["again"] == 0
        assert server.standing() == before


def test_one_that_is_still_starting_is_ended_at_once(tmp_path: Path) -> None:
    with running(tmp_path / "data") as server:
        server.wait(lambda: server.supervisor.status()["pid"])
        os.kill(server.supervisor.status()["pid"], signal.SIGSTOP)  # it will not get further by itself
        assert not server.supervisor.is_ready
        began = time.monotonic()
        server.supervisor.stop(timeout_s=60.0)
        assert time.monotonic() - began < 20.0
        assert server.supervisor.status()["state"] == "stopped"
    with running(tmp_path / "data") as server:  # nothing was lost
        server.send(20)
        server.wait_for_all()
        assert server.supervisor.is_ready
        assert_exact(server)

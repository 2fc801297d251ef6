"""A process that does one order: on standard input comes what, on standard output how far; it outlives nobody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import msgspec
import pytest

from everbrook.settings import Settings

SCRIPT = """
import os, sys, time
import msgspec
from everbrook.engine.side_process import obey
from everbrook.settings import Settings

class Order(msgspec.Struct, frozen=True):
    settings: Settings
    steps: int

def do(order, tell):
    tell({"pid": os.getpid(), "niceness": os.nice(0)})
    for step in range(order.steps):
        tell({"step": step})
        time.sleep(0.01)

sys.exit(obey(Order, do))
"""
ORDER = {"settings": msgspec.to_builtins(Settings()), "steps": 3}


def _begun(**more: int) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(ORDER | more))
    process.stdin.close()
    return process


def test_it_stands_back_tells_and_ends() -> None:
    with _begun() as process:
        assert process.stdout is not None
        told = [msgspec.json.decode(line) for line in process.stdout]
    assert process.returncode == 0
    assert told[0]["niceness"] == min(19, os.nice(0) + Settings().engine.refit_niceness)
    assert told[1:] == [{"step": 0}, {"step": 1}, {"step": 2}]


def test_an_interrupt_of_the_terminal_is_for_the_server() -> None:
    with _begun(steps=30) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert len(process.stdout.readlines()) == 30
    assert process.returncode == 0


def test_it_ends_when_whoever_started_it_is_gone() -> None:
    code = f"""
import subprocess, sys, os
process = subprocess.Popen([sys.executable, "-c", {SCRIPT!r}], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
process.stdin.write({msgspec.json.encode(ORDER | {"steps": 10**6})!r})
process.stdin.close()
print(process.stdout.readline().decode(), flush=True)
os._exit(0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    pid = msgspec.json.decode(done.stdout)["pid"]
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)
    pytest.fail("It goes on.")

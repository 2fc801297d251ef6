"""Time goes forward, whatever the machine's clock does."""

from __future__ import annotations

import logging

import pytest

from everbrook.engine.wall_clock import WallClock

START_MS = 1_800_000_000_000


class Machine:
    """Two clocks: one that people set, one that nobody sets."""

    def __init__(self) -> None:
        self.wall_ms, self.steady_ms = START_MS, 5_000

    def clock(self) -> WallClock:
        return WallClock(lambda: self.wall_ms * 1_000_000, lambda: self.steady_ms * 1_000_000)

    def wait(self, ms: int) -> None:
        self.wall_ms += ms
        self.steady_ms += ms


def test_it_is_the_machines_time() -> None:
    machine = Machine()
    clock = machine.clock()
    assert clock.now_ms() == START_MS
    machine.wait(1234)
    assert clock.now_ms() == START_MS + 1234


def test_a_clock_that_is_set_back_goes_on_at_half_speed_until_it_has_caught_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    machine = Machine()
    clock = machine.clock()
    clock.now_ms()
    machine.wall_ms -= 3_600_000
    told = [clock.now_ms()]
    with caplog.at_level(logging.WARNING, "everbrook.engine"):
        for _ in range(7_300):
            machine.wait(1_000)
            told.append(clock.now_ms())
    assert told == sorted(told)
    assert told[3_600] == START_MS + 1_800_000  # an hour later: half an hour
    assert told[-1] == machine.wall_ms
    assert (clock.steps_back, clock.ahead_ms) == (1, 0)
    assert "has caught up" in caplog.messages[-1]
    assert len(caplog.messages) == 2


def test_the_step_is_told_once_and_shows_how_far_ahead_it_is(caplog: pytest.LogCaptureFixture) -> None:
    machine = Machine()
    clock = machine.clock()
    clock.now_ms()
    machine.wall_ms -= 60_000
    for _ in range(10):
        clock.now_ms()
    assert clock.ahead_ms == 60_000
    assert [message.partition(";")[0] for message in caplog.messages] == ["The machine's clock went back by 60000 ms"]


def test_small_corrections_are_not_told(caplog: pytest.LogCaptureFixture) -> None:
    machine = Machine()
    clock = machine.clock()
    first = clock.now_ms()
    machine.wall_ms -= 20
    assert clock.now_ms() == first
    machine.wait(30)
    assert clock.now_ms() == first + 10
    assert (clock.steps_back, caplog.messages) == (0, [])

"""The last answer of what may be busy: who looks has it at once, with its age, and never an old one as the present."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from everbrook.engine.last_known import AGE, LastKnown
from everbrook.errors import NotReadyError

LIMIT_S = 30.0


class Busy:
    """Gives the next number, once it is let."""

    def __init__(self) -> None:
        self.free, self.number = threading.Event(), 0
        self.fault: NotReadyError | None = None
        self.free.set()

    def __call__(self) -> dict[str, Any]:
        assert self.free.wait(LIMIT_S)
        if self.fault is not None:
            raise self.fault
        self.number += 1
        return {"number": self.number}


def test_an_answer_that_comes_is_the_present_one() -> None:
    last = LastKnown(Busy(), 0.05)
    assert [last.told() for _ in range(3)] == [{"number": n, AGE: 0} for n in (1, 2, 3)]


def test_of_what_is_busy_the_last_answer_is_told_with_its_age_and_one_question_waits() -> None:
    busy = Busy()
    last = LastKnown(busy, 0.05)
    last.told()
    busy.free.clear()
    began_s, threads = time.monotonic(), threading.active_count()
    ages = [last.told()[AGE] for _ in range(4)]
    assert time.monotonic() - began_s < LIMIT_S / 3
    assert ages == sorted(ages)
    assert ages[-1] >= 3 * 50
    assert threading.active_count() <= threads + 1
    busy.free.set()
    end = time.monotonic() + LIMIT_S
    while last.told()[AGE]:
        assert time.monotonic() < end
    assert busy.number <= 4


def test_the_first_who_looks_and_who_looks_after_a_command_waits_for_the_answer() -> None:
    busy = Busy()
    last = LastKnown(busy, 0.0)
    for number in (1, 2):
        busy.free.clear()
        threading.Timer(0.05, busy.free.set).start()
        assert last.told() == {"number": number, AGE: 0}
        last.forget()


def test_what_cannot_answer_says_why_and_nothing_old() -> None:
    busy = Busy()
    last = LastKnown(busy, 5.0)
    last.told()
    busy.fault = NotReadyError("The learner must be there; it is not.")
    with pytest.raises(NotReadyError):
        last.told()

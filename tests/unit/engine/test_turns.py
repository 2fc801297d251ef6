"""Turns: those who wait are told when their records are in every list, one slice after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from everbrook import Recommender
from everbrook.engine.allowance import Allowance
from everbrook.engine.core import Judging
from everbrook.engine.turns import AT_ONCE, LATER, Receipt, Turns
from everbrook.events.log import Appended
from everbrook.events.records import Event
from everbrook.settings import Settings
from everbrook.settings.engine import EngineSettings
from everbrook.settings.mixture import MixtureSettings
from everbrook.testing.clock import FakeClock


class Log:
    """A log's end, and how far it was taken in.

    Args:
        slice_records: taken in by one turn.
    """

    def __init__(self, slice_records: int) -> None:
        self._slice, self.end, self.reached, self.turns, self.aside = slice_records, 0, 0, 0, 0
        self.fault: Exception | None = None

    def behind(self) -> int:
        return self.end - self.reached

    def turn(self) -> int:
        if self.fault is not None:
            raise self.fault
        self.turns += 1
        self.reached = min(self.end, self.reached + self._slice)
        return self.reached

    def all(self) -> int:
        self.aside += 1
        self.reached = self.end
        return self.reached


def _told(log: Log, batches: list[int], most: int = 100) -> tuple[list[Any], list[tuple[int, int]]]:
    """What each batch of one commit is told; and after how many turns, with what was reached then."""
    told: list[Any] = [None] * len(batches)
    when: list[tuple[int, int]] = []

    async def work() -> None:
        turns = Turns(log.behind, log.turn, log.all)

        def then(place: int) -> Callable[[Any], None]:
            def heard(found: Any) -> None:
                assert told[place] is None
                told[place] = found
                when.append((log.turns, log.reached))

            return heard

        firsts = [sum(batches[:n]) for n in range(len(batches))]
        log.end = sum(batches)
        for place, (first, size) in enumerate(zip(firsts, batches, strict=True)):
            turns.wait(Appended(first, first + size), then(place))
        for _ in range(most):
            if None not in told:
                return
            await asyncio.sleep(0.01)

    asyncio.run(work())
    return told, when


def test_a_commit_is_taken_in_once_for_all_who_share_it() -> None:
    log = Log(slice_records=200)
    told, _ = _told(log, [1] * 48)
    assert told == [Receipt(1, 0, n + 1) for n in range(48)]
    assert log.turns == 1


def test_each_is_told_in_the_turn_that_reaches_its_last_record_and_not_before() -> None:
    log = Log(slice_records=10)
    told, when = _told(log, [4, 5, 20, 1])
    assert [found.offset for found in told] == [4, 9, 29, 30]
    assert when == [(1, 10), (1, 10), (3, 30), (3, 30)]


def test_others_have_their_turn_between_two_slices() -> None:
    log, seen = Log(slice_records=1), []

    async def work() -> None:
        turns, done = Turns(log.behind, log.turn, log.all), asyncio.Event()
        log.end = 5
        turns.wait(Appended(0, 5), lambda _: done.set())
        while not done.is_set():
            seen.append(log.turns)
            await asyncio.sleep(0)

    asyncio.run(work())
    assert seen == [0, 1, 2, 3, 4][: len(seen)]
    assert len(seen) >= 5


def test_much_at_once_is_taken_in_on_another_thread() -> None:
    log = Log(slice_records=10)
    told, _ = _told(log, [AT_ONCE + 1, 3])
    assert [found.offset for found in told] == [AT_ONCE + 1, AT_ONCE + 4]
    assert (log.aside, log.turns) == (1, 0)


def test_a_fault_is_told_to_all_who_wait_and_the_next_commit_is_taken_in() -> None:
    log = Log(slice_records=10)
    log.fault = ZeroDivisionError("inside")
    told, _ = _told(log, [1, 2])
    assert told == [log.fault, log.fault]
    log.fault, log.reached = None, 0
    assert _told(log, [1, 2])[0] == [Receipt(1, 0, 1), Receipt(2, 0, 3)]


@pytest.mark.parametrize(("share", "lists"), [(0.0, 1), (0.01, 1), (0.2, 1), (0.2, 3), (1.0, 1), (1.0, 7)])
def test_a_slice_holds_no_more_judged_events_than_it_may_and_as_many(share: float, lists: int) -> None:
    judging, offset, left, seen = Judging(share=share, seed=3), 1000, 300, []
    while left:
        n = judging.within(left, offset, lists)
        assert 0 < n <= left
        drawn = judging.drawn(n, offset)
        assert drawn.sum() <= lists
        if n < left:
            assert judging.drawn(n + 1, offset).sum() == lists + 1
        seen.extend(drawn.tolist())
        offset, left = offset + n, left - n
    assert seen == judging.drawn(300, 1000).tolist()  # the same events are chosen, however they are cut


def test_a_batch_taken_in_by_turns_teaches_what_it_teaches_at_once(tmp_path: Path) -> None:
    settings = Settings(mixture=MixtureSettings(experts=("popularity", "transitions")))
    events = [Event(user=f"u{n % 7}", item=f"i{n * n % 11}", ts=1_740_000_000_000 + 1000 * n) for n in range(450)]
    learned: list[dict[str, Any]] = []
    for way in ("at once", "by turns"):
        with Recommender.open(tmp_path / way, settings, FakeClock()) as shop:
            shop._allowance = Allowance(0.2, 20, lambda: 0.0, lambda: 0.0)  # time stands still
            receipt = shop.ingest(events) if way == "at once" else asyncio.run(shop.ingest_soon(events))
            assert receipt == Receipt(450, 0, 450)
            assert 5 <= shop._core.judged <= 40
            learned.append({"judged": shop._core.judged} | shop._core.parts())
    one, other = learned
    assert one.pop("judged") == other.pop("judged")
    for part, arrays in one.items():
        for name, array in arrays.items():
            np.testing.assert_allclose(array, other[part][name], rtol=1e-5, atol=1e-6, err_msg=f"{part}/{name}")


def test_batches_that_wait_for_each_other_are_no_backlog(tmp_path: Path) -> None:
    settings = Settings(
        mixture=MixtureSettings(experts=("popularity", "transitions"), judge_share=1.0),
        engine=EngineSettings(live_events=10, catch_up_judge_share=0.0),
    )
    told: list[int] = []

    async def work(shop: Recommender) -> None:
        for first in range(0, 60, 6):
            events = [
                Event(user="u", item=f"i{n % 11}", ts=1_740_000_000_000 + 1000 * n) for n in range(first, first + 6)
            ]
            await shop.ingest_soon(events)
            told.append(shop.log.end - shop._core.offset)

    with Recommender.open(tmp_path, settings, FakeClock()) as shop:
        shop._allowance = Allowance(0.0, 1)  # all that it likes
        asyncio.run(work(shop))
        shop.update()
        assert max(told) == 6, "some were answered before they were taken in, and never more than is live"
        assert shop._core.judged == 60


def test_few_are_answered_for_at_once_and_taken_in_together_soon_after() -> None:
    log, told, owed, durable = Log(slice_records=200), list[Any](), list[int](), list[int]()

    async def work() -> None:
        def owe(offset: int) -> bool:
            owed.append(offset)
            return True

        turns = Turns(log.behind, log.turn, log.all, owe, durable=durable.append)
        for n in range(5):
            log.end += 1
            turns.wait(Appended(n, n + 1), told.append)
        assert [found.offset for found in told] == [1, 2, 3, 4, 5] == owed
        assert log.turns == 0
        await asyncio.sleep(0)
        assert durable == [5]  # whoever learns beside hears of a commit once, and does not wait for the turn
        assert log.turns == 0
        while log.reached < 5:
            await asyncio.sleep(0.001)
        log.end += 1 + LATER
        turns.wait(Appended(5, 6 + LATER), told.append)  # so many wait for their turn
        assert log.turns == 1  # which comes when those who were told have their answers
        await asyncio.sleep(0)
        assert (log.turns, log.reached, told[-1].offset) == (2, 6 + LATER, 6 + LATER)

    asyncio.run(asyncio.wait_for(work(), 10))
    assert owed == [1, 2, 3, 4, 5]


def test_what_was_answered_for_is_taken_in_to_its_end_in_slices() -> None:
    log = Log(slice_records=2)

    async def work() -> None:
        turns = Turns(log.behind, log.turn, log.all, lambda _: True)
        log.end = 7
        turns.wait(Appended(0, 7), lambda _: None)
        while log.reached < 7:
            await asyncio.sleep(0.001)

    asyncio.run(asyncio.wait_for(work(), 10))
    assert log.turns == 4


def test_a_fault_that_nobody_waits_for_is_noted() -> None:
    log, noted = Log(slice_records=2), list[Exception]()
    log.fault = ZeroDivisionError("inside")

    async def work() -> None:
        turns = Turns(log.behind, log.turn, log.all, lambda _: True, noted.append)
        log.end = 1
        turns.wait(Appended(0, 1), lambda _: None)
        while not noted:
            await asyncio.sleep(0.001)

    asyncio.run(asyncio.wait_for(work(), 10))
    assert noted == [log.fault]

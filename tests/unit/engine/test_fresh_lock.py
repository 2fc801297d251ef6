"""The lock of what is known: nobody looks before what was answered for is taken in."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from everbrook import Recommender
from everbrook.engine.fresh_lock import FreshLock
from everbrook.engine.turns import LATER_S, Receipt
from everbrook.events.records import Event
from everbrook.settings import Settings, load_settings

SETTINGS = load_settings(assignments=["learner.mode=off"]).settings


def test_what_is_owed_is_taken_in_once_by_the_first_who_looks() -> None:
    taken: list[int] = []
    lock = FreshLock(taken.append)
    with lock, lock:
        assert taken == []
    lock.owe(3)
    lock.owe(2)
    with lock:
        assert taken == [3]
        lock.owe(5)  # by an event loop, meanwhile
        with lock:  # in the middle of looking nothing moves
            assert taken == [3]
    with lock.bare:
        assert taken == [3]
    with lock:
        assert taken == [3, 5]


def test_only_one_thread_holds_it_and_a_fault_inside_lets_go_of_it() -> None:
    lock = FreshLock(lambda _: None)
    seen: list[bool] = []

    def look() -> None:
        seen.append(lock.bare.acquire(blocking=False))

    with lock:
        other = threading.Thread(target=look)
        other.start()
        other.join()
    assert seen == [False]
    with pytest.raises(ZeroDivisionError), lock:
        raise ZeroDivisionError
    look()
    assert seen == [False, True]


def test_an_event_is_answered_before_it_is_taken_in_and_whoever_looks_finds_it(tmp_path: Path) -> None:
    with Recommender.open(tmp_path / "data", SETTINGS) as shop:
        shop.ingest([{"user": "u0", "item": "i0"}])
        before = shop._core.offset

        async def work() -> Receipt:
            receipt = await shop.ingest_soon([Event(user="u1", item="i1", ts=1_000)])
            assert shop._core.offset == before < receipt.offset
            assert shop.user("u1")["events"] == [{"item": "i1", "kind": "view", "ts": 1_000}]
            assert shop._core.offset == receipt.offset
            return receipt

        asyncio.run(work())


def test_what_nobody_looks_at_is_taken_in_soon(tmp_path: Path) -> None:
    with Recommender.open(tmp_path / "data", SETTINGS) as shop:

        async def work() -> None:
            receipts = [await shop.ingest_soon([Event(user="u1", item=f"i{n}", ts=1_000)]) for n in range(3)]
            for _ in range(500):
                if shop._core.offset == receipts[-1].offset:
                    return
                await asyncio.sleep(LATER_S)
            raise AssertionError("It was not taken in.")

        asyncio.run(work())


def test_where_each_portion_moves_weights_a_batch_is_taken_in_before_it_is_answered(tmp_path: Path) -> None:
    settings: Settings = load_settings(assignments=["learner.mode=inside"]).settings
    with Recommender.open(tmp_path / "data", settings) as shop:
        shop.ingest([{"user": "u0", "item": "i0"}])

        async def work() -> None:
            receipt = await shop.ingest_soon([Event(user="u1", item="i1", ts=1_000)])
            assert shop._core.offset == receipt.offset

        asyncio.run(work())


def test_a_fault_in_taking_in_is_told_and_lists_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Recommender.open(tmp_path / "data", SETTINGS) as shop:
        shop.ingest([{"user": "u0", "item": "i0"}])

        async def work() -> None:
            await shop.ingest_soon([Event(user="u1", item="i1", ts=1_000)])

        with monkeypatch.context() as patched:
            patched.setattr(shop, "_catch_up", lambda *_: 1 // 0)
            asyncio.run(work())
            assert [item.id for item in shop.recommend(user="u1").items] == ["i0"]
            assert "could not be taken in" in shop.errors[-1]
        shop.update()
        assert {item.id for item in shop.recommend(user="u2").items} == {"i0", "i1"}


def test_of_what_a_list_finds_owed_about_one_event_is_judged_and_all_are_learned(tmp_path: Path) -> None:
    given = load_settings(assignments=["learner.mode=off", "engine.judge_core_share=0"]).settings
    events = [Event(user=f"u{n % 7}", item=f"i{n % 11}", kind="view", ts=1_000 + n) for n in range(100)]

    async def send(shop: Recommender) -> int:
        await shop.ingest_soon(events)
        assert shop._core.offset < shop.log.end
        before = shop._core.judged
        shop.recommend(user="u1", k=5)
        assert shop._core.offset == shop.log.end
        return shop._core.judged - before

    with Recommender.open(tmp_path / "data", given) as shop:
        shop.ingest([{"user": "u0", "item": "i0"}])
        judged = [asyncio.run(send(shop)) for _ in range(20)]
        assert 5 <= sum(judged) <= 50
        assert max(judged) <= 6
        before = shop._core.judged
        shop.ingest(events)  # nobody waits for a list
        assert shop._core.judged - before > 50  # all but what the influence guard holds back

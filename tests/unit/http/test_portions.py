"""Wishes that wait at the same time are granted together, each with its own answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
import pytest

from everbrook.errors import EverbrookError, InputError
from everbrook.http.direct import Outcome
from everbrook.http.portions import CROWDED_HOLD_S, HOLD_S, MOST, Portions
from everbrook.rank.requests import ModelStamp, Recommend, Recommendation

STAMP = ModelStamp(version="v", offset=1, age_ms=0)


class Maker:
    """Makes empty lists and remembers in which portions."""

    def __init__(self) -> None:
        self.portions: list[list[str | None]] = []

    def make(self, wishes: Sequence[Recommend]) -> list[Recommendation | EverbrookError]:
        """A list named after its user."""
        self.portions.append([wish.user for wish in wishes])
        if any(wish.user == "breaks" for wish in wishes):
            raise RuntimeError("It broke.")
        return [
            InputError("It must be right.") if wish.user == "wrong" else
            Recommendation(request=str(wish.user), items=(), model=STAMP, took_ms=1.0) for wish in wishes
        ]  # fmt: skip


def asked(*users: str) -> tuple[Maker, dict[str, Outcome], list[str]]:
    """What became of wishes that arrived in one turn of the loop, and the order in which things happened."""
    maker, outcomes, order = Maker(), {}, []

    async def all_of_them() -> None:
        portions = Portions(maker.make)

        def answered(user: str, outcome: Outcome) -> None:
            outcomes[user] = outcome
            order.append(user)

        for user in users:
            portions.add(Recommend(user=user), lambda outcome, user=user: answered(user, outcome))
        assert not maker.portions  # others may still come in this turn
        asyncio.get_running_loop().call_soon(order.append, "another")
        while len(outcomes) < len(users):
            await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(all_of_them(), 20))
    return maker, outcomes, order


def test_wishes_of_one_turn_are_one_portion_and_each_gets_its_own_answer() -> None:
    maker, outcomes, _ = asked("a", "wrong", "b")
    assert maker.portions == [["a", "wrong", "b"]]
    for user in ("a", "b"):
        assert msgspec.json.decode(outcomes[user], type=Recommendation).request == user
    assert isinstance(outcomes["wrong"], InputError)


def test_the_loop_goes_on_between_two_portions() -> None:
    users = [f"u{n}" for n in range(2 * MOST + 1)]
    maker, _, order = asked(*users)
    assert [len(portion) for portion in maker.portions] == [MOST, MOST, 1]
    assert [user for portion in maker.portions for user in portion] == users
    assert order.index("another") == MOST


def test_a_fault_is_told_to_all_of_its_portion_and_to_no_other() -> None:
    _, outcomes, _ = asked(*[f"u{n}" for n in range(MOST - 1)], "breaks", "later")
    assert isinstance(outcomes["later"], bytes)
    assert all(isinstance(outcomes[user], RuntimeError) for user in ("u0", "breaks"))


@pytest.mark.parametrize(
    ("waiting", "list_s", "size"),
    [
        (MOST, HOLD_S / 100, MOST), (MOST, HOLD_S / 4, 4), (MOST, 10 * HOLD_S, 1),
        (MOST + 1, CROWDED_HOLD_S / 100, MOST), (MOST + 1, CROWDED_HOLD_S / 4, 4), (100, 10 * CROWDED_HOLD_S, 1),
    ],
)  # fmt: skip
def test_portions_are_as_large_as_the_loop_may_be_held_and_never_empty(waiting: int, list_s: float, size: int) -> None:
    now, sizes = 0.0, list[int]()

    def make(wishes: Sequence[Recommend]) -> list[Recommendation | EverbrookError]:
        nonlocal now
        now += list_s * len(wishes)
        sizes.append(len(wishes))
        return [InputError("It must be right.") for _ in wishes]

    async def work() -> None:
        portions, left = Portions(make, lambda: now), 0

        def answered(_: Outcome) -> None:
            nonlocal left
            left -= 1

        for several in [1] * 50 + [waiting]:  # first one at a time: what a list takes is known then
            sizes.clear()
            left = several
            for _ in range(several):
                portions.add(Recommend(), answered)
            while left:
                await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(work(), 20))
    assert sum(sizes) == waiting
    assert sizes[0] == size

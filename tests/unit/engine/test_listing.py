"""Lists made in one portion are those that are made one by one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest

from everbrook import Recommender
from everbrook.errors import InputError
from everbrook.events.columns import Coded, EventColumns
from everbrook.events.records import Impression
from everbrook.rank.requests import Recommend, Recommendation
from everbrook.settings import load_settings
from everbrook.testing.clock import FakeClock

SET = ("learner.mode=inside", "engine.catch_up_judge_share=0", "gate.start=live", "mixture.candidates=10")
SETTINGS = load_settings(environment={}, assignments=SET).settings
ITEMS, USERS, EVENTS = 120, 30, 900


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recommender]:
    """A shop that has learned, the live model with it."""
    clock, rng = FakeClock(), np.random.default_rng(0)
    items = np.minimum(5 * rng.pareto(1.0, EVENTS), ITEMS - 1).astype(np.int32)
    users = rng.integers(0, USERS, EVENTS).astype(np.int32)
    columns = EventColumns(
        clock.now_ms() - 1000 * np.arange(EVENTS, 0, -1, dtype=np.int64),
        Coded(users, [f"u{n}" for n in range(USERS)]), Coded.missing(EVENTS),
        Coded(items, [f"i{n}" for n in range(ITEMS)]), Coded(np.zeros(EVENTS, np.int32), ["view"]),
        Coded.missing(EVENTS), np.full(EVENTS, np.nan, np.float32),
    )  # fmt: skip
    with Recommender.open(tmp_path_factory.mktemp("listing") / "data", SETTINGS, clock) as opened:
        opened.put_items([{"id": f"i{n}", "properties": {"price": n}} for n in range(ITEMS)])
        opened.import_columns(columns)
        yield opened


def plain(answer: Any) -> Any:
    """What an answer says, but for its name and how long it took."""
    assert isinstance(answer, Recommendation)
    return msgspec.structs.replace(answer, request="", took_ms=0.0)


WISHES = [
    *(Recommend(user=f"u{n}", k=5 + n) for n in range(6)), Recommend(k=3), Recommend(user="stranger", item="i3"),
    Recommend(user="u7", filter="price < 40", explain=False), Recommend(user="u8", diversity=0.5, exclude_seen=True),
]


def test_a_portion_gives_each_the_list_that_it_gets_alone(shop: Recommender) -> None:
    alone = [plain(shop.recommend(wish)) for wish in WISHES]
    assert all(one.items for one in alone)
    assert [plain(one) for one in shop.recommend_many(WISHES)] == alone
    assert [plain(one) for one in shop.recommend_many(WISHES[::-1])] == alone[::-1]
    assert len({one.request for one in shop.recommend_many(WISHES)}) == len(WISHES)


def test_a_wrong_wish_harms_no_other_of_its_portion(shop: Recommender) -> None:
    good, wrong, late = shop.recommend_many([WISHES[0], Recommend(k=0), WISHES[1]])
    assert isinstance(wrong, InputError)
    assert [plain(good), plain(late)] == [plain(one) for one in shop.recommend_many(WISHES[:2])]
    with pytest.raises(InputError, match="'k' must be between 1 and"):
        shop.recommend(k=0)
    assert shop.recommend_many([]) == []


def test_all_lists_of_a_portion_are_written_down(shop: Recommender) -> None:
    shop.put_users([{"id": "u1"}])  # what was shown before is written first
    shop.put_users([{"id": "u1"}])  # lists of before are written by then
    start = shop.log.end
    answers = shop.recommend_many(WISHES[:4])
    shop.put_users([{"id": "u1"}])
    runs = list(shop.log.runs(start, shop.log.end, ("impression",)))
    written = [record for run in runs for record in run.records if isinstance(record, Impression)]
    assert [one.request for one in written] == [one.request for one in answers if isinstance(one, Recommendation)]

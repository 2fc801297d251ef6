"""Batches that bring more kinds or scenarios than there may be: refused before they are in the log, or harmless."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from everbrook import Recommender
from everbrook.errors import DataError, InputError, RecordError
from everbrook.events.checking import check
from everbrook.events.columns import EventColumns
from everbrook.events.importing import open_source
from everbrook.events.log_intake import check_events
from everbrook.events.records import MAX_NAMES
from everbrook.settings import Settings
from everbrook.settings.mixture import MixtureSettings
from everbrook.settings.state import StateSettings
from everbrook.state import State
from everbrook.testing.clock import FakeClock

SETTINGS = Settings(
    mixture=MixtureSettings(experts=("popularity", "transitions")),
    state=StateSettings(kinds={"view": 1.0}, scenarios=()),
)  # fmt: skip
ROOM = 3


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Recommender]:
    """A shop with room for few names."""
    with Recommender.open(tmp_path / "shop", SETTINGS, FakeClock()) as opened:
        narrow(opened)
        yield opened


def narrow(shop: Recommender) -> State:
    """Its state, in which the next names but few have no room."""
    state = shop._core.state
    state.scenarios.most, state.kinds.names.most = ROOM, ROOM + 1
    return state


def events(field: str, *names: str) -> list[dict[str, Any]]:
    """An event for each name."""
    return [{"user": "u", "item": f"i{at}", field: name} for at, name in enumerate(names)]


@pytest.mark.parametrize("field", ["scenario", "kind"])
def test_a_batch_with_more_names_than_there_is_room_for_is_refused_and_not_kept(shop: Recommender, field: str) -> None:
    most = ROOM + (field == "kind")
    told = f"Record 4: Field '{field}' must be one of the known, as there may be {most} at most; got 'd'."
    with pytest.raises(RecordError) as raised:
        shop.ingest(events(field, "a", "a", "b", "c", "d"))
    assert (raised.value.message, raised.value.http_status, shop.log.end) == (told, 422, 0)
    with pytest.raises(RecordError) as raised:
        asyncio.run(shop.ingest_soon(check_events(events(field, "a", "b", "b", "c", "d"), 0, 0)))
    assert (raised.value.message, shop.log.end) == (told, 0)
    assert shop.ingest(events(field, "a", "b", "c", "b")).accepted == 4
    assert shop.ingest(events(field, "c", "a")).accepted == 2
    with pytest.raises(RecordError, match="Record 0: "):
        shop.ingest(events(field, "d"))
    assert shop.ingest([{"user": "v", "item": "i9"}]).accepted == 1


def test_an_import_with_more_names_than_there_is_room_for_is_refused_and_not_kept(shop: Recommender) -> None:
    given = check_events(events("scenario", "a", "b", "c", "d"), 0, 0)
    shop.ingest(events("scenario", "a"))
    with pytest.raises(InputError) as raised:
        shop.import_columns(EventColumns.from_records(given))
    assert raised.value.message == "There must be at most 3 scenarios; got 3 new beside 1 known."
    assert shop.log.end == 1
    assert shop.import_columns(EventColumns.from_records(given[:3])).accepted == 3


def test_a_log_that_holds_more_names_than_there_is_room_for_is_taken_in_and_served_from(shop: Recommender) -> None:
    given = check_events(events("scenario", "a", "b", "c", "d", "e") + events("kind", "k", "l", "m", "n"), 0, 0)
    shop.log.append(given)  # as it is where nobody knew yet how many there are
    assert shop.update() == len(given)
    state = shop._core.state
    assert (len(state.scenarios), len(state.kinds)) == (ROOM, ROOM + 1)
    assert {one.id for one in shop.recommend(scenario="c").items} == {f"i{at}" for at in range(5)}
    assert shop.ingest([{"user": "v", "item": "i9"}]).accepted == 1


def test_a_file_with_more_scenarios_than_any_state_has_room_for_is_refused_whole(tmp_path: Path) -> None:
    path, n = tmp_path / "events.csv", MAX_NAMES + 1
    rows = "".join(f"u,i,{1_700_000_000_000 + at},s{at}\n" for at in range(n))
    path.write_text("user,item,ts,scenario\n" + rows)
    told = f"have at most {MAX_NAMES:,} different scenarios; they have {n:,}"
    with pytest.raises(DataError) as raised:
        open_source(path).load()
    assert raised.value.message == f"The events of '{path}' must {told}."
    assert [line.text for line in check(path).lines if line.level == "FAIL"] == [f"events must {told}"]

"""More kinds or scenarios than there are rows for: taken as none, the same however the log is cut."""

from __future__ import annotations

import numpy as np
import pytest

from everbrook.events.columns import Coded, EventColumns
from everbrook.events.records import MAX_NAMES
from everbrook.settings.state import StateSettings
from everbrook.state import State
from everbrook.state.ids import IdMap
from everbrook.testing.probes import same_arrays
from everbrook.types import NO_ROW

B = 600
MOST = 20


def columns(seed: int = 0) -> EventColumns:
    """Events that name about three times as many scenarios and kinds as there is room for."""
    rng = np.random.default_rng(seed)

    def coded(mark: str, n: int) -> Coded:
        codes = rng.integers(0, n, B).astype(np.int32)
        return Coded(codes, [f"{mark}{code}" for code in range(n)])

    nobody = Coded(np.full(B, NO_ROW, np.int32), [])
    return EventColumns(
        ts_ms=np.arange(B, dtype=np.int64) * 1000, user=coded("u", 7), session=nobody, item=coded("i", 30),
        kind=coded("k", 60), scenario=coded("s", 60), value=np.full(B, np.nan, np.float32),
    )  # fmt: skip


def small() -> State:
    """A state with room for few names."""
    state = State(StateSettings(kinds={"view": 0.5}, scenarios=("home",)))
    state.scenarios.most = state.kinds.names.most = MOST
    return state


def expected(coded: Coded, first: str, otherwise: int) -> list[int]:
    """The row of each event's name, by the plainest way there is."""
    rows = {first: 0}
    found = []
    for code in coded.codes.tolist():
        name = coded.names[code]
        if name not in rows and len(rows) < MOST:
            rows[name] = len(rows)
        found.append(rows.get(name, otherwise))
    return found


@pytest.mark.parametrize("portion", [1, 5, 64, B])
def test_names_beyond_the_most_are_none_however_the_log_is_cut(portion: int) -> None:
    state, events = small(), columns()
    steps = list(state.steps(events, portion))
    assert np.concatenate([step.scenario for step in steps]).tolist() == expected(events.scenario, "home", NO_ROW)
    assert np.concatenate([step.kind for step in steps]).tolist() == expected(events.kind, "view", 0)
    assert len(state.scenarios) == len(state.kinds) == MOST
    assert [state.scenarios.room, state.kinds.names.room] == [0, 0]
    assert int(state.kinds.events().sum()) == B


@pytest.mark.parametrize("portion", [1, 5, 64])
def test_the_state_is_the_same_however_the_log_is_cut_or_begun_again(portion: int) -> None:
    whole, cut, events = small(), small(), columns()
    whole.fold(events)
    for _ in cut.steps(events.slice(0, B // 2), portion):
        pass
    again = small()
    again.load(cut.arrays())
    list(again.steps(EventColumns.from_records(events.slice(B // 2, B).records()), portion))
    same_arrays(again.arrays(), whole.arrays(), "after another cut and a new start")


def test_so_many_distinct_names_that_no_row_holds_them_are_absorbed() -> None:
    n = MAX_NAMES + 500
    nobody = Coded(np.full(n, NO_ROW, np.int32), [])
    codes = np.arange(n, dtype=np.int32)
    state, one = State(), np.zeros(n, np.int32)
    step = state.fold(
        EventColumns(
            ts_ms=np.arange(n, dtype=np.int64), user=Coded(one, ["u"]), session=nobody, item=Coded(one, ["i"]),
            kind=Coded(codes, [f"k{code}" for code in range(n)]),
            scenario=Coded(codes, [f"s{code}" for code in range(n)]), value=np.full(n, np.nan, np.float32),
        ),
        contexts=False,
    )  # fmt: skip
    known = len(StateSettings().scenarios)
    assert len(state.scenarios) == len(state.kinds) == MAX_NAMES
    assert step.scenario[: MAX_NAMES - known].tolist() == list(range(known, MAX_NAMES))
    assert set(step.scenario[MAX_NAMES - known :].tolist()) == {NO_ROW}
    assert set(step.kind[MAX_NAMES - len(StateSettings().kinds) :].tolist()) == {0}


def test_ids_kept_by_a_version_that_knew_no_limit_are_cut_to_it() -> None:
    before = IdMap([f"s{n}" for n in range(30)])
    after = IdMap(most=MOST)
    after.load(before.arrays())
    assert after.names() == before.names()[:MOST]
    assert (after.row("s19"), after.row("s20"), after.add("s25"), len(after)) == (19, NO_ROW, NO_ROW, MOST)

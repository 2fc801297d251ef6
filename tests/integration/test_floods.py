"""Floods against the whole engine: how far bots can push one item into other people's lists, and what stays of it."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np
import pytest

from everbrook.engine import Core, Judging
from everbrook.engine.building import new_core
from everbrook.events.columns import EventColumns
from everbrook.rank.mixture import Judgement
from everbrook.settings import Settings
from everbrook.settings.guard import GuardSettings
from everbrook.settings.mixture import MixtureSettings
from everbrook.testing.floods import Flood
from everbrook.testing.probes import same_arrays
from everbrook.testing.world_config import WorldConfig
from everbrook.testing.worlds import World
from everbrook.types import Bool, Step

HOUR_MS = 3_600_000
TOP = 10
GUARD = GuardSettings(least_events=100)
GUARDED = Settings(
    mixture=MixtureSettings(experts=("popularity", "transitions", "repeats", "neighbours")), guard=GUARD
)
BARE = msgspec.structs.replace(GUARDED, guard=GuardSettings(enabled=False))
WORLD = World(
    WorldConfig(
        seed=5, days=0.6, events_per_day=12_000, items=400, users=300, taste=1.0, popularity=0.7, successors=3,
        follow=1.0, visit_events=6, day_swing=0.0,
    )
)  # fmt: skip
PEOPLE = WORLD.all_events()
START_MS = WORLD.config.start_ms + 7 * HOUR_MS
STOP_MS = START_MS + 3 * HOUR_MS


def _rare_item() -> str:
    """An item that people take, though seldom: half of the items are taken more often."""
    counts = np.bincount(PEOPLE.item.codes, minlength=len(PEOPLE.item.names))
    return PEOPLE.item.names[int(np.argsort(counts)[len(counts) // 2])]


TARGET = _rare_item()


@dataclass(frozen=True, slots=True)
class PeopleOnly(Judging):
    """Judges a share of people's events, the same ones whatever bots come between."""

    people: Bool | None = None

    def chosen(self, step: Step, offset: int) -> Bool:
        """(B,) whether each event is judged."""
        assert self.people is not None
        number = np.cumsum(self.people) - 1
        mask = self.people & (number % 3 == 0)
        return mask[offset : offset + len(step)] & (step.weight > 0)


class Lists:
    """What people's lists held, by the time they were made."""

    def __init__(self) -> None:
        self.ts_ms: list[int] = []
        self.hit: list[bool] = []
        self.held: list[bool] = []
        self.target = -1

    def __call__(self, step: Step, b: int, judgement: Judgement) -> None:
        w = judgement.weighed
        best = w.rows[: w.shown][np.argsort(-w.final[: w.shown], kind="stable")[:TOP]]
        self.ts_ms.append(int(step.ts_ms[b]))
        self.hit.append(0 < judgement.rank <= TOP)
        self.held.append(bool((best == self.target).any()))

    def between(self, start_ms: int, stop_ms: int) -> tuple[float, float]:
        """Share of lists that hit, and that held the target."""
        at = np.array(self.ts_ms)
        inside = (at >= start_ms) & (at < stop_ms)
        return float(np.array(self.hit)[inside].mean()), float(np.array(self.held)[inside].mean())


def lived(settings: Settings, flood: Flood | None) -> tuple[Core, Lists]:
    """A core after the whole stream, and the lists that people got on the way."""
    columns, people = (PEOPLE, np.ones(len(PEOPLE), np.bool_)) if flood is None else flood.into(PEOPLE)
    core, lists = new_core(settings), Lists()
    judging = PeopleOnly(people=people)
    for a in range(0, len(columns), 512):
        _lived_piece(core, columns.slice(a, min(a + 512, len(columns))), judging, lists)
    return core, lists


def _lived_piece(core: Core, piece: EventColumns, judging: Judging, lists: Lists) -> None:
    folded = core.fold(piece)
    lists.target = core.state.items.row(TARGET)
    core.learn(folded.learned, judging, lists, folded.happened)


@pytest.fixture(scope="module")
def calm() -> Lists:
    """Without a flood."""
    return lived(GUARDED, None)[1]


@pytest.mark.parametrize("actors", [1, 100, 10_000])
def test_a_flood_raises_its_target_by_no_more_than_people_bear_out(actors: int, calm: Lists) -> None:
    """Half of all events are the bots': their item stays out of people's lists, which stay as good, and all returns."""
    flood = Flood(actors, TARGET, START_MS, STOP_MS)
    core, lists = lived(GUARDED, flood)
    settled_ms = START_MS + HOUR_MS // 4  # what counts freely at first has faded
    quality, held = lists.between(settled_ms, STOP_MS)
    calm_quality, calm_held = calm.between(settled_ms, STOP_MS)
    assert held <= calm_held + 0.15
    assert quality >= calm_quality - 0.03
    quality, held = lists.between(STOP_MS + HOUR_MS // 4, WORLD.config.end_ms)
    calm_quality, calm_held = calm.between(STOP_MS + HOUR_MS // 4, WORLD.config.end_ms)
    assert held <= calm_held + 0.05
    assert quality >= calm_quality - 0.03
    assert core.guard is not None
    assert core.guard.held_back > 500


def test_without_the_guard_the_same_flood_stands_in_every_list(calm: Lists) -> None:
    flood = Flood(1, TARGET, START_MS, STOP_MS)
    _, lists = lived(BARE, flood)
    _, held = lists.between(START_MS + HOUR_MS // 4, STOP_MS)
    assert held > 0.9
    assert calm.between(START_MS, STOP_MS)[1] < 0.1


def test_the_mixture_learns_nothing_from_events_that_do_not_count() -> None:
    """Its weights after a flood by one bot are those of a world in which the bot did only what counted."""
    flood = Flood(1, TARGET, START_MS, STOP_MS)
    columns, people = flood.into(PEOPLE)
    still = Judging(share=0.0)
    full, bare = new_core(GUARDED), new_core(GUARDED)
    counted = np.zeros(len(columns), np.bool_)
    for a in range(0, len(columns), 512):
        folded = full.fold(columns.slice(a, min(a + 512, len(columns))))
        counted[a : a + len(folded.learned)] = folded.learned.weight > 0
        full.learn(folded.learned, still)
    assert bare.guard is not None
    bare.guard = None
    bare.absorb_events(columns.take(counted), still)
    assert (~people & counted).sum() < 30
    np.testing.assert_allclose(full.mixture.top, bare.mixture.top, atol=0.02)
    np.testing.assert_allclose(full.mixture.pools[0, 0], bare.mixture.pools[0, 0], atol=0.02)
    assert full.mixture.loss[1] == bare.mixture.loss[1] == counted.sum()


def test_a_flood_cannot_blow_up_the_stacker() -> None:
    """Every list of every bot is judged: the stacker's weights stay in the size that people's events give them."""
    calm_core, _ = lived(GUARDED, None)
    columns, _ = Flood(10_000, TARGET, START_MS, STOP_MS).into(PEOPLE)
    core = new_core(GUARDED)
    core.absorb_events(columns.slice(0, len(columns)), Judging(share=0.3))
    assert np.isfinite(core.mixture.stacker.theta).all()
    assert np.abs(core.mixture.stacker.theta).max() < 3 * np.abs(calm_core.mixture.stacker.theta).max()


def test_histories_keep_what_the_guard_holds_back() -> None:
    flood = Flood(1, TARGET, START_MS, STOP_MS)
    columns, _ = flood.into(PEOPLE)
    guarded, bare = new_core(GUARDED), new_core(BARE)
    one, two = guarded.fold(columns), bare.fold(columns)
    assert (one.learned.weight == 0).sum() > 500
    assert one.happened.weight.tolist() == two.happened.weight.tolist()
    for name in ("n", "session_n", "items", "times", "kinds"):
        assert getattr(one.learned, name) is getattr(one.happened, name)
    same_arrays(guarded.state.arrays(), bare.state.arrays(), "with and without the guard")


def test_a_checkpoint_carries_the_guard() -> None:
    columns, _ = Flood(100, TARGET, START_MS, STOP_MS).into(PEOPLE)
    cut = int(np.searchsorted(columns.ts_ms, START_MS + HOUR_MS))
    whole, first, second = new_core(GUARDED), new_core(GUARDED), new_core(GUARDED)
    before, after = whole.fold(columns.slice(0, cut)), whole.fold(columns.slice(cut, len(columns)))
    assert first.fold(columns.slice(0, cut)).learned.weight.tolist() == before.learned.weight.tolist()
    second.load(first.parts())
    resumed = second.fold(columns.slice(cut, len(columns)))
    assert resumed.learned.weight.tolist() == after.learned.weight.tolist()

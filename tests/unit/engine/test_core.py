"""The core: what it judges, what it learns, and that neither depends on how the log is cut."""

from __future__ import annotations

import itertools
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from everbrook.engine import Core, Judging
from everbrook.engine.building import new_core
from everbrook.errors import UnknownNameError
from everbrook.events.columns import EventColumns
from everbrook.events.log import Run
from everbrook.events.records import Deletion, ItemChange, UserChange
from everbrook.rank.mixture import Judgement
from everbrook.settings import Settings
from everbrook.settings.mixture import MixtureSettings
from everbrook.testing.probes import copied, same_arrays
from everbrook.testing.world_config import preset
from everbrook.testing.worlds import World
from everbrook.types import Step

EXPERTS = ("popularity", "transitions", "repeats", "neighbours", "collaborative", "content", "rules")
COUNTING = Settings(mixture=MixtureSettings(experts=EXPERTS))
ALL = Judging(share=1.0)
STILL = Judging(share=1.0, learn=False)


class Notes:
    """Remembers what was judged."""

    def __init__(self) -> None:
        self.events: list[tuple[int, int, Judgement]] = []

    def __call__(self, step: Step, b: int, judgement: Judgement) -> None:
        self.events.append((int(step.ts_ms[b]), int(step.item[b]), judgement))

    @property
    def which(self) -> list[tuple[int, int]]:
        """Time and item of each."""
        return [(ts_ms, item) for ts_ms, item, _ in self.events]


@pytest.fixture(scope="module")
def world() -> World:
    """A small shop."""
    return World(preset("shop", items=80, users=40, days=4, events_per_day=120, seed=4))


@pytest.fixture(scope="module")
def columns(world: World) -> EventColumns:
    """What happened there."""
    return world.all_events()


def absorbed(
    columns: EventColumns, cuts: list[int], judging: Judging, notes: Notes | None = None, core: Core | None = None
) -> Core:
    """A core that took the events in pieces."""
    core = core or new_core(COUNTING)
    edges = [0, *cuts, len(columns)]
    for start, stop in itertools.pairwise(edges):
        core.absorb(Run("event", np.arange(start, stop), columns.slice(start, stop)), judging, notes)
    return core


def test_which_events_are_judged_does_not_depend_on_how_the_log_is_cut(columns: EventColumns) -> None:
    judging = Judging(share=0.2, seed=3)
    whole, cut = Notes(), Notes()
    absorbed(columns, [], judging, whole)
    absorbed(columns, [1, 2, 77, 300, 301], judging, cut)
    assert whole.which == cut.which
    assert 0.12 * len(columns) < len(whole.which) < 0.28 * len(columns)


def test_how_the_log_is_cut_changes_nothing_that_is_learned(world: World, columns: EventColumns) -> None:
    judging = Judging(share=0.2, seed=3)
    cores, ranks = [], []
    for cuts in ([], [1, 50, 77, 300, 301]):
        core, notes = new_core(COUNTING), Notes()
        core.absorb_records(world.item_changes())
        cores.append(absorbed(columns, cuts, judging, notes, core))
        ranks.append(np.stack([judgement.ranks for _, _, judgement in notes.events]))
    one, two = cores
    assert (one.offset, one.events) == (two.offset, two.events) == (len(columns), len(columns))
    same_arrays(one.state.arrays(), two.state.arrays(), "however the log is cut")
    assert (ranks[0] == ranks[1]).mean() > 0.99  # sums in another order move a few near-ties
    np.testing.assert_allclose(two.mixture.top, one.mixture.top, rtol=1e-3)


def test_other_seeds_judge_other_events(columns: EventColumns) -> None:
    step = new_core(COUNTING).state.fold(columns)
    one, two = (Judging(share=0.3, seed=seed).chosen(step, 0) for seed in (1, 2))
    assert (one != two).any()
    np.testing.assert_array_equal(one, Judging(share=0.3, seed=1).chosen(step, 0))


def test_the_events_that_chance_chooses_are_those_of_splitmix64() -> None:
    def number(event: int, seed: int) -> float:
        whole = (1 << 64) - 1
        z = ((event + seed * 0x9E3779B97F4A7C15 + 0x9E3779B97F4A7C15) & whole) * 0x9E3779B97F4A7C15 & whole
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & whole
        z = (z ^ z >> 27) * 0x94D049BB133111EB & whole
        return ((z ^ z >> 31) >> 11) * 2.0**-53

    for seed, share in ((0, 0.3), (5, 0.02), (1234567, 0.9)):
        expected = [number(event, seed) < share for event in range(10**6, 10**6 + 500)]
        assert Judging(share=share, seed=seed).drawn(500, 10**6).tolist() == expected


def test_the_share_that_is_judged_is_the_one_asked_for() -> None:
    many = 40_000
    zeros = np.zeros((many, 1), np.int32)
    plain = Step(*(np.zeros(many, np.int64),) * 3, *(np.zeros(many, np.int16),) * 2, *(np.ones(many, np.float32),) * 2,
                 *(np.zeros(many, np.int32),) * 2, zeros, zeros, zeros)  # fmt: skip
    for share in (0.01, 0.1, 0.5):
        found = Judging(share=share, seed=9).chosen(plain, 10**9).mean()
        assert found == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / many))
    assert Judging(share=1.0).chosen(plain, 5).all()
    assert not Judging(share=0.0).chosen(plain, 5).any()


def test_only_positive_events_are_judged_and_first_ones_where_asked(columns: EventColumns) -> None:
    step = new_core(COUNTING).state.fold(columns)
    weight = step.weight.copy()
    weight[::3], weight[1::7] = 0.0, -1.0
    marked = replace(step, weight=weight)
    assert (ALL.chosen(marked, 0) == (weight > 0)).all()
    later = Judging(share=1.0, first_of_session=False).chosen(marked, 0)
    assert (later == ((weight > 0) & (step.session_n > 0))).all()


def test_judging_only_changes_nothing(columns: EventColumns) -> None:
    core = absorbed(columns.slice(0, 300), [], Judging(share=0.1))
    step = core.state.fold(columns.slice(300, 400))
    core.grow()
    before, notes = copied(core.mixture.state()), Notes()
    core.judge_only(step, STILL, notes)
    assert len(notes.events) == int((step.weight > 0).sum())
    same_arrays(before, core.mixture.state(), "after judging only")
    among = np.arange(len(step)) % 2 == 0
    core.judge_only(step, STILL, half := Notes(), among)
    assert half.which == [(int(step.ts_ms[b]), int(step.item[b])) for b in np.flatnonzero(among & (step.weight > 0))]


def test_judging_only_may_teach_the_mixture_while_the_experts_stand_still(columns: EventColumns) -> None:
    core = absorbed(columns.slice(0, 300), [], Judging(share=0.1))
    step = core.state.fold(columns.slice(300, 340))
    core.grow()
    before = copied(core.mixture.state())
    core.judge_only(step, ALL)
    after = core.mixture.state()
    moved = {name for name, array in before.items() if array.tobytes() != after[name].tobytes()}
    assert {"top", "pools", "losses", "loss", "theta"} <= moved
    assert not {name for name in moved if "/" in name}


def test_an_event_is_judged_before_it_is_learned(columns: EventColumns) -> None:
    """What the notes say of event b is what a core that stopped just before it says."""
    notes = Notes()
    absorbed(columns.slice(0, 240), list(range(200, 240)), ALL, notes)
    for stop in (210, 239):
        core = absorbed(columns.slice(0, stop), list(range(200, stop)), ALL)
        step = core.state.fold(columns.slice(stop, stop + 1))
        core.grow()
        core.judge_only(step, STILL, alone := Notes())
        told = next(j for ts, item, j in notes.events if (ts, item) == (int(step.ts_ms[0]), int(step.item[0])))
        assert alone.events[0][2].logp == told.logp
        np.testing.assert_array_equal(alone.events[0][2].ranks, told.ranks)


def test_an_actor_who_is_left_what_he_had_is_not_judged_on_it(columns: EventColumns) -> None:
    notes = Notes()
    core = new_core(COUNTING)
    step = core.state.fold(columns)
    core.grow()
    core.learn(step, Judging(share=1.0, exclude_seen=True), notes)
    had = [bool((step.items[b, : step.n[b]] == step.item[b]).any()) for b in range(len(step))]
    expected = [(int(step.ts_ms[b]), int(step.item[b])) for b in range(len(step)) if step.weight[b] > 0 and not had[b]]
    assert notes.which == expected


def test_learning_tells_the_logarithm_for_every_target(columns: EventColumns) -> None:
    core, notes = new_core(COUNTING), Notes()
    step = core.state.fold(columns)
    core.grow()
    logp = core.learn(step, Judging(share=0.3, seed=1), notes)
    assert (np.isnan(logp) == (step.weight <= 0)).all()
    mask = Judging(share=0.3, seed=1).chosen(step, 0)
    np.testing.assert_array_equal(logp[mask], [j.logp for _, _, j in notes.events])


def test_what_was_kept_is_what_is_loaded(columns: EventColumns) -> None:
    old, new = absorbed(columns.slice(0, 300), [], Judging(share=0.2)), new_core(COUNTING)
    new.load({name: copied(part) for name, part in old.parts().items()})
    for part, arrays in old.parts().items():
        same_arrays(arrays, new.parts()[part], f"after load, in {part}")
    for core in (old, new):
        core.absorb(Run("event", np.arange(300, 500), columns.slice(300, 500)), Judging(share=0.2))
    np.testing.assert_allclose(new.mixture.top, old.mixture.top, rtol=1e-3)


def test_records_reach_catalogue_people_and_content() -> None:
    core = new_core(COUNTING)
    items = [ItemChange(id="a", title="red boots"), ItemChange(id="b", title="red boots too"), ItemChange(id="c")]
    core.absorb_records(items)
    core.absorb_records([UserChange(id="u", properties={"country": "at"})])
    assert core.state.n_items == 3
    assert core.state.catalogue.title(0) == "red boots"
    query = core.state.query(now_ms=1_750_000_000_000, item="a")
    assert 1 in core.mixture.candidates(query).tolist()
    core.absorb_records([Deletion(what="item", id="b", ts=1)])
    assert not core.state.visible(1_750_000_000_000)[1]
    assert core.state.items.row("b") == -1


def test_a_run_moves_the_offset_past_its_last_record(columns: EventColumns) -> None:
    core = new_core(COUNTING)
    core.absorb(Run("item", np.array([0, 4]), records=(ItemChange(id="a"), ItemChange(id="b"))), ALL)
    assert (core.offset, core.events) == (5, 0)
    core.absorb(Run("event", np.arange(7, 17), columns.slice(0, 10)), ALL)
    assert (core.offset, core.events) == (17, 10)


def test_an_unknown_family_is_named() -> None:
    wrong = msgspec.structs.replace(COUNTING, mixture=MixtureSettings(experts=("popularity", "transition")))
    known = "collaborative, content, live, neighbours, popularity, repeats, rules, sequence, transitions"
    with pytest.raises(UnknownNameError) as error:
        new_core(wrong)
    assert error.value.message == f"Unknown expert 'transition'. Did you mean 'transitions'? Known: {known}."

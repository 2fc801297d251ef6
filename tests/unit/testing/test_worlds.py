"""Made worlds: the stream keeps the promises of its config, and follows the law that it can be asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from everbrook.errors import InputError, UnknownNameError
from everbrook.events.columns import EventColumns
from everbrook.testing.world_config import DAY_MS, PRESETS, WorldConfig, preset
from everbrook.testing.worlds import World


def texts(coded: Any) -> np.ndarray:
    names = np.array([*coded.names, ""], dtype=object)
    return names[coded.codes]


@pytest.fixture(scope="module", params=PRESETS)
def small(request: pytest.FixtureRequest) -> tuple[World, EventColumns]:
    base = PRESETS[request.param]
    world = World(preset(request.param, events_per_day=20_000 / base.days, seed=4))
    return world, world.all_events()


def test_a_world_is_of_the_size_asked_for_and_in_time_order(small: tuple[World, EventColumns]) -> None:
    world, events = small
    assert 18_000 < len(events) < 22_000
    assert (np.diff(events.ts_ms) >= 0).all()
    assert events.ts_ms[0] >= world.config.start_ms
    assert events.ts_ms[-1] < world.config.end_ms


def test_nobody_takes_what_is_not_there(small: tuple[World, EventColumns]) -> None:
    world, events = small
    changes = {change.id: change for change in world.item_changes()}
    for item, ts_ms in zip(texts(events.item), events.ts_ms.tolist(), strict=True):
        change = changes[item]
        assert isinstance(change.ts, int)
        assert change.ts <= ts_ms
        if isinstance(change.expires, int):
            assert ts_ms < change.expires


def test_every_event_has_an_actor(small: tuple[World, EventColumns]) -> None:
    _, events = small
    assert ((events.user.codes >= 0) | (events.session.codes >= 0)).all()


def test_the_same_seed_makes_the_same_world_and_another_seed_another() -> None:
    one, two, other = (World(preset("shop", seed=seed, days=2)).all_events() for seed in (1, 1, 2))
    assert texts(one.item).tolist() == texts(two.item).tolist()
    assert one.ts_ms.tolist() == two.ts_ms.tolist()
    assert texts(one.item)[:50].tolist() != texts(other.item)[:50].tolist()


def test_a_stream_can_be_read_twice_and_asking_does_not_change_it() -> None:
    world = World(preset("news", days=0.5))
    first = world.all_events()
    world.choice_probabilities("u1", ["i1", "i2"], world.config.end_ms - 1)
    assert texts(world.all_events().item).tolist() == texts(first.item).tolist()


def test_frequencies_follow_the_law() -> None:
    world = World(WorldConfig(seed=5, users=1, items=30, genres=4, events_per_day=4_000, taste=1.0))
    events = world.all_events()
    seen = np.bincount([world.item_row(item) for item in texts(events.item)], minlength=30) / len(events)
    law = world.next_probabilities("u0", world.config.start_ms)
    assert np.abs(seen - law).max() < 5 * np.sqrt(law.max() / len(events))


def test_what_follows_in_a_visit_follows_the_law() -> None:
    config = WorldConfig(seed=6, users=1, items=12, genres=3, events_per_day=6_000, successors=2, follow=1.0, gap_s=1)
    world = World(config)
    events = world.all_events()
    rows = np.array([world.item_row(item) for item in texts(events.item)])
    order = np.argsort(events.session.codes, kind="stable")
    rows, visits = rows[order], events.session.codes[order]
    # visits of one person may overlap, where the last item is another visit's: keep those that do not
    whole = np.r_[False, (visits[1:] == visits[:-1]) & (order[1:] == order[:-1] + 1)]
    for last in range(3):
        after = rows[np.flatnonzero(whole & (np.roll(rows, 1) == last))]
        law = world.next_probabilities("u0", world.config.start_ms, last=f"i{last}")
        seen = np.bincount(after, minlength=12) / len(after)
        assert np.abs(seen - law).max() < 5 * np.sqrt(0.25 / len(after))
        assert np.sort(law)[-2:].sum() > 0.5


def test_nine_of_ten_events_of_a_markov_visit_follow_the_one_before() -> None:
    world = World(preset("markov", users=20_000))
    events = world.all_events()
    rows = np.array([world.item_row(item) for item in texts(events.item)])
    order = np.argsort(events.session.codes, kind="stable")
    same_visit = events.session.codes[order][1:] == events.session.codes[order][:-1]
    followed = world.items.successors[rows[order][:-1], 0] == rows[order][1:]
    assert 0.88 < followed[same_visit].mean() < 0.92


def test_tastes_flip_when_they_are_said_to() -> None:
    world = World(preset("flip"))
    (flip,) = world.flips_ms
    before, after = (world.next_probabilities("u3", flip + step) for step in (-1, 0))
    assert np.corrcoef(before, after)[0, 1] < 0.5
    genres = world.items.genre
    assert np.bincount(genres, before).argmax() != np.bincount(genres, after).argmax()


def test_tastes_drift_slowly() -> None:
    world = World(WorldConfig(drift_per_day=0.05, taste=2.0))
    start = world.config.start_ms
    p0, p1, p9 = (world.next_probabilities("u3", start + day * DAY_MS) for day in (0, 1, 9))
    assert np.abs(p1 - p0).sum() < np.abs(p9 - p0).sum()


def test_nobody_is_special_where_only_popularity_counts() -> None:
    world = World(preset("popularity-only"))
    probabilities = [world.next_probabilities(user, world.config.start_ms) for user in ("u0", "u77")]
    assert np.array_equal(*probabilities)


def test_even_users_take_even_genres_on_the_checkerboard() -> None:
    world = World(preset("checkerboard"))
    events = world.all_events()
    users = np.array([world.user_row(user) for user in texts(events.user)])
    genres = world.items.genre[[world.item_row(item) for item in texts(events.item)]]
    assert (users % 2 == genres % 2).mean() > 0.99


def test_a_trend_draws_people_and_passes() -> None:
    world = World(WorldConfig(bursts_per_day=1, seed=2))
    item, at = world.items.burst_item[0], int(world.items.burst_ms[0])
    hour_ms = 3_600_000
    before, during, later = (world.items.weights(at + step * hour_ms)[item] for step in (-1, 0, 40))
    assert during > 40 * before
    assert later == pytest.approx(before, rel=0.01)


def test_guests_have_a_session_only_and_some_sign_in() -> None:
    world = World(preset("shop", guest_share=0.5, join_share=0.5, visit_events=8, days=2))
    events = world.all_events()
    guest = events.user.codes < 0
    assert 0.2 < guest.mean() < 0.5
    joined = set(events.session.codes[guest]) & set(events.session.codes[~guest])
    assert 0.3 < len(joined) / len(set(events.session.codes[guest])) < 0.6
    for session in list(joined)[:20]:
        of_session = events.session.codes == session
        assert (np.diff(guest[of_session].astype(int)) <= 0).all()  # never a guest again
        assert len(set(events.user.codes[of_session & ~guest])) == 1


def test_deeper_kinds_stay_on_the_item() -> None:
    world = World(preset("shop", users=20_000, days=2))
    events = world.all_events()
    order = np.argsort(events.session.codes, kind="stable")
    kind, item, session = events.kind.codes[order], events.item.codes[order], events.session.codes[order]
    for place in np.flatnonzero(kind > 0)[:200]:
        assert session[place] == session[place - 1]
        assert item[place] == item[place - 1]
        assert kind[place] == kind[place - 1] + 1
    assert 0.08 < (kind == 1).mean() < 0.14


def test_a_bot_pushes_one_item_at_an_inhuman_rate() -> None:
    world = World(preset("popularity-only", bots=2, bot_events=300, days=3, seed=1))
    events = world.all_events()
    users = texts(events.user)
    bot = users == "bot1"
    assert 250 <= bot.sum() <= 300
    assert np.median(np.diff(events.ts_ms[bot])) == 1_000
    _, counts = np.unique(texts(events.item)[bot].astype(str), return_counts=True)
    assert counts.max() / bot.sum() > 0.4


def test_a_rating_follows_the_taste() -> None:
    world = World(WorldConfig(ratings=True, taste=1.0, popularity=0.0, events_per_day=2_000))
    events = world.all_events()
    assert set(np.unique(events.value)) == {1.0, 2.0, 3.0, 4.0, 5.0}
    assert np.isnan(World(WorldConfig(days=0.1)).all_events().value).all()


def test_a_list_of_what_one_likes_is_taken_more_often() -> None:
    world = World(preset("flip", outside=50.0))
    at = world.config.start_ms
    liked = np.argsort(-world.next_probabilities("u1", at))
    best, worst = ([f"i{row}" for row in rows] for rows in (liked[:10], liked[-10:]))
    taken = [1 - world.choice_probabilities("u1", items, at)[-1] for items in (best, worst)]
    assert taken[0] > 5 * taken[1]


def test_responses_have_the_told_probabilities() -> None:
    world = World(preset("news"))
    at = world.config.start_ms + DAY_MS
    items = [f"i{row}" for row in np.flatnonzero(world.items.weights(at))[:6]]
    told = world.choice_probabilities("u1", items, at, last=items[0])
    rng = np.random.default_rng(0)
    answers = [world.respond("u1", items, at, rng, last=items[0]) for _ in range(3_000)]
    seen = np.array([answers.count(item) for item in [*items, None]]) / 3_000
    assert np.abs(seen - told).max() < 0.04
    assert told.sum() == pytest.approx(1.0)


def test_an_empty_list_is_never_taken() -> None:
    assert World(preset("shop")).choice_probabilities("u0", [], 1_750_032_000_000).tolist() == [1.0]


def test_genres_can_be_read_from_categories() -> None:
    world = World(preset("shop", items=60))
    changes = {change.id: change for change in world.item_changes()}
    categories = [tuple(changes[f"i{row}"].categories or ()) for row in range(60)]
    assert len(set(zip(categories, world.items.genre.tolist(), strict=True))) == world.config.genres


def test_item_changes_of_spans_make_up_all() -> None:
    world = World(preset("news", items=200))
    middle = world.config.start_ms + 3 * DAY_MS
    whole = [change.id for change in world.item_changes()]
    assert whole == [change.id for change in world.item_changes(None, middle) + world.item_changes(middle, None)]


def test_an_unknown_world_or_item_is_named() -> None:
    with pytest.raises(UnknownNameError, match=r"Unknown world 'shopp'\. Did you mean 'shop'\?"):
        preset("shopp")
    with pytest.raises(InputError, match=r"A made world's item must be 'i0' to 'i499'; got 'x9'\."):
        World(preset("markov")).item_row("x9")

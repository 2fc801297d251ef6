"""The contract suite of experts: named checks that any model of `types.Expert` must pass, ours and yours.

Not tests of quality: the worlds that an expert learns here have one regularity, and the suite only asks that the
expert finds the one it claims to find. Use it from pytest:

    @pytest.mark.parametrize("name", EXPERT_CHECKS)
    def test_transitions_keep_the_contract(name: str) -> None:
        EXPERT_CHECKS[name](make, Capabilities(learns=frozenset({"markov"})))

`make` builds a fresh expert, always with the same settings and seed; it is grown to `ITEMS` and `ACTORS` here.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from everbrook.testing.probes import (
    ALL_ROWS,
    Capabilities,
    Make,
    check_proposal,
    check_range,
    check_sum,
    close,
    copied,
    far_future,
    gain,
    grown,
    must,
    observe,
    queries,
    same_arrays,
    same_scores,
    score,
    strangers,
)
from everbrook.testing.streams import (
    ACTORS,
    ITEMS,
    checkerboard_stream,
    extreme_streams,
    markov_stream,
    popularity_stream,
    random_stream,
    repeats_stream,
)
from everbrook.types import NO_ROW, Bool, Step

__all__ = ["ACTORS", "EXPERT_CHECKS", "ITEMS", "Capabilities"]

WORLDS: dict[str, Callable[[int], tuple[Step, Bool]]] = {
    "markov": markov_stream,
    "popularity": popularity_stream,
    "repeats": repeats_stream,
    "checkerboard": checkerboard_stream,
}
# What the best column must reach over the last quarter: the least mean log-likelihood gained over a uniform guess, in
# nats. Knowing all: markov 3.2, popularity 1.4, repeats 2.8, checkerboard 0.69.
GAINS = {"markov": 1.3, "popularity": 0.8, "repeats": 1.0, "checkerboard": 0.15}


Check = Callable[[Make, Capabilities], None]


# ---------------------------------------------------------------- the checks


def check_mass_and_rest_sum_to_one(make: Make, caps: Capabilities) -> None:
    """Over all items, each awake column's mass plus rest is 1, before and after arbitrary events."""
    expert = grown(make)
    step = random_stream(11)
    for query in (*strangers(), *queries(step, 5)):
        check_sum(expert, query, "before any event")
    for start in range(0, len(step), 100):
        observe(expert, step.slice(start, start + 100))
        for query in (*strangers(step.ts_ms[start + 99]), *queries(step.slice(start, start + 100), 8)):
            check_sum(expert, query, f"after {start + 100} events")


def check_probabilities_are_never_negative_or_nan(make: Make, caps: Capabilities) -> None:
    """Mass is finite and in 0..1, rest too, but where NaN says asleep; every place of the output is written."""
    expert = grown(make)
    step = random_stream(12)
    mass, rest = observe(expert, step)
    check_range(mass, rest, "observe")
    for query in (*strangers(step.ts_ms[-1]), *queries(step, 20)):
        check_range(*score(expert, query), "score")


def check_a_batch_equals_one_by_one(make: Make, caps: Capabilities) -> None:
    """Observing B events at once gives and learns what observing them singly does."""
    step = random_stream(13, 200)
    whole, single = grown(make), grown(make)
    mass, rest = observe(whole, step)
    for b in range(len(step)):
        mass_b, rest_b = observe(single, step.slice(b, b + 1))
        close(mass[b], mass_b[0], caps, f"mass of event {b}, in a batch and alone")
        close(rest[b], rest_b[0], caps, f"rest of event {b}, in a batch and alone")
    for query in queries(step, 5):
        same_scores(whole, single, query, caps, "after a batch and after single events")


def check_observe_tells_what_score_would_have_told(make: Make, caps: Capabilities) -> None:
    """Test, then train: the mass that `observe` reports is what `score` gave just before."""
    expert = grown(make)
    step = random_stream(14, 240)
    for b in range(len(step)):
        mass_s, rest_s = score(expert, step.query(b), step.item[b : b + 1])
        mass_o, rest_o = observe(expert, step.slice(b, b + 1))
        if step.weight[b] <= 0:
            continue  # not a target: nobody reads its mass
        told = ~np.isnan(rest_o[0]) if caps.observe_sleeps else np.ones(len(rest_s), np.bool_)
        close(mass_o[0, told], mass_s[0, told], caps, f"mass of event {b}, observed and scored")
        close(rest_o[0, told], rest_s[told], caps, f"rest of event {b}, observed and scored")


def check_asking_changes_nothing(make: Make, caps: Capabilities) -> None:
    """`propose`, `score` and `because` leave the state as it was, for known and unknown actors alike."""
    expert = grown(make)
    step = random_stream(15)
    observe(expert, step)
    before = copied(expert.state())
    for query in (*strangers(step.ts_ms[-1]), *queries(step, 20), far_future(step)):
        expert.propose(query, 20)
        score(expert, query)
        expert.because(query, ALL_ROWS)
    same_arrays(before, expert.state(), "after propose, score and because")


def check_inputs_are_left_as_they_were(make: Make, caps: Capabilities) -> None:
    """`observe` does not write into the events it is given."""
    step = random_stream(16, 100)
    before = {name: getattr(step, name).copy() for name in Step.__slots__}
    observe(grown(make), step)
    same_arrays(before, {name: getattr(step, name) for name in Step.__slots__}, "of the events after observe")


def check_same_seed_same_result(make: Make, caps: Capabilities) -> None:
    """Two experts made alike and fed alike say and hold the same, to the bit."""
    step = random_stream(17)
    one, two = grown(make), grown(make)
    for first, second in zip(observe(one, step), observe(two, step), strict=True):
        must(np.array_equal(first, second, equal_nan=True), "Two experts made and fed alike must observe alike.")
    same_arrays(one.state(), two.state(), "of two experts made and fed alike")


def check_state_and_load_keep_the_scores(make: Make, caps: Capabilities) -> None:
    """A fresh expert that loads another's state scores, proposes and goes on learning like it, and apart from it."""
    step = random_stream(18)
    old, new = grown(make), make()
    observe(old, step.slice(0, 300))
    arrays = copied(old.state())
    for name, array in arrays.items():
        must(array.dtype.kind in "biuf", f"State array {name!r} must hold numbers; got dtype {array.dtype}.")
    new.load(copied(arrays))
    for query in queries(step, 10):
        same_scores(old, new, query, caps, "after load")
        same = list(old.propose(query, 20)) == list(new.propose(query, 20))
        must(same, "A loaded expert must propose the same rows.")
    mass, rest = observe(new, step.slice(300, 400))
    same_arrays(arrays, old.state(), "of the expert that another one was loaded from")
    mass_old, rest_old = observe(old, step.slice(300, 400))
    close(mass, mass_old, caps, "mass of what came after load")
    close(rest, rest_old, caps, "rest of what came after load")


def check_extreme_inputs_stay_finite(make: Make, caps: Capabilities) -> None:
    """Odd times, weights and worlds give no NaN, no infinity, and sums of 1."""
    for what, step in extreme_streams().items():
        expert = grown(make)
        check_range(*observe(expert, step), f"observe with {what}")
        for query in (*strangers(step.ts_ms[-1]), *queries(step, 4), far_future(step)):
            check_sum(expert, query, f"with {what}")


def check_proposals_are_distinct_known_rows(make: Make, caps: Capabilities) -> None:
    """At most `limit` rows, each once, each grown, as int32; and no more for a stranger than for others."""
    expert = grown(make)
    step = random_stream(19)
    for fed in (False, True):
        if fed:
            observe(expert, step)
        for query in (*strangers(step.ts_ms[-1]), *queries(step, 10)):
            for limit in (1, 5, 1_000):
                check_proposal(expert.propose(query, limit), limit)


def check_because_names_items_of_the_history(make: Make, caps: Capabilities) -> None:
    """One row for each asked item: an item of the history, or NO_ROW."""
    expert = grown(make)
    step = random_stream(20)
    observe(expert, step)
    for query in (*strangers(step.ts_ms[-1]), *queries(step, 10)):
        rows = expert.because(query, ALL_ROWS)
        must(rows.shape == (ITEMS,), f"because must give one row an item, ({ITEMS},); got {rows.shape}.")
        strange = set(map(int, rows)) - set(map(int, query.items)) - {NO_ROW}
        must(not strange, f"because must name items of the history or NO_ROW; got rows {sorted(strange)}.")


def check_growing_changes_no_score(make: Make, caps: Capabilities) -> None:
    """Room for more items and actors leaves every score as it was, and the new rows may come at once."""
    expert = grown(make)
    step = random_stream(21)
    observe(expert, step)
    asked = queries(step, 8)
    before = [score(expert, query) for query in asked]
    expert.grow(3 * ITEMS, 3 * ACTORS)
    for query, (mass, rest) in zip(asked, before, strict=True):
        mass_after, rest_after = score(expert, query)
        close(mass_after, mass, caps, "mass after grow")
        close(rest_after, rest, caps, "rest after grow")
    late = random_stream(22, 50)
    moved = Step(*(getattr(late, name) for name in Step.__slots__))
    moved.item[:] += 2 * ITEMS
    moved.actor[:] += 2 * ACTORS
    moved.items[moved.items >= 0] += 2 * ITEMS
    check_range(*observe(expert, moved), "observe of rows grown late")


def check_memory_is_bounded(make: Make, caps: Capabilities) -> None:
    """The state stays within its limit, or stops growing, while the same items and actors go on."""
    expert = grown(make)
    sizes = []
    for seed in range(4):
        observe(expert, random_stream(30 + seed, 1_500))
        sizes.append(sum(array.nbytes for array in expert.state().values()))
    if caps.bytes_limit is not None:
        must(max(sizes) <= caps.bytes_limit, f"State must stay within {caps.bytes_limit} bytes; got {max(sizes)}.")
    else:
        must(sizes[3] <= 1.25 * sizes[2], f"State must stop growing; its bytes after each 1,500 events: {sizes}.")


def check_it_learns_what_it_claims(make: Make, caps: Capabilities) -> None:
    """In each made world it claims, a column ends well above a uniform guess, and its proposals hold the answer."""
    for world in sorted(caps.learns):
        step, known = WORLDS[world](caps.seed)
        start = 3 * len(step) // 4
        expert = grown(make)
        observe(expert, step.slice(0, start))
        worth, held = gain(expert, step.slice(start, len(step)), known[start:])
        must(worth >= GAINS[world], f"World '{world}' must be worth {GAINS[world]} nats over uniform; got {worth:.3f}.")
        must(held >= 0.5, f"World '{world}': half the proposals of 24 must hold the next item; got {held:.3f}.")


EXPERT_CHECKS: dict[str, Check] = {
    check.__name__.removeprefix("check_"): check
    for check in (
        check_mass_and_rest_sum_to_one,
        check_probabilities_are_never_negative_or_nan,
        check_a_batch_equals_one_by_one,
        check_observe_tells_what_score_would_have_told,
        check_asking_changes_nothing,
        check_inputs_are_left_as_they_were,
        check_same_seed_same_result,
        check_state_and_load_keep_the_scores,
        check_extreme_inputs_stay_finite,
        check_proposals_are_distinct_known_rows,
        check_because_names_items_of_the_history,
        check_growing_changes_no_score,
        check_memory_is_bounded,
        check_it_learns_what_it_claims,
    )
}

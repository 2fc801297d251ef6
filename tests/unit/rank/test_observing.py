"""What the weights learn from a run of events, against the same by array operations; and where families write."""

from __future__ import annotations

import numpy as np
import pytest

from everbrook.models.popularity import Popularity
from everbrook.models.repeats import Repeats
from everbrook.models.transitions import Transitions
from everbrook.rank import contexts
from everbrook.rank.mixture import Mixture
from everbrook.rank.observing import Told
from everbrook.rank.pools import learn_bulk
from everbrook.settings.mixture import MixtureSettings
from everbrook.testing.streams import ACTORS, ITEMS, random_stream
from everbrook.types import F64, Arrays, Bool, Step


def fresh() -> Mixture:
    """A mixture with room for the made streams."""
    mixture = Mixture([Popularity(), Transitions(), Repeats()], MixtureSettings())
    mixture.grow(ITEMS, ACTORS)
    return mixture


def observed_slowly(mixture: Mixture, step: Step, learned: Bool | None) -> F64:
    """`Mixture.observe` by array operations, one after the other."""
    told = [np.empty((2, len(step), len(family.names)), np.float32) for family in mixture.experts]
    for family, (mass, rest) in zip(mixture.experts, told, strict=True):
        family.observe(step, mass, rest)
    for item, ts_ms in zip(step.item.tolist(), step.ts_ms.tolist(), strict=True):
        mixture.first_seen_ms[item] = mixture.first_seen_ms[item] or max(ts_ms, 1)
    known = np.maximum.accumulate(np.concatenate(([mixture.n_items], step.item + 1)))
    mixture.know(int(known[-1]))
    buckets = np.stack([contexts.of_query(step.query(b)) for b in range(len(step))])
    skip = (step.weight <= 0.0) if learned is None else (step.weight <= 0.0) | learned
    logp, (mass, rest) = np.full(len(step), np.nan), np.concatenate(told, axis=2)
    learn_bulk(
        mass, rest, mixture.popular, buckets, 1.0 / np.maximum(known[:-1], 1), mixture._rates, mixture.base_weights,
        mixture.pools, mixture.top, mixture.losses, logp, skip,
    )  # fmt: skip
    mixture.loss += (-float(logp[~skip].sum()), float((~skip).sum()))
    return logp


def _weights(mixture: Mixture) -> Arrays:
    names = ("base_weights", "pools", "top", "losses", "loss", "first_seen_ms")
    return {name: getattr(mixture, name) for name in names} | {"n_items": np.array(mixture.n_items)}


@pytest.mark.parametrize("size", [1, 7, 31, 40, 200])
def test_a_run_teaches_the_weights_what_array_operations_teach_them(size: int) -> None:
    step, fast, slow = random_stream(51, 400), fresh(), fresh()
    rng = np.random.default_rng(size)
    for start in range(0, 400, size):
        part = step.slice(start, min(start + size, 400))
        learned = None if start % 3 else rng.random(len(part)) < 0.3
        np.testing.assert_array_equal(fast.observe(part, learned), observed_slowly(slow, part, learned))
    for name, array in _weights(slow).items():
        np.testing.assert_array_equal(_weights(fast)[name], array, err_msg=name)


def test_each_family_writes_in_a_block_of_its_own() -> None:
    told = Told((3, 1, 2), 5)
    for number, (mass, rest) in enumerate(told.blocks(4)):
        mass[:], rest[:] = number, -number
        assert mass.flags.c_contiguous
        assert rest.flags.c_contiguous
    for number, (mass, rest) in enumerate(told.blocks(4)):
        assert mass.shape == rest.shape == (4, (3, 1, 2)[number])
        assert (mass == number).all()
        assert (rest == -number).all()


def test_a_family_that_takes_the_place_of_another_gets_room() -> None:
    mixture = fresh()
    mixture.grow(ITEMS, ACTORS)
    mixture.experts[1] = Transitions()
    mixture.grow(ITEMS, ACTORS)
    assert np.isfinite(mixture.observe(random_stream(52, 50))).any()

"""The sequence model over the coded item index, as a large catalogue is served."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from everbrook.engine.building import new_core
from everbrook.models.sequence_expert import SequenceExpert
from everbrook.models.sequence_registry import new_model
from everbrook.settings import Settings
from everbrook.settings.sequence import SequenceSettings
from everbrook.types import NO_ROW, Query

ITEMS = 400
SHAPE = SequenceSettings(width=16, layers=1, history=8)


def answers(indexed_items: int) -> tuple[np.ndarray, np.ndarray, float]:
    settings = Settings(sequence=msgspec.structs.replace(SHAPE, indexed_items=indexed_items))
    expert = new_core(settings).family(SequenceExpert)
    assert expert is not None
    expert.publish(new_model(settings.sequence, ITEMS, seed=2))
    query = Query(
        now_ms=10_000, actor=NO_ROW, scenario=NO_ROW, items=np.arange(5, dtype=np.int32),
        times=np.arange(5, dtype=np.int64), kinds=np.zeros(5, np.int16), session_n=5,
    )
    rows = np.arange(ITEMS, dtype=np.int32)
    mass, rest = np.empty((ITEMS, 1), np.float32), np.empty(1, np.float32)
    expert.score(query, rows, mass, rest)
    return expert.propose(query, 20), mass[:, 0], float(rest[0])


def test_an_indexed_catalogue_gives_the_lists_of_the_full_table() -> None:
    plain_rows, plain_mass, plain_rest = answers(indexed_items=10_000)
    rows, mass, rest = answers(indexed_items=1)
    assert rows.tolist() == plain_rows.tolist()
    np.testing.assert_allclose(mass, plain_mass, rtol=0.05, atol=1e-9)
    assert rest == pytest.approx(plain_rest)

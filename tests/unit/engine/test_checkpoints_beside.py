"""A checkpoint is of the moment at which it began, whatever is learned meanwhile, and however it is written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from everbrook import Recommender
from everbrook.engine import keeping
from everbrook.engine.keeping import FOLDER, begin, learned_digest
from everbrook.errors import StorageError
from everbrook.learn.checkpoints import load_newest
from everbrook.settings import Settings, load_settings
from everbrook.types import Arrays

OPTIONS = ("learner.mode=off", "engine.refit_every_s=0", "engine.refit_drift_s=0")


@pytest.fixture
def settings() -> Settings:
    return load_settings(assignments=OPTIONS).settings


@pytest.fixture
def shop(tmp_path: Path, settings: Settings) -> Recommender:
    """A small shop that has learned a little."""
    with Recommender.open(tmp_path / "data", settings) as engine:
        engine.put_items([{"id": f"i{n}", "title": f"Thing {n}"} for n in range(20)])
        _visit(engine, 0)
        yield engine


def _visit(engine: Recommender, turn: int) -> None:
    engine.ingest([{"user": f"u{n % 7}", "item": f"i{(turn + n * n) % 20}", "kind": "view"} for n in range(60)])


def _copied(engine: Recommender) -> dict[str, Arrays]:
    return {part: {n: np.array(a) for n, a in arrays.items()} for part, arrays in engine._core.parts().items()}


def _refuse() -> int:
    raise BlockingIOError("Resource temporarily unavailable")


@pytest.mark.parametrize("fork", [os.fork, _refuse])
def test_what_is_learned_meanwhile_is_not_in_it(
    fork: Callable[[], int], shop: Recommender, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fork", fork)
    wanted, offset = _copied(shop), shop._core.offset
    finish = begin(shop.path, shop._core, shop._published, None, 2)
    _visit(shop, 5)
    assert finish() == shop.path / FOLDER / f"{offset:016d}"
    found = load_newest(shop.path / FOLDER, learned_digest(settings))
    assert found is not None
    assert found.offset == offset < shop._core.offset
    assert found.parts.keys() == wanted.keys()
    for part, arrays in wanted.items():
        assert found.parts[part].keys() == arrays.keys()
        for name, array in arrays.items():
            np.testing.assert_array_equal(found.parts[part][name], array, err_msg=f"{part}/{name}")


@pytest.mark.parametrize("fork", [os.fork, _refuse])
def test_a_disk_that_refuses_is_told_and_the_last_one_stays(
    fork: Callable[[], int], shop: Recommender, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = shop.checkpoint()
    _visit(shop, 3)

    def full(*_: object) -> Path:
        raise StorageError(f"A checkpoint must be written to '{shop.path}'; got No space left on device.")

    monkeypatch.setattr(os, "fork", fork)
    monkeypatch.setattr(keeping, "save_checkpoint", full)
    with pytest.raises(StorageError, match="No space left on device"):
        shop.checkpoint()
    found = load_newest(shop.path / FOLDER, learned_digest(settings))
    assert found is not None
    assert found.path == kept
    monkeypatch.undo()
    assert shop.checkpoint() != kept

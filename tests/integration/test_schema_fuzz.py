"""Requests made from the description, right and wrong: answers keep to it, and the state is what the log says."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from everbrook import Recommender
from everbrook.http.openapi import document
from everbrook.http.rooms import operations

pytest.importorskip("schemathesis")
COUNT = 240


@pytest.fixture(scope="module")
def fuzzing(repository: Path) -> Iterator[Any]:
    """The benchmark's module, of which this is a short run."""
    sys.path.insert(0, str(repository / "bench"))
    import schema_fuzz

    yield schema_fuzz
    sys.path.remove(str(repository / "bench"))


def test_every_answer_is_as_described_and_the_state_is_what_the_log_says(fuzzing: Any, tmp_path: Path) -> None:
    with Recommender.open(tmp_path / "data", fuzzing.SETTINGS) as engine:
        fuzzing.begin(engine)
        door = fuzzing.Door(engine)
        sent = fuzzing.fuzz(door, COUNT, seed=1)
        differences = fuzzing.differences(engine)
        door.close()
    assert door.wrong == []
    assert differences == []
    assert sent > COUNT / 2
    assert door.statuses[200] > 40
    assert sum(door.statuses[status] for status in (400, 404, 422)) > 40


def test_a_state_that_differs_from_its_log_would_be_found(fuzzing: Any, tmp_path: Path) -> None:
    with Recommender.open(tmp_path / "data", fuzzing.SETTINGS) as engine:
        fuzzing.begin(engine)
        assert fuzzing.differences(engine) == []
        engine._core.state.forget_item("i1")
        assert any("i1" in line for line in fuzzing.differences(engine))


def test_nothing_is_left_out_that_is_not_there(fuzzing: Any) -> None:
    there = {(one.method, one.path) for one in operations()}
    assert fuzzing.LEFT_OUT | set(fuzzing.SELDOM) <= there
    assert len(there - fuzzing.LEFT_OUT) > 25
    assert document()["openapi"].startswith("3.1")


def test_ids_with_line_ends_and_slashes_are_ids_in_paths_too(fuzzing: Any, tmp_path: Path, asgi_client: Any) -> None:
    from everbrook.http.app import build_app

    with Recommender.open(tmp_path / "data", fuzzing.SETTINGS) as engine:
        engine.put_items([{"id": "a\nb/c?d", "title": "strange"}])
        client = asgi_client(build_app(engine, fuzzing.SETTINGS))
        assert client.get("/v1/items/a%0Ab%2Fc%3Fd").json() == {"id": "a\nb/c?d", "title": "strange"}

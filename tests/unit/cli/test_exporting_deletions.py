"""Items that were deleted: an exported folder brings them to another log as deleted as they were."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from everbrook import Recommender
from everbrook.cli.main import main
from everbrook.errors import DataError, NotFoundError
from everbrook.events.deletions import deleted_items
from everbrook.events.records import Deletion, ItemChange
from everbrook.settings import load_settings

ASSIGNMENTS = ['mixture.experts=["popularity", "transitions"]']
SETTINGS = load_settings(environment={}, assignments=ASSIGNMENTS).settings
ITEMS = [f"i{n}" for n in range(6)]
GONE = {"i1", "i3", "unseen"}
T0 = int(1000 * time.time()) - 60_000
ORDER: list[tuple[Literal["item", "user"], str]] = [("item", "a"), ("user", "c"), ("item", "b"), ("item", "a")]


def _seen(shop: Recommender) -> dict[str, Any]:
    """What lists and records say of each item."""
    known: dict[str, Any] = {}
    for item in (*ITEMS, "unseen"):
        try:
            known[item] = shop.item(item).title or ""
        except NotFoundError:
            known[item] = None
    lists = {place.id for place in shop.recommend(user="u1", k=20).items}
    similar = {place.id for place in shop.similar("i0", k=20).items}
    trending = {place.id for place in shop.trending(k=20).items}
    return {"known": known, "lists": lists, "similar": similar, "trending": trending, "items": shop.status()["items"]}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log in which items were deleted: one of them with events after it, one without any, one that came back."""
    path = tmp_path_factory.mktemp("deleted") / "data"
    with Recommender.open(path, SETTINGS) as shop:
        shop.put_items([{"id": item, "title": item} for item in (*ITEMS, "unseen")])
        shop.put_users([{"id": "u1", "properties": {"country": "DE"}}])
        shop.put_users([{"id": "u1", "properties": {"country": "FR"}}])
        shop.ingest([{"user": f"u{n % 4}", "item": ITEMS[n % 6], "ts": T0 + n, "id": f"e{n}"} for n in range(24)])
        for item in (*sorted(GONE), "i4"):
            shop.delete_item(item)
        shop.put_items([{"id": "i4", "title": "Back"}])
        shop.ingest([{"user": "u2", "item": "i3", "ts": T0 + 100, "id": "late"}])
        shop.delete_user("u3")
    return path


def _run(capsys: pytest.CaptureFixture[str], command: str, path: Path, data: Path, *options: str) -> str:
    capsys.readouterr()
    assert main([command, str(path), "--data", str(data), "--set", ASSIGNMENTS[0], *options]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_what_was_deleted_stays_deleted(
    data: Path, tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = json.loads(_run(capsys, "export", tmp_path / "out", data, "--format", form, "--json"))
    assert (counts["items"], counts["users"], counts["events"]) == (4, 1, 19)
    told = _run(capsys, "import", tmp_path / "out", tmp_path / "again")
    assert "Imported 19 events (0 were there already), 4 items and 1 users in " in told
    assert told.endswith(" s; 3 deleted items stayed deleted.\n")
    outcome = json.loads(_run(capsys, "import", tmp_path / "out", tmp_path / "again", "--json"))  # changes nothing
    assert (outcome["items"], outcome["users"], outcome["duplicates"], outcome["deletions"]) == (4, 1, 19, 3)
    whole = shutil.copytree(data, tmp_path / "whole")
    with Recommender.open(whole, SETTINGS) as before, Recommender.open(tmp_path / "again", SETTINGS) as after:
        seen = _seen(before)
        assert _seen(after) == seen
        assert {item for item, title in seen["known"].items() if title is None} == GONE
        assert seen["trending"] == {*ITEMS} - GONE
        for shop in (before, after):  # only a record brings an item back
            shop.ingest([{"user": "u1", "item": item} for item in GONE])
        assert _seen(after) == _seen(before) == seen


def test_the_numbers_of_an_export_are_those_of_its_files(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = json.loads(_run(capsys, "export", tmp_path / "out", data, "--json"))
    files = {path.stem: len(path.read_text().splitlines()) for path in (tmp_path / "out").rglob("*.jsonl")}
    assert counts == files


def test_a_broken_line_of_deletions_is_named(tmp_path: Path) -> None:
    (tmp_path / "rest").mkdir()
    (tmp_path / "rest" / "deletions.jsonl").write_text('{"what":"item","id":"i1","ts":1}\n{"what":"it\n')
    with pytest.raises(DataError, match=r"deletions\.jsonl' line 2 must be a deletion; JSON is malformed: "):
        deleted_items(tmp_path, [])


def test_only_items_that_no_file_names_again_are_deleted(tmp_path: Path) -> None:
    assert deleted_items(tmp_path, []) == []
    made = [
        Deletion(what=what, id=id_, ts=ts)
        for ts, (what, id_) in enumerate(ORDER)
    ]
    (tmp_path / "rest").mkdir()
    (tmp_path / "rest" / "deletions.jsonl").write_bytes(msgspec.json.Encoder().encode_lines(made))
    assert deleted_items(tmp_path, [[ItemChange(id="b")], [ItemChange(id="c")]]) == [made[3]]

"""Who asks for a list must be somebody whom a record can name: what is shown is written to the log, and read again."""

from __future__ import annotations

from pathlib import Path

import pytest

from everbrook import Recommender
from everbrook.engine.wishes import wish_of
from everbrook.errors import InputError
from everbrook.events.records import Impression
from everbrook.settings import load_settings

SETTINGS = load_settings(
    environment={}, assignments=['mixture.experts=["popularity"]', "engine.log_impressions=true"]
).settings


@pytest.mark.parametrize("name", ["user", "session"])
@pytest.mark.parametrize(("text", "size"), [("", 0), ("x" * 257, 257), ("ü" * 129, 258)])
def test_an_id_that_no_record_may_have_is_refused(name: str, text: str, size: int, tmp_path: Path) -> None:
    wrong, right = {name: text}, {name: "ü" * 128}
    with Recommender.open(tmp_path / "data", SETTINGS) as shop:
        shop.ingest([{"user": "u1", "item": "i1"}])
        with pytest.raises(InputError) as raised:
            shop.recommend(wish_of(wrong))
        assert raised.value.message == f"Field '{name}' must be text of 1 to 256 bytes; got {size} bytes."
        assert shop.recommend(wish_of(right)).items
    with Recommender.open(tmp_path / "data", SETTINGS) as shop:
        shown = [record for run in shop.log.runs(0, types=("impression",)) for record in run.records]
        assert [getattr(one, name) for one in shown if isinstance(one, Impression)] == ["ü" * 128]
        assert shop.delete_user("u1")["removed"]["events"] == 1

"""What is not known has no field in a line of the log."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from everbrook.engine.log_lines import FIELDS, Lines, say

LOG = logging.getLogger("everbrook.said")


@pytest.mark.parametrize(("fields", "told"), [
    ({"move": "drift", "to": None, "because": None}, "The gate moved. move=drift"),
    ({"move": "demote", "to": "shadow", "count": 0, "paused": False}, "move=demote to=shadow count=0 paused=False"),
])
def test_what_is_none_is_not_said(fields: dict[str, Any], told: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger=LOG.name):
        say(LOG, "The gate moved.", **fields)
    (record,) = caplog.records
    assert getattr(record, FIELDS) == {name: value for name, value in fields.items() if value is not None}
    assert Lines("text", "server").format(record).endswith(told)

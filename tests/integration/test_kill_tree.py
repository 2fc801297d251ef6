"""Server and learner killed together under write load: what was acknowledged is there, once (`bench/kill_tree.py`)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.timeout(600)
def test_after_ten_kills_of_the_whole_tree_every_acknowledged_event_is_there_once(repository: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(repository / "bench" / "kill_tree.py"), "--cycles", "10", "--seed", "7"],
        capture_output=True, text=True, check=False, timeout=580,
    )  # fmt: skip
    told = {line["name"]: line["value"] for line in map(json.loads, done.stdout.splitlines())}
    assert done.returncode == 0, (told, done.stderr[-3000:])
    assert told["kill_tree/kills"] == 10
    assert told["kill_tree/acknowledged"] > 0
    assert {name for name, value in told.items() if value == 0} == {
        f"kill_tree/{name}" for name in (
            "missing", "twice", "events_not_counted_once", "did_not_start", "learner_not_exact", "stop_failed",
            "doctor_complains",
        )
    }  # fmt: skip

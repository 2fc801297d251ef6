"""`everbrook status` for people: whatever stands in a status finds its words."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from everbrook import Recommender
from everbrook.cli.standing import rates, rendered, watch
from everbrook.cli.versions import lines

PROCESS: dict[str, Any] = {
    "state": "learning", "pid": 7, "offset": 9, "behind": 2, "published": {}, "busy_s": 1.0, "portions": 3,
    "freshness": {"p50_ms": 21.5, "p99_ms": 80.0, "measured": 40, "waiting": 0}, "checkpoint": None, "silent_s": 0.1,
    "starts": 2, "hangs": 1, "last_errors": ["The learner's process ended with SIGKILL."],
}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    """Status and versions of a shop with a few events, as they come over HTTP."""
    with Recommender.open(tmp_path_factory.mktemp("told") / "shop") as shop:
        shop.ingest([{"user": f"u{n % 3}", "item": f"i{n % 5}"} for n in range(30)])
        shop.pause()
        both = (shop.status(), shop.versions())
    status, versions = (msgspec.json.decode(msgspec.json.encode(one)) for one in both)
    return status, versions


def test_a_status_is_told_in_lines(found: tuple[dict[str, Any], dict[str, Any]]) -> None:
    told = rendered(found[0])
    assert "events: 30" in told
    assert "live: learns inside, stage shadow" in told
    assert any(line.startswith("  gate: shadow, paused, ") for line in told)
    assert any(line.startswith("    harm against recent: ") and " nats; lately " in line for line in told)
    assert "refit: idle, 0 done, 0 failed" in told
    assert told[-2:] == ["last errors:", "  none"]
    weights = next(line for line in told if line.startswith("  weights: "))
    largest = sorted(found[0]["mixture"]["weights"].values(), reverse=True)
    shown = [float(one.rsplit(" ", 1)[1]) for one in weights.removeprefix("  weights: ").split(", ")]
    assert shown == pytest.approx(largest[: len(shown)], rel=0.01)
    assert len(shown) < len(largest)
    fresh = {"event_to_list": {"p50_ms": 1.5, "p99_ms": 4.0, "measured": 9}}
    assert "event to list: p50 1.5 ms, p99 4.0 ms (9 measured)" in rendered(found[0] | {"freshness": fresh})


def test_how_fresh_a_process_is_and_what_went_wrong_is_told(found: tuple[dict[str, Any], dict[str, Any]]) -> None:
    status = found[0] | {"live": found[0]["live"] | {"mode": "process", "process": PROCESS}}
    status["refit"] = status["refit"] | {
        "state": "fitting", "progress": {"epoch": 0, "epochs": 3, "step": 50, "steps": 90},
        "candidate": {"offset": 5, "judged": 4, "mean_nats": 0.25},
    }  # fmt: skip
    told = rendered(status)
    assert "  event to weights: p50 21.5 ms, p99 80.0 ms (40 measured)" in told
    assert "refit: fitting, 0 done, 0 failed; epoch 1 of 3, step 50 of 90; candidate of offset 5: 4 events compared, " \
        "+0.2500 nats an event" in told
    assert told[-1] == "  The learner's process ended with SIGKILL."


def test_versions_are_told_newest_first(found: tuple[dict[str, Any], dict[str, Any]]) -> None:
    told = lines(found[1])
    assert told[0].startswith("published  counts-0  up to offset 0, ")
    assert told[1].startswith("live       live-30  up to offset 3")
    assert told[1].endswith(", 30 events learned")
    assert any("pause to shadow" in line for line in told)


def test_a_status_is_watched_with_what_happens_meanwhile(
    found: tuple[dict[str, Any], dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    status = found[0]
    later = status | {"events": status["events"] + 20, "lists": status["lists"] + 5}
    assert rates(later, 10.0, status, 12.0) == "now: 10.0 events/s, 2.5 lists/s"
    asked: list[int] = []

    class Engine:
        def status(self) -> dict[str, Any]:
            asked.append(1)
            return status

    assert watch(Engine(), 0.0, times=3) == 0  # type: ignore[arg-type]  # nothing else is asked
    assert len(asked) == 3
    assert "events: 30" in capsys.readouterr().out

"""What was decided lately about what answers, read back from the log's end."""

from __future__ import annotations

from typing import Any

from everbrook.events.log import Readable
from everbrook.events.records import Version

WINDOWS = (2_000, 50_000, 1_000_000)  # records looked back at


def last_decisions(log: Readable, most: int) -> list[dict[str, Any]]:
    """The last decisions, newest first.

    Args:
        log: what happened.
        most: how many at most.
    """
    end = log.end
    found: list[Version] = []
    for window in WINDOWS:
        start = max(0, end - window)
        records = [one for run in log.runs(start, end, ("version",)) for one in run.records]
        found = [one for one in records if isinstance(one, Version)]
        if len(found) >= most or not start:
            break
    return [told_of(one) for one in reversed(found[-most:])]


def told_of(one: Version) -> dict[str, Any]:
    """A decision as callers read it."""
    told = {
        "action": one.action, "version": one.version, "offset": one.offset, "ts_ms": one.ts, "to": one.to,
        "because": one.because, "evidence_nats": one.evidence,
    }  # fmt: skip
    return {name: value for name, value in told.items() if value is not None}

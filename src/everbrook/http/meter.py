"""What Prometheus reads: counts and times of requests as they happen, and where the engine stands when it is asked."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from everbrook.engine.times import Times

if TYPE_CHECKING:
    from everbrook.engine.recommender import Recommender

MEDIA = "text/plain; version=0.0.4; charset=utf-8"
LATEST = 4096  # batches of events whose times the percentiles in the status are of
STAGES = ("shadow", "canary", "live")
NUMBERS = {
    "offset": "Offset of the log up to which lists reflect it.", "end": "Offset after the log's last record.",
    "lag": "Records of the log that lists do not reflect yet.", "items": "Items that are known.",
    "actors": "Users and guests that are known.", "up_s": "Seconds since the server started.",
}  # fmt: skip
COUNTS = {"events": "Events taken in, over all time.", "lists": "Lists made since the server started."}


class Meter:
    """The measurements of one server.

    Args:
        engine: asked for its status at each reading.
    """

    def __init__(self, engine: Recommender) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._tally = Tally()
        self.registry.register(self._tally)
        self.registry.register(Standing(engine))

    def answered(self, method: str, route: str, status: int, took_s: float, request_id: str) -> None:
        """A request was answered; where it brought events, they are durable and in every list from now on."""
        self._tally.answered(method, route, status, took_s)

    def to_list(self) -> dict[str, Any]:
        """From an event's arrival to lists that reflect it: percentiles of the latest, in milliseconds."""
        return self._tally.to_list()

    def text(self) -> bytes:
        """Everything, as Prometheus reads it."""
        return generate_latest(self.registry)


class Tally:
    """Answers, counted and timed as they are given: told in the loop, read on another thread."""

    def __init__(self) -> None:
        self._requests: dict[tuple[str, str, int], int] = {}
        self._seconds: dict[str, Times] = {}
        self._to_list = Times()
        self._latest_s: deque[float] = deque(maxlen=LATEST)

    def answered(self, method: str, route: str, status: int, took_s: float) -> None:
        """A request was answered."""
        key = (method, route, status)
        self._requests[key] = self._requests.get(key, 0) + 1
        times = self._seconds.get(route)
        if times is None:
            times = self._seconds[route] = Times()
        times.observe(took_s)
        if route == "/v1/events" and status == 200:
            self._to_list.observe(took_s)
            self._latest_s.append(took_s)

    def to_list(self) -> dict[str, Any]:
        """Percentiles of how long the latest batches of events took, and how many there were."""
        latest_ms = 1000.0 * np.array(self._latest_s.copy())
        if not len(latest_ms):
            return {"p50_ms": None, "p99_ms": None, "measured": 0}
        p50, p99 = np.percentile(latest_ms, (50, 99))
        return {"p50_ms": round(float(p50), 2), "p99_ms": round(float(p99), 2), "measured": sum(self._to_list.counts)}

    def describe(self) -> list[Metric]:
        """Nothing: what there is depends on what was asked."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All of it."""
        requests = CounterMetricFamily(
            "everbrook_requests", "Requests by route and status.", labels=("method", "route", "status")
        )
        for (method, route, status), count in list(self._requests.items()):
            requests.add_metric((method, route, str(status)), count)
        yield requests
        seconds = HistogramMetricFamily(
            "everbrook_request_seconds", "From a request's arrival to its answer.", labels=("route",)
        )
        for route, times in list(self._seconds.items()):
            seconds.add_metric((route,), buckets=times.buckets(), sum_value=times.sum_s)
        yield seconds
        yield HistogramMetricFamily(
            "everbrook_event_to_list_seconds", "From an event's arrival to lists that reflect it.",
            buckets=self._to_list.buckets(), sum_value=self._to_list.sum_s,
        )  # fmt: skip


class Standing:
    """Reads the engine's status as metrics."""

    def __init__(self, engine: Recommender) -> None:
        self._engine = engine

    def describe(self) -> list[Metric]:
        """Nothing: what there is depends on what learns."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Everything that the status tells in numbers."""
        status = self._engine.status()
        for name, told in NUMBERS.items():
            yield GaugeMetricFamily(f"everbrook_{name.replace('up_s', 'up_seconds')}", told, value=status[name])
        for name, told in COUNTS.items():
            yield CounterMetricFamily(f"everbrook_{name}", told, value=status[name])
        yield GaugeMetricFamily(
            "everbrook_background_errors", "Failures in the background that status shows.",
            value=len(status["last_errors"]) + len(status["live"].get("process", {}).get("last_errors", ())),
        )  # fmt: skip
        waits = self._engine.list_waits
        yield HistogramMetricFamily(
            "everbrook_list_wait_seconds",
            "How long lists waited until others let go of what is known, and events before them were taken in.",
            buckets=waits.buckets(), sum_value=waits.sum_s,
        )  # fmt: skip
        yield from _mixture(status["mixture"])
        yield from _disk(self._engine.path)
        yield from _troubles(status["log"], status["clock"])
        yield from _live(status["live"])
        yield GaugeMetricFamily(
            "everbrook_refit_running", "Whether the large model is being fitted.",
            value=float(status["refit"]["state"] == "fitting"),
        )  # fmt: skip


def _mixture(mixture: dict[str, Any]) -> Iterator[Metric]:
    yield GaugeMetricFamily("everbrook_log_loss_nats", "Mean log-loss of the lists so far.", value=mixture["log_loss"])
    yield CounterMetricFamily("everbrook_judged_events", "Events that judged lists.", value=mixture["judged_events"])
    weights = GaugeMetricFamily("everbrook_mixture_weight", "Weight of each voice of the mixture.", labels=("voice",))
    for name, weight in mixture["weights"].items():
        weights.add_metric((name,), weight)
    yield weights
    pools = GaugeMetricFamily(
        "everbrook_pool_weight", "Weight of each expert in the pool of a scenario.", labels=("scenario", "expert")
    )  # fmt: skip
    for scenario, by_expert in mixture["pool_by_scenario"].items():
        for name, weight in by_expert.items():
            pools.add_metric((scenario, name), weight)
    yield pools


def _disk(data: Path) -> Iterator[Metric]:
    try:
        free = float(shutil.disk_usage(data).free)
        held = float(sum(file.stat().st_size for file in data.rglob("*") if file.is_file()))
    except OSError:  # a file went while it was looked at: the next reading tells
        return
    yield GaugeMetricFamily("everbrook_disk_free_bytes", "Room left where the data directory lies.", value=free)
    yield GaugeMetricFamily("everbrook_data_bytes", "Size of the files in the data directory.", value=held)


def _troubles(log: dict[str, Any], clock: dict[str, int]) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "everbrook_log_refusing", "Whether the disk refuses new records.", value=float(log["refusing"] is not None)
    )  # fmt: skip
    yield CounterMetricFamily("everbrook_log_refused_commits", "Commits it refused.", value=log["refused_commits"])
    yield CounterMetricFamily("everbrook_log_shed", "Writes turned away as too much waited.", value=log["shed"])
    yield GaugeMetricFamily("everbrook_log_waiting_bytes", "Records that wait for it.", value=log["waiting_bytes"])
    yield GaugeMetricFamily(
        "everbrook_log_damaged_segments", "Segments that cannot be read.", value=len(log["damaged_segments"])
    )  # fmt: skip
    yield CounterMetricFamily("everbrook_clock_steps_back", "Times the clock was set back.", value=clock["steps_back"])


def _live(live: dict[str, Any]) -> Iterator[Metric]:
    stages = GaugeMetricFamily("everbrook_gate_stage", "1 at the stage of the live weights.", labels=("stage",))
    for stage in STAGES:
        stages.add_metric((stage,), float(live.get("stage") == stage))
    yield stages
    process = live.get("process")
    if process is not None:
        running = process["pid"] is not None
        yield GaugeMetricFamily("everbrook_learner_up", "Whether the learner's process is there.", value=float(running))
        yield GaugeMetricFamily("everbrook_learner_lag", "Records it has not learned.", value=process["behind"] or 0)
        yield CounterMetricFamily("everbrook_learner_starts", "Starts of its process.", value=process["starts"])
        yield CounterMetricFamily("everbrook_learner_hangs", "Times it was ended for hanging.", value=process["hangs"])
        yield GaugeMetricFamily(
            "everbrook_learner_memory_bytes", "Resident memory of the learner's process.",
            value=_resident_bytes(process["pid"]),
        )  # fmt: skip
        yield _to_weights(process["freshness"])
        yield GaugeMetricFamily(
            "everbrook_learner_told_age_seconds", "Age of what is told of a learner that is busy; 0 where it answered.",
            value=live.get("told_age_ms", 0) / 1000.0,
        )  # fmt: skip
    if "gate" in live:
        gate = live["gate"]
        yield GaugeMetricFamily("everbrook_gate_paused", "Whether the gate stands still.", value=float(gate["paused"]))
        yield CounterMetricFamily("everbrook_gate_events", "Events that the gate compared.", value=gate["events"])
        moves = CounterMetricFamily("everbrook_gate_moves", "Moves of the gate.", labels=("kind",))
        for kind, count in gate["counts"].items():
            moves.add_metric((kind,), count)
        yield moves
        yield _evidence(gate["readings"])
        drift = live["drift"]
        yield GaugeMetricFamily("everbrook_drift_factor", "By how much drift raises the rates.", value=drift["factor"])
        yield CounterMetricFamily("everbrook_drift_rises", "Rises of the loss that were noticed.", value=drift["rises"])


def _evidence(readings: list[dict[str, Any]]) -> Metric:
    """How near each claim of the gate is to being proven, over all scenarios."""
    found = GaugeMetricFamily(
        "everbrook_gate_evidence", "Evidence for a claim about the live weights; 1 proves it.",
        labels=("claim", "against"),
    )  # fmt: skip
    for one in readings:
        if one["scenario"] < 0:
            nats, needed = max(one["nats"] or 0.0, 0.0), one["needed_nats"]  # null: none yet, none that would do
            found.add_metric((one["claim"], one["against"]), nats / needed if needed else 0.0)
    return found


def _to_weights(freshness: dict[str, Any]) -> Metric:
    buckets = [(str(bound), float(count)) for bound, count in freshness["buckets"]]
    return HistogramMetricFamily(
        "everbrook_event_to_weights_seconds", "From a durable event to weights in the lists that learned from it.",
        buckets=[*buckets, ("+Inf", float(freshness["measured"]))], sum_value=freshness["sum_s"],
    )  # fmt: skip


def _resident_bytes(pid: int | None) -> float:
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            return float(file.read().split()[1]) * 4096
    except (OSError, ValueError, IndexError):
        return 0.0

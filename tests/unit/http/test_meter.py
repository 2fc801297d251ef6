"""What can be seen from outside: measurements for Prometheus, the board that shows them, and the stream of digests."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from everbrook import Recommender
from everbrook.engine.freshness import BOUNDS_S, Freshness
from everbrook.errors import NotReadyError
from everbrook.http import meter, stream
from everbrook.http.app import build_app
from everbrook.http.stream import Stream, digested
from everbrook.settings import load_settings

SETTINGS = load_settings(environment={}, assignments=[
    'mixture.experts=["popularity", "live"]', "learner.mode=inside",
]).settings  # fmt: skip


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recommender]:
    """An engine with a few events."""
    with Recommender.open(tmp_path_factory.mktemp("seen") / "data", SETTINGS) as opened:
        opened.ingest([{"user": f"u{n % 3}", "item": f"i{n % 5}"} for n in range(30)])
        yield opened


@pytest.fixture(scope="module")
def client(engine: Recommender, asgi_client: Any) -> Any:
    """Its HTTP door."""
    return asgi_client(build_app(engine, SETTINGS))


def _samples(text: str) -> dict[str, float]:
    return {
        one.name + "".join(f"|{value}" for value in one.labels.values()): one.value
        for family in text_string_to_metric_families(text) for one in family.samples
    }


def test_measurements_are_what_happened(engine: Recommender, client: Any) -> None:
    before = _samples(client.get("/metrics").text)
    for _ in range(3):
        assert client.post("/v1/recommend", json={"user": "u1"}).status_code == 200
    client.post("/v1/events", json={"events": [{"user": "u1", "item": "i1"}]})
    client.post("/v1/recommend", json={"usr": "u1"})
    client.get("/v1/nothing/u1")
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    after = _samples(answer.text)
    assert after["everbrook_requests_total|post|/v1/recommend|200"] == 3
    assert after["everbrook_requests_total|post|/v1/recommend|400"] == 1
    assert after["everbrook_requests_total|none|none|404"] == 1
    assert after["everbrook_request_seconds_count|/v1/recommend"] == 4
    assert after["everbrook_event_to_list_seconds_count"] == 1
    waits = "everbrook_list_wait_seconds_count"
    assert after[waits] == before[waits] + 3
    assert after["everbrook_lists_total"] == before["everbrook_lists_total"] + 3
    assert after["everbrook_events_total"] == 31
    assert after["everbrook_items"] == 5
    assert after["everbrook_lag"] == 0
    assert sum(after[f"everbrook_gate_stage|{stage}"] for stage in meter.STAGES) == 1
    weights = [value for name, value in after.items() if name.startswith("everbrook_mixture_weight|")]
    assert sum(weights) == pytest.approx(1.0, abs=0.01)
    assert after["process_resident_memory_bytes"] > 1e6
    files = [path for path in engine.path.rglob("*") if path.is_file()]
    assert after["everbrook_data_bytes"] == pytest.approx(sum(path.stat().st_size for path in files), rel=0.2)
    assert after["everbrook_disk_free_bytes"] > 0
    by_scenario = [value for name, value in after.items() if re.match(r"everbrook_pool_weight\|.*\bhome\b", name)]
    assert sum(by_scenario) == pytest.approx(1.0, abs=0.01)


def test_the_status_tells_how_soon_an_event_is_in_lists_and_in_weights(engine: Recommender, asgi_client: Any) -> None:
    client = asgi_client(build_app(engine, SETTINGS))
    nothing = {"p50_ms": None, "p99_ms": None, "measured": 0}
    assert client.get("/v1/status").json()["freshness"] == {"event_to_list": nothing, "event_to_weights": nothing}
    for _ in range(3):
        client.post("/v1/events", json={"events": [{"user": "u1", "item": "i1"}]})
    client.post("/v1/events", json={"events": [{"user": "u1", "item": ""}]})
    found = client.get("/v1/status").json()["freshness"]["event_to_list"]
    assert 0 < found["p50_ms"] <= found["p99_ms"]
    assert found["measured"] == 3


def test_freshness_is_a_histogram() -> None:
    freshness = Freshness()
    taken = [0.005, 0.01, 0.3, 70.0]
    for n, seconds in enumerate(taken):
        freshness.note(n + 1, 0.0)
        freshness.served(n + 1, seconds)
    told = freshness.told()
    for bound, count in told["buckets"]:
        assert count == sum(seconds <= bound for seconds in taken), bound
    assert told["measured"] == 4
    assert told["sum_s"] == pytest.approx(sum(taken))
    samples = {one.labels.get("le", one.name): one.value for one in meter._to_weights(told).samples}
    assert samples["+Inf"] == 4
    assert samples["0.5"] == 3
    assert len(BOUNDS_S) == len(told["buckets"])


def test_evidence_of_the_gate_is_told_as_the_share_that_proves_a_claim() -> None:
    reading = {"claim": "harm", "against": "anchor", "scenario": -1, "nats": 1.5, "needed_nats": 6.0}
    nothing = [reading | {"claim": "better", "nats": None}, reading | {"claim": "alike", "needed_nats": None}]
    found = meter._evidence([reading, reading | {"scenario": 2}, *nothing]).samples
    assert {one.labels["claim"]: one.value for one in found} == {"harm": 0.25, "better": 0.0, "alike": 0.0}
    assert {one.labels["against"] for one in found} == {"anchor"}


def test_the_board_shows_only_what_is_measured(client: Any, repository: Path) -> None:
    board = json.loads((repository / "deploy/grafana.json").read_text(encoding="utf-8"))
    asked = [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
    assert len(asked) >= 12
    source = Path(meter.__file__).read_text(encoding="utf-8")
    measured = {name.partition("|")[0] for name in _samples(client.get("/metrics").text)}
    of_a_process = set(re.findall(r'"(everbrook_learner_\w+|everbrook_event_to_weights_seconds)"', source))
    measured |= of_a_process | {f"{name}{end}" for name in of_a_process for end in ("_total", "_bucket", "_count")}
    named = set(re.findall(r"\b(?:everbrook|process)_\w+", " ".join(asked)))
    assert named
    assert named - measured == set()


def test_a_digest_has_rates() -> None:
    status = {
        "ready": True, "offset": 5, "end": 5, "lag": 0, "events": 5, "items": 1, "actors": 1, "lists": 2, "up_s": 1.0,
        "version": {"name": "counts-0"}, "live": {"mode": "off"}, "mixture": {"log_loss": 1.0, "weights": {}},
        "refit": {"state": "idle"}, "last_errors": [],
    }  # fmt: skip
    first = digested(status, None)
    assert (first["events_per_s"], first["lists_per_s"]) == (0.0, 0.0)
    second = digested(status | {"events": 15, "lists": 3, "up_s": 3.0}, first)
    assert (second["events_per_s"], second["lists_per_s"]) == (5.0, 0.5)


def test_the_stream_gives_digests_and_lets_slow_clients_go(
    engine: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "EVERY_S", 0.0)
    monkeypatch.setattr(stream, "CLIENTS", 2)

    async def looked() -> None:
        told = Stream(engine.status)
        quick, slow = told.join(), told.join()
        with pytest.raises(NotReadyError):
            told.join()
        assert (await anext(quick)).startswith(b"retry:")
        assert (await anext(slow)).startswith(b"retry:")
        digests = 0
        while len(told) == 2:
            event = await anext(quick)
            assert event.startswith(b"event: status\ndata: {")
            digests += 1
        assert json.loads(event.partition(b"data: ")[2])["items"] == 5
        assert digests > stream.WAITING
        assert [one async for one in slow] == []
        told.close()
        assert [one async for one in quick] == []
        with pytest.raises(NotReadyError):
            told.join()

    asyncio.run(asyncio.wait_for(looked(), 60))

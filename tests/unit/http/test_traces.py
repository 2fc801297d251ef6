"""Traces: a span for each request and its parts, in the trace of whoever asked, without a word of what was sent."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from everbrook import Recommender
from everbrook.engine.spans import carried, end_spans, is_on, span, start_spans
from everbrook.errors import SettingError
from everbrook.http.app import build_app
from everbrook.settings import load_settings

memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")

SETTINGS = load_settings(environment={}, assignments=[
    'mixture.experts=["popularity", "live"]', "learner.mode=inside",
]).settings  # fmt: skip
MARK = "marker-161803"
ABOVE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def spans() -> Iterator[Any]:
    """Where spans go."""
    exporter = memory.InMemorySpanExporter()
    start_spans(SETTINGS.serve, "server", exporter)
    yield exporter
    end_spans()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recommender]:
    """An engine with a few events."""
    with Recommender.open(tmp_path_factory.mktemp("traced") / "data", SETTINGS) as opened:
        opened.ingest([{"user": f"u{n % 3}", "item": f"i{n % 5}"} for n in range(10)])
        yield opened


def _tree(spans: Any) -> dict[str, str | None]:
    """Each span's name, and that of the one above it."""
    found = spans.get_finished_spans()
    names = {one.context.span_id: one.name for one in found}
    return {one.name: names.get(one.parent.span_id, "outside") if one.parent else None for one in found}


def test_a_request_and_its_parts_are_one_trace_under_that_of_the_asker(
    engine: Recommender, asgi_client: Any, spans: Any
) -> None:
    client = asgi_client(build_app(engine, SETTINGS))
    body = {"events": [{"user": MARK, "session": MARK, "item": MARK}]}
    answer = client.post("/v1/events", json=body, headers={"traceparent": ABOVE})
    assert _tree(spans) == {"ingest": "POST /v1/events", "POST /v1/events": "outside"}
    told = {one.name: one for one in spans.get_finished_spans()}
    whole = told["POST /v1/events"]
    assert f"{whole.context.trace_id:032x}" == ABOVE.split("-")[1]
    assert whole.attributes == {
        "http.route": "/v1/events", "http.response.status_code": 200,
        "everbrook.request": answer.headers["x-request-id"],
    }  # fmt: skip
    assert told["ingest"].attributes == {"events": 1}
    spans.clear()
    client.post("/v1/recommend", json={"user": MARK, "k": 3})
    assert _tree(spans) == {"list": "POST /v1/recommend", "POST /v1/recommend": None}


def test_no_span_holds_what_was_sent_or_what_an_error_says(
    engine: Recommender, asgi_client: Any, spans: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = asgi_client(build_app(engine, SETTINGS))
    client.post("/v1/events", json={"events": [{"user": MARK, "session": MARK, "item": MARK}]})
    client.post("/v1/recommend", json={"user": MARK, "scenario": MARK})
    client.get(f"/v1/users/{MARK}?token={MARK}")
    client.get(f"/{MARK}")

    def breaks(*_: Any, **__: Any) -> None:
        with span("inner"):
            raise KeyError(MARK)

    monkeypatch.setattr(Recommender, "recommend_many", breaks)
    assert client.post("/v1/recommend", json={"user": MARK}).status_code == 500
    found = [one.to_json() for one in spans.get_finished_spans()]
    assert len(found) >= 6
    assert [one for one in found if MARK in one] == []
    broken = next(one for one in spans.get_finished_spans() if one.name == "inner")
    assert (broken.status.description, broken.events) == ("KeyError", ())


def test_a_span_on_another_thread_belongs_to_the_one_that_was_open(spans: Any) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def work() -> None:
        with span("inner"):
            pass

    with ThreadPoolExecutor(1) as pool, span("outer"):
        pool.submit(carried(work)).result()
    assert _tree(spans) == {"inner": "outer", "outer": None}


def test_the_share_of_traced_requests_is_a_setting() -> None:
    exporter = memory.InMemorySpanExporter()
    start_spans(msgspec.structs.replace(SETTINGS.serve, trace_share=0.25), "server", exporter)
    try:
        for _ in range(400):
            with span("one"):
                pass
    finally:
        end_spans()
    assert 55 <= len(exporter.get_finished_spans()) <= 155  # binomial(400, 1/4): beyond 5 standard deviations


def test_without_an_endpoint_nothing_is_made_and_nothing_is_imported(engine: Recommender, asgi_client: Any) -> None:
    assert not is_on()
    start_spans(SETTINGS.serve, "server")
    assert not is_on()
    assert asgi_client(build_app(engine, SETTINGS)).post("/v1/recommend", json={"user": "u1"}).status_code == 200
    code = (
        "import sys; import everbrook.engine.spans; import everbrook.http.traces; "
        "print(json.dumps(sorted(n for n in sys.modules if n.startswith('opentelemetry'))))"
    )
    ran = subprocess.run([sys.executable, "-c", f"import json; {code}"], capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout) == []


def test_what_is_missing_is_named_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.resources", None)
    with pytest.raises(SettingError, match=r"^Setting 'serve\.trace_endpoint' must be empty where .* is not installed"):
        start_spans(msgspec.structs.replace(SETTINGS.serve, trace_endpoint="http://127.0.0.1:9/v1/traces"), "server")

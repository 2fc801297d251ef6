"""Spans: what took how long within one request or portion, for those who collect traces (OpenTelemetry).

Nothing is measured and nothing is imported unless the settings name a place where traces go. A span has names, counts
and offsets, and never an id of a person or anything else that was sent.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from everbrook.errors import SettingError
from everbrook.settings.serve import ServeSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace.export import SpanExporter

ParamsT = ParamSpec("ParamsT")
ResultT = TypeVar("ResultT")

_NOTHING: AbstractContextManager[Any] = nullcontext()


class _Traces:
    """Where this process's spans go."""

    provider: Any = None
    tracer: Any = None


def is_on() -> bool:
    """Whether spans are made at all."""
    return _Traces.tracer is not None


def span(name: str, **attributes: bool | int | float | str) -> AbstractContextManager[Any]:
    """What happens inside takes this long; nothing where traces are off.

    Args:
        name: what happens.
        attributes: numbers and names of ours.
    """
    if _Traces.tracer is None:
        return _NOTHING
    return _quiet(_Traces.tracer.start_as_current_span(
        name, attributes=attributes, record_exception=False, set_status_on_exception=False,
    ))  # fmt: skip


@contextmanager
def _quiet(opened: AbstractContextManager[Any]) -> Iterator[Any]:
    """A span that tells of an error its class alone, for its words may hold what somebody sent."""
    from opentelemetry.trace import Status, StatusCode

    with opened as current:
        try:
            yield current
        except Exception as error:
            current.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise


@contextmanager
def server_span(name: str, headers: Mapping[str, str]) -> Iterator[Any]:
    """The span of a request, under that of whoever sent it where the headers name one ('traceparent').

    Args:
        name: what is asked for, until the route is known.
        headers: of the request, names in lower case.
    """
    from opentelemetry.trace import SpanKind
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    above = TraceContextTextMapPropagator().extract(dict(headers))
    opened = _Traces.tracer.start_as_current_span(
        name, context=above, kind=SpanKind.SERVER, record_exception=False, set_status_on_exception=False,
    )  # fmt: skip
    with _quiet(opened) as current:
        yield current


def carried(call: Callable[ParamsT, ResultT]) -> Callable[ParamsT, ResultT]:
    """The call, so that spans which it opens on another thread belong to the span that is open here."""
    if _Traces.tracer is None:
        return call
    context = contextvars.copy_context()

    def within(*arguments: ParamsT.args, **named: ParamsT.kwargs) -> ResultT:
        return context.run(call, *arguments, **named)

    return within


def start_spans(settings: ServeSettings, process: str, exporter: SpanExporter | None = None) -> None:
    """Let this process make spans from now on, where the settings say where they go.

    Args:
        settings: where they go, and of which share of the requests.
        process: which of the processes this is.
        exporter: takes the spans, at once; by OTLP over HTTP, in batches, where None.

    Raises:
        SettingError: traces are wanted and what they need is not installed.
    """
    if not settings.trace_endpoint and exporter is None:
        return
    try:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

        if exporter is None:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError as error:
        raise SettingError(
            f"Setting 'serve.trace_endpoint' must be empty where '{error.name}' is not installed; got "
            f"'{settings.trace_endpoint}'.",
            "Install it: pip install 'everbrook[traces]'",
        ) from None
    resource = Resource({"service.name": "everbrook", "service.instance.id": process})
    provider = TracerProvider(
        sampler=ParentBasedTraceIdRatio(settings.trace_share), resource=resource, shutdown_on_exit=False
    )
    if exporter is not None:
        provider.add_span_processor(SimpleSpanProcessor(exporter))
    else:
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=settings.trace_endpoint, timeout=5)))
    _Traces.provider, _Traces.tracer = provider, provider.get_tracer("everbrook")


def end_spans() -> None:
    """Send what waits, and make no more."""
    provider, _Traces.provider, _Traces.tracer = _Traces.provider, None, None
    if provider is not None:
        provider.shutdown()


__all__ = ["carried", "end_spans", "is_on", "server_span", "span", "start_spans"]

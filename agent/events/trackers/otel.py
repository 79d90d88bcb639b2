"""OpenTelemetry: spans for the search, its restarts, requests and batches, by the GenAI conventions."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult

from ...versions import PROGRAM, program_version
from ..types import (
    AnswerReceived,
    BatchScored,
    ChatFailed,
    DefaultTemplateScored,
    Event,
    GaveUp,
    Paused,
    RestartFinished,
    RetryScheduled,
    RoundSkipped,
    SearchFinished,
    SearchStarted,
    StartingTemplatesDrawn,
    WaitCapped,
)
from .metrics import TrackedRun

FILE = "spans.jsonl"
_TROUBLE = (ChatFailed, GaveUp, Paused, WaitCapped, RetryScheduled)
"""Noted in the span of the search: they do not name their request."""


class OtelSpans:
    """Make spans of events.

    ``place`` is a collector's address (OTLP over HTTP), or a file; empty for
    ``$OTEL_EXPORTER_OTLP_ENDPOINT``, then ``spans.jsonl`` in the run's folder.
    """

    def __init__(self, run: TrackedRun, place: str) -> None:
        # The search itself reports, once, that a collector does not answer.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self._exporter = _Watched(_exporter_to(place, run.run_dir / FILE))
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": PROGRAM}), shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(cast("Any", self._exporter)))
        self._tracer = self._provider.get_tracer(PROGRAM, program_version())
        self._run = run
        self._root: trace.Span | None = None
        self._restarts: dict[int, trace.Span] = {}
        self._llm: str | None = None
        self._default: float | None = None

    def __call__(self, event: Event, when_ns: int) -> None:
        if self._exporter.failed:
            raise ConnectionError("spans cannot be exported")
        if isinstance(event, SearchStarted):
            self._llm = event.llm
            self._root = self._span(f"search {event.dataset}", when_ns, None, event.fields())
        elif isinstance(event, DefaultTemplateScored) and self._root is not None:
            self._root.set_attribute("promptclimb.default_train", event.train)
            self._default = event.train
        elif isinstance(event, StartingTemplatesDrawn):
            restart = event.position.restart
            attributes = {"promptclimb.restart": restart, "promptclimb.templates": event.templates}
            self._restarts[restart] = self._span(f"restart {restart}", when_ns, self._root, attributes)
        elif isinstance(event, RestartFinished) and event.position.restart in self._restarts:
            span = self._restarts.pop(event.position.restart)
            span.set_attribute("promptclimb.train", event.train)
            span.end(when_ns)
        elif isinstance(event, AnswerReceived) and not event.replayed:
            self._request(event, when_ns)
        elif isinstance(event, RoundSkipped):
            span = self._span(
                self._chat, when_ns, self._restarts.get(event.position.restart), self._asked(event)
            )
            span.set_status(trace.StatusCode.ERROR, self._run.scrub(event.reason))
            span.end(when_ns)
        elif isinstance(event, BatchScored):
            began = when_ns - int(event.seconds * 1e9)
            self._span("score batch", began, self._root, event.fields()).end(when_ns)
        elif isinstance(event, _TROUBLE) and self._root is not None:
            self._root.add_event(event.name, self._run.scrub(event.fields()), when_ns)
        elif isinstance(event, SearchFinished) and self._root is not None:
            self._root.set_attributes(
                {"promptclimb.status": event.status, "promptclimb.best_train": event.train}
            )
            if self._default is not None:
                self._root.set_attribute("promptclimb.gain_over_default", event.train - self._default)

    def idle(self) -> None:
        """Nothing is collected here: the exporter does that."""

    def close(self) -> None:
        for span in (*self._restarts.values(), self._root):
            if span is not None:
                span.end()
        self._provider.shutdown()
        if self._exporter.failed:
            raise ConnectionError("spans could not be exported")

    @property
    def _chat(self) -> str:
        return f"chat {self._llm}"

    def _asked(self, event: AnswerReceived | RoundSkipped) -> dict[str, Any]:
        place = event.position
        address = urlsplit(str(self._run.settings.get("base_url", "")))
        attributes = {
            "gen_ai.operation.name": "chat",
            # The conventions' word for any service that speaks OpenAI's protocol.
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": self._llm or "",
            "gen_ai.request.temperature": float(self._run.settings.get("temperature", 1.0)),
            "gen_ai.conversation.id": f"{self._run.run_dir.name}/{place.restart}.{place.conversation}",
            "promptclimb.round": place.round,
        }
        return attributes | {"server.address": address.hostname} if address.hostname else attributes

    def _request(self, event: AnswerReceived, when_ns: int) -> None:
        attributes = self._asked(event) | {
            "gen_ai.usage.input_tokens": event.prompt_tokens,
            "gen_ai.usage.output_tokens": event.completion_tokens,
            "gen_ai.response.finish_reasons": [event.finish_reason],
        }
        if event.model:
            attributes["gen_ai.response.model"] = event.model
        began = when_ns - int(event.seconds * 1e9)
        parent = self._restarts.get(event.position.restart)
        self._span(self._chat, began, parent, attributes, trace.SpanKind.CLIENT).end(when_ns)

    def _span(
        self,
        name: str,
        when_ns: int,
        parent: trace.Span | None,
        attributes: dict[str, Any],
        kind: trace.SpanKind = trace.SpanKind.INTERNAL,
    ) -> trace.Span:
        context = None if parent is None else trace.set_span_in_context(parent)
        known = {
            key if "." in key else f"promptclimb.{key}": value
            for key, value in attributes.items()
            if value is not None
        }
        return self._tracer.start_span(
            self._run.scrub(name), context, kind, self._run.scrub(known), start_time=when_ns
        )


class _Watched:
    """A ``SpanExporter`` that remembers in ``failed`` whether spans were lost."""

    def __init__(self, exporter: Any) -> None:
        self._exporter = exporter
        self.failed = False

    def export(self, spans: Sequence[ReadableSpan]) -> Any:
        result = self._exporter.export(spans)
        self.failed = self.failed or result is not SpanExportResult.SUCCESS
        return result

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return bool(self._exporter.force_flush(timeout_millis))

    def shutdown(self) -> None:
        self._exporter.shutdown()


class _ToFile:
    def __init__(self, path: Path) -> None:
        self._path = path

    def export(self, spans: Sequence[ReadableSpan]) -> Any:
        with self._path.open("a", encoding="utf-8") as file:
            file.writelines(f"{span.to_json(indent=None)}\n" for span in spans)
        return SpanExportResult.SUCCESS

    def force_flush(self, _timeout_millis: int) -> bool:
        return True

    def shutdown(self) -> None:
        pass


def _exporter_to(place: str, file: Path) -> Any:
    is_address = urlsplit(place).scheme in ("http", "https")
    if is_address or (not place and "OTEL_EXPORTER_OTLP_ENDPOINT" in os.environ):
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter(endpoint=f"{place.rstrip('/')}/v1/traces" if place else None)
    path = Path(place) if place else file
    path.parent.mkdir(parents=True, exist_ok=True)
    return _ToFile(path)

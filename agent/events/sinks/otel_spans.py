"""OpenTelemetry: spans for the search, its restarts, requests and batches, by the GenAI conventions."""

from __future__ import annotations

import logging
from typing import Any, cast
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from ...versions import PROGRAM, program_version
from ..asking import ChatFailed, GaveUp, Paused, RetryScheduled, WaitCapped
from ..event import Event
from ..searching import (
    AnswerReceived,
    BatchScored,
    ClimbFinished,
    IterationSkipped,
    PlainScored,
    PoolDrawn,
    SearchFinished,
    SearchStarted,
)
from .otel_export import FILE, Watched, exporter_to
from .tracker import Tracked

_TROUBLE = (ChatFailed, GaveUp, Paused, WaitCapped, RetryScheduled)
"""What is told inside the span of the search: nobody knows of which request."""


class OtelSpans:
    """Make spans of events; with times as they were told.

    Args:
        run: What is tracked.
        place: Address of a collector (OTLP over HTTP), or a file; empty for
            ``$OTEL_EXPORTER_OTLP_ENDPOINT``, then ``spans.jsonl`` in the run's folder.
    """

    def __init__(self, run: Tracked, place: str) -> None:
        # What it would say of a collector that does not answer is said by the search, once.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self._exporter = Watched(exporter_to(place, run.run_dir / FILE))
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": PROGRAM}), shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(cast("Any", self._exporter)))
        self._tracer = self._provider.get_tracer(PROGRAM, program_version())
        self._run = run
        self._root: trace.Span | None = None
        self._restarts: dict[int, trace.Span] = {}
        self._llm: str | None = None
        self._plain: float | None = None

    def __call__(self, event: Event, when_ns: int) -> None:
        """Take an event."""
        if self._exporter.failed:
            raise ConnectionError("spans cannot be exported")
        if isinstance(event, SearchStarted):
            self._llm = event.llm
            self._root = self._span(f"search {event.dataset}", when_ns, None, event.fields())
        elif isinstance(event, PlainScored) and self._root is not None:
            self._root.set_attribute("promptclimb.plain_train", event.train)
            self._plain = event.train
        elif isinstance(event, PoolDrawn):
            climb = event.position.climb
            told = {"promptclimb.restart": climb, "promptclimb.templates": event.templates}
            self._restarts[climb] = self._span(f"restart {climb}", when_ns, self._root, told)
        elif isinstance(event, ClimbFinished) and event.position.climb in self._restarts:
            span = self._restarts.pop(event.position.climb)
            span.set_attribute("promptclimb.train", event.train)
            span.end(when_ns)
        elif isinstance(event, AnswerReceived) and not event.replayed:
            self._request(event, when_ns)
        elif isinstance(event, IterationSkipped):
            span = self._span(
                self._chat, when_ns, self._restarts.get(event.position.climb), self._asked(event)
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
            if self._plain is not None:
                self._root.set_attribute("promptclimb.gain_over_plain", event.train - self._plain)

    def idle(self) -> None:
        """Nothing is collected here: the exporter does that."""

    def close(self) -> None:
        """End what is open, and export it."""
        for span in (*self._restarts.values(), self._root):
            if span is not None:
                span.end()
        self._provider.shutdown()
        if self._exporter.failed:
            raise ConnectionError("spans could not be exported")

    @property
    def _chat(self) -> str:
        return f"chat {self._llm}"

    def _asked(self, event: AnswerReceived | IterationSkipped) -> dict[str, Any]:
        place = event.position
        address = urlsplit(str(self._run.settings.get("base_url", "")))
        told = {
            "gen_ai.operation.name": "chat",
            # The conventions' word for whoever speaks OpenAI's protocol and is not known otherwise.
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": self._llm or "",
            "gen_ai.request.temperature": float(self._run.settings.get("temperature", 1.0)),
            "gen_ai.conversation.id": f"{self._run.run_dir.name}/{place.climb}.{place.reset}",
            "promptclimb.iteration": place.iteration,
        }
        return told | {"server.address": address.hostname} if address.hostname else told

    def _request(self, event: AnswerReceived, when_ns: int) -> None:
        told = self._asked(event) | {
            "gen_ai.usage.input_tokens": event.prompt_tokens,
            "gen_ai.usage.output_tokens": event.completion_tokens,
            "gen_ai.response.finish_reasons": [event.finish_reason],
        }
        if event.model:
            told["gen_ai.response.model"] = event.model
        began = when_ns - int(event.seconds * 1e9)
        parent = self._restarts.get(event.position.climb)
        self._span(self._chat, began, parent, told, trace.SpanKind.CLIENT).end(when_ns)

    def _span(
        self,
        name: str,
        when_ns: int,
        parent: trace.Span | None,
        told: dict[str, Any],
        kind: trace.SpanKind = trace.SpanKind.INTERNAL,
    ) -> trace.Span:
        context = None if parent is None else trace.set_span_in_context(parent)
        known = {
            key if "." in key else f"promptclimb.{key}": value
            for key, value in told.items()
            if value is not None
        }
        return self._tracer.start_span(
            self._run.scrub(name), context, kind, self._run.scrub(known), start_time=when_ns
        )

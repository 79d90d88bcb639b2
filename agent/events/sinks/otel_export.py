"""Where spans go: to a collector by OTLP, or to a file with one JSON object a line."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

FILE = "spans.jsonl"


class Watched:
    """A ``SpanExporter`` whose failures are kept, and not only logged.

    Args:
        exporter: What exports.

    Attributes:
        failed: Whether spans were lost.
    """

    def __init__(self, exporter: Any) -> None:
        self._exporter = exporter
        self.failed = False

    def export(self, spans: Sequence[ReadableSpan]) -> Any:
        """Export spans."""
        result = self._exporter.export(spans)
        self.failed = self.failed or result is not SpanExportResult.SUCCESS
        return result

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Export what the exporter holds back."""
        return bool(self._exporter.force_flush(timeout_millis))

    def shutdown(self) -> None:
        """Let the exporter go."""
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


def exporter_to(place: str, file: Path) -> Any:
    """Return what exports spans.

    Args:
        place: The address of a collector, or a file; empty for ``$OTEL_EXPORTER_OTLP_ENDPOINT``.
        file: Where to, if neither is said.
    """
    is_address = urlsplit(place).scheme in ("http", "https")
    if is_address or (not place and "OTEL_EXPORTER_OTLP_ENDPOINT" in os.environ):
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter(endpoint=f"{place.rstrip('/')}/v1/traces" if place else None)
    path = Path(place) if place else file
    path.parent.mkdir(parents=True, exist_ok=True)
    return _ToFile(path)

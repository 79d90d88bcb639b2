"""Each tracker is written to by a run of two sessions, and read back with what its package brings."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from promptclimb import SearchConfig, resume, search
from promptclimb.agent.events.types import Event, ListenerFailed, TemplateScored
from promptclimb.agent.results.result import SearchResult
from promptclimb.evaluator.fakes import FakeEvaluator
from tests.fakes.words import reply_text

pytestmark = [
    pytest.mark.slow,
    # A run waits for a tracker only so long at its end.
    pytest.mark.alone,
    # What other people's packages warn of is theirs.
    pytest.mark.filterwarnings("ignore"),
]


class Chat:
    """Answers each request with templates of its own."""

    def chat(self, messages: object) -> str:
        return reply_text(str(messages))


async def two_sessions(run_dir: Path, track: str) -> tuple[SearchResult, list[float]]:
    """A run that a limit stops and that is resumed: its result, and the scores in the order reported."""
    events: list[Event] = []
    config = SearchConfig(
        data="fake", llm="fake", method="pn", restarts=1, conversations=1, rounds=2, initial=4, top_k=2,
        run_dir=run_dir, track=track, max_calls=1,
    )  # type: ignore[arg-type]  # fmt: skip
    stopped = await search(config, evaluator=FakeEvaluator(), chat=Chat(), on_event=events.append)
    assert stopped.status == "stopped"
    events.clear()
    changes = {"max_calls": 10}
    found = await resume(
        run_dir, changes=changes, evaluator=FakeEvaluator(), chat=Chat(), on_event=events.append
    )
    assert found.status == "finished"
    assert not [event for event in events if isinstance(event, ListenerFailed)]
    return found, [event.train for event in events if isinstance(event, TemplateScored)]


async def test_mlflow(tmp_path: Path) -> None:
    """One run with every score once, its settings, the last figures and the files."""
    mlflow = pytest.importorskip("mlflow", reason="needs the extra mlflow")
    found, scores = await two_sessions(tmp_path / "run", "mlflow")
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("promptclimb")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    history = sorted(client.get_metric_history(run.info.run_id, "train"), key=lambda metric: metric.step)
    assert [metric.value for metric in history] == scores
    assert [metric.step for metric in history] == list(range(1, len(scores) + 1))
    assert run.data.metrics["final_test"] == found.best.test
    assert run.data.params["method"] == "pn"
    names = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert {"result.json", "report.html", "templates.json"} <= names


async def test_tensorboard(tmp_path: Path) -> None:
    """Its own reader sees one curve over both sessions."""
    pytest.importorskip("tensorboardX", reason="needs the extra tensorboard")
    reading = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="needs the extra trackers-test"
    )
    found, scores = await two_sessions(tmp_path / "run", "tensorboard")
    events = reading.EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    rows = events.Scalars("train")
    assert [row.step for row in rows] == list(range(1, len(scores) + 1))
    assert [row.value for row in rows] == pytest.approx(scores)
    assert events.Scalars("final/test")[-1].value == pytest.approx(found.best.test)


async def test_trackio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One run of that name, with every score once."""
    pytest.importorskip("trackio", reason="needs the extra trackio")
    from trackio import sqlite_storage, utils

    for module in (sqlite_storage, utils):
        monkeypatch.setattr(module, "TRACKIO_DIR", tmp_path / "trackio", raising=False)
    _found, scores = await two_sessions(tmp_path / "run", "trackio:mine")
    (name,) = sqlite_storage.SQLiteStorage.get_runs("mine")
    assert name.startswith("run-")
    logs = [row for row in sqlite_storage.SQLiteStorage.get_logs("mine", name) if "train" in row]
    assert [row["train"] for row in logs] == scores
    assert [row["step"] for row in logs] == list(range(1, len(scores) + 1))


def wandb_records(file: Path) -> Iterator[Any]:
    """The records of an offline run: LevelDB's log form around wandb's own messages."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, place, whole = file.read_bytes(), 7, b""
    while place + 7 <= len(data):
        if 32768 - place % 32768 < 7:
            place += 32768 - place % 32768
            continue
        size, kind = int.from_bytes(data[place + 4 : place + 6], "little"), data[place + 6]
        whole += data[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):
            record = Record()
            record.ParseFromString(whole)
            yield record
            whole = b""


async def test_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two sessions write two parts of the same run, which its own messages read."""
    pytest.importorskip("wandb", reason="needs the extra wandb")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    found, scores = await two_sessions(tmp_path / "run", "wandb:mine")
    parts = sorted(
        (tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb"), key=lambda path: path.stat().st_mtime
    )
    records = [record for part in parts for record in wandb_records(part)]
    runs = [record.run for record in records if record.HasField("run")]
    assert len(parts) == 2
    assert {(run.project, run.run_id) for run in runs} == {("mine", runs[0].run_id)}
    rows = []
    for record in records:
        if record.HasField("history"):
            items = (
                (item.key or ".".join(item.nested_key), json.loads(item.value_json))
                for item in record.history.item
            )
            rows.append(dict(items))
    assert [row["train"] for row in rows if "train" in row] == scores
    assert rows[-1]["final_test"] == found.best.test


class Collector(http.server.BaseHTTPRequestHandler):
    """Takes spans as a collector does."""

    bodies: list[bytes]

    def do_POST(self) -> None:
        assert self.path == "/v1/traces"
        self.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


async def test_opentelemetry_by_otlp(tmp_path: Path) -> None:
    """A collector gets the spans, by the conventions; those of a request lie in those of its restart."""
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="needs the extra otel")
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    from opentelemetry.semconv._incubating.attributes import gen_ai_attributes as names

    Collector.bodies = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        await two_sessions(tmp_path / "run", f"otel:http://127.0.0.1:{server.server_port}")
        server.shutdown()
        thread.join()
    spans = [
        span
        for body in Collector.bodies
        for resource in ExportTraceServiceRequest.FromString(_plain(body)).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    by_id = {span.span_id: span for span in spans}
    chats = [span for span in spans if span.name == "chat fake"]
    assert len(chats) == 2
    for chat in chats:
        reported = {one.key: one.value for one in chat.attributes}
        assert reported[names.GEN_AI_OPERATION_NAME].string_value == names.GenAiOperationNameValues.CHAT.value
        assert reported[names.GEN_AI_PROVIDER_NAME].string_value == names.GenAiProviderNameValues.OPENAI.value
        assert reported[names.GEN_AI_REQUEST_MODEL].string_value == "fake"
        assert {names.GEN_AI_USAGE_INPUT_TOKENS, names.GEN_AI_USAGE_OUTPUT_TOKENS} <= set(reported)
        restart = by_id[chat.parent_span_id]
        assert restart.name == "restart 1"
        assert by_id[restart.parent_span_id].name == "search fake"
        assert chat.start_time_unix_nano <= chat.end_time_unix_nano
    assert any(span.name == "score batch" for span in spans)


def _plain(body: bytes) -> bytes:
    import gzip

    return gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body


async def test_opentelemetry_to_a_file_and_without_a_collector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spans lie beside the run; a collector that is not there costs the search nothing, and is reported."""
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="needs the extra otel")
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    await two_sessions(tmp_path / "run", "otel")
    spans = [json.loads(line) for line in (tmp_path / "run" / "spans.jsonl").read_text("utf-8").splitlines()]
    assert [span["name"] for span in spans].count("chat fake") == 2
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    events: list[Event] = []
    config = SearchConfig(
        data="fake", llm="fake", method="pn", restarts=1, conversations=1, rounds=1, initial=4, top_k=2,
        run_dir=tmp_path / "other", track="otel:http://127.0.0.1:9",
    )  # type: ignore[arg-type]  # fmt: skip
    found = await search(config, evaluator=FakeEvaluator(), chat=Chat(), on_event=events.append)
    assert found.status == "finished"
    assert [event.listener for event in events if isinstance(event, ListenerFailed)] == ["tracker otel"]

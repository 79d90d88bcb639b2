"""Each tracker is written to by a run of two sessions, and read back with what its package brings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from promptclimb import SearchConfig, resume, search
from promptclimb.agent.events.types import Event, ListenerFailed, TemplateScored
from promptclimb.agent.results.result import SearchResult
from tests.fakes.evaluators import FakeEvaluator
from tests.fakes.words import reply_text
from tests.paths import ROOT

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
        data="fake", llm="fake", method="pn", restarts=1, conversations=1, rounds=2, initial=4,
        run_dir=run_dir, track=track, max_calls=1,
    )  # type: ignore[arg-type]  # fmt: skip
    stopped = await search(config, custom_scorer=FakeEvaluator(), chat=Chat(), on_event=events.append)
    assert stopped.status == "stopped"
    events.clear()
    changes = {"max_calls": 10}
    result = await resume(
        run_dir, changes=changes, custom_scorer=FakeEvaluator(), chat=Chat(), on_event=events.append
    )
    assert result.status == "finished"
    assert not [event for event in events if isinstance(event, ListenerFailed)]
    return result, [event.train for event in events if isinstance(event, TemplateScored)]


async def test_mlflow(tmp_path: Path) -> None:
    """One run with every score once, its settings, the last figures and the files."""
    mlflow = pytest.importorskip("mlflow", reason="needs the extra mlflow")
    result, scores = await two_sessions(tmp_path / "run", "mlflow")
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("promptclimb")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    history = sorted(client.get_metric_history(run.info.run_id, "train"), key=lambda metric: metric.step)
    assert [metric.value for metric in history] == scores
    assert [metric.step for metric in history] == list(range(1, len(scores) + 1))
    assert run.data.metrics["final_test"] == result.best.test
    assert run.data.params["method"] == "pn"
    names = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert {"result.json", "report.html", "templates.json"} <= names


async def test_tensorboard(tmp_path: Path) -> None:
    """Its own reader sees one curve over both sessions."""
    pytest.importorskip("tensorboardX", reason="needs the extra tensorboard")
    reading = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="needs the extra trackers-test"
    )
    result, scores = await two_sessions(tmp_path / "run", "tensorboard")
    events = reading.EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    rows = events.Scalars("train")
    assert [row.step for row in rows] == list(range(1, len(scores) + 1))
    assert [row.value for row in rows] == pytest.approx(scores)
    assert events.Scalars("final/test")[-1].value == pytest.approx(result.best.test)


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
    result, scores = await two_sessions(tmp_path / "run", "wandb:mine")
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
    assert rows[-1]["final_test"] == result.best.test


SERVICE_DIES = """
import os, subprocess, sys
from pathlib import Path
from promptclimb.agent.events.trackers.metrics import TrackedRun
from promptclimb.agent.events.trackers.wandb import WandbRuns

WandbRuns(TrackedRun(run_dir=Path(sys.argv[1]), settings={}), "mine").begin({})
children = subprocess.run(["pgrep", "-P", str(os.getpid())], check=True, capture_output=True, text=True)
[service] = children.stdout.split()
subprocess.run(sys.argv[2].format(service=service), shell=True, check=True)
"""
BEFORE_THE_END = "kill -KILL {service}"
# Stopped, it can still be written to; it is killed while W&B waits for it.
DURING_THE_END = "kill -STOP {service}; (sleep 2; kill -KILL {service}) > /dev/null 2>&1 &"


@pytest.mark.parametrize("death", [BEFORE_THE_END, DURING_THE_END], ids=["before", "during"])
def test_wandb_says_nothing_at_exit_if_its_own_process_has_died(tmp_path: Path, death: str) -> None:
    """The run has reported what failed; a traceback of W&B's after the result helps nobody."""
    pytest.importorskip("wandb", reason="needs the extra wandb")
    done = subprocess.run(
        [sys.executable, "-c", SERVICE_DIES, str(tmp_path), death],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("WANDB_")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")

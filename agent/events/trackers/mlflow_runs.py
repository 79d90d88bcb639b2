"""MLflow: one run for each run, the same after a resume; in a local SQLite file by default."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunStatus
from mlflow.exceptions import MlflowException
from mlflow.utils.time import get_current_time_millis

from .metrics import PROJECT, MetricsRow, TrackedRun

_STATUS = {
    "finished": RunStatus.FINISHED,
    "stopped": RunStatus.KILLED,
    "interrupted": RunStatus.KILLED,
}


class MlflowRuns:
    """Write to a tracking server or a database.

    ``target`` is a tracking URI, or a file for SQLite; empty for ``$MLFLOW_TRACKING_URI``, then ``mlflow.db``
    beside the run's folder.
    """

    def __init__(self, run: TrackedRun, target: str) -> None:
        for noisy in ("mlflow", "alembic"):
            logging.getLogger(noisy).setLevel(logging.ERROR)  # it warns of each retry
        target = target or os.environ.get("MLFLOW_TRACKING_URI") or str(run.run_dir.parent / "mlflow.db")
        file = None if "://" in target or target == "databricks" else Path(target)
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
        self._uri = target if file is None else f"sqlite:///{file}"
        self._files = None if file is None else (file.parent / "mlflow-artifacts").as_uri()
        self.target = f"mlflow {self._uri}"
        self._run = run
        self._client = MlflowClient(self._uri)
        self._id = ""

    def begin(self, params: Mapping[str, str]) -> None:
        self._id = self._run.id_at(self.target, self._new)
        self._client.set_terminated(self._id, RunStatus.to_string(RunStatus.RUNNING))
        known = self._client.get_run(self._id).data.params
        new = [Param(name, value) for name, value in params.items() if name not in known]
        self._client.log_batch(self._id, params=new)

    def _new(self) -> str:
        with suppress(MlflowException):  # it exists
            self._client.create_experiment(PROJECT, artifact_location=self._files)
        experiment = self._client.get_experiment_by_name(PROJECT).experiment_id
        folder = self._run.run_dir
        tags = {"promptclimb.run_dir": str(folder)}
        return str(self._client.create_run(experiment, run_name=folder.name, tags=tags).info.run_id)

    def metrics(self, rows: Sequence[MetricsRow]) -> None:
        """Send metrics in one request: each takes a while."""
        now = get_current_time_millis()
        metrics = [Metric(name, value, now, row.step) for row in rows for name, value in row.values.items()]
        self._client.log_batch(self._id, metrics=metrics)

    def close(self, status: str, last: Mapping[str, float]) -> None:
        for name, value in last.items():
            self._client.log_metric(self._id, f"final_{name}", value)
        for path in (self._run.run_dir / name for name in self._run.files):
            if path.is_file():
                self._client.log_artifact(self._id, str(path))
        self._client.set_terminated(self._id, RunStatus.to_string(_STATUS[status]))

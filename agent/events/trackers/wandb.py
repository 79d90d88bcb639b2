"""Weights & Biases, offline by default."""

from __future__ import annotations

import atexit
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import wandb

from .metrics import PROJECT, MetricsRow, TrackedRun


class WandbRuns:
    """Write into ``wandb/`` in the run's folder, and to no server unless ``$WANDB_MODE`` says so."""

    def __init__(self, run: TrackedRun, target: str) -> None:
        self._project = target or PROJECT
        self._tracked = run
        self._run: Any = None
        self.target = f"wandb {self._project}"

    def begin(self, params: Mapping[str, str]) -> None:
        # Silent: the result may go to standard output, and this runs in another thread.
        settings = wandb.Settings(
            silent=True, console="off", disable_git=True, disable_code=True, x_disable_stats=True
        )
        mode: Any = os.environ.get("WANDB_MODE", "offline")  # any text; W&B itself says what is wrong with it
        try:
            self._run = wandb.init(
                name=self._tracked.run_dir.name,
                config=dict(params),
                resume="allow",
                project=self._project,
                id=self._tracked.id_at("wandb"),
                dir=str(self._tracked.run_dir),
                mode=mode,
                settings=settings,
            )
        finally:
            # After W&B's own function has been registered, and so called before it.
            atexit.register(_end_service)

    def metrics(self, rows: Sequence[MetricsRow]) -> None:
        for row in rows:
            self._run.log({**row.values, "template": row.template}, step=row.step)

    def close(self, status: str, last: Mapping[str, float]) -> None:
        if last:
            self._run.log({f"final_{name}": value for name, value in last.items()} | {"status": status})
        self._run.finish()


def _end_service() -> None:
    """End W&B's own process; W&B itself would print a traceback at exit if that has died.

    It raises if it can't write to its process, and exits with the process's code if it still could.
    """
    with suppress(Exception, SystemExit):  # the tracker has failed with it, and the run has reported that
        wandb.teardown()

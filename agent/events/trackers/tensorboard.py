"""TensorBoard: event files in a folder, without torch."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tensorboardX import SummaryWriter

from .metrics import MetricsRow, TrackedRun


class TensorboardFiles:
    """Write event files beside earlier ones, in ``target`` or else ``tensorboard/`` in the run's folder."""

    def __init__(self, run: TrackedRun, target: str) -> None:
        folder = Path(target) / run.run_dir.name if target else run.run_dir / "tensorboard"
        self.target = f"tensorboard {folder}"
        # File names have whole seconds, and a process that follows within one must not overwrite the file.
        self._writer = SummaryWriter(str(folder), filename_suffix=f".{time.time_ns()}")

    def begin(self, params: Mapping[str, str]) -> None:
        rows = "".join(f"| {name} | `{value.replace('`', '')}` |\n" for name, value in params.items())
        self._writer.add_text("settings", f"| setting | value |\n|---|---|\n{rows}")

    def metrics(self, rows: Sequence[MetricsRow]) -> None:
        for row in rows:
            for name, value in row.values.items():
                self._writer.add_scalar(name, value, row.step)
            self._writer.add_text("template", f"`{row.template.replace('`', '')}`", row.step)
        self._writer.flush()

    def close(self, _status: str, last: Mapping[str, float]) -> None:
        for name, value in last.items():
            self._writer.add_scalar(f"final/{name}", value)
        self._writer.close()

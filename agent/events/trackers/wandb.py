"""Weights & Biases, and trackio, which takes the same calls; both write to this machine by default."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from .metrics import PROJECT, MetricsRow, TrackedRun

_changing = threading.Lock()


class _Runs:
    """Log to a run that the module ``wandb`` or ``trackio`` begins."""

    def __init__(self, module: Any, run: TrackedRun, name: str, **only: Any) -> None:
        self._module, self._of, self._name, self._only = module, run, name, only
        self._run: Any = None
        self.place = f"{module.__name__} {only['project']}"

    def begin(self, params: Mapping[str, str]) -> None:
        with silent_stdout():  # both print a greeting
            self._run = self._module.init(name=self._name, config=dict(params), resume="allow", **self._only)

    def metrics(self, rows: Sequence[MetricsRow]) -> None:
        for row in rows:
            self._run.log({**row.values, "template": row.template}, step=row.step)

    def close(self, status: str, last: Mapping[str, float]) -> None:
        with silent_stdout():
            if last:
                self._run.log({f"final_{name}": value for name, value in last.items()} | {"status": status})
            self._run.finish()


class WandbRuns(_Runs):
    """Write into ``wandb/`` in the run's folder, and to no server unless ``$WANDB_MODE`` says so."""

    def __init__(self, run: TrackedRun, place: str) -> None:
        import wandb

        settings = wandb.Settings(
            silent=True, console="off", disable_git=True, disable_code=True, x_disable_stats=True
        )
        only = {
            "project": place or PROJECT,
            "id": run.id_at("wandb"),
            "dir": str(run.run_dir),
            "mode": os.environ.get("WANDB_MODE", "offline"),
            "settings": settings,
        }
        super().__init__(wandb, run, run.run_dir.name, **only)


class TrackioRuns(_Runs):
    """Write into trackio's own folder, ``$TRACKIO_DIR``."""

    def __init__(self, run: TrackedRun, place: str) -> None:
        import trackio

        # A run is resumed by its name, and folders of the same name are not the same run.
        name = f"{run.run_dir.name}-{run.id_at('trackio')}"
        only = {"project": place or PROJECT, "embed": False, "auto_log_gpu": False, "auto_log_cpu": False}
        super().__init__(trackio, run, name, **only)


class _Others:
    """Standard output for all threads that are not silenced."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.silent: set[int] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        return len(text) if threading.get_ident() in self.silent else int(self.stream.write(text))


@contextmanager
def silent_stdout() -> Iterator[None]:
    """Drop what this thread prints: another thread may print the result on standard output."""
    me = threading.get_ident()
    with _changing:
        others = sys.stdout if isinstance(sys.stdout, _Others) else _Others(sys.stdout)
        others.silent.add(me)
        sys.stdout = others
    try:
        yield
    finally:
        with _changing:
            others.silent.discard(me)
            if not others.silent and sys.stdout is others:  # two that put back in turn would lose it
                sys.stdout = others.stream

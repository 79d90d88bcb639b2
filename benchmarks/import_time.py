"""How long importing and starting takes, beside what importing torch takes.

``imports``: statements in fresh interpreters, their wall time; ``library_ratio`` is that of
``from promptclimb import search, SearchConfig`` over ``import torch, open_clip``. ``processes``: whole ones,
from start to end, in wall and in processor time: ``--help``, ``search --dry-run`` on a set whose images are
in the cache, and a search of a few templates without an LLM on it, whose ``started_s`` is the wall time until
it begins to score. ``over_torch`` is the processor time of each over that of ``python -c "import torch"``.
All in turns; figures are medians.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
IMPORTS = {
    "library": "from promptclimb import search, SearchConfig",
    "help": "from promptclimb.agent.cli.parser import make_parser; make_parser(['search'])",
    "torch_and_open_clip": "import torch, open_clip",
}
TIMED = "import time; began = time.perf_counter(); {}; print(time.perf_counter() - began)"
SEARCH = ("run_agent.py", "search", "--method", "random")
SMALL = ("--restarts", "1", "--conversations", "1", "--rounds", "1", "--proposals", "2", "--initial", "2")
PROCESSES = {
    "torch": ("-c", "import torch"),
    "help": ("run_agent.py", "--help"),
    "dry_run": (*SEARCH, "--dry-run"),
    "search": (*SEARCH, *SMALL),
}
WARMED = 1
"""Preparing dry runs: one encodes the images, where they are not yet."""


def seconds(statement: str) -> float:
    """Return what a fresh interpreter takes for a statement."""
    done = subprocess.run(
        [sys.executable, "-c", TIMED.format(statement)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def process(arguments: Sequence[str], run_dir: Path) -> dict[str, float]:
    """Return wall and processor time of a whole process, and where it is a search that until it scores."""
    search = arguments == PROCESSES["search"]
    more = ("--run-dir", str(run_dir)) if search else ()
    began, began_at = time.perf_counter(), time.time()
    child = subprocess.Popen(
        [sys.executable, *arguments, *more], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(arguments)} ended with {child.returncode}")
    found = {"wall_s": time.perf_counter() - began, "processor_s": used.ru_utime + used.ru_stime}
    if search:
        for line in (run_dir / "events.jsonl").read_text("utf-8").splitlines():
            event = json.loads(line)
            if event["event"] == "search.started":
                started = datetime.datetime.fromisoformat(event["time"]).timestamp()
                found["started_s"] = started - began_at
    return found


def processes(rounds: int) -> dict[str, dict[str, float]]:
    """Return the medians of whole processes in turns."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in PROCESSES}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(WARMED):
            process(PROCESSES["dry_run"], Path(folder))
        for number in range(rounds):
            for name, arguments in PROCESSES.items():
                found[name].append(process(arguments, Path(folder) / f"run-{number}"))
    medians = {
        name: {key: round(statistics.median(one[key] for one in times), 3) for key in times[0]}
        for name, times in found.items()
    }
    torch = medians["torch"]["processor_s"]
    return {
        name: {**figures, "over_torch": round(figures["processor_s"] / torch, 2)}
        for name, figures in medians.items()
    }


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one line of JSON (the default is indented)")
    parser.add_argument("--rounds", type=int, default=5, help="interpreters for each import (default: 5)")
    options = parser.parse_args()
    found: dict[str, list[float]] = {name: [] for name in IMPORTS}
    for _ in range(options.rounds + 1):
        for name, statement in IMPORTS.items():
            found[name].append(seconds(statement))
    # The first round fills the disk's cache.
    medians = {f"{name}_s": round(statistics.median(times[1:]), 3) for name, times in found.items()}
    document = {
        "imports": medians,
        "library_ratio": round(medians["library_s"] / medians["torch_and_open_clip_s"], 3),
        "processes": processes(options.rounds),
    }
    print(json.dumps(document, indent=None if options.json else 2))
    return 0


if __name__ == "__main__":
    sys.exit(main())

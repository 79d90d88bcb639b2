"""How long importing the library takes, beside the libraries that it leaves alone until a search needs them.

Each import runs in a fresh interpreter, in turns; figures are medians. ``ratio`` is the time of
``from promptclimb import search, SearchConfig`` over that of ``import torch, open_clip``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
IMPORTS = {
    "library": "from promptclimb import search, SearchConfig",
    "help": "from promptclimb.agent.cli.parser import make_parser; make_parser([])",
    "torch_and_open_clip": "import torch, open_clip",
}
TIMED = "import time; began = time.perf_counter(); {}; print(time.perf_counter() - began)"


def seconds(statement: str) -> float:
    """Return what a fresh interpreter takes for a statement."""
    done = subprocess.run(
        [sys.executable, "-c", TIMED.format(statement)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return float(done.stdout)


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
    document = {**medians, "ratio": round(medians["library_s"] / medians["torch_and_open_clip_s"], 3)}
    print(json.dumps(document, indent=None if options.json else 2))
    return 0


if __name__ == "__main__":
    sys.exit(main())

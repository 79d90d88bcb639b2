"""Time `promptclimb evaluate` without features and with kept ones; print JSON.

`python benchmarks/measuring.py [OPTION ...]`: options of the command, such as `--data photos --shots 16`.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time


def timed(options: list[str], cache: str) -> dict[str, float]:
    """Return the seconds of one command, on one thread: on the clock, and of processor time."""
    environment = {**os.environ, "PROMPTCLIMB_CACHE": cache, "OMP_NUM_THREADS": "1"}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    command = [sys.executable, "-m", "promptclimb", "evaluate", *options]
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": round(time.monotonic() - began, 1), "processor_seconds": round(processor, 1)}


def main() -> None:
    """Run the command twice with one cache folder."""
    with tempfile.TemporaryDirectory() as cache:
        runs = {name: timed(sys.argv[1:], cache) for name in ("no features", "kept features")}
    print(json.dumps(runs, indent=1))


if __name__ == "__main__":
    main()

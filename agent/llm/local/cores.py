"""How many threads llama.cpp gets.

Its threads wait for each other after every layer, and wait by spinning. Where one of them has to share its
core, all others burn theirs meanwhile: on two busy cores two threads are several times slower than one
(``benchmarks/local_llm.py``). So only cores count that nobody uses, and one is left to the evaluator.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

MOST = 8
"""A small model gains little from more: memory is what limits it."""
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def free_threads() -> int:
    """Return how many threads are worth starting now; at least one."""
    return threads_for(_cores(), _load())


def threads_for(cores: float, load: float) -> int:
    """Return how many threads are worth starting.

    Args:
        cores: How many this process may use.
        load: How many are in use.
    """
    return math.floor(min(MOST, max(1, cores - load - 1)))


def _cores() -> float:
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(count, quota(_QUOTA))


def quota(file: Path) -> float:
    """Return how many cores' worth of time a container may use; infinity where nothing limits it."""
    try:
        used, _, period = file.read_text("ascii").partition(" ")
        return int(used) / int(period)
    except (OSError, ValueError, ZeroDivisionError):  # no such limit here, or "max"
        return math.inf


def _load() -> float:
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):  # Windows has none
        return math.inf

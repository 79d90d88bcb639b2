"""How many threads are worth it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from promptclimb.agent.llm.local_server import MOST_THREADS, free_threads, quota, threads_for


@pytest.mark.parametrize(
    ("cores", "load", "threads"),
    [
        (1, 0.0, 1),
        (2, 0.0, 1),
        (2, 5.0, 1),
        (4, 0.0, 3),
        (4, 0.3, 2),
        (4, 2.9, 1),
        (64, 1.0, MOST_THREADS),
        (0.5, 0.0, 1),
        (8, math.inf, 1),
    ],
)
def test_only_cores_that_nobody_uses_count(cores: float, load: float, threads: int) -> None:
    """One is left to the evaluator, and one thread there always is."""
    assert threads_for(cores, load) == threads


def test_a_containers_share_is_obeyed(tmp_path: Path) -> None:
    """What the kernel says of it, or infinity where it says nothing."""
    file = tmp_path / "cpu.max"
    assert quota(file) == math.inf
    said = {"150000 100000\n": 1.5, "max 100000\n": math.inf, "": math.inf, "1 0": math.inf}
    for text, cores in said.items():
        file.write_text(text)
        assert quota(file) == cores


def test_this_machine_gets_a_number() -> None:
    """Whatever it is, it is one that llama.cpp takes."""
    assert 1 <= free_threads() <= MOST_THREADS

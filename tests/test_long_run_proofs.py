"""The claims of docs/long-runs.md, by the benchmarks that measure them; minutes long."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.paths import ROOT


def figures(name: str, *arguments: str) -> Any:
    command = [sys.executable, str(ROOT / "benchmarks" / f"{name}.py"), "--json", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.slow
def test_ten_thousand_turns_hold_every_limit_and_no_memory() -> None:
    """Through every fault, in virtual time; a limit that is overrun ends the benchmark."""
    measured = figures("pacing", "--soak", "10000")["soak"]
    assert measured["turns"] == 10_000
    assert measured["lost"] < 1_500
    assert measured["grew"] < 1000


@pytest.mark.slow
@pytest.mark.parametrize(("kills", "evaluator"), [(3, ()), (2, ("--real",))], ids=["fake", "real"])
def test_strikes_change_nothing_lose_nothing_and_overrun_nothing(
    kills: int, evaluator: tuple[str, ...]
) -> None:
    """A faulty run that is killed, stopped, cancelled and left without a disk ends as an undisturbed one."""
    measured = figures("chaos", "--kills", str(kills), "--latency", "0.03", "0.3", *evaluator)
    strikes, twice = measured["strikes"], measured["asked_twice"]
    assert strikes["kill"] >= kills
    assert strikes.keys() == {"kill", "interrupt", "terminate", "cancel", "full"}
    assert (measured["differences"], measured["wrong_ends"]) == ([], [])
    assert (measured["lost"], measured["overrun"], measured["underbilled"]) == (0, 0, 0)
    assert all(twice[kind] == 0 for kind in ("interrupt", "terminate", "cancel"))
    assert all(twice[kind] <= strikes[kind] * measured["concurrency"] for kind in ("kill", "full"))


@pytest.mark.slow
def test_a_limit_is_used_up_and_not_overrun() -> None:
    """On requests and on tokens, set or learned; better than one at a time and politer than a semaphore."""
    ours = ("ours", "learned", "tpm", "fixed", "bucket")
    measured = figures("pacing", "--only", *ours, "serial", "semaphore")
    for way in ours:
        assert measured[way]["share"] >= 0.97
        assert measured[way]["refused"] <= 0.01
    assert measured["serial"]["share"] < 0.5
    assert measured["semaphore"]["refused"] > 0.01

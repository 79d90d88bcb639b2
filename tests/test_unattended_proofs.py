"""The claims of docs/unattended.md, by the benchmarks that measure them; minutes long."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from typing import Any

import pytest

from promptclimb.agent.config.sources import build
from tests.paths import ROOT


def figures(name: str, *arguments: str) -> Any:
    """What a benchmark prints."""
    command = [sys.executable, str(ROOT / "benchmarks" / f"{name}.py"), "--json", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_the_pool_that_the_page_shows_is_a_config() -> None:
    """The file in docs/unattended.md is read as it stands."""
    page = (ROOT / "docs" / "unattended.md").read_text("utf-8")
    shown = page.split("```toml\n")[1].split("```")[0]
    config = build([("the page", {"data": "digits", **tomllib.loads(shown)})])
    first, second = config.endpoints
    assert (first.rpm, first.key_env, second.model) == (500, "OPENAI_API_KEY", "qwen2.5-7b-instruct")
    assert config.priced


@pytest.mark.slow
def test_ten_thousand_turns_hold_every_limit_and_no_memory() -> None:
    """Through every fault, in virtual time; a limit that is overrun ends the benchmark."""
    found = figures("pacing", "--soak", "10000")["soak"]
    assert found["turns"] == 10_000
    assert found["lost"] < 1_500
    assert found["grew_kib"] < 256


@pytest.mark.slow
def test_kills_change_nothing_lose_nothing_and_overrun_nothing() -> None:
    """A faulty run that is killed a dozen times ends as an undisturbed one."""
    found = figures("chaos", "--kills", "12")
    assert found["kills"] >= 12
    assert (found["differences"], found["lost"], found["overrun"]) == (0, 0, 0)
    assert found["paid_twice"] <= found["kills"] * found["concurrency"]


@pytest.mark.slow
def test_a_limit_is_used_up_and_not_overrun() -> None:
    """On requests and on tokens, set or learned; better than one at a time and politer than a semaphore."""
    found = figures("pacing")
    for way in ("ours", "learned", "tpm", "fixed", "bucket"):
        assert found[way]["share"] >= 0.97
        assert found[way]["refused"] <= 0.01
    assert found["serial"]["share"] < 0.5
    assert found["semaphore"]["refused"] > 0.01

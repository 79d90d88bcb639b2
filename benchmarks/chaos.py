"""Runs that are killed again and again: is the result the same, is anything lost, what is paid twice?

Each round makes the same search twice through the command line, as child processes, against a chat endpoint
(a process of its own) that fails in a third of all attempts: once undisturbed at ``--concurrency 2``, once at
``--concurrency 4`` and killed with SIGKILL at random moments, each time going on with ``resume``, until it is
done. Rounds are made until there are enough kills.

- ``differences``: rounds whose ``leaderboard.csv`` or ``best`` is not byte for byte that of the undisturbed
run - ``paid_twice``: good answers that the endpoint gave a second time for one request; at most kills times
concurrency, because what was in flight when the process died cannot be known - ``lost``: answers that were
in the journal after a kill and are not in it, or not the same, at the end - ``overrun``: one more run, with
``--max-calls``, killed in the same way: calls billed beyond the limit

Templates are scored by the fake evaluator that comes with the library, so that a child starts in a second;
``--model``, ``--pretrained`` and ``--data`` use a real one instead.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CONCURRENCY = 4
MAX_CALLS = 30
FAULTS = {
    "500": 0.05, "503": 0.03, "429": 0.04, "429_bare": 0.02, "reset": 0.04, "hang": 0.005, "drip": 0.02,
    "html": 0.02, "truncated": 0.02,
    "no_choices": 0.02, "null": 0.02, "garbage": 0.02, "length": 0.01, "refusal": 0.01,
}  # fmt: skip
SEARCH = (
    "--llm", "fake", "--restarts", "6", "--resets", "2", "--iterations", "4", "--proposals", "3",
    "--initial", "6", "--request-timeout", "3", "--retry-attempts", "12",
)  # fmt: skip
FAKE_EVALUATOR = "promptclimb.evaluator.fakes:FakeEvaluator"


@dataclass
class Figures:
    """What was counted."""

    concurrency: int = CONCURRENCY
    kills: int = 0
    rounds: int = 0
    differences: int = 0
    paid_twice: int = 0
    lost: int = 0
    overrun: int = 0
    answers: int = 0
    skipped: int = 0
    kills_before_the_first_answer: int = 0
    faults: dict[str, int] = field(default_factory=dict)


@contextlib.contextmanager
def endpoint(seed: int) -> Iterator[str]:
    """Return a faulty chat endpoint in a process of its own; its address."""
    options = {"faults": FAULTS, "fault_seed": seed, "latency_s": [0.02, 0.3]}
    command = [sys.executable, "-m", "tests.fakes.chat_server", "--options", json.dumps(options)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.kill()


def statistics(base_url: str) -> dict[str, Any]:
    """Return what the endpoint has seen."""
    with urllib.request.urlopen(base_url.removesuffix("/v1") + "/stats", timeout=30) as reply:
        found: dict[str, Any] = json.load(reply)
        return found


def start(task: list[str], arguments: list[str], log: Path) -> subprocess.Popen[bytes]:
    """Return the command line as a child process."""
    command = [sys.executable, str(ROOT / "run_agent.py")]
    environment = {**os.environ, "OPENAI_API_KEY": "sk-not-a-real-key"}
    with log.open("ab") as sink:
        return subprocess.Popen([*command, *arguments], cwd=ROOT, env=environment, stdout=sink, stderr=sink)


def search_arguments(task: list[str], run_dir: Path, base_url: str, seed: int, concurrency: int) -> list[str]:
    """Return a new run."""
    where = ["--run-dir", str(run_dir), "--base-url", base_url, "--seed", str(seed)]
    return [
        "search",
        *(task or ["--data", "digits", "--evaluator", FAKE_EVALUATOR]),
        *SEARCH,
        *where,
        "--concurrency",
        str(concurrency),
    ]


def undisturbed(task: list[str], folder: Path, seed: int, figures: Figures) -> tuple[bytes, Any]:
    """Leaderboard and best of a run that nobody disturbs, at another concurrency."""
    with endpoint(seed) as base_url:
        child = start(task, search_arguments(task, folder / "calm", base_url, seed, 2), folder / "calm.log")
        finished(child, folder / "calm.log")
    return outcome(folder / "calm", figures)


def killed(
    task: list[str], folder: Path, seed: int, figures: Figures, rng: random.Random, calm_s: float
) -> tuple[bytes, Any]:
    """Return the same of a run that is killed until it is done; undisturbed it took ``calm_s`` seconds."""
    run_dir, known = folder / "killed", dict[str, str]()
    with endpoint(seed) as base_url:
        arguments = search_arguments(task, run_dir, base_url, seed, CONCURRENCY)
        for _ in kills(task, arguments, folder / "killed.log", rng, calm_s):
            figures.kills += 1
            figures.kills_before_the_first_answer += not (now := journal(run_dir))
            known |= now
        stats = statistics(base_url)
    at_the_end = journal(run_dir)
    figures.lost += sum(at_the_end.get(key) != value for key, value in known.items())
    figures.answers += len(at_the_end)
    figures.paid_twice += sum(times - 1 for times in stats["answered"].values())
    for kind, times in stats["faults"].items():
        figures.faults[kind] = figures.faults.get(kind, 0) + times
    return outcome(run_dir, figures)


def limited(task: list[str], folder: Path, figures: Figures, rng: random.Random, calm_s: float) -> None:
    """Kill a run that has a limit on calls until it stops."""
    with endpoint(0) as base_url:
        arguments = search_arguments(task, folder / "limited", base_url, 0, CONCURRENCY)
        arguments += ["--max-calls", str(MAX_CALLS)]
        figures.kills += sum(1 for _ in kills(task, arguments, folder / "limited.log", rng, calm_s))
        figures.overrun = max(statistics(base_url)["billed"] - MAX_CALLS, 0)


def kills(
    task: list[str], arguments: list[str], log: Path, rng: random.Random, calm_s: float
) -> Iterator[None]:
    """Start a run, kill it at a random moment (then yield), go on with it, until it ends by itself."""
    run_dir = arguments[arguments.index("--run-dir") + 1]
    base_url = arguments[arguments.index("--base-url") + 1]
    while True:
        resumable = (Path(run_dir) / "store").exists()
        child = start(task, ["resume", run_dir, "--base-url", base_url] if resumable else arguments, log)
        try:
            child.wait(rng.uniform(0.1, max(calm_s / 3, 1.0)))
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
            child.wait()
            yield
        else:
            finished(child, log)
            return


def finished(child: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for a child that has to succeed."""
    if (code := child.wait(600)) != 0:
        raise RuntimeError(f"exit code {code}:\n{log.read_text('utf-8')[-3000:]}")


def journal(run_dir: Path) -> dict[str, str]:
    """Every answer on disk, by position."""
    path = run_dir / "store" / "cache.db"
    if not path.exists():
        return {}
    with contextlib.closing(sqlite3.connect(path)) as database:
        return dict(database.execute("SELECT key, value FROM Cache WHERE key LIKE 'answer:%'"))


def outcome(run_dir: Path, figures: Figures) -> tuple[bytes, Any]:
    """Return what must be the same."""
    events = (run_dir / "events.jsonl").read_text("utf-8")
    figures.skipped += events.count("iteration_skipped")
    return (run_dir / "leaderboard.csv").read_bytes(), json.loads((run_dir / "result.json").read_bytes())[
        "best"
    ]


def main() -> None:
    """Kill often enough and print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    parser.add_argument("--kills", type=int, default=100, help="at least so many")
    parser.add_argument("--seed", type=int, default=1)
    for name in ("data", "model", "pretrained"):
        parser.add_argument(f"--{name}", help="for a real evaluator")
    given = parser.parse_args()
    task = [part for name in ("data", "model", "pretrained") if (value := getattr(given, name))
            for part in (f"--{name}", value)]  # fmt: skip
    figures, rng, started = Figures(), random.Random(given.seed), time.monotonic()
    while figures.kills < given.kills:
        with tempfile.TemporaryDirectory() as folder:
            seed = given.seed + figures.rounds
            began = time.monotonic()
            calm = undisturbed(task, Path(folder), seed, figures)
            calm_s = time.monotonic() - began
            figures.differences += killed(task, Path(folder), seed, figures, rng, calm_s) != calm
            if not figures.rounds:
                limited(task, Path(folder), figures, rng, calm_s)
        figures.rounds += 1
        if not given.json:
            print(figures.rounds, figures.kills, figures.differences, file=sys.stderr)
    print(json.dumps({**vars(figures), "seconds": round(time.monotonic() - started)}))


if __name__ == "__main__":
    main()

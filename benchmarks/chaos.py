"""Runs that are struck again and again: is the result the same, is anything lost, what is paid twice?

Each round makes the same search twice, as child processes, against a chat endpoint (a process of its own)
that fails in up to a third of all attempts: once undisturbed at ``--concurrency 2``, once at
``--concurrency 4`` and struck at random moments, each time going on with ``resume``, until it is done. Rounds
are made until there are enough kills. A strike is one of five, dealt like cards so that each has its share:

- ``kill``: SIGKILL
- ``interrupt``, ``terminate``: SIGINT, SIGTERM
- ``cancel``: the child uses the library, and the task that awaits its search is cancelled
- ``full``: the disk that the run lies on has no room left, until the child has ended. It is a small tmpfs
  that is filled up, where this process may mount one; else the child's files may not grow any more
  (RLIMIT_FSIZE). ``disk`` says which.

What is counted:

- ``differences``: what of a round's result, leaderboard, requests or known bill (tokens, dollars) is not that
  of its undisturbed run. The bill is compared in the rounds (every other one) in which no failed attempt is
  billed, because how many fail depends on the moments
- ``asked_twice``, by strike: good answers that did not come to disk and were given a second time. After a
  kill or on a full disk at most what was in flight, after the others none
- ``opened_again``: how often a strike came between the opening of the test split and the result, so that the
  split was opened once more, which the result says
- ``lost``: answers that were in the journal after a strike and are not in it, or not the same, at the end
- ``underbilled``: tokens that the endpoint billed beyond what the run takes for spent at most
- ``wrong_ends``: children that ended with another exit code than their strike has, or with a traceback
- ``overrun``: one more run, with ``--max-calls``, killed again and again: calls billed beyond the limit

Templates are scored by the fake evaluator that comes with the library; ``--real`` uses RN-pico on a bundled
set. A child is a fork that runs the command line's own entry, so that torch is not imported anew each time.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import itertools
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any, TypeAlias

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import FakeServer, argument_parser
from promptclimb.agent.store.disk import LEAST_FREE_BYTES

FORK = multiprocessing.get_context("fork")
Child: TypeAlias = ForkProcess
CONCURRENCY = 4
MAX_CALLS = 30
UNBILLED = {"500": 0.07, "503": 0.04, "429": 0.05, "429_bare": 0.02, "cut_off": 0.06}
# Four unusable answers to one request skip its round, and the two runs then differ: they must stay too rare.
# For the same reason no answer is cut: once more tokens were asked for, a single one skips its round.
FAULTS = UNBILLED | {
    "hang": 0.005, "drip": 0.02, "html": 0.02, "truncated": 0.02, "garbage": 0.005, "no_choices": 0.005,
    "null": 0.005, "refusal": 0.005,
}  # fmt: skip
SEARCH = {
    "llm": "fake", "restarts": 6, "conversations": 2, "rounds": 8, "proposals": 3, "initial": 6,
    "request_timeout": 3, "retry_attempts": 12, "max_tokens": 10**8, "price": "0.15/0.60",
}  # fmt: skip
WITHOUT_OPTION = ("request_timeout", "retry_attempts")
"""Settings of the file alone."""
FAKE = {"data": "digits", "custom_scorer": "promptclimb.evaluator.fakes:FakeEvaluator"}
REAL = {"data": "backgrounds", "model": "RN-pico", "pretrained": "pico", "shots": 4}
CANCELLED = 90
"""The exit code of a child whose search was cancelled."""
DECK = ("kill", "kill", "kill", "kill", "interrupt", "terminate", "cancel", "full")
CAUGHT = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
SIGNALS = {"kill": signal.SIGKILL, "interrupt": signal.SIGINT, "terminate": signal.SIGTERM,
           "cancel": signal.SIGUSR1}  # fmt: skip
# SIGTERM that comes before the search has taken it over ends the process by its own number.
ENDS = {"kill": (-9,), "interrupt": (130,), "terminate": (143, -15), "cancel": (CANCELLED,), "full": (1, 2)}
IMPORTED = ("promptclimb.agent.cli.search", "promptclimb.agent.search.run", "openai", "aiohttp", "httpx2")
REAL_IMPORTED = ("torch", "torchvision", "open_clip", "promptclimb.evaluator.clip.open_clip_evaluator")
DISK_BYTES = LEAST_FREE_BYTES + 48 * 2**20
"""Room for three runs above what a run wants to see free before it requests anything."""
OF_THE_SESSION = ("usage", "budget", "wall_s", "started", "llm", "test_opened")
"""Members of a result that say how it came about; the endpoint's address is another one each time."""


@dataclass
class Figures:
    """What was counted."""

    evaluator: str
    disk: str = ""
    concurrency: int = CONCURRENCY
    rounds: int = 0
    strikes: Counter[str] = field(default_factory=Counter)
    before_the_first_answer: int = 0
    differences: list[str] = field(default_factory=list)
    asked_twice: Counter[str] = field(default_factory=Counter)
    opened_again: int = 0
    lost: int = 0
    underbilled: int = 0
    wrong_ends: list[str] = field(default_factory=list)
    overrun: int = 0
    answers: int = 0
    skipped: int = 0
    faults: Counter[str] = field(default_factory=Counter)


@dataclass
class Disk:
    """Where runs lie, with room that can be taken away."""

    folder: Path
    mounted: bool

    def fill(self, child: Child) -> None:
        """Take all room away from a child that runs."""
        if not self.mounted:
            # Whatever is written beyond a file's first byte fails; what is there can be read.
            resource.prlimit(child.pid, resource.RLIMIT_FSIZE, (1, 1))
            return
        with contextlib.suppress(OSError), (self.folder / "ballast").open("ab", buffering=0) as ballast:
            while True:
                ballast.write(bytes(4096))

    def clear(self) -> None:
        """Give the room back."""
        (self.folder / "ballast").unlink(missing_ok=True)


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Disk]:
    """Mount a small file system, where that is allowed."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", str(folder)]
    mounted = bool(shutil.which("mount")) and subprocess.run(command, capture_output=True).returncode == 0
    try:
        yield Disk(folder, mounted)
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)


def faulty_endpoint(seed: int, faults: dict[str, float], latency_s: tuple[float, float]) -> FakeServer:
    """Return a chat endpoint with faults."""
    options = {"faults": faults, "fault_seed": seed, "latency_s": latency_s}
    return FakeServer("tests.fakes.chat_server", "--options", json.dumps(options))


@dataclass(kw_only=True)
class Run:
    """One run: what is searched, where it lies, what its children say."""

    settings: dict[str, Any]
    run_dir: Path
    log: Path

    def child(self, *, library: bool = False) -> Child:
        """Start or resume the run."""
        settings = {**self.settings, "run_dir": str(self.run_dir)}
        file = self.log.with_suffix(".toml")
        file.write_text("".join(f"{name} = {settings[name]}\n" for name in WITHOUT_OPTION), "utf-8")
        options = (
            (f"--{name.replace('_', '-')}", str(value))
            for name, value in settings.items()
            if name not in WITHOUT_OPTION
        )
        arguments = ["search", "--config", str(file), *itertools.chain.from_iterable(options)]
        if (self.run_dir / "store").exists():
            arguments = ["resume", str(self.run_dir)]
        child = FORK.Process(target=as_command, args=(self.log, arguments))
        if library:
            child = FORK.Process(target=as_library, args=(self.log, settings))
        # What a signal does is decided by the child: none may come before.
        signal.pthread_sigmask(signal.SIG_BLOCK, CAUGHT)
        child.start()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, CAUGHT)
        return child

    def journal(self) -> dict[str, str]:
        """Return every answer on disk, by position."""
        path = self.run_dir / "store" / "cache.db"
        if not path.exists():
            return {}
        with contextlib.closing(sqlite3.connect(path)) as database:
            return dict(database.execute("SELECT key, value FROM Cache WHERE key LIKE 'answer:%'"))

    def finish(self, child: Child) -> None:
        """Wait for a child that has to succeed."""
        child.join(900)
        if (code := child.exitcode) != 0:
            raise RuntimeError(f"exit code {code}:\n{self.log.read_text('utf-8')[-3000:]}")

    def result(self) -> dict[str, Any]:
        """Return its result."""
        result: dict[str, Any] = json.loads((self.run_dir / "result.json").read_bytes())
        return result


def begin(log: Path) -> None:
    """Make this process one of its own: where it writes to, and what signals do."""
    with log.open("ab") as sink:
        os.dup2(sink.fileno(), 1)
        os.dup2(sink.fileno(), 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def as_command(log: Path, arguments: list[str]) -> None:
    """Run a command in this process, which ends with it."""
    begin(log)
    code = 130
    with contextlib.suppress(KeyboardInterrupt):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, CAUGHT)
        from promptclimb.agent.cli.main import main as run

        code = run(arguments)
    sys.stdout.flush()
    os._exit(code)


def as_library(log: Path, settings: dict[str, Any]) -> None:
    """Start or resume a run from Python; SIGUSR1 cancels the task that awaits it."""
    begin(log)
    from promptclimb import SearchConfig, resume, search

    async def run() -> int:
        run_dir = Path(settings["run_dir"])
        started = resume(run_dir) if (run_dir / "store").exists() else search(SearchConfig(**settings))
        task = asyncio.ensure_future(started)
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, task.cancel)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, CAUGHT)
        await asyncio.wait({task})
        return CANCELLED if task.cancelled() else int(task.result() is None)

    os._exit(asyncio.run(run()))


class Chaos:
    """Strikes runs; see the module's text."""

    def __init__(
        self,
        task: dict[str, Any],
        disk: Disk,
        figures: Figures,
        rng: random.Random,
        latency_s: tuple[float, float],
    ) -> None:
        self.figures = figures
        self._latency_s = latency_s
        self._task = task
        self._disk = disk
        self._rng = rng
        self._cards: list[str] = []

    def round(self, folder: Path, seed: int) -> float:
        """Make a run twice and compare; how many seconds the undisturbed one took."""
        faults = UNBILLED if self.figures.rounds % 2 else FAULTS
        with faulty_endpoint(seed, faults, self._latency_s) as endpoint:
            calm = self._run("calm", folder, endpoint, seed=seed, concurrency=2)
            began = time.monotonic()
            calm.finish(calm.child())
            calm_s, asked = time.monotonic() - began, endpoint.at_rest()
        with faulty_endpoint(seed, faults, self._latency_s) as endpoint:
            struck = self._run("struck", folder, endpoint, seed=seed, concurrency=CONCURRENCY)
            known = dict[str, str]()
            for kind, unkept in self._strikes(struck, endpoint, calm_s):
                self.figures.asked_twice[kind] += unkept
                self.figures.before_the_first_answer += not (now := struck.journal())
                known |= now
            stats = endpoint.at_rest()
        self._compare(calm, struck, asked, stats, billed=faults is FAULTS)
        at_the_end = struck.journal()
        for run in (calm, struck):
            shutil.rmtree(run.run_dir)
        self.figures.lost += sum(at_the_end.get(key) != value for key, value in known.items())
        self.figures.answers += len(at_the_end)
        self.figures.faults.update(stats["faults"])
        self.figures.rounds += 1
        return calm_s

    def limited(self, folder: Path, calm_s: float) -> None:
        """Kill a run that has a limit on calls until it stops."""
        with faulty_endpoint(0, FAULTS, self._latency_s) as endpoint:
            run = self._run("limited", folder, endpoint, seed=0, concurrency=CONCURRENCY, max_calls=MAX_CALLS)
            for _ in self._strikes(run, endpoint, calm_s, only="kill"):
                pass
            self.figures.overrun = max(endpoint.at_rest()["billed"] - MAX_CALLS, 0)

    def _run(self, name: str, folder: Path, endpoint: FakeServer, **more: Any) -> Run:
        settings = {**self._task, **SEARCH, "base_url": endpoint.base_url, **more}
        return Run(settings=settings, run_dir=self._disk.folder / f"{name}-{self.figures.rounds}",
                   log=folder / f"{name}.log")  # fmt: skip

    def _strikes(
        self, run: Run, endpoint: FakeServer, calm_s: float, only: str = ""
    ) -> Iterator[tuple[str, int]]:
        """Strike a run until a child of it ends by itself.

        Yields:
            What struck, and how many answers did not come to disk.
        """
        unkept, longest_s = 0, 0.15 * calm_s
        while True:
            kind, before = only or self._card(), len(run.journal())
            child = run.child(library=kind == "cancel")
            child.join(self._rng.uniform(0.05, longest_s))
            if child.exitcode is not None:
                run.finish(child)
                return
            if self._strike(kind, child, run):
                return
            self.figures.strikes[kind] += 1
            answers = len(run.journal())
            lost_answers = sum(endpoint.at_rest()["answered"].values()) - answers
            yield kind, lost_answers - unkept
            unkept = lost_answers
            # A machine that has more to do than before must not keep the run from its end.
            longest_s *= 1.0 if answers > before else 1.2

    def _strike(self, kind: str, child: Child, run: Run) -> bool:
        """Strike; whether the child came to its end before it felt it."""
        length = run.log.stat().st_size
        if kind == "full":
            self._disk.fill(child)
        else:
            os.kill(child.pid or 0, SIGNALS[kind])
        child.join(300)
        self._disk.clear()
        code = child.exitcode
        output = run.log.read_bytes()[length:].decode("utf-8", "replace")
        if code == 0:  # a kill also misses a child that has just ended
            return True
        if code not in ENDS[kind] or "Traceback" in output or "unexpected" in output:
            self.figures.wrong_ends.append(f"{kind}: {code} {output[-600:]}")
        return False

    def _card(self) -> str:
        if not self._cards:
            self._cards = self._rng.sample(DECK, len(DECK))
        return self._cards.pop()

    def _compare(self, calm: Run, struck: Run, asked: Any, stats: Any, *, billed: bool) -> None:
        first, second = calm.result(), struck.result()
        usage, figures = second["usage"], self.figures
        names = ("prompt_tokens", "completion_tokens", "cost_usd")
        pairs = {
            "leaderboard": [(run.run_dir / "leaderboard.csv").read_bytes() for run in (calm, struck)],
            "requests": [sorted(counts["answered"]) for counts in (asked, stats)],
            "bill": []
            if billed
            else [[result["usage"][name] for name in names] for result in (first, second)],
        } | {name: [first[name], second[name]] for name in first if name not in OF_THE_SESSION}
        figures.differences += [
            f"round {figures.rounds}: {name}" for name, pair in pairs.items() if pair and pair[0] != pair[1]
        ]
        known = usage["prompt_tokens"] + usage["completion_tokens"]
        figures.underbilled += max(stats["tokens"] - known - usage["estimated_tokens"], 0)
        figures.skipped += second["skipped"]
        figures.opened_again += second["test_opened"] - first["test_opened"]


def main() -> None:
    """Strike often enough and print the figures."""
    parser = argument_parser(__doc__)
    parser.add_argument("--kills", type=int, default=30, help="at least so many, and each other strike once")
    parser.add_argument("--real", action="store_true", help="the real evaluator, with a bundled model")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--latency", type=float, nargs=2, default=(0.1, 0.8), metavar="S", help="of an answer"
    )
    options = parser.parse_args()
    figures, began = Figures("RN-pico" if options.real else "fake"), time.monotonic()
    os.nice(10)  # The children inherit it, and what is imported, which takes longer than most searches here.
    os.environ |= {"OPENAI_API_KEY": "sk-not-a-real-key", "OMP_NUM_THREADS": "1"}
    for module in (*IMPORTED, *(REAL_IMPORTED if options.real else ())):
        importlib.import_module(module)
    with tempfile.TemporaryDirectory() as name, small_disk(Path(name) / "disk") as disk:
        figures.disk = "tmpfs" if disk.mounted else "RLIMIT_FSIZE"
        os.environ["PROMPTCLIMB_CACHE"] = f"{name}/cache"
        task = REAL if options.real else FAKE
        chaos = Chaos(task, disk, figures, random.Random(options.seed), tuple(options.latency))
        while figures.strikes["kill"] < options.kills or not all(figures.strikes[kind] for kind in DECK):
            calm_s = chaos.round(Path(name), options.seed + figures.rounds)
            if figures.rounds == 1:
                chaos.limited(Path(name), calm_s)
            if not options.json:
                print(figures, file=sys.stderr)
    print(json.dumps({**vars(figures), "seconds": round(time.monotonic() - began)}))


if __name__ == "__main__":
    main()

"""Searches with a model behind an API, through the command line, against a CLIP server with planted faults.

- ``budgets``: searches with ``--max-scorer-calls`` or ``--max-cost`` drawn at random. ``exceeded``: how
  many were billed for more than that, by the server's own count.
- ``kills``: the same search undisturbed, and killed (SIGKILL) again and again and resumed. ``lost``:
  labels that were on disk after a kill and are not at the end. ``twice``: answers that the server gave a
  second time; ``in_flight_at_most``: kills times the concurrency, which is the most that it may be.
  ``same_result``: whether the leaderboards agree, and with them every label.
- ``rate``: so many labels at a limit of requests a minute, by ``--scorer-rpm`` alone; at most half of
  ``unlimited_rpm``, what this machine gets now without a limit, as a busy one would be slower than its
  limit. ``share``: of the limit that was reached, the median over windows of some seconds, as nothing is
  asked between the rounds and the test. ``growth_mib``: resident memory at the end beyond that after a
  fifth of the labels.

The server is a process of its own; faults are those of ``benchmarks/faulty_scorer.py``. A search is a
fork that runs the command line's entry.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import multiprocessing
import os
import random
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import FakeServer, argument_parser, print_document

FORK = multiprocessing.get_context("fork")
FAULTS = {"noise": 0.05, "synonyms": 0.05, "filtered": 0.01, "limited": 0.03, "cut_off": 0.02, "slow": 0.01}
SMALL = (
    *("--shots", "4", "--restarts", "1", "--conversations", "1", "--rounds", "3", "--initial", "12"),
    *("--test-images", "24"),
)
PRICE_IN, PRICE_OUT = 0.15, 0.60
CONCURRENCY = 8
POLL_S = 0.02
WINDOW = 12
"""Samples, a quarter of a second apart."""


def served(**faults: Any) -> FakeServer:
    """Return a scorer behind an API with faults."""
    return FakeServer("benchmarks.faulty_scorer", "--faults", json.dumps(faults))


def command(log: Path, arguments: Sequence[str], racing: str) -> None:
    """Run the command line's entry, in a forked process."""
    from promptclimb.agent.cli.main import main

    os.environ["PROMPTCLIMB_RACING"] = racing
    with log.open("a") as out, contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = main(list(arguments))
        out.flush()
    os._exit(code)


def start(folder: Path, arguments: Sequence[str], *, racing: str = "auto") -> ForkProcess:
    """Start a command."""
    process = FORK.Process(target=command, args=(folder / "log.txt", arguments, racing))
    process.start()
    return process


def search(server: FakeServer, run_dir: Path, scorer: str, *more: str) -> list[str]:
    """Return the arguments of a search that asks a server."""
    return [
        *("search", "--method", "random", "--scorer", scorer, "--scorer-url", server.base_url),
        *("--model", "RN-pico", "--run-dir", str(run_dir), *more),
    ]


def result_of(run_dir: Path) -> dict[str, Any]:
    """Return a run's result."""
    path = run_dir / "result.json"
    if not path.exists():
        log = (run_dir.parent / "log.txt").read_text()[-3000:]
        raise SystemExit(f"{run_dir.name} ended without a result:\n{log}")
    result: dict[str, Any] = json.loads(path.read_text())
    return result


def budgets(folder: Path, number: int, seed: int) -> dict[str, Any]:
    """Search with limits drawn at random, and compare them with what the server billed."""
    rng, exceeded, ends = random.Random(seed), [], dict[str, int]()
    used: list[float] = []
    with served(**FAULTS, seed=seed) as server:
        for seed_of_search in range(number):
            before, run_dir = server.statistics(), folder / f"budget-{seed_of_search}"
            chat = seed_of_search % 2 == 1
            kind = ("--search-for", "instruction") if chat else ()
            if chat and seed_of_search % 4 == 1:
                limit = round(rng.uniform(0.42, 0.6), 4)
                more = ("--max-cost", str(limit), "--scorer-price", f"{PRICE_IN}/{PRICE_OUT}")
            else:
                limit = rng.randint(1_350, 2_100) if chat else rng.randint(1_520, 2_400)
                more = ("--max-scorer-calls", str(limit))
            # Without races, so that there is more to ask than the limit allows.
            more = (*more, "--seed", str(seed_of_search))
            scorer = "chat" if chat else "zero-shot"
            process = start(folder, search(server, run_dir, scorer, *SMALL, *kind, *more), racing="off")
            process.join()
            after = server.statistics()
            ends[str(process.exitcode)] = ends.get(str(process.exitcode), 0) + 1
            if "--max-cost" in more:
                tokens = [after[name] - before[name] for name in ("prompt_tokens", "completion_tokens")]
                spent = (tokens[0] * PRICE_IN + tokens[1] * PRICE_OUT) / 1e6
            else:
                spent = after["answers"] - before["answers"]
            used.append(spent / limit)
            if spent > limit:
                exceeded.append({"limit": limit, "spent": spent, "options": list(more)})
            shutil.rmtree(run_dir, ignore_errors=True)
    return {
        "searches": number,
        "exceeded": len(exceeded),
        "which": exceeded,
        "mean_share_used": round(statistics.mean(used), 3),
        "exit_codes": ends,
    }


def labels_in(run_dir: Path) -> set[tuple[Any, ...]]:
    """Every row of the labels on disk."""
    path = run_dir / "labels.sqlite"
    if not path.exists():
        return set()
    with contextlib.closing(sqlite3.connect(path)) as database:
        tables = [name for (name,) in database.execute("select name from sqlite_master where type = 'table'")]
        return {(name, *row) for name in tables for row in database.execute(f"select * from {name}")}


def kills(folder: Path, number: int, seed: int) -> dict[str, Any]:
    """Kill a search again and again."""
    rng = random.Random(seed)
    more = (
        *("--shots", "4", "--restarts", "2", "--conversations", "1", "--rounds", "2", "--initial", "4"),
        *("--test-images", "48"),
    )
    calm, struck = folder / "calm", folder / "struck"
    with served(**FAULTS, seed=seed, latency_s=0.01) as server:
        process = start(folder, search(server, calm, "zero-shot", *more))
        process.join()
        answers = server.statistics()["answers"]
    lost, killed, resumed = 0, 0, False
    on_disk: set[tuple[Any, ...]] = set()
    with served(**FAULTS, seed=seed, latency_s=0.01) as server:
        while True:
            # Nothing to resume where a kill came before the run was made.
            known = (struck / "config.toml").exists()
            arguments = ["resume", str(struck)] if known else search(server, struck, "zero-shot", *more)
            resumed = resumed or known
            process = start(folder, arguments)
            at = server.statistics()["answers"] + rng.randint(1, max(2, 2 * answers // max(number, 1)))
            while killed < number and process.is_alive() and server.statistics()["answers"] < at:
                time.sleep(POLL_S)
            if killed >= number or not process.is_alive():
                process.join()
                break
            process.kill()
            process.join()
            killed += 1
            server.at_rest()
            labels = labels_in(struck)
            lost += len(on_disk - labels)
            on_disk = labels
        lost += len(on_disk - labels_in(struck))
        stats = server.statistics()
    boards = [result_of(run_dir)["leaderboard"] for run_dir in (calm, struck)]
    return {
        "kills": killed,
        "labels": stats["different"],
        "lost": lost,
        "twice": stats["twice"],
        "in_flight_at_most": killed * CONCURRENCY,
        "resumed": resumed,
        "same_result": boards[0] == boards[1],
        "exit_code": process.exitcode,
    }


def memory_mib(pid: int) -> float:
    """Resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return math.nan


def rate(folder: Path, labels: int, rpm: int) -> dict[str, Any]:
    """Ask for many labels at a limit, which the machine must be able to reach."""
    unlimited = paced(folder / "unlimited", 1, None)
    rpm = min(rpm, round(unlimited["rpm"] / 2))
    reached = paced(folder / "paced", labels, rpm)
    share = round(reached["rpm"] / rpm, 3)
    return {**reached, "rpm": rpm, "share": share, "unlimited_rpm": unlimited["rpm"]}


def paced(run_dir: Path, labels: int, rpm: int | None) -> dict[str, Any]:
    """Ask for about so many labels, and measure the requests a minute."""
    # Templates of the one round, validation images of the best and the test images take about 1,700.
    initial = max(2, math.ceil((labels - 1_500) / (12 * 16)) - 5)
    with served() as server:
        arguments = search(
            server, run_dir, "zero-shot", *(() if rpm is None else ("--scorer-rpm", str(rpm))),
            "--shots", "16", "--restarts", "1", "--conversations", "1", "--rounds", "1",
            "--initial", str(initial), "--test-images", "12",
        )  # fmt: skip
        process = start(run_dir.parent, arguments, racing="off")
        early, most, stats = math.nan, 0.0, server.statistics()
        samples: list[tuple[float, int]] = []
        while process.is_alive():
            with contextlib.suppress(OSError):  # it may end meanwhile
                now = memory_mib(process.pid or 0)
                stats = server.statistics()
                if math.isnan(early) and stats["answers"] >= labels // 5:
                    early = now
                most = max(most, now)
                samples.append((time.monotonic(), stats["answers"]))
            time.sleep(0.25)
        stats = server.statistics()
    seconds = stats["last_s"] - stats["first_s"]
    asking = [sample for sample in samples if sample[1]][::WINDOW]
    rates = [(more - few) / (end - begin) for (begin, few), (end, more) in itertools.pairwise(asking)]
    return {
        "labels": stats["answers"],
        "rpm": round(60 * statistics.median(rates or [stats["answers"] / seconds])),
        "seconds": round(seconds, 1),
        "refused": stats["refused"],
        "early_mib": round(early, 1),
        "growth_mib": round(most - early, 1),
        "exit_code": process.exitcode,
    }


def main() -> None:
    """Run the parts asked for and print JSON."""
    parser = argument_parser(__doc__)
    parser.add_argument("--parts", default="budgets,kills,rate")
    parser.add_argument("--budgets", type=int, default=40)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--labels", type=int, default=10_000)
    parser.add_argument("--rpm", type=int, default=12_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    import promptclimb.agent.api  # noqa: F401 - the forks have it

    parts, began = options.parts.split(","), time.monotonic()
    figures: dict[str, Any] = {"faults": FAULTS, "cpus": os.cpu_count()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["PROMPTCLIMB_CACHE"] = f"{name}/cache"
        if "budgets" in parts:
            figures["budgets"] = budgets(folder, options.budgets, options.seed)
        if "kills" in parts:
            figures["kills"] = kills(folder, options.kills, options.seed)
        if "rate" in parts:
            figures["rate"] = rate(folder, options.labels, options.rpm)
    figures["seconds"] = round(time.monotonic() - began)
    print_document(figures, options)


if __name__ == "__main__":
    main()

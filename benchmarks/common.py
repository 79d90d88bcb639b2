"""Share what benchmarks need: options, JSON, sets, draws, rows, statistics, servers and fakes.

A benchmark is run as ``python benchmarks/NAME.py``, so it first puts the checkout in front of this folder.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import resource
import statistics
import subprocess
import sys
import time
import urllib.request
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from promptclimb.agent.llm.chat import ChatAnswer, ChatRequest
from promptclimb.agent.study.tables import SetDifferences, interval_of
from tests.fakes.words import reply_text

ROOT = Path(__file__).resolve().parents[1]
LEVEL = 0.05
MOST_EXACT_SETS = 16
"""Up to so many sets, every pattern of signs is tried."""
SIGN_PATTERNS = 50_000

Row = Mapping[str, Any]


def argument_parser(docstring: str | None) -> argparse.ArgumentParser:
    """Return a parser with ``--json`` whose help begins with a module's docstring."""
    parser = argparse.ArgumentParser(
        description=docstring, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print the document on one line")
    return parser


def print_document(document: Any, options: argparse.Namespace) -> None:
    """Print JSON: on one line with ``--json``, else indented."""
    print(json.dumps(document, indent=None if options.json else 2))


def whole_numbers(text: str) -> list[int]:
    """Return the numbers of an option such as ``1,4,16``."""
    return [int(word) for word in text.split(",")]


def few_images(labels: Sequence[int] | npt.NDArray[np.int64], shots: int, rng: random.Random) -> list[int]:
    """Return the indices of ``shots`` images per class drawn at random, or of all where there are fewer."""
    drawn: list[int] = []
    for label in range(int(max(labels)) + 1):
        indices = np.flatnonzero(np.asarray(labels) == label).tolist()
        drawn += rng.sample(indices, shots) if len(indices) >= shots else indices
    return drawn


def read_rows(file: Path | None) -> list[dict[str, Any]]:
    """Return the rows of a JSON Lines file; none if there is no file."""
    lines = file.read_text("utf-8").splitlines() if file is not None and file.is_file() else []
    return [json.loads(line) for line in lines if line]


def rows_of(cells: Iterable[Row], measure: Callable[[Any], Row], file: Path | None) -> list[Row]:
    """Return a row per cell: its members and what was measured, read from the file or added to it."""
    kept = read_rows(file)
    rows = []
    for cell in cells:
        row: Row | None = next((row for row in kept if cell.items() <= row.items()), None)
        if row is None:
            row = {**cell, **measure(cell)}
            if file is not None:
                with file.open("a", encoding="utf-8") as lines:
                    lines.write(json.dumps(row) + "\n")
        rows.append(row)
    return rows


def better_starts(value_by_name: Mapping[str, float]) -> list[str]:
    """Return the names; of a rival's two starts, ``{}`` and the texts, that with the higher value alone."""
    better = {
        name.removesuffix(", {}").removesuffix(", texts"): name
        for name in sorted(value_by_name, key=value_by_name.__getitem__)
    }
    return list(better.values())


def mean_over_sets(values_by_set: Mapping[str, Sequence[float]]) -> float:
    """Return the mean over sets of the means over seeds."""
    return statistics.fmean(map(statistics.fmean, values_by_set.values()))


@dataclass(frozen=True, slots=True)
class OverSets:
    """A difference in percentage points.

    Attributes:
        mean: The mean over data sets of means over seeds.
        interval: 95 %, sets and seeds resampled.
        median: The median over data sets.
        p: Two-sided, from flipping the signs of whole sets.
    """

    mean: float
    interval: tuple[float, float]
    median: float
    p: float


def over_sets(differences_by_set: Mapping[str, Sequence[float]], name: str) -> OverSets:
    """Summarise differences by set and seed, in points; ``name`` seeds the draws."""
    sets = [SetDifferences(values, [None] * len(values)) for values in differences_by_set.values()]
    seed = zlib.crc32(name.encode())
    interval, _ = interval_of(sets, ("sets", "seeds"), seed=seed)
    assert interval is not None
    means = sorted(map(statistics.fmean, differences_by_set.values()))
    return OverSets(statistics.fmean(means), interval, statistics.median(means), _sign_flips(means, seed))


def _sign_flips(means: Sequence[float], seed: int) -> float:
    values = np.asarray(means)
    if len(values) <= MOST_EXACT_SETS:
        signs = np.array(list(itertools.product((1.0, -1.0), repeat=len(values))))
    else:
        drawn = np.random.default_rng(seed).choice((1.0, -1.0), size=(SIGN_PATTERNS, len(values)))
        signs = np.vstack([np.ones(len(values)), drawn])
    return float((np.abs(signs @ values) >= abs(values.sum()) - 1e-9).mean())


def holm(p_by_name: Mapping[str, float]) -> set[str]:
    """Return the names whose differences remain at ``LEVEL`` with Holm's correction."""
    significant = set[str]()
    for rank, (name, p) in enumerate(sorted(p_by_name.items(), key=lambda item: item[1])):
        if p > LEVEL / (len(p_by_name) - rank):
            break
        significant.add(name)
    return significant


def peak_mb() -> float:
    """Return the most memory that this process has held so far, in MB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


class SlowChat:
    """A fake LLM that answers every request after the same time, with as many lines."""

    def __init__(self, latency_s: float, lines: int = 3) -> None:
        self.calls = 0
        self._latency_s = latency_s
        self._lines = lines

    async def chat(self, request: ChatRequest) -> ChatAnswer:
        """Return an answer that depends on the request alone."""
        self.calls += 1
        # Before the wait: a crowd's answers arrive in one pass of the loop, and are not the search's work.
        text = reply_text(request.hash, self._lines)
        await asyncio.sleep(self._latency_s)
        return ChatAnswer(text=text, prompt_tokens=200, completion_tokens=40)


class FakeServer:
    """A fake endpoint on loopback, in a process of its own, that counts what it sees.

    Args:
        module: A module that prints its address.
        arguments: Its command line.
    """

    def __init__(self, module: str, *arguments: str) -> None:
        command = [sys.executable, "-m", module, *arguments]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._process.stdout is not None
        self.base_url = self._process.stdout.readline().strip()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def statistics(self) -> dict[str, Any]:
        """Return what it has seen so far."""
        with urllib.request.urlopen(self.base_url.removesuffix("/v1") + "/stats", timeout=30) as reply:
            counts: dict[str, Any] = json.load(reply)
        return counts

    def at_rest(self, hanging: str = "hang") -> dict[str, Any]:
        """Return the same once nothing is under way that will end; requests that hang never do."""
        for _ in range(200):
            counts = self.statistics()
            if counts["in_flight"] <= counts.get("faults", {}).get(hanging, 0):
                return counts
            time.sleep(0.05)
        raise RuntimeError(f"the endpoint does not come to rest: {counts['in_flight']} in flight")

"""Whether the LLM and the evaluator wait for each other: a search against a fake LLM that takes its time.

``ratio`` is the wall time of the search over the larger of two times: that of the requests that one climb has
to make one after the other, and that spent inside the evaluator. At 1 the smaller one is hidden altogether.
``longest_loop_stall_ms`` is the longest time by which a task that asked to be woken every 5 ms came late.
``crowd`` is the same for a search of two hundred climbs in lockstep, whose parsing, scoring and writing
come in bursts: there the two times cannot overlap, and the loop is held up.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

# In front of this folder, where the name `evaluator` is another benchmark.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from promptclimb import SearchConfig, search
from promptclimb.agent.llm.types import ChatAnswer, ChatRequest
from promptclimb.evaluator.open import open_evaluator
from promptclimb.evaluator.scoring import Evaluator, EvaluatorInfo, Rejection, Score, SplitScores
from promptclimb.evaluator.spec import EvaluatorSpec
from tests.fakes.words import reply_text

BEAT_S = 0.005
Out = TypeVar("Out")


class SlowChat:
    """Answers every request after the same time."""

    def __init__(self, latency_s: float) -> None:
        self._latency_s = latency_s

    async def chat(self, request: ChatRequest) -> ChatAnswer:
        """Return one answer; what it proposes depends on the request alone."""
        await asyncio.sleep(self._latency_s)
        return ChatAnswer(text=reply_text(request.hash), prompt_tokens=200, completion_tokens=40)


class Timed:
    """An evaluator that keeps count of the seconds spent in it."""

    def __init__(self, inner: Evaluator) -> None:
        self.seconds = 0.0
        self.scored = 0
        self._inner = inner

    @property
    def info(self) -> EvaluatorInfo:
        """What the inner one scores on."""
        return self._inner.info

    def score(self, templates: Sequence[str]) -> Sequence[Score | Rejection]:
        """Score, and count."""
        self.scored += len(templates)
        return self._count(lambda: self._inner.score(templates))

    def examine(self, ensembles: Sequence[Sequence[str]], *, test: bool = True) -> list[SplitScores]:
        """Examine, and count."""
        return self._count(lambda: self._inner.examine(ensembles, test=test))

    def _count(self, work: Callable[[], Out]) -> Out:
        began = time.perf_counter()
        try:
            return work()
        finally:
            self.seconds += time.perf_counter() - began


async def watch(stalls: list[float]) -> None:
    """Note by how much each beat came late."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + BEAT_S
        await asyncio.sleep(BEAT_S)
        stalls.append(loop.time() - due)


async def run_one(evaluator: Evaluator, shape: dict[str, int], latency_s: float) -> dict[str, Any]:
    """Return one search of a shape, watched."""
    timed, stalls = Timed(evaluator), [0.0]
    with tempfile.TemporaryDirectory() as folder:
        config = SearchConfig(
            data=evaluator.info.dataset, llm="fake", run_dir=Path(folder) / "run",
            concurrency=shape["restarts"], **shape,
        )  # fmt: skip
        beat = asyncio.create_task(watch(stalls))
        began = time.perf_counter()
        result = await search(config, evaluator=timed, chat=SlowChat(latency_s))
        wall = time.perf_counter() - began
        beat.cancel()
    turns = shape["resets"] * shape["iterations"]
    llm = turns * latency_s
    return {
        **shape,
        "status": result.status,
        "wall_s": wall,
        "llm_s": llm,
        "evaluation_s": timed.seconds,
        "templates": timed.scored,
        "ratio": wall / max(llm, timed.seconds),
        "longest_loop_stall_ms": 1e3 * max(stalls),
    }


def warm(spec: EvaluatorSpec) -> Evaluator:
    """Return the evaluator, its image features encoded beforehand: they are no part of what is measured."""
    evaluator = open_evaluator(spec)
    evaluator.examine([["a photo of a {}"]])
    return evaluator


def main() -> None:
    """Read options, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="tallies")
    parser.add_argument("--model", default="RN-pico")
    parser.add_argument("--pretrained", default="pico")
    parser.add_argument("--latency", type=float, default=1.0, help="seconds that the fake LLM takes")
    parser.add_argument("--json", action="store_true", help="the document on one line")
    options = parser.parse_args()
    evaluator = warm(EvaluatorSpec(data=options.data, model=options.model, pretrained=options.pretrained))
    shapes = {
        "search": {"restarts": 4, "resets": 2, "iterations": 8, "proposals": 8, "initial": 20},
        "crowd": {"restarts": 200, "resets": 1, "iterations": 6, "proposals": 30, "initial": 30},
    }
    found = {name: asyncio.run(run_one(evaluator, shape, options.latency)) for name, shape in shapes.items()}
    document = {key: found["search"][key] for key in ("ratio", "longest_loop_stall_ms")} | found
    print(json.dumps(document, indent=None if options.json else 2))


if __name__ == "__main__":
    main()

"""Whether the LLM and the evaluator wait for each other: a search against a fake LLM that takes its time.

``ratio`` is the wall time of the search over the larger of two times: that of the requests that one restart
has
to make one after the other, and that spent inside the evaluator. At 1 the smaller one is hidden altogether.
No order of work reaches 1 where each restart's initial templates take the evaluator long, as the last
restart can
ask for nothing before its own are scored: ``pools_s`` is the time inside the evaluator until then, and
``ratio_to_bound`` puts it before the requests.
``longest_loop_stall_ms`` is the longest time by which a task that asked to be woken every 5 ms came late,
``late_beats`` how often that was more than 50 ms. On a machine that others use as well, much of that is
theirs: ``longest_loop_work_ms`` is the most processor time that the loop's thread took between two beats, and
``loop_cpu_s`` all of it.
``crowd_N`` is a search of N restarts in lockstep, whose parsing, scoring and writing come in bursts. Ask for
sizes in rising order: ``memory_mb`` is what the process's peak has grown by since before the first crowd.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import SlowChat, argument_parser, peak_mb, print_document
from promptclimb import SearchConfig, search
from promptclimb.agent.events.types import Event, StartingTemplatesScored
from promptclimb.evaluator.open import open_evaluator
from promptclimb.evaluator.scoring import Evaluator, EvaluatorInfo, Rejection, Score, SplitScores
from promptclimb.evaluator.spec import EvaluatorSpec

BEAT_S = 0.005
LATE_S = 0.05
Out = TypeVar("Out")


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


async def watch(stalls: list[float], work: list[float]) -> None:
    """Note by how much each beat came late, and the processor time between two of them."""
    loop, cpu = asyncio.get_running_loop(), time.thread_time()
    while True:
        due = loop.time() + BEAT_S
        await asyncio.sleep(BEAT_S)
        stalls.append(loop.time() - due)
        before, cpu = cpu, time.thread_time()
        work.append(cpu - before)


async def run_one(evaluator: Evaluator, shape: dict[str, int], latency_s: float) -> dict[str, Any]:
    """Return one search of a shape, watched."""
    timed, stalls, work, pools = Timed(evaluator), [0.0], [0.0], [0.0]

    def on_event(event: Event) -> None:
        if isinstance(event, StartingTemplatesScored):
            pools.append(timed.seconds)

    with tempfile.TemporaryDirectory() as folder:
        config = SearchConfig(
            data=evaluator.info.dataset, llm="fake", run_dir=Path(folder) / "run",
            concurrency=shape["restarts"], **shape,
        )  # fmt: skip
        chat = SlowChat(latency_s, shape["proposals"])
        beat = asyncio.create_task(watch(stalls, work))
        began, cpu = time.perf_counter(), time.thread_time()
        result = await search(config, custom_scorer=timed, chat=chat, on_event=on_event)
        wall, cpu = time.perf_counter() - began, time.thread_time() - cpu
        beat.cancel()  # removing the folder is no part of the search
        await asyncio.gather(beat, return_exceptions=True)
    llm = shape["conversations"] * shape["rounds"] * latency_s
    return {
        **shape,
        "status": result.status,
        "wall_s": wall,
        "llm_s": llm,
        "evaluation_s": timed.seconds,
        "pools_s": pools[-1],
        "loop_cpu_s": cpu,
        "templates": timed.scored,
        "ratio": wall / max(llm, timed.seconds),
        "ratio_to_bound": wall / max(llm + pools[-1], timed.seconds),
        "longest_loop_stall_ms": 1e3 * max(stalls),
        "longest_loop_work_ms": 1e3 * max(work),
        "late_beats": sum(late > LATE_S for late in stalls),
    }


def warm(spec: EvaluatorSpec) -> Evaluator:
    """Return the evaluator, its image features encoded in advance: they are no part of what is measured."""
    evaluator = open_evaluator(spec)
    evaluator.examine([["a photo of a {}"]])
    return evaluator


def main() -> None:
    """Read options, measure, print."""
    parser = argument_parser(__doc__)
    parser.add_argument("--data", default="photos")
    parser.add_argument("--model", default="RN-pico")
    parser.add_argument("--pretrained", default="pico")
    parser.add_argument("--latency", type=float, default=1.0, help="seconds that the fake LLM takes")
    parser.add_argument("--restarts", type=int, nargs="*", default=[100, 200], help="sizes of the crowds")
    options = parser.parse_args()
    evaluator = warm(EvaluatorSpec(data=options.data, model=options.model, pretrained=options.pretrained))
    shapes = {"search": {"restarts": 4, "conversations": 2, "rounds": 8, "proposals": 8, "initial": 20}}
    for restarts in options.restarts:
        shapes[f"crowd_{restarts}"] = {
            "restarts": restarts, "conversations": 1, "rounds": 6, "proposals": 30, "initial": 30,
        }  # fmt: skip
    document: dict[str, Any] = {}
    before = 0.0
    for name, shape in shapes.items():
        document[name] = asyncio.run(run_one(evaluator, shape, options.latency))
        before = before or peak_mb()
        document[name]["memory_mb"] = peak_mb() - before
    document = {key: document["search"][key] for key in ("ratio", "longest_loop_stall_ms")} | document
    print_document(document, options)


if __name__ == "__main__":
    main()

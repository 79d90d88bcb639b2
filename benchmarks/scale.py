"""How the loop, the memory and the store hold up when they are large.

- ``overhead_ms``: 2,000 restarts at once ask a fake chat that answers after a second: processor time of the
  whole way of a request (budget, pacing, retry, client seam) for each call, less that of the bare client.
  ``search_ms``: a whole search of 2,000 restarts at once on the fake chat and a fake scorer, processor time
  for
  each call, with parsing, scoring, ranking, events and durable writes; ``search_s``: its wall time.
  ``mb_per_restart``: its peak of memory, less what it began with, for each restart.
- ``add_us``: one ``Memory.add`` into a memory of so many templates; ``list_us``: the same by a plain sorted
  list.
- ``store``: a journal of 100,000 answers: its size, the time to write an answer while 200 restarts
  write, to open and to replay it; and one bare commit with ``synchronous=FULL``, as used, and NORMAL.
- ``growth`` (``--only growth``): processor milliseconds for a template, of its texts and of the decisions
  on training images, at numbers of classes and shots; RN-pico's text tower, random features.
- ``ray`` (``--only ray``): the least wall milliseconds of a batch, in this process and through Ray to one
  actor on this machine, in turns; ``over`` is the difference.
"""

from __future__ import annotations

import asyncio
import bisect
import gc
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import ROOT, SlowChat, argument_parser, peak_mb, print_document
from promptclimb import SearchConfig, search
from promptclimb.agent.llm.ask import EndpointAsker
from promptclimb.agent.llm.budget import Budget, Limits
from promptclimb.agent.llm.chat import ChatAnswer, ChatRequest
from promptclimb.agent.llm.limiter import RateLimits
from promptclimb.agent.llm.pool import Endpoint
from promptclimb.agent.methods.memory import Entry, Memory
from promptclimb.agent.position import Position
from promptclimb.agent.prices import Bill, Spent
from promptclimb.agent.store.disk import TextCache
from promptclimb.agent.store.run import Store
from promptclimb.evaluator.fakes import FakeEvaluator
from promptclimb.evaluator.scoring import Score
from promptclimb.prompts.template import Template
from tests.fakes.words import reply_text

RESTARTS = 2000
TURNS = 5
WRITERS = 200


async def loop_overhead() -> dict[str, float]:
    """Processor time for each call, of the proposer and of bare sleeping tasks."""
    chat = SlowChat(1.0)
    requests = [
        ChatRequest(messages=({"role": "user", "content": f"{n}"},), model="m") for n in range(RESTARTS)
    ]

    async def bare(request: ChatRequest) -> None:
        for _ in range(TURNS):
            await chat.chat(request)

    async def asked(proposer: EndpointAsker, request: ChatRequest) -> None:
        for _ in range(TURNS):
            await proposer.ask(request)

    started = time.process_time()
    await asyncio.gather(*(bare(request) for request in requests))
    base = time.process_time() - started
    endpoint = Endpoint(
        name="fake", client=chat, limits=RateLimits(rpm=10**7, tpm=10**10, concurrency=RESTARTS)
    )
    proposer = EndpointAsker([endpoint], budget=Budget(Limits(calls=10**9, tokens=10**12)))
    started = time.process_time()
    await asyncio.gather(*(asked(proposer, request) for request in requests))
    calls = RESTARTS * TURNS
    return {
        "overhead_ms": round((time.process_time() - started - base) / calls * 1e3, 4),
        "bare_ms": round(base / calls * 1e3, 4),
    }


def whole_search() -> dict[str, float]:
    """Return a search of 2,000 restarts at once."""
    with tempfile.TemporaryDirectory() as folder:
        config = SearchConfig(
            data="fake", llm="fake", restarts=RESTARTS, conversations=1, rounds=3, proposals=3, initial=4,
            concurrency=RESTARTS, run_dir=Path(folder) / "run",
        )  # fmt: skip
        chat, before = SlowChat(0.5), peak_mb()
        started, worked = time.perf_counter(), time.process_time()
        asyncio.run(search(config, evaluator=FakeEvaluator(), chat=chat))
        wall, work = time.perf_counter() - started, time.process_time() - worked
    return {
        "search_ms": round(work / chat.calls * 1e3, 3),
        "search_calls": chat.calls,
        "search_s": round(wall, 1),
        "mb_per_restart": round((peak_mb() - before) / RESTARTS, 4),
    }


def scored(text: str, value: float) -> Entry:
    """Return a template with a value."""
    return Entry(candidate=Template(text), score=Score(train=value), value=value, position=Position(1))


def memory_adds() -> dict[str, dict[int, float]]:
    """Microseconds for one add at each size, of the memory and of a sorted list."""
    rng = random.Random(0)
    memory, plain = Memory(0), list[tuple[float, int]]()
    ours: dict[int, float] = {}
    listed: dict[int, float] = {}
    for size in (10**3, 10**4, 10**5, 10**6):
        while len(memory) < size:
            value = rng.randrange(0, 1601) / 1600
            memory.add(scored(f"template {len(memory)} {{}}", value))
            plain.append((-value, rng.getrandbits(64)))
        plain.sort()
        fresh = [scored(f"new {size} {number} {{}}", rng.random()) for number in range(1000)]
        gc.collect()  # or the garbage of what was measured before is cleared away in here
        started = time.process_time()
        for entry in fresh:
            memory.add(entry)
        ours[size] = round((time.process_time() - started) * 1e3, 2)
        started = time.process_time()
        for entry in fresh:
            bisect.insort(plain, (-entry.value, rng.getrandbits(64)))
        listed[size] = round((time.process_time() - started) * 1e3, 2)
    return {"add_us": ours, "list_us": listed}


async def put(store: Store, number: int) -> None:
    """Write one answer of the size that answers have."""
    answer = ChatAnswer(text=reply_text(str(number), 5), model="m", prompt_tokens=900, completion_tokens=60)
    await store.put_answer(Position(number // 100, 0, number % 100), "0" * 64, answer, Bill(Spent(calls=1)))


async def store_size(answers: int) -> dict[str, float]:
    """Return a journal of so many answers."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        Store.create(run, {"identity": {}}).close()
        figures = {"answers": float(answers)}
        with Store.open(run) as store:
            started = time.perf_counter()
            for first in range(0, answers, WRITERS):
                await asyncio.gather(*(put(store, number) for number in range(first, first + WRITERS)))
            figures["write_ms"] = round((time.perf_counter() - started) / answers * 1e3, 3)
        figures["mb"] = round(sum(path.stat().st_size for path in (run / "store").iterdir()) / 2**20, 1)
        started = time.perf_counter()
        with Store.open(run) as store:
            figures["open_s"] = round(time.perf_counter() - started, 3)
            started = time.perf_counter()
            assert sum(1 for _ in store.answers()) == answers
            figures["replay_s"] = round(time.perf_counter() - started, 3)
        figures |= {
            f"{name}_ms": write_ms(Path(folder) / name, level) for name, level in (("full", 2), ("normal", 1))
        }
    return figures


def write_ms(folder: Path, level: int, rows: int = 500) -> float:
    """Milliseconds for a bare transaction at a level of synchronous."""
    cache = TextCache(folder)
    cache.reset("sqlite_synchronous", level)
    started = time.perf_counter()
    for number in range(rows):
        cache.write({f"k{number}": "x" * 400})
    taken = time.perf_counter() - started
    cache.close()
    return round(taken / rows * 1e3, 3)


def growth(templates: int = 8, rounds: int = 3) -> list[dict[str, float]]:
    """Return what a template takes, by classes and shots."""
    import torch

    from promptclimb.evaluator.clip.models import load_model
    from promptclimb.evaluator.clip.text_encoder import TextEncoder
    from promptclimb.evaluator.clip.zero_shot import Labelled, classifier, decide
    from promptclimb.evaluator.datasets.hand_made import imagenet_class_names
    from promptclimb.prompts.template_kind import BUILT_IN

    torch.set_num_threads(1)
    loaded = load_model("RN-pico", "pico", torch.device("cpu"))
    rows = []
    for classes in (10, 100, 1000):
        names = imagenet_class_names()[:classes]
        encoder = TextEncoder(loaded.model, loaded.tokenizer, names, loaded.context_length)
        batches = [BUILT_IN[start : start + templates] for start in range(0, rounds * templates, templates)]
        texts = statistics.median(milliseconds(encoder.vectors, batch) for batch in batches)
        weights = classifier(encoder.vectors(BUILT_IN[:1])[0][None])
        for shots in (1, 16):
            labels = torch.arange(classes).repeat(shots)
            features = torch.nn.functional.normalize(torch.randn(len(labels), weights.shape[1]), dim=1)
            split = Labelled(features, labels, classes)
            decisions = statistics.median(milliseconds(decide, split, weights) for _ in range(2 * rounds))
            rows.append(
                {
                    "classes": classes,
                    "shots": shots,
                    "texts_ms": round(texts / templates, 3),
                    "decisions_ms": round(decisions, 3),
                }
            )
    return rows


def milliseconds(work: Callable[..., object], *arguments: object) -> float:
    """Return the processor time of a call."""
    started = time.process_time()
    work(*arguments)
    return (time.process_time() - started) * 1e3


def through_ray(rounds: int = 40) -> dict[str, dict[int, float]]:
    """Return the wall time of batches, here and through Ray; the bundled ``backgrounds`` and RN-pico."""
    import ray

    from promptclimb import EvaluatorSpec
    from promptclimb.evaluator.open import open_evaluator
    from promptclimb.prompts.template_kind import BUILT_IN

    os.environ["PYTHONPATH"] = str(ROOT)  # of the actor
    spec = EvaluatorSpec(device="cpu")
    ray.init(num_cpus=1, log_to_driver=False)
    ways = {"here": open_evaluator(spec), "ray": open_evaluator(spec.model_copy(update={"ray": "auto"}))}
    fastest: dict[str, dict[int, float]] = {name: {} for name in ways}
    for size in (1, 8, 32):
        times: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(rounds + 2):
            batch = [f"{number} {template}" for template in BUILT_IN[:size]]
            for name, evaluator in ways.items():
                started = time.perf_counter()
                evaluator.score(batch)
                times[name].append((time.perf_counter() - started) * 1e3)
        for name in ways:
            # The least, not the median: who else is at work here delays a call by more than it costs.
            fastest[name][size] = round(min(times[name][2:]), 2)
    ray.shutdown()
    return {
        **fastest,
        "over": {size: round(fastest["ray"][size] - here, 2) for size, here in fastest["here"].items()},
    }


def main() -> None:
    """Measure all and print the figures."""
    parser = argument_parser(__doc__)
    parser.add_argument("--answers", type=int, default=100_000, help="size of the store")
    parser.add_argument(
        "--only", choices=("growth", "ray"), help="this measurement alone, which is in no other run"
    )
    options = parser.parse_args()
    if options.only is not None:
        print_document({options.only: {"growth": growth, "ray": through_ray}[options.only]()}, options)
        return
    figures: dict[str, Any] = {"restarts": RESTARTS, **whole_search(), **asyncio.run(loop_overhead())}
    figures |= memory_adds()
    figures["store"] = asyncio.run(store_size(options.answers))
    print_document(figures, options)


if __name__ == "__main__":
    main()

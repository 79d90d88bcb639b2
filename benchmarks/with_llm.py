"""Measure what an LLM brings, with and without description, at the same number of scored templates.

    python benchmarks/with_llm.py --answers benchmarks/recorded/strong.jsonl --json
    python benchmarks/with_llm.py --llm local --data all --seeds 1,2,3 --arms all --keep rows.jsonl --json

The first replays recorded answers, the second asks the local LLM.

Search the sets of ``descriptions.py`` (80 starting templates, one restart of five rounds with ten proposals)
with each arm: ``guided`` with the description, the same in unusual words, class names only, or nothing; the
methods of the papers, without information; and those without an LLM, which score as many templates in each
cell as the arm with an LLM that scored the most there, and no fewer than five rounds propose. Print test
accuracies of what was chosen, with differences paired by set: over ``random``, and of ``guided`` over ``pn``;
``least_over_initial`` is the worst of an arm's sets against its best starting template, mean over seeds, and
``more_scored`` how many templates were scored beyond the starting ones, on average.

Answers are kept by the hash of the request that they answer, so that a table can be made again without the
model; what is not there is asked of ``--base-url`` and added. ``--keep`` holds finished searches, so that a
long table can be interrupted and resumed: seed by seed, so that it stays balanced.

``--as-it-is`` makes a table of what is kept, and plays nothing: of the sets and seeds that every arm has been
played on. docs/results.md rests on the searches in docs/results/with-llm.jsonl.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

# In front of this folder, where the name `evaluator` is another benchmark.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from benchmarks.descriptions import EIGHT, SETS
from benchmarks.peers.kept import lines_of
from benchmarks.recorded_names import todays
from benchmarks.with_llm_table import document_of, markdown, played_by_all
from promptclimb import SearchConfig, search
from promptclimb.agent.llm.chat import ChatAnswer, ChatRequest
from promptclimb.agent.llm.client import OpenAIChat
from promptclimb.evaluator.open import open_evaluator
from promptclimb.evaluator.scoring import Evaluator
from promptclimb.evaluator.spec import EvaluatorSpec


class Arm(NamedTuple):
    """A method with its information."""

    name: str
    method: str
    saying: str = ""
    blind: bool = False
    asks: bool = True


ARMS = (
    Arm("random", "random", asks=False),
    Arm("pn, no information", "pn"),
    Arm("guided, class names only", "guided"),
    Arm("guided, with description", "guided", "sentence"),
    Arm("guided, description in unusual words", "guided", "unusual"),
    Arm("guided, no information", "guided", blind=True),
    Arm("p, no information", "p"),
    Arm("ape, no information", "ape"),
    Arm("opro, no information", "opro"),
    Arm("combine, no information", "combine", asks=False),
    Arm("combine, with description", "combine", "sentence", asks=False),
    Arm("combine, description in unusual words", "combine", "unusual", asks=False),
)
ROUNDS: Mapping[str, Any] = {"restarts": 1, "conversations": 1, "rounds": 5, "proposals": 10, "initial": 80}


class Recorded:
    """Answers from a file; what it lacks is asked for and added.

    Args:
        file: JSON lines of ``{"request", "text"}``.
        client: Whom to ask; None for nobody.
        model: The name by which the client's endpoint knows its model.
    """

    in_flight = 256

    def __init__(self, file: Path, client: OpenAIChat | None, model: str) -> None:
        lines = file.read_text("utf-8").splitlines() if file.exists() else []
        self._known = {each["request"]: each["text"] for each in map(json.loads, lines)}
        self._file, self._client, self._model = file, client, model

    async def chat(self, request: ChatRequest) -> ChatAnswer:
        """Return the answer that was given to this request."""
        if request.hash not in self._known:
            if self._client is None:
                raise SystemExit(f"{self._file} has no answer to a request of this table; give --base-url")
            answer = await self._client.chat(replace(request, model=self._model))
            self._known[request.hash] = answer.text
            with self._file.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps({"request": request.hash, "text": answer.text}) + "\n")
        return ChatAnswer(text=self._known[request.hash], prompt_tokens=1, completion_tokens=1)


@asynccontextmanager
async def answering(options: argparse.Namespace) -> AsyncIterator[Recorded | None]:
    """Open the answers of ``--answers``; what they lack is asked of ``--base-url``. None without a file."""
    async with AsyncExitStack() as stack:
        client = None
        if options.base_url:
            client = await stack.enter_async_context(OpenAIChat(options.base_url, max_connections=256))
        yield None if options.answers is None else Recorded(options.answers, client, options.llm)


async def all_rows(
    cells: Iterable[Awaitable[list[dict[str, Any]]]], *, at_once: bool
) -> list[dict[str, Any]]:
    """Return the rows of all cells, which wait for an endpoint together or are played one by one."""
    found = await asyncio.gather(*cells) if at_once else [await cell for cell in cells]
    return list(itertools.chain.from_iterable(found))


async def chosen(
    evaluator: Evaluator,
    arm: Arm,
    data: str,
    seed: int,
    options: argparse.Namespace,
    chat: Recorded | None,
    more: int,
) -> dict[str, Any]:
    """Return what one search chose; without an LLM it proposes ``more`` templates."""
    rounds = {**ROUNDS, "rounds": -(-more // ROUNDS["proposals"])} if not arm.asks else ROUNDS
    with tempfile.TemporaryDirectory() as folder:
        config = SearchConfig(
            data=data,
            method=arm.method,
            llm=(options.llm if chat is None else "recorded") if arm.asks else None,
            describe=getattr(SETS[data], arm.saying) if arm.saying else None,
            blind=arm.blind,
            style=options.style,
            seed=seed,
            starting_pool=options.pool,
            augmentations=0,
            request_timeout=options.timeout,
            retry_seconds=options.timeout,
            prefer_readable=False,
            run_dir=Path(folder) / "run",
            **rounds,
        )
        result = await search(config, evaluator=evaluator, chat=chat if arm.asks else None)
    return {
        "set": data,
        "seed": seed,
        "arm": arm.name,
        "test": result.best.test,
        "initial": result.baselines["best starting template"].test,
        "ensemble": result.ensemble.test,
        "template": result.best.template,
        "scored": result.evaluated,
        "calls": result.usage.calls,
    }


async def table(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return a row for each search; those that wait for an endpoint wait together."""
    rows = _kept(options.keep)
    async with answering(options) as chat:
        cells = [
            _cell(
                data, seed, options, chat, [row for row in rows if (row["set"], row["seed"]) == (data, seed)]
            )
            for seed, data in itertools.product(map(int, options.seeds.split(",")), _data(options))
        ]
        rows += await all_rows(cells, at_once=chat is not None)
    asked = {
        (data, int(seed), arm.name)
        for data in _data(options)
        for seed in options.seeds.split(",")
        for arm in _arms(options)
    }
    return [row for row in rows if (row["set"], row["seed"], row["arm"]) in asked]


async def _cell(
    data: str,
    seed: int,
    options: argparse.Namespace,
    chat: Recorded | None,
    kept: Sequence[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """Return the rows of one set and seed that are not kept: first of the arms that ask an LLM."""
    left = [arm for arm in _arms(options) if all(row["arm"] != arm.name for row in kept)]
    if not left:
        return []
    evaluator = open_evaluator(EvaluatorSpec(data=data, seed=seed, model=options.model))
    asking = {arm.name for arm in ARMS if arm.asks}
    rows: list[dict[str, Any]] = []
    for asks in (True, False):
        scored = [row["scored"] for row in (*kept, *rows) if row["arm"] in asking]
        more = max([ROUNDS["rounds"] * ROUNDS["proposals"], *(n - ROUNDS["initial"] for n in scored)])
        searches = [
            chosen(evaluator, arm, data, seed, options, chat, more) for arm in left if arm.asks == asks
        ]
        if chat is not None:
            found = await asyncio.gather(*searches)
            keep(found, options.keep)
            rows += found
            continue
        for one in searches:
            rows.append(await one)
            keep(rows[-1:], options.keep)
    return rows


def keep(rows: Sequence[Mapping[str, Any]], file: Path | None) -> None:
    """Show rows, and add them to a file."""
    for line in map(json.dumps, rows):
        print(line, file=sys.stderr, flush=True)
        if file is not None:
            with file.open("a", encoding="utf-8") as lines:
                lines.write(f"{line}\n")


def _arms(options: argparse.Namespace) -> list[Arm]:
    return list(ARMS) if options.arms == "all" else [ARMS[int(place)] for place in options.arms.split(",")]


def _data(options: argparse.Namespace) -> list[str]:
    return list(SETS) if options.data == "all" else options.data.split(",")


def _kept(file: Path | None) -> list[dict[str, Any]]:
    return [{**row, "arm": todays(row["arm"])} for row in lines_of(file)]


def main() -> None:
    """Read options, search, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default=",".join(EIGHT), help="sets, of those in descriptions.py; or all")
    parser.add_argument("--seeds", default="1,2")
    arms = "; ".join(f"{number} {arm.name}" for number, arm in enumerate(ARMS))
    parser.add_argument("--arms", default="0,1,2,3", help=f"numbers of arms, or all: {arms}")
    parser.add_argument("--keep", type=Path, help="file of finished searches with one LLM, not made again")
    parser.add_argument(
        "--as-it-is", action="store_true", help="play nothing: what is kept, where all arms are"
    )
    parser.add_argument("--markdown", type=Path, help="file to write the table to")
    parser.add_argument("--answers", type=Path, help="file of recorded answers")
    parser.add_argument("--base-url", help="whom to ask for answers that are not recorded")
    parser.add_argument("--llm", default="by-hand", help="the model's name there; or local")
    parser.add_argument("--style", choices=("rich", "short"), help="default: by the model's name")
    parser.add_argument("--pool", default="captions", help="captions or grammar")
    parser.add_argument("--model", default="RN-pico")
    parser.add_argument("--timeout", type=float, default=7200.0, help="seconds that an answer may take")
    parser.add_argument("--rows", action="store_true", help="print every search too")
    parser.add_argument("--json", action="store_true", help="the document on one line")
    options = parser.parse_args()
    if options.base_url and options.answers is None:
        parser.error("--base-url needs --answers, the file in which what it answers is kept")
    torch.set_num_threads(1)  # small matrices; on a busy machine several threads wait for each other
    if options.as_it_is:
        rows = played_by_all(_kept(options.keep), [arm.name for arm in _arms(options)])
        seeds, sets = set(map(int, options.seeds.split(","))), set(_data(options))
        rows = [row for row in rows if row["seed"] in seeds and row["set"] in sets]
        if not rows:
            parser.error("--keep holds no set and seed that every arm has been played on")
    else:
        rows = asyncio.run(table(options))
    names = [arm.name for arm in ARMS]
    document = {"pool": options.pool} | document_of(rows, names, over=ARMS[1].name, initial=ROUNDS["initial"])
    if options.markdown is not None:
        options.markdown.write_text(markdown(document), "utf-8")
    if options.rows:
        document["rows"] = rows
    print(json.dumps(document, indent=None if options.json else 2))


if __name__ == "__main__":
    main()

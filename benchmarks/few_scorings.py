"""Compare methods at few scorings, as with a scorer whose every score costs money or time.

    python benchmarks/few_scorings.py --test --keep docs/results/few-scorings.jsonl

Sets and descriptions are those of the comparison with other optimizers, or of a folder that
``benchmarks/published_sets.py`` made (``--sets FOLDER``). Every score costs and is of all few-shot images,
and the template is chosen anew after each number of scorings. Arms with an LLM (``--arms``):

    python benchmarks/few_scorings.py --arms guided --scorings 10,20 --answers FILE --base-url URL --llm MODEL

Answers are read from a file, a line of JSON for each request. A request that is not there is asked of the
endpoint and added. Without an endpoint it is added with its messages and no answer, to be filled in by hand;
then the same command goes on. Only ``--test`` evaluates test images and keeps rows, which are not searched
again.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import logging
import math
import os
import random
import sys
import tempfile
import tomllib
import urllib.request
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import (
    SEARCH,
    OverSets,
    Row,
    argument_parser,
    compared_sets,
    mean_over_sets,
    over_sets,
    print_document,
    read_rows,
    rows_of,
    whole_numbers,
)
from benchmarks.result_tables import over
from promptclimb import EvaluatorSpec, SearchConfig
from promptclimb.agent.config.schema import DESCRIBED_INITIAL, DESCRIBED_PROPOSALS, IMAGE_INITIAL
from promptclimb.agent.errors import FatalChatError
from promptclimb.agent.llm.chat import ChatAnswer, ChatRequest
from promptclimb.agent.methods.base import Ask, SearchMethod, Steps, View, shown
from promptclimb.agent.methods.registry import METHODS
from promptclimb.agent.results.details import read_details
from promptclimb.agent.search.opening import RunRequest
from promptclimb.agent.search.run import start_run
from promptclimb.evaluator.errors import PromptclimbError
from promptclimb.evaluator.open import open_evaluator
from promptclimb.evaluator.scoring import Evaluator, EvaluatorInfo, Score, SplitScores, Verdict
from promptclimb.prompts.requests import request_opro, user_message

SCORINGS = (10, 20, 40, 80)
SEEDS = (1, 2, 3)
FEW = 5
"""Starting templates, and proposals in a round, without an LLM."""
SETS, DRAW = 10, 37
"""Sets drawn from a folder, and the seed of the draw; drawn before anything was measured on them."""
GUIDED, COMBINE = "guided", "combine, with description"


def _described_opro(view: View) -> Steps:
    """Show what OPRO shows, and the description."""
    while True:
        (request,) = request_opro(shown(view.memory.best(view.top_k), scores=True)[::-1], view.wanted)
        yield Ask([user_message(f"The pictures show: {view.description}", request["content"])])


DESCRIBED_OPRO = SearchMethod(
    summary="OPRO with a description", conversation=_described_opro, uses_description=True
)
ARMS: Mapping[str, Mapping[str, Any]] = {
    COMBINE: {"method": "combine", "initial": FEW, "proposals": FEW},
    "random": {"method": "random", "initial": FEW, "proposals": FEW},
    "starting templates": {"method": "random", "initial": IMAGE_INITIAL},
    GUIDED: {"method": "guided", "proposals": DESCRIBED_PROPOSALS},
    "OPRO, with description": {"method": "described-opro", "proposals": DESCRIBED_PROPOSALS},
}
"""The third is ``guided`` as it was: its LLM was asked after so many starting templates."""


class Costly:
    """An evaluator whose scores are not free.

    Attributes:
        few_shot: The accuracy of each template, in the order of scoring, on training and validation images.
    """

    def __init__(self, inner: Evaluator, *, test: bool) -> None:
        self._inner = inner
        sizes = {**inner.info.sizes, **({} if test else {"test": 0})}
        self.info: EvaluatorInfo = replace(inner.info, cheap=False, sizes=sizes)
        self.few_shot: list[float] = []

    def score(self, templates: Sequence[str]) -> Sequence[Verdict]:
        verdicts = self._inner.score(templates)
        train, val = self.info.sizes["train"], self.info.sizes["val"]
        for verdict in verdicts:
            if isinstance(verdict, Score):
                right = train * verdict.train + val * (verdict.val or 0.0)
                self.few_shot.append(right / (train + val))
        return verdicts

    def examine(
        self, ensembles: Sequence[Sequence[str]], *, test: bool = True
    ) -> Sequence[SplitScores | None]:
        return self._inner.examine(ensembles, test=test and self.info.sizes["test"] > 0)


class RecordedChat:
    """An LLM whose answers are read from a file.

    Attributes:
        missing: Whether a request has no answer.
    """

    def __init__(self, file: Path, base_url: str | None, model: str) -> None:
        self._file, self._base_url, self._model = file, base_url, model
        self._answers = {line["request"]: line["answer"] for line in read_rows(file)}
        self.missing = False

    def chat(self, request: ChatRequest) -> ChatAnswer:
        """Return the recorded answer; ask for one that is not there.

        Raises:
            FatalChatError: Nobody can be asked.
        """
        messages = [dict(message) for message in request.messages]
        digest = hashlib.sha256(json.dumps(messages, sort_keys=True).encode()).hexdigest()[:16]
        if digest not in self._answers:
            answer = self._asked(messages) if self._base_url else None
            line = {"request": digest, "answer": answer}
            with self._file.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(line if answer else {**line, "messages": messages}) + "\n")
            self._answers[digest] = answer
        if self._answers[digest] is None:
            self.missing = True
            raise FatalChatError("no answer yet")
        return ChatAnswer(text=self._answers[digest])

    def _asked(self, messages: Sequence[Mapping[str, Any]]) -> str:
        body = json.dumps({"model": self._model, "messages": messages, "temperature": 1}).encode()
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get("OPENAI_API_KEY"):
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(f"{self._base_url}/chat/completions", body, headers)
        with urllib.request.urlopen(request, timeout=7200) as reply:
            text: str = json.load(reply)["choices"][0]["message"]["content"]
        return text


class UnansweredError(Exception):
    """A search has a request without an answer."""


def searched(cell: Row, options: Namespace) -> Row:
    """Return what a search chose after each number of scorings.

    Raises:
        UnansweredError: The LLM's answers are not all there.
    """
    arm = ARMS[cell["arm"]]
    starting = arm.get("initial", DESCRIBED_INITIAL)
    chat = None
    if cell["llm"] is not None and options.answers is not None:
        chat = RecordedChat(options.answers, options.base_url, options.llm)
    data = str(options.sets / cell["data"]) if options.sets else cell["data"]
    with tempfile.TemporaryDirectory() as folder:
        config = SearchConfig(
            **SEARCH,
            **arm,
            data=data,
            seed=cell["seed"],
            shots=cell["shots"],
            model=cell["model"],
            pretrained=options.pretrained,
            rounds=math.ceil((max(options.scorings) - starting) / arm.get("proposals", FEW)),
            describe=described(options.sets)[cell["data"]],
            augmentations=0,
            llm=cell["llm"],
            run_dir=Path(folder) / "run",
        )
        opened = _opened(data, cell["shots"], cell["seed"], cell["model"], options.pretrained)
        evaluator = Costly(opened, test=options.test)
        request = RunRequest(config=config, evaluator=evaluator, chat=chat, curve=tuple(options.scorings))
        try:
            result = asyncio.run(start_run(request))
        except PromptclimbError as error:
            if chat is not None and chat.missing:
                raise UnansweredError from error
            raise
        details = read_details(Path(folder) / "run") if options.test else None
    few_shot = {str(scorings): max(evaluator.few_shot[:scorings]) for scorings in options.scorings}
    if details is None:
        return {"few_shot": few_shot}
    # A search whose LLM repeats itself scores fewer: the choice is then that among all.
    picks = {str(scorings): (result.best.template, result.best.test) for scorings in options.scorings}
    picks |= {str(pick.after): (pick.template, pick.test) for pick in details.curve}
    templates = {scorings: template for scorings, (template, _) in picks.items()}
    tests = {scorings: test for scorings, (_, test) in picks.items()}
    return {"few_shot": few_shot, "templates": templates, "tests": tests}


@lru_cache(maxsize=1)
def _opened(data: str, shots: int, seed: int, model: str, pretrained: str) -> Evaluator:
    return open_evaluator(
        EvaluatorSpec(data=data, seed=seed, shots=shots, model=model, pretrained=pretrained, augmentations=0)
    )


def described(sets: Path | None) -> Mapping[str, str]:
    """Return the sets with their descriptions; of a folder, so many drawn at random."""
    if sets is None:
        return compared_sets()
    descriptions: dict[str, str] = tomllib.loads((sets / "describe.toml").read_text("utf-8"))["describe"]
    names = random.Random(DRAW).sample(sorted(descriptions), SETS)
    return {name: descriptions[name] for name in sorted(names)}


def summary(rows: Sequence[Row], figure: str = "tests") -> dict[str, dict[str, float]]:
    """Return accuracies in %, the means over sets of the means over seeds, by arm and scorings."""
    table: dict[str, dict[str, float]] = {}
    for name, own in _by_arm(rows).items():
        table[name] = {
            scorings: round(mean_over_sets(_by_set(own, figure, scorings)), 2) for scorings in own[0][figure]
        }
    return table


def _by_arm(rows: Sequence[Row]) -> dict[str, list[Row]]:
    arms: dict[str, list[Row]] = {}
    for row in rows:
        arms.setdefault(row["arm"] if row["llm"] is None else f"{row['arm']} ({row['llm']})", []).append(row)
    return arms


def _by_set(rows: Sequence[Row], figure: str, scorings: str) -> dict[str, list[float]]:
    by_set: dict[str, list[float]] = {}
    for row in rows:
        by_set.setdefault(row["data"], []).append(100 * row[figure][scorings])
    return by_set


def over_combine(rows: Sequence[Row], figure: str = "tests") -> dict[str, dict[str, OverSets]]:
    """Return the differences of arms with an LLM to ``combine``, by arm and scorings."""
    base = {(row["data"], row["seed"]): row for row in rows if row["arm"] == COMBINE}
    differences: dict[str, dict[str, OverSets]] = {}
    for name, own in _by_arm(rows).items():
        if own[0]["llm"] is None:
            continue
        for scorings in own[0][figure]:
            by_set: dict[str, list[float]] = {}
            for row in own:
                before = base[row["data"], row["seed"]][figure][scorings]
                by_set.setdefault(row["data"], []).append(100 * (row[figure][scorings] - before))
            differences.setdefault(name, {})[scorings] = over_sets(by_set, f"{name} {scorings}")
    return differences


def few(folder: Path, name: str) -> Iterator[Sequence[str]]:
    """Yield a table of docs/results.md: accuracies, and differences with their intervals."""
    rows = read_rows(folder / f"{name}.jsonl")
    columns = sorted({scorings for row in rows for scorings in row["tests"]}, key=int)
    yield ("", *(f"{scorings} scorings" for scorings in columns))
    for arm, tests in summary(rows).items():
        yield (arm, *(f"{tests[scorings]:.1f}" if scorings in tests else "" for scorings in columns))
    for arm, by_scorings in over_combine(rows).items():
        cells = [by_scorings.get(scorings) for scorings in columns]
        yield (
            f"{arm} over combine",
            *("" if cell is None else over(cell.mean, cell.interval) for cell in cells),
        )


def main() -> None:
    """Search, keep rows, print the document."""
    parser = argument_parser(__doc__)
    parser.add_argument("--keep", type=Path, help="file of rows")
    parser.add_argument("--arms", help=f"of {'; '.join(ARMS)}; default: those without an LLM")
    parser.add_argument("--scorings", type=whole_numbers, default=SCORINGS)
    parser.add_argument("--shots", type=int, default=16)
    parser.add_argument("--seeds", type=whole_numbers, default=SEEDS)
    parser.add_argument("--sets", type=Path, help="folder of sets, with describe.toml")
    parser.add_argument("--model", default="RN-pico")
    parser.add_argument("--pretrained", default="pico")
    parser.add_argument("--llm", help="the LLM's name at the endpoint, or local")
    parser.add_argument("--base-url", help="the endpoint; its key is $OPENAI_API_KEY")
    parser.add_argument("--answers", type=Path, help="file of answers")
    parser.add_argument("--test", action="store_true", help="evaluate test images, and keep rows")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    METHODS["described-opro"] = DESCRIBED_OPRO
    without_llm = [name for name, arm in ARMS.items() if not METHODS[arm["method"]].asks_llm]
    rows: list[Row] = []
    unanswered = 0
    for seed, data, arm in itertools.product(
        options.seeds, described(options.sets), options.arms.split(";") if options.arms else without_llm
    ):
        llm = None if arm in without_llm else options.llm
        where = {"data": data, "shots": options.shots, "seed": seed, "model": options.model}
        cell = {"arm": arm, "llm": llm, **where}
        try:
            rows += rows_of(
                [cell], lambda cell: searched(cell, options), options.keep if options.test else None
            )
        except UnansweredError:
            unanswered += 1
    document: dict[str, Any] = {
        "rows": len(rows),
        "unanswered": unanswered,
        "few_shot": summary(rows, "few_shot"),
    }
    if options.test:
        document |= {"test": summary(rows)}
        document["over combine"] = {
            name: {scorings: asdict(points) for scorings, points in by_scorings.items()}
            for name, by_scorings in over_combine(rows).items()
        }
    print_document(document, options)


if __name__ == "__main__":
    main()

"""Recorded runs: the same requests to the byte, the same positions and results; see ``record_runs``."""

from __future__ import annotations

import asyncio
import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest

from promptclimb import SearchConfig, search
from promptclimb.agent.llm.chat import ChatAnswer, ChatRequest
from promptclimb.agent.search import restart
from promptclimb.agent.store.run import Store
from tests.agent.search.record_runs import RECORDINGS, RUNS, SHOWN
from tests.fakes.clock import run_virtual
from tests.fakes.stored import answers

ON_WORDS = [name for name, recording in RECORDINGS.items() if recording.words is not None]
ON_PICTURES = [name for name in RECORDINGS if name not in ON_WORDS]


@pytest.fixture(autouse=True)
def few_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """As few candidates and rounds are shown as in the recorded runs."""
    for name, number in SHOWN.items():
        monkeypatch.setattr(restart, name, number)


class Recorded:
    """A chat that knows the recorded requests and no others."""

    def __init__(self, turns: list[dict[str, Any]]) -> None:
        self._turns = {turn["request"]: turn for turn in turns}

    async def chat(self, request: ChatRequest) -> ChatAnswer:
        turn = self._turns[request.hash]
        assert list(request.messages) == turn["messages"]
        assert (request.temperature, request.max_tokens, request.seed) == (
            turn["temperature"],
            turn["max_tokens"],
            turn["seed"],
        )
        return ChatAnswer(text=turn["answer"])


def read(name: str) -> dict[str, Any]:
    """A recorded run."""
    document: dict[str, Any] = json.loads((RUNS / f"{name}.json").read_text("utf-8"))
    return document


def check(run: dict[str, Any], run_dir: Path, result: Any) -> None:
    """Everything that was recorded is so again."""
    with Store.open(run_dir) as store:
        now = [
            [list(position), stored.request_hash, stored.answer.text]
            for position, stored in answers(store).items()
        ]
    assert now == [[turn["position"], turn["request"], turn["answer"]] for turn in run["turns"]]
    leaderboard = cells((run_dir / "leaderboard.csv").read_text("utf-8"))
    assert leaderboard == [
        pytest.approx(cell, abs=2e-6) if isinstance(cell, float) else cell
        for cell in cells(run["leaderboard"])
    ]
    document = result.to_json()
    assert (document["rejected"], document["best"], document["texts"]) == (
        run["rejected"],
        run["best"],
        run["texts"],
    )


def cells(leaderboard: str) -> list[float | str]:
    """All cells, fractions as numbers: on another processor their last digit may be another."""
    rows = csv.reader(leaderboard.splitlines())
    return [
        float(cell) if re.fullmatch(r"-?\d+\.\d+", cell) else cell for row in rows for cell in [*row, "\n"]
    ]


def config_of(run: dict[str, Any], run_dir: Path) -> SearchConfig:
    """The recorded run's config."""
    return SearchConfig(**run["config"], run_dir=run_dir)


@pytest.mark.parametrize("name", ON_WORDS)
def test_a_run_is_what_it_was(tmp_path: Path, name: str) -> None:
    """Requests, positions, answers and leaderboard of every method are those of the recorded run."""
    run = read(name)
    evaluator = RECORDINGS[name].evaluator
    chat = Recorded(run["turns"]) if run["turns"] else None
    result = run_virtual(search(config_of(run, tmp_path / "run"), custom_scorer=evaluator, chat=chat))
    check(run, tmp_path / "run", result)


@pytest.mark.slow
@pytest.mark.parametrize("name", ON_PICTURES)
def test_a_run_on_pictures_is_what_it_was(tmp_path: Path, name: str) -> None:
    """The same with a bundled CLIP and pictures in place of words."""
    run = read(name)
    result = asyncio.run(search(config_of(run, tmp_path / "run"), chat=Recorded(run["turns"])))
    check(run, tmp_path / "run", result)

"""A second prompt kind, registered by this test alone, goes through a whole search and its files."""

from __future__ import annotations

import csv
import html
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from promptclimb import SearchConfig, search
from promptclimb.agent.llm.chat import ChatAnswer, ChatRequest
from promptclimb.agent.results.exports import export
from promptclimb.agent.results.run_dir import read_result
from promptclimb.evaluator.errors import ConfigError
from promptclimb.prompts.kinds import (
    KINDS,
    Candidate,
    CandidateError,
    KindWords,
    PromptKind,
    Proposals,
    RefusedLine,
)
from promptclimb.prompts.requests import SCALES
from promptclimb.prompts.wording import Wordings, built_in
from tests.fakes.clock import run_virtual, virtual_sleep
from tests.fakes.evaluators import FakeEvaluator
from tests.fakes.searches import searched

STARTING = ("in fog", "at night", "on a table", "of wood", "seen from above", "in the rain")
NEW = ("by candlelight", "under water", "in a garden", "on a wall", "made of ice", "in a mirror")


@dataclass(frozen=True)
class Phrase:
    """A few words that stand behind the class name."""

    text: str

    @property
    def key(self) -> str:
        return self.text.casefold()

    @property
    def scored_as(self) -> str:
        return f"a photo of a {{}} {self.text}"


class Phrases(PromptKind):
    """Search for phrases."""

    name, example, fillers = "phrase", "in fog", ("in ink", "in chalk", "on paper")
    words = KindWords(
        noun="phrase",
        intro="A phrase stands behind the name of a class.",
        goals=dict.fromkeys(SCALES, "Look for the best phrase."),
        rule="every phrase is a few words without braces",
        unreadable="No phrase could be read.",
    )

    @property
    def wordings(self) -> Wordings:
        ours = built_in()
        own = {"rich.task": "Find phrases. $goal", "rich.form": "At most $max_words words."}
        return replace(ours, texts={**ours.texts, **own})

    def parse(self, raw: str, *, max_words: int | None) -> Phrase:
        text = raw.strip()
        if not re.fullmatch(r"[\w ]+", text):
            raise CandidateError("not_words", "it is not a phrase of words")
        if max_words is not None and len(text.split()) > max_words:
            raise CandidateError("too_many_words", "it is too long")
        return Phrase(text)

    def read(self, answer: str) -> Proposals:
        phrase_by_key: dict[str, Phrase] = {}
        refused = []
        for line in (line[2:] for line in answer.splitlines() if line.startswith("- ")):
            try:
                phrase = self.parse(line, max_words=self.max_words)
                phrase_by_key.setdefault(phrase.key, phrase)
            except CandidateError as error:
                refused.append(RefusedLine(line, error.reason, str(error)))
        return Proposals(tuple(phrase_by_key.values()), tuple(refused))

    def starting(self, pool: str) -> Sequence[Sequence[Sequence[Candidate]]]:
        return [[[Phrase(text) for text in STARTING]]]


KIND = Phrases()


class Chat:
    """Proposes two new phrases an answer, and a line that is not a phrase."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def chat(self, request: ChatRequest) -> ChatAnswer:
        self.asked.append("\n".join(str(message["content"]) for message in request.messages))
        await virtual_sleep(1)
        index = 2 * (len(self.asked) - 1)
        first, second = NEW[index % len(NEW)], NEW[(index + 1) % len(NEW)]
        return ChatAnswer(text=f"Sure:\n- {first}\n- {second}\n- a photo of a {{}}")


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one line that a kind needs."""
    monkeypatch.setitem(KINDS, "phrase", __name__)


def config(run_dir: Path, **more: Any) -> SearchConfig:
    """A small search for phrases."""
    settings: dict[str, Any] = {
        "data": "fake", "search_for": "phrase", "restarts": 1, "conversations": 1, "rounds": 3, "initial": 4,
        "proposals": 2, "run_dir": run_dir,
    } | more  # fmt: skip
    return SearchConfig(**settings)


def shown(text: str) -> str:
    """A phrase as the scorer gets it."""
    return f"a photo of a {{}} {text}"


@pytest.mark.parametrize("method", ["guided", "pn", "p", "ape", "opro"])
def test_a_second_kind_is_searched_for(tmp_path: Path, method: str) -> None:
    """Requests, ranking, result and leaderboard hold phrases; the scorer gets templates made of them."""
    evaluator, chat = FakeEvaluator(), Chat()
    result = searched(config(tmp_path / "r", method=method, llm="m"), chat=chat, evaluator=evaluator)
    assert (result.status, result.prompts, len(chat.asked)) == ("finished", "phrase", 3)
    texts = {row.template for row in result.leaderboard}
    assert set(NEW) <= texts <= {*NEW, *STARTING}
    assert result.best.template in texts
    assert result.rejected == {"not_words": 3}
    scored = {template for batch in evaluator.batches for template in batch}
    assert {shown(text) for text in texts} <= scored
    assert not texts & scored
    assert ("Find phrases." if method == "guided" else "phrase") in chat.asked[0]
    assert method == "guided" or "template" not in chat.asked[0]
    assert any(f"- {text}" in chat.asked[0] for text in STARTING)


@pytest.mark.parametrize("method", ["random", "combine"])
def test_methods_without_an_llm_change_its_words(tmp_path: Path, method: str) -> None:
    """They know a candidate by its text and its slot, if it has one."""
    settings = config(tmp_path / "r", method=method, describe="tally marks drawn with chalk")
    result = run_virtual(search(settings, custom_scorer=FakeEvaluator()))
    texts = {row.template for row in result.leaderboard}
    assert len(texts - set(STARTING)) >= 2
    assert not any("{" in text for text in texts)


def test_its_files_hold_phrases_and_what_other_tools_read(tmp_path: Path) -> None:
    """The leaderboard and the page list phrases; templates.json, exports and copied code hold templates."""
    folder = tmp_path / "r"
    searched(config(folder, method="pn", llm="m"), chat=Chat())
    result = read_result(folder)
    templates = list(result.scored_as(*result.texts.templates))
    assert json.loads((folder / "templates.json").read_text()) == templates
    rows = list(csv.DictReader((folder / "leaderboard.csv").read_text().splitlines()))
    assert [row["template"] for row in rows] == [row.template for row in result.leaderboard]
    page = (folder / "report.html").read_text()
    assert result.best.template in page
    assert html.escape(templates[0]) in page
    assert json.loads(export(folder, "open-clip", only="texts").read_text()) == templates
    assert json.loads(export(folder, "clip-benchmark", only="best").read_text()) == [
        shown(result.best.template).replace("{}", "{c}")
    ]


def test_a_file_of_its_candidates_is_read_by_the_kind(tmp_path: Path) -> None:
    """Messages speak of phrases."""
    file = tmp_path / "own.txt"
    file.write_text("in neon light\nin a box\n")
    settings = config(tmp_path / "r", method="random", rounds=1, initial=file)
    result = run_virtual(search(settings, custom_scorer=FakeEvaluator()))
    assert {"in neon light", "in a box"} <= {row.template for row in result.leaderboard}
    file.write_text("in neon light\na photo of a {}\n")
    with pytest.raises(
        ConfigError, match="line 2: it is not a phrase of words; a phrase looks like this: in fog"
    ):
        run_virtual(
            search(config(tmp_path / "s", method="random", initial=file), custom_scorer=FakeEvaluator())
        )


def test_a_kind_that_is_not_registered_is_refused(tmp_path: Path) -> None:
    """With the names that there are."""
    with pytest.raises(ConfigError, match="unknown kind of prompt; did you mean phrase"):
        config(tmp_path / "r", method="random", search_for="phrases")

"""A whole search for instructions, with a model that answers in words by a rule."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from promptclimb import SearchConfig, evaluate, search
from promptclimb.agent.llm.chat import ChatAnswer, ChatRequest
from promptclimb.agent.methods.registry import METHODS
from promptclimb.agent.results.exports import export, export_all
from promptclimb.agent.results.result import SearchResult
from promptclimb.agent.results.run_dir import read_result
from promptclimb.evaluator.errors import ConfigError, UsageError
from promptclimb.evaluator.scoring import DEFAULT_INSTRUCTION
from promptclimb.evaluator.spec import EvaluatorSpec
from promptclimb.prompts.instruction import DEFAULT, KIND, SLOT
from promptclimb.prompts.starting import parse_file
from tests.fakes.answering_box import NAMES, NOISE, AnsweringBox
from tests.fakes.clock import run_virtual, virtual_sleep
from tests.fakes.searches import resumed, searched

BEST = r"Look at the ears. \n {classes} \n Answer with the number only."
ANSWERS = (
    "- Which animal is it: {classes}? Say it.\n- Look at the fur, then choose from [CLASSES].",
    f"1. {BEST}\n2. Two lists: {{classes}} and {{classes}}",
    "- <script>alert(1)</script> one of {classes}\n- {0} %s {classes}\n- " + "x" * 10_000,
    "I cannot help with that.",
)


class Chat:
    """Gives the answers in turn."""

    def __init__(self, answers: Sequence[str] = ANSWERS) -> None:
        self.asked: list[str] = []
        self._answers = answers

    async def chat(self, request: ChatRequest) -> ChatAnswer:
        self.asked.append("\n".join(str(message["content"]) for message in request.messages))
        await virtual_sleep(1)
        return ChatAnswer(text=self._answers[(len(self.asked) - 1) % len(self._answers)])


def config(run_dir: Path, **more: Any) -> SearchConfig:
    """A small search for instructions."""
    settings: dict[str, Any] = {
        "data": "animals", "search_for": "instruction", "restarts": 1, "conversations": 1, "rounds": 4,
        "initial": 8, "proposals": 3, "run_dir": run_dir, "llm": "gpt-4o",
    } | more  # fmt: skip
    return SearchConfig(**settings)


def searched_in(run_dir: Path, chat: Chat | None = None, **more: Any) -> SearchResult:
    """The result of such a search."""
    return searched(config(run_dir, **more), chat=chat or Chat(), evaluator=AnsweringBox())


def files(folder: Path) -> Mapping[str, bytes]:
    """Those of a result that do not hold a time."""
    return {name: (folder / name).read_bytes() for name in ("leaderboard.csv", "templates.json")}


@pytest.mark.parametrize("method", METHODS)
def test_every_method_searches_for_instructions(tmp_path: Path, method: str) -> None:
    """Requests, scores and result hold instructions; the best one is not averaged."""
    chat, box = Chat(), AnsweringBox()
    settings = config(tmp_path / "r", method=method, describe="animals, whose ears differ")
    result = searched(settings, chat=chat, evaluator=box)
    assert (result.status, result.prompts) == ("finished", "instruction")
    assert all(text.count(SLOT) == 1 for text in box.scored)
    assert len(result.leaderboard) > 8
    assert bool(chat.asked) == METHODS[method].asks_llm
    if chat.asked:
        assert METHODS[method].mixed or BEST in {row.template for row in result.leaderboard}
        assert "instruction" in chat.asked[0]
        assert "template" not in "".join(chat.asked)
    assert result.texts.templates in ((result.best.template,), (DEFAULT,))
    assert result.best.test is not None
    assert result.baselines["default template"].templates == (DEFAULT,)
    assert KIND.parse_scored(DEFAULT_INSTRUCTION).text == DEFAULT


def test_guided_finds_what_helps_and_refuses_what_is_unusable(tmp_path: Path) -> None:
    """Whatever else an LLM writes is refused with a reason."""
    chat = Chat()
    result = searched_in(tmp_path / "r", chat, method="guided")
    assert result.best.template == BEST
    assert result.recommended.over["default template"].sign > 0
    assert {"several_slots", "stray_brace", "too_long"} <= result.rejected.keys()
    assert "The classes are: bat, sea lion, lion, dog." in chat.asked[0]
    assert r"exactly once" in chat.asked[0]
    fed_back = [line for asked in chat.asked for line in asked.splitlines() if "named no class" in line]
    assert all(repr(" ".join(NOISE.split())) in line for line in fed_back)


def test_unreadable_answers_of_the_best_one_are_shown_to_the_llm(tmp_path: Path) -> None:
    """With their share, on one line, beside the confusions."""
    own = tmp_path / "own.txt"
    own.write_text("Look at the ears: {classes}.\nThe background of {classes}.\n")
    chat = Chat(["- What of {classes}?"])
    searched_in(tmp_path / "r", chat, method="guided", initial=own, rounds=2)
    (line,) = [line for line in chat.asked[1].splitlines() if "named no class" in line]
    assert line.endswith("for example: " + "; ".join([repr(" ".join(NOISE.split()))] * 3) + ".")
    assert "is most often taken for" in chat.asked[1]
    note = read_result(tmp_path / "r").notes["unreadable_answers"]
    assert re.fullmatch(r"[\d.]+ % of the answers to the best instruction on train name no class, .*", note)
    page = (tmp_path / "r" / "report.html").read_text()
    assert "<b>animal</b>" not in page
    blind = Chat(["- What of {classes}?"])
    searched_in(tmp_path / "blind", blind, method="guided", initial=own, rounds=2, blind=True)
    assert "named no class; for example: (not shown)." in blind.asked[1]
    assert not any(name in "".join(blind.asked) for name in NAMES)


def test_exports_hold_the_instruction_and_load_back(tmp_path: Path) -> None:
    """As text; formats for templates are refused."""
    folder = tmp_path / "r"
    result = searched_in(folder)
    for file in (export(folder, "text"), folder / "templates.json"):
        assert [read.text for read in parse_file(file.read_text("utf-8"), file.name, KIND)] == [BEST]
    rows = list(csv.DictReader((folder / "leaderboard.csv").read_text().splitlines()))
    assert [row["template"] for row in rows] == [row.template for row in result.leaderboard]
    lines: list[str] = []
    names = {file.name for file in export_all(folder, out=tmp_path / "all", report=lines.append)}
    assert names == {"prompts.txt", "leaderboard.csv"}
    (line,) = lines
    assert line.startswith("left out: open-clip, clip-benchmark, cupl, safetensors, ")
    with pytest.raises(UsageError, match="`search_for = instruction`, so there are no templates"):
        export(folder, "open-clip")


def test_a_stopped_search_resumes_to_the_same_files(tmp_path: Path) -> None:
    """To the byte, with the requests that were missing."""
    searched_in(tmp_path / "whole")
    stopped = searched_in(tmp_path / "halves", max_calls=2)
    assert stopped.status == "stopped"
    chat = Chat(ANSWERS[2:])
    box = AnsweringBox()
    done = resumed(tmp_path / "halves", {"max_calls": 9}, chat=chat, evaluator=box)
    assert (done.status, len(chat.asked)) == ("finished", 2)
    assert files(tmp_path / "halves") == files(tmp_path / "whole")
    assert read_result(tmp_path / "halves").leaderboard == read_result(tmp_path / "whole").leaderboard


def test_a_function_is_scored_with_instructions_and_compared_with_the_default(tmp_path: Path) -> None:
    """It never sees a template."""
    seen: list[str] = []

    def score(instructions: Sequence[str]) -> list[float]:
        seen.extend(instructions)
        return [len(text) / 1000 for text in instructions]

    result = run_virtual(search(config(tmp_path / "r", method="random"), custom_scorer=score))
    assert result.baselines["default template"].templates == (DEFAULT,)
    assert KIND.parse_scored(DEFAULT_INSTRUCTION).text == DEFAULT
    assert all(text.count(SLOT) == 1 for text in seen)


def test_evaluate_scores_instructions_one_by_one(tmp_path: Path) -> None:
    """They are not averaged."""
    spec = EvaluatorSpec(data="animals")
    texts = [BEST, DEFAULT_INSTRUCTION]
    evaluation = evaluate(texts, spec, custom_scorer=AnsweringBox(), search_for="instruction")
    assert [row.template for row in evaluation.scores] == [KIND.parse_own(text).scored_as for text in texts]
    assert evaluation.ensemble is None
    assert evaluation.scores[0].accuracy is not None
    with pytest.raises(UsageError, match=r"is not an instruction: .* has no slot"):
        evaluate(["a photo of a cat"], spec, custom_scorer=AnsweringBox(), search_for="instruction")
    with pytest.raises(UsageError, match="`search_for = 'x'`: unknown kind of prompt; known are template"):
        evaluate(texts, spec, custom_scorer=AnsweringBox(), search_for="x")


@pytest.mark.parametrize(("prompts", "scorer"), [("instruction", "clip"), ("template", "chat")])
def test_a_scorer_that_takes_other_prompts_is_refused(tmp_path: Path, prompts: str, scorer: str) -> None:
    """With the option that fits."""
    settings: dict[str, Any] = {"method": "random"}
    if scorer == "chat":
        settings |= {"model": "some-vlm", "scorer_url": "http://127.0.0.1:9/v1"}
    with pytest.raises(ConfigError, match=r'add `scorer = "chat"`|give `search_for = "instruction"`'):
        run_virtual(
            search(SearchConfig(search_for=prompts, scorer=scorer, run_dir=tmp_path / "r", **settings))
        )

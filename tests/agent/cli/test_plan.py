"""What ``--dry-run`` promises is held against searches that do the most they can."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from promptclimb import SearchConfig, search
from promptclimb.agent.cli.expected import expected
from promptclimb.agent.cli.longest import LONGEST_NAME, LONGEST_WORD, longest_requests
from promptclimb.agent.cli.plan import plan, plan_of_suite
from promptclimb.agent.cli.rehearsal import Rehearsed
from promptclimb.agent.errors import UnusableAnswerError
from promptclimb.agent.llm.chat import ChatAnswer, ChatRequest
from promptclimb.agent.llm.pool import MORE_TOKENS
from promptclimb.agent.rates import TokenUsage
from promptclimb.evaluator.fakes import FakeEvaluator
from promptclimb.evaluator.scoring import Confusion, EvaluatorInfo, Score, Verdict
from promptclimb.prompts.requests import MOST_NAMES
from tests.fakes.clock import run_virtual

WORDS = 15
NAMES = tuple(f"{number:n>{LONGEST_NAME}d}" for number in range(MOST_NAMES))
CONFUSED = (Confusion(NAMES[0], NAMES[1], 1),) * 3
TELLING = "numerals carved on old stone walls, photographed from the side in low light"


def long_template(number: int) -> str:
    """A template as long as they get, with its number in it."""
    return " ".join([f"{number:0{LONGEST_WORD}d}"] * (WORDS - 1) + ["{}"])


class Rising(FakeEvaluator):
    """Of two numbered templates the later one is better; any other is as good as ``others`` says."""

    def __init__(self, *, others: float = 0.0) -> None:
        super().__init__()
        self._others = others

    @property
    def info(self) -> EvaluatorInfo:
        return replace(super().info, class_names=NAMES, classes=len(NAMES))

    def score(self, templates: Sequence[str]) -> list[Verdict]:
        """Score by the number."""
        return [Score(train=self._value(each), val=0.5, confused=CONFUSED) for each in templates]

    def _value(self, template: str) -> float:
        number = template.split()[0]
        return int(number) / 10_000 if number.isdigit() else self._others


class Winning:
    """Answers with templates that win, refused lines besides, and chatter up to the most tokens allowed.

    Args:
        thinks: Whether its first answer is used up by thinking, so that it is asked for longer ones.
    """

    def __init__(self, *, thinks: bool = False) -> None:
        self._numbers = itertools.count(1000)
        self._thinks = thinks

    async def chat(self, request: ChatRequest) -> ChatAnswer:
        """Bill the most that a request can cost."""
        if self._thinks and request.max_tokens < 512 * MORE_TOKENS:
            raise UnusableAnswerError("all was thinking", reason="length", usage=TokenUsage())
        lines = [long_template(next(self._numbers)) for _ in range(5)]
        lines += [f"{next(self._numbers)} " + "without a slot " * 12 for _ in range(10)]
        text = "".join(f"- {line}\n" for line in lines)
        return ChatAnswer(
            text=text + "and so on " * (4 * request.max_tokens // 10),
            prompt_tokens=request.prompt_tokens_at_most,
            completion_tokens=request.max_tokens,
        )


def config(tmp_path: Path, **more: Any) -> SearchConfig:
    """A search from initial templates that are as long as they get."""
    initial = tmp_path / "initial.txt"
    initial.write_text("".join(f"{long_template(number)}\n" for number in range(40)))
    values = {"data": "fake", "llm": "m", "restarts": 1, "initial": initial, "run_dir": tmp_path / "run"}
    return SearchConfig(**values | more)


@pytest.mark.parametrize("thinks", [False, True])
@pytest.mark.parametrize(
    "more",
    [
        *({"method": method} for method in ("pn", "p", "ape", "opro", "guided")),
        {"method": "guided", "describe": TELLING},
        {"method": "guided", "blind": True},
        {"method": "guided", "style": "rich", "top_k": 1, "max_turns": 3},
        {"method": "guided", "style": "short", "describe": TELLING},
        {"method": "guided", "style": "short"},
    ],
)
def test_no_search_takes_more_than_the_plan_says(tmp_path: Path, more: dict[str, Any], thinks: bool) -> None:
    """Nor does the plan say many times of what an endpoint that is asked for long answers can bill."""
    searched = config(tmp_path, **more)
    promised = plan(searched)
    result = run_virtual(search(searched, evaluator=Rising(), chat=Winning(thinks=thinks)))
    used = result.usage.prompt_tokens + result.usage.completion_tokens
    assert result.status == "finished"
    assert result.usage.calls - result.usage.failed_calls <= promised["calls"]
    assert used <= promised["tokens"]
    assert result.evaluated <= promised["evaluations"]
    if thinks and "describe" not in more:
        assert promised["tokens"] < 1.5 * used


def test_a_limit_on_calls_bounds_no_rounds_that_take_none(tmp_path: Path) -> None:
    """What a method makes itself is scored besides, alone and in a suite."""
    searched = config(tmp_path, method="guided", describe=TELLING, conversations=4, max_calls=3)
    result = run_virtual(search(searched, evaluator=Rising(others=0.9), chat=Winning()))
    assert result.usage.calls <= 3
    made = sum(row.conversation > 0 for row in result.leaderboard)
    assert made > 3 * searched.proposals
    assert result.evaluated <= plan(searched)["evaluations"] == plan_of_suite([searched])["evaluations"]


class RisingCheaply(Rising):
    """A score costs next to nothing, so that many are made beside a request."""

    @property
    def info(self) -> EvaluatorInfo:
        return replace(super().info, cheap=True)


@pytest.mark.parametrize("style", ["short", "rich"])
def test_what_is_scored_beside_requests_is_in_the_plan(style: str, tmp_path: Path) -> None:
    """Words of the description and of the answers: more than the rounds propose."""
    searched = config(tmp_path, method="guided", style=style, describe="numbers on old stone")
    result = run_virtual(search(searched, evaluator=RisingCheaply(), chat=Winning()))
    asked = searched.all_rounds * searched.proposals + 40
    assert asked < result.evaluated <= plan(searched)["evaluations"]
    assert plan(searched.model_copy(update={"method": "combine"}))["evaluations"] == asked


def test_a_plan_knows_how_the_llm_is_asked(tmp_path: Path) -> None:
    """Short requests, a conversation, one that tells no names, wordings of one's own: each its own bound."""
    wordings = tmp_path / "wordings.toml"
    wordings.write_text(f'[rich]\nnothing = "{"x" * 30}"\nbest_so_far = "{"x" * 3000}"\n')
    short, rich = {"style": "short"}, {"style": "rich"}
    ways = (short, {**rich, "blind": True}, rich, {"wordings": wordings})
    found = [max(longest_requests(config(tmp_path, **more))) for more in ways]
    assert found == sorted(set(found))
    assert max(longest_requests(config(tmp_path))) == found[2]
    assert max(longest_requests(config(tmp_path, llm="qwen-1.5b"))) == found[0]
    described = max(longest_requests(config(tmp_path, style="rich", describe="w " * 900)))
    assert described > found[2]


class Usual:
    """Answers with templates as long as the recorded ones, and bills what the texts have."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1000)

    async def chat(self, request: ChatRequest) -> ChatAnswer:
        """Bill a token for four characters."""
        lines = [f"- a faded picture of a {{}} by a lake {next(self._numbers)}\n" for _ in range(5)]
        characters = sum(len(str(message["content"])) for message in request.messages)
        return ChatAnswer(
            text="".join(lines), prompt_tokens=characters // 4, completion_tokens=len("".join(lines)) // 4
        )


@pytest.mark.parametrize(
    "more",
    [
        *({"method": method} for method in ("pn", "p", "ape", "opro", "guided")),
        {"method": "guided", "style": "rich"},
        {"method": "guided", "style": "short", "blind": True},
    ],
)
def test_what_is_expected_is_what_a_usual_search_takes(tmp_path: Path, more: dict[str, Any]) -> None:
    """Within a third, were every call made, and minutes as measured; the bound lies far above."""
    searched = config(tmp_path, **more, rounds=6).model_copy(update={"initial": 40})
    evaluator = Rising(others=0.9)
    usual = expected(searched, plan(searched), Rehearsed(evaluator.info, seconds=0.5))
    result = run_virtual(search(searched, evaluator=evaluator, chat=Usual()))
    used = result.usage.prompt_tokens + result.usage.completion_tokens
    used *= plan(searched)["calls"] / result.usage.calls  # a small model shares its rounds
    assert 0.67 * used < usual["tokens"] < 1.5 * used
    assert 2 * usual["tokens"] < plan(searched)["tokens"]
    assert usual["minutes"] == round(plan(searched)["evaluations"] / 120, 2)

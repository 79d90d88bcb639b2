"""The bound that ``--dry-run`` prints: no search exceeds it, whatever its LLM answers."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from promptclimb import SearchConfig
from promptclimb.agent.errors import UnusableAnswerError
from promptclimb.agent.llm.ask import MORE_TOKENS
from promptclimb.agent.llm.chat import ChatAnswer, ChatRequest
from promptclimb.agent.methods.base import Ask, Consult, SearchMethod, Steps, View, shown
from promptclimb.agent.methods.registry import METHODS
from promptclimb.agent.prices import TokenUsage
from promptclimb.agent.results.result import NOTHING_USABLE, UNASKED
from promptclimb.agent.search.bound import LONGEST_NAME, bound_of, check_one_request
from promptclimb.evaluator.errors import UsageError
from promptclimb.evaluator.scoring import Confusion, EvaluatorInfo, Predictions, Score, Verdict
from promptclimb.prompts.class_names import MOST_CLASSES, READ_AT_ONCE
from promptclimb.prompts.requests import MOST_NAMES
from promptclimb.prompts.template import MAX_CHARACTERS
from tests.fakes.evaluators import FakeEvaluator
from tests.fakes.naming_box import NamingBox
from tests.fakes.searches import searched

WORDS = 15
NAMES = tuple(f"{number:n>{LONGEST_NAME}d}" for number in range(MOST_NAMES))
CONFUSED = (Confusion(NAMES[0], NAMES[1], 1),) * 3
DESCRIPTION = "numerals carved on old stone walls, photographed from the side in low light"


def long_template(number: int, letter: str = "x") -> str:
    """A template as long as they get, with its number in it."""
    words = " ".join([f"{number:04d}", *[letter * 30] * (WORDS - 2), "{}"])
    return words + letter * (MAX_CHARACTERS - len(words))


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
        letter: What its templates are made of.
    """

    def __init__(self, *, thinks: bool = False, letter: str = "x") -> None:
        self._numbers = itertools.count(1000)
        self._thinks = thinks
        self._letter = letter

    async def chat(self, request: ChatRequest) -> ChatAnswer:
        """Bill the most that a request can cost."""
        if self._thinks and request.max_tokens < 512 * MORE_TOKENS:
            raise UnusableAnswerError("all was thinking", reason="length", usage=TokenUsage())
        lines = [long_template(next(self._numbers), self._letter) for _ in range(5)]
        lines += [f"{next(self._numbers)} " + "without a slot " * 12 for _ in range(10)]
        text = "".join(f"- {line}\n" for line in lines)
        return ChatAnswer(
            text=text + "and so on " * (4 * request.max_tokens // 10),
            prompt_tokens=request.prompt_tokens,
            completion_tokens=request.max_tokens,
        )


def config(tmp_path: Path, **more: Any) -> SearchConfig:
    """A search from initial templates that are as long as they get."""
    initial = tmp_path / "initial.txt"
    initial.write_text("".join(f"{long_template(number)}\n" for number in range(40)))
    values = {
        "data": "fake", "llm": "m", "restarts": 1, "price": "1/2", "rounds": 4, "initial": initial,
        "run_dir": tmp_path / "run",
    }  # fmt: skip
    return SearchConfig(**values | more)


@pytest.mark.parametrize(
    "more",
    [
        *({"method": name} for name, method in METHODS.items() if method.asks_llm),
        {"method": "guided", "describe": DESCRIPTION},
        {"method": "guided", "blind": True},
        {"method": "guided", "llm": "m-1b", "describe": DESCRIPTION},
        {"method": "guided", "llm": "m-1b"},
        {"method": "pn", "conversations": 3, "rounds": 12, "proposals": 9},
    ],
)
def test_no_search_exceeds_the_bound(tmp_path: Path, more: dict[str, Any]) -> None:
    """The LLM thinks, so every answer after the first may be as long as any."""
    run_config = config(tmp_path, **more)
    bound = bound_of(run_config, NAMES)
    result = searched(run_config, chat=Winning(thinks=True), evaluator=Rising())
    used = result.usage.prompt_tokens + result.usage.completion_tokens
    assert result.status == "finished"
    assert result.usage.calls - result.usage.failed_calls <= bound.calls
    assert used <= bound.tokens <= bound_of(run_config).tokens
    assert result.usage.cost_usd <= bound.cost_usd
    assert result.evaluated <= bound.evaluations


def _criticize(view: View) -> Steps:
    """A method of two requests a round: it asks for a critique of the best candidates, then for others."""
    while True:
        best = "\n".join(outcome.text for outcome in shown(view.memory.best(view.top_k)))
        critique = yield Consult([{"role": "user", "content": f"What do these lack?\n{best}"}])
        yield Ask([{"role": "user", "content": f"{best}\n{critique.text}\nWrite better ones."}])


def test_a_method_of_two_requests_a_round_is_bounded_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it declares them: the bound names no method."""
    monkeypatch.setitem(
        METHODS, "critique", SearchMethod(summary="criticizes", conversation=_criticize, requests=2)
    )
    run_config = config(tmp_path, method="critique")
    bound = bound_of(run_config, NAMES)
    assert bound.calls == 2 * run_config.all_rounds
    result = searched(run_config, chat=Winning(), evaluator=Rising())
    used = result.usage.prompt_tokens + result.usage.completion_tokens
    assert result.usage.calls == bound.calls
    assert used <= bound.tokens


@pytest.mark.parametrize("letter", ["\u732b", "\U00020000"])
@pytest.mark.parametrize("where", ["description", "class names", "starting templates"])
def test_other_scripts_take_more_tokens(where: str, letter: str, tmp_path: Path) -> None:
    """Where the user's own texts are not ASCII the LLM may answer likewise, in letters of any width."""
    names = tuple(name.replace("0", letter) for name in NAMES) if where == "class names" else NAMES
    more = {"describe": letter * 40} if where == "description" else {}
    run_config = config(tmp_path, method="pn" if where == "starting templates" else "guided", **more)
    if where == "starting templates":
        (tmp_path / "initial.txt").write_text(
            "".join(f"{long_template(number, letter)}\n" for number in range(40))
        )

    class Known(Rising):
        @property
        def info(self) -> EvaluatorInfo:
            return replace(super().info, class_names=names)

    result = searched(run_config, chat=Winning(letter=letter), evaluator=Known())
    used = result.usage.prompt_tokens + result.usage.completion_tokens
    assert used <= bound_of(run_config, names).tokens


def test_a_limit_on_calls_bounds_no_rounds_that_take_none(tmp_path: Path) -> None:
    """What a method makes itself is scored besides, alone and in a suite."""
    run_config = config(
        tmp_path, method="guided", llm="m-1b", describe=DESCRIPTION, conversations=4, max_calls=3
    )
    result = searched(run_config, chat=Winning(), evaluator=Rising(others=0.9))
    assert result.usage.calls <= 3
    made = sum(row.conversation > 0 for row in result.leaderboard)
    assert made > 3 * run_config.proposals
    bound = bound_of(run_config)
    assert result.evaluated <= bound.evaluations


class RisingCheaply(Rising):
    """A score costs next to nothing, so that many are made beside a request."""

    @property
    def info(self) -> EvaluatorInfo:
        return replace(super().info, cheap=True)


@pytest.mark.parametrize("llm", ["m-1b", "m"])
def test_free_candidates_are_in_the_bound(llm: str, tmp_path: Path) -> None:
    """Words of the description and of the answers are scored besides what the rounds propose."""
    run_config = config(tmp_path, method="guided", llm=llm, describe="numbers on old stone")
    result = searched(run_config, chat=Winning(), evaluator=RisingCheaply())
    asked = run_config.all_rounds * run_config.proposals + 40
    assert asked < result.evaluated <= bound_of(run_config).evaluations
    assert bound_of(run_config.model_copy(update={"method": "combine"})).evaluations == asked


@pytest.mark.parametrize(
    ("llm", "count", "requests"),
    [
        ("m", READ_AT_ONCE + 1, 2 + 4),
        pytest.param("m", MOST_CLASSES, 2 + 4, marks=pytest.mark.slow),
        ("m-1b", 5, 5 + 4 * 5),
    ],
)
def test_requests_for_names_in_wide_letters_are_bounded(
    llm: str, count: int, requests: int, tmp_path: Path
) -> None:
    """Such names take several times as many tokens; later requests list those that were tried."""
    classes = tuple(f"{chr(0x732B + number)}".rjust(20 + number, "\u754c") for number in range(count))
    asked: list[ChatRequest] = []

    class Wide:
        async def chat(self, request: ChatRequest) -> ChatAnswer:
            asked.append(request)
            new = [chr(0x20000 + 9 * len(asked) + n) * 99 for n in range(4)]
            lines = (f"{name}: {other}" for name in classes for other in new)
            return ChatAnswer(text="\n".join(lines if llm == "m" else new))

    class Reads(NamingBox):
        def predict_named(
            self, template: str, renamings: Sequence[Mapping[int, str]], *, split: str
        ) -> Predictions:
            return super().predict_named(template, [{} for _ in renamings], split=split)

    run_config = config(tmp_path, method="random", search_for="class-names", llm=llm, initial=4)
    searched(run_config, chat=Wide(), evaluator=Reads(classes))
    bound = bound_of(run_config, classes)
    assert bound.calls == requests >= len(asked)
    of_answers = requests * MORE_TOKENS * run_config.answer_tokens
    longest = max(request.prompt_tokens for request in asked)
    assert requests * longest <= bound.tokens - of_answers


def test_english_sentences_around_other_scripts_take_no_more_tokens(tmp_path: Path) -> None:
    """Only the names themselves do: a class name of one letter does not make a whole request wide."""
    ours = config(tmp_path, method="random", search_for="class-names", initial=4)
    english, chinese = (
        bound_of(ours.model_copy(update={"shots": 0}), names).tokens for names in ("abc", "猫狗鸟")
    )
    assert english < chinese <= english + 2 * 3 * 3


@pytest.mark.parametrize("method", [name for name, method in METHODS.items() if method.asks_llm])
def test_a_limit_without_room_for_one_answer_is_refused_before_the_search(
    method: str, tmp_path: Path
) -> None:
    """With what the answer may take; nothing is left behind."""
    searched_for = config(tmp_path, method=method, answer_tokens=400)
    check_one_request(searched_for.model_copy(update={"max_tokens": 400, "max_cost": 0.0008}))
    with pytest.raises(UsageError, match=r"`max_tokens = 399` must be at least 400: .*`answer_tokens = N`"):
        searched(searched_for.model_copy(update={"max_tokens": 399}), chat=Winning())
    assert not (tmp_path / "run").exists()
    with pytest.raises(UsageError, match=r"`max_cost = 0.0007` must be at least 0.000800"):
        check_one_request(searched_for.model_copy(update={"max_cost": 0.0007}))


def test_a_search_whose_limit_allowed_no_request_says_that_the_llm_was_not_asked(tmp_path: Path) -> None:
    """It does not blame the LLM."""
    limited = config(tmp_path, method="pn", max_tokens=600)
    stopped = searched(limited, chat=Winning(), evaluator=FakeEvaluator())
    assert (stopped.status, stopped.limits, NOTHING_USABLE in stopped.notes) == (
        "stopped",
        ("tokens",),
        False,
    )
    assert stopped.notes[UNASKED] == "the limit ended the search before the LLM was asked; raise it"
    assert stopped.stop_reason == "the next request may exceed the limit of 600 tokens"

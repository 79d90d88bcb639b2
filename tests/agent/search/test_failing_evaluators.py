"""Evaluators that fail: what ends a run, what it survives, and that no template is blamed for the scorer."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from promptclimb import SearchResult
from promptclimb.agent.config.schema import SearchConfig
from promptclimb.agent.errors import EvaluationFailedError
from promptclimb.agent.search.opening import RunRequest
from promptclimb.agent.search.run import start_run
from promptclimb.evaluator.errors import ConfigError, PromptclimbError
from promptclimb.evaluator.scoring import Rejection, SplitScores, Verdict
from tests.fakes.chat_by_hash import ChatByHash
from tests.fakes.clock import run_virtual
from tests.fakes.evaluators import FakeEvaluator
from tests.fakes.searches import resumed, searched


class Device(FakeEvaluator):
    """Words on a device that may be lost, or chokes on a word.

    Args:
        chokes_on: Templates with this word make every batch that they are in fail.
        lost_after: Batches after which nothing works any more.
    """

    def __init__(self, *, chokes_on: str = "no such word", lost_after: int = 10**9) -> None:
        super().__init__(before_batch=self._check)
        self._chokes_on, self._lost_after = chokes_on, lost_after

    def _check(self, templates: Sequence[str]) -> None:
        if len(self.batches) > self._lost_after:
            raise RuntimeError("device lost")
        if any(self._chokes_on in template.split() for template in templates):
            raise RuntimeError("illegal instruction")


def config(run_dir: Path) -> SearchConfig:
    """A small search."""
    settings = {"restarts": 2, "conversations": 1, "rounds": 4, "initial": 20, "concurrency": 2}
    return SearchConfig(data="fake", llm="fake", run_dir=run_dir, **settings)


def run(run_dir: Path, evaluator: FakeEvaluator) -> SearchResult:
    """Searches from the start."""
    return searched(config(run_dir), evaluator=evaluator)


def test_a_template_that_crashes_the_evaluator_is_refused_and_the_run_goes_on(tmp_path: Path) -> None:
    """It is counted under a reason of its own, and no template is scored that holds the word."""
    result = run(tmp_path / "r", Device(chokes_on="photo"))
    assert result.status == "finished"
    assert result.rejected["scorer_failed"] > 0
    assert not [row for row in result.leaderboard if "photo" in row.template.split()]


def test_a_run_with_crashing_templates_is_resumed_as_it_was(tmp_path: Path) -> None:
    """What crashed is not tried again, and the LLM was told the same: the results are equal."""
    whole = run(tmp_path / "whole", Device(chokes_on="photo"))
    searched(config(tmp_path / "r").model_copy(update={"max_calls": 3}), evaluator=Device(chokes_on="photo"))
    device = Device(chokes_on="photo")
    again = resumed(tmp_path / "r", {"max_calls": 10**6}, evaluator=device)
    assert again.leaderboard == whole.leaderboard
    assert again.rejected == whole.rejected


def test_a_lost_device_ends_the_run_and_poisons_nothing(tmp_path: Path) -> None:
    """With the device back, the run goes on to the very result that it would have had."""
    whole = run(tmp_path / "whole", Device())
    with pytest.raises(EvaluationFailedError, match="device lost"):
        run(tmp_path / "r", Device(lost_after=4))
    again = resumed(tmp_path / "r", evaluator=Device())
    assert again.leaderboard == whole.leaderboard
    assert again.rejected == whole.rejected


def test_an_evaluator_that_only_says_nan_is_said_to(tmp_path: Path) -> None:
    """The scorer is to blame, not the starting templates."""

    class Nothing:
        def score(self, templates: Sequence[str]) -> list[float]:
            return [float("nan")] * len(templates)

    with pytest.raises(EvaluationFailedError, match=r"answered nan .* for all 20 starting templates"):
        searched(config(tmp_path / "r"), evaluator=Nothing())


class Leaky(FakeEvaluator):
    """Names a key in all that it says, as the error of a remote model may."""

    def __init__(self) -> None:
        super().__init__()
        self._info = replace(self._info, notes={"asked with": KEY})

    def score(self, templates: Sequence[str]) -> list[Verdict]:
        """Fails on one word, and refuses a template with another."""
        if any("beautiful" in template for template in templates):
            raise RuntimeError(f"401 for {KEY}")
        verdicts = super().score(templates)
        rejection = Rejection("too_long", f"refused by {KEY}")
        return [
            rejection if "small" in template else verdict
            for template, verdict in zip(templates, verdicts, strict=True)
        ]


KEY = "plainlongkey123456"


@pytest.mark.parametrize("method", ["random", "pn"])
def test_a_key_that_an_evaluator_says_is_written_nowhere(tmp_path: Path, method: str) -> None:
    """Neither in the store nor in any file of a result, whether or not an endpoint knows the key."""
    config = SearchConfig(
        data="fake", llm="fake", method=method, restarts=1, conversations=1, rounds=1, initial=300,
        run_dir=tmp_path / "run",
    )  # fmt: skip
    request = RunRequest(
        config=config,
        evaluator=Leaky(),
        chat=ChatByHash() if method == "pn" else None,
        environment={"SOME_API_KEY": KEY},
    )
    result = run_virtual(start_run(request))
    assert result.rejected["scorer_failed"] > 0
    assert result.rejected["too_long"] > 0
    assert result.notes["asked with"] == "[secret]"
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert len(files) > 4
    assert not [path.name for path in files if KEY.encode() in path.read_bytes()]


class Odd(FakeEvaluator):
    """Answers as it should but for one method, to which it answers what it is told."""

    def __init__(self, **answers: Any) -> None:
        super().__init__()
        self._answers = answers

    def _or(self, method: str, answer: Any) -> Any:
        wrong = self._answers.get(method, answer)
        if isinstance(wrong, BaseException):
            raise wrong
        return wrong(answer) if callable(wrong) else wrong

    def score(self, templates: Sequence[str]) -> Any:
        """Score, or answer what it is told."""
        return self._or("score", super().score(templates))

    def examine(self, ensembles: Sequence[Sequence[str]], *, test: bool = True) -> Any:
        """Examine, or answer what it is told."""
        return self._or("examine", super().examine(ensembles, test=test))


@pytest.mark.parametrize(
    "answer",
    [
        None,
        lambda answers: answers[:-1],
        lambda answers: [SplitScores(math.nan, math.nan, math.nan) for _ in answers],
        asyncio.CancelledError(),
        OSError("caf\udcff is torn"),
    ],
)
def test_a_wrong_answer_at_the_very_end_ends_the_run(tmp_path: Path, answer: Any) -> None:
    """Whatever examine does, the error says whose method it was; resume finishes the run."""
    with pytest.raises(PromptclimbError, match=r"Odd\.examine"):
        run(tmp_path / "r", Odd(examine=answer))
    assert not (tmp_path / "r" / "result.json").exists()
    done = resumed(tmp_path / "r", evaluator=Device())
    assert done.complete
    assert done.best.test is not None


@pytest.mark.parametrize("answer", [None, lambda answers: [None for _ in answers], SystemExit(0)])
def test_invalid_scores_end_the_run_in_the_name_of_the_users_class(tmp_path: Path, answer: Any) -> None:
    """What it answered is said, and the run continues with one that scores."""
    with pytest.raises(EvaluationFailedError, match=r"Odd\.score|the scorer asked to leave"):
        run(tmp_path / "r", Odd(score=answer))
    done = resumed(tmp_path / "r", evaluator=Device())
    assert done.complete


def test_an_evaluator_that_cannot_be_used_leaves_no_run(tmp_path: Path) -> None:
    """It is refused before anything is begun, in the name of its class."""
    evaluator = Odd()
    evaluator._info = replace(evaluator._info, sizes={"train": "x"})
    with pytest.raises(ConfigError, match=r"Odd.*info"):
        run(tmp_path / "r", evaluator)
    assert not (tmp_path / "r").exists()

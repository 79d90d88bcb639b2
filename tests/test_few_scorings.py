"""The benchmark of few scorings: answers are read from a file, and test images are closed unless opened."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

import pytest

from benchmarks import few_scorings
from benchmarks.common import RESULTS, read_rows
from benchmarks.few_scorings import (
    COMBINE,
    GUIDED,
    Costly,
    RecordedChat,
    UnansweredError,
    over_combine,
    searched,
    summary,
)
from benchmarks.result_tables import over
from promptclimb.agent.errors import FatalChatError
from promptclimb.agent.llm.chat import ChatRequest
from promptclimb.evaluator.fakes import FakeEvaluator

REQUEST = ChatRequest(messages=({"role": "user", "content": "Write a template."},), model="m")


def test_a_request_without_an_answer_is_kept_until_somebody_fills_it_in(tmp_path: Path) -> None:
    """Once, with its messages; then the file answers it."""
    file = tmp_path / "answers.jsonl"
    for _ in range(2):
        chat = RecordedChat(file, None, "m")
        with pytest.raises(FatalChatError):
            chat.chat(REQUEST)
        assert chat.missing
    (line,) = map(json.loads, file.read_text("utf-8").splitlines())
    assert (line["answer"], line["messages"]) == (None, list(REQUEST.messages))
    file.write_text(json.dumps({"request": line["request"], "answer": "- a {}"}) + "\n", "utf-8")
    chat = RecordedChat(file, None, "m")
    assert chat.chat(REQUEST).text == "- a {}"
    assert not chat.missing


def test_scores_cost_and_test_images_are_closed_unless_asked_for() -> None:
    """The few-shot accuracy is of training and validation images together."""
    inner = FakeEvaluator()
    closed, opened = Costly(inner, test=False), Costly(inner, test=True)
    assert not opened.info.cheap
    assert (closed.info.sizes["test"], opened.info.sizes) == (0, inner.info.sizes)
    (accuracies,) = closed.examine([["a photo of a {}"]])
    assert accuracies is not None
    assert accuracies.test is None
    closed.score(["a photo of a {}"])
    train, val = inner.info.sizes["train"], inner.info.sizes["val"]
    pooled = (train * accuracies.train + val * accuracies.val) / (train + val)
    assert closed.few_shot == [pytest.approx(pooled)]


def test_a_search_goes_on_once_its_requests_are_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An LLM that repeats itself brings fewer templates than wanted; the choice is then among all."""
    monkeypatch.setattr(few_scorings, "_opened", lambda *_: FakeEvaluator())
    file = tmp_path / "answers.jsonl"
    options = Namespace(
        answers=file, base_url=None, llm="by-hand", sets=None, pretrained="pico", scorings=(10, 20), test=True
    )
    cell = {"arm": GUIDED, "llm": "by-hand", "data": "displays", "shots": 16, "seed": 1, "model": "RN-pico"}
    for asked in range(2):
        with pytest.raises(UnansweredError):
            searched(cell, options)
        lines = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
        assert len(lines) == asked + 1
        file.write_text(
            "".join(json.dumps({**line, "answer": "- one {}\n- a two {}"}) + "\n" for line in lines)
        )
    row = searched(cell, options)
    assert set(row["tests"]) == set(row["templates"]) == set(row["few_shot"]) == {"10", "20"}
    assert row["tests"]["10"] == row["tests"]["20"]


def test_an_llm_is_compared_with_combine_on_the_same_set_and_seed() -> None:
    """Means over sets of means over seeds, in points."""
    rows = [
        {"arm": arm, "llm": llm, "data": data, "seed": seed, "model": "m", "tests": {"20": base + more}}
        for arm, llm, more in ((COMBINE, None, 0.0), (GUIDED, "strong", 0.02))
        for data, base in (("a", 0.5), ("b", 0.7))
        for seed in (1, 2)
    ]
    assert summary(rows) == {COMBINE: {"20": 60.0}, "guided (strong)": {"20": 62.0}}
    over = over_combine(rows)["guided (strong)"]["20"]
    assert over.mean == pytest.approx(2)
    assert over.interval == pytest.approx((2, 2))


@pytest.mark.parametrize(
    ("name", "arm"),
    [
        ("few-scorings-tags", "guided (strong)"),
        ("few-scorings-others", "guided (strong)"),
        ("few-scorings-bare", "guided (strong)"),
        ("few-scorings-bare", "OPRO, with description (strong)"),
        ("few-scorings-1shot", "OPRO, with description (strong)"),
    ],
)
def test_the_page_says_what_the_rows_of_sets_by_others_say(name: str, arm: str) -> None:
    """The difference at 20 scores with its interval; rows are of ten sets and three seeds."""
    rows = read_rows(RESULTS / f"{name}.jsonl")
    assert len({(row["data"], row["seed"]) for row in rows}) == 30
    points = over_combine(rows)[arm]["20"]
    assert over(points.mean, points.interval) in (RESULTS.parent / "results.md").read_text("utf-8")

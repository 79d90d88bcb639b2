"""A method declares itself, and everything else follows; what those of papers ask for."""

from __future__ import annotations

from pathlib import Path

import pytest

from promptclimb import SearchConfig, search
from promptclimb.agent.methods.base import Ask, Feedback, Propose, SearchMethod, Steps, View
from promptclimb.agent.methods.registry import METHODS, described
from promptclimb.agent.search.bound import bound_of
from promptclimb.evaluator.scoring import Objective
from promptclimb.prompts.requests import Outcome
from tests.fakes.clock import run_virtual
from tests.fakes.evaluators import FakeEvaluator
from tests.fakes.restart_view import add, falling, memory_of, view_of
from tests.fakes.study_outcomes import cells, study


def added(monkeypatch: pytest.MonkeyPatch, **declared: object) -> list[View]:
    """Register the method ``own``, and return the views that it gets."""
    views: list[View] = []

    def conversation(view: View) -> Steps:
        views.append(view)
        yield Propose([])

    method = SearchMethod(summary="of one's own", conversation=conversation, requests=0, **declared)  # type: ignore[arg-type]
    monkeypatch.setitem(METHODS, "own", method)
    return views


def config(tmp_path: Path, **more: object) -> SearchConfig:
    """A search by it."""
    return SearchConfig(
        data="fake", method="own", restarts=1, conversations=1, initial=6, run_dir=tmp_path / "r", **more
    )  # type: ignore[arg-type]


@pytest.mark.parametrize("uses", [True, False])
def test_a_method_gets_the_description_that_it_uses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uses: bool
) -> None:
    """In a search, in a study, in what is said about an unused or missing description; otherwise nothing."""
    views = added(monkeypatch, uses_description=uses)
    described_config = config(tmp_path, describe="throws of dice")
    run_virtual(search(described_config, custom_scorer=FakeEvaluator()))
    assert [view.description for view in views] == ["throws of dice" if uses else ""]
    assert (described_config.unused_description is None) == uses
    assert (config(tmp_path).description_tip is not None) == uses
    (cell,) = cells(study(data=["one"], seeds=[1], methods=["own"], describe={"one": "dice"}))
    assert cell.config.describe == ("dice" if uses else None)


@pytest.mark.parametrize("uses", [True, False])
def test_a_method_gets_the_class_names_that_it_uses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uses: bool
) -> None:
    """Others see none."""
    views, evaluator = added(monkeypatch, uses_class_names=uses), FakeEvaluator()
    run_virtual(search(config(tmp_path), custom_scorer=evaluator))
    assert [tuple(view.class_names) for view in views] == [evaluator.info.class_names if uses else ()]


def test_free_candidates_are_part_of_the_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as the method declares, where there is a description."""
    added(monkeypatch, uses_description=True, free_per_restart=7, free_per_round=2)
    without, described_plan = (
        bound_of(config(tmp_path, rounds=3, describe=text)).evaluations for text in (None, "dice")
    )
    assert described_plan - without == 7 + 3 * 2


TEXTS = [f"template number {number} of a {{}}" for number in range(10)]


def asked(step: object) -> str:
    """The last message of a request."""
    assert isinstance(step, Ask)
    return step.messages[-1]["content"]


def test_pn_shows_both_ends_and_p_only_the_best() -> None:
    """Best and worst never overlap, and the worst one stands last."""
    both = asked(next(METHODS["pn"].conversation(view_of(falling(TEXTS, 1.0)))))
    best = asked(next(METHODS["p"].conversation(view_of(falling(TEXTS, 1.0)))))

    def listed(request: str) -> list[str]:
        return [line.removeprefix("- ") for line in request.splitlines() if line.startswith("- template")]

    assert listed(both) == [*TEXTS[:3], *TEXTS[-3:]]
    assert listed(best) == TEXTS[:3]


def test_pn_shows_no_template_as_bad_that_is_as_good_as_the_best() -> None:
    """Where all score alike there is no direction to read, and the request is that of method p."""
    memory = memory_of((text, 1.0) for text in TEXTS)
    first, other = (asked(next(METHODS[name].conversation(view_of(memory)))) for name in ("pn", "p"))
    assert first == other
    assert "badly" not in first


@pytest.mark.parametrize(("objective", "value"), [("logprob", -2.25), ("margin", 1.5)])
def test_requests_name_what_is_maximised(objective: Objective, value: float) -> None:
    """No log-probability is written as a percentage, in a list or in what came of proposals."""
    memory = memory_of([("a {}", value)])
    for name in ("opro", "pn", "p", "ape"):
        steps = METHODS[name].conversation(view_of(memory, objective=objective))
        sent = asked(next(steps))
        sent += asked(steps.send(Feedback(outcomes=[Outcome("b {}", score=value - 1)], best_before=value)))
        assert "%" not in sent
        assert view_of(memory, objective=objective).wanted.task in sent
        if name != "ape":
            assert f"{value:.3f}" in sent


@pytest.mark.parametrize("name", ["pn", "p"])
def test_a_conversation_says_what_the_proposals_scored(name: str) -> None:
    """The next request holds the opening, the answer, and each outcome against the best before it."""
    steps = METHODS[name].conversation(view_of(falling(TEXTS, 1.0)))
    opening = asked(next(steps))
    outcomes = [Outcome("a new {}", score=0.75), Outcome("none", reason="it has no slot")]
    step = steps.send(Feedback(text="- a new {}", outcomes=outcomes, best_before=0.5))
    assert isinstance(step, Ask)
    contents = [message["content"] for message in step.messages]
    assert contents[:2] == [opening, "- a new {}"]
    assert "rose to 75.0 % from 50.0 %" in contents[2]
    assert "it has no slot" in contents[2]


@pytest.mark.parametrize("name", ["ape", "opro"])
def test_methods_without_a_conversation_begin_anew(name: str) -> None:
    """Each request is one message, made from the ranking as it stands by then."""
    memory = falling(TEXTS, 1.0)
    steps = METHODS[name].conversation(view_of(memory))
    before = asked(next(steps))
    add(memory, "the very best {}", 2.0)
    step = steps.send(Feedback(text="- the very best {}"))
    assert isinstance(step, Ask)
    assert len(step.messages) == 1
    assert "the very best {}" in asked(step)
    assert "the very best {}" not in before


def test_opro_shows_scores_with_the_best_last() -> None:
    """The trajectory's order is ascending."""
    content = asked(next(METHODS["opro"].conversation(view_of(falling(TEXTS, 1.0)))))
    assert content.index(TEXTS[2]) < content.index(TEXTS[1]) < content.index(TEXTS[0])
    assert "100.0 %" in content


@pytest.mark.parametrize("name", METHODS)
def test_every_method_that_a_config_may_name_is_there(name: str) -> None:
    """The table and the files agree, on who asks an LLM too."""
    step = next(METHODS[name].conversation(view_of(falling(TEXTS, 1.0))))
    assert isinstance(step, Propose) == (not METHODS[name].asks_llm)
    assert name in described()

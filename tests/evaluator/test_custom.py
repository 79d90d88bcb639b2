"""A black box of the user's own: whatever has a score, from Python or by its name."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from promptclimb.evaluator.custom import ScorerEvaluator, as_evaluator, open_custom
from promptclimb.evaluator.errors import ConfigError, EvaluatorError, TemplateRejectedError
from promptclimb.evaluator.fakes import FakeEvaluator
from promptclimb.evaluator.open import open_evaluator
from promptclimb.evaluator.scoring import Evaluator, Rejection, Score, SplitScores
from promptclimb.evaluator.spec import EvaluatorSpec

SPEC = EvaluatorSpec(data="mine")
FILE = """
class Lengths:
    def __init__(self, ideal=20):
        self.ideal = ideal

    def score(self, templates):
        return [1 / (1 + abs(self.ideal - len(template))) for template in templates]

def for_data(spec):
    made = Lengths()
    made.fingerprint = f"lengths on {spec.data}"
    return made

def without_score():
    return 3

def broken():
    return 1 / 0

number = 3
"""


class Answers:
    """Answers what it is given."""

    def __init__(self, *answers: object) -> None:
        self.answers = answers

    def score(self, templates: Sequence[str]) -> list[Any]:
        """As many of them as are asked for."""
        return list(self.answers[: len(templates)])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "own.py"
    path.write_text(FILE)
    return path


def test_an_evaluator_is_used_as_it_is() -> None:
    """Nothing is put around one that has everything."""
    evaluator = FakeEvaluator()
    assert as_evaluator(evaluator, SPEC) is evaluator


def test_numbers_become_scores() -> None:
    """Bare numbers, scores and rejections may be mixed."""
    given = (0.5, Score(train=0.25), Rejection("long", "too long"))
    found = ScorerEvaluator(Answers(*given), SPEC).score(["a {}", "b {}", "c {}"])
    assert found == [Score(train=0.5), *given[1:]]


@pytest.mark.parametrize("answer", [None, "much", [1]])
def test_an_answer_of_no_kind_is_named(answer: object) -> None:
    """The error shows the answer and what would have been one."""
    with pytest.raises(EvaluatorError, match="neither a number, a Score nor a Rejection"):
        ScorerEvaluator(Answers(answer), SPEC).score(["a {}"])


def test_no_figure_is_told_that_was_not_measured() -> None:
    """An ensemble of several cannot be averaged, a rejection is not an accuracy of 0, nor is nan a number."""
    evaluator = ScorerEvaluator(Answers(0.5, 0.25), SPEC)
    single, several, last = evaluator.examine([["a {}"], ["a {}", "b {}"], ["b {}"]])
    assert single == SplitScores(train=0.5, val=None, test=None)
    assert several == SplitScores(train=None, val=None, test=None)
    assert last.train == 0.25
    for answer in (Rejection("long", "too long"), math.nan):
        with pytest.raises(TemplateRejectedError, match=r"too long|not a number"):
            ScorerEvaluator(Answers(answer), SPEC).examine([["a {}"]])


def test_a_class_without_a_fingerprint_is_another_black_box_on_other_data() -> None:
    """Its own fingerprint is taken where it has one."""
    first, same, other = (
        ScorerEvaluator(Answers(), EvaluatorSpec(data=data)).info.fingerprint for data in ("a", "a", "b")
    )
    assert first == same != other


@pytest.mark.parametrize("factory", ["Lengths", "for_data"])
def test_a_factory_in_a_file_is_found(file: Path, factory: str) -> None:
    """A class or a function; with the specification if it asks for one."""
    evaluator = open_evaluator(EvaluatorSpec(data="mine", evaluator=f"{file}:{factory}"))
    assert isinstance(evaluator, Evaluator)
    assert evaluator.info.dataset == "mine"
    assert evaluator.score(["a photo of a {} cat !"]) == [Score(train=0.5)]


def test_a_factory_in_a_module_is_found(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is installed, and modules in the folder that one stands in."""
    assert isinstance(open_custom("promptclimb.evaluator.fakes:FakeEvaluator", SPEC), FakeEvaluator)
    monkeypatch.chdir(file.parent)
    monkeypatch.setattr("sys.path", [path for path in __import__("sys").path if path])
    file.rename(file.with_name("own_module_of_a_test.py"))
    assert open_custom("own_module_of_a_test:Lengths", SPEC).info.model == "Lengths"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("no_such_module_at_all:make", "there is no module 'no_such_module_at_all'"),
        ("no/such/file.py:make", "there is no file .*no/such/file.py"),
        ("{file}:make", "own.py has no 'make'"),
        ("{file}:number", "number is a int; name a function or a class"),
        ("{file}:without_score", r"needs a method score\(templates\), and int has none"),
        ("{file}:broken", r"ZeroDivisionError: division by zero \(.*own.py, line \d+\)"),
        ("{folder}/torn.py:make", r"SyntaxError: .*torn.py"),
        ("{folder}/needy.py:make", r"ModuleNotFoundError: No module named 'no_such_thing' \(.*line 1\)"),
    ],
)
def test_what_cannot_be_opened_is_the_users_to_mend(file: Path, name: str, said: str) -> None:
    """The error says which evaluator, what is wrong with it, and in which line of theirs."""
    (file.parent / "torn.py").write_text("def (")
    (file.parent / "needy.py").write_text("import no_such_thing")
    with pytest.raises(ConfigError, match=said):
        open_custom(name.format(file=file, folder=file.parent), SPEC)


@pytest.mark.parametrize("name", ["", "module", ":make", "module:", "module:not a name"])
def test_the_form_is_checked_when_the_specification_is_made(name: str) -> None:
    """MODULE:FACTORY, and no other."""
    with pytest.raises(ConfigError, match="write MODULE:FACTORY"):
        EvaluatorSpec(evaluator=name)


def test_a_cluster_is_not_for_a_black_box_of_ones_own() -> None:
    """Two kinds at once are refused rather than one of them forgotten."""
    with pytest.raises(ConfigError, match="ray deals out CLIP"):
        EvaluatorSpec(evaluator="m:f", ray="auto")

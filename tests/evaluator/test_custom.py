"""Custom scorers: what they may answer, and how a factory is found."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from promptclimb.evaluator.custom import ScorerEvaluator, as_evaluator, open_custom, pinned
from promptclimb.evaluator.errors import ConfigError, EvaluatorError, ScoringEndedError, TemplateRejectedError
from promptclimb.evaluator.open import open_evaluator
from promptclimb.evaluator.scoring import (
    DEFAULT_TEMPLATE,
    Evaluator,
    NamePredictor,
    Predictions,
    Predictor,
    Rejection,
    Score,
    SplitScores,
)
from promptclimb.evaluator.spec import EvaluatorSpec
from tests.fakes.evaluators import FakeEvaluator
from tests.fakes.naming_box import NamingBox

SPEC = EvaluatorSpec(data="mine")


class Answers:
    def __init__(self, *answers: object) -> None:
        self.answers = answers

    def score(self, templates: Sequence[str]) -> list[Any]:
        return list(self.answers[: len(templates)])


def test_no_figure_is_given_that_was_not_measured() -> None:
    """An ensemble of several cannot be averaged, a rejection is not an accuracy of 0, nor is nan a number."""
    evaluator = ScorerEvaluator(Answers(0.5, 0.25), SPEC)
    single, several, last = evaluator.examine([["a {}"], ["a {}", "b {}"], ["b {}"]])
    assert single == SplitScores(train=0.5, val=None, test=None)
    assert several == SplitScores(train=None, val=None, test=None)
    assert last.train == 0.25
    for answer in (Rejection("long", "too long"), math.nan):
        with pytest.raises(TemplateRejectedError, match=r"too long|not a number"):
            ScorerEvaluator(Answers(answer), SPEC).examine([["a {}"]])


def test_a_class_without_a_fingerprint_is_another_scorer_on_other_data() -> None:
    """Its own fingerprint is taken where it has one."""
    first, same, other = (
        ScorerEvaluator(Answers(), EvaluatorSpec(data=data)).info.fingerprint for data in ("a", "a", "b")
    )
    assert first == same != other


class Saying(FakeEvaluator):
    """A FakeEvaluator whose methods answer as given, and whose info differs in some fields."""

    def __init__(self, *, score: Any = None, examine: Any = None, **info: Any) -> None:
        super().__init__()
        self._said = {"score": score, "examine": examine}
        self._info = replace(self._info, **info)

    def _say(self, method: str) -> Any:
        answer = self._said[method]
        return answer() if callable(answer) else answer

    def score(self, templates: Sequence[str]) -> Any:
        return self._say("score")

    def examine(self, ensembles: Sequence[Sequence[str]], *, test: bool = True) -> Any:
        return self._say("examine")


class Labelling(FakeEvaluator):
    """A FakeEvaluator that gives the predictions of its argument."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self._answer = answer

    def predict(self, ensembles: Sequence[Sequence[str]], *, split: str) -> Any:
        return self._answer() if callable(self._answer) else self._answer


def raising(error: BaseException) -> Callable[[], None]:

    def work() -> None:
        raise error

    return work


def having(**attributes: Any) -> object:
    """A scorer of a class of its own, with attributes; what is a function is a property."""
    members = {name: property(value) if callable(value) else value for name, value in attributes.items()}
    return type("Box", (Answers,), members)()


def test_an_evaluator_with_everything_is_as_it_was() -> None:
    """Its answers and its info come through the seam as they are, and nothing is put around it twice."""
    evaluator, bare = as_evaluator(FakeEvaluator(in_flight=3), SPEC), FakeEvaluator()
    assert as_evaluator(evaluator, SPEC) is evaluator
    assert (evaluator.info, evaluator.in_flight) == (bare.info, 3)  # type: ignore[attr-defined]
    assert evaluator.score(["a {}", "the {}"]) == bare.score(["a {}", "the {}"])
    assert evaluator.examine([["a {}"], ["a {}", "b {}"]]) == bare.examine([["a {}"], ["a {}", "b {}"]])
    assert not isinstance(evaluator, Predictor)


@pytest.mark.parametrize(
    ("scorer", "message"),
    [
        (FakeEvaluator, "FakeEvaluator.*is neither"),
        (3, "3 is neither"),
        (having(in_flight="many"), "Box.in_flight is 'many'"),
        (having(in_flight=10**9), "1 to 256"),
        (having(in_flight=lambda _: 1 / 0), r"Box.in_flight: ZeroDivisionError.*line \d+"),
        (having(fingerprint=lambda _: [].x), "Box.fingerprint: AttributeError"),  # type: ignore[attr-defined]
        (having(fingerprint=np.arange(3)), "Box.fingerprint answered array.*valid string"),
        (having(fingerprint="\ud800"), "Box.fingerprint answered .*surrogates not allowed"),
        (having(examine=lambda _: len, info=lambda _: 1 / 0), "Box.info: ZeroDivisionError"),
        (Saying(sizes={"train": -1}), "Saying.info answered .*: sizes.train: .*greater than or equal to 0"),
        (Saying(dataset=None), "dataset: .*valid string"),
        (Saying(fingerprint=""), "has an empty fingerprint"),
        (Saying(notes={"x": json.loads("[" * 300 + "]" * 300)}), "serialization depth"),
    ],
)
def test_what_it_says_of_itself_is_checked_at_opening(scorer: object, message: str) -> None:
    """The user's class is named, with what is wrong in it."""
    with pytest.raises(ConfigError, match=message):
        as_evaluator(scorer, SPEC)


def test_methods_that_cannot_be_called_are_refused_at_opening() -> None:
    """Those without the arguments that a search will give at its end, when all is paid for."""

    class Old(FakeEvaluator):
        def examine(self, ensembles: Sequence[Sequence[str]]) -> list[SplitScores]:  # type: ignore[override]
            return []

    with pytest.raises(ConfigError, match=r"Old.examine cannot be called: .*argument 'test'"):
        as_evaluator(Old(), SPEC)


def test_info_and_notes_are_plain() -> None:
    """Whole numbers of NumPy are int, and notes are found anew, unless they are not JSON by then."""
    box = Saying(sizes={"train": np.int64(7)}, notes={"device": "cpu"})
    evaluator = as_evaluator(box, SPEC)
    assert json.dumps(asdict(evaluator.info))
    box._info = replace(box._info, notes={"skipped": (1, 2), "odd": math.nan})
    assert evaluator.info.notes == {"skipped": [1, 2], "odd": None}
    box._info = replace(box._info, notes={"skipped": object()})
    assert evaluator.info.notes == {"device": "cpu"}


@pytest.mark.parametrize("answer", [0.5, np.float32(0.5), np.array(0.5)])
def test_every_kind_of_number_is_a_plain_one(answer: Any) -> None:
    """Alone, in a Score and in SplitScores; JSON can hold it."""
    score = Score(train=answer, val=answer, correct=(np.int64(1), None))  # type: ignore[arg-type]
    rejection = Rejection("long", "too long")
    verdicts = as_evaluator(Saying(score=iter([answer, score, rejection])), SPEC).score(["a {}"] * 3)
    assert verdicts == [Score(train=0.5), Score(train=0.5, val=0.5, correct=(1, None)), rejection]
    assert json.dumps([asdict(verdict) for verdict in verdicts if isinstance(verdict, Score)])
    (looked,) = as_evaluator(Saying(examine=[SplitScores(answer, None, answer)]), SPEC).examine([["a {}"]])
    assert looked == SplitScores(0.5, None, 0.5)
    assert looked is not None
    assert type(looked.test) is float


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ([0.5], "did not answer once for each of 2 templates"),
        (itertools.repeat(0.5), "did not answer once for each of 2 templates"),
    ],
)
def test_what_no_batch_can_mend_ends_the_scoring(answer: Any, message: str) -> None:
    """A list of another length is not tried again template by template."""
    with pytest.raises(ScoringEndedError, match=f"Saying.score {message}"):
        as_evaluator(Saying(score=answer), SPEC).score(["a {}", "b {}"])


def test_failures_of_the_scorer_are_left_to_the_queue() -> None:
    """It distinguishes memory that ran out from a template that cannot be scored."""
    with pytest.raises(MemoryError):
        as_evaluator(Saying(score=raising(MemoryError())), SPEC).score(["a {}"])


def test_a_test_figure_that_was_not_asked_for_is_left_out() -> None:
    """A closed split stays closed, whatever the user's code does."""
    box = as_evaluator(Saying(examine=[SplitScores(0.5, 0.5, 0.5)]), SPEC)
    assert box.examine([["a {}"]], test=False) == [SplitScores(0.5, 0.5, None)]


LOST = RuntimeError("lost")
WRONG: list[tuple[str, Any, str]] = [
    ("score", None, "'NoneType' object is not iterable"),
    ("score", [None, 0.5], "float.. argument must be a string or a real number, not 'NoneType'"),
    ("score", ["much", 0.5], "answered 'much', not a number"),
    ("score", [Rejection(None, None)], "reason: Input should be a valid string"),  # type: ignore[arg-type]
    ("score", [Rejection("bad\ud800", "")], "surrogates not allowed"),
    ("examine", None, "'NoneType' object is not iterable"),
    ("examine", [None], "gave 1 answers for 2"),
    ("examine", [0.5, 0.5], "answered 0.5: SplitScores: "),
    ("examine", [None, SplitScores(math.nan, None, None)], "train: Input should be a finite number"),
    ("examine", [None, SplitScores("0.5", None, None)], "train: Input should be a valid number"),  # type: ignore[arg-type]
    ("examine", raising(LOST), r": RuntimeError: lost \(.*test_custom.py, line \d+\)"),
    ("examine", raising(asyncio.CancelledError()), ": CancelledError"),
    ("examine", raising(StopIteration()), ": StopIteration"),
    ("examine", raising(SystemExit(3)), ": SystemExit: 3"),
    ("predict", None, "answered None: Predictions: "),
    ("predict", Predictions((0, 1), ()), "did not answer with a label of each image"),
    ("predict", Predictions((0, 1), ((0,),)), "did not answer with a label of each image"),
    ("predict", Predictions((0, 1), ((0, "cat"),)), "predicted.0.1: "),  # type: ignore[arg-type]
    ("predict", raising(LOST), ": RuntimeError: lost"),
]


@pytest.mark.parametrize(("method", "answer", "words"), WRONG)
def test_a_wrong_answer_is_one_error(method: str, answer: Any, words: str) -> None:
    """It names the user's method and what it answered."""
    scorer = Labelling(answer) if method == "predict" else Saying(**{method: answer})
    evaluator: Any = as_evaluator(scorer, SPEC)
    asked: dict[str, Callable[[], Any]] = {
        "score": lambda: evaluator.score(["a {}", "b {}"]),
        "examine": lambda: evaluator.examine([["a {}"], ["b {}"]]),
        "predict": lambda: evaluator.predict([["a {}"]], split="test"),
    }
    with pytest.raises(EvaluatorError, match=rf"{type(scorer).__name__}\.{method} ?.*{words}"):
        asked[method]()


def test_predictions_are_plain() -> None:
    """Labels of NumPy are int; None stands for what cannot be asked."""
    answer = Predictions(np.array([0, 1]), (np.array([0, 0]), None))  # type: ignore[arg-type]
    box = as_evaluator(Labelling(answer), SPEC)
    assert isinstance(box, Predictor)
    assert box.predict([["a {}"], ["a {}", "b {}"]], split="val") == Predictions((0, 1), ((0, 0), None))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Predictions((), ((), None)), "did not answer with a label of each image"),
        (Predictions((0, 5), ((0, 0), None)), "gave the label 5; there are 5 classes"),
    ],
)
def test_predictions_with_other_names_have_the_labels_of_classes(answer: Predictions, message: str) -> None:
    """Otherwise the search for names would crash, or find nothing and say nothing."""

    class Naming(NamingBox):
        def predict_named(self, template: str, renamings: Any, *, split: str) -> Predictions:
            return answer

    box = as_evaluator(Naming(), SPEC)
    assert isinstance(box, NamePredictor)
    with pytest.raises(EvaluatorError, match=rf"Naming\.predict_named {message}"):
        box.predict_named("a {}", [{}, {0: "b"}], split="train")


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

def leaves():
    raise SystemExit("no GPU")

def a_class():
    return Lengths

number = 3
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "own.py"
    path.write_text(FILE)
    return path


@pytest.mark.parametrize("factory", ["Lengths", "for_data"])
def test_a_factory_in_a_file_is_found(file: Path, factory: str) -> None:
    """A class or a function; with the specification if it asks for one."""
    evaluator = open_evaluator(EvaluatorSpec(data="mine", custom_scorer=f"{file}:{factory}"))
    assert isinstance(evaluator, Evaluator)
    assert evaluator.info.dataset == "mine"
    assert evaluator.score(["a photo of a {} cat !"]) == [Score(train=0.5)]


def test_a_factory_in_a_module_is_found(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is installed, and modules in the folder that one stands in."""
    assert open_custom("promptclimb.evaluator.fakes:FakeEvaluator", SPEC).info == FakeEvaluator().info
    monkeypatch.chdir(file.parent)
    monkeypatch.setattr("sys.path", [path for path in sys.path if path])
    file.rename(file.with_name("own_module_of_a_test.py"))
    assert open_custom("own_module_of_a_test:Lengths", SPEC).info.model == "Lengths"


def test_a_module_in_the_folder_at_hand_is_pinned_to_its_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name then works from any folder, with what lies beside it; what is installed keeps its name."""
    beside = file.with_name("beside_a_pinned_module.py")
    beside.write_text(FILE)
    file.with_name("pinned_of_a_test.py").write_text("from beside_a_pinned_module import Lengths\n")
    monkeypatch.setattr("sys.path", [path for path in sys.path if path])
    monkeypatch.chdir(file.parent)
    name = pinned("pinned_of_a_test:Lengths")
    assert name == f"{file.parent.resolve()}/pinned_of_a_test.py:Lengths"
    assert [pinned(other) for other in ("json:loads", "promptclimb.evaluator.fakes:F", "no_such:x")] == [
        "json:loads", "promptclimb.evaluator.fakes:F", "no_such:x",
    ]  # fmt: skip
    monkeypatch.setattr("sys.path", [path for path in sys.path if path != str(file.parent.resolve())])
    monkeypatch.chdir("/")
    assert open_custom(name, SPEC).info.model == "Lengths"
    assert pinned(name) == name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_module_at_all:make", "No module named 'no_such_module_at_all'"),
        ("no/such/file.py:make", "No such file.*no/such/file.py"),
        ("{file}:make", "own.py has no function or class 'make'"),
        ("{file}:without_score", "or a function of templates; 3 is neither"),
        ("{file}:broken", r"ZeroDivisionError: division by zero \(.*own.py, line \d+\)"),
        ("{file}:leaves", r"SystemExit: no GPU \(.*own.py, line \d+\)"),
        ("{file}:a_class", "Lengths.*is neither"),
        ("{folder}/torn.py:make", r"SyntaxError: .*torn.py"),
        ("{folder}/needy.py:make", r"ModuleNotFoundError: No module named 'no_such_thing' \(.*line 1\)"),
    ],
)
def test_what_cannot_be_opened_is_a_usage_error(file: Path, name: str, message: str) -> None:
    """The error says which evaluator, what is wrong with it, and in which line of theirs."""
    (file.parent / "torn.py").write_text("def (")
    (file.parent / "needy.py").write_text("import no_such_thing")
    with pytest.raises(ConfigError, match=message):
        open_custom(name.format(file=file, folder=file.parent), SPEC)


@pytest.mark.parametrize("name", ["", "module", ":make", "module:", "module:not a name"])
def test_the_form_is_checked_when_the_specification_is_made(name: str) -> None:
    """MODULE:FACTORY, and no other."""
    with pytest.raises(ConfigError, match="write MODULE:FACTORY"):
        EvaluatorSpec(custom_scorer=name)


def lengths(templates: Sequence[str]) -> list[float]:
    return [len(template) / 100 for template in templates]


def test_a_function_of_templates_is_a_scorer(file: Path) -> None:
    """From Python any function; by name one whose argument is called templates. Its name is the scorer's."""
    evaluator = as_evaluator(lengths, SPEC)
    assert evaluator.score(["a {}"]) == [Score(train=0.04)]
    assert evaluator.info.model == "lengths"
    assert evaluator.info.baselines == {"default template": (DEFAULT_TEMPLATE,)}
    assert as_evaluator(lambda templates: [1.0 for _ in templates], SPEC).score(["a {}"]) == [
        Score(train=1.0)
    ]
    with pytest.raises(EvaluatorError, match="did not answer once"):
        as_evaluator(lambda templates: [], SPEC).score(["a {}"])
    file.write_text(
        "def scores(templates):\n    return [len(one) / 100 for one in templates]\n"
        "def other(texts):\n    return [0.5]\n"
    )
    assert open_custom(f"{file}:scores", SPEC).score(["a {}"]) == [Score(train=0.04)]
    with pytest.raises(ConfigError, match="is neither"):
        open_custom(f"{file}:other", SPEC)

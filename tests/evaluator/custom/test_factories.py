"""Factories of a black box: found by name, and every way in which they cannot be used is said."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from promptclimb.evaluator.custom.adapter import open_custom, pinned
from promptclimb.evaluator.errors import ConfigError
from promptclimb.evaluator.fakes import FakeEvaluator
from promptclimb.evaluator.open import open_evaluator
from promptclimb.evaluator.scoring import Evaluator, Score
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

def leaves():
    raise SystemExit("no GPU")

def gives_up():
    raise StopIteration

async def later():
    return Lengths()

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
    evaluator = open_evaluator(EvaluatorSpec(data="mine", evaluator=f"{file}:{factory}"))
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
    ("name", "said"),
    [
        ("no_such_module_at_all:make", "there is no module 'no_such_module_at_all'"),
        ("no/such/file.py:make", "there is no file .*no/such/file.py"),
        ("{file}:make", "own.py has no 'make'"),
        ("{file}:number", "number is a int; name a function or a class"),
        ("{file}:without_score", r"needs a method score\(templates\), and int has none"),
        ("{file}:broken", r"ZeroDivisionError: division by zero \(.*own.py, line \d+\)"),
        ("{file}:later", "later is async: make it a plain function"),
        ("{file}:leaves", r"SystemExit: no GPU \(.*own.py, line \d+\)"),
        ("{file}:gives_up", r"StopIteration \(.*own.py, line \d+\)"),
        ("{file}:a_class", r"Lengths is a class.*write Lengths\(\.\.\.\)"),
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
    with pytest.raises(ConfigError, match="ray applies to CLIP models"):
        EvaluatorSpec(evaluator="m:f", ray="auto")

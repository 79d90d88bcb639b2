"""The interface of an evaluator, the fake one, and words for messages."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptclimb.agent.store.records import StoredScore, reader, row_text
from promptclimb.evaluator.counts import counted, enumerated
from promptclimb.evaluator.errors import EvaluatorError, TemplateRejectedError, UsageError
from promptclimb.evaluator.fakes import FakeEvaluator
from promptclimb.evaluator.files import cache_dir
from promptclimb.evaluator.scoring import Evaluator, Rejection, Score
from tests.paths import ROOT

SHARES = st.floats(0, 1)


@given(
    st.builds(
        Score,
        train=SHARES,
        val=st.none() | SHARES,
        correct=st.none() | st.tuples(st.integers(0, 9), st.none() | st.integers(0, 9)),
        logprob=st.none() | st.floats(-9, 0),
        views=st.none() | SHARES,
    )
)
def test_scores_survive_json(score: Score) -> None:
    """What is stored is read back equal."""
    stored = StoredScore("a {}", score)
    assert reader(StoredScore)(row_text(stored)) == stored


def test_rejections_survive_json() -> None:
    """A rejection is read back equal."""
    rejection = Rejection("too_many_tokens", "80 tokens")
    stored = StoredScore("a {}", rejection)
    assert reader(StoredScore)(row_text(stored)) == stored


def test_objectives_pick_their_value() -> None:
    """Each objective reads its own number, and one that is missing is said."""
    score = Score(train=0.5, class_mean=0.4)
    assert score.value() == 0.5
    assert score.value("class_mean") == 0.4
    with pytest.raises(UsageError, match="logprob"):
        score.value("logprob")
    on_val = Score(train=0.5, val=0.6, val_margin=1.5)
    assert (on_val.val_value(), on_val.val_value("margin"), on_val.val_value("logprob")) == (0.6, 1.5, None)


def test_scoring_errors_cross_processes() -> None:
    """An error keeps its template, reason and message when it is carried over."""
    error = pickle.loads(pickle.dumps(TemplateRejectedError("a {}", "failed", "because")))
    assert (error.template, error.reason, error.message) == ("a {}", "failed", "because")


def test_the_fake_is_an_evaluator_that_can_be_searched() -> None:
    """It keeps the protocol, answers equal questions equally, and its favourites score higher."""
    fake = FakeEvaluator(favourites={"sketch": 1.0})
    assert isinstance(fake, Evaluator)
    plain, better = fake.score(["a photo of a {}", "a sketch of a {}"])
    assert isinstance(plain, Score)
    assert isinstance(better, Score)
    assert better.train > plain.train
    assert fake.score(["a photo of a {}"]) == [plain]
    assert FakeEvaluator(favourites={"sketch": 1.0}).score(["a sketch of a {}"]) == [better]
    assert fake.info.fingerprint != FakeEvaluator(seed=2).info.fingerprint


def test_the_fake_rejects_and_examines() -> None:
    """Long templates are rejected; the test split is counted when it is opened."""
    fake = FakeEvaluator(max_words=3, val=False)
    assert isinstance(fake.score(["a b c {}"])[0], Rejection)
    with pytest.raises(TemplateRejectedError):
        fake.examine([["a b c {}"]])
    single, ensemble = fake.examine([["a {}"], ["a {}", "the {}"]])
    assert single.val is None
    assert ensemble.test is not None
    assert fake.opened == 2


def test_the_fake_notices_two_threads() -> None:
    """Scoring from inside a batch is what a second thread would do, and is an error."""
    fake = FakeEvaluator(before_batch=lambda _batch: fake.score(["b {}"]))
    with pytest.raises(EvaluatorError, match="2 threads"):
        fake.score(["a {}"])


def test_the_cache_is_where_the_variable_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PROMPTCLIMB_CACHE decides, the folder is made, and one that cannot be is an error that says so."""
    monkeypatch.setenv("PROMPTCLIMB_CACHE", str(tmp_path / "a" / "b"))
    assert cache_dir() == tmp_path / "a" / "b"
    assert cache_dir().is_dir()
    (tmp_path / "file").touch()
    monkeypatch.setenv("PROMPTCLIMB_CACHE", str(tmp_path / "file"))
    with pytest.raises(UsageError, match="PROMPTCLIMB_CACHE"):
        cache_dir()


def test_the_light_part_of_the_room_needs_no_torch() -> None:
    """Types, queue, fake and specification import neither torch nor open_clip."""
    code = (
        "import sys, evaluator.batching, evaluator.fakes, evaluator.spec, evaluator.datasets;"
        "print(sorted({'torch', 'open_clip', 'agent'} & set(sys.modules)))"
    )
    root = ROOT
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("number", "words", "expected"),
    [
        (1, ("call",), "1 call"),
        (0, ("call",), "0 calls"),
        (1200, ("call",), "1,200 calls"),
        (1, ("such class", "such classes"), "1 such class"),
        (2, ("such class", "such classes"), "2 such classes"),
    ],
)
def test_one_of_a_thing_is_no_plural(number: int, words: tuple[str, ...], expected: str) -> None:
    """Its noun stands in the singular, whatever its plural looks like."""
    assert counted(number, *words) == expected


@pytest.mark.parametrize(
    ("things", "expected"), [("", ""), ("a", "a"), ("ab", "a and b"), ("abc", "a, b and c")]
)
def test_several_things_are_listed_with_one_and(things: str, expected: str) -> None:
    """Before the last; commas between the others."""
    assert enumerated(things) == expected

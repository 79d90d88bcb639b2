"""The interface of an evaluator, and words for messages."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptclimb.agent.store.records import StoredScore, reader, row_text
from promptclimb.evaluator.counts import counted, enumerated
from promptclimb.evaluator.errors import UsageError
from promptclimb.evaluator.files import cache_dir
from promptclimb.evaluator.scoring import Rejection, Score, Verdict

SHARES = st.floats(0, 1)


@given(
    st.builds(
        Score,
        train=SHARES,
        val=st.none() | SHARES,
        correct=st.none() | st.tuples(st.integers(0, 9), st.none() | st.integers(0, 9)),
        logprob=st.none() | st.floats(-9, 0),
        copies=st.none() | SHARES,
    )
    | st.just(Rejection("too_many_tokens", "80 tokens"))
)
def test_verdicts_survive_json(verdict: Verdict) -> None:
    """What is stored is read back equal."""
    stored = StoredScore("a {}", verdict)
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


def test_the_cache_is_where_the_variable_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PROMPTCLIMB_CACHE decides, the folder is made, and one that cannot be is an error that says so."""
    monkeypatch.setenv("PROMPTCLIMB_CACHE", str(tmp_path / "a" / "b"))
    assert cache_dir() == tmp_path / "a" / "b"
    assert cache_dir().is_dir()
    (tmp_path / "file").touch()
    monkeypatch.setenv("PROMPTCLIMB_CACHE", str(tmp_path / "file"))
    with pytest.raises(UsageError, match="PROMPTCLIMB_CACHE"):
        cache_dir()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (counted(1, "call"), "1 call"),
        (counted(0, "call"), "0 calls"),
        (counted(1200, "call"), "1,200 calls"),
        (counted(1, "such class", "such classes"), "1 such class"),
        (counted(2, "such class", "such classes"), "2 such classes"),
        (enumerated(""), ""),
        (enumerated("a"), "a"),
        (enumerated("ab"), "a and b"),
        (enumerated("abc"), "a, b and c"),
    ],
)
def test_numbers_and_lists_in_messages(text: str, expected: str) -> None:
    """A noun follows its number, and "and" stands before the last of several things."""
    assert text == expected

"""The notes of a result: a mapping, with its known names typed."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import replace

import pytest

from promptclimb.agent.results.notes import PROMINENT, UNOPENED, Notes
from promptclimb.agent.results.result import SearchResult
from tests.fakes.small_result import small_result

SAID = {"data": ["split made by rule"], "mine": {"x": 1}, "ended_early": "restart 2, at 0.95"}


def test_known_names_are_attributes_and_the_rest_is_a_mapping() -> None:
    """What is not noted is None, or empty; a black box may note under any name."""
    notes = Notes(SAID)
    assert notes.data == ("split made by rule",)
    assert notes.ended_early == "restart 2, at 0.95"
    assert (notes.model, notes.test_unopened, notes.llm_fallback) == ((), None, None)
    assert notes["mine"] == {"x": 1}
    assert notes == SAID
    assert list(notes) == list(SAID)


@pytest.mark.parametrize("name", PROMINENT)
def test_every_prominent_note_has_an_attribute(name: str) -> None:
    """By the name that it has in the document."""
    assert getattr(Notes({name: "so it was"}), name) == "so it was"


def test_what_is_no_list_under_the_name_of_one_is_no_error() -> None:
    """The note of a black box of the user's own may have any form."""
    assert Notes({"data": 3, UNOPENED: 4}).data == ()
    assert Notes({UNOPENED: 4}).test_unopened == "4"


def test_notes_cannot_be_changed() -> None:
    """A result is a frozen value; what it was made of may change afterwards."""
    said = dict(SAID)
    result = replace(small_result(), notes=said)
    said.clear()
    assert result.notes == SAID
    with pytest.raises(TypeError):
        result.notes["x"] = 1  # type: ignore[index]


def test_a_result_with_notes_is_copied_pickled_and_written() -> None:
    """And the document has the plain mapping that it always had."""
    result = replace(small_result(), notes=SAID)
    assert copy.deepcopy(result) == pickle.loads(pickle.dumps(result)) == result
    document = json.loads(result.dumps())
    assert document["notes"] == SAID
    assert SearchResult.from_json(document) == result

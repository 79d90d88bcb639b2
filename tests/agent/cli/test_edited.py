"""Files of a run that somebody edited: each is read as far as it can be true, or refused."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptclimb.agent.cli.main import main
from promptclimb.agent.results.details import write_details
from promptclimb.agent.results.result import Best
from promptclimb.agent.results.run_dir import write_result
from tests.agent.present.test_recorded_pages import RUNS
from tests.recorded import text_of

COMMANDS = (
    ("report", "r"), ("status", "r"), ("compare", "whole", "r"), ("compare", "r", "whole", "--json"),
    *(("export", "r", "--format", form) for form in ("text", "csv", "class-names", "open-clip")),
)  # fmt: skip
VALUES = (None, 0, -1, -0.5, 5.0, 1e9, 10**17, True, "", "x", [], {}, math.nan, math.inf)
Place = tuple[str | int, ...]


def places(value: Any, place: Place = ()) -> Iterator[Place]:
    """Where a document's values stand."""
    if place:
        yield place
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in inner:
        yield from places(member, (*place, key))


def with_value(document: Any, place: Place, value: Any) -> Any:
    """A document with another value."""
    changed = deepcopy(document)
    parent = changed
    for key in place[:-1]:
        parent = parent[key]
    parent[place[-1]] = value
    return changed


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two equal runs, one to be edited, with all that a result may have."""
    monkeypatch.chdir(tmp_path)
    result, details = RUNS["templates"]
    names, _ = RUNS["class-names"]
    best = replace(result.best, class_names={"auk": "great auk"}, unsupported=("auk",))
    whole = replace(result, best=best, names_read=names.names_read, scorer_usage=result.usage)
    for name in ("r", "whole"):
        (tmp_path / name / "store").mkdir(parents=True)
        write_result(tmp_path / name, whole)
        write_details(tmp_path / name, details)
    assert main(["report", "r"]) == 0
    return tmp_path


@settings(max_examples=20)
@given(data=st.data())
@pytest.mark.parametrize("name", ["result.json", "details.json"])
def test_an_edited_value_is_refused_or_shown_as_it_may_be(
    folders: Path, name: str, data: st.DataObject, capsys: pytest.CaptureFixture[str]
) -> None:
    """No command has a fault, and no share of images is below nothing or above all."""
    document = json.loads((folders / "whole" / name).read_text())
    place = data.draw(st.sampled_from(list(places(document))))
    value = data.draw(st.sampled_from(VALUES))
    (folders / "r" / name).write_text(json.dumps(with_value(document, place, value)))
    for command in COMMANDS:
        assert main(command) in (0, 2), command
    printed = capsys.readouterr()
    shown = printed.out + printed.err + text_of((folders / "r" / "report.html").read_text())
    shares = [float(number) for number in re.findall(r"(-?[\d.]+) %", shown)]
    assert all(0 <= share <= 100 for share in shares)


OVER = ("recommended", "over", "default template")


@pytest.mark.parametrize(
    ("place", "value", "named"),
    [
        (("dataset", "sizes", "test"), 0, "dataset.sizes.test"),
        (("dataset", "sizes", "test"), -1, "dataset.sizes.test"),
        (("dataset", "sizes"), {}, "with_images"),
        (("with_images", "train"), 1e9, "with_images.train"),
        (("with_images",), None, "recommended.form"),
        (("with_images", "templates"), [], "with_images.templates"),
        ((*OVER, "worse"), None, "`better` and `worse`"),
        ((*OVER, "worse"), 61, "more images differ"),
        ((*OVER, "points"), -99, "outside its interval"),
        ((*OVER, "points"), 500, "points"),
        (("recommended", "test"), 5.0, "recommended.test"),
        (("texts", "train"), 5.0, "below 0 or above 1"),
        (("baselines", "default template", "val"), -1, "below 0 or above 1"),
        (("leaderboard", 0, "train"), 1e9, "below 0 or above 1"),
        (("best", "template"), "", "best.template"),
        (("best", "unsupported"), ["cow"], "a class in unsupported has no new name in class_names"),
        (("best", "name_sources"), {"cow": "common words"}, "a class in name_sources"),
        (
            ("best", "class_names"),
            {"auk": "great auk", "no such class": "cow"},
            "'no such class' is not a class",
        ),
        (("texts", "templates"), ["no slot"], "'no slot' is not a template: "),
        (("without_search", "templates"), ["{}", "no slot"], "'no slot' is not a template: "),
        (("best", "name_sources"), {"auk": "a friend"}, "best.name_sources"),
        (("best", "unanswered"), {"test": {"refused": 0.6, "unreadable": 0.6}}, "without a class"),
        (("inspection", "classes", 0, "correct"), 21, "more images are correct"),
        (("names_read", "classes"), 1, "were asked about"),
        (("metrics",), {"best": {"acc5": 1.5}}, "metrics.best.acc5"),
        (("usage", "calls"), -1, "usage.calls"),
        (("leaderboard", 0, "images"), 0, "leaderboard.0.images"),
    ],
)
def test_what_cannot_be_true_is_refused_where_it_is_read(
    folders: Path, place: Place, value: Any, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the file, the field, and what to do."""
    document = json.loads((folders / "whole" / "result.json").read_text())
    (folders / "r" / "result.json").write_text(json.dumps(with_value(document, place, value)))
    capsys.readouterr()
    for command in COMMANDS:
        if command[0] != "status":  # it says what is known without the result
            assert main(command) == 2, command
            (line,) = capsys.readouterr().err.splitlines()
            assert "r/result.json cannot be read: not a result: " in line
            assert named in line
            assert "resume" in line


def test_a_template_without_a_class_name_has_none_unsupported() -> None:
    """Also in Python."""
    with pytest.raises(ValueError, match="has no new name"):
        Best(template="a {}", train=None, val=None, test=None, unsupported=("auk",))


def test_notes_may_be_anything(folders: Path) -> None:
    """A custom scorer may add any JSON value."""
    document = json.loads((folders / "whole" / "result.json").read_text())
    for value, code in ((None, 0), (math.nan, 2)):  # that is not JSON
        document["notes"]["chosen_defaults"] = [0, value]
        (folders / "r" / "result.json").write_text(json.dumps(document))
        assert main(["report", "r"]) == code


@pytest.mark.parametrize("prompts", ["", "x"])
def test_prompts_of_a_kind_that_is_not_known_are_exported_as_templates(folders: Path, prompts: str) -> None:
    """As they are shown: a later version may have more kinds."""
    document = json.loads((folders / "whole" / "result.json").read_text())
    (folders / "r" / "result.json").write_text(json.dumps(with_value(document, ("prompts",), prompts)))
    for form in ("text", "open-clip"):
        assert main(["export", "r", "--format", form]) == 0

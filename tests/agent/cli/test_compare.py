"""``compare``: finished runs side by side."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from promptclimb.agent.cli.main import main
from promptclimb.agent.results.details import Decisions, Details, write_details
from promptclimb.agent.results.result import (
    ApiUsage,
    Dataset,
    GroupAccuracies,
    Recommended,
    Sizes,
    Usage,
    WithImages,
    WithoutSearch,
)
from promptclimb.agent.results.run_dir import read_result, write_result
from promptclimb.evaluator.scoring import BARE_NAME
from tests.fakes.small_result import small_result
from tests.recorded import check_session

LABELS = (0, 1) * 10


def write_run(
    folder: Path, wrong: set[int], image_set: str = "set", *, is_tested: bool = True, **changes: Any
) -> None:
    """Write a run whose texts decide wrongly on some of twenty test images."""
    folder.mkdir()
    predicted = tuple(1 - label if image in wrong else label for image, label in enumerate(LABELS))
    decisions = Decisions(
        image_set=image_set, classes=("a", "b"), labels=LABELS, predicted={"texts": predicted}
    )
    test = 1 - len(wrong) / len(LABELS) if is_tested else None
    values = {
        "texts": GroupAccuracies(templates=("a {}",), train=0.5, test=test),
        "recommended": Recommended(form="texts", test=test),
        "dataset": Dataset(name="d", classes=2, shots=1, seed=1, sizes=Sizes(train=2, test=len(LABELS))),
    }
    write_result(folder, small_result(**values | changes))
    write_details(folder, Details(decisions=decisions))


@pytest.fixture(autouse=True)
def runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two runs, ``a`` and ``b``, on the same twenty test images."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["run_agent.py"])
    write_run(tmp_path / "a", {1, 2, 3, 4, 5})
    write_run(tmp_path / "b", {0, 1})


def call(*arguments: object) -> int:
    """Run a command in this process."""
    return main(["compare", *map(str, arguments)])


def test_each_run_has_a_row_and_its_difference_to_the_first(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """What may be chance is marked, a paid scorer has its own columns, and a stopped run no difference."""
    dataset = replace(read_result(tmp_path / "a").dataset, seed=2)
    stopped = {"status": "stopped", "stop_reason": "7 calls"}
    write_run(tmp_path / "c", set(range(10)), is_tested=False, **stopped)
    write_run(tmp_path / "d", set(range(12)), dataset=dataset, method="pn")
    result = read_result(tmp_path / "b")
    rival = WithoutSearch(name=BARE_NAME, templates=("{}",), train=0.5, test=0.6)
    changed = replace(
        result, best=replace(result.best, class_names={"bat": "baseball bat"}), without_search=rival,
        scorer_usage=ApiUsage(calls=1840, cost_usd=0.042),
    )  # fmt: skip
    write_result(tmp_path / "b", changed)
    check_session("compare", capsys, "compare a b c d")


def over_first(capsys: pytest.CaptureFixture[str], *folders: str) -> list[Any]:
    """Return the differences of the runs."""
    assert call(*folders, "--json") == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return [run["over_first"] for run in document["runs"]]


def test_a_difference_is_paired_on_the_same_images_alone(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """It is as in a report; there is none on other images, and without decisions it is not paired."""
    first, difference = over_first(capsys, "a", "b")
    assert first is None
    assert (difference["points"], difference["better"], difference["worse"]) == (15.0, 4, 1)
    assert difference["verdict"] == "may be chance"
    write_run(tmp_path / "c", {1}, image_set="others")
    dataset = replace(read_result(tmp_path / "a").dataset, name="e")
    write_run(tmp_path / "e", {1}, dataset=dataset)
    (tmp_path / "b" / "details.json").unlink()
    *others, wider = over_first(capsys, "a", "c", "e", "b")
    assert others == [None] * 3
    assert (wider["points"], wider["paired"]) == (15.0, False)
    assert call("a", "c") == 0
    shown = capsys.readouterr().out
    assert re.search(r"^c .* 95\.0 +not comparable ", shown, re.MULTILINE)
    assert "note: other test images than the first run's: not comparable" in shown
    write_run(tmp_path / "stopped", {1}, is_tested=False)
    assert call("stopped", "a") == 0
    assert "note: the first run has no test accuracy" in capsys.readouterr().out


def test_several_differences_are_judged_together(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """One that is certain alone may be chance among many."""
    write_run(tmp_path / "poor", {1, 2, 3, 4})
    write_run(tmp_path / "good", set())
    assert [gap and gap["verdict"] for gap in over_first(capsys, "poor", "good")] == [None, "better"]
    for number in range(3):
        write_run(tmp_path / f"other-{number}", {1, 2, 3})
    several = over_first(capsys, "poor", "good", *(f"other-{number}" for number in range(3)))
    assert {gap and gap["verdict"] for gap in several} == {None, "may be chance"}


@pytest.mark.parametrize(
    ("shots", "note"),
    [("all", "the runs have other seeds"), (1, "the runs learned from other labelled images")],
)
def test_another_seed_is_said(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, shots: Any, note: str
) -> None:
    """It draws other labelled images, unless all of them are learned from. Equal decisions are the same."""
    sizes = Sizes(train=2, test=len(LABELS))
    for name, seed in (("c", 1), ("e", 2)):
        data = Dataset(name="d", classes=2, shots=shots, seed=seed, sizes=sizes)
        write_run(tmp_path / name, {0, 1}, dataset=data)
    assert call("c", "e") == 0
    shown = capsys.readouterr()
    assert note in " ".join((shown.out + shown.err).split())
    assert "the same" in shown.out


def test_the_recommended_form_is_shown(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Not the best template, where others are recommended; and no costs, where nothing was paid for."""
    texts = GroupAccuracies(templates=("{}", "a drawing of a {}", "{}"), train=0.5, test=0.95)
    learned = WithImages(templates=texts.templates, train=0.5, test=0.95, images=2, strength=1.0)
    forms = {
        "texts": texts,
        "with_images": learned,
        "recommended": Recommended(form="with_images", test=0.95),
    }
    free = {"usage": Usage()}
    for folder, changes in (("c", forms | free), ("e", free)):
        write_run(tmp_path / folder, {0}, **changes)
    assert call("a", "c") == 0
    shown = capsys.readouterr().out
    assert "  with images: {} and 1 more\n" in shown
    assert "  calls  cost  " in shown
    assert call("c", "e") == 0
    assert "cost" not in capsys.readouterr().out


def test_what_cannot_be_compared_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, and what to do."""
    commands = ("compare a", "compare a ./a", "compare a gone", "compare a b --html x", "compare")
    check_session("compare-wrong", capsys, *commands)

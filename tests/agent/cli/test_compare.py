"""``compare``: finished runs in the table of a study."""

from __future__ import annotations

import json
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
    WithoutSearch,
)
from promptclimb.agent.results.run_dir import read_result, write_result
from promptclimb.evaluator.scoring import BARE_NAME
from tests.fakes.small_result import small_result
from tests.recorded import check_page, check_session

LABELS = (0, 1) * 10


def write_run(folder: Path, wrong: set[int], image_set: str = "set", **changes: Any) -> None:
    """Write a run whose texts decide wrongly on some of twenty test images."""
    folder.mkdir()
    predicted = tuple(1 - label if image in wrong else label for image, label in enumerate(LABELS))
    decisions = Decisions(
        image_set=image_set, classes=("a", "b"), labels=LABELS, predicted={"texts": predicted}
    )
    test = 1 - len(wrong) / len(LABELS)
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


def test_runs_stand_in_the_table_of_a_study(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """What may be chance is marked, a paid scorer has its own columns, and a stopped run is in no mean."""
    write_run(tmp_path / "c", set(range(10)), status="stopped", stop_reason="7 calls")
    result = read_result(tmp_path / "b")
    changed = replace(
        result, best=replace(result.best, class_names={"bat": "baseball bat"}),
        scorer_usage=ApiUsage(calls=1840, cost_usd=0.042),
    )  # fmt: skip
    write_result(tmp_path / "b", changed)
    assert call("a", "b", "c") == 0
    check_page("compare", capsys.readouterr().out)


def compared(capsys: pytest.CaptureFixture[str], *folders: str) -> dict[str, Any]:
    """Return the document."""
    assert call(*folders, "--json") == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def test_a_difference_is_paired_on_the_same_images_alone(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Of others nobody knows what would be drawn together."""
    (difference,) = compared(capsys, "a", "b")["differences"]
    low, high = difference["interval"]
    assert (difference["points"], difference["resampled"]) == (15.0, ["images"])
    assert low < 15.0 < high
    write_run(tmp_path / "other", {0, 1}, image_set="other")
    (difference,) = compared(capsys, "a", "other")["differences"]
    assert (difference["points"], difference["interval"]) == (15.0, None)


def test_runs_of_other_seeds_are_compared_on_the_same_test_images(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """That they learnt from other images is said; of two methods with a seed in common, that one counts."""
    dataset = Dataset(name="d", classes=2, shots=1, seed=2, sizes=Sizes(train=2, test=len(LABELS)))
    write_run(tmp_path / "other", {0, 1, 2}, method="pn", dataset=dataset)
    (difference,) = compared(capsys, "a", "other")["differences"]
    assert (difference["points"], difference["resampled"]) == (10.0, ["images"])
    assert call("a", "other") == 0
    shown = capsys.readouterr()
    assert "pn over guided  m      1      1     1     +10.0" in shown.out
    assert "note: the runs share no seed, so each learnt from other labelled images" in shown.err
    assert "--seed N in each search" in shown.err
    write_run(tmp_path / "more", {0}, method="pn")
    document = compared(capsys, "a", "other", "more")
    assert [difference["points"] for difference in document["differences"]] == [20.0]
    assert not document["notes"]


def test_other_data_are_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Of another name, or other images of the same; nothing is said of the same ones."""
    same = read_result(tmp_path / "a").dataset
    write_run(tmp_path / "c", {1}, image_set="others")
    write_run(tmp_path / "e", {1}, image_set="of e", dataset=replace(same, name="e"))
    for run, says in (("b", ""), ("c", "on different images of d"), ("e", "on different data (d and e)")):
        assert call("a", run) == 0
        notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: the runs")]
        assert len(notes) == bool(says)
        assert says in "".join(notes)


def test_a_row_says_what_differs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Runs that differ in their seed alone share a row; those that differ in nothing have their folders."""
    model = replace(small_result().model, name="n")
    dataset = replace(read_result(tmp_path / "a").dataset, seed=2)
    write_run(tmp_path / "other-model", {0}, model=model)
    write_run(tmp_path / "other-seed", {0}, dataset=dataset)

    def rows(*folders: str) -> list[str]:
        (table,) = compared(capsys, *folders)["tables"]
        return [row["label"] for row in table["rows"] if not row["reference"]]

    assert rows("a", "b") == ["guided (a)", "guided (b)"]
    assert rows("a", "other-model") == ["guided, m", "guided, n"]
    assert rows("a", "other-seed") == ["guided"]


def test_what_is_best_without_a_search_stands_beside_runs_with_other_shots(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Once for each run, where it learnt from other images; on other test images it is left out."""
    dataset = replace(read_result(tmp_path / "a").dataset, shots=4)
    ways = [
        WithoutSearch(name=BARE_NAME, templates=("{}",), train=0.5, test=test, images=9)
        for test in (0.6, 0.7)
    ]
    write_run(tmp_path / "one", {0}, without_search=ways[0])
    write_run(tmp_path / "four", {0}, without_search=ways[1], dataset=dataset)
    write_run(tmp_path / "other", {0}, image_set="other", without_search=ways[1], dataset=dataset)

    def rows(*folders: str) -> dict[str, float]:
        (table,) = compared(capsys, *folders)["tables"]
        return {row["label"]: row["mean"] for row in table["rows"] if "without" in row["label"]}

    name = "best without a search"
    assert rows("one", "four") == {f"{name} (guided, 1 shot)": 0.6, f"{name} (guided, 4 shots)": 0.7}
    assert not rows("one", "other")


def test_the_recommended_texts_are_shown(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Not the best template, where other texts are recommended."""
    texts = GroupAccuracies(templates=("{}", "a drawing of a {}", "{}"), train=0.5, test=0.95)
    write_run(tmp_path / "c", {0}, texts=texts)
    assert call("a", "c") == 0
    assert capsys.readouterr().out.rstrip().endswith("{} and 1 more")


def test_what_cannot_be_compared_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, and what to do."""
    commands = ("compare a", "compare a ./a", "compare a gone", "compare a b --html x", "compare")
    check_session("compare-wrong", capsys, *commands)


def test_evil_names_obey_no_terminal(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Control characters of class names, templates and folders are spaces."""
    evil = tmp_path / "c\x1b[31m"
    evil.mkdir()
    write_result(evil, small_result())
    assert call("a", evil) == 0
    assert "\x1b[31m" not in capsys.readouterr().out

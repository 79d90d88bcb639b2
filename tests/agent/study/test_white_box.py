"""White-box references as runs: fitted once, distinguished by settings, and marked where they are shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from promptclimb.agent.stop import Stop
from promptclimb.agent.study import outcomes as outcomes_module
from promptclimb.agent.study.grid import Cell
from promptclimb.agent.study.outcomes import FITTED, blocks_of, fit_reference, read_fit
from promptclimb.agent.study.preflight import check_cells
from promptclimb.agent.study.tables import differences, tables
from promptclimb.evaluator.errors import ConfigError, UsageError
from promptclimb.evaluator.scoring import Predictions
from promptclimb.evaluator.white_box.references import WhiteBoxResult
from tests.fakes.study_outcomes import cells, outcome, study

METHODS = ["random", {"name": "probe", "method": "linear-probe", "c": 1.0}]
GIVEN: dict[str, Any] = {"data": ["backgrounds"], "seeds": [1], "methods": METHODS}


@pytest.fixture(autouse=True)
def fits(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """References that are right on three of four images; what each was given, in order."""
    fits: list[dict[str, Any]] = []

    def run_all(references: dict[str, Any], spec: Any, *, split: str) -> tuple[WhiteBoxResult, ...]:
        ((name, options),) = references.items()
        fits.append({"name": name, "data": spec.data, "split": split, **options})
        result = WhiteBoxResult(
            name=name, train=1.0, val=None, test=0.75, split=split,
            predictions=Predictions((0, 1, 0, 1), ((0, 1, 0, 0),)), chosen={}, trained=2, seconds=0.5,
        )  # fmt: skip
        return (result,)

    monkeypatch.setattr(outcomes_module, "run_all", run_all)
    return fits


def of(folder: Path, **more: Any) -> list[Cell]:
    """The runs of a study."""
    return cells(study(**{**GIVEN, **more}), folder)


async def test_it_read_fit_once(tmp_path: Path, fits: list[dict[str, Any]]) -> None:
    """What was found is kept, image by image."""
    (_, cell) = of(tmp_path)
    assert not read_fit(cell)
    first = await fit_reference(cell, Stop())
    assert read_fit(cell)
    assert await fit_reference(cell, Stop()) == first
    assert fits == [{"name": "linear-probe", "data": "backgrounds", "split": "test", "c": 1.0}]
    best = first.figures["recommended"]
    assert (best.test, best.hits) == (0.75, "1110")
    assert best.at_chance, "of four images, two of each class"


async def test_it_stands_beside_searches_and_is_marked(tmp_path: Path) -> None:
    """In tables, and in differences that are paired image by image."""
    compare = [{"first": "probe", "second": "random"}]
    searched, cell = of(tmp_path)
    runs = blocks_of([outcome(searched, "1100"), await fit_reference(cell, Stop())])
    suite = study(**GIVEN, compare=compare, references=[])
    (table,) = tables(suite, runs)
    assert [(row["label"], row["mean"]) for row in table["rows"]] == [
        ("random", 0.5),
        ("probe (white box)", 0.75),
    ]
    (difference,) = differences(suite, runs)
    assert (difference["points"], difference["white_box"], difference["resampled"]) == (
        25.0,
        True,
        ["images"],
    )


async def test_other_settings_want_another_folder(tmp_path: Path) -> None:
    """One that was fitted in another way is not taken for this one."""
    await fit_reference(of(tmp_path)[1], Stop())
    with pytest.raises(UsageError, match="was started with other settings"):
        read_fit(of(tmp_path, methods=[{**METHODS[1], "c": 2.0}])[0])  # type: ignore[dict-item]


async def test_data_at_another_path_want_another_folder(tmp_path: Path) -> None:
    """A fit says where its data lay."""
    here, elsewhere = (of(tmp_path, data=[f"/{parent}/frames"])[1] for parent in ("a", "b"))
    await fit_reference(here, Stop())
    with pytest.raises(UsageError, match="data: it was '/a/frames', now '/b/frames'"):
        read_fit(elsewhere)


@pytest.mark.parametrize("text", ["", "[]", "{}", {"test": 1.5}, {"hits": "012"}, {"seconds": -1}])
async def test_a_torn_or_edited_file_is_made_again(tmp_path: Path, text: str | dict[str, Any]) -> None:
    """It was not whole, or has figures that cannot be."""
    (_, cell) = of(tmp_path)
    first = await fit_reference(cell, Stop())
    file = cell.run_dir / FITTED
    file.write_text(text if isinstance(text, str) else json.dumps(json.loads(file.read_text()) | text))
    assert not read_fit(cell)
    assert await fit_reference(cell, Stop()) == first


async def test_what_a_killed_process_left_half_written_is_no_hindrance(tmp_path: Path) -> None:
    """Its folder is the reference's own, and is fitted again."""
    (_, cell) = of(tmp_path)
    cell.run_dir.mkdir()
    (cell.run_dir / f".{FITTED}.dhqx1kmh").write_text("{")
    assert not read_fit(cell)
    await fit_reference(cell, Stop())
    assert read_fit(cell)


def test_a_folder_of_another_kind_is_refused(tmp_path: Path) -> None:
    """Nothing is written beside what is not ours."""
    (_, cell) = of(tmp_path)
    cell.run_dir.mkdir()
    (cell.run_dir / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"holds no white_box\.json"):
        read_fit(cell)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"cc": 1.0}, "unknown setting 'cc'; did you mean c?"),
        ({"c": -1.0}, "`c = -1.0`"),
        ({"epochs": 3}, "epochs"),
    ],
)
def test_options_are_those_of_the_reference(options: dict[str, Any], problem: str) -> None:
    """They are checked with the file."""
    with pytest.raises(ValueError, match=problem.replace("?", r"\?")):
        study(methods=[{"method": "linear-probe", **options}])


def test_a_black_box_of_ones_own_has_no_inside(tmp_path: Path) -> None:
    """It is refused before anything is fitted."""
    runs = of(tmp_path, search={"custom_scorer": "scorers:make"})
    with pytest.raises(ConfigError, match="linear-probe needs a CLIP, not a custom scorer"):
        check_cells(runs, Path("study.toml"))

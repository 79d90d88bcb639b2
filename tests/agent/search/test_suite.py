"""Suites: every search in its folder, resumable, and mean and spread of what they found."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from promptclimb.agent.cli.main import main
from promptclimb.agent.cli.suite import seeds_of
from promptclimb.agent.errors import ConfigError
from promptclimb.agent.search.suite import folder_name, spread
from promptclimb.evaluator.fakes import FakeEvaluator
from promptclimb.evaluator.spec import EvaluatorSpec
from tests.fakes.black_box import stand_in

SMALL = ("--restarts", "1", "--resets", "1", "--iterations", "2", "--initial", "5")


@pytest.fixture(autouse=True)
def fake_evaluators(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[FakeEvaluator]:
    """A hill of its own for each seed; what was opened, in order."""
    opened: list[FakeEvaluator] = []

    def fake(spec: EvaluatorSpec) -> FakeEvaluator:
        opened.append(FakeEvaluator(seed=spec.seed))
        return opened[-1]

    stand_in(monkeypatch, fake)
    monkeypatch.setattr(sys, "argv", ["run_agent.py"])
    monkeypatch.chdir(tmp_path)
    return opened


def test_a_suite_sums_up_and_goes_on(
    capsys: pytest.CaptureFixture[str], fake_evaluators: list[FakeEvaluator], tmp_path: Path
) -> None:
    """A row for each data set and method; the second call reads what the first has finished."""
    command = [
        "suite",
        "--data",
        "one,two",
        "--methods",
        "random",
        "--seeds",
        "1-3",
        *SMALL,
        "--suite-dir",
        "s",
    ]
    assert main([*command, "--json"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert found == json.loads((tmp_path / "s" / "suite.json").read_text())
    assert [(row["data"], row["seeds"]) for row in found["rows"]] == [("one", [1, 2, 3]), ("two", [1, 2, 3])]
    best = found["rows"][0]["test"]["best"]
    tests = [run["test"]["best"] for run in found["runs"] if run["data"] == "one"]
    assert best["mean"] == pytest.approx(sum(tests) / 3)
    assert best["n"] == 3
    assert found["overall"][0]["data_sets"] == 2
    assert "mean of" in err
    assert len(fake_evaluators) == 6
    assert main([*command, "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert len(fake_evaluators) == 6
    assert again == found


def test_a_suite_refuses_other_settings_in_its_folder(capsys: pytest.CaptureFixture[str]) -> None:
    """Two settings in one table would compare what cannot be compared."""
    command = ["suite", "--data", "one", "--methods", "random", "--seeds", "1", *SMALL, "--suite-dir", "s"]
    assert main(command) == 0
    assert main([*command, "--shots", "1"]) == 2
    assert "shots" in capsys.readouterr().err


def test_seeds_are_lists_or_ranges() -> None:
    """Repetitions count once."""
    assert seeds_of("1-3") == [1, 2, 3]
    assert seeds_of("5, 1-2,1") == [5, 1, 2]


@pytest.mark.parametrize("text", ["", "x", "3-1", "1-", "-1", "1.5", ","])
def test_other_seeds_are_refused(text: str) -> None:
    """With the forms that would be right."""
    with pytest.raises(ConfigError, match="--seeds"):
        seeds_of(text)


def test_two_data_sets_of_one_name_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """They would share a folder."""
    assert main(["suite", "--data", "a/x,b/x", "--methods", "random", *SMALL]) == 2
    assert "same name" in capsys.readouterr().err


def test_the_spread_is_the_sample_standard_deviation() -> None:
    """One value has none, and what is missing is left out."""
    assert spread([0.1, 0.3]) == {"mean": 0.2, "std": pytest.approx(0.1414, abs=1e-4), "n": 2}
    assert spread([0.5]) == {"mean": 0.5, "std": None, "n": 1}
    assert spread([None]) == {"mean": None, "std": None, "n": 0}


def test_folder_names_are_plain() -> None:
    """A path's last part, without what a shell would ask about."""
    assert folder_name("/data/my pics/", "pn", 2) == "my-pics-pn-seed2"

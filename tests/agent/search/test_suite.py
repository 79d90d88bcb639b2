"""Suites: every search in its folder, resumable, and mean and spread of what they found."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from promptclimb.agent.cli.main import main
from promptclimb.agent.cli.suite import data_sets_of, seeds_of
from promptclimb.agent.cli.suite_table import summary_text
from promptclimb.agent.config.schema import SearchConfig
from promptclimb.agent.results.result import (
    UNOPENED,
    Best,
    Dataset,
    Difference,
    Ensemble,
    Gain,
    SearchResult,
    Sizes,
)
from promptclimb.agent.results.run_dir import write_result
from promptclimb.agent.search.suite import Cell, check_cells, folder_name
from promptclimb.agent.search.suite_summary import spread, summary
from promptclimb.agent.store import Store
from promptclimb.evaluator.errors import ConfigError, DataError
from promptclimb.evaluator.fakes import FakeEvaluator
from promptclimb.evaluator.spec import EvaluatorSpec
from tests.fakes.black_box import stand_in
from tests.fakes.small_result import small_result

SMALL = ("--restarts", "1", "--conversations", "1", "--rounds", "2", "--initial", "5")


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


def test_a_name_with_a_comma_is_quoted_or_given_by_itself(capsys: pytest.CaptureFixture[str]) -> None:
    """``--data`` may be given again; quotes that are left open are a line."""
    assert list(data_sets_of(['"a,b", c', "d"])) == ["a,b", "c", "d"]
    assert list(data_sets_of(["a,b", '"sets/x, y"', "b"])) == ["a", "b", "sets/x, y"]
    for wrong in ([" , "], ['"a,b']):
        with pytest.raises(ConfigError, match=r"^--data "):
            data_sets_of(wrong)
    own = ["suite", "--data", '"a,b"', "--data", "c", "--methods", "random", "--seeds", "1", *SMALL]
    assert main([*own, "--dry-run"]) == 0
    assert "at most 2 searches" in capsys.readouterr().out


def test_the_table_tells_the_spread_of_seeds_from_what_is_certain(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The intervals of the runs are counted beside the means; where no restart helped, that is said."""
    found = summed(
        cell("d", "pn", 1, 0.5, gain=gain(plain=(1, 9), pool=(-2, 3))),
        cell("d", "pn", 2, 0.7, gain=gain(plain=(-1, 9), pool=(0, 0))),
        cell("e", "pn", 1, 0.5, gain=gain(plain=(-9, -1), pool=(1, 3))),
        cell("e", "pn", 2, 0.5),
    )
    text = summary_text(found)
    rows = {line.split()[0]: line.split()[-1] for line in text.splitlines()}
    assert (rows["d"], rows["e"], rows["mean"]) == ("1/0/1", "0/1/0", "1/1/1")
    assert "± is of the seeds alone" in text
    assert "d: in none of 2 runs, by whichever method, is best better for certain than the best" in text
    assert "e: in none" not in text


def test_what_is_no_better_than_chance_stands_below_the_table() -> None:
    """By data set and method, with how many runs that is; nothing where all are better."""
    many = Dataset(name="d", classes=2, shots=1, seed=1, sizes=Sizes(train=2, test=100))
    found = summed(
        cell("d", "pn", 1, 0.5, dataset=many),
        cell("d", "pn", 2, 0.7, dataset=many),
        cell("d", "p", 1, 0.8, dataset=many),
        cell("d", "p", 2, None, dataset=many),
    )
    said = "no better than chance: naming one of 2 classes at random gets 50.0 %"
    assert [run["guessing"] for run in found["runs"]] == [said, None, None, None]
    lines = [line for line in summary_text(found).splitlines() if "no better than chance" in line]
    assert lines == [f"d, pn: in 1 of 2 runs best may be {said}"]


def test_a_method_that_is_told_nothing_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """One line for each method that a description is lost on, in a suite and in a search."""
    own = ["--data", "one", "--describe", "numbers in binary", "--llm", "m", "--dry-run"]
    methods = ["--methods", "pn,guided,random,combine"]
    assert main(["suite", *own, *methods, "--seeds", "1-3", *SMALL]) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "--describe" in line]
    assert said == [f"note: --describe is not used by method {name}" for name in ("pn", "random")]
    assert main(["search", *own, "--method", "opro"]) == 0
    assert "note: --describe is not used by method opro\n" in capsys.readouterr().err
    assert main(["search", *own]) == 0
    assert "not used" not in capsys.readouterr().err


def test_what_is_stopped_is_named_and_in_no_mean(capsys: pytest.CaptureFixture[str]) -> None:
    """A row says how many seeds it averages, and the stopped searches stand below."""
    command = ["suite", "--data", "one", "--methods", "random", "--seeds", "1-2", *SMALL, "--suite-dir", "s"]
    assert main([*command, "--max-minutes", "0", "--json"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert found["rows"][0]["test"]["best"] == {"mean": None, "std": None, "n": 0}
    assert [run["seed"] for run in found["stopped"]] == [1, 2]
    assert "0 of 2" in err
    assert err.count("not run, in no mean: one, random, seed") == 2
    assert "the limit of 0 minutes over the whole suite is reached" in err
    assert main([*command, "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["rows"][0]["test"]["best"]["n"] == 2
    assert "2 of 2" in err
    assert "in no mean" not in err


def test_the_help_says_that_limits_are_the_suites(capsys: pytest.CaptureFixture[str]) -> None:
    """A search has the same options, where they are its own."""
    assert main(["suite", "--help-all"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for name in ("calls at most", "tokens at most, in and out", "dollars at most; needs --price"):
        assert f"{name}, over the whole suite" in text
    assert "over the whole run" not in text


def planned(capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, Any]:
    """What a dry run says of a suite of six searches, two calls each of those three that ask an LLM."""
    own = ["suite", "--data", "one", "--methods", "pn,random", "--llm", "m", "--seeds", "1-3", *SMALL]
    assert main([*own, "--dry-run", "--json", *more]) == 0
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


def test_the_dry_run_tells_what_the_whole_suite_does_at_most(
    capsys: pytest.CaptureFixture[str], fake_evaluators: list[FakeEvaluator], tmp_path: Path
) -> None:
    """The sum of all its searches, within the limits over all of them; what is opened scores nothing."""
    whole = planned(capsys, "--price", "1/2", "--rpm", "2")
    assert (whole["searches"], whole["calls"], whole["evaluations"]) == (6, 6, 6 * (5 + 5 * 2))
    assert whole["minutes"] == 3.0
    limits = ("--max-calls", "4", "--max-tokens", "100", "--max-cost", "0.000001", "--max-minutes", "2")
    less = planned(capsys, "--price", "1/2", "--rpm", "2", *limits)
    usual = less.pop("expected")
    assert usual == {"tokens": 100, "cost_usd": 0.000001, "minutes": 2.0, "seconds_a_template": None}
    assert 100 < whole["expected"]["tokens"] < whole["tokens"]
    assert less == {
        "searches": 6, "calls": 4, "tokens": 100, "cost_usd": 0.000001, "evaluations": 80, "minutes": 2.0
    }  # fmt: skip
    assert planned(capsys)["cost_usd"] is None
    assert planned(capsys)["minutes"] is None
    assert fake_evaluators
    assert not any(one.batches or one.opened for one in fake_evaluators)
    assert list(tmp_path.iterdir()) == []


def test_the_dry_run_is_for_people_too(capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each bound."""
    own = ["suite", "--data", "one,two", "--methods", "random", "--seeds", "1-3", *SMALL, "--dry-run"]
    assert main(own) == 0
    out = capsys.readouterr().out
    assert out.startswith("the whole suite, each search of 1 restarts x 1 conversations x 2 rounds\n")
    assert "at most 6 searches\n" in out


def cell(data: str, method: str, seed: int, test: float | None, **more: Any) -> tuple[Cell, SearchResult]:
    """A search of a suite, finished if it has a test accuracy."""
    config = SearchConfig(data=data, method=method, llm="m", seed=seed, run_dir=Path("s") / data)
    ended = {} if test is not None else {"status": "stopped", "stop_reason": "7 calls"}
    best = Best(template="a {}", train=0.5, val=None, test=test)
    ensemble = Ensemble(templates=("a {}",), train=0.5, val=None, test=test)
    return Cell(data=data, config=config), small_result(best=best, ensemble=ensemble, **ended | more)


def gain(*, plain: tuple[float, float], pool: tuple[float, float]) -> Gain:
    """A gain with these intervals over the default template and over the best starting template."""
    over = {
        name: Difference(points=sum(edges) / 2, interval=edges, paired=True, images=100)
        for name, edges in (("default template", plain), ("best starting template", pool))
    }
    return Gain(over=over, ensemble=None, verdict="")


def summed(*found: tuple[Cell, SearchResult]) -> dict[str, Any]:
    """The suite's document."""
    return summary(*zip(*found, strict=True))


def test_methods_are_compared_on_the_same_seeds() -> None:
    """A seed that one of them has not finished is in nobody's mean."""
    found = summed(
        cell("d", "pn", 1, 0.5), cell("d", "pn", 2, None), cell("d", "pn", 3, 0.7),
        cell("d", "random", 1, 0.4), cell("d", "random", 2, 0.9), cell("d", "random", 3, 0.6),
    )  # fmt: skip
    by_method = {row["method"]: row for row in found["rows"]}
    assert [row["seeds"] for row in found["rows"]] == [[1, 3], [1, 3]]
    assert by_method["random"]["test"]["best"] == pytest.approx({"mean": 0.5, "std": 0.1 * 2**0.5, "n": 2})
    assert (by_method["pn"]["finished"], by_method["random"]["finished"], by_method["pn"]["of"]) == (2, 3, 3)
    assert [(run["method"], run["seed"]) for run in found["stopped"]] == [("pn", 2)]


def test_a_method_that_finished_nothing_takes_no_mean_from_the_others() -> None:
    """It has none itself."""
    found = summed(cell("d", "pn", 1, None), cell("d", "random", 1, 0.4))
    assert [row["test"]["best"]["mean"] for row in found["rows"]] == [None, 0.4]
    assert [row["seeds"] for row in found["rows"]] == [[], [1]]
    assert [(row["data_sets"], row["test"]["best"]["n"]) for row in found["overall"]] == [(0, 0), (1, 1)]


def test_over_data_sets_the_same_ones_are_averaged_for_every_method() -> None:
    """A data set on which a method has finished nothing is in nobody's mean, and the number says so."""
    found = summed(
        cell("a", "pn", 1, 0.2), cell("a", "pn", 2, 0.4), cell("b", "pn", 1, None), cell("b", "pn", 2, None),
        cell("c", "pn", 1, 0.6), cell("c", "pn", 2, None),
        cell("a", "random", 1, 0.1), cell("a", "random", 2, 0.3), cell("b", "random", 1, 0.9),
        cell("b", "random", 2, 0.9), cell("c", "random", 1, 0.5), cell("c", "random", 2, 0.5),
    )  # fmt: skip
    assert [(row["data_sets"], row["of"], row["seeds"]) for row in found["overall"]] == [
        (2, 3, [1]),
        (2, 3, [1]),
    ]
    assert [row["test"]["best"]["mean"] for row in found["overall"]] == pytest.approx([0.4, 0.3])


def test_a_baseline_that_a_data_set_lacks_has_no_mean_over_data_sets() -> None:
    """A mean over fewer data sets than the others would not say so."""
    other = {"hand-made": Ensemble(templates=("b {}",), train=0.5, val=None, test=0.5)}
    found = summed(cell("a", "pn", 1, 0.2, baselines=other), cell("b", "pn", 1, 0.4, baselines={}))
    assert found["overall"][0]["test"]["hand-made"] == {"mean": None, "std": None, "n": 0}
    assert found["rows"][0]["test"]["hand-made"]["mean"] == 0.5


def test_a_run_whose_test_split_failed_is_named_too() -> None:
    """It went to its end, and has nothing to average."""
    found = summed(cell("d", "pn", 1, None, status="finished", stop_reason=None, notes={UNOPENED: "torn"}))
    assert [(run["seed"], run["stop_reason"]) for run in found["stopped"]] == [(1, "torn")]


def test_a_suite_refuses_other_settings_in_its_folder(
    capsys: pytest.CaptureFixture[str], fake_evaluators: list[FakeEvaluator], tmp_path: Path
) -> None:
    """Two settings in one table would compare what cannot be compared; told before any search begins."""
    command = ["suite", "--methods", "random", "--seeds", "1", *SMALL]
    assert main([*command, "--data", "two"]) == 0
    capsys.readouterr()
    assert main([*command, "--data", "one,two", "--shots", "1"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert f"--suite-dir {tmp_path / 'runs' / 'suite'}: two-random-seed1" in err
    assert "shots: it was 16, now 1" in err
    assert "a folder of its own by --suite-dir" in err
    assert len(fake_evaluators) == 1
    assert not (tmp_path / "runs" / "suite" / "one-random-seed1").exists()


def test_a_data_set_that_has_changed_is_named_in_the_suites_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its content shows only when it is opened."""
    command = ["suite", "--data", "one", "--methods", "random", "--seeds", "1", *SMALL]
    assert main([*command, "--max-minutes", "0.000001"]) == 0
    stand_in(monkeypatch, lambda _spec: FakeEvaluator(seed=99))
    capsys.readouterr()
    assert main(command) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert "fingerprint" in line
    assert "--suite-dir" in line


def pictures(folder: Path, count: int = 6) -> None:
    """A data set of two classes."""
    for label, name in enumerate(("cat", "dog")):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (8, 8), (90 * label, 20 * number, 7)).save(folder / name / f"{number}.png")


REFUSED = {
    "data set": (["--data", "ok,nope"], "there is no data set called 'nope'"),
    "image": (["--data", "ok,torn"], "torn"),
    "method": (["--data", "ok", "--methods", "random,nope"], "nope"),
    "model": (["--data", "ok", "--model", "RN-pcio"], "did you mean RN-pico"),
    "weights": (["--data", "ok", "--model", "ViT-B-32", "--pretrained", "nope"], "neither a tag"),
    "device": (["--data", "ok", "--device", "tpu"], "unknown device"),
    "templates": (["--data", "ok", "--initial", "nope.txt"], "nope.txt"),
    "wordings": (["--data", "ok", "--wordings", "nope.toml"], "nope.toml"),
    "folder": (["--data", "other,ok"], "ok-random-seed2 in it is not empty and holds no run"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_everything_is_checked_before_the_first_search_begins(
    what: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """One line, exit code 2, and nothing is made, however many searches would have worked."""
    monkeypatch.delenv("PROMPTCLIMB_EVALUATOR")
    for name in ("ok", "other", "torn"):
        pictures(tmp_path / name)
    for path in (tmp_path / "torn" / "cat").iterdir():
        path.write_bytes(path.read_bytes()[:50])
    if what == "folder":
        (tmp_path / "s" / "ok-random-seed2").mkdir(parents=True)
        (tmp_path / "s" / "ok-random-seed2" / "notes.txt").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    given, said = REFUSED[what]
    own = ["--methods", "random", "--seeds", "1-2", *SMALL, "--shots", "2", "--suite-dir", "s", *given]
    assert main(["suite", *own]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_what_is_finished_is_not_checked_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A data set may be gone by the time its figures are asked for."""
    monkeypatch.delenv("PROMPTCLIMB_EVALUATOR")
    pictures(tmp_path / "ok")
    config = SearchConfig(data=str(tmp_path / "ok"), method="random", shots=2, run_dir=tmp_path / "r")
    check_cells([Cell(data="ok", config=config)])
    with Store.create(tmp_path / "r", {"identity": config.identity()}):
        write_result(tmp_path / "r", small_result(status="finished"))
    shutil.rmtree(tmp_path / "ok")
    check_cells([Cell(data="ok", config=config)])
    gone = config.model_copy(update={"run_dir": tmp_path / "new"})
    with pytest.raises(DataError):
        check_cells([Cell(data="ok", config=gone)])


def test_seeds_are_lists_or_ranges() -> None:
    """Repetitions count once."""
    assert seeds_of("1-3") == [1, 2, 3]
    assert seeds_of("5, 1-2,1") == [5, 1, 2]


@pytest.mark.parametrize("text", ["", "x", "3-1", "1-", "-1", "1.5", ",", "²", "٣", "9" * 5000])
def test_other_seeds_are_refused(text: str) -> None:
    """With the forms that would be right, and without repeating thousands of digits."""
    with pytest.raises(ConfigError, match="--seeds") as caught:
        seeds_of(text)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("text", ["1-3000000000", "0-1000", "1-1000,2000", "1-600,1001-1600"])
def test_seeds_have_a_bound(text: str) -> None:
    """A mistyped range is refused with the bound before it fills the memory."""
    with pytest.raises(ConfigError, match="at most 1000 seeds"):
        seeds_of(text)
    assert len(seeds_of("1-1000,7")) == 1000


@pytest.mark.parametrize("folder", ["", "~nobody-here/x", "file", "full"])
def test_a_suites_folder_that_cannot_be_one_is_refused(
    folder: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Before the first search: no path, a file, one whose summary could not be written."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "full" / "suite.json").mkdir(parents=True)
    assert main(["suite", "--data", "one", "--methods", "random", *SMALL, "--suite-dir", folder]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: --suite-dir")
    assert err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "full"]


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

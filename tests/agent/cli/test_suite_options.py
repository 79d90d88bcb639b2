"""``suite --data ...``: the same study that a file makes, with one model and a number of shots."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from promptclimb.agent.cli import suite
from promptclimb.agent.cli.main import main
from promptclimb.agent.cli.suite import LONGEST_SCORER, listed, seeds_of, short_name
from promptclimb.agent.config.schema import SearchConfig
from promptclimb.agent.errors import StoreError
from promptclimb.agent.methods.registry import METHODS
from promptclimb.agent.results.run_dir import write_result
from promptclimb.agent.store.run import Store
from promptclimb.agent.study.grid import Cell
from promptclimb.agent.study.preflight import check_cells
from promptclimb.agent.study.runs import SearchEnd
from promptclimb.evaluator.errors import ConfigError, DataError
from promptclimb.evaluator.fakes import FakeEvaluator
from promptclimb.evaluator.spec import EvaluatorSpec
from promptclimb.evaluator.white_box.references import REFERENCES
from tests.fakes.black_box import stand_in
from tests.fakes.few_shots import pictures as clip_pictures
from tests.fakes.small_result import small_result
from tests.recorded import check_session

ELSEWHERE = ("--llm", "m", "--base-url", "http://127.0.0.1:9/v1")
"""An LLM that needs no key, and is not asked."""
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
    """The same document and files as of a suite file; the second call reads what the first has finished."""
    command = ["suite", "--data", "one,two", "--methods", "random", "--seeds", "1-3", *SMALL]
    command += ["--suite-dir", "s"]
    assert main([*command, "--json"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert found == json.loads((tmp_path / "s" / "suite.json").read_text())
    (table,) = found["tables"]
    assert table["seeds"] == {"one": [1, 2, 3], "two": [1, 2, 3]}
    assert "random ensemble" in [row["label"] for row in table["rows"]]
    compared = [(one["first"], one["second"]) for one in found["differences"]]
    assert compared == [("random", "default template"), ("random", "best starting template")]
    assert "6 of 6 runs finished and counted" in err
    assert {"runs.csv", "tables.md", "suite.json"} <= {one.name for one in (tmp_path / "s").iterdir()}
    assert len(fake_evaluators) == 6
    assert main([*command, "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert len(fake_evaluators) == 6
    assert again == found


def test_searches_at_once_give_the_same_tables(
    capsys: pytest.CaptureFixture[str], fake_evaluators: list[FakeEvaluator]
) -> None:
    """All but how long they took; each says that it begins and that it has ended."""
    documents = []
    for jobs in ("1", "3"):
        command = ["suite", "--data", "one,two", "--methods", "random", "--seeds", "1-2", *SMALL, "--json"]
        assert main([*command, "--suite-dir", f"s{jobs}", "--jobs", jobs]) == 0
        out, err = capsys.readouterr()
        documents.append(json.loads(out) | {"title": ""})
        for run in documents[-1]["runs"]:
            del run["wall_s"]
    assert documents[0] == documents[1]
    assert len(fake_evaluators) == 8
    assert sum(line.endswith(": finished") for line in err.splitlines()) == 4
    assert err.index("[3/4]") < err.index(": finished")


def test_an_error_that_ends_a_suite_ends_the_searches_beside_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are asked to stop, none begins any more, and that error is shown."""
    began: list[int] = []
    both = asyncio.Event()

    async def broken(cell: Cell, _shared: object, _refusals: object, opened: Any) -> SearchEnd:
        began.append(cell.seed)
        if cell.seed == 2:
            await both.wait()
            raise StoreError("the disk is broken")
        with opened(cell.config).stop.watching():
            both.set()
            await asyncio.Event().wait()
        raise AssertionError("it was stopped")

    monkeypatch.setattr(suite, "run_search", broken)
    command = ["suite", "--data", "one", "--methods", "random", "--seeds", "1-4", *SMALL]
    assert main([*command, "--suite-dir", "s", "--jobs", "2"]) == 1
    assert "the disk is broken" in capsys.readouterr().err
    assert began == [1, 2]


def test_a_note_that_several_searches_have_is_shown_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """About the model, for example; what differs is shown for each."""
    monkeypatch.delenv("PROMPTCLIMB_CUSTOM_SCORER")
    spec = clip_pictures(tmp_path)
    clip = ("--model", spec.model, "--pretrained", str(spec.pretrained), "--device", "cpu", "--shots", "2")
    monkeypatch.setenv("PROMPTCLIMB_CACHE", str(tmp_path / "cache"))
    own = ["suite", "--data", spec.data, *clip, "--methods", "random", "--seeds", "1-3"]
    assert main([*own, "--restarts", "1", "--rounds", "1", "--initial", "4", "--suite-dir", "s"]) == 0
    said = capsys.readouterr().err.splitlines()
    for beginning in ("model: ", "images: shortest", "texts: "):
        assert sum(line.startswith(beginning) for line in said) == 1
    assert sum(line.startswith("searching ") for line in said) == 3


def test_a_name_with_a_comma_is_quoted_or_given_by_itself(capsys: pytest.CaptureFixture[str]) -> None:
    """``--data`` may be given again; quotes that are left open are a line."""
    assert listed(['"a,b", c', "d"], "--data") == ["a,b", "c", "d"]
    assert listed(["a,b", '"sets/x, y"', "b"], "--data") == ["a", "b", "sets/x, y"]
    for wrong in ([" , "], ['"a,b']):
        with pytest.raises(ConfigError, match=r"^--data "):
            listed(wrong, "--data")
    own = ["suite", "--data", '"a,b"', "--data", "c", "--methods", "random", "--seeds", "1", *SMALL]
    assert main([*own, "--dry-run"]) == 0
    assert "at most 2 searches" in capsys.readouterr().out


def test_a_method_that_does_not_use_the_description_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """One line for each method that a description is lost on, in a suite and in a search."""
    own = ["--data", "one", "--describe", "numbers in binary", *ELSEWHERE, "--dry-run"]
    methods = ["--methods", "pn,guided,random,combine"]
    assert main(["suite", *own, *methods, "--seeds", "1-3", *SMALL]) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "--describe" in line]
    assert said == [f"note: --describe is not used by method {name}" for name in ("pn", "random")]
    assert main(["search", *own, "--method", "opro"]) == 0
    assert "note: --describe is not used by method opro\n" in capsys.readouterr().err
    assert main(["search", *own]) == 0
    assert "not used" not in capsys.readouterr().err


def test_white_box_references_are_methods_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As in a suite file: they need a CLIP, and are marked; a name that no table can show is refused."""
    command = [
        *["suite", "--data", "ok", "--methods", "random,tip-adapter", "--seeds", "1", "--dry-run"],
        *SMALL,
    ]
    assert main(command) == 2
    assert "error: tip-adapter needs a CLIP, not a custom scorer\n" in capsys.readouterr().err
    monkeypatch.delenv("PROMPTCLIMB_CUSTOM_SCORER")
    pictures(tmp_path / "ok")
    assert main([*command, "--shots", "2", "--json"]) == 0
    groups = json.loads(capsys.readouterr().out)["groups"]
    assert [(group["method"], group["white_box"]) for group in groups] == [
        ("random", False),
        ("tip-adapter", True),
    ]


def planned(capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, Any]:
    """What a dry run says of a suite of six searches, two calls each of those three that ask an LLM."""
    own = ["suite", "--data", "one", "--methods", "pn,random", *ELSEWHERE, "--seeds", "1-3", *SMALL]
    assert main([*own, "--dry-run", "--json", *more]) == 0
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


def test_the_dry_run_says_what_the_whole_suite_does_at_most(
    capsys: pytest.CaptureFixture[str], fake_evaluators: list[FakeEvaluator], tmp_path: Path
) -> None:
    """The sum of all its searches, within the limits over all of them; what is opened scores nothing."""
    whole = planned(capsys, "--price", "1/2", "--rpm", "2")
    assert (whole["searches"], whole["calls"], whole["evaluations"]) == (6, 6, 6 * (5 + 5 * 2))
    assert whole["minutes"] == 3.0
    limits = ("--max-calls", "4", "--max-tokens", "100", "--max-cost", "0.000001", "--max-minutes", "2")
    less = planned(capsys, "--price", "1/2", "--rpm", "2", *limits)
    groups = less.pop("groups")
    assert [(group["method"], group["runs"]) for group in groups] == [("pn", 3), ("random", 3)]
    assert whole["tokens"] > 100
    assert less == {
        "searches": 6, "calls": 4, "tokens": 100, "cost_usd": 0.000001, "evaluations": 90, "minutes": 2.0,
        "runs": 6, "downloads": [], "hours": None,
    }  # fmt: skip
    assert planned(capsys)["cost_usd"] is None
    assert planned(capsys)["minutes"] is None
    assert fake_evaluators
    assert not any(one.batches or one.opened for one in fake_evaluators)
    assert list(tmp_path.iterdir()) == []


def test_a_suite_refuses_other_settings_in_its_folder(
    capsys: pytest.CaptureFixture[str], fake_evaluators: list[FakeEvaluator], tmp_path: Path
) -> None:
    """Two settings in one table would compare what cannot be compared; refused before any search begins."""
    command = ["suite", "--methods", "random", "--seeds", "1", *SMALL]
    assert main([*command, "--data", "two"]) == 0
    capsys.readouterr()
    assert main([*command, "--data", "one,two", "--proposals", "1"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert f"--suite-dir {tmp_path / 'runs' / 'suite'}: seed1-tests.fakes.black_box-opened-two-random" in err
    assert "proposals: it was 5, now 1" in err
    assert "give this suite its own folder, or use the earlier settings" in err
    assert len(fake_evaluators) == 1
    assert not (tmp_path / "runs" / "suite" / "seed1-tests.fakes.black_box-opened-one-random").exists()


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


def test_a_finished_run_on_data_at_another_path_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Both sets have the name of the folder in the tables, and may have other images."""
    command = ["suite", "--methods", "random", "--seeds", "1", *SMALL]
    one, other = (tmp_path / parent / "pets" for parent in ("a", "b"))
    for folder, code in ((one, 0), (other, 2), (one, 0)):
        pictures(folder)
        assert main([*command, "--data", str(folder)]) == code
        assert (f"data: it was '{one}', now '{other}'" in capsys.readouterr().err) == bool(code)


def pictures(folder: Path, count: int = 6) -> None:
    """A data set of two classes."""
    for label, name in enumerate(("cat", "dog")):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            Image.new("RGB", (8, 8), (90 * label, 20 * number, 7)).save(folder / name / f"{number}.png")


def test_everything_is_checked_before_the_first_search_begins(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """One line, exit code 2, and nothing is made, however many searches would have worked."""
    monkeypatch.delenv("PROMPTCLIMB_CUSTOM_SCORER")
    for name in ("ok", "other", "torn"):
        pictures(tmp_path / name)
    for path in (tmp_path / "torn" / "cat").iterdir():
        path.write_bytes(path.read_bytes()[:50])
    taken = tmp_path / "taken" / "seed2-2shot-RN-pico-ok-random"
    taken.mkdir(parents=True)
    (taken / "notes.txt").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    own = f"suite --methods random --seeds 1-2 {' '.join(SMALL)} --shots 2 --suite-dir"
    wrong = (
        "--data ok,nope", "--data ok,torn", "--data ok --methods random,nope", "--data ok --model RN-pcio",
        "--data ok --initial nope.txt",
    )  # fmt: skip
    check_session(
        "suite-wrong", capsys, *(f"{own} s {options}" for options in wrong), f"{own} taken --data other,ok"
    )
    # What there is instead depends on the machine and on open_clip.
    for more, said in (
        ("--device tpu", "unknown device"),
        ("--model ViT-B-32 --pretrained x", "neither a tag"),
    ):
        assert main([*own.split(), "s", "--data", "ok", *more.split()]) == 2
        assert said in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def _cell(config: SearchConfig) -> Cell:
    return Cell(data="ok", shots=2, seed=1, model="RN-pico", method="random", llm=None, config=config)


def test_what_is_finished_is_not_checked_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A data set may be gone by the time its figures are asked for."""
    monkeypatch.delenv("PROMPTCLIMB_CUSTOM_SCORER")
    pictures(tmp_path / "ok")
    config = SearchConfig(data=str(tmp_path / "ok"), method="random", shots=2, run_dir=tmp_path / "r")
    check_cells([_cell(config)])
    with Store.create(tmp_path / "r", {"identity": config.identity(), "config": config.to_public()}):
        write_result(tmp_path / "r", small_result(status="finished"))
    shutil.rmtree(tmp_path / "ok")
    check_cells([_cell(config)])
    gone = config.model_copy(update={"run_dir": tmp_path / "new"})
    with pytest.raises(DataError):
        check_cells([_cell(gone)])


def test_a_scorers_name_is_cut_between_words() -> None:
    """It stands in the names of a suite's runs."""
    name = "package_of_my_own.scorers_of_several_kinds.lengths_of_words:make_scorer"
    assert short_name(name) == "scorers_of_several_kinds.lengths_of_words:make_scorer"
    assert short_name(name[-LONGEST_SCORER:]) == name[-LONGEST_SCORER:]


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
    assert "have the same name" in capsys.readouterr().err


def test_an_llm_that_no_method_asks_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever gave one expects it to be asked; beside a method that asks it, it is used."""
    own = ["--data", "one", *ELSEWHERE, "--dry-run"]
    assert main(["search", *own, "--method", "combine"]) == 0
    assert "note: --llm is not used by method combine\n" in capsys.readouterr().err
    assert main(["suite", *own, "--methods", "random,pn", "--seeds", "1", *SMALL]) == 0
    assert "--llm is not used" not in capsys.readouterr().err


def test_an_unknown_method_is_refused_with_a_list_of_all(capsys: pytest.CaptureFixture[str]) -> None:
    """Searches and references, in the error as in the help."""
    assert main(["suite", "--data", "dice", "--methods", "random,coopp"]) == 2
    error = capsys.readouterr().err
    assert "--methods: unknown method 'coopp'; did you mean coop or " in error
    assert main(["suite", "--help"]) == 0
    shown = "".join(capsys.readouterr().out.split())
    assert ",".join(METHODS) in shown
    assert ",".join(REFERENCES) in shown

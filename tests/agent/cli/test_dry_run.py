"""``search --dry-run``: what a search needs is opened and looked at, and nothing is paid or written."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from pathlib import Path

import pytest

import promptclimb.agent.search.inputs
from promptclimb.agent.cli.main import main
from promptclimb.evaluator.clip.images import ImageEncoder
from tests.fakes import suite_files
from tests.fakes.evaluators import FakeEvaluator
from tests.fakes.few_shots import pictures
from tests.recorded import check_session

NOWHERE = "http://127.0.0.1:9/v1"
"""Nothing answers there, so a request would fail."""


@pytest.fixture
def evaluator(monkeypatch: pytest.MonkeyPatch) -> FakeEvaluator:
    """What is opened in place of a CLIP."""
    fake = FakeEvaluator()
    monkeypatch.setattr(promptclimb.agent.search.inputs, "open_evaluator", lambda *_, **__: fake)
    return fake


def test_the_split_the_model_the_limits_and_the_bound_are_printed(
    evaluator: FakeEvaluator,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Data and model are opened, nothing is scored, no request is made, and the bound says what it is."""
    monkeypatch.chdir(tmp_path)
    command = f"search --llm m --base-url {NOWHERE} --price 1/2 --max-cost 3 --dry-run".split()
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("fake with words (hash): ")
    assert f"{evaluator.info.sizes['train']} train, " in shown
    plan = "48 rounds (4 restarts x 2 conversations x 6)\nat most, without limits:\n  LLM: 48 requests, "
    assert plan in shown
    assert re.search(r", \$\d\.\d{4}\n  \d+ templates scored\nlimits: --max-cost 3\n", shown)
    assert "counts as the longest possible" in shown
    small = [word if word != "3" else "0.01" for word in command]
    assert main(small) == 0
    assert capsys.readouterr().out == shown.replace("--max-cost 3", "--max-cost 0.01")
    assert main([*command, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["calls"] == 48
    assert document["tokens"] > 0
    assert 0 < document["cost_usd"] <= 3
    assert not evaluator.batches
    assert evaluator.opened == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data", "no/such"], "no data set of that name"),
        (["--data", "digits", "--model", "ViT-B-32"], "give --pretrained TAG, such as "),
        (["--custom-scorer", "no_such_module:make"], "no_such_module"),
        (["--initial", "missing.txt"], "missing.txt"),
    ],
)
def test_what_a_search_would_refuse_is_found(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Data, model, black box, files: by the same line and exit code."""
    assert main(["search", "--method", "random", *options, "--dry-run"]) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--llm", "local:no-such.gguf"], r"--llm local cannot be used: the model .*no-such\.gguf cannot"),
        (["--llm", "gpt-4o-mini"], r"no key: set OPENAI_API_KEY"),
    ],
)
@pytest.mark.usefixtures("evaluator", "llama")
def test_an_llm_that_would_be_refused_is_reported_last(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Exit code 0, as the bounds hold without them; a search is refused by the same words."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    assert main(["search", *options, "--dry-run"]) == 0
    printed = capsys.readouterr()
    reported = printed.err.splitlines()[-1].removeprefix("note: the search would be refused: ")
    assert re.match(message, reported)
    assert "templates scored" in printed.out
    assert list(tmp_path.iterdir()) == []
    assert main(["search", *options]) == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith(reported)


@pytest.mark.usefixtures("evaluator")
def test_a_local_llm_that_is_not_installed_is_reported(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What brings it is named; nothing is fetched."""
    monkeypatch.setattr("promptclimb.agent.llm.local_server.PACKAGE", "not_there")
    assert main(["search", "--llm", "local", "--dry-run", "--json"]) == 0
    printed = capsys.readouterr()
    assert "would be refused: --llm local cannot be used: not_there" in printed.err
    assert "'.[local]'" in printed.err
    assert json.loads(printed.out)["calls"]
    assert main(["search", "--llm", "local", "--dry-run"]) == 0
    assert "tokens, no cost, as it runs here\n" in capsys.readouterr().out


def test_a_black_box_of_ones_own_is_opened_and_scores_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is opened, and each of its scores may cost something."""
    (tmp_path / "own.py").write_text(
        "class Dear:\n    def score(self, templates):\n        raise SystemExit('each score is paid for')\n"
    )
    own = f"{tmp_path}/own.py:Dear"
    command = ["search", "--method", "random", "--custom-scorer", own, "--dry-run"]
    assert main(command) == 0
    assert "number of images unknown" in (stdout := capsys.readouterr().out)
    assert " templates scored\n" in stdout
    assert main([*command, "--search-for", "instruction"]) == 0
    assert " instructions scored\n" in (stdout := capsys.readouterr().out)
    assert "template" not in stdout


def test_a_search_without_a_description_is_given_a_tip(
    evaluator: FakeEvaluator, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Once, also in a dry run."""
    few = ["search", "--method", "combine", "--restarts", "1", "--rounds", "1", "--initial", "5"]
    note, run = "Tip: --describe TEXT says what kind of images these are", ["--run-dir", str(tmp_path / "r")]
    for options, described in itertools.product((["--dry-run"], run), (False, True)):
        shutil.rmtree(tmp_path / "r", ignore_errors=True)
        assert main([*few, *options, *(["--describe", "tally marks"] if described else [])]) == 0
        shown = " ".join("".join(capsys.readouterr()).split())
        assert shown.count(note) == (0 if described else 1)


def test_limits_on_an_llm_that_is_not_asked_are_no_limits(
    evaluator: FakeEvaluator, capsys: pytest.CaptureFixture[str]
) -> None:
    """A method without an LLM pays nothing; only its minutes are limited."""
    free = ["search", "--method", "combine", "--llm", "local", "--max-cost", "1", "--dry-run"]
    assert main(free) == 0
    assert "limits: " not in capsys.readouterr().out
    assert main([*free, "--max-minutes", "5"]) == 0
    assert "scored\nlimits: --max-minutes 5\n" in capsys.readouterr().out


def test_a_clip_is_opened_and_no_image_encoded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few-shot images are read, so that a torn one is found."""
    spec = pictures(tmp_path)
    clip = ("--model", spec.model, "--pretrained", str(spec.pretrained), "--device", "cpu", "--shots", "4")
    command = ["search", "--data", spec.data, *clip, "--method", "random", "--dry-run"]

    def encode(*_given: object) -> None:
        raise AssertionError("a dry run needs no features")

    monkeypatch.setattr(ImageEncoder, "features", encode)
    assert main(command) == 0
    assert " 12 train, " in capsys.readouterr().out
    for image in Path(spec.data).glob("train/*/*.png"):
        image.write_bytes(image.read_bytes()[:-20] + bytes(8))
    assert main(command) == 2
    assert (
        "to leave such images out, write PROMPTCLIMB_ON_BAD_IMAGE=skip before the command"
        in capsys.readouterr().err
    )


def test_weights_that_are_not_here_are_named_and_not_downloaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bound is that of the data's class names; an image that a search would refuse is refused."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.chdir(tmp_path)
    data = pictures(tmp_path).data
    llm = f"--search-for class-names --method guided --llm m --base-url {NOWHERE} --dry-run"
    command = f"search --data {data} --shots 4 --model ViT-B-32 --pretrained laion2b_s34b_b79k {llm}"
    assert main(command.split()) == 0
    shown = capsys.readouterr().out
    assert "with ViT-B-32 (laion2b_s34b_b79k): 12 train, " in shown
    assert " for a first reading of 3 of 3 classes" in shown
    downloads = "\nnot here yet, and downloaded by the run: ViT-B-32 (laion2b_s34b_b79k)\n"
    assert f"{downloads}\nThe first request for class names:\n\n    " in shown
    assert main([*command.split(), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["downloads"] == ["ViT-B-32 (laion2b_s34b_b79k)"]
    study = {
        "data": [data], "seeds": [0], "shots": [4], "methods": ["guided"], "compare": None,
        "models": [{"model": "ViT-B-32", "pretrained": "laion2b_s34b_b79k"}],
        "llms": [{"llm": "m", "base_url": NOWHERE}], "search": {"search_for": "class-names"},
    }  # fmt: skip
    assert main(["suite", suite_files.write_suite(**study), "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tokens"] == document["tokens"]
    of_hub = command.replace("ViT-B-32 --pretrained laion2b_s34b_b79k", "hf-hub:someone/clip")
    assert main([*of_hub.split(), "--json"]) == 0
    of_hub_document = json.loads(capsys.readouterr().out)
    assert (of_hub_document["downloads"], of_hub_document["tokens"]) == (
        ["hf-hub:someone/clip"], document["tokens"],
    )  # fmt: skip
    for image in Path(data).glob("train/*/*.png"):
        image.write_bytes(image.read_bytes()[:-20] + bytes(8))
    assert main(command.split()) == 2


def test_what_a_scorer_behind_an_api_takes_is_printed_and_nothing_is_asked(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Labels, requests, tokens and dollars, those of the final evaluation apart."""
    for split, count in (("train", 2), ("val", 1), ("test", 3)):
        suite_files.pictures(tmp_path / "colours" / split, count)
    few = "--restarts 1 --conversations 1 --rounds 2 --initial 4 --proposals 3 --allow-leak --dry-run"
    command = f"search --data colours --shots 2 --method random --model m --scorer-url {NOWHERE} {few}"
    monkeypatch.chdir(tmp_path)
    priced = f"{command} --scorer zero-shot --scorer-price 0.01/call"
    limited = f"{priced} --max-scorer-calls 55 --max-cost 0.6"
    asking = f"--method guided --llm m --base-url {NOWHERE} --price 1/2 --max-cost 0.5"
    # Default and 4 starting templates, then twice 3, on 6 images, which are too few for a race; then best,
    # default and best starting template on 6 test images.
    check_session(
        "dry-run-scorer", capsys, priced, limited, f"{limited} --json", f"{priced} --max-scorer-calls 19",
        f"{priced} --max-scorer-calls 40", f"{priced} {asking}",
        f"{priced} {asking} --method random --search-for class-names --describe colours",
        f"{command} --scorer chat --search-for instruction --max-scorer-calls 40",
        f"{command} --scorer zero-shot --scorer-price 0.1/0.1", f"{command} --scorer embeddings",
    )  # fmt: skip
    monkeypatch.setenv("PROMPTCLIMB_SCORER_DIALECT", "openai")
    check_session("dry-run-dialect", capsys, f"{command} --scorer embeddings")

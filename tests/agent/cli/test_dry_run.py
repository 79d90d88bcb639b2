"""``search --dry-run``: what a search needs is opened and looked at, and nothing is paid or written."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import promptclimb.agent.search.inputs
from promptclimb.agent.cli import rehearsal
from promptclimb.agent.cli.main import main
from promptclimb.evaluator.fakes import FakeEvaluator
from tests.paths import ROOT

NOWHERE = "http://127.0.0.1:9/v1"
"""Nothing answers there, so a request would fail."""


@pytest.fixture
def evaluator(monkeypatch: pytest.MonkeyPatch) -> FakeEvaluator:
    """What is opened in place of a CLIP."""
    fake = FakeEvaluator()
    monkeypatch.setattr(rehearsal, "opened_before", lambda *_, **__: None)
    monkeypatch.setattr(promptclimb.agent.search.inputs, "open_evaluator", lambda *_, **__: fake)
    return fake


def test_what_is_expected_stands_beside_the_bound(
    evaluator: FakeEvaluator,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A few templates are timed on what a search may see; test stays sealed, and no request is made."""
    monkeypatch.chdir(tmp_path)
    given = ["search", "--llm", "m", "--base-url", NOWHERE, "--price", "1/2", "--dry-run"]
    assert main(given) == 0
    shown = capsys.readouterr().out
    assert re.search(
        r"expected: [\d,]+ tokens if every call is made, \$\d\.\d+, a few seconds, at .* ms "
        r".*; the LLM's own time and the start come on top\n",
        shown,
    )
    assert f"{evaluator.info.sizes['train']} train, " in shown
    assert main([*given, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert 0 < found["expected"]["tokens"] < found["tokens"]
    assert 0 < found["expected"]["cost_usd"] < found["cost_usd"]
    assert found["expected"]["seconds_a_template"] is not None
    assert evaluator.batches
    assert evaluator.opened == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--data", "no/such"], "no data set called"),
        (["--data", "digits", "--model", "ViT-B-32"], "give --pretrained TAG"),
        (["--evaluator", "no_such_module:make"], "no_such_module"),
        (["--initial", "missing.txt"], "missing.txt"),
    ],
)
def test_what_a_search_would_refuse_is_found(
    given: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Data, model, black box, files: by the same line and exit code."""
    assert main(["search", "--method", "random", *given, "--dry-run"]) == 2
    assert said in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--llm", "local:no-such.gguf"], r"--llm local cannot be used: the model .*no-such\.gguf cannot"),
        (["--llm", "gpt-4o-mini"], r"no key: set OPENAI_API_KEY"),
        (["--method", "random", "--track", "tensorboard:/dev/null/x"], r"--track tensorboard"),
    ],
)
@pytest.mark.usefixtures("evaluator", "llama")
def test_an_llm_or_a_tracker_that_would_be_refused_is_told_last(
    given: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The bounds hold without them; a search with the same options is refused by the same words."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    assert main(["search", *given, "--dry-run"]) == 0
    found = capsys.readouterr()
    told = found.err.splitlines()[-1].removeprefix("note: the search would be refused: ")
    assert re.match(said, told)
    assert "expected: " in found.out
    assert list(tmp_path.iterdir()) == []
    assert main(["search", *given]) == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith(told)


@pytest.mark.usefixtures("evaluator")
@pytest.mark.parametrize(("more", "refused"), [((), True), (("--llm-fallback", "combine"), False)])
def test_a_local_llm_that_is_not_installed_is_told_unless_a_method_stands_in(
    more: tuple[str, ...],
    refused: bool,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What brings it is named; nothing is fetched."""
    monkeypatch.setattr("promptclimb.agent.llm.local_server.PACKAGE", "not_there")
    assert main(["search", "--llm", "local", *more, "--dry-run", "--json"]) == 0
    found = capsys.readouterr()
    assert ("would be refused: --llm local cannot be used: not_there" in found.err) == refused
    assert json.loads(found.out)["expected"]


def test_a_black_box_of_ones_own_is_opened_and_scores_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a score of it costs is not known."""
    (tmp_path / "own.py").write_text(
        "class Dear:\n    def score(self, templates):\n        raise SystemExit('each score is paid for')\n"
    )
    own = f"{tmp_path}/own.py:Dear"
    assert main(["search", "--method", "random", "--evaluator", own, "--dry-run"]) == 0
    assert "expected: the black box's own time (it scored nothing now)" in capsys.readouterr().out


def test_what_was_opened_before_is_not_opened_again() -> None:
    """All that is printed is known then: neither torch nor open_clip is imported."""
    code = (
        "import sys; from promptclimb.agent.cli import rehearsal\n"
        "from promptclimb.agent.cli.main import main\n"
        "from promptclimb.evaluator.clip.remembered import Remembered\n"
        "from promptclimb.evaluator.fakes import FakeEvaluator\n"
        "known = Remembered(FakeEvaluator().info, 0.25, 0.0)\n"
        "rehearsal.opened_before = lambda spec, report: (report('as it was'), known)[1]\n"
        "assert main(['search', '--method', 'random', '--dry-run']) == 0\n"
        "print(sorted({'torch', 'open_clip', 'torchvision'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "at 250.0 ms a template, as measured on this machine" in done.stdout
    assert "as it was" in done.stderr

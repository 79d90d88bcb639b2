"""What a run found, in the forms of other tools."""

from __future__ import annotations

import errno
import html
import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from promptclimb.agent.api import search
from promptclimb.agent.cli.export import which_templates as held
from promptclimb.agent.cli.main import main
from promptclimb.agent.config.schema import SearchConfig
from promptclimb.agent.present.page import render
from promptclimb.agent.results import exports
from promptclimb.agent.results.exports import FORMS, export, export_all
from promptclimb.agent.results.history import RunView
from promptclimb.agent.results.result import Best, GroupAccuracies, Recommended, SearchResult, WithImages
from promptclimb.agent.results.run_dir import read_result, write_atomically, write_result
from promptclimb.evaluator.datasets.class_names import read_names_file
from promptclimb.evaluator.errors import UsageError
from tests.fakes.clock import run_virtual
from tests.fakes.evaluators import FakeEvaluator
from tests.paths import ROOT

CLASSES = ("snow leopard", "{brace} 100%")
TEMPLATES = ("a photo of a {}.", "{} seen from above, {} all over", "=a sketch of {}")
LEARNED = "the recommended classifier, which learned from 9 labelled images, and its texts"


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on a folder of images, whose texts are put in by hand."""
    home = tmp_path_factory.mktemp("run")
    for label, name in enumerate(("{brace} 100%", "snow_leopard")):
        (home / "data" / name).mkdir(parents=True)
        for number in range(6):
            pixels = np.full((4, 4, 3), 40 * label + number, np.uint8)
            Image.fromarray(pixels).save(home / "data" / name / f"{number}.png")
    config = SearchConfig(
        data=str(home / "data"), method="random", shots=1, restarts=1, rounds=1, initial=4,
        run_dir=home / "run",
    )  # fmt: skip
    run_virtual(search(config, custom_scorer=FakeEvaluator()))
    result = read_result(home / "run")
    write_result(home / "run", with_templates(result, *TEMPLATES))
    return home / "run"


def with_templates(result: SearchResult, *templates: str) -> SearchResult:
    """A result whose texts are these, and whose best is the first."""
    best = Best(template=templates[0], train=0.5, val=None, test=0.5)
    together = GroupAccuracies(templates=templates, train=0.5, val=None, test=0.5)
    recommended = Recommended(form="texts", test=0.5)
    return replace(result, best=best, texts=together, recommended=recommended)


def exported(run_dir: Path, form: str) -> Any:
    """The document that an export wrote."""
    return json.loads(export(run_dir, form).read_text("utf-8"))


def test_open_clip_can_format_every_template(run_dir: Path) -> None:
    """Each takes one argument by str.format, however many slots it has."""
    filled = [template.format("snow leopard") for template in exported(run_dir, "open-clip")]
    assert filled == [template.replace("{}", "snow leopard") for template in TEMPLATES]


def test_all_formats_are_written_into_a_folder(run_dir: Path, tmp_path: Path) -> None:
    """By the same function; a name that is no format is refused."""
    assert export(run_dir, "all", out=tmp_path / "all") == tmp_path / "all"
    assert (tmp_path / "all" / FORMS["csv"].file).exists()
    assert export(run_dir, "all") == run_dir / "exports"
    with pytest.raises(UsageError, match="class-names, all"):
        export(run_dir, "nothing of the kind")


def test_a_folder_without_a_run_is_said(tmp_path: Path) -> None:
    """Not that it cannot be written."""
    for write in (lambda folder: export(folder, "text"), export_all):
        with pytest.raises(UsageError, match="there is no such folder"):
            write(tmp_path / "nowhere")
        with pytest.raises(UsageError, match="it is not the folder of a run"):
            write(tmp_path)


def test_class_names_with_an_equals_sign_are_read_back(run_dir: Path, tmp_path: Path) -> None:
    """One of them kept all from being exported."""
    names = {"snow leopard": "a = b", "x=1": "cat"}
    result = read_result(run_dir)
    shutil.copytree(run_dir, tmp_path / "r")
    write_result(tmp_path / "r", replace(result, best=replace(result.best, class_names=names)))
    assert read_names_file(export(tmp_path / "r", "class-names")) == names


def test_the_best_alone_is_written_where_it_is_asked_for(run_dir: Path) -> None:
    """In each form that holds templates; a form that has no such choice says so."""
    for form in FORMS.keys() - {"safetensors"}:
        if not FORMS[form].chooses:
            with pytest.raises(UsageError, match=f"the format {form} has no choice of templates"):
                export(run_dir, form, only="best")
            continue
        text = export(run_dir, form, only="best").read_text("utf-8")
        assert "photo of a" in text
        assert "sketch of" not in text
    assert len(exported(run_dir, "open-clip")) == len(TEMPLATES)
    with pytest.raises(UsageError, match="`only = all`: it takes best or texts"):
        export(run_dir, "open-clip", only="all")


def test_a_line_says_which_templates_were_written(run_dir: Path) -> None:
    """Nothing of a leaderboard, which is no choice of templates."""
    result = read_result(run_dir)
    assert held(result, "cupl") == "It holds the recommended texts: 3 templates."
    assert held(result, "cupl", "best") == "It holds the best template alone: 1 template."
    assert held(result, "csv") == ""
    learnt = WithImages(templates=TEMPLATES, train=0.5, test=0.5, images=9, strength=1.0)
    texts, best = replace(result.texts, test=0.25), replace(result.best, test=0.2)
    recommended = Recommended(form="with_images", test=0.738)
    learned = replace(result, with_images=learnt, recommended=recommended, texts=texts, best=best)
    with_images = f"It holds {LEARNED}: 3 templates."
    assert held(learned, "safetensors") == with_images
    for only in (None, "texts"):
        assert held(learned, "cupl", only) == (
            "It holds the recommended texts: 3 templates. What the 9 labelled images taught is left "
            "out: these texts have 25.0 % on test, the classifier 73.8 %; --format safetensors has the "
            "classifier."
        )
    assert "1 template. What the 9 labelled images taught is left out: these texts have 20.0 %" in held(
        learned, "cupl", "best"
    )
    unmeasured = replace(learned, recommended=Recommended(form="with_images", test=None))
    assert "taught is left out; --format safetensors has the classifier." in held(unmeasured, "cupl")
    named = replace(result, best=replace(result.best, class_names={"cat": "house cat"}))
    assert "--format class-names writes the class names" in held(named, "cupl")
    for only in ("texts", "best"):
        assert held(learned, "safetensors", only).endswith(
            ", the classifier 73.8 %; leave out --only to have the classifier."
        )


def test_a_line_tells_texts_with_new_names_from_a_classifier_with_the_original_ones(run_dir: Path) -> None:
    """They are two things, with an accuracy each."""
    result = read_result(run_dir)
    learnt = WithImages(
        templates=TEMPLATES, train=0.5, test=0.703, images=9, strength=1.0, original_names=True
    )
    result = replace(
        result,
        best=replace(result.best, class_names={"cat": "house cat"}),
        texts=replace(result.texts, templates=("a {}",), test=0.561),
        with_images=learnt,
        recommended=Recommended(form="with_images", test=0.703),
    )
    whole = f"It holds {LEARNED}: 3 templates."
    assert held(result, "safetensors") == whole
    classifier = (
        "he recommended classifier, which has your own class names and learned from 9 labelled images"
    )
    assert held(result, "cupl").startswith(
        f"It holds the texts with the new class names: 1 template. T{classifier}, has 70.3 % on test; these "
        "texts have 56.1 %; --format safetensors has the classifier; --format class-names writes"
    )
    untested = replace(result, recommended=Recommended(form="with_images", test=None))
    assert "learned from 9 labelled images; these texts have the new names; " in held(untested, "cupl")
    page = html.unescape(render(RunView(run_dir=run_dir, state="finished", result=result)))
    assert "Below is what to use without images: " in page
    assert f". T{classifier}, has 70.3 % on test; these texts have 56.1 %." in page


def test_clip_benchmark_fills_its_named_slot(run_dir: Path) -> None:
    """As its zero_shot_classifier does."""
    listed = exported(run_dir, "clip-benchmark")
    assert [template.format(c="{x}") for template in listed] == [
        template.replace("{}", "{x}") for template in TEMPLATES
    ]


def test_cupl_has_the_filled_texts_of_every_class(run_dir: Path) -> None:
    """By class name; braces and percent signs in it are text."""
    prompts = exported(run_dir, "cupl")
    assert tuple(prompts) == CLASSES
    for name, texts in prompts.items():
        assert texts == [template.replace("{}", name) for template in TEMPLATES]


def test_cupl_has_new_names_in_its_prompts(run_dir: Path, tmp_path: Path) -> None:
    """Its keys are the original names."""
    shutil.copytree(run_dir, tmp_path / "r")
    result = read_result(run_dir)
    best = replace(result.best, class_names={"snow leopard": "big cat"})
    texts = replace(result.texts, templates=best.templates)
    write_result(tmp_path / "r", replace(result, best=best, texts=texts))
    prompts = exported(tmp_path / "r", "cupl")
    assert tuple(prompts) == CLASSES
    assert [*prompts.values()] == [["a photo of a big cat."], ["a photo of a {brace} 100%."]]


def test_out_names_the_file(run_dir: Path, tmp_path: Path) -> None:
    """Its folders are made; without it the file lies in the run."""
    target = tmp_path / "new" / "templates.json"
    assert export(run_dir, "open-clip", out=target) == target
    assert target.read_text("utf-8") == export(run_dir, "open-clip").read_text("utf-8")
    assert export(run_dir, "cupl").parent == run_dir / "exports"


@pytest.mark.parametrize("text", ["no slot", "a {} \u202e"])
@pytest.mark.parametrize("form", ["open-clip", "cupl"])
def test_a_template_that_was_changed_from_outside_is_not_exported(
    run_dir: Path, tmp_path: Path, text: str, form: str
) -> None:
    """Wrong input, not a crash."""
    shutil.copytree(run_dir, tmp_path / "r")
    write_result(tmp_path / "r", with_templates(read_result(run_dir), text))
    with pytest.raises(UsageError, match=r"result\.json cannot be read: .* is not a template"):
        export(tmp_path / "r", form)


def test_no_classifier_is_made_up_for_an_evaluator_from_python(run_dir: Path) -> None:
    """The model that the config names is not what scored."""
    with pytest.raises(UsageError, match=r"FakeEvaluator.*no classifier vectors to export"):
        export(run_dir, "safetensors")


def test_the_formats_are_those_that_are_documented() -> None:
    """Each has a row in the table of the page."""
    page = (ROOT / "docs" / "exports.md").read_text("utf-8")
    table = page.partition("|`--format`|")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\|`([\w-]+)`\|", table, re.MULTILINE)) == set(FORMS)


def test_all_formats_go_into_a_folder(run_dir: Path, tmp_path: Path) -> None:
    """A format that this run cannot have is left out, and said to be; a file in the place is kept."""
    lines: list[str] = []
    files = export_all(run_dir, out=tmp_path / "all", report=lines.append)
    assert sorted(tmp_path.joinpath("all").iterdir()) == sorted(files)
    missing = {"safetensors", "class-names"}
    assert [file.name for file in files] == [
        export_form.file for name, export_form in FORMS.items() if name not in missing
    ]
    assert {form for line in lines for form in line.split(": ")[1].split(", ")} == missing
    assert str(run_dir) not in " ".join(lines)
    assert "left out: class-names: the run has no new class names" in " ".join(lines)
    names = [file.name for file in export_all(run_dir, out=tmp_path / "best", only="best")]
    assert "cupl-prompts-best.json" in names
    assert "leaderboard.csv" in names
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(UsageError, match="is a file; with all formats, name a folder"):
        export_all(run_dir, out=tmp_path / "taken")
    with pytest.raises(UsageError, match="no such folder"):
        export_all(tmp_path / "absent")


def test_a_file_that_cannot_be_written_fails_all_formats_after_the_others(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is not left out as one that this run cannot have, in Python and on the command line."""
    target = tmp_path / "all"
    (target / FORMS["open-clip"].file).mkdir(parents=True)

    def on_full_disk(path: Path, content: str | bytes) -> None:
        if path.name == FORMS["text"].file:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        write_atomically(path, content)

    monkeypatch.setattr(exports, "write_atomically", on_full_disk)
    faults = (
        r"open-clip-templates.json cannot be written: it is not a file; .*prompts.txt cannot be written: No"
    )
    with pytest.raises(UsageError, match=faults):
        export(run_dir, "all", out=target)
    others = [target / FORMS[form].file for form in ("clip-benchmark", "cupl", "csv")]
    assert all(file.is_file() for file in others)
    assert main(["export", str(run_dir), "--format", "all", "--out", str(target)]) == 2
    printed = capsys.readouterr()
    assert printed.out.split() == list(map(str, others))
    assert re.search(f"error: .*{faults}", printed.err)
    assert "left out: class-names: " in printed.err
    own_file = r"leaderboard.csv`? is a run's own file, which that run needs; choose another place"
    with pytest.raises(UsageError, match=own_file):
        export_all(run_dir, out=run_dir)
    with pytest.raises(UsageError, match=own_file):
        export(run_dir, "csv", out=run_dir / "leaderboard.csv")


def test_a_name_with_the_ending_of_another_format_is_refused(run_dir: Path, tmp_path: Path) -> None:
    """Before anything is opened; a name without an ending is kept."""
    with pytest.raises(UsageError, match=r"`out = .*x\.pt`: \.pt is .*; the right one is \.safetensors"):
        export(run_dir, "safetensors", out=tmp_path / "x.pt")
    with pytest.raises(UsageError, match=r"the right one is \.json"):
        export(run_dir, "open-clip", out=tmp_path / "x.csv")
    assert not [*tmp_path.iterdir()]
    assert export(run_dir, "open-clip", out=tmp_path / "x") == tmp_path / "x"


def test_class_names_that_only_the_evaluator_had_are_said_to_be_so(tmp_path: Path) -> None:
    """Not that there is no data set of a name which never was one."""
    config = SearchConfig(
        data="mine", method="random", shots=1, restarts=1, rounds=1, initial=4, run_dir=tmp_path / "run"
    )
    run_virtual(search(config, custom_scorer=FakeEvaluator()))
    with pytest.raises(UsageError, match=r"own scorer \(.*FakeEvaluator\), so there are no class names"):
        export(tmp_path / "run", "cupl")


@pytest.mark.parametrize(
    "name",
    [
        "result.json", "leaderboard.csv", "templates.json", "config.toml", "report.html", "events.jsonl",
        "store/cache.db", "store/run.lock", "exports/../result.json", "link.csv",
    ],
)  # fmt: skip
def test_a_runs_own_files_are_not_written_over(run_dir: Path, name: str) -> None:
    """Nor another run's, nor through a link: an export is a copy, and those are what the run lives by."""
    (run_dir / "exports").mkdir(exist_ok=True)
    if name == "link.csv" and not (run_dir / name).is_symlink():
        (run_dir / name).symlink_to("result.json")
    before = (run_dir / name).read_bytes()
    with pytest.raises(UsageError, match="own file"):
        export(run_dir, "csv", out=run_dir / name)
    assert (run_dir / name).read_bytes() == before


@pytest.mark.parametrize("name", ["leaderboard.csv", "store/x.csv", "run/mine.csv"])
def test_a_file_that_only_has_such_a_name_is_written(run_dir: Path, tmp_path: Path, name: str) -> None:
    """Outside a run's folder it is any file, and in it other names are free."""
    out = run_dir / "mine.csv" if name == "run/mine.csv" else tmp_path / name
    assert export(run_dir, "csv", out=out) == out
    assert export(run_dir, "csv", out=str(out)).read_text().startswith("rank,")

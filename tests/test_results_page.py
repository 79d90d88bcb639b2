"""The tables of docs/results.md are what the raw data in docs/results come to."""

from __future__ import annotations

import csv
import json
import re
import statistics
import tomllib
from pathlib import Path
from typing import Any

import pytest

from benchmarks import results_page
from benchmarks.common import holm, over_sets, read_rows, standard_error
from benchmarks.few_scorings import COMBINE
from benchmarks.result_tables import COMPARED, compared_optimizers
from promptclimb.evaluator.datasets.hand_made import hand_made
from tests.paths import ROOT

DOCS = ROOT / "docs"
RESULTS = DOCS / "results"
PAGE = (DOCS / "results.md").read_text("utf-8")


DRAWN_AGAIN = ("optimizers", "differences")
"""Kinds of tables with intervals, which are drawn again."""
PARTS = {f"{part['kind']} {part['name']}": part[0] for part in results_page.TABLE.finditer(PAGE)}


@pytest.mark.parametrize(
    "part",
    [pytest.param(name, marks=[pytest.mark.slow] * name.startswith(DRAWN_AGAIN)) for name in PARTS],
)
def test_a_table_is_that_of_the_raw_data(part: str) -> None:
    """Made again, it is the same; intervals of the comparison are drawn again too, which takes a while."""
    assert results_page.renewed(PARTS[part], RESULTS) == PARTS[part], "run python benchmarks/results_page.py"


def test_every_kind_of_table_is_on_the_page() -> None:
    """And no other."""
    assert {part.split()[0] for part in PARTS} == set(results_page.KINDS)


def test_every_raw_file_is_named_on_a_page_or_makes_a_table() -> None:
    """No data without a reader."""
    parts = {part["name"] for part in results_page.TABLE.finditer(PAGE)} | set(COMPARED)
    made = {
        f"{name}{ending}" for name in parts for ending in (".csv", "-large.csv", "-transfer.csv", ".jsonl")
    }
    pages = PAGE + (ROOT / "docs" / "method.md").read_text("utf-8")
    files = [file.name for file in RESULTS.iterdir() if file.name != "README.md"]
    assert [name for name in files if name not in made and name not in pages] == []


def test_a_mean_is_over_data_sets_of_the_means_over_seeds() -> None:
    """Recomputed from the rows, independently."""
    with (RESULTS / "bundled.csv").open(encoding="utf-8", newline="") as file:
        rows = [
            row
            for row in csv.DictReader(file)
            if (row["model"], row["shots"], row["method"], row["counts"])
            == ("RN-pico", "16", "guided, with description", "1")
        ]
    sets = {row["data"] for row in rows}
    by_set = [[float(row["test: best"]) for row in rows if row["data"] == name] for name in sets]
    mean = 100 * statistics.mean(map(statistics.mean, by_set))
    table = {line[0]: line[1:] for line in results_page.means(RESULTS, "bundled")}
    assert len(rows) == 39
    assert table["guided"][1] == f"{mean:.1f}"


def test_templates_on_the_page_were_found() -> None:
    """With the gain over the default template that the page says."""
    with (RESULTS / "bundled.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for template, gain in (("a photo of outside frame {}", "+77"), ("a {} patch on animal", "-5")):
        gains = {
            f"{100 * (float(row['test: best']) - float(row['test: default template'])):+.0f}"
            for row in rows
            if row["template"] == template and row["method"] == "guided, with description"
        }
        assert gain in gains
        assert f"`{template}` ({gain} points)" in PAGE


def test_shares_of_gains_that_transfer_are_those_of_the_rows() -> None:
    """Of the gain over the best starting template, in each direction and at each number of shots."""
    runs = results_page._runs(RESULTS, "bundled")
    for method in ("guided", "combine"):
        shares = []
        for row in results_page._rows(RESULTS / "bundled-transfer.csv"):
            if row["method"] == f"{method}, with description":
                default, start = (
                    results_page._mean(runs, row["method"], figure, model=row["to"], shots=row["shots"])
                    for figure in ("default template", "best starting template")
                )
                brought, native = (float(row[key]) - (start - default) for key in ("brought", "native"))
                shares.append(100 * brought / native)
        assert f"{min(shares):.0f} to {max(shares):.0f} % (`{method}`)" in PAGE


def test_sets_of_development_are_apart() -> None:
    """The gain over random on sets that methods were developed on, and on others."""
    developed_on = (
        *("roman-numerals", "dice", "tallies", "binary-numbers", "coloured-things", "ink-colours"),
        *("clock-minutes", "handwritten-letters"),
    )
    tests: dict[str, dict[str, list[float]]] = {}
    for row in read_rows(RESULTS / "with-llm.jsonl"):
        tests.setdefault(row["arm"], {}).setdefault(row["set"], []).append(100 * row["test"])
    gains: tuple[list[float], list[float]] = ([], [])
    for data, values in tests["guided, with description"].items():
        gain = statistics.mean(values) - statistics.mean(tests["random"][data])
        gains[data not in developed_on].append(gain)
    assert list(map(len, gains)) == [8, 4]
    for side in gains:
        assert f"{statistics.mean(side):.1f}±{standard_error(side):.1f}" in PAGE


@pytest.mark.slow
@pytest.mark.parametrize("name", ["optimizers-scorings", "optimizers-scorings-local"])
def test_the_counts_with_many_scorings_are_those_of_the_rows(name: str) -> None:
    """Of the sets on which our search is near the best."""
    row = compared_optimizers(read_rows(RESULTS / f"{name}.jsonl"))["guided, with description"]
    assert f"on {row['near']} of {row['sets']}" in PAGE


@pytest.mark.slow
def test_the_table_of_unread_names_is_that_of_the_rows() -> None:
    """It loads PyTorch."""
    from benchmarks.unread_names import table

    for line in table(read_rows(RESULTS / "unread-names.jsonl")):
        assert f"|{'|'.join(line)}|" in PAGE


def test_a_difference_over_sets_has_a_median_and_a_trimmed_mean() -> None:
    """One set with a large difference moves the mean alone, and does not remain with the correction."""
    sets = {f"set {number}": [float(number % 3) - 1, float(number % 3) - 1] for number in range(12)}
    found = over_sets({**sets, "large": [60.0, 60.0]}, "a")
    assert found.mean == pytest.approx(60 / 13)
    assert (found.median, found.p > 0.05) == (0, True)
    assert found.trimmed == pytest.approx(-1 / 11)
    assert found.interval[0] < 0 < found.interval[1]
    alike = over_sets({name: [2.0, 3.0] for name in sets}, "b")
    assert alike.p == 2 / 2**12
    assert holm({"a": found.p, "b": alike.p}) == {"b"}


def test_holm_stops_at_the_first_that_fails() -> None:
    """Even where a later one is below its own level."""
    assert holm({"a": 0.01, "b": 0.03, "c": 0.04}) == {"a"}


def study() -> dict[str, Any]:
    """What a finished study leaves in suite.json, as far as it is kept."""
    curve = {"label": "random", "model": "RN-pico", "shots": 1, "points": [{"templates": 10, "test": 0.5}]}
    return {"transfer": [], "curves": [curve]}


def test_a_study_is_kept_and_its_table_made_again(tmp_path: Path) -> None:
    """Raw data beside the page; the text by hand stays."""
    (tmp_path / "results").mkdir()
    page = "Text.\n\n<!-- means: small -->\nold\n<!-- end -->\n\nMore.\n"
    (tmp_path / "results.md").write_text(page, "utf-8")
    suite = tmp_path / "suite"
    suite.mkdir()
    (suite / "suite.json").write_text(json.dumps(study()), "utf-8")
    bundled = (RESULTS / "bundled.csv").read_text("utf-8")
    (suite / "runs.csv").write_text(bundled, "utf-8")
    results_page.main([f"small={suite}"], docs=tmp_path)
    text = (tmp_path / "results.md").read_text("utf-8")
    assert "|default template|59.7|59.7|54.4|54.4|1|0|" in text
    assert text.startswith("Text.")
    assert text.endswith("<!-- end -->\n\nMore.\n")
    assert "old" not in text
    assert (tmp_path / "results" / "small.csv").read_text("utf-8") == bundled
    assert "random,RN-pico,1,10,50.0" in (tmp_path / "results" / "small-curves.csv").read_text("utf-8")


def test_an_unknown_table_and_an_unfinished_study_are_named(tmp_path: Path) -> None:
    """One line each."""
    with pytest.raises(ValueError, match="unknown kind of table: fond"):
        results_page.renewed("<!-- fond: small -->\n<!-- end -->", RESULTS)
    with pytest.raises(SystemExit, match=r"no suite\.json there"):
        results_page.main([f"small={tmp_path}"], docs=tmp_path)


def test_every_file_of_rows_says_what_made_it() -> None:
    """The page beside the rows names each file."""
    named = re.findall(r"[\w.-]+", (RESULTS / "README.md").read_text("utf-8"))
    assert {file.name for file in RESULTS.iterdir()} <= {*named, "README.md"}


def test_the_readme_shows_the_means() -> None:
    """Its table is part of the page's: Tags-pico on sets by others, RN-pico on drawn ones."""
    others, drawn = (
        {line[0]: line[1:] for line in results_page.means(RESULTS, name)} for name in ("published", "bundled")
    )
    readme = (ROOT / "README.md").read_text("utf-8")
    for shown, row in {
        "`a photo of a {}`": "default template",
        "best of 80 starting templates": "best starting template",
        "`combine`, no LLM": "combine",
        "ensemble of `combine`": "combine, ensemble",
        "`guided`, small LLM": "guided",
        "ensemble of `guided`": "guided, ensemble",
        "ensemble of `random`": "random, ensemble",
        "Tip-Adapter from OpenAI's 80": "Tip-Adapter from OpenAI's 80, all labels",
    }.items():
        cells = (*others[row][:2], *drawn[row][:2], drawn[row][4])
        assert f"|{shown}|{'|'.join(cells)}|" in readme
    coop, fewer = "CoOp, all labels", drawn["CoOp"][1]
    cells = (*others[coop][:2], drawn[coop][0], f"{fewer} (16 labelled)", "")
    assert f"|CoOp, which uses gradients|{'|'.join(cells)}|" in readme


def test_hand_made_templates_are_captions_of_the_training() -> None:
    """So many of those of the bundled study as the page says: its phrases, alone or in one of its frames."""
    words = tomllib.loads((ROOT / "training" / "phrases.toml").read_text("utf-8"))
    phrases = {
        phrase.replace("[]", "{}")
        for form in (*words["forms"].values(), words["neutral"])
        for kind in form.values()
        if isinstance(kind, list)
        for phrase in kind
    }
    captions = phrases | {frame.replace("{}", phrase) for frame in words["frames"] for phrase in phrases}
    study = tomllib.loads((ROOT / "suites" / "bundled.toml").read_text("utf-8"))
    templates = [template for data in study["data"] for template in hand_made(data)]
    assert f"{sum(template in captions for template in templates)} of {len(templates)} are" in PAGE


def test_opro_is_ahead_with_few_scores() -> None:
    """By as much, and on as many sets, as the page says."""
    combine = {
        (row["data"], row["seed"]): row["tests"]["20"]
        for row in read_rows(RESULTS / "few-scorings.jsonl")
        if row["arm"] == COMBINE
    }
    ahead: dict[str, list[float]] = {}
    for row in read_rows(RESULTS / "optimizers-recorded.jsonl"):
        if row["row"] == "OPRO, with description":
            difference = row["test"] - combine[row["data"], row["seed"]]
            ahead.setdefault(row["data"], []).append(100 * difference)
    points = over_sets(ahead, "x")
    low, high = points.interval
    assert sum(sum(values) > 0 for values in ahead.values()) == 9
    said = f"{points.mean:.1f} points ahead of `combine` with 20 [{low:.1f}, {high:.1f}]"
    assert f"{said}, on nine of ten drawn sets (p = {points.p:.3f})" in PAGE

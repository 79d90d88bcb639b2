"""docs/RESULTS.md says what the kept tables say: accuracies are means over runs, and templates were found."""

from __future__ import annotations

import csv
import json
import re
import statistics
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from benchmarks import results_page, with_llm_table
from benchmarks.peers import tables as league_tables
from promptclimb.agent.results.guessing import GUESSED

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = (DOCS / "RESULTS.md").read_text(encoding="utf-8")
REFERENCES = {
    "plain template": "test: plain",
    "openai-imagenet": "test: openai-imagenet",
    "simple-imagenet": "test: simple-imagenet",
    "best hand-made": "test: best hand-made",
    "hand-made": "test: hand-made",
    "initial pool's pick": "test: initial pool",
}
_HEADING = re.compile(r"^#+ (?P<model>\S+), (?P<shots>\d+) shots?$", re.MULTILINE)


def _runs(study: str) -> list[dict[str, str]]:
    with (DOCS / "results" / f"{study}.csv").open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if row["counts"] == "1"]


RUNS = {file.stem: _runs(file.stem) for file in (DOCS / "results").glob("*.csv")}


def _lines(text: str) -> Iterator[list[str]]:
    """Yield the cells of the tables of a text, their rules left out."""
    for line in text.splitlines():
        if not line.startswith("|"):
            continue
        cells = [unescape(cell.strip().replace("\\", "")) for cell in line.strip("|").split("|")]
        if not set("".join(cells)) <= set("-: "):
            yield cells


def _tables() -> Iterator[tuple[str, str, str, list[list[str]]]]:
    for part in results_page.PART.finditer(PAGE):
        if part["kind"] != "accuracies":
            continue
        headings = list(_HEADING.finditer(part[0]))
        for heading, after in zip(headings, [*headings[1:], None], strict=True):
            section = part[0][heading.end() : after.start() if after else None]
            yield part["name"], heading["model"], heading["shots"], list(_lines(section))


def _expected(study: str, model: str, shots: str, data: str, label: str) -> float:
    method, figure = label, "test: best"
    if label in REFERENCES:
        method, figure = "", REFERENCES[label]
    elif label.endswith(" ensemble"):
        method, figure = label.removesuffix(" ensemble"), "test: ensemble"
    method = method.removesuffix(" (white box)")
    place = (model, shots, data)
    by_seed = {
        row["seed"]: float(row[figure])
        for row in RUNS[study]
        if (row["model"], row["shots"], row["data"]) == place
        and method in ("", row["method"])
        and row[figure]
    }
    return 100 * statistics.fmean(by_seed.values())


def test_a_study_has_a_table_for_each_model_and_number_of_shots() -> None:
    """None is left out, and each has rows."""
    tables = list(_tables())
    assert tables
    for study in {name for name, *_ in tables}:
        shown = {(model, shots) for name, model, shots, _ in tables if name == study}
        assert shown == {(row["model"], row["shots"]) for row in RUNS[study]}
    assert all(len(lines) > 5 for *_, lines in tables)


@pytest.mark.parametrize(("study", "model", "shots", "lines"), list(_tables()))
def test_accuracies_are_those_of_the_runs(study: str, model: str, shots: str, lines: list[list[str]]) -> None:
    """Each cell is the mean over seeds in the kept table, and the last the mean over sets."""
    (_, *sets, mean), *rows = lines
    assert mean == "mean"
    for label, *cells in rows:
        found = [float(cell.removesuffix(GUESSED)) for cell in cells if cell != "-"]
        if len(found) < len(cells):
            continue  # a data set has no such reference
        expected = [_expected(study, model, shots, data, label) for data in sets]
        expected.append(statistics.fmean(expected))
        assert found == pytest.approx(expected, abs=0.051), (study, model, shots, label)


def test_every_part_of_the_page_is_of_a_study_whose_raw_table_is_kept() -> None:
    """The page names no study without one, and each part is of a kind that can be made anew."""
    parts = list(results_page.PART.finditer(PAGE))
    assert {part["kind"] for part in parts} == set(results_page.KINDS)
    kept = {file.stem for file in (DOCS / "results").glob("*.csv")}
    assert {part["name"] for part in parts} == kept


def _study() -> dict[str, Any]:
    table = {
        "model": "RN-pico",
        "shots": 1,
        "columns": ["dice"],
        "seeds": {"dice": [1]},
        "sets": 1,
        "rows": [{"label": "plain_one", "test": {"dice": 0.5}, "mean": 0.5, "at_chance": []}],
    }
    run = {
        "data": "dice",
        "model": "RN-pico",
        "shots": 1,
        "seed": 1,
        "counts": True,
        "method": "guided, told",
    }
    runs = [
        run | {"data": data, "template": f"{word} {{}}", "test": {"best": best, "plain": 0.5}}
        for data, word, best in (("dice", "bad|", 0.4), ("dice", "good", 0.75), ("coins", "same", 0.5))
    ]
    others = [run | {"method": "random"}, run | {"counts": False}]
    nothing: dict[str, list[Any]] = {"differences": [], "curves": [], "transfer": [], "left_out": []}
    return {"title": "Small", "tables": [table], "runs": [*runs, *others], **nothing}


def test_a_study_fills_its_own_parts_alone(tmp_path: Path) -> None:
    """What stands between its marks is made anew; what was written by hand or is of another study stays."""
    page = (
        "Said.\n\n<!-- accuracies: small -->\nold\n<!-- end -->\n\nMore.\n\n"
        "<!-- found: small -->\n<!-- end -->\n<!-- found: other -->\nkept\n<!-- end -->\n"
    )
    (tmp_path / "results").mkdir()
    (tmp_path / "RESULTS.md").write_text(page, "utf-8")
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "suite.json").write_text(json.dumps(_study()), "utf-8")
    (folder / "runs.csv").write_text("data\n", "utf-8")
    results_page.main([f"small={folder}"], docs=tmp_path)
    text = (tmp_path / "RESULTS.md").read_text("utf-8")
    assert "old" not in text
    assert "Said.\n\n<!-- accuracies: small -->\n\n### RN-pico, 1 shot\n\n|  | dice | mean |\n" in text
    assert "| plain\\_one | 50.0 | 50.0 |\n\n<!-- end -->\n\nMore." in text
    gains = [(cells[0], cells[-1]) for cells in _lines(text) if cells[0] in ("dice", "coins")]
    assert gains == [("dice", "+25.0"), ("coins", "+0.0"), ("coins", "+0.0"), ("dice", "-10.0")]
    assert "bad\\| {}" in text
    assert text.endswith("<!-- found: other -->\nkept\n<!-- end -->\n")
    assert (tmp_path / "results" / "small.csv").read_text("utf-8") == "data\n"


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("<!-- found: other -->\n<!-- end -->", "no part of small"),
        ("<!-- fond: small -->\n<!-- end -->", "fond"),
    ],
)
def test_a_page_that_does_not_fit_is_left_as_it_is(page: str, said: str) -> None:
    """A study that the page does not know, or a part that nobody can make, is told."""
    with pytest.raises(ValueError, match=said):
        results_page.renewed(page, {"small": _study()})


def test_templates_on_the_page_were_found() -> None:
    """Every template in the list of what was found is that run's, and so are its accuracies."""
    section = PAGE.split("## What was found")[1].split("\n## ")[0]
    shown = [cells for cells in _lines(section) if cells[0] != "set"]
    assert len(shown) >= 20
    known = {
        (row["data"], row["model"], row["shots"], row["seed"], row["template"]): row
        for row in RUNS["miniature"]
        if row["method"] == "guided, told"
    }
    for data, model, shots, seed, template, found, plain, *_ in shown:
        row = known[data, model, shots, seed, template]
        assert float(found) == pytest.approx(100 * float(row["test: best"]), abs=0.051)
        assert float(plain) == pytest.approx(100 * float(row["test: plain"]), abs=0.051)


@pytest.mark.parametrize("rows", ["league", "league-recorded", "league-scorings", "league-scorings-local"])
def test_the_league_on_the_page_is_that_of_the_kept_rows(rows: str) -> None:
    """Every line of the table is what the rows come to, intervals included."""
    kept = (DOCS / "results" / f"{rows}.jsonl").read_text("utf-8").splitlines()
    told = league_tables.document([json.loads(line) for line in kept])
    lines = [line for line in league_tables.markdown("", told).splitlines() if line.startswith("|")]
    assert len(lines) > 5
    assert [line for line in lines if line not in PAGE.splitlines()] == []


def test_the_searches_with_a_small_llm_on_the_page_are_the_kept_ones() -> None:
    """The table of docs/method.md is what the kept rows come to, on twelve sets and three seeds."""
    kept = (DOCS / "results" / "with-llm.jsonl").read_text("utf-8").splitlines()
    page = (DOCS / "method.md").read_text("utf-8")
    table = page.split("<!-- searches: with-llm -->\n")[1].split("<!-- end -->")[0]
    names = [cells[0] for cells in list(_lines(table))[2:]]
    rows = with_llm_table.played_by_all([json.loads(line) for line in kept], names)
    assert len(rows) == len(kept) == len(names) * 12 * 3
    told = with_llm_table.document_of(rows, names, over="pn, told nothing", initial=80)
    assert with_llm_table.markdown(told) == table

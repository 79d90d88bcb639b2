"""What the runs of a study say together: means of what is alike, differences of pairs, transfer."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

from promptclimb.agent.results.details import Decisions, Details, write_details
from promptclimb.agent.results.result import Dataset, GroupAccuracies, Sizes
from promptclimb.agent.study.document import findings, markdown, pages, raw_csv
from promptclimb.agent.study.outcomes import RunOutcome, blocks_of, outcome_of
from promptclimb.agent.study.tables import differences, tables
from promptclimb.agent.study.transfer import Transferred
from tests.fakes.small_result import small_result
from tests.fakes.study_outcomes import cells, document_of, figure, finished, lines_of, outcome, study, without

HITS = {"random": "1100", "combine": "1110"}
PAIR = [{"first": "combine", "second": "random"}]


def rows(table: dict[str, Any]) -> dict[str, Any]:
    """The means of a table by row."""
    return {row["label"]: row["mean"] for row in table["rows"]}


def test_a_mean_is_over_what_every_method_has_finished() -> None:
    """A seed that one lacks is in no row's mean; the paired difference leaves it out too."""
    suite = study(compare=PAIR, references=["default template"])
    runs = list(finished(suite, HITS, figures={"default template": figure("1000")}))
    cut = without(runs, method="combine", data="one", seed=2)
    worse = [
        outcome(run.cell, "0000")
        if (run.cell.method, run.cell.data, run.cell.seed) == ("random", "one", 2)
        else run
        for run in cut
    ]
    (table,) = tables(suite, blocks_of(worse))
    assert table["seeds"] == {"one": [1], "two": [1, 2]}
    assert rows(table) == {"default template": 0.25, "random": 0.5, "combine": 0.75}
    (difference,) = differences(suite, blocks_of(worse))
    assert (difference["points"], difference["sets"], difference["runs"]) == (25.0, 2, 3)


def test_a_method_that_finished_nothing_takes_nothing_from_the_others() -> None:
    """Its row is empty, and so is its difference."""
    suite = study(compare=PAIR, references=[])
    runs = [run for run in finished(suite, HITS) if run.cell.method == "random"]
    (table,) = tables(suite, blocks_of(runs))
    assert rows(table) == {"random": 0.5, "combine": None}
    (difference,) = differences(suite, blocks_of(runs))
    assert (difference["points"], difference["interval"], difference["sets"]) == (None, None, 0)


def test_a_set_without_a_reference_has_no_mean_of_it() -> None:
    """The other rows keep theirs."""
    suite = study(references=["best hand-made"])
    runs = [
        outcome(run.cell, HITS[run.cell.method], figures={"best hand-made": figure("1111")})
        if run.cell.data == "one"
        else run
        for run in finished(suite, HITS)
    ]
    (table,) = tables(suite, blocks_of(runs))
    assert rows(table) == {"best hand-made": None, "random": 0.5, "combine": 0.75}
    assert table["rows"][0]["test"] == {"one": 1.0, "two": None}


def test_what_a_search_is_compared_with_is_its_own() -> None:
    """Each method may have other starting templates: a difference takes those of the search itself."""
    suite = study(compare=[{"first": "combine", "second": "best starting template"}])
    pools = {"random": figure("1111"), "combine": figure("1000")}
    runs = [
        outcome(run.cell, HITS[run.cell.method], figures={"best starting template": pools[run.cell.method]})
        for run in finished(suite, HITS)
    ]
    (difference,) = differences(suite, blocks_of(runs))
    assert difference["points"] == 50.0


def test_llms_are_compared_with_themselves_unless_two_are_named() -> None:
    """``pn`` over ``p`` with each LLM; one LLM over the other where the file says so."""
    few = {"methods": ["pn", "p"], "llms": ["a", "b"], "data": ["one"], "seeds": [1]}
    asked = [
        {"first": "pn", "second": "p"},
        {"first": "pn", "second": "pn", "first_llm": "b", "second_llm": "a"},
    ]
    suite = study(**few, compare=asked)
    hits = {("pn", "a"): "1000", ("pn", "b"): "1110", ("p", "a"): "0000", ("p", "b"): "1111"}
    runs = [outcome(cell, hits[cell.method, str(cell.llm)]) for cell in cells(suite)]
    points_by_pair = {
        (row["first"], row["second"]): row["points"] for row in differences(suite, blocks_of(runs))
    }
    assert points_by_pair == {("pn, a", "p, a"): 25.0, ("pn, b", "p, b"): -25.0, ("pn, b", "pn, a"): 50.0}


def test_intervals_say_what_they_rest_on() -> None:
    """Images and seeds where they are known; nothing where there is neither."""
    suite = study(compare=PAIR)
    known = list(finished(suite, HITS))
    (difference,) = differences(suite, blocks_of(known))
    assert difference["resampled"] == ["images", "seeds"]
    assert difference["interval"][0] <= difference["points"] <= difference["interval"][1]
    single = study(compare=PAIR, seeds=[1])
    blind = [
        outcome(each.cell, figures={"recommended": figure(HITS[each.cell.method]).__class__(test=0.5)})
        for each in finished(single, HITS)
    ]
    (other,) = differences(single, blocks_of(blind))
    assert (other["points"], other["interval"], other["resampled"]) == (0.0, None, [])


def document(tmp_path: Path) -> tuple[dict[str, Any], list[RunOutcome]]:
    """A study with names that a program might run."""
    methods = [{"name": "=1+1 | <b>&_$x^", "method": "random"}, "combine"]
    suite = study(methods=methods, compare=[{"first": "combine", "second": "=1+1 | <b>&_$x^"}], title="*A*")
    hits = {"=1+1 | <b>&_$x^": "1100", "combine": "1110"}
    runs = list(finished(suite, hits, template="=cmd|' /C calc'!A0 {}"))
    runs = without(runs, method="combine", data="two", seed=2)
    return findings(suite, runs, Transferred(tmp_path), "file"), runs


def test_every_form_has_every_table_and_runs_nothing(tmp_path: Path) -> None:
    """What a name holds is a name: in Markdown, in a spreadsheet."""
    findings_document, runs = document(tmp_path)
    headings = [heading for heading, _, _ in pages(findings_document)]
    assert headings == ["RN-pico, 16 shots", "Differences", "In no mean"]
    text = markdown(findings_document)
    assert text.startswith("# \\*A\\*\n")
    assert "=1+1 \\| &lt;b&gt;&amp;\\_$x^" in text
    widths = {line.count(" | ") for line in text.splitlines() if line.startswith("|") and "one" in line}
    assert len(widths) == 1
    lines = list(csv.DictReader(io.StringIO(raw_csv(findings_document["runs"]))))
    assert len(lines) == len(runs) == 8
    assert {line["method"] for line in lines} == {"'=1+1 | <b>&_$x^", "combine"}
    assert lines[0]["template"].startswith("'=cmd")
    assert [line["status"] for line in lines if line["counts"] == "0"] == ["stopped"]


def test_a_run_of_a_white_box_is_marked_as_one() -> None:
    """In the raw table and in the document, whatever it is called."""
    suite = study(methods=["random", {"name": "better", "method": "coop"}], data=["one"], seeds=[1])
    runs = [outcome(cell) for cell in cells(suite)]
    findings_document = document_of(suite, runs)
    lines = csv.DictReader(io.StringIO(raw_csv(findings_document["runs"])))
    assert {line["method"]: line["white_box"] for line in lines} == {"random": "0", "better": "1"}
    assert {row["method"]: row["white_box"] for row in findings_document["runs"]} == {
        "random": False,
        "better": True,
    }
    cut = without(runs, method="better", data="one", seed=1)
    (_, (first, *_)) = lines_of(document_of(suite, cut), "In no mean")
    assert first == "seed1-16shot-RN-pico-one-better (white box)"


def test_an_outcome_is_what_the_result_says() -> None:
    """A stopped search has no figures; a finished one without decisions has accuracies alone."""
    (cell, *_) = cells(study())
    outcome_of_cell = outcome_of(cell, small_result())
    assert outcome_of_cell.counts
    assert {name: accuracy.test for name, accuracy in outcome_of_cell.figures.items()} == {
        **dict.fromkeys(("recommended", "best", "texts"), 0.5),
        "default template": 0.25,
    }
    assert {accuracy.hits for accuracy in outcome_of_cell.figures.values()} == {None}
    stopped = outcome_of(cell, small_result(status="stopped", stop_reason="7 calls"))
    assert (stopped.counts, stopped.figures, stopped.reason) == (False, {}, "7 calls")


def test_decisions_are_those_that_the_run_kept(tmp_path: Path) -> None:
    """By name, where they fit the accuracies."""
    (cell, *_) = cells(study())
    cell = replace(cell, run_dir=tmp_path)
    decisions = Decisions(
        image_set=None,
        classes=(),
        labels=(0, 1, 0, 1),
        predicted={"texts": (0, 0, 0, 0), "best": (0, 1, 0, 1), "default template": (0, 0, 1, 0)},
    )
    write_details(tmp_path, Details(decisions=decisions))
    outcome_of_cell = outcome_of(cell, small_result())
    # The best one's accuracy is another than its decisions make.
    assert {name: accuracy.hits for name, accuracy in outcome_of_cell.figures.items()} == {
        **dict.fromkeys(("recommended", "texts"), "1010"),
        "best": None,
        "default template": "1000",
    }


def test_what_is_no_better_than_chance_is_marked_in_its_cell() -> None:
    """With a note above that table; one that has none has no note."""
    suite = study(references=[])
    runs = list(finished(suite, HITS))
    marked = [
        replace(run, figures={"recommended": replace(run.figures["recommended"], at_chance=True)})
        if (run.cell.method, run.cell.data, run.cell.seed) == ("random", "one", 2)
        else run
        for run in runs
    ]
    (table,) = tables(suite, blocks_of(marked))
    assert {row["label"]: row["at_chance"] for row in table["rows"]} == {"random": ["one"], "combine": []}
    findings_document = findings(suite, marked, Transferred(Path("/nowhere")), "t")
    (_, about, lines) = next(pages(findings_document))
    assert about.endswith("†: with at least one seed, it may be no better than chance level.")
    assert [cell for line in lines for cell in line if "†" in cell] == ["50.0†"]
    assert "50.0†" in markdown(findings_document)
    (_, about, lines) = next(pages(findings(suite, runs, Transferred(Path("/nowhere")), "t")))
    assert "†" not in about + str(lines)
    (cell, *_) = cells(suite)
    assert all(accuracy.at_chance for accuracy in outcome_of(cell, small_result()).figures.values())


def test_a_reference_is_marked_by_its_own_accuracy() -> None:
    """Not by that of what was chosen: a default template may guess where a search does not."""
    (cell, *_) = cells(study())
    sizes = Sizes(train=2, val=0, test=400)
    dataset = Dataset(name="d", classes=2, shots=1, seed=1, sizes=sizes)
    texts = GroupAccuracies(templates=("a {}",), train=0.5, test=0.9)
    figures = outcome_of(cell, small_result(dataset=dataset, texts=texts)).figures
    assert {name: accuracy.at_chance for name, accuracy in figures.items()} == {
        **dict.fromkeys(("recommended", "texts"), False),
        **dict.fromkeys(("best", "default template"), True),
    }

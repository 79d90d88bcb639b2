"""Puts what studies found into docs/RESULTS.md, and their raw tables beside it.

    promptclimb suite suites/miniature.toml --suite-dir runs/miniature
    python benchmarks/results_page.py miniature=runs/miniature

Every part of the page that stands between ``<!-- KIND: NAME -->`` and ``<!-- end -->`` is made anew from the
``suite.json`` of the study of that name; the raw table goes to ``docs/results/NAME.csv``. What is said about
the figures is written by hand and stays. Kinds are ``accuracies``, ``differences``, ``curves``, ``transfer``
and ``found``, which lists the templates with the largest and the least gain over the plain one, no set twice.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

# In front of this folder, where the name `evaluator` is another benchmark.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from promptclimb.agent.results.gain import DEFAULT_TEMPLATE
from promptclimb.agent.results.run_dir import SUMMARY, write_atomically
from promptclimb.agent.study.document import RAW, parts, table_in_markdown

DOCS = Path(__file__).resolve().parents[1] / "docs"
PART = re.compile(
    r"(?P<head><!-- (?P<kind>[a-z]+): (?P<name>[\w-]+) -->\n).*?(?P<tail><!-- end -->)", re.DOTALL
)
HEADINGS = {"differences": "Differences", "curves": "Learning curves", "transfer": "Transfer"}
FOUND_BY = ("guided, told", "guided, with description")
"""A method's row name in earlier and in new studies."""
FOUND = 10

Document = Mapping[str, Any]


def accuracies(study: Document) -> str:
    """Return a heading and a table for each model and number of shots."""
    others = set(HEADINGS.values())
    return "\n".join(
        f"### {heading}\n\n{table_in_markdown(lines)}"
        for heading, _, lines in parts(study)
        if heading.endswith((" shot", " shots")) and heading not in others
    )


def found(study: Document) -> str:
    """Return the templates with the largest and the least gain over the plain one, ten of each.

    No data set is twice in a list: where words decide all, every run would be among the first.
    """
    runs = [run for run in study["runs"] if run["counts"] and run["method"] in FOUND_BY]
    rising = sorted(runs, key=_gain)
    best, worst = ({run["data"]: run for run in order} for order in (rising, reversed(rising)))
    head = ("set", "model", "shots", "seed", "template", "test", "plain", "gain")
    lists = (
        sorted(best.values(), key=_gain, reverse=True)[:FOUND],
        sorted(worst.values(), key=_gain)[:FOUND][::-1],
    )
    return "\n".join(table_in_markdown([head, *map(_of_run, some)]) for some in lists)


def _gain(run: Document) -> float:
    return float(run["test"]["best"] - _default(run))


def _default(run: Document) -> float:
    """Return the accuracy of the default template, which earlier studies call plain."""
    return float(run["test"].get(DEFAULT_TEMPLATE, run["test"].get("plain")))


def _of_run(run: Document) -> Sequence[str]:
    best, plain = 100 * run["test"]["best"], 100 * _default(run)
    place = (run["data"], run["model"], str(run["shots"]), str(run["seed"]))
    return (*place, run["template"], f"{best:.1f}", f"{plain:.1f}", f"{best - plain:+z.1f}")


def _part(heading: str) -> Callable[[Document], str]:
    def made(study: Document) -> str:
        return "\n".join(table_in_markdown(lines) for own, _, lines in parts(study) if own == heading)

    return made


KINDS: Mapping[str, Callable[[Document], str]] = {
    "accuracies": accuracies,
    "found": found,
    **{kind: _part(heading) for kind, heading in HEADINGS.items()},
}


def renewed(page: str, studies: Mapping[str, Document]) -> str:
    """Return the page with every part of these studies made anew.

    Raises:
        ValueError: A part is of a kind that is not known, or a study has no part in the page.
    """
    kinds: dict[str, set[str]] = {}
    for part in PART.finditer(page):
        kinds.setdefault(part["name"], set()).add(part["kind"])
    if absent := sorted(set(studies) - set(kinds)):
        raise ValueError(f"the page has no part of {', '.join(absent)}; it has {', '.join(sorted(kinds))}")
    if unknown := sorted(set().union(*(kinds[name] for name in studies)) - set(KINDS)):
        raise ValueError(f"not known: {', '.join(unknown)}; there are {', '.join(KINDS)}")

    def made(part: re.Match[str]) -> str:
        study = studies.get(part["name"])
        return part[0] if study is None else f"{part['head']}\n{KINDS[part['kind']](study)}\n{part['tail']}"

    return PART.sub(made, page)


def _named(words: Sequence[str]) -> Iterator[tuple[str, Path]]:
    for word in words:
        name, _, folder = word.partition("=")
        if not folder or not (Path(folder) / SUMMARY).is_file():
            raise SystemExit(f"{word}: say NAME=SUITE_DIR, a folder in which a study has ended")
        yield name, Path(folder)


def main(words: Sequence[str] | None = None, docs: Path = DOCS) -> None:
    """Renew the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("studies", nargs="+", metavar="NAME=SUITE_DIR")
    folders = dict(_named(parser.parse_args(words).studies))
    page = docs / "RESULTS.md"
    studies = {name: json.loads((folder / SUMMARY).read_text("utf-8")) for name, folder in folders.items()}
    try:
        text = renewed(page.read_text("utf-8"), studies)
    except ValueError as error:
        raise SystemExit(str(error)) from error
    write_atomically(page, text)
    for name, folder in folders.items():
        write_atomically(docs / "results" / f"{name}.csv", (folder / RAW).read_text("utf-8"))


if __name__ == "__main__":
    main()

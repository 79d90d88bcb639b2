"""Make the tables of docs/results.md from the raw data in docs/results.

    promptclimb suite suites/bundled.toml --suite-dir runs/bundled
    python benchmarks/results_page.py miniature=runs/bundled

``NAME=SUITE_DIR`` first copies the raw data of a finished study to ``docs/results/NAME*.csv``. Then every
table between ``<!-- KIND: NAME -->`` and ``<!-- end -->`` is made again. Other text is written by hand.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

# In front of this folder, where the name `evaluator` is another benchmark.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import class_names, with_llm_table
from benchmarks.peers import tables as peers
from benchmarks.recorded_names import todays

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = "results.md"
PART = re.compile(
    r"(?P<head><!-- (?P<kind>[a-z]+): (?P<name>[\w-]+) -->\n).*?(?P<tail><!-- end -->)", re.DOTALL
)
FOUND_BY = "guided, with description"
FOUND = 4
BASELINES: Mapping[str, str] = {
    "default template": "default template",
    "OpenAI's 80 templates": "openai-imagenet",
    "best starting template": "best starting template",
    "best hand-made": "best hand-made",
}
METHODS = (
    *(FOUND_BY, "combine, with description", "words", "mutate", "random"),
    *("CoOp", "Tip-Adapter", "linear probe"),
)
BY_SET: Mapping[str, tuple[str, str]] = {
    "default template": (FOUND_BY, "default template"),
    "best starting template": (FOUND_BY, "best starting template"),
    FOUND_BY: (FOUND_BY, "best"),
    "best hand-made": (FOUND_BY, "best hand-made"),
    "CoOp (white box)": ("CoOp", "best"),
}
COMPARED = ("league-recorded", "league")
"""The recorded rows with a strong LLM, and those with the local one."""
BASE = "pn, no information"

Row = Mapping[str, str]
Lines = Iterable[Sequence[str]]


def means(folder: Path, name: str) -> Lines:
    """Yield test accuracies by model and shots, the means over sets of the means over seeds."""
    runs = _runs(folder, name)
    places = sorted({(row["model"], int(row["shots"])) for row in runs})
    yield ("", *(f"{model}, {shots} shot{'s' * (shots > 1)}" for model, shots in places))
    sources = [(label, METHODS[0], figure) for label, figure in BASELINES.items()]
    white = {row["method"] for row in runs if row["white_box"] == "1"}
    sources += [(f"{one}{' (white box)' * (one in white)}", one, "best") for one in METHODS]
    for label, method, figure in sources:
        yield (
            label,
            *(f"{_mean(runs, method, figure, model=model, shots=str(shots)):.1f}" for model, shots in places),
        )


def sets(folder: Path, name: str) -> Lines:
    """Yield test accuracies by data set, on RN-pico with 16 shots."""
    runs = _runs(folder, name)
    yield ("", *BY_SET)
    for data in dict.fromkeys(row["data"] for row in runs):
        place = {"data": data, "model": "RN-pico", "shots": "16"}
        yield (data, *(f"{_mean(runs, *source, **place):.1f}" for source in BY_SET.values()))


def differences(folder: Path, name: str) -> Lines:
    """Yield differences with their intervals: a line per comparison, a column per model and shots."""
    rows = _rows(folder / f"{name}-differences.csv")
    places = list(dict.fromkeys((row["model"], row["shots"]) for row in rows))
    yield ("", *(f"{model}, {shots}" for model, shots in places))
    for pair in dict.fromkeys((row["first"], row["second"]) for row in rows):
        cells = {
            (row["model"], row["shots"]): _over(float(row["points"]), (float(row["low"]), float(row["high"])))
            for row in rows
            if (row["first"], row["second"]) == pair
        }
        yield (
            f"{todays(pair[0])} over {todays(pair[1])}",
            *(cells.get(place, "") for place in places),
        )


def found(folder: Path, name: str) -> Lines:
    """Yield the templates with the largest and the smallest gain over the default one, no data set twice."""
    runs = [row for row in _runs(folder, name) if row["method"] == FOUND_BY]
    rising = sorted(runs, key=_gain)
    best, worst = ({run["data"]: run for run in order} for order in (rising, reversed(rising)))
    yield ("set", "model, shots, seed", "template", "default", "found", "gain")
    for run in (
        *sorted(best.values(), key=_gain, reverse=True)[:FOUND],
        *sorted(worst.values(), key=_gain)[:FOUND][::-1],
    ):
        default, test = (100 * float(run[f"test: {figure}"]) for figure in ("default template", "best"))
        place = f"{run['model']}, {run['shots']}, {run['seed']}"
        template = run["template"].replace("|", "\\|")
        yield (
            run["data"],
            place,
            f"`{template}`",
            f"{default:.1f}",
            f"{test:.1f}",
            f"{test - default:+z.1f}",
        )


def optimizers(folder: Path, _name: str) -> Lines:
    """Yield what each optimizer found with the strong and with the local LLM."""
    strong, local = (peers.document(_lines(folder / f"{name}.jsonl"))["rows"] for name in COMPARED)
    yield (
        *("", "strong LLM", "guided over it", "best or near", "templates", "requests"),
        *("local LLM", "guided over it"),
    )
    for name, row in strong.items():
        other = local.get(name)
        yield (
            name,
            f"{row['test']:.1f}",
            _peer_over(row),
            f"{row['first']['first_or_within']} of {row['first']['of']}",
            f"{row['scored']:.0f}",
            f"{row['answered']:.1f}",
            f"{other['test']:.1f}" if other else "",
            _peer_over(other) if other else "",
        )


def searches(folder: Path, name: str) -> Lines:
    """Yield searches with the local LLM, by what it was given, beside methods without an LLM."""
    rows = [{**row, "arm": todays(row["arm"])} for row in _lines(folder / f"{name}.jsonl")]
    arms = sorted(dict.fromkeys(row["arm"] for row in rows), key=lambda arm: arm != "random")
    document = with_llm_table.document_of(rows, arms, over=BASE, initial=80)
    yield ("", "test", "over random (standard error)", "sets above", "requests")
    start = document["initial"]
    yield ("best of 80 starting templates", f"{start['mean']:.1f}", _erring(start), "", "0")
    for arm, one in document["test"].items():
        own = ("0", "") if arm == "random" else (_erring(one), f"{one['sets_above']} of {document['sets']}")
        requests = document["calls"][arm] / document["cells"]
        yield (arm, f"{one['mean']:.1f}", *own, f"{requests:.1f}")


def names(folder: Path, name: str) -> Lines:
    """Yield what new names of classes gain on kinds of sets, RN-pico."""
    return class_names.table([row for row in _lines(folder / f"{name}.jsonl") if row["model"] == "RN-pico"])


KINDS: Mapping[str, Callable[[Path, str], Lines]] = {
    "means": means,
    "sets": sets,
    "differences": differences,
    "found": found,
    "optimizers": optimizers,
    "searches": searches,
    "names": names,
}


def renewed(page: str, folder: Path) -> str:
    """Return the page with every table made again.

    Raises:
        ValueError: A table is of an unknown kind.
    """

    def made(part: re.Match[str]) -> str:
        if part["kind"] not in KINDS:
            raise ValueError(f"unknown kind of table: {part['kind']}; known: {', '.join(KINDS)}")
        head, *rows = KINDS[part["kind"]](folder, part["name"])
        lines = [head, ["-"] * len(head), *rows]
        table = "\n".join(f"|{'|'.join(line)}|" for line in lines)
        return f"{part['head']}\n{table}\n\n{part['tail']}"

    return PART.sub(made, page)


def keep(name: str, suite: Path, folder: Path) -> None:
    """Copy the raw data of a finished study.

    Raises:
        SystemExit: The study has not finished there.
    """
    if not (suite / "suite.json").is_file():
        raise SystemExit(f"{name}={suite}: no suite.json there. Expected the folder of a finished study.")
    study = json.loads((suite / "suite.json").read_text("utf-8"))
    (folder / f"{name}.csv").write_text((suite / "runs.csv").read_text("utf-8"), "utf-8")
    compared = [
        {
            **{key: one[key] for key in ("first", "second", "model", "shots", "sets", "runs", "points")},
            "low": one["interval"][0],
            "high": one["interval"][1],
            "over": ", ".join(one["resampled"]),
        }
        for one in study["differences"]
        if one["interval"] is not None
    ]
    columns = ("shots", "from", "to", "sets", "brought", "native", "kept")
    moved = [
        {"method": one["label"], **{key: one[key] for key in columns}}
        for one in study["transfer"]
        if one["kept"] is not None
    ]
    curves = [
        {"method": one["label"], "model": one["model"], "shots": one["shots"], **point}
        for one in study["curves"]
        for point in one["points"]
    ]
    for part, rows in (("differences", compared), ("transfer", moved), ("curves", curves)):
        if rows:
            with (folder / f"{name}-{part}.csv").open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)


def _runs(folder: Path, name: str) -> list[Row]:
    return [row for row in _rows(folder / f"{name}.csv") if row["counts"] == "1"]


def _rows(file: Path) -> list[Row]:
    with file.open(encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened))
    named = ("method", "first", "second")
    return [
        {todays(key): todays(value) if key in named else value for key, value in row.items()} for row in rows
    ]


def _lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def _mean(runs: Iterable[Row], method: str, figure: str, **place: str) -> float:
    """Return a test accuracy in %: the mean over data sets of the means over seeds."""
    by_set: dict[str, list[float]] = {}
    for row in runs:
        if row["method"] == method and all(row[key] == value for key, value in place.items()):
            by_set.setdefault(row["data"], []).append(100 * float(row[f"test: {figure}"]))
    return statistics.fmean(map(statistics.fmean, by_set.values()))


def _gain(run: Row) -> float:
    return float(run["test: best"]) - float(run["test: default template"])


def _over(points: float, interval: Sequence[float]) -> str:
    low, high = interval
    return f"{points:+z.1f} ({low:z.1f} to {high:z.1f})"


def _peer_over(row: Mapping[str, Any]) -> str:
    over = row.get("ours_over_it")
    return "" if over is None else _over(over["mean"], over["interval"])


def _erring(one: Mapping[str, Any]) -> str:
    return f"{one['over']:+z.1f} ({one['standard_error']:.1f})"


def _named(words: Sequence[str]) -> Iterator[tuple[str, Path]]:
    for word in words:
        name, _, suite = word.partition("=")
        if not suite:
            raise SystemExit(f"{word}: expected NAME=SUITE_DIR")
        yield name, Path(suite)


def main(words: Sequence[str] | None = None, docs: Path = DOCS) -> None:
    """Make the page again."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("studies", nargs="*", metavar="NAME=SUITE_DIR")
    for name, suite in _named(parser.parse_args(words).studies):
        keep(name, suite, docs / "results")
    page = docs / PAGE
    page.write_text(renewed(page.read_text("utf-8"), docs / "results"), "utf-8")


if __name__ == "__main__":
    main()

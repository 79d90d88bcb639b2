"""Make the tables of docs/results.md from the raw data in docs/results.

    promptclimb suite suites/bundled.toml --suite-dir runs/bundled
    python benchmarks/results_page.py bundled=runs/bundled

``NAME=SUITE_DIR`` first copies the raw data of a finished study to ``docs/results/NAME*.csv``. Then every
table between ``<!-- KIND: NAME -->`` and ``<!-- end -->`` is made again. Other text is written by hand.
The differences of a study are those that ``suites/NAME.toml`` compares. Rows of the same study with a large
LLM are in ``docs/results/NAME-large.csv``.
"""

from __future__ import annotations

import argparse
import csv
import functools
import itertools
import json
import re
import statistics
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

# In front of this folder, where the name `evaluator` is another benchmark.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import class_names, few_scorings, finding_out, sentences, with_llm_table
from benchmarks.over_sets import OverSets, holm, over_sets
from benchmarks.peers import tables as peers
from benchmarks.recorded_names import todays
from promptclimb.agent.methods.registry import REMOVED

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGE = "results.md"
PART = re.compile(
    r"(?P<head><!-- (?P<kind>[a-z]+): (?P<name>[\w-]+) -->\n).*?(?P<tail><!-- end -->)", re.DOTALL
)
FOUND_BY = "guided, with description"
DESCRIBED = "with description"
"""Methods that transfer anything: the others gain next to nothing over a starting template."""
FOUND = 2
BASELINES: Mapping[str, str] = {
    "default template": "default template",
    "OpenAI's 80 templates": "openai-imagenet",
    "best starting template": "best starting template",
    "best hand-made": "best hand-made",
}
BASELINE_TEMPLATES = {"default template": 1, "OpenAI's 80 templates": 80, "best starting template": 80}
METHODS = (
    *(FOUND_BY, "combine, with description", "random"),
    *("CoOp", "Tip-Adapter", "linear probe"),
)
BY_SET: Mapping[str, tuple[str, str]] = {
    "default template": (FOUND_BY, "default template"),
    "best starting template": (FOUND_BY, "best starting template"),
    FOUND_BY: (FOUND_BY, "best"),
    "best hand-made": (FOUND_BY, "best hand-made"),
    "CoOp (white box)": ("CoOp", "best"),
}
COMPARED = ("optimizers-recorded", "optimizers")
"""The recorded rows with a strong LLM, and those with the local one."""
BASE = "pn, no information"

STUDIES = ("bundled", "feedback", "one-shot")
"""Studies whose differences are on the page; Holm's correction is over all of them."""
STARTS = ("default template", "best starting template")
LARGE = ", large LLM"
"""What a method is called whose LLM was a large one: its rows are in ``NAME-large.csv``."""
LEAST = 1.0
"""Points of a gain of which a share is worth a figure."""

Row = Mapping[str, str]
Lines = Iterable[Sequence[str]]


def means(folder: Path, name: str) -> Lines:
    """Yield test accuracies by model and shots, means over sets of means over seeds, and their cost."""
    runs = _runs(folder, name)
    places = sorted({(row["model"], int(row["shots"])) for row in runs})
    yield (
        "",
        *(f"{model}, {shots} shot{'s' * (shots > 1)}" for model, shots in places),
        "templates",
        "requests",
    )
    sources = [(label, METHODS[0], figure) for label, figure in BASELINES.items()]
    white = {row["method"] for row in runs if row["white_box"] == "1"}
    sources += [(f"{one}{' (white box)' * (one in white)}", one, "best") for one in METHODS]
    for label, method, figure in sources:
        cost = BASELINE_TEMPLATES.get(label), 0
        if figure == "best":
            cost = (None, 0) if method in white else _budget(runs, method)
        yield (
            label,
            *(f"{_mean(runs, method, figure, model=model, shots=str(shots)):.1f}" for model, shots in places),
            *_cost(*cost),
        )


def sets(folder: Path, name: str) -> Lines:
    """Yield test accuracies by data set, on RN-pico with 16 shots."""
    runs = _runs(folder, name)
    yield ("", *BY_SET)
    for data in dict.fromkeys(row["data"] for row in runs):
        place = {"data": data, "model": "RN-pico", "shots": "16"}
        yield (data, *(f"{_mean(runs, *source, **place):.1f}" for source in BY_SET.values()))


def differences(folder: Path, name: str) -> Lines:
    """Yield differences over sets: a line per comparison, a column per model and shots, and their cost."""
    runs = _runs(folder, name)
    places = sorted({(row["model"], int(row["shots"])) for row in runs})
    found = _all_differences(folder)
    kept = holm({key: one.p for key, one in found.items()})
    yield ("", *(f"{model}, {shots}" for model, shots in places), "templates", "requests")
    for first, second in _compared(name, runs):
        keys = [_key(name, first, second, model, shots) for model, shots in places]
        costs = [_side_cost(runs, side) for side in (first, second)]
        yield (
            f"{first} over {second}",
            *(_spread(found[key], "*" * (key in kept)) for key in keys),
            *(f"{one} : {other}" for one, other in zip(*costs, strict=True)),
        )


def transfer(folder: Path, name: str) -> Lines:
    """Yield the gain on the other model over the best starting template there, of the gain found there."""
    runs = _runs(folder, name)
    rows = _rows(folder / f"{name}-transfer.csv")
    places = sorted({(row["from"], row["to"], int(row["shots"])) for row in rows})
    yield ("", *(f"{one} to {other}, {shots}" for one, other, shots in places))
    for method in dict.fromkeys(row["method"] for row in rows if DESCRIBED in row["method"]):
        cells = {}
        for row in (row for row in rows if row["method"] == method):
            place = {"model": row["to"], "shots": row["shots"]}
            default, start = (_mean(runs, method, figure, **place) for figure in STARTS)
            gains = [float(row[figure]) - (start - default) for figure in ("brought", "native")]
            share = f" ({100 * gains[0] / gains[1]:.0f} %)" if gains[1] >= LEAST else ""
            cells[row["from"], row["to"], int(row["shots"])] = f"{gains[0]:+z.1f} of {gains[1]:+z.1f}{share}"
        yield (method, *(cells[place] for place in places))


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
        *("", "strong LLM", "guided over it", "mean rank", "near best", "templates", "requests"),
        *("local LLM", "guided over it"),
    )
    for name, row in strong.items():
        other = local.get(name)
        yield (
            name,
            f"{row['test']:.1f}",
            _peer_over(row),
            f"{row['standing']['rank']:.1f}",
            f"{row['standing']['near']} of {row['standing']['of']}",
            f"{row['scored']:.0f}",
            f"{row['answered']:.1f}",
            f"{other['test']:.1f}" if other else "",
            _peer_over(other) if other else "",
        )


def searches(folder: Path, name: str) -> Lines:
    """Yield searches with the local LLM, by what it was given, beside methods without an LLM."""
    rows = [{**row, "arm": todays(row["arm"])} for row in _lines(folder / f"{name}.jsonl")]
    rows = [row for row in rows if row["arm"].partition(",")[0] not in REMOVED]
    arms = sorted(dict.fromkeys(row["arm"] for row in rows), key=lambda arm: arm != "random")
    document = with_llm_table.document_of(rows, arms, over=BASE, initial=80)
    yield ("", "test", "over random (standard error)", "sets above", "requests")
    start = document["initial"]
    yield ("best of 80 starting templates", f"{start['mean']:.1f}", _erring(start), "", "0")
    for arm, one in document["test"].items():
        own = ("0", "") if arm == "random" else (_erring(one), f"{one['sets_above']} of {document['sets']}")
        requests = document["calls"][arm] / document["cells"]
        yield (arm, f"{one['mean']:.1f}", *own, f"{requests:.1f}")


def few(folder: Path, name: str) -> Lines:
    """Yield what methods without an LLM find at few scorings."""
    table = few_scorings.summary(_lines(folder / f"{name}.jsonl"))
    yield ("", *(f"{number} scorings" for number in few_scorings.SCORINGS))
    for row, found in table.items():
        yield (row, *(f"{found[str(number)]:.1f}" for number in few_scorings.SCORINGS))


def writers(folder: Path, name: str) -> Lines:
    """Yield what descriptions gain over ``random``, by who wrote them."""
    arms = sentences.summary(_lines(folder / f"{name}.jsonl"))
    yield ("", *arms)
    found = list(arms.values())

    def row(name: str, figure: Callable[[Mapping[str, Any]], float]) -> Sequence[str]:
        return (name, *(f"{figure(one):+.1f}" for one in found))

    yield row("no sentence", lambda one: one["writers"][sentences.NOBODY])
    yield row("the author's", lambda one: one["writers"][sentences.AUTHOR])
    others = (f"{one['mean']:+.1f} ({one['interval'][0]:.1f} to {one['interval'][1]:.1f})" for one in found)
    yield ("five others, mean", *others)
    yield row("their median over writers and sets", lambda one: one["median"])
    for name, spread in sentences.SPREADS.items():
        yield (f"deviation {name}", *(f"{one['spread'][spread]:.1f}" for one in found))


def names(folder: Path, name: str) -> Lines:
    """Yield what new names of classes gain on kinds of sets, RN-pico."""
    return class_names.table([row for row in _lines(folder / f"{name}.jsonl") if row["model"] == "RN-pico"])


def finding(folder: Path, name: str) -> Lines:
    """Yield what true scores bring, by the starting templates."""
    return finding_out.page_table(list(_lines(folder / f"{name}.jsonl")))


KINDS: Mapping[str, Callable[[Path, str], Lines]] = {
    "means": means,
    "sets": sets,
    "differences": differences,
    "transfer": transfer,
    "found": found,
    "optimizers": optimizers,
    "searches": searches,
    "few": few,
    "finding": finding,
    "names": names,
    "writers": writers,
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
    for part, rows in (("transfer", moved), ("curves", curves)):
        if rows:
            with (folder / f"{name}-{part}.csv").open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)


def _runs(folder: Path, name: str) -> list[Row]:
    rows, large = _rows(folder / f"{name}.csv"), folder / f"{name}-large.csv"
    if large.is_file():
        rows += [{**row, "method": row["method"] + LARGE} for row in _rows(large)]
    return [row for row in rows if row["counts"] == "1"]


def _rows(file: Path) -> list[Row]:
    with file.open(encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened))
    return [
        {todays(key): todays(value) if key == "method" else value for key, value in row.items()}
        for row in rows
    ]


def _lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines() if line]


def _mean(runs: Iterable[Row], method: str, figure: str, **place: str) -> float:
    """Return a test accuracy in %: the mean over data sets of the means over seeds."""
    by_set: dict[str, list[float]] = {}
    for row in runs:
        if row["method"] == method and all(row[key] == value for key, value in place.items()):
            by_set.setdefault(row["data"], []).append(100 * float(row[f"test: {figure}"]))
    return statistics.fmean(map(statistics.fmean, by_set.values()))


def _compared(name: str, runs: Iterable[Row]) -> list[tuple[str, str]]:
    """Return the pairs that a study compares, then those of methods that a large LLM was asked for too."""
    study = tomllib.loads((ROOT / "suites" / f"{name}.toml").read_text("utf-8"))
    pairs = [(pair["first"], pair["second"]) for pair in study["compare"]]
    methods = {row["method"] for row in runs}
    return pairs + [(first + LARGE, second) for first, second in pairs if first + LARGE in methods]


def _key(*parts: object) -> str:
    return ", ".join(map(str, parts))


@functools.cache
def _all_differences(folder: Path) -> Mapping[str, OverSets]:
    """Return the differences of every study whose rows are in a folder."""
    found = {}
    for name in STUDIES:
        if not (folder / f"{name}.csv").is_file():
            continue
        runs = _runs(folder, name)
        places = sorted({(row["model"], int(row["shots"])) for row in runs})
        for (first, second), (model, shots) in itertools.product(_compared(name, runs), places):
            here = [row for row in runs if (row["model"], row["shots"]) == (model, str(shots))]
            key = _key(name, first, second, model, shots)
            found[key] = over_sets(_by_set(here, first, second), key)
    return found


def _by_set(runs: Sequence[Row], first: str, second: str) -> Mapping[str, list[float]]:
    """Return differences in points by set, a list over seeds."""
    one, other = _tests(runs, first, second), _tests(runs, second, first)
    found: dict[str, list[float]] = {}
    for cell in sorted(one.keys() & other.keys()):
        found.setdefault(cell[0], []).append(100 * (one[cell] - other[cell]))
    return found


def _tests(runs: Sequence[Row], side: str, beside: str) -> Mapping[tuple[str, str], float]:
    """Return a side's test accuracies by set and seed; a baseline is read from the rows of the other side."""
    method, figure = _figure(side)
    if method not in {row["method"] for row in runs}:
        method, figure = _figure(beside)[0], f"test: {side}"
    return {(row["data"], row["seed"]): float(row[figure]) for row in runs if row["method"] == method}


def _figure(side: str) -> tuple[str, str]:
    return (side.removesuffix(" ensemble"), "test: ensemble" if side.endswith(" ensemble") else "test: best")


def _budget(runs: Sequence[Row], method: str) -> tuple[float, float]:
    """Return the mean number of templates scored and of requests."""
    rows = [row for row in runs if row["method"] == method]
    scored, asked = (
        statistics.fmean(float(row[column]) for row in rows) for column in ("evaluated", "calls")
    )
    return scored, asked


def _side_cost(runs: Sequence[Row], side: str) -> tuple[str, str]:
    method, _ = _figure(side)
    searched = [row for row in runs if row["method"] == method]
    if not searched:
        return _cost(BASELINE_TEMPLATES.get(side), 0)
    return _cost(None, 0) if searched[0]["white_box"] == "1" else _cost(*_budget(runs, method))


def _cost(templates: float | None, requests: float) -> tuple[str, str]:
    return "" if templates is None else f"{templates:.0f}", f"{requests:.1f}" if requests else "0"


def _spread(one: OverSets, star: str) -> str:
    trimmed = "" if one.trimmed is None else f"; {one.trimmed:+z.1f}"
    return f"{_over(one.mean, one.interval, star)}<br>{one.median:+z.1f}{trimmed}"


def _gain(run: Row) -> float:
    return float(run["test: best"]) - float(run["test: default template"])


def _over(points: float, interval: Sequence[float], star: str = "") -> str:
    low, high = interval
    return f"{points:+z.1f}{star} ({low:z.1f} to {high:z.1f})"


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

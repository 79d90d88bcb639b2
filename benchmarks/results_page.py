"""Make the tables of docs/results.md and docs/results/tables.md from the raw data in docs/results.

    promptclimb suite suites/bundled.toml --suite-dir runs/bundled
    python benchmarks/results_page.py bundled=runs/bundled

``NAME=SUITE_DIR`` first copies the raw data of a finished study to ``docs/results/NAME*.csv``. Then every
table between ``<!-- KIND: NAME -->`` and ``<!-- end -->`` is made again. The first comment may go on with
names, one a line: of the rows to show (default: all) and, after ``- ``, of columns to leave out. Other text
is written by hand.
The differences of a study are those that ``suites/NAME.toml`` compares.
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

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import ROOT, OverSets, better_starts, holm, over_sets, read_rows
from benchmarks.result_tables import gains, method_name, names, optimizers, over, templates, unread

DOCS = ROOT / "docs"
PAGES = ("results.md", "results/tables.md")
TABLE = re.compile(
    r"(?P<head><!-- (?P<kind>[a-z]+): (?P<name>[\w-]+)(?P<only>[^>]*?) ?-->\n).*?(?P<tail><!-- end -->)",
    re.DOTALL,
)
BASELINE_TEMPLATES = {
    "default template": 1,
    "bare class name": 1,
    "OpenAI's 80 templates": 80,
    "best starting template": 80,
}
ALL_LABELS = ", all labels"
"""A reference that learned from the validation images too, as a search chooses on both."""
DESCRIBED = ", with description"
"""Left out of a table in which every ``guided`` and ``combine`` has one."""
STUDIES = ("feedback", "one-shot")
"""Studies whose differences are on the page; Holm's correction is over all of them."""
CELL = ("data", "shots", "seed", "model")

Row = Mapping[str, str]
Lines = Iterable[Sequence[str]]


def returned(folder: Path, name: str) -> Lines:
    """Yield what a search returns beside its rivals: accuracy, and how far the recommended one is ahead.

    The model is that of the first row. Of a rival's two starts the one with the higher mean is shown.
    """
    from benchmarks.returned import RECOMMENDED, table  # imports torch

    kept = read_rows(folder / f"{name}.jsonl")
    model = kept[0]["model"]
    document = table([row for row in kept if row["model"] == model])
    columns = {title: column["rows"] for title, column in document.items()}
    accuracies: dict[str, list[float]] = {}
    for rows in columns.values():
        for line, row in rows.items():
            accuracies.setdefault(line, []).append(row["accuracy"])
    better = better_starts({line: statistics.fmean(values) for line, values in accuracies.items()})
    shots = [title.removeprefix(f"{model}, ") for title in columns]
    titles = [[title, f"{title}: ahead by", f"{title}: on the worst set"] for title in shots]
    yield (model, *itertools.chain.from_iterable(titles))
    shown = [line for line in better if line not in LEFT_OUT]
    for line in sorted(shown, key=lambda line: (line != RECOMMENDED, -accuracies[line][-1])):
        cells: list[str] = []
        for rows in columns.values():
            row = rows.get(line)
            gap = (
                (over(row["recommended_ahead"], row["interval"]), f"{row['worst'][1]:+z.1f}")
                if row and line != RECOMMENDED
                else ("", "")
            )
            cells += [f"{row['accuracy']:.1f}" if row else "", *gap]
        title = re.sub(r"a photo of a \{\}|\{\}", r"`\g<0>`", row_name(line))
        yield (f"**{title}**" if line == RECOMMENDED else title, *cells)


def row_name(line: str) -> str:
    """Return what the page and the plot call a row of ``returned.py``."""
    if line in RETURNED:
        return RETURNED[line]
    rival, _, start = line.rpartition(", ")
    if start not in ("{}", "texts"):
        return line
    method, *settings = METHODS.get(rival, rival).replace("tuned on val", "tuned").split(", ")
    return ", ".join([f"{method} from {'the texts' if start == 'texts' else start}", *settings])


def plain(folder: Path, _name: str) -> Lines:
    """Yield how far the recommended one is ahead of the better of two plain texts, by set and by draw."""
    from benchmarks.returned import against_plain  # imports torch

    yield (
        "",
        "mean over sets",
        "median",
        "worst set",
        "sets that measurably lose",
        "draws that lose",
        "worst draw",
    )
    for name, title in BEDS.items():
        rows = [row for row in read_rows(folder / f"{name}.jsonl") if "ahead" in row]
        for model, shots in sorted({(row["model"], row["shots"]) for row in rows}):
            own = [row for row in rows if (row["model"], row["shots"]) == (model, shots)]
            gains = {data: points for data, points, _ in against_plain(own)}
            means = {data: statistics.fmean(points) for data, points in gains.items()}
            draws = list(itertools.chain.from_iterable(gains.values()))
            gap = over_sets(gains, f"{name} {model} {shots}")
            worst = min(means, key=means.__getitem__)
            yield (
                f"{title}, {model}, {shots} shot{'s' * (shots > 1)}",
                over(gap.mean, gap.interval),
                f"{gap.median:+z.1f}",
                f"{means[worst]:+z.1f} {worst.removeprefix('iid-')}",
                f"{sum(high < 0 for _, _, (_, high) in against_plain(own))} of {len(means)}",
                f"{100 * statistics.fmean(gain < 0 for gain in draws):.0f} %",
                f"{min(draws):+z.1f}",
            )


def differences(folder: Path, name: str) -> Lines:
    """Yield differences over sets: a line per comparison, a column per model and shots, and their cost."""
    runs = _runs(folder, name)
    columns = _columns(runs)
    differences_by_key = _all_differences(folder)
    significant = holm({key: difference.p for key, difference in differences_by_key.items()})
    titles = (f"{model}, {shots} shot{'s' * (shots > 1)}" for model, shots in columns)
    yield ("", *titles, "templates (first / second)", "requests (first / second)")
    for first, second in _compared(name, runs):
        keys = [_key(name, first, second, model, shots) for model, shots in columns]
        if not differences_by_key.keys() & set(keys):
            continue
        costs = [_side_cost(runs, side) for side in (first, second)]
        yield (
            " over ".join(method_name(_label(runs, side)) for side in (first, second)),
            *(
                _spread(differences_by_key[key], "*" * (key in significant))
                if key in differences_by_key
                else ""
                for key in keys
            ),
            *(" / ".join(sides).rstrip() for sides in zip(*costs, strict=True)),
        )


LEFT_OUT = ("with_images", "best starting template", "best hand-made", "hand-made")
"""Lines that are on no page: the first is the recommended one."""
BEDS = {
    "returned": "18 sets by others",
    "returned-fresh": "10 fresh sets",
    "returned-captions": "18 sets by others",
    "returned-shift": "24 shifted sets",
    "returned-drawn": "12 drawn sets",
}
"""Rows of ``returned.py``, and what a table calls their sets."""
RETURNED = {
    "best": "best template alone",
    "texts": "*texts* alone",
    "texts, without copies": "*texts* alone, without augmented copies",
    "recommended, without copies": "recommended, without augmented copies",
    "bare class name": "bare class name {}",
    "default template": "a photo of a {}",
    "coop": "CoOp, all labels",
    "coop-tuned": "CoOp, tuned",
    "linear probe": "linear probe, tuned",
    "held near, {}": "our linear part from {}",
    "mean of both, {}": "our two parts from {}, averaged",
}
"""Names of lines on the page and in the plot."""
METHODS = {
    "Tip-Adapter by leaving one out": "Tip-Adapter, chosen by leaving one out",
    "cross-modal": "cross-modal, tuned",
    "discriminant": "Gaussian discriminant",
}
"""Names of rivals that start from ``{}`` or the texts."""
KINDS: Mapping[str, Callable[[Path, str], Lines]] = {
    "returned": returned,
    "plain": plain,
    "differences": differences,
    "optimizers": optimizers,
    "names": names,
    "unread": unread,
    "gains": gains,
    "templates": templates,
}


def renewed(page: str, folder: Path) -> str:
    """Return the page with every table made again.

    Raises:
        ValueError: A table is of an unknown kind, or has no row or column of a name.
    """

    def renewed_table(match: re.Match[str]) -> str:
        if match["kind"] not in KINDS:
            raise ValueError(f"unknown kind of table: {match['kind']}; known: {', '.join(KINDS)}")
        head, *rows = KINDS[match["kind"]](folder, match["name"])
        names = match["only"].split("\n")[1:]
        left_out = [name.removeprefix("- ") for name in names if name.startswith("- ")]
        if only := [name for name in names if not name.startswith("- ")]:
            row_by_name = {row[0]: row for row in rows}
            _check_known(match["name"], "row", only, row_by_name)
            rows = [row_by_name[name] for name in only]
        _check_known(match["name"], "column", left_out, head)
        kept = [index for index, title in enumerate(head) if title not in left_out]
        head, *rows = ([row[index] for index in kept] for row in (head, *rows))
        lines = [head, ["-"] * len(head), *rows]
        table = "\n".join(f"|{'|'.join(line)}|" for line in lines)
        return f"{match['head']}\n{table}\n\n{match['tail']}"

    return TABLE.sub(renewed_table, page)


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
    transfer_rows = [
        {"method": row["label"], **{key: row[key] for key in columns}}
        for row in study["transfer"]
        if row["kept"] is not None
    ]
    if transfer_rows:
        with (folder / f"{name}-transfer.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(transfer_rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(transfer_rows)


def _check_known(table: str, what: str, names: Iterable[str], known: Iterable[str]) -> None:
    """Refuse the name of a row or column that a table does not have."""
    if missing := sorted({*names} - {*known}):
        raise ValueError(f"{table} has no {what} {missing[0]!r}; it has: {', '.join(known)}")


def _runs(folder: Path, name: str) -> list[Row]:
    rows = _rows(folder / f"{name}.csv")
    cells = {tuple(row[key] for key in CELL) for row in rows}
    references = _rows(folder / "equal-labels.csv")
    rows += [row for row in references if tuple(row[key] for key in CELL) in cells]
    return [row for row in rows if row["counts"] == "1"]


def _rows(file: Path) -> list[Row]:
    """Return the rows of a file; none if there is no file."""
    if not file.is_file():
        return []
    with file.open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


def _columns(runs: Iterable[Row]) -> list[tuple[str, int]]:
    """Return the models and numbers of shots of a study."""
    return sorted({(row["model"], int(row["shots"])) for row in runs})


def _compared(name: str, runs: Iterable[Row]) -> list[tuple[str, str]]:
    """Return the pairs that a study compares, also with equal labels."""
    study = tomllib.loads((ROOT / "suites" / f"{name}.toml").read_text("utf-8"))
    methods = {row["method"] for row in runs}
    pairs = [(pair["first"], pair["second"]) for pair in study["compare"]]
    return pairs + [(first, second + ALL_LABELS) for first, second in pairs if second + ALL_LABELS in methods]


def _key(*parts: object) -> str:
    return ", ".join(map(str, parts))


@functools.cache
def _all_differences(folder: Path) -> Mapping[str, OverSets]:
    """Return the differences of every study whose rows are in a folder."""
    differences_by_key = {}
    for name in (name for name in STUDIES if (folder / f"{name}.csv").is_file()):
        runs = _runs(folder, name)
        for (first, second), (model, shots) in itertools.product(_compared(name, runs), _columns(runs)):
            own = [row for row in runs if (row["model"], row["shots"]) == (model, str(shots))]
            key = _key(name, first, second, model, shots)
            fairer = second + ALL_LABELS in {row["method"] for row in own}
            if not fairer and (by_set := _differences_by_set(own, first, second)):
                differences_by_key[key] = over_sets(by_set, key)
    return differences_by_key


def _differences_by_set(runs: Sequence[Row], first: str, second: str) -> Mapping[str, list[float]]:
    """Return differences in points by set, a list over seeds."""
    first_tests, second_tests = _tests(runs, first, second), _tests(runs, second, first)
    by_set: dict[str, list[float]] = {}
    for data, seed in sorted(first_tests.keys() & second_tests.keys()):
        difference = 100 * (first_tests[data, seed] - second_tests[data, seed])
        by_set.setdefault(data, []).append(difference)
    return by_set


def _tests(runs: Sequence[Row], side: str, other_side: str) -> Mapping[tuple[str, str], float]:
    """Return a side's test accuracies by set and seed.

    A baseline is read from the rows of the other side; of another method if that one is a baseline too.
    """
    method, figure = _figure(side)
    if method not in {row["method"] for row in runs}:
        method, figure = _figure(other_side)[0], f"test: {side}"
        with_baseline = {row["method"] for row in runs if row.get(figure)}
        method = method if method in with_baseline else min(with_baseline, default="")
    rows = [row for row in runs if row["method"] == method and row.get(figure)]
    return {(row["data"], row["seed"]): float(row[figure]) for row in rows}


def _figure(side: str) -> tuple[str, str]:
    return (side.removesuffix(" ensemble"), "test: ensemble" if side.endswith(" ensemble") else "test: best")


def _budget(runs: Sequence[Row], method: str) -> tuple[float, float]:
    """Return the mean number of templates scored and of requests."""
    rows = [row for row in runs if row["method"] == method]
    templates, requests = (
        statistics.fmean(float(row[column]) for row in rows) for column in ("evaluated", "calls")
    )
    return templates, requests


def _label(runs: Sequence[Row], label: str) -> str:
    """Return a line's name as a table shows it."""
    compared = any("class names only" in row["method"] for row in runs)
    return label if compared else label.replace(DESCRIBED, "")


def _side_cost(runs: Sequence[Row], side: str) -> tuple[str, str]:
    method, _ = _figure(side)
    rows = [row for row in runs if row["method"] == method]
    if not rows:
        return _cost(BASELINE_TEMPLATES.get(side), 0)
    return _cost(None, 0) if rows[0]["white_box"] == "1" else _cost(*_budget(runs, method))


def _cost(templates: float | None, requests: float) -> tuple[str, str]:
    return "" if templates is None else f"{templates:.0f}", f"{requests:.1f}" if requests else "0"


def _spread(difference: OverSets, star: str) -> str:
    return f"{over(difference.mean, difference.interval, star)}<br>{difference.median:+z.1f}"


def _named(words: Sequence[str]) -> Iterator[tuple[str, Path]]:
    for word in words:
        name, _, suite = word.partition("=")
        if not suite:
            raise SystemExit(f"{word}: expected NAME=SUITE_DIR")
        yield name, Path(suite)


def main(words: Sequence[str] | None = None, docs: Path = DOCS) -> None:
    """Make the pages again."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("studies", nargs="*", metavar="NAME=SUITE_DIR")
    for name, suite in _named(parser.parse_args(words).studies):
        keep(name, suite, docs / "results")
    for page in (docs / name for name in PAGES):
        page.write_text(renewed(page.read_text("utf-8"), docs / "results"), "utf-8")


if __name__ == "__main__":
    main()

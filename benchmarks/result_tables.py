"""Make the tables of finished studies with an LLM from rows that docs/results/README.md accounts for."""

from __future__ import annotations

import random
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.common import Row, mean_over_sets, over_sets, read_rows
from promptclimb.agent.study.tables import SetDifferences, interval_of

Line = Sequence[str]
Cells = Mapping[tuple[str, int], Row]
"""Rows by set and seed."""

OURS = "guided, with description"
OPTIMIZERS = (
    *(OURS, f"{OURS}, augmented copies", "guided, class names only", "pn", "random"),
    *(
        f"{name}, {information}"
        for name in ("GEPA", "OPRO", "EvoPromptGA", "CAPO")
        for information in (
            *("with description", "without description"),
            "with description, from our starting templates",
        )
    ),
)
"""Rows of the comparison with other optimizers, in the order of its table."""
COMPARED = ("optimizers-recorded", "optimizers")
"""The recorded rows with a strong LLM, and those with the local one."""
MARGIN = 0.5
"""Points below the best that do not matter."""
GROUPS: Mapping[str, Sequence[str]] = {
    "ambiguous": (
        *("shared-names", "natural-names", "mixed-names", "names-among-animals"),
        "names-among-things",
    ),
    "Latin": ("latin-names",),
    "plain": (
        *("plain-names", "photos", "artworks", "drawn-things", "dreams", "right-hand-things"),
        *("tallies", "dice", "coloured-things"),
    ),
}
"""Sets of the study of class names, by what their names are."""
FOUND = "found"
"""The arm of that study with the best starting template and the original names."""
NAME_ARMS = {
    "shared": "original names",
    "list": "common words",
    "strong": "the strong LLM's names",
    "local": "the local LLM's names",
    "name-words": "fixed words",
    FOUND: "the best template",
    "list joint": "common words and a new template",
    "strong joint": "the strong LLM's names and a new template",
}
"""What the arms that are compared are called."""
NAME_COMPARISONS = (
    *(("strong", second, "ambiguous") for second in ("shared", "name-words", "list")),
    *(("local", second, "ambiguous") for second in ("shared", "name-words", "list")),
    ("list", "shared", "ambiguous"),
    *((f"{names} joint", FOUND, "plain") for names in ("strong", "list")),
)
RESAMPLES = 2000
LLM = "LLM"
"""The arm of a strong LLM's names in the study of names that a CLIP has not read."""
HALF_FALSE = "half false"
"""Its arm of an LLM's names, those of half of the classes exchanged."""
WORDS = "words"
"""Its arm of common words by score."""
AMBIGUOUS = ("shared-names", "mixed-names")
"""Sets of that study whose names the CLIP has read, in several senses."""
IMAGES = ", images"
"""Ends the name of an arm that learns from the labelled images too."""
UNREAD_ARMS: Mapping[str, Sequence[str]] = {
    "unread": ("original", LLM, "true", *(f"{arm}{IMAGES}" for arm in ("original", LLM, "true"))),
    "unread, in FreeDict": ("FreeDict", LLM, *(f"{arm}{IMAGES}" for arm in ("original", "FreeDict", LLM))),
    "ambiguous": ("original", WORDS, LLM, *(f"{arm}{IMAGES}" for arm in ("original", WORDS, LLM))),
}
UNREAD_NAMES = {
    "original": "original names",
    LLM: "the LLM's names",
    HALF_FALSE: "the LLM's names, half of them exchanged,",
    "true": "true names",
    "FreeDict": "FreeDict's names",
    WORDS: "common words",
}
"""What the arms of that study are called."""
UNREAD_SETS = {
    "unread": "sets",
    "unread, in FreeDict": "sets in FreeDict",
    "ambiguous": "sets with several senses",
}
"""What its groups of sets are called."""
UNREAD_TEMPLATES = {", bare": "`{}`", "": "`a photo of a {}`", ", OpenAI's 80": "OpenAI's 80"}
NO_LABELS = ", no labels"
UNREAD_GAINS = (
    (f"{LLM}{NO_LABELS}", f"original{IMAGES}", "unread"),
    (f"{LLM}{IMAGES}", f"original{IMAGES}", "unread"),
    (f"{HALF_FALSE}{IMAGES}", f"original{IMAGES}", "unread"),
    (f"{LLM}{IMAGES}", LLM, "unread"),
    (LLM, "FreeDict", "unread, in FreeDict"),
    (f"{LLM}{IMAGES}", f"FreeDict{IMAGES}", "unread, in FreeDict"),
)


def over(points: float, interval: Sequence[float], star: str = "") -> str:
    """Return a difference with its interval, as tables show it."""
    low, high = interval
    return f"{points:+z.1f}{star} [{low:z.1f}, {high:z.1f}]"


def method_name(label: str) -> str:
    """Return what a page calls a method with what it gets, such as ``guided, with description``."""
    method, *rest = label.split(", ")
    words = [f"`{method}`" if method.islower() and " " not in method else method]
    for what in rest:
        if what.startswith("from"):
            words[-1] += ","
        elif not what.startswith("with"):
            words.append("and" if len(words) > 1 else "with")
        words.append(what)
    return " ".join(words)


def optimizers(folder: Path, _name: str) -> Iterator[Line]:
    """Yield what each optimizer found with the strong and with the local LLM."""
    strong, local = (compared_optimizers(read_rows(folder / f"{name}.jsonl")) for name in COMPARED)
    yield (
        *("", "accuracy, strong LLM", "`guided` ahead by", "sets near the best"),
        *("templates scored", "requests", "accuracy, local LLM"),
    )
    for name, row in strong.items():
        if name.endswith(", without description"):
            continue
        with_local = local.get(name)
        yield (
            method_name(name),
            f"{row['test']:.1f}",
            row["ours_over_it"],
            f"{row['near']} of {row['sets']}",
            f"{row['scored']:.0f}",
            f"{row['answered']:.1f}",
            f"{with_local['test']:.1f}" if with_local else "",
        )


def compared_optimizers(rows: Iterable[Row]) -> dict[str, dict[str, Any]]:
    """Return accuracy, costs, sets near the best and the difference to ``OURS`` by optimizer.

    A mean is over sets of the means over seeds. The interval of a difference, which is over the cells that
    both have, resamples test images, seeds and sets.
    """
    cells_by_name: dict[str, dict[tuple[str, int], Row]] = {}
    for row in rows:
        if "error" not in row:
            cells_by_name.setdefault(row["row"], {})[row["data"], row["seed"]] = row
    table = {}
    for name in (name for name in OPTIMIZERS if name in cells_by_name):
        cells = cells_by_name[name]
        tests_by_set: dict[str, list[float]] = {}
        for (data, _), row in cells.items():
            tests_by_set.setdefault(data, []).append(100 * row["test"])
        table[name] = {
            "test": mean_over_sets(tests_by_set),
            "scored": statistics.mean(row["scored"] for row in cells.values()),
            "answered": statistics.mean(row["answered"] for row in cells.values()),
            "ours_over_it": "" if name == OURS else _ours_over(cells_by_name[OURS], cells),
            **_near_best(name, cells_by_name),
        }
    return table


def _ours_over(ours: Cells, theirs: Cells) -> str:
    differences_by_set: dict[str, list[npt.NDArray[np.int8]]] = {}
    for cell in sorted(ours.keys() & theirs.keys()):
        difference = _hits(ours[cell]) - _hits(theirs[cell])
        differences_by_set.setdefault(cell[0], []).append(difference)
    if not differences_by_set:
        return ""
    sets = [
        SetDifferences([float(images.mean()) for images in seeds], seeds)
        for seeds in differences_by_set.values()
    ]
    interval, _ = interval_of(sets, ("images", "seeds", "sets"))
    assert interval is not None
    return over(
        100 * statistics.fmean(statistics.fmean(of_set.means) for of_set in sets),
        [100 * end for end in interval],
    )


def _hits(row: Row) -> npt.NDArray[np.int8]:
    """Return which test images are correctly classified, as 0 and 1."""
    packed = np.frombuffer(bytes.fromhex(row["right"]), np.uint8)
    return np.unpackbits(packed)[: row["images"]].astype(np.int8)


def _near_best(name: str, cells_by_name: Mapping[str, Cells]) -> dict[str, int]:
    """Return on how many sets a row is at most ``MARGIN`` below the best, and the number of sets.

    A set counts with the seeds that every row has.
    """
    shared = set.intersection(*map(set, cells_by_name.values()))
    data_sets = {data for data, _ in shared}
    near = 0
    for data in data_sets:
        means = {
            other: 100 * statistics.mean(cells[cell]["test"] for cell in shared if cell[0] == data)
            for other, cells in cells_by_name.items()
        }
        near += means[name] >= max(means.values()) - MARGIN
    return {"near": near, "sets": len(data_sets)}


def names(folder: Path, name: str) -> Iterator[Line]:
    """Yield what new names of classes gain on kinds of sets, RN-pico."""
    return names_table([row for row in read_rows(folder / f"{name}.jsonl") if row["model"] == "RN-pico"])


def names_table(rows: Sequence[Row]) -> Iterator[Line]:
    """Yield a head and the differences between arms, a column for each number of shots."""
    counts = sorted({row["shots"] for row in rows})
    yield ("", *(f"{shots} shot{'s' * (shots > 1)}" for shots in counts))
    for first, second, group in NAME_COMPARISONS:
        columns = [_differences_by_set(rows, group, shots, first, second) for shots in counts]
        if all(columns):
            yield (
                f"{NAME_ARMS[first]} over {NAME_ARMS[second]} ({len(columns[0])} {group} sets)",
                *(over(*_bootstrap(by_set)) for by_set in columns),
            )
            if group == "plain":
                worst = [min(map(statistics.fmean, by_set.values())) for by_set in columns]
                yield ("on the worst of these sets", *(f"{points:+z.1f}" for points in worst))


def _differences_by_set(
    rows: Sequence[Row], group: str, shots: int, first: str, second: str
) -> dict[str, list[float]]:
    """Return the differences between two arms by set, one per draw, where both were measured."""
    by_set: dict[str, list[float]] = {}
    for row in rows:
        if row["data"] in GROUPS[group] and row["shots"] == shots and first in row and second in row:
            by_set.setdefault(row["data"], []).append(row[first] - row[second])
    return by_set


def _bootstrap(differences_by_set: Mapping[str, Sequence[float]]) -> tuple[float, tuple[float, float]]:
    """Return the mean over sets of the means over draws, and its 95 % interval over both."""
    rng = random.Random(0)
    sets = list(differences_by_set.values())
    means = []
    for _ in range(RESAMPLES):
        drawn_sets = rng.choices(sets, k=len(sets))
        means.append(
            statistics.fmean(statistics.fmean(rng.choices(draws, k=len(draws))) for draws in drawn_sets)
        )
    means.sort()
    cut = RESAMPLES // 40
    return mean_over_sets(differences_by_set), (means[cut], means[-cut - 1])


def unread(folder: Path, name: str) -> Iterator[Line]:
    """Yield accuracies of names that a CLIP has not read, without and with labelled images."""
    return unread_table(read_rows(folder / f"{name}.jsonl"))


def unread_table(rows: Sequence[Row]) -> Iterator[Line]:
    """Yield means over sets of test accuracies in %, with the worst set, by arm and number of shots."""
    shots = sorted({row["shots"] for row in rows})
    yield ("", *(f"{count} shot{'s' * (count > 1)}" if count else "no labels" for count in shots))
    for group, arms in UNREAD_ARMS.items():
        for arm in arms:
            cells = [_values_by_set(rows, group, count, arm) for count in shots]
            if any(cells):
                sets = max(map(len, cells))
                title = f"{_unread_name(arm)} ({sets} {UNREAD_SETS[group]})"
                first, *others = (_mean_and_worst(cell, sets) for cell in cells)
                yield (title, first, *("same" if cell == first else cell for cell in others))


def gains(folder: Path, name: str) -> Iterator[Line]:
    """Yield what names and images gain over each other."""
    return unread_gains(read_rows(folder / f"{name}.jsonl"))


def unread_gains(rows: Sequence[Row]) -> Iterator[Line]:
    """Yield paired differences over sets, with that on the worst set, by number of shots."""
    shots = sorted({row["shots"] for row in rows} - {0})
    yield ("", *(f"{count} shot{'s' * (count > 1)}" for count in shots))
    for first, second, group in UNREAD_GAINS:
        columns = [_gains_by_set(rows, group, count, first, second) for count in shots]
        if all(columns):
            names_over = f"{_unread_name(first)} over {_unread_name(second)}"
            # It seeds the resampling, so that renamed rows keep their intervals.
            drawn_as = f"{len(columns[0])} {group}: {first} over {second}".replace(IMAGES, " and images")
            yield (
                f"{names_over} ({len(columns[0])} {UNREAD_SETS[group]})",
                *(_gain(by_set, drawn_as) for by_set in columns),
            )


def _gains_by_set(
    rows: Sequence[Row], group: str, shots: int, first: str, second: str
) -> dict[str, list[float]]:
    """Return the differences between two arms by set, one per draw; without labels there is one draw."""
    own = first.removesuffix(NO_LABELS)
    firsts = _values_by_set(rows, group, shots if own == first else 0, own)
    seconds = _values_by_set(rows, group, shots, second)
    return {
        data: [
            (firsts[data][index] if own == first else firsts[data][0]) - value
            for index, value in enumerate(seconds[data])
        ]
        for data in sorted(firsts.keys() & seconds.keys())
    }


def _unread_name(arm: str) -> str:
    """Return what the pages call an arm of the study of unread names."""
    names, without_labels = arm.removesuffix(IMAGES).removesuffix(NO_LABELS), arm.endswith(NO_LABELS)
    images = " and images" if arm.endswith(IMAGES) else ""
    return f"{UNREAD_NAMES[names]}{images}{' without labels' if without_labels else ''}"


def templates(folder: Path, name: str) -> Iterator[Line]:
    """Yield what the same names bring in other templates."""
    return unread_templates(read_rows(folder / f"{name}.jsonl"))


def unread_templates(rows: Sequence[Row]) -> Iterator[Line]:
    """Yield means over sets without labels, a column for each template."""
    yield ("", *UNREAD_TEMPLATES.values())
    for group, arms in UNREAD_ARMS.items():
        for arm in arms:
            cells = [_values_by_set(rows, group, 0, f"{arm}{suffix}") for suffix in UNREAD_TEMPLATES]
            if all(cells):
                yield (
                    f"{_unread_name(arm)} ({len(cells[0])} {UNREAD_SETS[group]})",
                    *(_mean_and_worst(cell, len(cells[0])) for cell in cells),
                )


def _values_by_set(rows: Sequence[Row], group: str, shots: int, arm: str) -> dict[str, list[float]]:
    """Return an arm's test accuracies by set, one for each draw."""
    by_set: dict[str, list[float]] = {}
    in_freedict = {row["data"] for row in rows if "FreeDict" in row}
    for row in rows:
        kind = "ambiguous" if row["data"] in AMBIGUOUS else "unread"
        groups = [kind, f"{kind}, in FreeDict"] if row["data"] in in_freedict else [kind]
        if group in groups and row["shots"] == shots and arm in row:
            by_set.setdefault(row["data"], []).append(row[arm])
    return by_set


def _mean_and_worst(values_by_set: Mapping[str, Sequence[float]], sets: int) -> str:
    """Return a mean over sets with the worst of them, and their number where it is not the table's."""
    if not values_by_set:
        return ""
    number = (
        "" if len(values_by_set) == sets else f", {len(values_by_set)} set{'s' * (len(values_by_set) > 1)}"
    )
    worst = min(map(statistics.fmean, values_by_set.values()))
    return f"{mean_over_sets(values_by_set):.1f} ({worst:.0f}{number})"


def _gain(differences_by_set: Mapping[str, Sequence[float]], name: str) -> str:
    """Return the mean with its interval, and below it the set with the smallest."""
    difference = over_sets(differences_by_set, name)
    worst = min(map(statistics.fmean, differences_by_set.values()))
    return f"{over(difference.mean, difference.interval)}<br>{worst:+z.1f}"

"""What better names of single classes gain, and what of it is due to their meaning.

    python benchmarks/class_names.py --draws 5,6 --keep rows.jsonl

On each bundled set and few-shot draw, names are chosen by the program's rule (``FewShots`` of
unread_names.py) from recorded names (recorded/class_names.json) and common words. No LLM is asked. Arms:

``shared``           the best of eight simple templates, without new names
``found``            the best of 80 starting templates drawn from the captions, without new names
``list``             common words, without an LLM: "bat, an animal", 100 kinds for each class
``strong``           names by a large chat model, all rounds, and its first readings; the common words beside
``local``            names by the local 0.5B, asked once; the common words beside
``permuted``         the strong model's names alone, each list given to another class
``... joint``        what the program does: the template is chosen again, or no names are used

Arms without ``joint`` are evaluated in the shared template. A row of ``--keep FILE`` is one set, number of
shots and draw, with test accuracies in %. Rows already there are not computed again. Intervals are 95 %, over
sets and draws, by bootstrap. Prints the table of docs/results/tables.md.
"""

from __future__ import annotations

import json
import math
import random
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import ROOT, Row, argument_parser, print_document, rows_of, whole_numbers
from benchmarks.pico_features import Clip, Floats, features_of
from benchmarks.result_tables import FOUND, GROUPS, names_table
from benchmarks.unread_names import FewShots, Texts, accuracy, readings
from promptclimb.agent.search.name_search import DIFFERING
from promptclimb.prompts.class_names import SHORT_WORDS, kind_names
from training import sets

RECORDED = ROOT / "benchmarks" / "recorded" / "class_names.json"
MOST_WORDS = 8
LOCAL = {"local": "local-0.5b"}
"""Arms of local models, and where their answers are."""
Names = Mapping[int, Sequence[str]]


def recorded(data: str, rounds: int | None = None) -> dict[int, list[str]]:
    """Return the strong model's names by label, of its first rounds."""
    strong = json.loads(RECORDED.read_text("utf-8"))["strong"]
    answers = strong[data] if data == "shared-names" else [*strong["every set"], *strong.get(data, ())]
    names: dict[int, list[str]] = {}
    for label, name in enumerate(sets.spec(data).classes):
        # "orange" is a fruit elsewhere.
        keys = (f"{name}#colour", name) if sets.spec(data).family == "colours" else (name,)
        for answer in answers[:rounds]:
            names.setdefault(label, []).extend(next((answer[key] for key in keys if key in answer), ()))
    return _allowed(data, names)


def local(data: str, llm: str) -> dict[int, list[str]]:
    """Return a local model's names by label; empty if it was not asked about this set."""
    answers = json.loads(RECORDED.read_text("utf-8"))[llm]
    classes = sets.spec(data).classes
    if not answers.keys() >= set(classes):
        return {}
    names = {
        label: [
            re.sub(r"^[-*\d.\s]+", "", line).strip().rstrip(".").lower()
            for answer in answers[name]
            for line in answer.splitlines()
        ]
        for label, name in enumerate(classes)
    }
    return _allowed(data, names, most_words=SHORT_WORDS + 1)


def _allowed(data: str, proposed: Names, most_words: int = MOST_WORDS) -> dict[int, list[str]]:
    """Leave out long names, names of classes, and what another class has."""
    taken = {name.casefold() for name in sets.spec(data).classes}
    allowed: dict[int, list[str]] = {}
    for label, names in proposed.items():
        for name in names:
            if name and name.casefold() not in taken and len(name.split()) <= most_words:
                taken.add(name.casefold())
                allowed.setdefault(label, []).append(name)
    return allowed


def permuted(names: Names, classes: int, draw: int) -> dict[int, Sequence[str]]:
    """Give each list of names to another class."""
    rng, receivers = random.Random(draw), list(range(classes))
    while any(giver == receiver for giver, receiver in enumerate(receivers)):
        rng.shuffle(receivers)
    return {receivers[label]: own for label, own in names.items()}


def joint(few: FewShots, names: Sequence[str]) -> tuple[str, Sequence[str]]:
    """Return the template and names that the program uses in the end."""
    best = few.found[0]
    right = {template: few.accuracy(template, names) for template in (few.template, *few.found)}
    template = max(right, key=right.__getitem__)
    if right[template] - right[few.template] <= math.sqrt(DIFFERING / few.images):
        template = few.template
    is_used = names != few.classes and right[template] >= few.accuracy(best, few.classes)
    return (template, names) if is_used else (best, few.classes)


def measured(data: str, few: FewShots, draw: int, test: Callable[[str, Sequence[str]], float]) -> Row:
    """Return the test accuracies of the arms."""
    classes = few.classes
    common = {label: kind_names(name, random.Random(label)) for label, name in enumerate(classes)}
    strong = recorded(data)
    row: dict[str, Any] = {"template": few.neutral, "shared": test(few.neutral, classes)}
    row[FOUND] = test(few.found[0], classes)

    def put(arm: str, names: Sequence[str]) -> None:
        row[arm] = test(few.neutral, names)
        row[f"{arm} joint"] = test(*joint(few, names))

    put("list", few.chosen({}, {}, common))
    put("permuted", few.chosen({}, permuted(strong, len(classes), draw)))
    for arm, llm in LOCAL.items():
        if own := local(data, llm):
            put(arm, few.chosen({}, own, common))
    read, first = readings("strong", data, classes)
    start = few.start(first)
    own = {
        label: list(dict.fromkeys((name, *read.get(label, ()), *strong.get(label, ()))))
        for label, name in enumerate(classes)
    }
    names = few.chosen(start, own, common)
    put("strong", names)
    row["names"] = {old: new for old, new in zip(classes, names, strict=True) if new != old}
    return row


def main() -> None:
    """Measure what is missing, and print the table."""
    parser = argument_parser(__doc__)
    every_set = ",".join(name for names in GROUPS.values() for name in names)
    parser.add_argument("--data", default=every_set, help="bundled sets (default: all that have names)")
    parser.add_argument("--model", default="RN-pico", help="bundled model")
    parser.add_argument("--shots", default="1,4,16", help="training images per class")
    parser.add_argument("--draws", default="5,6", help="seeds of the few-shot images")
    parser.add_argument("--keep", type=Path, help="file of rows")
    parser.add_argument("--cache", type=Path, help="folder that keeps features for the next time")
    options = parser.parse_args()
    clip = Clip(options.model)
    texts = Texts(clip)

    @lru_cache(maxsize=1)  # cells come set by set
    def features(data: str) -> Mapping[str, Floats]:
        return features_of(data, options.model, clip, options.cache)

    def measure(cell: Row) -> Row:
        data, draw, classes = cell["data"], cell["draw"], sets.spec(cell["data"]).classes
        in_set = features(data)
        few = FewShots(classes, texts, in_set, cell["shots"], draw)
        print(f"{data}, {cell['shots']} shots, draw {draw}", file=sys.stderr, flush=True)
        return measured(data, few, draw, partial(accuracy, texts, in_set))

    cells = [
        {"model": options.model, "data": data, "shots": shots, "draw": draw}
        for data in options.data.split(",")
        for shots in whole_numbers(options.shots)
        for draw in whole_numbers(options.draws)
    ]
    rows = rows_of(cells, measure, options.keep)
    if options.json:
        print_document(rows, options)
        return
    head, *lines = names_table(rows)
    for line in (head, ["-"] * len(head), *lines):
        print(f"|{'|'.join(line)}|")


if __name__ == "__main__":
    main()

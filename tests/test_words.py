"""Plain words: one term for one thing, in code, messages, tests and pages."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.paths import ROOT
from tests.test_house import SOURCES, nodes, relative

TERMS = {
    r"(?:un|fore)?told|tell(?:s|ing)?": "with / without description; emit, say",
    r"hear[ds]?|hearing|unheard": "on_event, get",
    r"climb(?:s|ed|er|ing)?": "restart",
    r"iterations?|iterated": "round",
    r"resets?": "conversation",
    r"initial pool|pool's pick": "starting templates, best starting template",
    r"plain templates?": "default template",
    r"guessing": "chance level",
    r"altered views?": "augmented copies",
    r"asides?|beside the requests": "free candidates; reserved",
    r"black box(?:es)? of (?:yours|one's own|the user's)": "custom scorer",
    r"leagues?": "comparison with other optimizers",
    r"miniatures?|pico world": "bundled benchmark",
    r"let through": "warnings",
    r"sealed": "held out",
    r"gone on with|go(?:es)? on with|left off|of before": "resumed, interrupted, earlier",
    r"useless|of no use": "unusable answer",
    r"doubtful": "estimated tokens",
    r"in vain|mended|dearest|whence": "failed, fixed, most expensive, where from",
    r"as a rule": "typically, expected",
    r"last look|keepsakes?|written down|same content|early picks?|greetings|beforehand": "plain names",
}
"""Terms that are not used, and what is used instead."""
LOWER_CASE = {r"none is|is none|are none": "is not a ..., is invalid"}
"""The same, apart from Python's ``None``."""
FILLERS = {"one", "found", "place", "part", "given", "said", "some"}
"""Names of variables and arguments that say nothing of what they hold."""
MOST_FILLERS = 30
"""How many there may be; it only falls."""
EXCEPTIONS = {
    "tests/test_words.py": None,  # this list
    "tests/data/": None,  # recorded
    "docs/results/": None,  # recorded
    "benchmarks/recorded/": None,  # recorded
    "prompts/wordings.toml": {r"(?:un|fore)?told|tell(?:s|ing)?"},  # texts that recorded answers belong to
    "agent/methods/base.py": {r"iterations?|iterated"},  # Python's StopIteration
    **{
        name: {r"iterations?|iterated"}  # Python's StopIteration
        for name in (
            *("evaluator/custom.py", "evaluator/threads.py", "tests/evaluator/test_custom.py"),
            *(
                "tests/evaluator/test_batching.py",
                "tests/evaluator/test_threads.py",
                "agent/search/bound.py",
            ),
            *("tests/agent/search/test_evaluation.py", "tests/agent/search/test_failing_evaluators.py"),
        )
    },
    "agent/store/disk.py": {r"resets?"},  # a method of diskcache
    **{
        f"{name}.py": {r"resets?"}  # names of libraries and of a fault
        for name in (
            "benchmarks/chaos",
            "training/loop",
            "tests/training/test_train",
        )
    },
    "CHANGELOG.md": {
        r"climb(?:s|ed|er|ing)?",
        r"iterations?|iterated",
        r"resets?",
        r"initial pool|pool's pick",
    },
    # names the old words
}
"""Where a term may stand: by the beginning of a path, the terms (None: all), each for a reason."""
PLACES = (
    "agent",
    "evaluator",
    "prompts",
    "promptclimb",
    "training",
    "tests",
    "benchmarks",
    "examples",
    "suites",
)
PAGES = ("docs", "README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
ENDINGS = (".py", ".md", ".toml", ".j2", ".yml", ".css")


@cache
def one_of(terms: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![a-z'-])(?:{terms})(?![a-z-])")


def found_in(text: str) -> dict[str, list[str]]:
    """Terms that stand in a text, with their lines; parts of names count as words."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).replace("_", " ")
    found = defaultdict(list)
    for terms, where in ((TERMS, words.lower()), (LOWER_CASE, words)):
        if not one_of("|".join(terms)).search(where):
            continue
        lines = where.split("\n")
        for term in terms:
            for match in one_of(term).finditer(where):
                line = where.count("\n", 0, match.start())
                found[term].append(f"{line + 1}: {lines[line].strip()[:90]}")
    return found


def test_texts_use_the_terms_of_the_field() -> None:
    """None of the terms above stands in names, docstrings, help, messages, events, keys or pages."""
    places = [ROOT / place for place in (*PLACES, *PAGES)]
    files = [one for place in places for one in (sorted(place.rglob("*")) if place.is_dir() else [place])]
    wrong = []
    for path in files:
        name = relative(path)
        exempt = [terms for start, terms in EXCEPTIONS.items() if name.startswith(start)]
        if path.suffix not in ENDINGS or None in exempt:
            continue
        allowed = {term for terms in exempt for term in terms or ()}
        for term, lines in found_in(path.read_text("utf-8")).items():
            better = (TERMS | LOWER_CASE)[term]
            wrong += [f"{name}:{line} -> {better}" for line in lines if term not in allowed]
    assert not wrong, f"{len(wrong)} lines\n" + "\n".join(wrong)


def names_of_values(path: Path) -> Iterator[str]:
    """The names of variables and arguments, at each place where one stands."""
    for node in nodes(path):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.arg | ast.keyword):
            yield node.arg or ""


def test_names_say_what_they_hold() -> None:
    """A variable or argument is named for its value."""
    files = [path for path in SOURCES if not relative(path).startswith("promptclimb/")]
    fillers = {relative(path): sum(name in FILLERS for name in names_of_values(path)) for path in files}
    worst = sorted(fillers.items(), key=lambda item: -item[1])[:20]
    assert sum(fillers.values()) <= MOST_FILLERS, f"{sum(fillers.values())}, most in {worst}"

"""Methods without an LLM: ``combine``, which fills caption frames with words, and ``random``.

``combine`` predicts scores by kernel ridge regression over the words of all candidates that a restart has
scored. The features of a candidate are its words and its pairs of neighbours, slots included, so that "of {}"
and "{} of" differ.
"""

from __future__ import annotations

import itertools
import random
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from ...prompts.kinds import Candidate, CandidateError, PromptKind
from .base import Propose, SearchMethod, Steps, View
from .memory import Memory

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

FILLINGS = 200
"""Filled frames considered per round."""
MAX_LEARNT_FROM = 800
"""Maximum candidates to learn from: half are the best, the others are spread over the rest."""
RIDGE = 2.0
"""Shrinkage towards the mean, in features: an effect seen with this many shared words counts half."""
_LARGE = 1e100
_GAP, _SECOND = "<w>", "<v>"
MOST_PHRASES = 200
LONGEST_PHRASE = 4
_CLAUSE = re.compile(r"[.,;:!?()\[\]\"“”„«»…|/]+|\s[-–—]+\s|\band\b|\bor\b|\bbut\b", re.IGNORECASE)
_WORD = re.compile(r"[^\s{}<>]+")
_FUNCTION_WORDS = """
a an the this that these those it its they them their he she we you i my your our some any each every
all both one is are was were be been being am has have had do does did can could will would shall should
may might must of in on at by to from with without for as into onto over under than then so not no nor
only also just very too here there where which who whom whose what when how if because while about like
up down out off through between among other another same such more most less least few many much several
show shows showing shown see seen picture pictures image images photo photos photograph photographs
class classes named called name names
"""
_WITHOUT_CONTENT = frozenset(_FUNCTION_WORDS.split())
_ARTICLES = frozenset({"a", "an", "the"})
_ATTEMPTS = 50
"""Tries per proposal of ``random``: a small pool may have nothing new left."""


def combine(view: View) -> Steps:
    """Fill frames with words of the description, or else with the kind's fillers.

    Propose fewer than asked for if nothing new is left.
    """
    words = phrases(view.description, view.class_names)
    while True:
        candidates = combined(view, words, view.rng(), view.proposals)
        yield Propose(candidates, source="combine")


def combined(view: View, words: Sequence[str], rng: random.Random, count: int) -> list[Candidate]:
    """Return new candidates made of frames and words, the most promising of many.

    The kind's fillers only take the places for which no words are left.
    """
    candidates = most_promising(_fillings(view.kind, words, rng), view, count)
    if words and len(candidates) < count:
        known = {candidate.key for candidate in candidates}
        general = most_promising(_fillings(view.kind, (), rng), view, count)
        candidates += [candidate for candidate in general if candidate.key not in known]
    return candidates[:count]


def _fillings(kind: PromptKind, words: Sequence[str], rng: random.Random) -> list[str]:
    if not words and not kind.fillers:
        return []
    fillings = []
    for _ in range(FILLINGS):
        if words and kind.fillers:
            rng.random()  # drawn by earlier versions: a resumed run proposes the same candidates
        fillings.append(_fill(kind, words or kind.fillers, rng))
    return fillings


def _fill(kind: PromptKind, words: Sequence[str], rng: random.Random) -> str:
    if rng.random() < 0.7:
        return framed(rng.choice(kind.frames), rng.choice(words))
    first, second = rng.choice(words), rng.choice(words)
    if not set(first.split()).isdisjoint(second.split()):  # "the colour of ink, ink" repeats itself
        return framed(rng.choice(kind.frames), first)
    return framed(rng.choice(kind.double_frames), first, second)


def most_promising(texts: Sequence[str], view: View, count: int) -> list[Candidate]:
    """Return new candidates to try, alternately of least tried words and of highest predicted score."""
    candidates = view.unseen(texts)
    predicted = predict(view.memory, [candidate.text for candidate in candidates])
    tries: Counter[str] = Counter()
    for entry in view.memory:
        tries.update(features(entry.text))
    words = [features(candidate.text) for candidate in candidates]

    def mean_tries(index: int) -> float:
        return sum(tries[word] for word in words[index]) / len(words[index])

    remaining = list(range(len(candidates)))
    chosen: list[Candidate] = []
    while remaining and len(chosen) < count:
        # Every other proposal explores: prediction alone would repeat the words that did well so far.
        if len(chosen) % 2 == 0:
            index = min(remaining, key=lambda index: (mean_tries(index), index))
        else:
            index = max(remaining, key=lambda index: (predicted[index], -index))
        remaining.remove(index)
        chosen.append(candidates[index])
        tries.update(words[index])
    return chosen


@lru_cache(maxsize=4096)
def features(text: str) -> frozenset[str]:
    """Return the words of a candidate and its pairs of neighbours, without articles and punctuation."""
    stripped = (word.strip(".,;:!?\"'") for word in text.casefold().split())
    words = [word for word in stripped if word not in _ARTICLES]
    return frozenset(words) | {f"{left} {right}" for left, right in itertools.pairwise(words)}


def predict(memory: Memory, texts: Sequence[str]) -> list[float]:
    """Predict each text's score from a memory that is not empty.

    Predictions are rounded, so that no order depends on floating-point differences between machines.
    """
    if not texts:
        return []
    import numpy as np  # takes longer to import than everything else that the help needs

    ranked = list(memory)
    best, rest = ranked[: MAX_LEARNT_FROM // 2], ranked[MAX_LEARNT_FROM // 2 :]
    places_left = MAX_LEARNT_FROM - len(best)
    if len(rest) > places_left:
        rest = [rest[step * len(rest) // places_left] for step in range(places_left)]
    learnt = [*best, *rest]
    rows = [features(entry.text) for entry in learnt]
    columns = {feature: column for column, feature in enumerate(sorted(frozenset().union(*rows)))}
    values = np.array([entry.value for entry in learnt])
    # Squares of larger numbers would overflow.
    largest = float(np.abs(values).max())
    unit = largest if largest > _LARGE else 1.0
    values = values / unit
    mean = float(values.mean())
    known = _matrix(rows, columns)  # [learned, features]
    inverse = np.linalg.inv(known @ known.T + RIDGE * np.eye(len(rows)))
    weights = known.T @ inverse @ (values - mean)  # [features]
    predicted = _matrix([features(text) for text in texts], columns) @ weights
    return [round((mean + float(value)) * unit, 6) for value in predicted]


def _matrix(rows: Sequence[Iterable[str]], columns: Mapping[str, int]) -> npt.NDArray[np.float64]:
    import numpy as np

    matrix = np.zeros((len(rows), len(columns)))
    for index, row in enumerate(rows):
        matrix[index, [columns[feature] for feature in row if feature in columns]] = 1.0
    return matrix


def phrases(description: str, class_names: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the words and phrases of a description that may stand in a caption, each once, words first.

    A phrase is a run of at most four words of one clause, with words of content at both ends. One that holds
    a class name would pull towards that class and is left out. Plurals are added in the singular.
    """
    taboo = {name.casefold() for name in class_names}
    runs = [_WORD.findall(clause) for clause in _CLAUSE.split(description)]
    collected: dict[str, None] = {}
    for length in range(1, LONGEST_PHRASE + 1):
        for run in runs:
            for start in range(len(run) - length + 1):
                words = run[start : start + length]
                if _is_content(words[0]) and _is_content(words[-1]) and not _named(words, taboo):
                    *before, last = words
                    collected |= dict.fromkeys((" ".join(words), " ".join((*before, singular(last)))))
    return tuple(collected)[:MOST_PHRASES]


def framed(frame: str, first: str, second: str = "") -> str:
    """Return a frame with its gaps filled."""
    return frame.replace(_GAP, first).replace(_SECOND, second)


def _is_content(word: str) -> bool:
    return word.casefold() not in _WITHOUT_CONTENT and any(map(str.isalnum, word))


def _named(words: Sequence[str], taboo: set[str]) -> bool:
    bare = [word.casefold() for word in words]
    return any(
        " ".join(bare[start:end]) in taboo
        for start in range(len(bare))
        for end in range(start + 1, len(bare) + 1)
    )


def singular(word: str) -> str:
    """Return an English plural's singular, by its ending, and other words unchanged."""
    if len(word) < 4 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies"):
        return f"{word[:-3]}y"
    return word[:-2] if word.endswith(("xes", "ches", "shes", "sses", "zes")) else word[:-1]


def random_changes(view: View) -> Steps:
    """Draw half the proposals from the pool; the others are best ones with one word changed."""
    words = _vocabulary(view.pool, view.kind.slot)
    if not words:  # a pool of bare slots
        ((captions,),) = view.kind.starting("captions")
        words = _vocabulary(captions, view.kind.slot)
    while True:
        rng = view.rng()
        new: dict[str, Candidate] = {}
        for _ in range(_ATTEMPTS * view.proposals):
            if len(new) == view.proposals:
                break
            candidate = _drawn_or_changed(view, words, rng)
            if candidate is not None and candidate.key not in view.memory:
                new.setdefault(candidate.key, candidate)
        yield Propose(list(new.values()))


def _drawn_or_changed(view: View, words: Sequence[str], rng: random.Random) -> Candidate | None:
    if rng.random() < 0.5:
        return rng.choice(view.pool)
    parent = rng.choice(view.memory.best(view.top_k)).text
    try:
        changed = one_word_changed(parent, words, view.kind.slot, rng)
        return view.kind.parse(changed, max_words=view.kind.max_words)
    except CandidateError:
        return None


def _vocabulary(candidates: Iterable[Candidate], slot: str) -> list[str]:
    """Return the words of some candidates, sorted and without slots."""
    words = {word for candidate in candidates for word in candidate.text.split()}
    return sorted(word for word in words if not (slot and slot in word))


def one_word_changed(parent: str, words: Sequence[str], slot: str, rng: random.Random) -> str:
    """Return a text with one word inserted, removed or replaced; its slots stay in place."""
    child = parent.split()
    free = [index for index, word in enumerate(child) if not (slot and slot in word)]
    action = rng.choice(("insert", "remove", "replace") if free else ("insert",))
    if action == "insert":
        child.insert(rng.randint(0, len(child)), rng.choice(words))
    elif action == "remove":
        del child[rng.choice(free)]
    else:
        child[rng.choice(free)] = rng.choice(words)
    return " ".join(child)


COMBINE = SearchMethod(
    summary="no LLM: puts words of the description into captions",
    conversation=combine,
    requests=0,
    uses_description=True,
    uses_class_names=True,
)
RANDOM = SearchMethod(summary="no LLM: random changes", conversation=random_changes, requests=0)

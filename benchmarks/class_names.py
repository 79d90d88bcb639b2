"""What better names of single classes gain, and what of it is due to their meaning.

    python benchmarks/class_names.py --json

On each bundled set and few-shot draw the best of eight simple templates is the shared template. Recorded
names (recorded/class_names.json) are tried for each class alone, and ``choose_names`` of the program chooses
from the predicted labels on few-shot images and their augmented copies. No LLM is asked. Arms:

``strong``           names by a large chat model, all rounds
``strong, round 1``  those of its first round alone
``local``            names by the local 0.5B, asked once
``permuted``         the strong model's names, each list given to another class
``local, permuted``  likewise
``name-words``       as many names per class as ``strong`` has: "bat, a kind of tool", drawn from a fixed list

``found``            the best of 80 starting templates drawn from the captions, without new names
``... in found``     names of an arm chosen in that one
``... joint``        what the program does: names are chosen in the neutral one, unless the found one repairs
                     most of its errors; then the template is chosen again, or no names are used

A row of ``--keep FILE`` is one set, number of shots and draw, with test accuracies in %, how many names were
scored alone, and how many renamings as a whole. Rows already there are not computed again. Intervals are
95 %, over sets and draws, by bootstrap.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

# In front of this folder, where the name `evaluator` is another benchmark.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.peers.kept import lines_of
from promptclimb.agent.search.name_choice import Predicted, Renaming, choose_names
from promptclimb.agent.search.name_search import FOUND_TRIED, REPAIRED
from promptclimb.evaluator.pico import sets
from promptclimb.prompts.class_names import NEUTRAL_TEMPLATES, SHORT_WORDS
from promptclimb.prompts.requests import ChatMessage
from promptclimb.prompts.starting import draw as draw_templates
from promptclimb.prompts.template_kind import KIND

if TYPE_CHECKING:
    from benchmarks.pico_features import Clip, Floats

ROOT = Path(__file__).resolve().parents[1]
RECORDED = ROOT / "benchmarks" / "recorded" / "class_names.json"
WORDS = ROOT / "prompts" / "name_words.toml"
AMBIGUOUS = ("shared-names", "natural-names", "mixed-names", "names-among-animals", "names-among-things")
UNKNOWN = ("latin-names",)
PLAIN = (
    *("plain-names", "photos", "artworks", "drawn-things", "dreams", "right-hand-things"),
    *("tallies", "dice", "coloured-things"),
)
GROUPS: Mapping[str, Sequence[str]] = {"ambiguous": AMBIGUOUS, "Latin": UNKNOWN, "plain": PLAIN}
SHOTS = (1, 4, 16)
MOST_VAL_SHOTS = 4
MOST_WORDS = 8
LOCAL = {"local": "local-0.5b", "local 1.5B": "local:1.5b"}
"""Arms of local models, and where their answers are."""
FOUND = "found"
JOINT = ("strong", "permuted", "local")
"""Arms that are also measured with a template that was found."""
STARTING = 80
RESAMPLES = 2000
Names = Mapping[int, Sequence[str]]
Row = Mapping[str, Any]
Key = tuple[str, str, int, int]


ASKED_SEEDS = (1, 2, 3)
SYSTEM = (
    "A word can name several things. For a given word, write short names that make clear which thing is "
    "meant, one for each thing it can be, at most 5 words each, one a line after '- '."
)
EXAMPLES = {
    "crane": "crane, a bird; construction crane; paper crane; crane truck; crane, a kind of machine",
    "nail": "metal nail; fingernail; nail, a kind of fastener; painted nail of a finger; toenail",
    "jaguar": "jaguar, a big cat; jaguar car; jaguar, an animal; spotted wild cat; jaguar, a kind of car",
}


def request(word: str) -> list[ChatMessage]:
    """Return what a local LLM is asked about a class name."""
    examples: list[ChatMessage] = []
    for example, names in EXAMPLES.items():
        answer = "\n".join(f"- {name}" for name in names.split("; "))
        examples += [{"role": "user", "content": example}, {"role": "assistant", "content": answer}]
    return [{"role": "system", "content": SYSTEM}, *examples, {"role": "user", "content": word}]


async def ask(llm: str) -> None:
    """Ask a local LLM about each class of the sets that it was asked about first, and keep its answers."""
    from benchmarks.local_llm import served

    kept = json.loads(RECORDED.read_text("utf-8"))
    answers = kept.setdefault(llm, {})
    async with served(llm, slots=1) as asked:
        for word in kept["local-0.5b"]:
            if word not in answers:
                answers[word] = [
                    await asked.chat(request(word), seed=seed, tokens=70, temperature=1.0)
                    for seed in ASKED_SEEDS
                ]
                RECORDED.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", "utf-8")


def recorded(data: str, rounds: int | None = None) -> dict[int, list[str]]:
    """Return the strong model's names by label, of its first rounds."""
    strong = json.loads(RECORDED.read_text("utf-8"))["strong"]
    given = strong[data] if data == "shared-names" else [*strong["every set"], *strong.get(data, ())]
    found: dict[int, list[str]] = {}
    for label, name in enumerate(sets.spec(data).classes):
        # "orange" is a fruit elsewhere.
        keys = (f"{name}#colour", name) if sets.spec(data).family == "colours" else (name,)
        for part in given[:rounds]:
            found.setdefault(label, []).extend(next((part[key] for key in keys if key in part), ()))
    return _allowed(data, found)


def local(data: str, llm: str) -> dict[int, list[str]]:
    """Return a local model's names by label; empty if it was not asked about this set."""
    answers = json.loads(RECORDED.read_text("utf-8"))[llm]
    classes = sets.spec(data).classes
    if not answers.keys() >= set(classes):
        return {}
    lines = {
        label: [line for answer in answers[name] for line in answer.splitlines()]
        for label, name in enumerate(classes)
    }
    read = {
        label: [re.sub(r"^[-*\d.\s]+", "", line).strip().rstrip(".").lower() for line in some]
        for label, some in lines.items()
    }
    return _allowed(data, read, most_words=SHORT_WORDS + 1)


def _allowed(data: str, names: Names, most_words: int = MOST_WORDS) -> dict[int, list[str]]:
    """Leave out long names, names of classes, and what another class has."""
    taken = {name.casefold() for name in sets.spec(data).classes}
    found: dict[int, list[str]] = {}
    for label, some in names.items():
        for name in some:
            if name and name.casefold() not in taken and len(name.split()) <= most_words:
                taken.add(name.casefold())
                found.setdefault(label, []).append(name)
    return found


def permuted(names: Names, classes: int, draw: int) -> dict[int, Sequence[str]]:
    """Give each list of names to another class."""
    rng, to = random.Random(draw), list(range(classes))
    while any(label == other for label, other in enumerate(to)):
        rng.shuffle(to)
    return {to[label]: some for label, some in names.items()}


def name_words(data: str, like: Names, draw: int) -> dict[int, Sequence[str]]:
    """Return as many names per class as ``like`` has, made with kinds drawn from a fixed list."""
    words = tomllib.loads(WORDS.read_text("utf-8"))
    classes = sets.spec(data).classes
    return {
        label: [
            words["form"].replace("{kind}", kind).replace("{}", classes[label])
            for kind in random.Random(f"{data}/{draw}/{label}").sample(words["kinds"], len(some))
        ]
        for label, some in like.items()
    }


class FewShots:
    """One draw of few-shot images of a set under a bundled CLIP, with its shared template.

    Attributes:
        scored: Renamings scored as a whole so far.
    """

    def __init__(
        self,
        data: str,
        clip: Clip,
        features: Mapping[str, Floats],
        shots: int,
        draw: int,
        vectors: dict[tuple[str, str], Floats],
    ) -> None:
        import numpy as np

        self._classes, self._clip, self._vectors = sets.spec(data).classes, clip, vectors
        rng = random.Random(draw)
        few = {
            split: [
                place
                for label in range(len(self._classes))
                for place in rng.sample(np.flatnonzero(features[f"{split}_y"] == label).tolist(), most)
            ]
            for split, most in (("train", shots), ("val", min(MOST_VAL_SHOTS, shots)))
        }
        images = np.concatenate([features[f"{split}_x"][places] for split, places in few.items()])
        views = np.concatenate([features[f"{split}_views"][places] for split, places in few.items()])
        true = np.concatenate([features[f"{split}_y"][places] for split, places in few.items()])
        self.copies = views.shape[0] * views.shape[1]
        self._images = np.concatenate([images, views.reshape(self.copies, -1)])
        self.labels: list[int] = [*true.tolist(), *np.repeat(true, views.shape[1]).tolist()]
        self._test, self._true = features["test_x"], features["test_y"]
        drawn = draw_templates(KIND.starting("captions"), STARTING, random.Random(draw))
        self.found = sorted((one.text for one in drawn), key=lambda one: -self._right(one, self._classes))
        self.use(max(NEUTRAL_TEMPLATES, key=lambda one: self._right(one, self._classes)))
        self.scored = 0

    def use(self, template: str) -> None:
        """Take another template for what follows."""
        self.template = template
        self._few, self._on_test = self._similarities(template, self._classes)
        self._columns: dict[str, tuple[Floats, Floats]] = {}

    def _vectors_of(self, template: str, names: Sequence[str]) -> list[Floats]:
        if new := [name for name in dict.fromkeys(names) if (template, name) not in self._vectors]:
            found = self._clip.texts([template], new)[0]
            self._vectors |= {(template, name): one for name, one in zip(new, found, strict=True)}
        return [self._vectors[template, name] for name in names]

    def _similarities(self, template: str, names: Sequence[str]) -> tuple[Floats, Floats]:
        import numpy as np

        vectors = np.stack(self._vectors_of(template, names)).T
        return self._images @ vectors, self._test @ vectors

    def _right(self, template: str, names: Sequence[str]) -> float:
        """Return the share of the few-shot images that are right, averaged with that of their copies."""
        right = self._similarities(template, names)[0].argmax(1) == self.labels
        cut = len(right) - self.copies
        return float(right[:cut].mean() + right[cut:].mean()) / 2

    def _accuracy(self, scores: Floats) -> float:
        """Return the test accuracy in %."""
        return round(100 * float((scores.argmax(1) == self._true).mean()), 2)

    def know(self, names: Names) -> None:
        """Compute the columns of similarities of some names."""
        if new := [name for name in _all(names) if name not in self._columns]:
            vectors = self._vectors_of(self.template, new)
            self._columns |= {
                name: (self._images @ vector, self._test @ vector)
                for name, vector in zip(new, vectors, strict=True)
            }

    def predict(self, renaming: Renaming) -> Predicted:
        """Return the predicted labels of the few-shot images and their copies."""
        scores = self._few.copy()
        for label, name in renaming.items():
            scores[:, label] = self._columns[name][0]
        return scores.argmax(1).tolist()  # type: ignore[no-any-return]

    def test(self, renaming: Renaming) -> float:
        """Return the test accuracy in %."""
        scores = self._on_test.copy()
        for label, name in renaming.items():
            scores[:, label] = self._columns[name][1]
        return self._accuracy(scores)

    def test_found(self) -> float:
        """Return the test accuracy in % of the best template found."""
        return self._accuracy(self._similarities(self.found[0], self._classes)[1])

    def joint(self, names: Names) -> tuple[float, float]:
        """Return test accuracies in %: names chosen in the best template found, and chosen jointly."""
        neutral, found = self.template, self.found[0]
        self.use(found)
        in_found = self.test(self.chosen(names))
        plain, best = (self._right(one, self._classes) for one in (neutral, found))
        self.use(found if best - plain > REPAIRED * (1 - plain) else neutral)
        renaming = self.chosen(names)
        renamed = [renaming.get(label, name) for label, name in enumerate(self._classes)]
        tried = {one: self._right(one, renamed) for one in (self.template, *self.found[:FOUND_TRIED])}
        again = max(tried, key=tried.__getitem__)
        used = (again, renamed) if renaming and tried[again] > best else (found, self._classes)
        self.use(neutral)
        return in_found, self._accuracy(self._similarities(*used)[1])

    def chosen(self, names: Names) -> dict[int, str]:
        """Return what the program's rule chooses."""

        async def predict(renaming: Renaming) -> Predicted:
            self.scored += 1
            return self.predict(renaming)

        self.scored = 0
        self.know(names)
        tried = {label: {name: self.predict({label: name}) for name in some} for label, some in names.items()}
        base = self.predict({})
        return asyncio.run(choose_names(self.labels, base, tried, predict, copies=self.copies))


def _all(names: Names) -> Iterator[str]:
    for some in names.values():
        yield from some


def features_of(data: str, model: str, clip: Clip, cache: Path | None) -> Mapping[str, Floats]:
    """Draw and encode a set with augmented copies of its few-shot images, or read it back from ``cache``."""
    import numpy as np

    from benchmarks.pico_features import VIEWS, augmented_copies

    file = None if cache is None else cache / f"{model}-{data}.npz"
    if file is not None and file.exists():
        with np.load(file) as kept:
            return {key: kept[key] for key in kept.files}
    found: dict[str, Floats] = {}
    classes = sets.spec(data).classes
    for split in ("train", "val", "test"):
        drawn = list(sets.pictures(data, split))
        found[f"{split}_y"] = np.array([classes.index(label) for label, _ in drawn])
        found[f"{split}_x"] = clip.pictures(picture for _, picture in drawn)
        if split != "test":
            copies = clip.pictures(augmented_copies((one for _, one in drawn), random.Random(data)))
            found[f"{split}_views"] = copies.reshape(len(drawn), VIEWS, -1)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(file, **found)
    return found


def arms(data: str, draw: int) -> dict[str, Names]:
    """Return the names that each arm tries."""
    strong, classes = recorded(data), len(sets.spec(data).classes)
    found: dict[str, Names] = {
        "strong": strong,
        "strong, round 1": recorded(data, rounds=1),
        "permuted": permuted(strong, classes, draw),
        "name-words": name_words(data, strong, draw),
    }
    for arm, llm in LOCAL.items():
        if some := local(data, llm):
            found |= {arm: some, f"{arm}, permuted": permuted(some, classes, draw)}
    return found


def measured(data: str, few: FewShots, tried: Mapping[str, Names], known: Row) -> dict[str, Any]:
    """Add the test accuracies of the arms that a row lacks, and what they cost."""
    found: dict[str, Any] = {
        "template": few.template,
        "shared": few.test({}),
        **known,
        "names_scored": dict(known.get("names_scored", {})),
        "renamings_scored": dict(known.get("renamings_scored", {})),
    }
    for arm in tried.keys() - known.keys():
        renaming = few.chosen(tried[arm])
        found[arm] = few.test(renaming)
        found["names_scored"][arm], found["renamings_scored"][arm] = (
            sum(map(len, tried[arm].values())),
            few.scored,
        )
        if arm == "strong":
            found["names"] = {
                sets.spec(data).classes[label]: name for label, name in sorted(renaming.items())
            }
    for arm in joint_arms(tried) - known.keys():
        own = arm.removesuffix(" joint")
        found[f"{own} in found"], found[arm] = few.joint(tried[own])
    if FOUND not in known:
        found[FOUND] = few.test_found()
    return found


def joint_arms(tried: Iterable[str]) -> set[str]:
    """Return the names of those arms that are also measured with a template that was found."""
    return {f"{arm} joint" for arm in JOINT if arm in set(tried)}


def interval(differences: Mapping[str, Sequence[float]]) -> tuple[float, float, float]:
    """Return the mean over sets of the means over draws, and its 95 % interval over both."""
    rng = random.Random(0)
    means = []
    lists = list(differences.values())
    for _ in range(RESAMPLES):
        some = rng.choices(lists, k=len(lists))
        means.append(fmean(fmean(rng.choices(draws, k=len(draws))) for draws in some))
    means.sort()
    cut = RESAMPLES // 40
    return fmean(map(fmean, lists)), means[cut], means[-cut - 1]


def by_set(rows: Sequence[Row], group: str, shots: int, first: str, second: str) -> dict[str, list[float]]:
    """Return the differences between two arms by set, one per draw, where both were measured."""
    found: dict[str, list[float]] = {}
    for row in rows:
        if row["data"] in GROUPS[group] and row["shots"] == shots and first in row and second in row:
            found.setdefault(row["data"], []).append(row[first] - row[second])
    return found


COMPARED = (
    *(("strong", "shared"), ("strong", "permuted"), ("strong", "name-words"), ("strong, round 1", "shared")),
    *(("local", "shared"), ("local", "local, permuted"), ("local", "name-words"), ("name-words", "shared")),
    *(pair for arm in JOINT for pair in ((f"{arm} joint", FOUND), (f"{arm} joint", f"{arm} in found"))),
    ("strong joint", "permuted joint"),
)


SHOWN = (
    *(("strong", second, "ambiguous") for second in ("shared", "name-words")),
    *(("local", second, "ambiguous") for second in ("shared", "name-words")),
    *(("strong joint", second, "ambiguous") for second in (FOUND, "permuted joint")),
    ("local joint", FOUND, "ambiguous"),
    *(("strong joint", FOUND, group) for group in ("Latin", "plain")),
)


def table(rows: Sequence[Row]) -> Iterator[tuple[str, ...]]:
    """Yield a head and the differences between arms, a column for each number of shots."""
    shots = sorted({row["shots"] for row in rows})
    yield ("", *(f"{one} shot{'s' * (one > 1)}" for one in shots))
    for first, second, group in SHOWN:
        cells = [by_set(rows, group, one, first, second) for one in shots]
        if all(cells):
            said = ["{:+.1f} ({:.1f} to {:.1f})".format(*interval(cell)) for cell in cells]
            yield (f"{len(cells[0])} {group}: {first} over {second}", *said)
            if group == "plain":
                yield ("worst of them", *(f"{min(map(fmean, cell.values())):+.1f}" for cell in cells))


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """Return accuracies by set, differences by group, and scorings."""
    cells = sorted({(row["model"], row["data"], row["shots"]) for row in rows})
    arms = ["shared", *dict.fromkeys(arm for pair in COMPARED for arm in pair if arm != "shared")]

    def mean(cell: tuple[str, str, int]) -> dict[str, Any]:
        some = [row for row in rows if (row["model"], row["data"], row["shots"]) == cell]
        figures = {arm: round(fmean(row[arm] for row in some), 1) for arm in arms if arm in some[0]}
        scored = {
            key: round(fmean(row[key]["strong"] for row in some), 1)
            for key in ("names_scored", "renamings_scored")
        }
        return {**dict(zip(("model", "data", "shots"), cell, strict=True)), **figures, **scored}

    differences = []
    for model in sorted({row["model"] for row in rows}):
        own = [row for row in rows if row["model"] == model]
        for group in GROUPS:
            for shots in sorted({row["shots"] for row in own}):
                for first, second in COMPARED:
                    if cell := by_set(own, group, shots, first, second):
                        points, low, high = interval(cell)
                        worst = min(map(fmean, cell.values()))
                        scope = {"model": model, "sets": group, "shots": shots}
                        compared = {"first": first, "second": second, "points": round(points, 2)}
                        bounds = {"interval": [round(low, 2), round(high, 2)], "worst_set": round(worst, 2)}
                        differences.append({**scope, **compared, **bounds})
    return {"means": list(map(mean, cells)), "differences": differences}


def main() -> int:
    """Measure what is missing, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    everything = [name for names in GROUPS.values() for name in names]
    parser.add_argument(
        "--data", default=",".join(everything), help="bundled sets (default: all that have names)"
    )
    parser.add_argument("--model", default="RN-pico", help="bundled model")
    parser.add_argument("--shots", default=",".join(map(str, SHOTS)), help="training images per class")
    parser.add_argument("--draws", default="1,2,3,4,5", help="seeds of the few-shot images")
    parser.add_argument("--keep", type=Path, help="JSON lines of finished rows, continued if there")
    parser.add_argument("--cache", type=Path, help="folder that keeps features for the next time")
    parser.add_argument("--ask", metavar="LLM", help="ask a local LLM, such as local:1.5b, for names first")
    parser.add_argument("--json", action="store_true", help="print JSON instead of Markdown tables")
    options = parser.parse_args()
    if options.ask:
        asyncio.run(ask(options.ask))
    kept: dict[Key, Row] = {_key(row): row for row in lines_of(options.keep)}
    for data in options.data.split(","):
        if new := dict(_missing(options, data, kept)):
            kept |= new
            if options.keep:
                lines = "".join(json.dumps(row) + "\n" for row in kept.values())
                options.keep.write_text(lines, "utf-8")
            print(f"{data} is done", file=sys.stderr, flush=True)
    rows = list(kept.values())
    if options.json:
        print(json.dumps(summary(rows), indent=1))
        return 0
    head, *lines = table([row for row in rows if row["model"] == options.model])
    for line in (head, ["-"] * len(head), *lines):
        print(f"|{'|'.join(line)}|")
    return 0


def _key(row: Row) -> Key:
    return row["model"], row["data"], row["shots"], row["draw"]


def _missing(options: argparse.Namespace, data: str, kept: Mapping[Key, Row]) -> Iterator[tuple[Key, Row]]:
    """Measure the rows of a set that are not there, and arms that they lack."""
    cells = [
        (options.model, data, shots, draw)
        for shots in map(int, options.shots.split(","))
        for draw in map(int, options.draws.split(","))
    ]
    tried = {draw: arms(data, draw) for _, _, _, draw in cells}
    lacking = [
        cell
        for cell in cells
        if not kept.get(cell, {}).keys() >= {*tried[cell[3]], *joint_arms(tried[cell[3]]), FOUND}
    ]
    if not lacking:
        return
    from benchmarks.pico_features import Clip

    clip = Clip(options.model)
    features = features_of(data, options.model, clip, options.cache)
    vectors: dict[tuple[str, str], Floats] = {}
    for cell in lacking:
        few = FewShots(data, clip, features, *cell[2:], vectors)
        known = kept.get(cell, dict(zip(("model", "data", "shots", "draw"), cell, strict=True)))
        yield cell, measured(data, few, tried[cell[3]], known)


if __name__ == "__main__":
    raise SystemExit(main())

"""What a pool has to offer: its pick and its best, by how many of its templates are scored.

    python benchmarks/pools.py --json

Scores the captions and the grammar on bundled sets, draws from both as a restart does, and prints for each
number of scored templates the mean test accuracy of the ``pick`` (by the rule of a search: train and val
pooled) and of the ``best`` that was there. ``cost`` is what scoring takes: seconds a template on the first
set, and on a made-up set of a thousand classes (one training image each).
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from promptclimb.agent.methods.memory import Entry
from promptclimb.agent.position import Position
from promptclimb.agent.search.choice import ranking
from promptclimb.evaluator.open import open_evaluator
from promptclimb.evaluator.scoring import Evaluator, Score, SplitScores
from promptclimb.evaluator.spec import EvaluatorSpec
from promptclimb.prompts.starting import draw
from promptclimb.prompts.template import Template
from promptclimb.prompts.template_kind import BUILT_IN, all_of_grammar, grammar

SETS = (
    "roman-numerals,dice,tallies,binary-numbers,coloured-things,ink-colours,clock-minutes,handwritten-letters"
)
SIZES = (80, 300, 1000, 5000)
CLASSES = 1000
CAPTIONS = [Template.parse(text, max_words=None) for text in BUILT_IN]
DRAWS: Mapping[str, Callable[[int, random.Random], Sequence[Template]]] = {
    "captions": lambda n, rng: draw([CAPTIONS], n, rng),
    "grammar": lambda n, rng: draw(list(grammar().values()), n, rng),
}
OFFERED = {"captions": len(CAPTIONS), "grammar": len(all_of_grammar())}


def examined(evaluator: Evaluator) -> dict[str, SplitScores]:
    """Return the accuracies of all templates of both pools, by text."""
    texts = list(dict.fromkeys(template.text for template in (*CAPTIONS, *all_of_grammar())))
    found = evaluator.examine([[text] for text in texts], test=True)
    return dict(zip(texts, found, strict=True))


def pick_and_best(
    drawn: Sequence[Template], known: Mapping[str, SplitScores], sizes: Mapping[str, int], seed: int
) -> tuple[float, float]:
    """Return the test accuracy of the template that a search would choose, and the highest there is."""
    scored = []
    for template in drawn:
        train, val = known[template.text].train or 0.0, known[template.text].val
        score = Score(train=train, val=val)
        scored.append(Entry(candidate=template, score=score, value=train, position=Position(1)))
    chosen = ranking(scored, sizes=sizes, seed=seed)[0]
    return known[chosen.text].test or 0.0, max(known[one.text].test or 0.0 for one in drawn)


def offered(evaluator: Evaluator, draws: int) -> dict[str, dict[str, dict[str, float]]]:
    """Return pick and best on one set, by pool and number of templates; means over draws, in percent."""
    known, sizes = examined(evaluator), evaluator.info.sizes
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name, drawn in DRAWS.items():
        found[name] = {}
        for number in (size for size in SIZES if size <= OFFERED[name]):
            pairs = [
                pick_and_best(drawn(number, random.Random(f"{name} {seed}")), known, sizes, seed)
                for seed in range(1, draws + 1)
            ]
            pick, best = (100 * statistics.mean(column) for column in zip(*pairs, strict=True))
            found[name][str(number)] = {"pick": round(pick, 1), "best": round(best, 1)}
    return found


def seconds_a_template(evaluator: Evaluator, number: int) -> float:
    """Return what scoring takes, after a first batch that warms up."""
    texts = [template.text for template in draw(list(grammar().values()), 2 * number, random.Random(1))]
    evaluator.score(texts[:number])
    began = time.perf_counter()
    evaluator.score(texts[number:])
    return (time.perf_counter() - began) / number


def thousand_classes(root: Path) -> Evaluator:
    """Return an evaluator on a thousand classes: plain pictures, of which the model need know nothing."""
    rng = random.Random(1)
    for split in ("train", "test"):
        for number in range(CLASSES):
            folder = root / split / f"thing number {number}"
            folder.mkdir(parents=True)
            Image.new("RGB", (16, 16), tuple(rng.randrange(256) for _ in range(3))).save(folder / "1.png")
    return open_evaluator(EvaluatorSpec(data=str(root), shots=1, allow_leak=True, cache_dir=root / "cache"))


def main() -> None:
    """Read options, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default=SETS)
    parser.add_argument("--model", default="RN-pico")
    parser.add_argument("--shots", type=int, default=16)
    parser.add_argument("--draws", type=int, default=10, help="draws that the figures are means of")
    parser.add_argument("--json", action="store_true", help="the document on one line")
    options = parser.parse_args()
    torch.set_num_threads(1)  # small matrices; on a busy machine several threads wait for each other
    by_set: dict[str, Any] = {}
    cost: dict[str, float] = {}
    for data in options.data.split(","):
        evaluator = open_evaluator(EvaluatorSpec(data=data, shots=options.shots, model=options.model))
        by_set[data] = offered(evaluator, options.draws)
        if not cost:
            cost[f"{evaluator.info.classes} classes"] = seconds_a_template(evaluator, 200)
        print(data, file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        cost[f"{CLASSES} classes"] = seconds_a_template(thousand_classes(Path(folder)), 20)
    mean = {
        name: {
            size: {
                figure: round(statistics.mean(found[name][size][figure] for found in by_set.values()), 1)
                for figure in ("pick", "best")
            }
            for size in sizes
        }
        for name, sizes in next(iter(by_set.values())).items()
    }
    document = {
        "templates": OFFERED,
        "mean": mean,
        "cost_s_a_template": {name: round(seconds, 4) for name, seconds in cost.items()},
        "by_set": by_set,
    }
    print(json.dumps(document, indent=None if options.json else 2))


if __name__ == "__main__":
    main()

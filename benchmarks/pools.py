"""What starting templates have to offer: the pick and the best, by how many of them are scored.

    python benchmarks/pools.py --json

Scores the captions and the grammar on bundled sets, draws from both as a restart does, and prints for each
number of scored templates the mean test accuracy of the ``pick`` (by the rule of a search: train and val
pooled) and of the ``best`` that was there.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from benchmarks.common import argument_parser, print_document
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
CAPTIONS = [Template.parse(text, max_words=None) for text in BUILT_IN]
DRAWS: Mapping[str, Callable[[int, Random], Sequence[Template]]] = {
    "captions": lambda number, rng: draw([CAPTIONS], number, rng),
    "grammar": lambda number, rng: draw(list(grammar().values()), number, rng),
}
OFFERED = {"captions": len(CAPTIONS), "grammar": len(all_of_grammar())}

Table = dict[str, dict[str, dict[str, float]]]
"""Figures in percent, by pool, number of templates and name."""


def pick_and_best(
    drawn: Sequence[Template], scores: Mapping[str, SplitScores], sizes: Mapping[str, int], seed: int
) -> tuple[float, float]:
    """Return the test accuracy of the template that a search would choose, and the highest there is."""
    entries = []
    for template in drawn:
        train, val = scores[template.text].train or 0.0, scores[template.text].val
        score = Score(train=train, val=val)
        entries.append(Entry(candidate=template, score=score, value=train, position=Position(1)))
    chosen = ranking(entries, sizes=sizes, seed=seed)[0]
    return scores[chosen.text].test or 0.0, max(scores[template.text].test or 0.0 for template in drawn)


def offered(evaluator: Evaluator, draws: int) -> Table:
    """Return pick and best on one set; means over draws."""
    texts = list(dict.fromkeys(template.text for template in (*CAPTIONS, *all_of_grammar())))
    scores = dict(zip(texts, evaluator.examine([[text] for text in texts], test=True), strict=True))
    sizes = evaluator.info.sizes
    table: Table = {}
    for pool, draw_from in DRAWS.items():
        table[pool] = {}
        for number in (size for size in SIZES if size <= OFFERED[pool]):
            pairs = [
                pick_and_best(draw_from(number, Random(f"{pool} {seed}")), scores, sizes, seed)
                for seed in range(1, draws + 1)
            ]
            pick, best = (100 * statistics.mean(column) for column in zip(*pairs, strict=True))
            table[pool][str(number)] = {"pick": round(pick, 1), "best": round(best, 1)}
    return table


def main() -> None:
    """Read options, measure, print."""
    parser = argument_parser(__doc__)
    parser.add_argument("--data", default=SETS)
    parser.add_argument("--model", default="RN-pico")
    parser.add_argument("--shots", type=int, default=16)
    parser.add_argument("--draws", type=int, default=10, help="draws that the figures are means of")
    options = parser.parse_args()
    torch.set_num_threads(1)  # small matrices; on a busy machine several threads wait for each other
    by_set: dict[str, Table] = {}
    for data in options.data.split(","):
        evaluator = open_evaluator(EvaluatorSpec(data=data, shots=options.shots, model=options.model))
        by_set[data] = offered(evaluator, options.draws)
        print(data, file=sys.stderr, flush=True)
    tables = list(by_set.values())
    mean = {
        pool: {
            size: {
                figure: round(statistics.mean(table[pool][size][figure] for table in tables), 1)
                for figure in ("pick", "best")
            }
            for size in sizes
        }
        for pool, sizes in tables[0].items()
    }
    print_document({"templates": OFFERED, "mean": mean, "by_set": by_set}, options)


if __name__ == "__main__":
    main()

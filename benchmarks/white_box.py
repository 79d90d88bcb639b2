"""White-box references beside the default and the hand-made templates, on the same few shots.

    python benchmarks/white_box.py --data binary-numbers,backgrounds,dice --shots 1,16 --json

Prints test accuracies in %, and the processor time of fitting and choosing (images are encoded before). Each
row is printed to standard error as it is there.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from benchmarks.common import Row, argument_parser, print_document, whole_numbers
from promptclimb.evaluator.clip.zero_shot import correct, decide
from promptclimb.evaluator.scoring import DEFAULT_TEMPLATE
from promptclimb.evaluator.spec import EvaluatorSpec
from promptclimb.evaluator.white_box.problem import Problem, open_problem, solve
from promptclimb.evaluator.white_box.references import REFERENCES, check_reference, names_in


def measured(problem: Problem, references: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Yield a row for each list of templates, and for each reference."""
    test = problem.split("test")
    lists = {"default template": (DEFAULT_TEMPLATE,), "hand-made": problem.templates("hand-made")}
    for name, templates in lists.items():
        right = correct(decide(test, problem.zero_shot(templates)), test)
        yield {"reference": name, "test": round(100 * right / len(test), 2)}
    for name in references:
        started = time.process_time()
        solution = solve(name, problem, check_reference(name), split="test", seed=problem.seed)
        yield {
            "reference": name,
            "test": round(100 * (solution.test or 0.0), 2),
            "val": round(100 * (solution.val or 0.0), 2),
            "learnt": solution.trained,
            "chosen": solution.chosen,
            "processor_s": round(time.process_time() - started, 2),
        }


def main() -> None:
    """Read options, fit, print."""
    parser = argument_parser(__doc__)
    parser.add_argument("--data", default="binary-numbers,backgrounds,dice")
    parser.add_argument("--shots", default="1,16")
    parser.add_argument("--seeds", default="1")
    parser.add_argument("--model", default="RN-pico")
    parser.add_argument("--references", type=names_in, default=tuple(REFERENCES))
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[Row] = []
    for data, shots, seed in itertools.product(
        options.data.split(","), whole_numbers(options.shots), whole_numbers(options.seeds)
    ):
        spec = EvaluatorSpec(data=data, shots=shots, seed=seed, model=options.model, device="cpu")
        for row in measured(open_problem(spec, lambda _line: None), options.references):
            rows.append({"set": data, "shots": shots, "seed": seed, **row})
            print(rows[-1], file=sys.stderr, flush=True)
    print_document({"model": options.model, "torch": torch.__version__, "rows": rows}, options)


if __name__ == "__main__":
    main()

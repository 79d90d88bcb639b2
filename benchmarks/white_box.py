"""White-box references beside the plain and the hand-made templates, on the same few shots.

    python benchmarks/white_box.py --data binary-numbers,backgrounds,dice --shots 1,16 --json

Prints test accuracies in %, and the processor time of fitting and choosing (images are encoded before). What
is done says standard error as it goes.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# In front of this folder, where the name `evaluator` is another benchmark.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from promptclimb.evaluator.clip.zero_shot import correct, decide
from promptclimb.evaluator.scoring import DEFAULT_TEMPLATE
from promptclimb.evaluator.spec import EvaluatorSpec
from promptclimb.evaluator.white_box.problem import Problem, open_problem, solve
from promptclimb.evaluator.white_box.references import REFERENCES, check_reference, names_in


def measured(problem: Problem, names: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Yield a row for each list of templates, and for each reference."""
    test = problem.split("test")
    for name, templates in (("plain", (DEFAULT_TEMPLATE,)), ("hand-made", problem.templates("hand-made"))):
        right = correct(decide(test, problem.zero_shot(templates)), test)
        yield {"reference": name, "test": 100 * right / len(test)}
    for name in names:
        started = time.process_time()
        found = solve(name, problem, check_reference(name), split="test", seed=problem.seed)
        spent = time.process_time() - started
        yield {
            "reference": name,
            "test": 100 * (found.test or 0.0),
            "val": 100 * (found.val or 0.0),
            "learnt": found.trained,
            "chosen": found.chosen,
            "processor_s": spent,
        }


def main() -> None:
    """Read options, fit, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="binary-numbers,backgrounds,dice")
    parser.add_argument("--shots", default="1,16")
    parser.add_argument("--seeds", default="1")
    parser.add_argument("--model", default="RN-pico")
    parser.add_argument("--references", type=names_in, default=tuple(REFERENCES))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for data in options.data.split(","):
        for shots in map(int, options.shots.split(",")):
            for seed in map(int, options.seeds.split(",")):
                spec = EvaluatorSpec(data=data, shots=shots, seed=seed, model=options.model, device="cpu")
                problem = open_problem(spec, lambda _line: None)
                for row in measured(problem, options.references):
                    rows.append({"set": data, "shots": shots, "seed": seed} | _rounded(row))
                    print(rows[-1], file=sys.stderr, flush=True)
    if options.json:
        print(json.dumps({"model": options.model, "torch": torch.__version__, "rows": rows}, indent=1))
        return
    for row in rows:
        print(f"{row['set']:20}{row['shots']:3} shots  {row['reference']:20}{row['test']:6.1f}")


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 2) if isinstance(value, float) else value for name, value in row.items()}


if __name__ == "__main__":
    main()

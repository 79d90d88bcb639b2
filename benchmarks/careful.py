"""What more care would bring where there are two labelled images per class, and what it would cost.

    python benchmarks/careful.py FOLDER/SET ... [--shots 1] [--seeds 10]

The linear part starts from ``{}``. It is used always, as the program does, or only if the images held out are
likelier by it than by ``{}``, by one or by two standard errors. For each set: how far it is ahead of ``{}``
on test, in points, with its standard error over draws: over images, and as the mean over classes. Prints
JSON.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.common import argument_parser, print_document
from benchmarks.returned import Bed
from promptclimb.evaluator.clip.models import load_model, parse_devices
from promptclimb.evaluator.clip.zero_shot import Labelled, classifier, decide
from promptclimb.evaluator.held_near import LabelledFeatures, evidence, learn

STANDARD_ERRORS: Mapping[str, float | None] = {
    "always": None,
    "one standard error": 1,
    "two standard errors": 2,
}
"""How far ahead the held-out images must be."""


def gains(bed: Bed, shots: int, seed: int) -> dict[str, tuple[float, float]]:
    """Return by rule the gain on test over images and over classes, in points."""
    drawn, test, texts = bed.draw(shots, seed), bed.splits["test"], classifier(bed.texts(["{}"]))
    images = LabelledFeatures(drawn.versions, drawn.labels)
    near = learn(texts, images, bed.loaded.logit_scale, seed=seed)
    _, without = evidence(
        LabelledFeatures(drawn.images[:, None], drawn.labels), texts, bed.loaded.logit_scale
    )
    ahead = -functional.cross_entropy(near.held_out, drawn.labels, reduction="none") - without
    standard_error = float(ahead.std()) * len(ahead) ** 0.5
    bare, learned = (accuracies(decide(test, weights), test) for weights in (texts, near.weights))
    gain = learned[0] - bare[0], learned[1] - bare[1]
    return {
        rule: gain if least is None or float(ahead.sum()) > least * standard_error else (0.0, 0.0)
        for rule, least in STANDARD_ERRORS.items()
    }


def accuracies(decisions: Tensor, test: Labelled) -> tuple[float, float]:
    """Return the accuracy over images and the mean over the classes that have some, in %."""
    right = (decisions == test.labels).float()
    by_class = [float(right[test.labels == label].mean()) for label in test.labels.unique()]
    return 100 * float(right.mean()), 100 * statistics.fmean(by_class)


def summary(draws: Sequence[float]) -> dict[str, float]:
    """Return the mean over draws with its standard error."""
    error = statistics.stdev(draws) / len(draws) ** 0.5 if len(draws) > 1 else 0.0
    return {"mean": round(statistics.fmean(draws), 1), "se": round(error, 1)}


def main() -> None:
    """Measure each set; then the mean over sets and the worst set by rule."""
    parser = argument_parser(__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--model", default="Tags-pico")
    parser.add_argument("--shots", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args()
    torch.set_num_threads(1)
    loaded = load_model(options.model, "pico", parse_devices("cpu")[0])
    by_set: dict[str, dict[str, Any]] = {}
    for folder in options.folders:
        bed = Bed(folder, loaded, options.model, "pico", folder.parent / "describe.toml")
        draws = [gains(bed, options.shots, seed) for seed in range(1, options.seeds + 1)]
        by_set[bed.name] = {
            rule: {
                "images": summary([draw[rule][0] for draw in draws]),
                "classes": summary([draw[rule][1] for draw in draws]),
            }
            for rule in STANDARD_ERRORS
        }
        print(bed.name, file=sys.stderr, flush=True)
    means = {
        rule: {name: by_set[name][rule]["images"]["mean"] for name in by_set} for rule in STANDARD_ERRORS
    }
    rules = {
        rule: {
            "mean": round(statistics.fmean(of.values()), 1),
            "worst": min(of.values()),
            "on": min(of, key=of.__getitem__),
        }
        for rule, of in means.items()
    }
    print_document({"rules": rules, "sets": by_set}, options)


if __name__ == "__main__":
    main()

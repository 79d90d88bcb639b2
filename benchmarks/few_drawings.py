"""How few drawings a drawn set's images show, and what intervals over these drawings are.

    python benchmarks/few_drawings.py chinese-names photos

For each set: the distinct cut-outs of its test images, and the share of the test images whose cut-out is
among the labelled images too. Then the accuracy of the classifier that ``evaluate`` recommends: with Wilson's
interval, which takes every image for independent, and with one from resampled cut-outs; and where the cut-out
is among the labelled images and where it is another.
"""

from __future__ import annotations

import hashlib
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from PIL import Image

from benchmarks.common import argument_parser, print_document
from promptclimb.agent.api import evaluate
from promptclimb.agent.results.gain import wilson
from promptclimb.evaluator.spec import EvaluatorSpec
from training import sets
from training.world.art import Art

RESAMPLES = 10_000


def cut_outs(name: str, split: str) -> list[tuple[str, str]]:
    """Return the class of each image and the hash of the first cut-out in it, in the order of its files."""
    drawn: list[str] = []
    plain = Art.cutout

    def cutout(art: Art, *arguments: Any, **options: Any) -> Image.Image:
        picture = plain(art, *arguments, **options)
        drawn.append(hashlib.sha256(picture.tobytes()).hexdigest())
        return picture

    rows = []
    with mock.patch.object(Art, "cutout", cutout):
        for label, _image in sets.pictures(name, split):
            rows.append((label, drawn[0] if drawn else ""))
            drawn.clear()
    return rows


def measure(name: str) -> dict[str, Any]:
    """Return what one set shows, and the accuracy of its recommended classifier."""
    labelled = {row for split in ("train", "val") for row in cut_outs(name, split)}
    by_class: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for row in cut_outs(name, "test"):
        by_class[row[0]].append(row)
    images = evaluate(spec=EvaluatorSpec(data=name), recommends=True).predictions
    own = [by_class[str(image.true_class)][int(Path(image.file).stem)] for image in images]
    right = np.array([image.classes == (image.true_class,) for image in images])
    is_labelled = np.array([row in labelled for row in own])
    rows_of = [np.flatnonzero([row == other for row in own]) for other in sorted(set(own))]
    rng = np.random.default_rng(1)
    means = []
    for _ in range(RESAMPLES):
        rows = np.concatenate([rows_of[index] for index in rng.integers(0, len(rows_of), len(rows_of))])
        means.append(right[rows].mean())
    return {
        "set": name,
        "test_images": len(images),
        "distinct_cut_outs": len(rows_of),
        "share_also_labelled": percent(is_labelled.mean()),
        "accuracy": percent(right.mean()),
        "interval_over_images": [percent(edge) for edge in wilson(float(right.mean()), len(images))],
        "interval_over_cut_outs": [percent(edge) for edge in np.quantile(means, (0.025, 0.975))],
        "accuracy_where_also_labelled": percent(right[is_labelled].mean()) if is_labelled.any() else None,
        "accuracy_elsewhere": percent(right[~is_labelled].mean()) if not is_labelled.all() else None,
    }


def percent(share: float) -> float:
    """Return a share in percent."""
    return round(100 * float(share), 1)


def main() -> None:
    """Measure each set."""
    parser = argument_parser(__doc__)
    parser.add_argument("sets", nargs="+", metavar="SET")
    options = parser.parse_args()
    print_document([measure(name) for name in options.sets], options)


if __name__ == "__main__":
    main()

"""Learn from 1,000 classes x 16 shots x 512 numbers: seconds and memory, and for a tenth of the classes.

    python benchmarks/learning.py [--classes 1000] [--shots 16] [--threads 2]

Features are drawn at random around the texts, so only the cost means anything. Prints JSON.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from torch.nn import functional

from benchmarks.common import argument_parser, peak_mb, print_document
from promptclimb.evaluator.held_near import LabelledFeatures
from promptclimb.evaluator.learning import learn_classifier

WIDTH, SCALE = 512, 100.0


def measure(classes: int, shots: int) -> dict[str, Any]:
    """Return what learning took."""
    generator = torch.Generator().manual_seed(1)
    texts = functional.normalize(torch.randn(classes, WIDTH, generator=generator), dim=1)
    labels = torch.arange(classes).repeat_interleave(shots)
    noise = torch.randn(len(labels), WIDTH, generator=generator) / WIDTH**0.5
    features = functional.normalize(0.3 * texts[labels] + noise, dim=1)[:, None]
    began, cpu = time.perf_counter(), time.process_time()
    learn_classifier(texts.numpy(), LabelledFeatures(features, labels), SCALE, seed=1)
    return {
        "classes": classes,
        "images": len(labels),
        "seconds": round(time.perf_counter() - began, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "peak_mb": round(peak_mb()),
    }


def main() -> None:
    """Measure a tenth of the classes, then all."""
    parser = argument_parser(__doc__)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--shots", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    few = measure(max(2, options.classes // 10), options.shots)
    many = measure(options.classes, options.shots)
    print_document(
        {"few": few, "many": many, "ratio": round(many["cpu_seconds"] / few["cpu_seconds"], 1)}, options
    )


if __name__ == "__main__":
    main()

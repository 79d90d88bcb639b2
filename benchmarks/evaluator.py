"""How much faster the text path is than open_clip's own way, measured in one process.

Ways compared, each the time for one template over all class names:

    a  open_clip's build_zero_shot_classifier, one template a call, fp32
    b  the same under bf16 autocast
    c  this program, fp32, all templates a call
    d  this program, --precision best

Text towers have open_clip's architecture and random weights: speed does not depend on the weights. The ways
are measured in turns, round after round, and the median over the rounds counts.

Useful operations are the multiplications and additions of the matrix products that the answer needs: every
distinct token after cutting and sharing, through every block, but in the last block only keys and values for
tokens that are not an end of text. Attention's own products, padding and elementwise functions do not count.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

# In front of this folder, where the name `evaluator` is this very file.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import open_clip
import torch
from torch import Tensor
from torch.nn import functional

from promptclimb.evaluator.clip.models import best_dtype
from promptclimb.evaluator.clip.texts.packing import Text, pack
from promptclimb.evaluator.clip.texts.text_encoder import TextEncoder, most_rows, row_quantum
from promptclimb.evaluator.clip.texts.tokens import Filler, Reader
from promptclimb.evaluator.clip.texts.tower import Tower, read_tower
from promptclimb.evaluator.pico import models as bundled_models

SWEEP_CLASSES = (10, 30, 100, 300, 1000)
SWEEP_TEMPLATES = (1, 3, 10, 30, 100, 300, 1000)
SWEEP_WORDS = (2, 5, 10, 20, 40, 60)


@dataclass(frozen=True)
class Bench:
    """One model with what its measurements share."""

    name: str
    model: Any
    tokenizer: Any
    device: torch.device


def build(name: str, device: torch.device) -> Bench:
    """Build a model with random weights."""
    for row in bundled_models():
        if row["name"] == name and name not in open_clip.list_models():
            open_clip.add_model_config(row["config"])
    torch.manual_seed(0)
    logging.disable(logging.WARNING)
    model = open_clip.create_model(name, load_weights=False, device=device).eval().requires_grad_(False)
    return Bench(name, model, open_clip.get_tokenizer(name), device)


def templates(count: int) -> list[str]:
    """Return the first hand-made ImageNet templates, then variations of them."""
    shapes = [shape("{}") for shape in open_clip.OPENAI_IMAGENET_TEMPLATES]
    grounds = ["", *(f" on a {colour} ground" for colour in ("red", "blue", "white", "dark", "green"))]
    weathers = ["", " in the rain", " at night", " in the snow"]
    varied = [
        shape.rstrip(".") + ground + weather for weather in weathers for ground in grounds for shape in shapes
    ]
    return varied[:count]


def timed(work: Callable[[], Any], device: torch.device) -> tuple[float, Any]:
    """Time of one call and what it gave, the device's queue emptied before and after.

    With one thread on a CPU it is that thread's processor time, which others on the machine do not disturb.
    """
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    clock = time.thread_time if alone else time.perf_counter
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    began = clock()
    found = work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock() - began, found


def own_way(bench: Bench, names: Sequence[str], template: str, dtype: torch.dtype | None) -> Tensor:
    """Return open_clip's classifier for one template: [E, C]."""
    with torch.autocast(bench.device.type, dtype or torch.bfloat16, enabled=dtype is not None):
        found: Tensor = open_clip.build_zero_shot_classifier(
            bench.model, bench.tokenizer, names, [template], device=bench.device
        )
    return found


def matrix_peak(dtype: torch.dtype, device: torch.device) -> float:
    """Return multiplications and additions a second in large square-ish products, the best of several."""
    size = 2048 if device.type == "cpu" else 8192
    x, w = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    functional.linear(x, w)
    return max(2 * size**3 / timed(partial(functional.linear, x, w), device)[0] for _ in range(8))


def useful_operations(tower: Tower, chosen: Sequence[Text], max_rows: int) -> int:
    """See the module's docstring."""
    quantum = row_quantum(tower.mlp_width, tower.device)
    total = 0
    for batch in pack(
        list(dict.fromkeys(chosen)), max_rows=max_rows, quantum=quantum, device=torch.device("cpu")
    ):
        rows = sum(group.count * group.length for group in batch.groups)
        last = tower.blocks[-1]
        width = tower.width
        read = sum(layer.weight.numel() for layer in (last.out, last.up, last.down)) + width * width
        inner = tower.flops(rows) * (len(tower.blocks) - 1) // len(tower.blocks)
        total += inner + 2 * rows * 2 * width * width + 2 * len(batch.order) * read
        if tower.projection is not None:
            total += 2 * len(batch.order) * tower.projection.weight.numel()
    return total


def compare(
    bench: Bench, names: Sequence[str], chosen: Sequence[str], rounds: int, low: torch.dtype
) -> dict[str, Any]:
    """Measure the four ways on one model and list of class names."""
    context = bench.tokenizer.context_length
    ours = {
        kind: TextEncoder(bench.model, bench.tokenizer, names, context, dtype=dtype, memory=0)
        for kind, dtype in (("c", torch.float32), ("d", low))
    }
    times: dict[str, list[float]] = {way: [] for way in "abcd"}
    peaks: list[float] = []
    largest = 0.0
    for encoder in ours.values():
        encoder.vectors(chosen[:1])
    for turn in range(rounds):
        template = chosen[turn % len(chosen)]
        took, theirs = timed(partial(own_way, bench, names, template, None), bench.device)
        times["a"].append(took)
        times["b"].append(timed(partial(own_way, bench, names, template, torch.bfloat16), bench.device)[0])
        for way, encoder in ours.items():
            times[way].append(timed(partial(encoder.vectors, chosen), bench.device)[0] / len(chosen))
        peaks.append(matrix_peak(low, bench.device))
        largest = max(largest, (ours["c"].vectors([template])[0].T - theirs).abs().max().item())
    middle = {way: statistics.median(found) for way, found in times.items()}
    filler = Filler(bench.tokenizer, names, context)
    texts = [text for template in chosen for text in filler.texts(template, Reader())]
    tower = read_tower(bench.model)
    useful = useful_operations(tower, texts, most_rows(tower.mlp_width, bench.device)) / len(chosen)
    return {
        "classes": len(names),
        "templates": len(chosen),
        "ratio_fp32": middle["a"] / middle["c"],
        "ratio_best": middle["a"] / middle["d"],
        "ratio_best_over_autocast": middle["b"] / middle["d"],
        "peak_share": useful / middle["d"] / statistics.median(peaks),
        "max_diff_fp32": largest,
        "seconds_a_template": middle,
        "useful_operations_a_template": useful,
    }


def sweep(bench: Bench) -> dict[str, list[dict[str, float]]]:
    """Measure seconds of way c against the numbers of classes and templates and the length of a template."""
    names = list(open_clip.IMAGENET_CLASSNAMES)

    def cost(classes: int, chosen: Sequence[str]) -> float:
        encoder = TextEncoder(bench.model, bench.tokenizer, names[:classes], 77, memory=0)
        encoder.vectors(chosen[:1])
        return min(timed(partial(encoder.vectors, chosen), bench.device)[0] for _ in range(2))

    worded = {
        count: " ".join(["a photo of a {}", *["really"] * (count - 4)]) for count in SWEEP_WORDS if count > 4
    }
    worded |= {count: " ".join(["{}", *["drawn"] * (count - 1)]) for count in SWEEP_WORDS if count <= 4}
    return {
        "classes": [{"x": count, "s": cost(count, templates(8))} for count in SWEEP_CLASSES],
        "templates": [{"x": count, "s": cost(20, templates(count))} for count in SWEEP_TEMPLATES],
        "words": [{"x": count, "s": cost(100, [template])} for count, template in sorted(worded.items())],
    }


def plot(found: dict[str, list[dict[str, float]]], name: str, path: Path) -> None:
    """Draw the sweep as a picture."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(10, 3.2), layout="constrained")
    for axis, (what, points) in zip(axes, found.items(), strict=True):
        draw = axis.plot if what == "words" else axis.loglog
        draw([point["x"] for point in points], [point["s"] for point in points], "o-")
        axis.set(xlabel=what, ylabel="seconds")
        axis.grid(alpha=0.3)
    figure.suptitle(f"Cost of encoding with {name}'s text tower, fp32")
    figure.savefig(path, metadata={"Date": None})


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Measure everything asked for, as one JSON document."""
    device = torch.device(options.device)
    low = best_dtype(device)
    peaks = {dtype: matrix_peak(dtype, device) for dtype in (torch.float32, torch.bfloat16)}
    document: dict[str, Any] = {
        "machine": torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "best": str(low).removeprefix("torch."),
        "bf16_over_fp32": peaks[torch.bfloat16] / peaks[torch.float32],
        "matrix_peak_fp32": peaks[torch.float32],
        "models": {},
    }
    names = list(open_clip.IMAGENET_CLASSNAMES)
    for name in options.models:
        bench = build(name, device)
        document["models"][name] = [
            compare(bench, names[:classes], templates(options.templates), options.rounds, low)
            for classes in options.classes
        ]
        print(json.dumps({name: document["models"][name]}), file=sys.stderr)
    first = document["models"][options.models[0]][-1]
    kept = ("ratio_fp32", "ratio_best", "ratio_best_over_autocast", "peak_share", "max_diff_fp32")
    document |= {key: first[key] for key in kept}
    document["targets"] = targets(document)
    if options.sweep:
        document["sweep"] = sweep(build(options.sweep_model, device))
        if options.plot:
            plot(document["sweep"], options.sweep_model, options.plot)
    return document


def targets(document: dict[str, Any]) -> dict[str, bool]:
    """Return which of the project's targets hold in this document."""
    ratio, best = document["bf16_over_fp32"], document["ratio_best"]
    if ratio >= 4:
        fast = best >= 30 and document["ratio_best_over_autocast"] >= 8
    else:
        fast = best >= document["ratio_fp32"] * ratio / 2
    return {
        "fp32_ten_times": document["ratio_fp32"] >= 10,
        "best": fast,
        "half_of_the_peak": document["peak_share"] >= 0.5,
        "exact": document["max_diff_fp32"] <= 1e-5,
    }


def main() -> None:
    """Read options, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--models", nargs="+", default=["ViT-B-32"], help="the first one's figures stand on top"
    )
    parser.add_argument(
        "--classes", nargs="+", type=int, default=[100, 1000], help="the last one's count there"
    )
    parser.add_argument("--templates", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, help="torch's threads; all cores unless given")
    parser.add_argument("--sweep", action="store_true", help="cost against classes, templates and words too")
    parser.add_argument("--sweep-model", default="ViT-pico")
    parser.add_argument("--plot", type=Path, help="an SVG file for the sweep; needs matplotlib")
    parser.add_argument("--json", action="store_true", help="the document on one line")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    document = measure(options)
    print(json.dumps(document, indent=None if options.json else 2))


if __name__ == "__main__":
    main()

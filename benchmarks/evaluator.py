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
Their share is that of a peak measured in the same type after each round. On a CUDA card the peak is by the
device's own events, fp32 goes without TF32, and ``off_cpu`` is how far c and d lie from a CPU's fp32.
"""

from __future__ import annotations

import argparse
import copy
import logging
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import open_clip
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.common import argument_parser, print_document
from promptclimb.evaluator.clip.models import best_dtype
from promptclimb.evaluator.clip.text_encoder import TextEncoder, most_rows, row_quantum
from promptclimb.evaluator.clip.tower import Text, Tower, linear, pack, read_tower
from promptclimb.evaluator.pico.models import bundled_models

TABLE_HEAD = """\
| text tower | classes | a (s a template) | b | c | d | a / c | a / d | share in c | in d | difference in c |
|---|---|---|---|---|---|---|---|---|---|---|"""


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
    returned = work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock() - began, returned


def own_way(bench: Bench, names: Sequence[str], template: str, dtype: torch.dtype | None) -> Tensor:
    """Return open_clip's classifier for one template: [E, C]."""
    with torch.autocast(bench.device.type, dtype or torch.bfloat16, enabled=dtype is not None):
        classifier: Tensor = open_clip.build_zero_shot_classifier(
            bench.model, bench.tokenizer, names, [template], device=bench.device
        )
    return classifier


def matrix_peak(dtype: torch.dtype, device: torch.device) -> float:
    """Return multiplications and additions a second in large square products, the best of two kernels."""
    size = 2048 if device.type == "cpu" else 8192
    x, w = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    ways = [partial(functional.linear, x, w), partial(linear, x, w, None)]
    return 2 * size**3 / min(device_time(way, device) for way in ways for _ in range(9))


def device_time(work: Callable[[], Any], device: torch.device) -> float:
    """Return the seconds that a call takes a CUDA device by its own events; elsewhere as ``timed``."""
    if device.type != "cuda":
        return timed(work, device)[0]
    event: Any = torch.cuda.Event
    began, ended = event(enable_timing=True), event(enable_timing=True)
    began.record()
    work()
    ended.record()
    ended.synchronize()
    seconds: float = began.elapsed_time(ended) / 1000
    return seconds


def useful_operations(tower: Tower, texts: Iterable[Text]) -> int:
    """See the module's docstring."""
    most, quantum = (find(tower.mlp_width, tower.device) for find in (most_rows, row_quantum))
    total = 0
    for batch in pack(list(dict.fromkeys(texts)), max_rows=most, quantum=quantum, device=torch.device("cpu")):
        rows = sum(group.count * group.length for group in batch.groups)
        last = tower.blocks[-1]
        width = tower.width
        read = sum(layer.weight.numel() for layer in (last.out, last.up, last.down)) + width * width
        for block in tower.blocks[:-1]:
            inner = (block.qkv, block.out, block.up, block.down)
            total += sum(2 * rows * layer.weight.numel() for layer in inner)
        total += 2 * rows * 2 * width * width + 2 * len(batch.order) * read
        if tower.projection is not None:
            total += 2 * len(batch.order) * tower.projection.weight.numel()
    return total


def compare(
    bench: Bench, names: Sequence[str], chosen: Sequence[str], rounds: int, low: torch.dtype
) -> dict[str, Any]:
    """Measure the four ways on one model and list of class names."""
    kinds = {"c": torch.float32, "d": low}
    ours = {way: encoder(bench, names, dtype) for way, dtype in kinds.items()}
    times: dict[str, list[float]] = {way: [] for way in "abcd"}
    peaks: dict[str, list[float]] = {way: [] for way in kinds}
    largest = 0.0
    for turn in range(rounds):
        template = chosen[turn % len(chosen)]
        took, theirs = timed(partial(own_way, bench, names, template, None), bench.device)
        times["a"].append(took)
        times["b"].append(timed(partial(own_way, bench, names, template, torch.bfloat16), bench.device)[0])
        for way, text_encoder in ours.items():
            seconds, _ = timed(partial(text_encoder.vectors, chosen), bench.device)
            times[way].append(seconds / len(chosen))
            peaks[way].append(matrix_peak(kinds[way], bench.device))
        largest = max(largest, (ours["c"].vectors([template])[0].T - theirs).abs().max().item())
    middle = {way: statistics.median(seconds) for way, seconds in times.items()}
    texts = (text for template in chosen for text in ours["c"].texts(template))
    useful = useful_operations(read_tower(bench.model), texts) / len(chosen)
    share = {way: useful / middle[way] / statistics.median(own) for way, own in peaks.items()}
    return {
        "classes": len(names),
        "templates": len(chosen),
        "ratio_fp32": middle["a"] / middle["c"],
        "ratio_best": middle["a"] / middle["d"],
        "ratio_best_over_autocast": middle["b"] / middle["d"],
        "peak_share": share["d"],
        "peak_share_fp32": share["c"],
        "max_diff_fp32": largest,
        "off_cpu": off_cpu(bench, names, ours, chosen[:2]),
        "seconds_a_template": middle,
        "useful_operations_a_template": useful,
    }


def encoder(bench: Bench, names: Sequence[str], dtype: torch.dtype = torch.float32) -> TextEncoder:
    """Build this program's encoder, which remembers nothing, and warm it up."""
    text_encoder = TextEncoder(
        bench.model, bench.tokenizer, names, bench.tokenizer.context_length, dtype=dtype
    )
    text_encoder.vectors(templates(1))
    return text_encoder


def off_cpu(
    bench: Bench, names: Sequence[str], ours: dict[str, TextEncoder], chosen: Sequence[str]
) -> dict[str, float]:
    """Return how far each way's vectors lie from a CPU's in fp32 at most: {way: difference}."""
    there = replace(bench, model=copy.deepcopy(bench.model).cpu(), device=torch.device("cpu"))
    exact = encoder(there, names).vectors(chosen)
    return {way: (own.vectors(chosen).cpu() - exact).abs().max().item() for way, own in ours.items()}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Measure everything asked for, as one JSON document."""
    device = torch.device(options.device)
    low = best_dtype(device)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
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
    print(TABLE_HEAD, file=sys.stderr)
    for name in options.models:
        bench = build(name, device)
        document["models"][name] = [
            compare(bench, names[:classes], templates(options.templates), options.rounds, low)
            for classes in options.classes
        ]
        print("\n".join(table_row(name, case) for case in document["models"][name]), file=sys.stderr)
    first = document["models"][options.models[0]][-1]
    kept = (
        "ratio_fp32",
        "ratio_best",
        "ratio_best_over_autocast",
        "peak_share",
        "peak_share_fp32",
        "max_diff_fp32",
    )
    document |= {key: first[key] for key in kept}
    document["targets"] = targets(document)
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


def table_row(name: str, case: dict[str, Any]) -> str:
    """Return a row of the table in docs/performance.md."""
    a, b, c, d = case["seconds_a_template"].values()
    times = " | ".join(f"{value:.3g}" for value in (a, b, c, d, a / c, a / d))
    shares = f"{case['peak_share_fp32']:.2f} | {case['peak_share']:.2f}"
    return f"| {name} | {case['classes']} | {times} | {shares} | {case['max_diff_fp32']:.1e} |"


def main() -> None:
    """Read options, measure, print."""
    parser = argument_parser(__doc__)
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
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    print_document(measure(options), options)


if __name__ == "__main__":
    main()

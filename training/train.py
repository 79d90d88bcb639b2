"""``python -m training.train``: makes RN-pico and ViT-pico from nothing.

Five steps, each skipped where its result exists, so that a killed run goes on when it is started again:

1. gather the art (npm packages, Debian packages, fonts);
2. render the pictures with as many processes as --threads says;
3. count the words of their captions;
4. train RN-pico and, beside it, the image tower of ViT-pico, which learns from RN-pico's averaged weights as
   they appear;
5. train the text tower of ViT-pico from nothing, for the image tower that it has got.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog
import torch

from promptclimb.evaluator.errors import UsageError
from promptclimb.evaluator.files import cache_dir
from promptclimb.evaluator.pico.models import DRAWN_MODELS

from .batches import Pictures, render
from .gather_art import ArtError, training_art
from .loop import Recipe, TextTrainer, Trainer
from .model import Vocabulary, token_ids

log = structlog.get_logger()

IMAGES, HELD_OUT = 300_000, 2048
STEPS = {"RN-pico": 6800, "ViT-pico": 13000}
TEXT_STEPS = 6000
# glibc gives large blocks back to the kernel and asks for them again at every step; keeping them is faster.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 34)}


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def _file(text: str) -> Path:
    path = Path(text)
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"there is no file {text!r}")
    return path


def _minutes(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("must be above 0")
    return value


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.train",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--model",
        choices=[*DRAWN_MODELS, "both"],
        default="both",
        help="which to train (default: both at once)",
    )
    add("--out", type=Path, help="folder for all that is made (default: pico/ in the cache folder)")
    add("--images", type=_positive, default=IMAGES, help=f"pictures to render (default: {IMAGES:,})")
    add("--steps", type=_positive, help=f"optimizer steps (default: {STEPS})")
    add("--minutes", type=_minutes, help="train each model for so long instead of for so many steps")
    add(
        "--threads",
        type=_positive,
        default=os.cpu_count() or 1,
        help="processes that render, threads that train",
    )
    add(
        "--image-tower",
        type=_file,
        metavar="FILE",
        help="weights whose image tower ViT-pico takes; then step 5 alone is done for it",
    )
    add("--seed", type=int, default=1, help="of pictures, weights and batches (default: 1)")
    add("--render-only", action="store_true", help="stop after step 3")
    return parser.parse_args(arguments)


def _prepare(out: Path, images: int, seed: int, workers: int) -> tuple[list[Path], list[Path]]:
    """Do steps 1 to 3; return the shards to train on and those held out."""
    words = out / "vocabulary.json"
    if not words.exists():
        with _timed("art.gathered"):
            training_art()
    began, done = time.monotonic(), 0

    def count_rendered(count: int) -> None:
        nonlocal done
        done += count
        log.info("pictures.rendered", new=done, of=images, seconds=round(time.monotonic() - began))

    shards = render(out / "train", images, seed=seed, workers=workers, progress=count_rendered)
    held_out = render(out / "held-out", min(HELD_OUT, images), seed=seed + 1_000_000, workers=1)
    if not words.exists():
        with _timed("captions.counted"):
            captions = Pictures(shards).captions(2, seed)
            partial = words.with_suffix(".partial")
            partial.write_text(
                json.dumps(sorted({token for text in captions for token in token_ids(text)})),
                encoding="utf-8",
            )
            partial.replace(words)
    return shards, held_out


@contextmanager
def _timed(event: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    log.info(event, seconds=round(time.monotonic() - began, 1))


def _train(name: str, options: argparse.Namespace, out: Path) -> None:
    """Do steps 4 and 5 for one model, in this process."""
    torch.set_num_threads(options.threads)
    shards, held_out = _prepare(out, options.images, options.seed, options.threads)
    vocabulary = Vocabulary(json.loads((out / "vocabulary.json").read_text(encoding="utf-8")))
    data = Pictures(shards), Pictures(held_out), vocabulary
    common: dict[str, Any] = {"name": name, "minutes": options.minutes, "seed": options.seed}
    steps = options.steps or STEPS[name]
    log.info("training.started", model=name, threads=options.threads, tokens=vocabulary.size)
    if name == "RN-pico":
        Trainer(Recipe(**common, steps=steps), *data, out / name, out / "export").run()
    else:
        if (tower := options.image_tower) is None:
            # Learning from a teacher gains more from steps than from large batches.
            teacher = out / "RN-pico" / "average.safetensors"
            recipe = Recipe(**common, steps=steps, batch=128, patch_dropout=0.5, teacher=teacher)
            Trainer(recipe, *data, out / name, out / name).run()
            tower = out / name / "average.safetensors"
        recipe = Recipe(**common, steps=options.steps or TEXT_STEPS, batch=512, image_tower=tower)
        TextTrainer(recipe, *data, out / f"{name}-text", out / "export").run()
    log.info("training.finished", model=name, file=str(out / "export" / f"{name}.safetensors"))


def _train_both(arguments: list[str], threads: int) -> int:
    """Do step 4 for both models, in a process each."""
    share = str(max(1, threads // 2))
    environment = {**os.environ, **KEEP_MEMORY, "OMP_NUM_THREADS": share}
    command = [
        sys.executable,
        "-m",
        "training.train",
        *arguments,
        "--threads",
        share,
    ]
    children = [subprocess.Popen([*command, "--model", name], env=environment) for name in DRAWN_MODELS]
    try:
        return max(abs(child.wait()) for child in children)
    finally:
        for child in children:
            if child.poll() is None:
                child.terminate()


def _to_stderr(*_: object) -> structlog.PrintLogger:
    """Return a logger to what standard error is now; a file object that is kept may have been closed."""
    return structlog.PrintLogger(sys.stderr)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    structlog.configure(logger_factory=_to_stderr)
    options = _options(arguments)
    out = options.out or cache_dir() / "pico"
    try:
        if options.render_only or options.model == "both":
            _prepare(out, options.images, options.seed, options.threads)
            if options.render_only:
                return 0
            return _train_both(sys.argv[1:] if arguments is None else arguments, options.threads)
        _train(options.model, options, out)
    except KeyboardInterrupt:
        log.warning("training.interrupted", hint="the same command goes on from the last saved state")
        return 130
    except (ArtError, UsageError, ValueError, OSError) as error:
        log.error("training.failed", reason=str(error))
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

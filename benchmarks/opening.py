"""What opening a data set costs: images decoded by threads and by processes, and files that are known.

- ``decoding``: JPEGs of 500 x 400 made ready for a CLIP of 224 pixels, by as many threads as processes, in
  turns, from a cold page cache and from a warm one: wall and processor milliseconds an image, those of the
  children included. Processes give back uint8 (an eighth of a millisecond is left to do for each) or float32,
  16 images at once; ``start_s`` is what it takes until all of them have imported what they need.
  ``python_ms`` is the same work on an image of 8 x 8: about what of it holds Python's lock, so that
  ``threads_at_most`` cores are kept busy.
- ``known``: processor seconds to read and check a set of small images and to hash it, as at the first start
  and as at every later one.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from PIL import Image

from promptclimb.evaluator import files
from promptclimb.evaluator.datasets.loading import load_data
from promptclimb.evaluator.datasets.pictures import open_rgb
from promptclimb.evaluator.spec import EvaluatorSpec

SIDE, AT_ONCE = 224, 16
_made_ready: list[Callable[[Image.Image], Any]] = []


def begin() -> None:
    """Import what decoding takes; each process does."""
    import torch
    from open_clip.transform import image_transform

    torch.set_num_threads(1)
    _made_ready[:] = image_transform(SIDE, is_train=False).transforms


def as_float(paths: Sequence[Path]) -> Any:
    """Return images as the model takes them: float32 [n, 3, SIDE, SIDE]."""
    return np.stack([_through(open_rgb(path), _made_ready).numpy() for path in paths])


def as_bytes(paths: Sequence[Path]) -> Any:
    """Return images as they are before they become numbers of 32 bits: uint8 [n, SIDE, SIDE, 3]."""
    return np.stack([np.asarray(_through(open_rgb(path), _made_ready[:3])) for path in paths])


def _through(image: Any, steps: Sequence[Callable[[Any], Any]]) -> Any:
    for step in steps:
        image = step(image)
    return image


def ready(_number: int) -> int:
    """Return which process has begun."""
    time.sleep(0.05)
    return os.getpid()


def make_photographs(folder: Path, count: int) -> list[Path]:
    """Write JPEGs of 500 x 400, some 65 kB each."""
    rng, paths = np.random.default_rng(0), [folder / f"{number:05d}.jpg" for number in range(count)]
    for path in paths:
        rough = Image.fromarray(rng.integers(0, 255, (20, 25, 3), dtype=np.uint8)).resize((500, 400))
        noisy = np.asarray(rough).astype(np.int16) + rng.integers(-12, 12, (400, 500, 3), dtype=np.int16)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(path, quality=90)
    return paths


def forget(paths: Sequence[Path]) -> None:
    """Take files out of the page cache."""
    for path in paths:
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def used() -> float:
    """Return this process' processor time, and that of its children so far."""
    own = time.process_time()
    for child in multiprocessing.active_children():
        fields = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
        own += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return own


def decode(pool: Executor, work: Callable[[Sequence[Path]], Any], paths: Sequence[Path]) -> dict[str, float]:
    """Return wall and processor milliseconds for an image."""
    parts = [paths[start : start + AT_ONCE] for start in range(0, len(paths), AT_ONCE)]
    began, worked = time.perf_counter(), used()
    assert sum(len(part) for part in pool.map(work, parts)) == len(paths)
    return {
        "wall_ms": (time.perf_counter() - began) / len(paths) * 1e3,
        "processor_ms": (used() - worked) / len(paths) * 1e3,
    }


@contextmanager
def pools(workers: int) -> Iterator[tuple[dict[str, tuple[Executor, Any]], float]]:
    """Give the ways to decode, and the seconds that processes took to begin."""
    began = time.perf_counter()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=begin) as processes:
        while len(set(processes.map(ready, range(4 * workers)))) < workers:
            pass
        took = time.perf_counter() - began
        with ThreadPoolExecutor(workers) as threads:
            yield (
                {
                    "threads": (threads, as_float),
                    "processes_uint8": (processes, as_bytes),
                    "processes_float32": (processes, as_float),
                },
                took,
            )


def decoding(folder: Path, images: int, workers: int, rounds: int) -> dict[str, Any]:
    """Return the figures of ``decoding``."""
    begin()
    paths = make_photographs(folder, images)
    with pools(workers) as (ways, start_s):
        found: dict[str, list[dict[str, float]]] = {}
        for _ in range(rounds):
            for name, (pool, work) in ways.items():
                forget(paths)
                for cache in ("cold", "warm"):
                    found.setdefault(f"{name}_{cache}", []).append(decode(pool, work, paths))
    medians = {
        name: {key: round(statistics.median(one[key] for one in times), 2) for key in times[0]}
        for name, times in found.items()
    }
    python_ms, whole_ms = _of_a_thread(folder, paths[:100])
    return {
        "images": images,
        "workers": workers,
        "start_s": round(start_s, 1),
        **medians,
        "python_ms": round(python_ms, 3),
        "thread_ms": round(whole_ms, 3),
        "threads_at_most": round(whole_ms / python_ms, 1),
    }


def _of_a_thread(folder: Path, paths: Sequence[Path]) -> tuple[float, float]:
    """Return the processor milliseconds of one thread for an image that is tiny, and for a photograph."""
    from open_clip.transform import image_transform

    Image.new("RGB", (8, 8), "red").save(folder / "tiny.jpg")
    tiny, photograph = image_transform(4, is_train=False), image_transform(SIDE, is_train=False)
    began = time.thread_time()
    for _ in paths:
        tiny(open_rgb(folder / "tiny.jpg"))
    between = time.thread_time()
    for path in paths:
        photograph(open_rgb(path))
    ended = time.thread_time()
    return (between - began) / len(paths) * 1e3, (ended - between) / len(paths) * 1e3


def make_set(folder: Path, images: int, classes: int = 50) -> None:
    """Write a set of small JPEGs that differ in a remark, eight of each class to train on."""
    plain = folder / "plain.jpg"
    Image.new("RGB", (16, 16), "green").save(plain)
    content = plain.read_bytes()
    for number in range(8 * classes + images):
        split = "train" if number < 8 * classes else "test"
        place = folder / "set" / split / f"class {number % classes:02d}"
        place.mkdir(parents=True, exist_ok=True)
        remark = b"\xff\xfe\x00\x0a" + f"{number:08d}".encode()
        (place / f"{number:08d}.jpg").write_bytes(content[:2] + remark + content[2:])


def known(folder: Path, images: int, rounds: int) -> dict[str, Any]:
    """Return the figures of ``known``."""
    from promptclimb.evaluator.clip.images import _digests

    make_set(folder, images)
    files.SETTLED_NS = 0  # the files are as young as the benchmark
    spec = EvaluatorSpec(data=str(folder / "set"), shots=8, cache_dir=folder / "cache")

    def start() -> float:
        began = time.process_time()
        data = load_data(spec)
        with ThreadPoolExecutor(4) as pool:
            files.seen_files(spec.cache_dir).known(
                "image set", data.test.paths, lambda: _digests(pool, data.test.paths, 4)
            )
        return time.process_time() - began

    first, later = [], []
    for _ in range(rounds):
        for kept in (folder / "cache" / "seen").glob("*.json"):
            kept.unlink()
        first.append(start())
        later.append(start())
    return {
        "images": images,
        "first_s": round(statistics.median(first), 3),
        "later_s": round(statistics.median(later), 3),
        "ratio": round(statistics.median(first) / statistics.median(later), 1),
    }


def main() -> None:
    """Measure and print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="one line of JSON (the default is indented)")
    parser.add_argument("--images", type=int, default=400, help="photographs to decode (default: 400)")
    parser.add_argument(
        "--known", type=int, default=5000, help="images of the set that is opened (default: 5000)"
    )
    parser.add_argument("--workers", type=int, default=2, help="threads, and processes (default: 2)")
    parser.add_argument("--rounds", type=int, default=3, help="times that each is measured (default: 3)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        figures = {
            "decoding": decoding(Path(one), given.images, given.workers, given.rounds),
            "known": known(Path(other), given.known, given.rounds),
        }
    print(json.dumps(figures, indent=None if given.json else 1))


if __name__ == "__main__":
    main()

"""Training pictures: rendered once by worker processes, kept as shards, captioned anew at each reading.

A shard is NAME.npy, uint8 [pictures, 64, 64, 3], beside NAME.jsonl, one scene a line. The picture with number
i of a stream depends on nothing but the stream's seed and i, so an interrupted rendering goes on where it
stopped.
"""

from __future__ import annotations

import json
import multiprocessing
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import cache
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from . import forms as _forms  # noqa: F401 - adds them to the world
from .captions import caption
from .gather_art import training_art
from .world.art import Art
from .world.scene import CONCEPTS, CORE, DRAWINGS, EVERYDAY, SENSES, Scene
from .world.scenes import TWO, compose, draw, names_of

SHARD = 5000
SHIFT = 3  # pixels
MIXED = 0.5  # share of a batch drawn from all scenes; the rest comes from GROUPS groups
GROUPS = 2
WEIGHTS: dict[str, dict[str, float]] = DRAWINGS["weights"]
"""Relative frequency of each form, by family."""
_OFTEN = [*CORE, *EVERYDAY]
_ALL = list(CONCEPTS)
_CHOICES = [(family, form, weight) for family, forms in WEIGHTS.items() for form, weight in forms.items()]
_ODDS = list(accumulate(weight for _, _, weight in _CHOICES))

Gather = Callable[[], Art]
"""Where a worker takes its art from; a function that another process can import."""


def shown(scene: Scene) -> bool:
    """Return whether the models are trained on such a scene."""
    if scene.family == "everyday":
        return scene.name in _OFTEN
    return scene.form not in DRAWINGS["untaught"].get(scene.family, ())


def sample(rng: Random, art: Art) -> Scene:
    """Return a random scene of the world."""
    family, form, _ = rng.choices(_CHOICES, cum_weights=_ODDS)[0]
    if family == "everyday":
        name = rng.choice(_OFTEN if rng.random() < 0.45 else _ALL)
        if not art.has(name):
            return sample(rng, art)
        return compose(family, form, name, "", rng)
    if family == "senses":
        return compose(family, form, rng.choice(list(SENSES)), "", rng)
    first, second = names_of(family, form)
    name = rng.choice(first)
    second_name = ""
    if form in TWO.get(family, ()):
        alike = rng.random() < 0.04
        second_name = name if alike and name in second else rng.choice([own for own in second if own != name])
    return compose(family, form, name, second_name, rng)


@cache
def _art_of(gather: Gather) -> Art:
    return gather()


def render_shard(path: Path, seed: int, first: int, count: int, gather: Gather) -> Path:
    """Render ``count`` pictures of the stream ``seed`` from ``first`` on into ``path``, scenes beside it."""
    art = _art_of(gather)
    pixels = np.empty((count, 64, 64, 3), dtype=np.uint8)
    lines = []
    for i in range(count):
        rng = Random(f"{seed} {first + i}")
        scene = sample(rng, art)
        pixels[i] = draw(scene, rng, art)
        lines.append(json.dumps(asdict(scene)))
    path.with_suffix(".jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.save(file, pixels)
    partial.replace(path)  # the pictures come last: where they are, the scenes are
    return path


Job = tuple[Path, int, int, int, Gather]


def _render_job(job: Job) -> Path:
    return render_shard(*job)


def _rendered(jobs: list[Job], workers: int) -> Iterator[Path]:
    """Do the jobs, in this process if one worker is enough, and yield each path as it becomes ready."""
    if min(workers, len(jobs)) < 2:
        yield from map(_render_job, jobs)
        return
    jobs[0][-1]()  # the art is gathered here once, so that the workers find it ready
    with multiprocessing.get_context("spawn").Pool(min(workers, len(jobs))) as pool:
        yield from pool.imap_unordered(_render_job, jobs)


def render(
    folder: Path,
    images: int,
    *,
    seed: int,
    workers: int,
    shard: int = SHARD,
    progress: Callable[[int], None] | None = None,
    gather: Gather = training_art,
) -> list[Path]:
    """Render a stream of pictures, skipping the shards that exist.

    Args:
        folder: Where the shards go.
        images: How many pictures; the last shard may hold fewer than the others.
        seed: Names the stream.
        workers: Processes; with 1, this one does it.
        shard: Pictures a shard.
        progress: Called with the number of pictures of each shard that becomes ready.
        gather: Where the art comes from.

    Returns:
        The paths of all shards, in order.
    """
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [
        (folder / f"{seed}-{first:08d}-{count}.npy", seed, first, count, gather)
        for first in range(0, images, shard)
        for count in [min(shard, images - first)]
    ]
    missing = [job for job in jobs if not job[0].exists()]
    for path in _rendered(missing, workers):
        if progress is not None:
            progress(int(path.stem.rsplit("-", 1)[1]))
    return [job[0] for job in jobs]


class TrainingPictures(Protocol):
    """What a model is trained on."""

    def __len__(self) -> int: ...

    def caption(self, index: int, rng: Random) -> str:
        """Return one of the captions of a picture."""

    def pixels(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return pictures as uint8 [indices, 64, 64, 3]."""

    def batch(self, size: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return indices of one training batch."""


class Pictures:
    """The shards as one indexed whole: pictures, and for each a caption drawn from its scene.

    Scenes that the models are not taught from (``shown``) are left out.
    """

    def __init__(self, shards: list[Path]) -> None:
        self._pixels = [np.load(path, mmap_mode="r") for path in shards]
        self._starts = np.cumsum([0, *(len(block) for block in self._pixels)])
        self._lines: list[str] = []
        rows: list[int] = []
        groups: dict[str, list[int]] = defaultdict(list)
        for start, path in zip(self._starts, shards, strict=False):
            lines = path.with_suffix(".jsonl").read_text(encoding="utf-8").splitlines()
            for row, line in enumerate(lines, start=int(start)):
                scene = Scene(**json.loads(line))
                if shown(scene):
                    groups[scene.group].append(len(self._lines))
                    self._lines.append(line)
                    rows.append(row)
        self._rows = np.array(rows)
        self.groups = {name: np.array(members) for name, members in sorted(groups.items())}

    def __len__(self) -> int:
        return len(self._lines)

    def scene(self, index: int) -> Scene:
        """Return the scene of a picture."""
        return Scene(**json.loads(self._lines[index]))

    def caption(self, index: int, rng: Random) -> str:
        """Return one of the many captions of a picture."""
        return caption(self.scene(index), rng)

    def pixels(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return pictures as uint8 [indices, 64, 64, 3]."""
        out = np.empty((len(indices), 64, 64, 3), dtype=np.uint8)
        rows = self._rows[indices]
        blocks = np.searchsorted(self._starts, rows, side="right") - 1
        for i, (block, row) in enumerate(zip(blocks, rows, strict=True)):
            out[i] = self._pixels[block][row - self._starts[block]]
        return out

    def captions(self, draws: int, seed: int) -> Iterator[str]:
        """Yield ``draws`` captions of every picture, for counting the words."""
        rng = Random(seed)
        for i in range(len(self)):
            for _ in range(draws):
                yield self.caption(i, rng)

    def batch(self, size: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return indices of one training batch.

        Half of it is drawn from all pictures, the rest from two groups of scenes, whose members differ in
        just what their captions must distinguish. (Whole batches of one group would make batch normalisation
        lean on what the group has in common.)
        """
        mixed = round(size * MIXED)
        parts = [rng.choice(len(self), mixed, replace=False)]
        names = list(self.groups)
        share = np.array([len(self.groups[name]) for name in names], dtype=float)
        chosen = rng.choice(len(names), min(GROUPS, len(names)), replace=False, p=share / share.sum())
        for number, name in enumerate(chosen):
            members = self.groups[names[name]]
            need = (size - mixed) // len(chosen) + (number < (size - mixed) % len(chosen))
            parts.append(rng.choice(members, need, replace=len(members) < need))
        return np.concatenate(parts)


def shifted(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return the pictures moved by up to ``SHIFT`` pixels each way, edges repeated: no caption says so."""
    padded = np.pad(pixels, ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)), mode="edge")
    moves = rng.integers(0, 2 * SHIFT + 1, (len(pixels), 2))
    side = pixels.shape[1]
    return np.stack([p[y : y + side, x : x + side] for p, (y, x) in zip(padded, moves, strict=True)])

"""Training one of the two CLIPs on rendered pictures: the loss, the schedule, and what survives a kill."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import structlog
import torch
from numpy.typing import NDArray
from open_clip.model import CLIP
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from .batches import TrainingPictures, shifted
from .model import Vocabulary, build, encode_image, encode_text, export, fast, optimizer_of

log = structlog.get_logger()

NEARNESS = 8.0  # about what "CLIP-KD" (arXiv 2307.12732) found best for its mean squared error
WARM_UP = 0.03  # share of the training in which the learning rate rises
AVERAGING = 0.998  # per step, of the weights that are exported
NORMALISING = 40  # batches from which the averaged weights' batch statistics are taken
WHOLE = 0.8  # progress from which on a ViT sees whole pictures, as it will in use
UNKNOWN_WORDS = 0.1  # share of captions that get a word without a meaning
HIGHEST_SCALE = math.log(100)
VIEWS = 3  # how often each picture is seen, each time moved by other few pixels
_AT_ONCE = 512


def contrastive(logits: Tensor, text_of: Tensor) -> Tensor:
    """Return CLIP's loss for logits [pictures, distinct texts], where pictures may share a text.

    Args:
        logits: Scaled similarities.
        text_of: The column of each picture's text, [pictures].
    """
    texts = torch.zeros_like(logits).scatter_(1, text_of[:, None], 1.0).T
    to_pictures = (functional.log_softmax(logits.T, dim=-1) * texts).sum(-1) / texts.sum(-1)
    return (functional.cross_entropy(logits, text_of) - to_pictures.mean()) / 2


def nearness(student: Tensor, teacher: Tensor) -> Tensor:
    """Return how far the student's unit features lie from the teacher's, weighted to go with other losses."""
    return NEARNESS * (1 - (student * teacher).sum(-1)).mean()


def imitation(logits: Tensor, wanted: Tensor) -> Tensor:
    """Return Kullback-Leibler divergence of the student's logits from the teacher's, rows and columns."""
    return sum(
        functional.kl_div(
            functional.log_softmax(x, -1),
            functional.log_softmax(y, -1),
            log_target=True,
            reduction="batchmean",
        )
        for x, y in ((logits, wanted), (logits.T, wanted.T))
    ) / torch.tensor(2.0)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How one model is trained.

    Attributes:
        name: RN-pico or ViT-pico.
        steps: Optimizer steps; ignored where ``minutes`` is given.
        minutes: Train for as long as this instead, on whatever machine; the schedule then follows the clock.
        batch: Pictures a step.
        rate: Highest learning rate of AdamW.
        decay: Weight decay of the matrices.
        patch_dropout: The fraction of patches that a ViT drops until late in training.
        teacher: Averaged weights of an RN-pico with the same vocabulary, to learn from as soon as, and as
            often as, that file is written.
        image_tower: A file whose image tower is taken and stays as it is; see ``TextTrainer``.
        seed: Of weights, batches and captions.
        save_every: Seconds between two states on disk.
    """

    name: str
    steps: int
    minutes: float | None = None
    batch: int = 256
    rate: float = 1e-3
    decay: float = 0.1
    patch_dropout: float = 0.0
    teacher: Path | None = None
    image_tower: Path | None = None
    seed: int = 1
    save_every: float = 180.0


class Trainer:
    """One model in training, with its averaged twin; goes on from the state in ``folder``, if there is one.

    Args:
        recipe: What to do.
        pictures: What to train on.
        held_out: Pictures that are looked at only to say how training goes.
        vocabulary: The compact vocabulary of all captions.
        folder: Where the state, the averaged weights and the log figures go.
        exports: Where NAME.safetensors goes at every saving.
    """

    def __init__(
        self,
        recipe: Recipe,
        pictures: TrainingPictures,
        held_out: TrainingPictures,
        vocabulary: Vocabulary,
        folder: Path,
        exports: Path,
    ) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.pictures, self.held_out, self.vocabulary = recipe, pictures, held_out, vocabulary
        self.folder, self.exports = folder, exports
        self.model = build(recipe.name, vocabulary, recipe.patch_dropout).to(
            memory_format=torch.channels_last
        )
        self.average = build(recipe.name, vocabulary).to(memory_format=torch.channels_last)
        self.average.load_state_dict(self.model.state_dict())
        self.optimizer = optimizer_of(self.model, recipe.rate, recipe.decay)
        self.teacher: CLIP | None = None
        self._teacher_time = 0.0
        self.step, self.seconds = 0, 0.0
        folder.mkdir(parents=True, exist_ok=True)
        self._resume()

    # ---- the state on disk

    @property
    def _path(self) -> Path:
        return self.folder / "state.safetensors"

    def _save(self) -> None:
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        for i, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{i}.{k}": v for k, v in state.items()}
        progress = {"step": self.step, "seconds": self.seconds, "vocabulary": self.vocabulary.size}
        partial = self._path.with_suffix(".partial")
        save_file({k: v.contiguous() for k, v in tensors.items()}, partial, {"about": json.dumps(progress)})
        partial.replace(self._path)

    def _resume(self) -> None:
        if not self._path.exists():
            return
        with safe_open(self._path, "pt") as file:
            progress = json.loads(file.metadata()["about"])
        if progress["vocabulary"] != self.vocabulary.size:
            raise ValueError(f"{self._path} was trained on other pictures; remove it, or give another --out")
        tensors = load_file(self._path)
        for prefix, model in (("model.", self.model), ("average.", self.average)):
            model.load_state_dict(
                {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            )
        for i, parameter in enumerate(p for group in self.optimizer.param_groups for p in group["params"]):
            if f"optimizer.{i}.step" not in tensors:  # a lent text tower's
                continue
            state = self.optimizer.state[parameter]
            state["step"] = tensors[f"optimizer.{i}.step"]
            for key in ("exp_avg", "exp_avg_sq"):  # in the parameter's own layout: the fused kernel needs it
                state[key] = torch.empty_like(parameter).copy_(tensors[f"optimizer.{i}.{key}"])
        self.step, self.seconds = progress["step"], progress["seconds"]
        minutes = round(self.seconds / 60, 1)
        log.info("training.resumed", model=self.recipe.name, step=self.step, minutes=minutes)

    # ---- one step

    @property
    def progress(self) -> float:
        """How much of the training is done, 0 to 1."""
        if self.recipe.minutes is not None:
            return min(1.0, self.seconds / (60 * self.recipe.minutes))
        return min(1.0, self.step / self.recipe.steps)

    def _rate(self) -> float:
        if self.progress < WARM_UP:
            return self.recipe.rate * (self.progress + 1e-3) / WARM_UP
        return self.recipe.rate * 0.5 * (1 + math.cos(math.pi * (self.progress - WARM_UP) / (1 - WARM_UP)))

    def _batch(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return pictures, the distinct texts of their captions, and whose is which, by seed and step."""
        order, words = np.random.default_rng((self.recipe.seed, step)), Random(f"{self.recipe.seed} {step}")
        indices = self.pictures.batch(self.recipe.batch, order)
        captions = [self.pictures.caption(int(i), words) for i in indices]
        distinct = {text: i for i, text in enumerate(dict.fromkeys(captions))}
        tokens = self.vocabulary.encode(list(distinct), UNKNOWN_WORDS, words)
        text_of = torch.tensor([distinct[text] for text in captions])
        return self._seen(indices, order), torch.from_numpy(tokens), text_of

    def _seen(self, indices: NDArray[np.int64], order: np.random.Generator) -> Tensor:
        return torch.from_numpy(shifted(self.pictures.pixels(indices), order))

    def _loss(self, pixels: Tensor, tokens: Tensor, text_of: Tensor) -> Tensor:
        images = encode_image(self.model, pixels)
        if self.teacher is None:
            texts = encode_text(self.model, tokens)
            return contrastive(self.model.logit_scale.exp() * images @ texts.T, text_of)
        with torch.no_grad():
            taught_images = encode_image(self.teacher, pixels)
            taught_texts = encode_text(self.teacher, tokens)
            scale = self.teacher.logit_scale.exp()
        logits = scale * images @ taught_texts.T
        imitated = imitation(logits, scale * taught_images @ taught_texts.T)
        return contrastive(logits, text_of) + imitated + nearness(images, taught_images)

    def _advance(self) -> float:
        torch.manual_seed((self.recipe.seed << 32) + self.step)  # patch dropout, the same after a resume
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate()
        if self.recipe.patch_dropout:
            self.model.visual.patch_dropout.prob = self.recipe.patch_dropout if self.progress < WHOLE else 0.0
        with fast():
            loss = self._loss(*self._batch(self.step))
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        with torch.no_grad():
            self.model.logit_scale.clamp_(0, HIGHEST_SCALE)
            keep = min(AVERAGING, (1 + self.step) / (10 + self.step))
            torch._foreach_lerp_(list(self.average.parameters()), list(self.model.parameters()), 1 - keep)
        self.step += 1
        return loss.item()

    def _look_for_teacher(self) -> None:
        """Take up new weights of the teacher, which lends its text tower and teaches the image tower."""
        path = self.recipe.teacher
        if path is None or not path.exists() or path.stat().st_mtime <= self._teacher_time:
            return
        self._teacher_time = path.stat().st_mtime
        weights = load_file(path)
        self.teacher = build("RN-pico", self.vocabulary).to(memory_format=torch.channels_last).eval()
        self.teacher.load_state_dict(weights)
        lent = {key: value for key, value in weights.items() if not key.startswith("visual.")}
        for model in (self.model, self.average):
            model.load_state_dict(lent, strict=False)
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(name not in lent)
        log.info("training.teacher_read", model=self.recipe.name, step=self.step)

    # ---- what is kept of it

    @torch.no_grad()
    def _settle_average(self) -> None:
        """Take the averaged weights' batch statistics anew: averaging weights makes the old ones wrong."""
        norms = [m for m in self.average.modules() if isinstance(m, torch.nn.BatchNorm2d)]
        if not norms:
            return
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain mean over all batches
        self.average.train()
        order = np.random.default_rng((self.recipe.seed, self.step, 1))
        with fast():
            for _ in range(NORMALISING):
                indices = order.choice(
                    len(self.pictures), min(self.recipe.batch, len(self.pictures)), replace=False
                )
                encode_image(self.average, torch.from_numpy(self.pictures.pixels(indices)))

    @torch.no_grad()
    def _retrieval(self, batches: int = 4) -> float:
        """Return the share of held-out pictures whose own caption is the nearest of 256."""
        self.average.eval()
        rng, right, total = Random(0), 0, 0
        for first in range(0, min(len(self.held_out), 256 * batches), 256):
            indices = np.arange(first, min(first + 256, len(self.held_out)))
            captions = [self.held_out.caption(int(i), rng) for i in indices]
            with fast():
                images = encode_image(self.average, torch.from_numpy(self.held_out.pixels(indices)))
                texts = encode_text(self.average, torch.from_numpy(self.vocabulary.encode(captions)))
            nearest = (images @ texts.T).argmax(-1)
            right += sum(captions[i] == captions[j] for i, j in enumerate(nearest.tolist()))
            total += len(indices)
        return right / total

    def keep(self) -> None:
        """Write the state, the averaged weights and the exported file."""
        self._settle_average()
        self._save()
        weights = {k: v.contiguous() for k, v in self.average.state_dict().items()}
        partial = self.folder / "average.partial"
        save_file(weights, partial)
        partial.replace(self.folder / "average.safetensors")
        export(self.recipe.name, weights, self.vocabulary, self.exports)

    def _report(self, losses: list[float], began: float) -> None:
        log.info(
            "training.saved",
            model=self.recipe.name,
            step=self.step,
            progress=round(self.progress, 3),
            loss=round(float(np.mean(losses)), 3),
            retrieval=round(self._retrieval(), 3),
            images_per_s=round(len(losses) * self.recipe.batch / (time.monotonic() - began)),
            minutes=round(self.seconds / 60, 1),
        )

    def run(self) -> None:
        """Train to the end, keeping what it has every ``save_every`` seconds."""
        self.model.train()
        losses: list[float] = []
        began = last = time.monotonic()
        self._look_for_teacher()
        while self.progress < 1:
            if self.step % 50 == 0:
                self._look_for_teacher()
            losses.append(self._advance())
            now = time.monotonic()
            self.seconds, last = self.seconds + now - last, now
            if now - began > self.recipe.save_every:
                self.keep()
                self._report(losses, began)
                losses, began = [], time.monotonic()
        self.keep()
        if losses:
            self._report(losses, began)


def image_tower(path: Path) -> dict[str, Tensor]:
    """Return the weights of the image tower in a file of a whole CLIP, in fp32 and without their prefix.

    Raises:
        ValueError: The file holds none.
    """
    with safe_open(path, "pt") as file:
        names = [name for name in file.keys() if name.startswith("visual.")]  # noqa: SIM118 (no mapping)
        if not names:
            raise ValueError(f"{path} holds no image tower of an open_clip model")
        return {name.removeprefix("visual."): file.get_tensor(name).float() for name in names}


def digest_of(tower: Mapping[str, Tensor]) -> str:
    """Return a short name for these weights; other weights have another."""
    whole = hashlib.sha256()
    for name, weights in sorted(tower.items()):
        whole.update(name.encode())
        whole.update(weights.contiguous().numpy().tobytes())
    return whole.hexdigest()[:12]


class TextTrainer(Trainer):
    """Trains the text tower alone, for the recipe's image tower; see ``Trainer`` for what is given and kept.

    "LiT" (Zhai et al. 2022, arXiv 2111.07991) calls it locked-image tuning. As the image tower does not move,
    its features are taken once, and a step costs a fifth of one that trains both.
    It uses neither teacher nor patch dropout. The features of all pictures are kept in its folder too.

    Raises:
        ValueError: The image tower is another model's, or the state in ``folder`` is of another one.
    """

    def _resume(self) -> None:
        """Take up a state that is there, and lock the image tower in any case."""
        super()._resume()
        tower = self.recipe.image_tower
        if tower is None:
            raise ValueError("a text tower is trained for an image tower, and the recipe names none")
        locked = image_tower(tower)
        for model in (self.model, self.average):
            if self.step and any(not torch.equal(v, locked[k]) for k, v in model.visual.state_dict().items()):
                raise ValueError(
                    f"{self.folder} was trained for another image tower; remove it, or give another --out"
                )
            try:
                model.visual.load_state_dict(locked)
            except RuntimeError:
                raise ValueError(f"the image tower of {tower} is not one of {self.recipe.name}") from None
        self.model.visual.requires_grad_(False)
        self._features = self._looked_at_once(digest_of(locked))

    def _looked_at_once(self, digest: str) -> NDArray[np.float16]:
        """Return the features of all pictures, [views, pictures, width]; they are kept for a resume.

        The file is named by what they were made with: a folder whose state was removed, to begin anew with
        another image tower, must not lend it the features of the first.
        """
        path = self.folder / f"features-{digest}-{len(self.pictures)}-{self.recipe.seed}.npy"
        if not path.exists():
            width = self.model.visual.output_dim
            features = np.empty((VIEWS, len(self.pictures), width), dtype=np.float16)
            for view in range(VIEWS):
                for first in range(0, len(self.pictures), _AT_ONCE):
                    indices = np.arange(first, min(first + _AT_ONCE, len(self.pictures)))
                    moves = np.random.default_rng((self.recipe.seed, view, first))
                    pixels = torch.from_numpy(shifted(self.pictures.pixels(indices), moves))
                    with torch.inference_mode(), fast(learning=False):
                        features[view, indices] = encode_image(self.average, pixels).numpy()
                log.info("pictures.encoded", view=view + 1, of=VIEWS)
            partial = path.with_suffix(".partial")
            with partial.open("wb") as file:
                np.save(file, features)
            partial.replace(path)
        features_on_disk: NDArray[np.float16] = np.load(path)
        return features_on_disk

    def _seen(self, indices: NDArray[np.int64], order: np.random.Generator) -> Tensor:
        views = order.integers(0, VIEWS, len(indices))
        return torch.from_numpy(self._features[views, indices]).float()

    def _loss(self, pixels: Tensor, tokens: Tensor, text_of: Tensor) -> Tensor:
        texts = encode_text(self.model, tokens)
        return contrastive(self.model.logit_scale.exp() * pixels @ texts.T, text_of)

"""CoOp: learn vectors before the class name, by gradients through the text tower.

K. Zhou, J. Yang, C. C. Loy, Z. Liu: Learning to Prompt for Vision-Language Models, IJCV 2022, with the
details of its public code. Shapes: M vectors, C classes, D width of the tower, E embedding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ..clip.text_encoder import TextEncoder
from ..clip.tower import Pass, Text, Tower, encode, pack
from ..clip.zero_shot import correct, decide
from ..errors import ModelError
from .problem import Fitted, Problem
from .references import RANDOM, CoopOptions

NAME_ALONE = "{}."
"""The end of a text, after the context, as in CoOp: the class name and a full stop."""
MAX_ROWS = 65536


class SoftPrompt:
    """Texts "start, M vectors, class name, full stop, end" for every class.

    The vectors extend the token embeddings, so that a beginning shared by all classes is computed once.
    """

    def __init__(self, encoder: TextEncoder, context: int) -> None:
        self.tower = tower_of(encoder)
        names = [text.tokens for text in encoder.texts(NAME_ALONE)]
        longest = max(map(len, names)) + context
        if longest > len(self.tower.positions):
            raise ModelError(
                f"{context} learned vectors make a class text of {longest} tokens, "
                f"and this model reads {len(self.tower.positions)}; learn fewer"
            )
        used = sorted({token for row in names for token in row})
        self._used = self.tower.tokens[torch.tensor(used, device=self.tower.device)]  # [U, D]
        row_by_token = {token: row for row, token in enumerate(used)}  # in the table of ``features``
        texts = []
        for row in names:
            start, *following = (row_by_token[token] for token in row)
            texts.append(Text((start, *range(len(used), len(used) + context), *following), 1 + context))
        self._passes: list[Pass] = list(pack(texts, max_rows=MAX_ROWS, quantum=1, device=self.tower.device))
        order = [index for batch in self._passes for index in batch.order.tolist()]
        self._back = torch.argsort(torch.tensor(order)).to(self.tower.device)

    def features(self, context: Tensor) -> Tensor:
        """Return normalised class vectors [C, E] under a context [M, D]."""
        table = torch.cat([self._used, context])
        tower = replace(self.tower, tokens=table)
        return torch.cat([encode(tower, batch, 1) for batch in self._passes])[self._back]


def tower_of(encoder: TextEncoder) -> Tower:
    """Return the text tower, if vectors can be put before a class name in it."""
    if encoder.tower is None:
        raise ModelError(f"CoOp cannot learn through this text tower ({encoder.path})")
    starts = {text.tokens[0] for text in encoder.texts(NAME_ALONE)}
    if len(starts) != 1:
        raise ModelError("CoOp cannot learn through this text tower: its texts have no common first token")
    return encoder.tower


def embedded(encoder: TextEncoder, words: str) -> Tensor:
    """Return the token embeddings [M, D] of words before a class name."""
    tower = tower_of(encoder)
    if (rejection := encoder.check(f"{words} {NAME_ALONE}")) is not None:
        raise ModelError(f"the context cannot begin as {words!r}: {rejection.message}")
    alone = [text.tokens for text in encoder.texts(NAME_ALONE)]
    behind = [text.tokens for text in encoder.texts(f"{words} {NAME_ALONE}")]
    count = len(behind[0]) - len(alone[0])
    tokens = behind[0][1 : 1 + count]
    # The words must have the same tokens before every name.
    if not tokens or behind != [(name[0], *tokens, *name[1:]) for name in alone]:
        raise ModelError(f"the context cannot begin as {words!r}: it has no tokens of its own before a name")
    return tower.tokens[torch.tensor(tokens, device=tower.device)].clone()


BATCH = 32
MOMENTUM, WEIGHT_DECAY = 0.9, 5e-4
WARM_UP_LR = 1e-5
SPREAD = 0.02
WORDS = "a photo of a"
LEARNING_RATES = (2e-3, 2e-2)
"""Of the grid: the published one, and ten times it."""
LONGEST = 200


def epochs_for(shots: int) -> int:
    """Return CoOp's number of epochs: 50 for one shot, 100 for two to four, 200 for more."""
    return 50 if shots == 1 else 100 if shots <= 4 else 200


def learning_rates(lr: float, epochs: int) -> list[float]:
    """Return the learning rate of each epoch: one at 1e-5, then a cosine from ``lr`` towards 0."""
    cosine = [lr * (1 + math.cos(math.pi * epoch / epochs)) / 2 for epoch in range(epochs - 1)]
    return [WARM_UP_LR, *cosine]


@dataclass(frozen=True, slots=True)
class Learned:
    """A context after training."""

    vectors: Tensor  # [M, D]
    weights: Tensor  # its classifier, [C, E], on the CPU
    losses: tuple[float, ...]
    options: CoopOptions


def fit(problem: Problem, options: CoopOptions, *, seed: int) -> Fitted:
    """Learn a context on the shots; see ``Fit``."""
    best = tune(problem, seed=seed) if options.tuned else learn(problem, options, seed=seed)
    chosen = {
        "context": len(best.vectors),
        "init": best.options.init,
        "lr": best.options.lr,
        "epochs": len(best.losses),
    }
    return Fitted(
        decide=lambda split: decide(split, best.weights), chosen=chosen, trained=best.vectors.numel()
    )


def tune(problem: Problem, *, seed: int) -> Learned:
    """Return the best of the grid on the validation images; ties are broken by the loss."""
    val = problem.val

    def rank(learned: Learned) -> tuple[int, float]:
        logits = problem.logit_scale * val.features @ learned.weights.T
        loss = functional.cross_entropy(logits, val.labels).item()
        return correct(decide(val, learned.weights), val), -loss

    trials = list(grid(problem.shots))
    problem.report(f"coop-tuned: a grid of {len(trials)} trainings")
    return max((learn(problem, trial, seed=seed) for trial in trials), key=rank)


def grid(shots: int) -> Iterator[CoopOptions]:
    """Yield the combinations of learning rate, start and epochs; the published one is first."""
    starts: Sequence[dict[str, Any]] = ({"context": 16}, {"context": 4}, {"init": WORDS})
    for epochs, begin, lr in product(dict.fromkeys((epochs_for(shots), LONGEST)), starts, LEARNING_RATES):
        yield CoopOptions(lr=lr, epochs=epochs, **begin)


def check_room(encoder: TextEncoder, options: CoopOptions) -> None:
    """Check that the model reads texts with so many vectors before the class name."""
    for trial in grid(1) if options.tuned else (options,):
        count = trial.context if trial.init == RANDOM else len(embedded(encoder, trial.init))
        SoftPrompt(encoder, count)


def learn(problem: Problem, options: CoopOptions, *, seed: int) -> Learned:
    """Train a context; return the last epoch's, as published."""
    generator = torch.Generator().manual_seed(seed)
    prompt, context = start(problem, options, generator)
    context.requires_grad_()
    optimizer = torch.optim.SGD([context], lr=WARM_UP_LR, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
    versions = problem.versions
    features = (problem.train.features if versions is None else versions).to(
        prompt.tower.device, torch.float32
    )
    labels = problem.train.labels.to(prompt.tower.device)
    epochs, losses = options.epochs or epochs_for(problem.shots), []
    problem.report(f"coop: {context.numel():,} numbers to learn, {epochs} epochs, {len(labels)} images")
    for lr in learning_rates(options.lr, epochs):
        optimizer.param_groups[0]["lr"] = lr
        batch_losses = []
        for batch in batches(len(labels), generator):
            # The images are features already: gradients flow through the text tower alone.
            images = features[batch]
            if versions is not None:
                images = images[
                    torch.arange(len(batch)),
                    torch.randint(versions.shape[1], (len(batch),), generator=generator),
                ]
            logits = problem.logit_scale * images @ prompt.features(context).T  # [B, C]
            loss = functional.cross_entropy(logits, labels[batch])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            batch_losses.append(loss.item())
        losses.append(sum(batch_losses) / len(batch_losses))
    vectors = context.detach()
    with torch.no_grad():
        return Learned(vectors, prompt.features(vectors).cpu(), tuple(losses), options)


def start(problem: Problem, options: CoopOptions, generator: torch.Generator) -> tuple[SoftPrompt, Tensor]:
    """Return the texts and the initial vectors: noise, or the embeddings of words."""
    if options.init == RANDOM:
        prompt = SoftPrompt(problem.encoder, options.context)
        noise = torch.randn(options.context, prompt.tower.width, generator=generator)
        return prompt, (SPREAD * noise).to(prompt.tower.device)
    words = embedded(problem.encoder, options.init)
    return SoftPrompt(problem.encoder, len(words)), words


def batches(images: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield the images of each step of an epoch, shuffled; an incomplete batch is dropped."""
    order = torch.randperm(images, generator=generator)
    for number in range(max(1, images // BATCH)):
        yield order[number * BATCH : (number + 1) * BATCH]

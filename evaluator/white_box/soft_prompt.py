"""Class texts that begin with vectors to learn, through the model's own text tower.

M vectors, C classes, D width of the tower, E embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..clip.texts.forward import encode
from ..clip.texts.packing import Pass, Text, pack
from ..clip.texts.text_encoder import TextEncoder
from ..clip.texts.tower import Tower
from ..errors import ModelError

NAME_ALONE = "{}."
"""What follows the context: the class name and a full stop, as CoOp has it."""
MAX_ROWS = 65536


class SoftPrompt:
    """Texts "start, M vectors, class name, full stop, end" for every class.

    The vectors stand in the table of token embeddings behind those of the tokens in use, so that they go the
    way of any token: what precedes the class name is computed once where all classes share it.

    Args:
        encoder: Of the model and the class names.
        context: M.
        class_specific: Whether each class has vectors of its own.

    Raises:
        ModelError: The text tower or the tokenizer is not of the kind that this can be done with.
    """

    def __init__(self, encoder: TextEncoder, context: int, *, class_specific: bool = False) -> None:
        self._tower = tower_of(encoder)
        names = [text.tokens for text in encoder.texts(NAME_ALONE)]
        self.shape = (len(names), context) if class_specific else (context,)
        longest = max(map(len, names)) + context
        if longest > len(self._tower.positions):
            raise ModelError(
                f"{context} learned vectors make a class text of {longest} tokens, "
                f"and this model reads {len(self._tower.positions)}; learn fewer"
            )
        used = sorted({token for row in names for token in row})
        self._used = self._tower.tokens[torch.tensor(used, device=self._tower.device)]  # [U, D]
        place = {token: number for number, token in enumerate(used)}
        texts = []
        for label, row in enumerate(names):
            first = len(used) + (label * context if class_specific else 0)
            start, *rest = (place[token] for token in row)
            vectors = range(first, first + context)
            texts.append(Text((start, *vectors, *rest), 1 if class_specific else 1 + context))
        self._passes: list[Pass] = list(pack(texts, max_rows=MAX_ROWS, quantum=1, device=self._tower.device))
        order = [index for batch in self._passes for index in batch.order.tolist()]
        self._back = torch.argsort(torch.tensor(order)).to(self._tower.device)

    @property
    def width(self) -> int:
        """D."""
        return self._tower.width

    @property
    def device(self) -> torch.device:
        """Where the tower lies."""
        return self._tower.device

    def features(self, context: Tensor) -> Tensor:
        """Return normalised class vectors [C, E] under a context [M, D], or [C, M, D]."""
        table = torch.cat([self._used, context.reshape(-1, self.width)])
        tower = replace(self._tower, tokens=table)
        return torch.cat([encode(tower, batch, 1) for batch in self._passes])[self._back]


def tower_of(encoder: TextEncoder) -> Tower:
    """Return the text tower, as far as vectors can be put before a class name in it.

    Raises:
        ModelError: They cannot.
    """
    if encoder.tower is None:
        raise ModelError(f"CoOp cannot learn through this text tower ({encoder.path})")
    starts = {text.tokens[0] for text in encoder.texts(NAME_ALONE)}
    if len(starts) != 1:
        raise ModelError("CoOp cannot learn through this text tower: its texts have no common first token")
    return encoder.tower


def embedded(encoder: TextEncoder, words: str) -> Tensor:
    """Return the token embeddings [M, D] of words that stand before a class name.

    Raises:
        ModelError: The model cannot read so many, or they are no tokens apart from the class name's.
    """
    tower = tower_of(encoder)
    if (rejection := encoder.check(f"{words} {NAME_ALONE}")) is not None:
        raise ModelError(f"the context cannot begin as {words!r}: {rejection.message}")
    alone = [text.tokens for text in encoder.texts(NAME_ALONE)]
    behind = [text.tokens for text in encoder.texts(f"{words} {NAME_ALONE}")]
    count = len(behind[0]) - len(alone[0])
    tokens = behind[0][1 : 1 + count]
    if not _are_apart(tokens, alone, behind):
        raise ModelError(f"the context cannot begin as {words!r}: it has no tokens of its own before a name")
    return tower.tokens[torch.tensor(tokens, device=tower.device)].clone()


def _are_apart(
    tokens: Sequence[int], alone: Sequence[Sequence[int]], behind: Sequence[Sequence[int]]
) -> bool:
    expected = [(name[0], *tokens, *name[1:]) for name in alone]
    return bool(tokens) and expected == [tuple(row) for row in behind]

"""Pack texts into passes: cut, sorted, without padding, shared beginnings stored once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Text:
    """One class text, cut after its end-of-text token."""

    tokens: tuple[int, ...]
    shared: int  # leading tokens that all classes of its template share; less than all


@dataclass(frozen=True, slots=True)
class ChainGroup:
    """Chains of equal shape: n chains of Q new tokens, each after P tokens stored elsewhere."""

    start: int  # row of the first new token; the n x Q rows are consecutive
    count: int  # n
    length: int  # Q
    keys: Tensor  # rows that each chain attends to, [n, P + Q]


@dataclass(frozen=True, slots=True)
class Pass:
    """One batch for the tower: M token rows, of which the last few may be padding."""

    tokens: Tensor  # [M]
    positions: Tensor  # in their texts, [M]
    groups: tuple[ChainGroup, ...]  # covering every row but the padding
    # chains that end in an end-of-text token; their last rows are the answers
    answers: tuple[ChainGroup, ...]
    order: Ints  # for each chain of ``answers``, the index of its text in the packed list


def pack(texts: Sequence[Text], *, max_rows: int, quantum: int, device: torch.device) -> Iterator[Pass]:
    """Yield passes of at most ``max_rows`` rows, or one longer text, padded to a multiple of ``quantum``."""

    def sort_key(index: int) -> tuple[int, tuple[int, ...], int]:
        text = texts[index]
        return text.shared, text.tokens[: text.shared], len(text.tokens)

    # Texts with the same beginning come together, so that a pass stores it once.
    order = sorted(range(len(texts)), key=sort_key)
    for chosen in _fill(texts, order, max_rows):
        yield _build(texts, chosen, quantum, device)


def _fill(texts: Sequence[Text], order: Iterable[int], max_rows: int) -> Iterator[list[int]]:
    chosen: list[int] = []
    prefixes: set[tuple[int, ...]] = set()
    rows = 0
    for index in order:
        text = texts[index]
        prefix = text.tokens[: text.shared]
        more = len(text.tokens) - (text.shared if prefix in prefixes else 0)
        if chosen and rows + more > max_rows:
            yield chosen
            chosen, prefixes, rows = [], set(), 0
            more = len(text.tokens)
        chosen.append(index)
        prefixes.add(prefix)
        rows += more
    if chosen:
        yield chosen


def _build(texts: Sequence[Text], chosen: Sequence[int], quantum: int, device: torch.device) -> Pass:
    # Chains of equal shape make a group: first the shared beginnings, then what follows them.
    heads = sorted({texts[i].tokens[: texts[i].shared] for i in chosen if texts[i].shared}, key=len)
    tails: dict[tuple[int, int], list[int]] = {}
    for index in chosen:
        text = texts[index]
        tails.setdefault((text.shared, len(text.tokens) - text.shared), []).append(index)

    layout = _Layout(device)
    for length in sorted({len(head) for head in heads}):
        layout.add_heads([head for head in heads if len(head) == length])
    for shape in sorted(tails):
        layout.add_tails([texts[i] for i in tails[shape]], shape[0])
    order = [i for shape in sorted(tails) for i in tails[shape]]
    return layout.finish(np.asarray(order, dtype=np.int64), quantum)


class _Layout:
    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._tokens: list[Ints] = []
        self._positions: list[Ints] = []
        self._groups: list[ChainGroup] = []
        self._answers: list[ChainGroup] = []
        self._heads: dict[tuple[int, ...], int] = {}
        self._rows = 0

    def add_heads(self, heads: Sequence[tuple[int, ...]]) -> None:
        """Add shared beginnings of equal length."""
        tokens = np.asarray(heads, dtype=np.int64)  # [n, P]
        for row, head in enumerate(heads):
            self._heads[head] = self._rows + row * tokens.shape[1]
        self._groups.append(self._group(tokens, np.empty((len(heads), 0), np.int64), 0))

    def add_tails(self, texts: Sequence[Text], shared: int) -> None:
        """Add ends of equal length after shared beginnings."""
        tokens = np.asarray([text.tokens[shared:] for text in texts], dtype=np.int64)  # [n, Q]
        starts = [self._heads[text.tokens[:shared]] if shared else 0 for text in texts]
        before = np.asarray(starts, dtype=np.int64)[:, None] + np.arange(shared)  # [n, P]
        group = self._group(tokens, before, shared)
        self._groups.append(group)
        self._answers.append(group)

    def _group(self, tokens: Ints, before: Ints, shared: int) -> ChainGroup:
        count, length = tokens.shape
        own = self._rows + np.arange(count * length).reshape(count, length)
        group = ChainGroup(self._rows, count, length, self._tensor(np.concatenate([before, own], axis=1)))
        self._tokens.append(tokens.reshape(-1))
        self._positions.append(np.tile(np.arange(shared, shared + length), count))
        self._rows += count * length
        return group

    def finish(self, order: Ints, quantum: int) -> Pass:
        padding = np.zeros(-self._rows % quantum, dtype=np.int64)
        return Pass(
            tokens=self._tensor(np.concatenate([*self._tokens, padding])),
            positions=self._tensor(np.concatenate([*self._positions, padding])),
            groups=tuple(self._groups),
            answers=tuple(self._answers),
            order=order,
        )

    def _tensor(self, array: Ints) -> Tensor:
        return torch.from_numpy(array).to(self._device, non_blocking=True)

"""The small CLIPs: open_clip configs, a compact vocabulary to train with, and the file that is shipped.

A token embedding of the standard 49,408 rows would take more time to update than the whole image tower, and
all but a few thousand rows are never seen. So training uses one row for each token that a caption can hold,
and ``standard_state`` spreads those rows over the standard table at the end.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from open_clip.model import CLIP
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from promptclimb.evaluator.pico.models import CHECKPOINTS, NAMES

STANDARD_ROWS = 49408
START, END = 49406, 49407  # ids of the standard tokenizer
LONGEST = 32  # tokens of a training caption, ends included
UNKNOWN_ROWS = 256
MEAN, STD = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD


def config_of(name: str) -> dict[str, Any]:
    """Return the open_clip config of a bundled model, as a dictionary.

    Raises:
        ValueError: There is no bundled model of that name.
    """
    if name not in NAMES:
        raise ValueError(f"no bundled model is called {name!r}; there are {', '.join(NAMES)}")
    config: dict[str, Any] = json.loads((CHECKPOINTS / f"{name}.json").read_text(encoding="utf-8"))
    return config


@lru_cache(maxsize=65536)
def _word_ids(word: str) -> tuple[int, ...]:
    return tuple(open_clip.tokenizer._tokenizer.encode(word))


def token_ids(text: str) -> list[int]:
    """Return standard token ids of a text, without the start and end marks.

    The tokenizer never joins what a space separates, so words can be looked up one by one and remembered.
    """
    return [token for word in text.split() for token in _word_ids(word)]


class Vocabulary:
    """Which standard token each compact row stands for.

    Rows: 0 is padding, then ``UNKNOWN_ROWS`` rows for tokens that no caption holds, then the known tokens in
    ascending order, then the start and the end mark. The end mark has the highest row, as open_clip's pooling
    expects.
    """

    def __init__(self, known: Iterable[int]) -> None:
        self.known = tuple(sorted(set(known) - {START, END}))
        self._rows = {token: 1 + UNKNOWN_ROWS + i for i, token in enumerate(self.known)}
        self.size = 1 + UNKNOWN_ROWS + len(self.known) + 2

    def row(self, token: int) -> int:
        """Return the compact row of a standard token; an unknown row for one that was never seen."""
        if token >= START:
            return self.size - 2 + (token - START)
        return self._rows.get(token, 1 + token % UNKNOWN_ROWS)

    def encode(
        self, texts: Sequence[str], noise: float = 0.0, rng: Random | None = None
    ) -> NDArray[np.int64]:
        """Return compact rows of some texts, [texts, longest of them], padded with 0 and cut at ``LONGEST``.

        Args:
            texts: Captions.
            noise: The probability that a caption gets one or two unknown words at random places, from which a
                model learns to read on past words that it does not know.
            rng: Source of that noise; needed where ``noise`` is above 0.
        """
        rows = [[self.row(token) for token in token_ids(text)] for text in texts]
        if noise and rng is not None:
            for row in rows:
                if rng.random() < noise:
                    for _ in range(rng.randint(1, 2)):
                        row.insert(rng.randint(0, len(row)), rng.randint(1, UNKNOWN_ROWS))
        rows = [row[: LONGEST - 2] for row in rows]
        table = np.zeros((len(rows), 2 + max(map(len, rows), default=0)), dtype=np.int64)
        for i, row in enumerate(rows):
            table[i, : len(row) + 2] = [self.size - 2, *row, self.size - 1]
        return table


def build(name: str, vocabulary: Vocabulary | None = None, patch_dropout: float = 0.0) -> CLIP:
    """Build a bundled architecture with fresh weights, at standard size or with a compact vocabulary.

    Args:
        name: A bundled model.
        vocabulary: The compact vocabulary; None for the standard one.
        patch_dropout: The fraction of patches that a ViT drops while training.
    """
    config = config_of(name)
    if vocabulary is not None:
        config["text_cfg"]["vocab_size"] = vocabulary.size
    if patch_dropout and not isinstance(config["vision_cfg"]["layers"], list):
        config["vision_cfg"]["patch_dropout"] = patch_dropout
    return CLIP(**config)


@contextmanager
def fast(*, learning: bool = True) -> Iterator[None]:
    """Compute in bf16 where the processor has it; fused attention is faster only where nothing is learned."""
    bf16 = bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    attention = [SDPBackend.MATH] if learning else [SDPBackend.FLASH_ATTENTION, SDPBackend.MATH]
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16), sdpa_kernel(attention):
        yield


def encode_text(model: CLIP, tokens: Tensor) -> Tensor:
    """Return unit text features [texts, width] of padded tokens [texts, length], computed at that length."""
    length = tokens.shape[1]
    x = model.token_embedding(tokens) + model.positional_embedding[:length]
    x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask[:length, :length]))
    x = x[torch.arange(len(x)), tokens.argmax(dim=-1)] @ model.text_projection
    return functional.normalize(x.float(), dim=-1)


def encode_image(model: CLIP, pixels: Tensor) -> Tensor:
    """Return unit image features [images, width] of uint8 pictures [images, 64, 64, 3]."""
    mean, std = torch.tensor(MEAN) * 255, torch.tensor(STD) * 255
    x = ((pixels - mean) / std).permute(0, 3, 1, 2)  # already in channels-last order
    return functional.normalize(model.visual(x).float(), dim=-1)


def standard_state(state: Mapping[str, Tensor], vocabulary: Vocabulary) -> dict[str, Tensor]:
    """Return a compact model's weights as the standard model's, in fp16.

    A token that was never seen takes one of the unknown rows; a position that was never reached takes the
    last one that was.
    """
    rows = torch.tensor([vocabulary.row(token) for token in range(STANDARD_ROWS)])
    rows[0] = 0  # padding
    full = dict(state)
    full["token_embedding.weight"] = state["token_embedding.weight"][rows]
    places = torch.arange(len(state["positional_embedding"])).clamp(max=LONGEST - 1)
    full["positional_embedding"] = state["positional_embedding"][places]
    return {
        key: (value.half() if value.is_floating_point() else value).contiguous()
        for key, value in full.items()
    }


def optimizer_of(model: CLIP, rate: float, decay: float) -> torch.optim.AdamW:
    """Return an AdamW that lets only matrices decay, the token table not among them.

    Args:
        model: What it moves.
        rate: Learning rate to begin with.
        decay: Weight decay of the matrices.
    """
    named = list(model.named_parameters())
    decays = [p for name, p in named if p.ndim > 1 and "embedding" not in name]
    others = [p for name, p in named if p.ndim <= 1 or "embedding" in name]
    groups = [{"params": decays, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), fused=True)


def export(name: str, state: Mapping[str, Tensor], vocabulary: Vocabulary, folder: Path) -> Path:
    """Write NAME.safetensors and NAME.json, which plain open_clip loads, and return the former."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.safetensors"
    partial = path.with_suffix(".partial")
    save_file(standard_state(state, vocabulary), partial, metadata={"format": "pt"})
    partial.chmod(0o644)  # safetensors makes it private
    partial.replace(path)
    (folder / f"{name}.json").write_text(json.dumps(config_of(name), indent=4) + "\n", encoding="utf-8")
    return path

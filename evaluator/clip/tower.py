"""Read a causal text tower out of an open_clip model as plain tensors, and apply it to packed texts.

Texts are packed into passes: cut, sorted, without padding, shared beginnings stored once. The functions on
tensors are pure and differentiable. Shapes: M rows (tokens of all chains of a pass), D width, H heads, d =
D / H, E embedding; a group has n chains of Q new tokens that attend to S = P + Q tokens.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

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
    """Lay out texts in one pass: chains of equal shape make a group."""
    tokens, positions = list[Ints](), list[Ints]()
    groups, answers = list[ChainGroup](), list[ChainGroup]()
    row_by_head: dict[tuple[int, ...], int] = {}
    rows = 0

    def tensor(array: Ints) -> Tensor:
        return torch.from_numpy(array).to(device, non_blocking=True)

    def add(new: Sequence[tuple[int, ...]], heads: Sequence[tuple[int, ...]], shared: int) -> ChainGroup:
        """Add chains of equal length, each after a head of ``shared`` tokens."""
        nonlocal rows
        count, length = len(new), len(new[0])
        own = rows + np.arange(count * length).reshape(count, length)
        starts = np.asarray([row_by_head.get(head, 0) for head in heads], dtype=np.int64)[:, None]
        before = starts + np.arange(shared)  # [n, P]
        group = ChainGroup(rows, count, length, tensor(np.concatenate([before, own], axis=1)))
        tokens.append(np.asarray(new, dtype=np.int64).reshape(-1))
        positions.append(np.tile(np.arange(shared, shared + length), count))
        groups.append(group)
        rows += count * length
        return group

    # First the shared beginnings, then what follows them.
    heads = sorted({texts[i].tokens[: texts[i].shared] for i in chosen if texts[i].shared}, key=len)
    for length, of_length in groupby(heads, key=len):
        alike = list(of_length)
        start = add(alike, [()] * len(alike), 0).start
        row_by_head |= {head: start + length * index for index, head in enumerate(alike)}
    tails: dict[tuple[int, int], list[int]] = {}
    for index in chosen:
        text = texts[index]
        tails.setdefault((text.shared, len(text.tokens) - text.shared), []).append(index)
    for (shared, _length), indices in sorted(tails.items()):
        split = [(texts[i].tokens[:shared], texts[i].tokens[shared:]) for i in indices]
        answers.append(add([tail for _, tail in split], [head for head, _ in split], shared))
    order = [i for shape in sorted(tails) for i in tails[shape]]
    padding = np.zeros(-rows % quantum, dtype=np.int64)
    return Pass(
        tokens=tensor(np.concatenate([*tokens, padding])),
        positions=tensor(np.concatenate([*positions, padding])),
        groups=tuple(groups),
        answers=tuple(answers),
        order=np.asarray(order, dtype=np.int64),
    )


def linear(x: Tensor, weight: Tensor, bias: Tensor | None, *, gelu: bool = False) -> Tensor:
    """Return ``x @ weight.T + bias``, by oneDNN if known to be fast, optionally with exact GELU."""
    if x.device.type == "cpu" and not x.requires_grad and has_onednn(x.dtype):
        product: Any = torch.ops.mkldnn._linear_pointwise
        products: Tensor = product(x, weight, bias, "gelu" if gelu else "none", [], "none" if gelu else "")
        return products
    x = functional.linear(x, weight, bias)
    return functional.gelu(x) if gelu else x


@cache
def has_onednn(dtype: torch.dtype) -> bool:
    """Return whether to send products of this type to oneDNN directly, as torch does in compiled code.

    torch gives float32 to MKL, which is at half speed on non-Intel processors; without AVX-512, oneDNN may
    lack kernels.
    """
    listed = Path("/proc/cpuinfo")
    is_intels = "Intel" in (listed.read_text("utf-8") if listed.exists() else platform.processor())
    if torch.backends.cpu.get_cpu_capability() != "AVX512" or (dtype == torch.float32 and is_intels):
        return False
    try:
        product: Any = torch.ops.mkldnn._linear_pointwise
        x = torch.ones(16, 16, dtype=dtype)
        return torch.equal(product(x, x, None, "none", [], ""), functional.linear(x, x))
    except (AttributeError, RuntimeError):
        return False


Activation = Callable[[Tensor], Tensor]


class NotCausalError(Exception):
    """This text tower cannot take the fast path; the message says why."""


@dataclass(frozen=True, slots=True)
class Norm:
    """A layer norm: weight [D], bias [D], eps."""

    weight: Tensor
    bias: Tensor
    eps: float

    def __call__(self, x: Tensor) -> Tensor:
        """[..., D] -> [..., D]."""
        return functional.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


@dataclass(frozen=True, slots=True)
class Affine:
    """A linear layer: weight [out, in], bias [out] or None."""

    weight: Tensor
    bias: Tensor | None

    def __call__(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., out], computed in the type of the weight."""
        return linear(x.to(self.weight.dtype), self.weight, self.bias)

    def gelu(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., out], with the exact GELU at the end of it."""
        return linear(x.to(self.weight.dtype), self.weight, self.bias, gelu=True)

    def cast(self, dtype: torch.dtype) -> Affine:
        """Return the layer in another type."""
        return Affine(self.weight.to(dtype), None if self.bias is None else self.bias.to(dtype))


_LAYERS = ("qkv", "out", "up", "down")
"""The matrix products of a block."""


@dataclass(frozen=True, slots=True)
class Block:
    """One residual block: attention over D = heads x head_dim, then the MLP; scales [D] or None."""

    heads: int
    norm1: Norm
    qkv: Affine
    out: Affine
    scale1: Tensor | None
    norm2: Norm
    up: Affine
    act: Activation
    down: Affine
    scale2: Tensor | None


@dataclass(frozen=True, slots=True)
class Tower:
    """A causal text tower that is read at its end-of-text token."""

    tokens: Tensor  # [V, D]
    positions: Tensor  # [L, D]
    blocks: tuple[Block, ...]
    norm: Norm
    projection: Affine | None  # [D] -> [E]

    @property
    def width(self) -> int:
        """D."""
        return self.tokens.shape[1]

    @property
    def mlp_width(self) -> int:
        """Width of the MLP's hidden layer."""
        return self.blocks[0].up.weight.shape[0]

    @property
    def device(self) -> torch.device:
        return self.tokens.device

    def cast(self, dtype: torch.dtype) -> Tower:
        """Return the tower with the blocks' matrix products in ``dtype``."""
        blocks = [
            replace(block, **{name: getattr(block, name).cast(dtype) for name in _LAYERS})
            for block in self.blocks
        ]
        return replace(self, blocks=tuple(blocks))


def read_tower(model: nn.Module) -> Tower:
    """Return the text tower of an open_clip ``CLIP`` or ``CustomTextCLIP``, if the fast path is exact for it.

    Attention must be causal and the answer read at one token, the first end-of-text: then nothing after that
    token matters, and what precedes the class name is the same for every class.

    Raises:
        NotCausalError: That does not hold, or a part is of an unknown kind.
    """
    text: Any = getattr(model, "text", model)
    _need(isinstance(getattr(text, "transformer", None), nn.Module), "its text tower has no transformer")
    pool = getattr(text, "pool_type", getattr(text, "text_pool_type", None))
    _need(pool in ("argmax", "eos"), f"its text is pooled by {pool!r}, not at the end of text")
    _need(getattr(text, "cls_emb", None) is None, "its text tower appends a class token")
    _need(not getattr(text, "use_pad_mask", False), "its text tower masks padding")
    mask: Any = getattr(text, "attn_mask", None)
    causal = isinstance(mask, Tensor) and mask.ndim == 2 and mask.shape[0] == mask.shape[1]
    causal = causal and torch.equal(mask, torch.full_like(mask, -math.inf).triu_(1))
    _need(causal, "its text attention is not causal")
    blocks: Any = getattr(text.transformer, "resblocks", None)
    _need(isinstance(blocks, nn.ModuleList) and len(blocks) > 0, "its transformer has no residual blocks")
    embedding: Any = getattr(text, "token_embedding", None)
    _need(type(embedding) is nn.Embedding, "its token embedding is not a table")
    try:
        return Tower(
            tokens=embedding.weight.detach(),
            positions=text.positional_embedding.detach(),
            blocks=tuple(_read_block(block) for block in blocks),
            norm=_read_norm(text.ln_final),
            projection=_read_projection(text.text_projection),
        )
    except AttributeError as error:
        raise NotCausalError(f"its text tower lacks a part: {error}") from error


def _need(holds: bool, reason: str) -> None:
    if not holds:
        raise NotCausalError(reason)


def _read_block(block: Any) -> Block:
    from open_clip.transformer import QuickGELU

    attention = block.attn
    _need(type(attention) is nn.MultiheadAttention, f"its attention is a {type(attention).__name__}")
    _need(attention.in_proj_weight is not None and attention.bias_k is None, "its attention has extra parts")
    _need(not hasattr(block, "ln_1_kv") and not hasattr(block, "ln_attn"), "its blocks have extra norms")
    names = [name for name, _ in block.mlp.named_children()]
    _need(names == ["c_fc", "gelu", "c_proj"], f"its MLP is made of {', '.join(names)}")
    return Block(
        heads=attention.num_heads,
        norm1=_read_norm(block.ln_1),
        qkv=Affine(attention.in_proj_weight.detach(), _detached(attention.in_proj_bias)),
        out=_read_affine(attention.out_proj),
        scale1=_read_scale(block.ls_1),
        norm2=_read_norm(block.ln_2),
        up=_read_affine(block.mlp.c_fc),
        act=quick_gelu if type(block.mlp.gelu) is QuickGELU else block.mlp.gelu,
        down=_read_affine(block.mlp.c_proj),
        scale2=_read_scale(block.ls_2),
    )


def quick_gelu(x: Tensor) -> Tensor:
    """Return open_clip's QuickGELU to the last bit, with one tensor less."""
    return x * torch.sigmoid(1.702 * x) if x.requires_grad else (1.702 * x).sigmoid_().mul_(x)


def _read_norm(norm: Any) -> Norm:
    _need(isinstance(norm, nn.LayerNorm) and norm.weight is not None, f"a norm is a {type(norm).__name__}")
    bias = torch.zeros_like(norm.weight) if norm.bias is None else norm.bias
    return Norm(norm.weight.detach(), bias.detach(), norm.eps)


def _read_affine(layer: Any) -> Affine:
    _need(isinstance(layer, nn.Linear), f"a layer is a {type(layer).__name__}")
    return Affine(layer.weight.detach(), _detached(layer.bias))


def _read_scale(scale: Any) -> Tensor | None:
    if isinstance(scale, nn.Identity):
        return None
    gamma: Tensor = scale.gamma
    return gamma.detach()


def _read_projection(projection: Any) -> Affine | None:
    if projection is None:
        return None
    if isinstance(projection, nn.Linear):
        return _read_affine(projection)
    return Affine(projection.detach().T.contiguous(), None)


def _detached(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.detach()


def encode(tower: Tower, batch: Pass, quantum: int) -> Tensor:
    """Return normalised embeddings of a pass's texts, in the order of its answers: [n, E], float32."""
    x = tower.tokens[batch.tokens] + tower.positions[batch.positions]  # [M, D]
    masks = [hidden(group, x.device) for group in batch.groups]
    for block in tower.blocks[:-1]:
        x = add(x, attend(block, x, batch.groups, masks), block.scale1)
        x = add(x, mlp(block, x), block.scale2)
    x = finish_last(tower.blocks[-1], x, batch.answers, quantum)  # [n padded, D]
    x = tower.norm(x)
    x = x if tower.projection is None else tower.projection(x)  # [n padded, E]
    return functional.normalize(x.float(), dim=-1)[: len(batch.order)]


def attend(block: Block, x: Tensor, groups: tuple[ChainGroup, ...], masks: list[Tensor | None]) -> Tensor:
    """Compute causal self-attention of every chain: [M, D] -> [M, D]; padding rows get that of zero."""
    qkv = block.qkv(block.norm1(x))  # [M, 3D]
    split = by_head(qkv, 3, block.heads)
    attended = qkv.new_zeros(x.shape)
    for group, mask in zip(groups, masks, strict=True):
        rows = slice(group.start, group.start + group.count * group.length)
        write(attention(split[0, :, rows], split[1:], group.keys, mask), attended[rows])
    return block.out(attended)


def by_head(rows: Tensor, parts: int, heads: int) -> Tensor:
    """Return rows [M, parts x D] as [parts, H, M, d], float32, so that gathering by head needs no copy."""
    size = rows.shape[1] // parts // heads
    split = rows.view(-1, parts, heads, size).permute(1, 2, 0, 3)
    return torch.empty(split.shape, dtype=torch.float32, device=rows.device).copy_(split)


def attention(queries: Tensor, keys_values: Tensor, rows: Tensor, mask: Tensor | None) -> Tensor:
    """Compute float32 attention of n chains, [H, n x Q, d].

    Written out: in torch's fused attention on several CPU threads, a chain's result depends on how many
    others there are.

    Args:
        queries: Of the chains, one after the other, [H, n x Q, d].
        keys_values: Of all rows of a pass, [2, H, M, d].
        rows: Those that each chain attends to, [n, S].
        mask: Added to every chain's scores, [Q, S], or None.
    """
    heads, _, size = queries.shape
    count, span = rows.shape
    gathered = keys_values.flatten(0, 1).index_select(1, rows.reshape(-1))  # [2H, n x S, d]
    keys, values = gathered.view(2, heads * count, span, size)  # [H x n, S, d] each
    scaled = (queries * size**-0.5).view(heads * count, -1, size)  # [H x n, Q, d]
    scores = torch.bmm(scaled, keys.transpose(1, 2))  # [H x n, Q, S]
    if mask is not None:
        scores.add_(mask)
    return torch.bmm(softmax(scores), values).view(heads, -1, size)


def softmax(scores: Tensor) -> Tensor:
    """Return the softmax over the last dimension, in place without gradients.

    Step by step on a CPU, where torch's own is slow on short rows.
    """
    if scores.requires_grad or scores.device.type != "cpu":
        return scores.softmax(dim=-1)
    scores = scores.sub_(scores.amax(dim=-1, keepdim=True)).exp_()
    return scores.div_(scores.sum(dim=-1, keepdim=True))


def write(values: Tensor, attended: Tensor) -> None:
    """Write what chains attended to, [H, n x Q, d], to their rows [n x Q, D]."""
    attended.view(len(attended), len(values), -1).copy_(values.transpose(0, 1))


def hidden(group: ChainGroup, device: torch.device) -> Tensor | None:
    """Return minus infinity for each of S tokens that one of the last Q may not attend to, [Q, S]."""
    if group.length == 1:
        return None
    span = group.keys.shape[1]
    mask = torch.full((group.length, span), -torch.inf, device=device)
    return mask.triu_(span - group.length + 1)


def mlp(block: Block, x: Tensor) -> Tensor:
    """Apply the block's MLP: [M, D] -> [M, D]."""
    x, act = block.norm2(x), block.act
    # An exact GELU in float32 is faster as a part of the product before it.
    is_exact = type(act) is nn.GELU and act.approximate == "none"
    fused = is_exact and block.up.weight.dtype == torch.float32
    return block.down(block.up.gelu(x) if fused else act(block.up(x)))


def add(x: Tensor, change: Tensor, scale: Tensor | None) -> Tensor:
    """Add a change to the residual stream [M, D], in place where no gradient needs the old one."""
    if scale is not None:
        change = change * scale
    if x.requires_grad or torch.promote_types(x.dtype, change.dtype) != x.dtype:
        return x + change
    return x.add_(change)


def finish_last(block: Block, x: Tensor, answers: tuple[ChainGroup, ...], quantum: int) -> Tensor:
    """Apply the last block to end-of-text rows alone, the only ones read: [M, D] -> [n padded, D]."""
    width = x.shape[1]
    normed = block.norm1(x)
    ends = torch.cat([group.keys[:, -1] for group in answers])  # [n]
    padded = functional.pad(ends, (0, -len(ends) % quantum))
    weight, bias = block.qkv.weight, block.qkv.bias
    query = Affine(weight[:width], None if bias is None else bias[:width])(normed[padded])  # [n padded, D]
    keys_values = Affine(weight[width:], None if bias is None else bias[width:])(normed)  # [M, 2D]
    queries, split = by_head(query, 1, block.heads)[0], by_head(keys_values, 2, block.heads)
    attended = torch.zeros_like(query)
    start = 0
    for group in answers:
        rows = slice(start, start + group.count)
        write(attention(queries[:, rows], split, group.keys, None), attended[rows])
        start += group.count
    x = add(x[padded], block.out(attended), block.scale1)
    return add(x, mlp(block, x), block.scale2)

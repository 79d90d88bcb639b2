"""The text tower on packed rows: differentiable pure functions on tensors.

Shapes: M rows (tokens of all chains of a pass), D width, H heads, d = D / H, E embedding; a group has n
chains of Q new tokens that attend to S = P + Q tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from .packing import ChainGroup, Pass
from .tower import Affine, Block, Norm, Tower


def encode(tower: Tower, batch: Pass, quantum: int) -> Tensor:
    """Return normalised embeddings of a pass's texts, in the order of its answers: [n, E], float32."""
    x = tower.tokens[batch.tokens] + tower.positions[batch.positions]  # [M, D]
    masks = [hidden(group, x.device) for group in batch.groups]
    for block in tower.blocks[:-1]:
        x = add(x, attend(block, x, batch.groups, masks), block.scale1)
        x = add(x, mlp(block, x), block.scale2)
    x = finish_last(tower.blocks[-1], x, batch.answers, quantum)  # [n padded, D]
    x = project(tower.norm, tower.projection, x)
    return functional.normalize(x.float(), dim=-1)[: len(batch.order)]


def attend(block: Block, x: Tensor, groups: tuple[ChainGroup, ...], masks: list[Tensor | None]) -> Tensor:
    """Compute causal self-attention of every chain: [M, D] -> [M, D]; padding rows get that of zero."""
    qkv = block.qkv(block.norm1(x))  # [M, 3D]
    split = by_head(qkv, 3, block.heads)
    attended = qkv.new_zeros(x.shape)
    for group, mask in zip(groups, masks, strict=True):
        rows = slice(group.start, group.start + group.count * group.length)
        found = attention(split[0, :, rows], split[1:], group.keys, mask)
        write(found, attended[rows])
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
    found = keys_values.flatten(0, 1).index_select(1, rows.reshape(-1))  # [2H, n x S, d]
    keys, values = found.view(2, heads * count, span, size)
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


def write(found: Tensor, attended: Tensor) -> None:
    """Write what chains attended to, [H, n x Q, d], to their rows [n x Q, D]."""
    attended.view(len(attended), len(found), -1).copy_(found.transpose(0, 1))


def hidden(group: ChainGroup, device: torch.device) -> Tensor | None:
    """Return minus infinity for each of S tokens that one of the last Q may not attend to, [Q, S]."""
    if group.length == 1:
        return None
    span = group.keys.shape[1]
    mask = torch.full((group.length, span), -torch.inf, device=device)
    return mask.triu_(span - group.length + 1)


def mlp(block: Block, x: Tensor) -> Tensor:
    """Apply the block's MLP: [M, D] -> [M, D]."""
    x = block.norm2(x)
    return block.down(block.up.gelu(x) if block.ends_in_gelu else block.act(block.up(x)))


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


def project(norm: Norm, projection: Affine | None, x: Tensor) -> Tensor:
    """Project end-of-text rows to embeddings: [n, D] -> [n, E]."""
    x = norm(x)
    return x if projection is None else projection(x)

"""The tower on packed rows: pure functions on tensors.

M rows (tokens of all chains of a pass), D width, H heads, d = D / H, E embedding; a group has n chains of
Q new tokens that attend to S = P + Q tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from .packing import Group, Pass
from .tower import Affine, Block, Norm, Tower


def encode(tower: Tower, batch: Pass, quantum: int) -> Tensor:
    """Return normalised embeddings of a pass's texts, in the order of its answers: [n, E], float32."""
    x = tower.tokens[batch.tokens] + tower.positions[batch.positions]  # [M, D]
    for block in tower.blocks[:-1]:
        x = add(x, attend(block, x, batch.groups), block.scale1)
        x = add(x, mlp(block, x), block.scale2)
    x = finish_last(tower.blocks[-1], x, batch.answers, quantum)  # [n padded, D]
    x = project(tower.norm, tower.projection, x)
    return functional.normalize(x.float(), dim=-1)[: len(batch.order)]


def attend(block: Block, x: Tensor, groups: tuple[Group, ...]) -> Tensor:
    """Compute causal self-attention of every chain: [M, D] -> [M, D]; padding rows get that of zero."""
    width = x.shape[1]
    qkv = block.qkv(block.norm1(x))  # [M, 3D]
    heard = qkv.new_zeros(x.shape)
    for group in groups:
        rows = slice(group.start, group.start + group.count * group.length)
        queries = qkv[rows, :width].view(group.count, group.length, width)
        heard[rows] = attention(queries, qkv[:, width:], group.keys, block.heads).view(-1, width)
    return block.out(heard)


def attention(queries: Tensor, keys_values: Tensor, rows: Tensor, heads: int) -> Tensor:
    """Compute attention of n chains: queries [n, Q, D], keys and values [M, 2D], rows [n, S] -> [n, Q, D].

    Written out, in float32: a chain's result then does not depend on how many others there are, which
    torch's fused attention does not give on a CPU with several threads.
    """
    count, length, width = queries.shape
    span = rows.shape[1]
    found = keys_values.index_select(0, rows.reshape(-1)).view(count, span, 2, heads, width // heads)
    # Copied into one layout whatever n is: the product of a strided view may be taken by another kernel.
    k, v = laid_out(found.permute(2, 0, 3, 1, 4))  # [n, H, S, d] each
    q = laid_out(queries.view(count, length, heads, width // heads).transpose(1, 2))  # [n, H, Q, d]
    scores = (q * (width // heads) ** -0.5) @ k.transpose(-1, -2)  # [n, H, Q, S]
    if length > 1:
        scores = scores.masked_fill(hidden(length, span, q.device), -torch.inf)
    heard: Tensor = scores.softmax(dim=-1) @ v  # [n, H, Q, d]
    return heard.transpose(1, 2).reshape(count, length, width)


def laid_out(x: Tensor) -> Tensor:
    """Return a contiguous copy in float32, made in one go."""
    return torch.empty(x.shape, dtype=torch.float32, device=x.device).copy_(x)


def hidden(length: int, span: int, device: torch.device) -> Tensor:
    """Return which of S tokens each of the last Q tokens may not attend to: [Q, S] of bool."""
    return torch.ones(length, span, dtype=torch.bool, device=device).triu_(span - length + 1)


def mlp(block: Block, x: Tensor) -> Tensor:
    """Apply the block's MLP: [M, D] -> [M, D]."""
    x = block.norm2(x)
    return block.down(block.up.gelu(x) if block.ends_in_gelu else block.act(block.up(x)))


def add(x: Tensor, change: Tensor, scale: Tensor | None) -> Tensor:
    """Return the residual stream after a change: [M, D]."""
    return x + (change if scale is None else change * scale)


def finish_last(block: Block, x: Tensor, answers: tuple[Group, ...], quantum: int) -> Tensor:
    """Apply the last block to end-of-text rows alone, all that is read of it: [M, D] -> [n padded, D]."""
    width = x.shape[1]
    normed = block.norm1(x)
    ends = torch.cat([group.keys[:, -1] for group in answers])  # [n]
    padded = functional.pad(ends, (0, -len(ends) % quantum))
    weight, bias = block.qkv.weight, block.qkv.bias
    query = Affine(weight[:width], None if bias is None else bias[:width])(normed[padded])  # [n padded, D]
    keys_values = Affine(weight[width:], None if bias is None else bias[width:])(normed)  # [M, 2D]
    heard = torch.zeros_like(query)
    start = 0
    for group in answers:
        rows = slice(start, start + group.count)
        heard[rows] = attention(query[rows, None], keys_values, group.keys, block.heads)[:, 0]
        start += group.count
    x = add(x[padded], block.out(heard), block.scale1)
    return add(x, mlp(block, x), block.scale2)


def project(norm: Norm, projection: Affine | None, x: Tensor) -> Tensor:
    """Project end-of-text rows to embeddings: [n, D] -> [n, E]."""
    x = norm(x)
    return x if projection is None else projection(x)

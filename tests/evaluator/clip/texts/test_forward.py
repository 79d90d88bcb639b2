from __future__ import annotations

import pytest
import torch
from open_clip.transformer import QuickGELU
from torch.nn import functional

from promptclimb.evaluator.clip.texts.forward import attention, by_head, hidden, softmax
from promptclimb.evaluator.clip.texts.packing import ChainGroup
from promptclimb.evaluator.clip.texts.tower import quick_gelu

HEADS, SIZE, ROWS = 4, 16, 200


def chains(count: int, length: int, span: int) -> ChainGroup:
    """Chains whose keys lie anywhere."""
    torch.manual_seed(0)
    return ChainGroup(0, count, length, torch.randint(0, ROWS, (count, span)))


@pytest.mark.parametrize(("length", "span"), [(1, 1), (1, 9), (3, 3), (4, 11), (7, 40)])
def test_attention_is_torchs_own(length: int, span: int) -> None:
    """Every chain gets what torch's attention gives its queries, keys and values."""
    group = chains(12, length, span)
    qkv = torch.randn(ROWS, 3 * HEADS * SIZE)
    split = by_head(qkv, 3, HEADS)
    found = attention(split[0, :, : 12 * length], split[1:], group.keys, hidden(group, qkv.device))
    q, k, v = qkv.view(ROWS, 3, HEADS, SIZE).permute(1, 0, 2, 3)
    allowed = torch.ones(length, span, dtype=torch.bool).tril(span - length)
    theirs = functional.scaled_dot_product_attention(
        q[: 12 * length].view(12, length, HEADS, SIZE).transpose(1, 2),
        k[group.keys].transpose(1, 2),
        v[group.keys].transpose(1, 2),
        attn_mask=allowed,
    )  # [n, H, Q, d]
    ours = found.view(HEADS, 12, length, SIZE).transpose(0, 1)
    assert (ours - theirs).abs().max() <= 1e-6


@pytest.mark.parametrize("length", [1, 3])
@pytest.mark.parametrize("span", [3, 8, 13, 33])
def test_a_chain_hears_the_same_in_any_company(length: int, span: int) -> None:
    """Bit for bit, however many other chains are in its group."""
    group = chains(1500, length, span)
    split = by_head(torch.randn(1500 * length, 3 * HEADS * SIZE), 3, HEADS)
    mask = hidden(group, split.device)
    whole = attention(split[0], split[1:], group.keys, mask)
    for count in (1, 2, 17, 600):
        few = attention(split[0, :, : count * length], split[1:], group.keys[:count], mask)
        assert torch.equal(few, whole[:, : count * length])


def test_softmax_survives_large_scores() -> None:
    """Scores that float32 cannot take the exponential of, and masked ones, give probabilities."""
    scores = torch.tensor([[1000.0, 999.0, -torch.inf], [-1000.0, -1000.0, -torch.inf]])
    expected = scores.softmax(dim=-1)
    assert torch.allclose(softmax(scores), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("learning", [True, False])
def test_quick_gelu_is_open_clips(dtype: torch.dtype, learning: bool) -> None:
    """To the last bit, and the numbers that it is given stay as they are."""
    x = torch.linspace(-20, 20, 999).to(dtype).requires_grad_(learning)
    before = x.detach().clone()
    assert torch.equal(quick_gelu(x), QuickGELU()(x))
    assert torch.equal(x, before)

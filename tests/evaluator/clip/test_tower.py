"""Packing, the tower on packed rows, and matrix products."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from open_clip.transformer import QuickGELU
from torch.nn import functional

from promptclimb.evaluator.clip import tower as products
from promptclimb.evaluator.clip.tower import (
    ChainGroup,
    Pass,
    Text,
    attention,
    by_head,
    hidden,
    linear,
    pack,
    quick_gelu,
    softmax,
)

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
    attended = attention(split[0, :, : 12 * length], split[1:], group.keys, hidden(group, qkv.device))
    q, k, v = qkv.view(ROWS, 3, HEADS, SIZE).permute(1, 0, 2, 3)
    allowed = torch.ones(length, span, dtype=torch.bool).tril(span - length)
    theirs = functional.scaled_dot_product_attention(
        q[: 12 * length].view(12, length, HEADS, SIZE).transpose(1, 2),
        k[group.keys].transpose(1, 2),
        v[group.keys].transpose(1, 2),
        attn_mask=allowed,
    )  # [n, H, Q, d]
    ours = attended.view(HEADS, 12, length, SIZE).transpose(0, 1)
    assert (ours - theirs).abs().max() <= 1e-6


@pytest.mark.parametrize("length", [1, 3])
@pytest.mark.parametrize("span", [3, 8, 13, 33])
def test_a_chain_attends_to_the_same_in_any_company(length: int, span: int) -> None:
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
    inputs = torch.linspace(-20, 20, 999).to(dtype).requires_grad_(learning)
    before = inputs.detach().clone()
    assert torch.equal(quick_gelu(inputs), QuickGELU()(inputs))
    assert torch.equal(inputs, before)


CPU = torch.device("cpu")


@st.composite
def texts(draw: st.DrawFn) -> list[Text]:
    rows = draw(st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=6), min_size=1, max_size=12))
    drawn = [Text(tuple(row), draw(st.integers(0, len(row) - 1))) for row in rows]
    return list(dict.fromkeys(drawn))


def read_back(batch: Pass) -> list[tuple[int, ...]]:
    """The texts that a pass holds, token by token along the rows that each end attends to."""
    texts = []
    for group in batch.answers:
        for rows in group.keys.tolist():
            assert batch.positions[rows].tolist() == list(range(len(rows)))
            texts.append(tuple(batch.tokens[rows].tolist()))
    return texts


@given(texts(), st.integers(1, 30), st.sampled_from([1, 8]))
def test_every_text_is_packed_once_and_whole(chosen: list[Text], max_rows: int, quantum: int) -> None:
    """Passes hold each text exactly once, no token out of place, and as many rows as asked for."""
    seen: list[int] = []
    for batch in pack(chosen, max_rows=max_rows, quantum=quantum, device=CPU):
        order = batch.order.tolist()
        assert read_back(batch) == [chosen[index].tokens for index in order]
        assert len(batch.tokens) % quantum == 0
        assert len(order) == 1 or len(batch.tokens) - quantum < max_rows
        covered = sorted(
            row
            for group in batch.groups
            for row in range(group.start, group.start + group.count * group.length)
        )
        assert covered == list(range(len(covered)))
        seen += order
    assert sorted(seen) == list(range(len(chosen)))


def test_shared_beginnings_are_stored_once() -> None:
    """Three texts behind one beginning of four tokens take four rows and their own."""
    chosen = [Text((1, 2, 3, 4, own, 9), 4) for own in (5, 6, 7)]
    (batch,) = pack(chosen, max_rows=100, quantum=1, device=CPU)
    assert len(batch.tokens) == 4 + 3 * 2


@pytest.fixture(params=["as here", "torch's own"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test holds with the kernel that this processor gets, and with that of all others."""
    if request.param == "torch's own":
        monkeypatch.setattr(products, "has_onednn", lambda _dtype: False)


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("gelu", [True, False])
@pytest.mark.parametrize(("dtype", "allowed"), [(torch.float32, 1e-5), (torch.bfloat16, 0.05)])
def test_products_are_right(bias: bool, gelu: bool, dtype: torch.dtype, allowed: float) -> None:
    """To the type's own rounding, a product is that of float64, with and without bias and GELU."""
    torch.manual_seed(0)
    inputs, weight, shift = torch.randn(48, 64), torch.randn(96, 64) / 8, torch.randn(96)
    expected = inputs.double() @ weight.double().T + (shift if bias else 0)
    expected = functional.gelu(expected) if gelu else expected
    product = linear(inputs.to(dtype), weight.to(dtype), shift.to(dtype) if bias else None, gelu=gelu)
    assert product.dtype == dtype
    assert (product - expected).abs().max() <= allowed


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("gelu", [True, False])
def test_gradients_pass(gelu: bool) -> None:
    """What is learned before a product learns through it."""
    inputs = torch.randn(4, 8, requires_grad=True)
    weight = torch.eye(8)
    linear(inputs, weight, None, gelu=gelu).sum().backward()  # type: ignore[no-untyped-call]
    (expected,) = torch.autograd.grad((functional.gelu(inputs) if gelu else inputs).sum(), inputs)
    assert inputs.grad is not None
    assert torch.allclose(inputs.grad, expected, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("inner", "outer"), [(64, 192), (512, 128), (128, 512)])
def test_a_row_of_a_product_does_not_depend_on_their_number(
    dtype: torch.dtype, inner: int, outer: int
) -> None:
    """Rows by sixteens a thread have the same bits as the first of many: what passes are padded for."""
    torch.manual_seed(0)
    inputs, weight = torch.randn(1024, inner).to(dtype), torch.randn(outer, inner).to(dtype)
    whole = linear(inputs, weight, None, gelu=True)
    step = 16 * torch.get_num_threads()
    for rows in (step, 3 * step, 512):
        assert torch.equal(linear(inputs[:rows], weight, None, gelu=True), whole[:rows])

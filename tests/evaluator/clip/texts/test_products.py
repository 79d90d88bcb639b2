from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from promptclimb.evaluator.clip.texts import tower as products
from promptclimb.evaluator.clip.texts.tower import linear


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
    x, weight, shift = torch.randn(48, 64), torch.randn(96, 64) / 8, torch.randn(96)
    expected = x.double() @ weight.double().T + (shift if bias else 0)
    expected = functional.gelu(expected) if gelu else expected
    found = linear(x.to(dtype), weight.to(dtype), shift.to(dtype) if bias else None, gelu=gelu)
    assert found.dtype == dtype
    assert (found - expected).abs().max() <= allowed


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("gelu", [True, False])
def test_gradients_pass(gelu: bool) -> None:
    """What is learned before a product learns through it."""
    x = torch.randn(4, 8, requires_grad=True)
    weight = torch.eye(8)
    linear(x, weight, None, gelu=gelu).sum().backward()  # type: ignore[no-untyped-call]
    (expected,) = torch.autograd.grad((functional.gelu(x) if gelu else x).sum(), x)
    assert x.grad is not None
    assert torch.allclose(x.grad, expected, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("inner", "outer"), [(64, 192), (512, 128), (128, 512)])
def test_a_row_of_a_product_does_not_depend_on_their_number(
    dtype: torch.dtype, inner: int, outer: int
) -> None:
    """Rows by sixteens a thread have the same bits as the first of many: what passes are padded for."""
    torch.manual_seed(0)
    x, weight = torch.randn(1024, inner).to(dtype), torch.randn(outer, inner).to(dtype)
    whole = linear(x, weight, None, gelu=True)
    step = 16 * torch.get_num_threads()
    for rows in (step, 3 * step, 512):
        assert torch.equal(linear(x[:rows], weight, None, gelu=True), whole[:rows])

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from llmers_utils.recommenders import catalogue_loss, losses


@pytest.mark.parametrize("chunk", [1, 40, 10**9])
def test_equals_torch_with_gradients(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses, "CHUNK_BYTES", chunk * 4 * 50)
    monkeypatch.setattr(losses, "FEWEST_ROWS", 1)
    torch.manual_seed(0)
    states = (torch.randn(101, 8) * 5).requires_grad_()
    items = torch.randn(50, 8, requires_grad=True)
    targets = torch.randint(50, (101,))
    ours = catalogue_loss(states, items, targets)
    theirs = F.cross_entropy(states @ items.T, targets)
    torch.testing.assert_close(ours, theirs)
    inputs = (states, items)
    for mine, reference in zip(
        torch.autograd.grad(3 * ours, inputs), torch.autograd.grad(3 * theirs, inputs), strict=True
    ):
        torch.testing.assert_close(mine, reference, atol=1e-6, rtol=1e-5)


def test_large_scores_stay_finite_and_half_precision_is_taken() -> None:
    states = torch.tensor([[1e4], [-1e4]], requires_grad=True)
    items = torch.tensor([[1.0], [0.0]], requires_grad=True)
    loss = catalogue_loss(states, items, torch.tensor([0, 1]))
    assert loss.item() == pytest.approx(0.0)
    with torch.autocast("cpu", torch.bfloat16):
        loss = catalogue_loss(states.bfloat16(), items, torch.tensor([1, 0]))
    loss.backward()
    assert states.grad.dtype == torch.float32
    assert torch.isfinite(states.grad).all()

from __future__ import annotations

import pytest
import torch

from llmers_utils.recommenders.dropout import Dropout


@pytest.mark.parametrize("p", [0.25, 0.3, 0.5])
def test_drops_its_share_and_keeps_the_mean(p: float) -> None:
    torch.manual_seed(0)
    layer = Dropout(p)
    y = layer(torch.ones(1003, 997))
    assert (y == 0).float().mean().item() == pytest.approx(round(256 * p) / 256, abs=2e-3)
    assert y.mean().item() == pytest.approx(1.0, abs=5e-3)
    # No place of the eight bytes of a draw is special, and neighbours are independent.
    kept = (y != 0).flatten()[: 8 * 100_000].view(-1, 8).float()
    assert (kept.mean(0) - kept.mean()).abs().max() < 0.01
    assert (torch.corrcoef(kept.T) - torch.eye(8)).abs().max() < 0.02


def test_is_the_identity_in_evaluation_and_repeats_with_the_seed() -> None:
    layer, x = Dropout(0.4), torch.randn(7, 3)
    torch.manual_seed(1)
    first = layer(x)
    torch.manual_seed(1)
    assert torch.equal(first, layer(x))
    assert torch.equal(layer.eval()(x), x)
    assert torch.equal(Dropout(0.0)(x), x)
    with pytest.raises(ValueError, match="less than 1"):
        Dropout(1.0)


def test_gradient_passes_where_values_pass() -> None:
    x = torch.ones(50, requires_grad=True)
    y = Dropout(0.5)(x)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())

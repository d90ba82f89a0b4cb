from __future__ import annotations

import pytest
import torch
from torch import nn

from llmers_utils.recommenders import inference


def test_each_module_gets_its_mode_back_even_after_an_error() -> None:
    model = nn.Sequential(nn.Dropout(0.5), nn.Dropout(0.5)).train()
    model[1].eval()
    x = torch.ones(100, requires_grad=True)
    with pytest.raises(ZeroDivisionError), inference(model):
        y = model(x)
        raise ZeroDivisionError
    assert torch.equal(x, y)
    assert y.grad_fn is None
    assert [module.training for module in model.modules()] == [True, True, False]

from __future__ import annotations

import pytest
import torch
from torch import nn

from llmers_utils.recommenders import inference


def test_each_module_gets_its_mode_back_even_after_an_error() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5), nn.Dropout(0.5)).train()
    model[2].eval()
    seen = []

    def fail() -> None:
        with inference(model):
            seen.extend([model(torch.ones(2, 3)), model(torch.ones(2, 3))])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert torch.equal(*seen)
    assert not seen[0].requires_grad
    assert [module.training for module in model.modules()] == [True, True, True, False]

from __future__ import annotations

import pytest
import torch

from llmers_utils.recommenders import IdTable, SumTable, TextTable


def test_id_table_starts_at_the_given_vectors_without_sharing_them() -> None:
    init = torch.arange(6.0).view(3, 2)
    table = IdTable(3, 2, init=init)
    with torch.no_grad():
        table().add_(1)
    assert init.tolist() == [[0, 1], [2, 3], [4, 5]]


def test_id_table_refuses_another_shape() -> None:
    with pytest.raises(ValueError, match=r"\(3, 2\), expected \(4, 2\)"):
        IdTable(4, 2, init=torch.zeros(3, 2))


def test_id_table_has_the_stated_spread() -> None:
    torch.manual_seed(0)
    assert IdTable(2000, 32, std=0.2)().std().item() == pytest.approx(0.2, rel=0.02)


@pytest.mark.parametrize("hidden", [None, 7])
def test_text_table_trains_its_adapter_and_not_the_text(hidden: int | None) -> None:
    features = torch.randn(5, 11)
    table = TextTable(features, 4, hidden=hidden)
    table().sum().backward()
    assert table().shape == (5, 4)
    assert torch.equal(table.features, features)
    assert not table.features.requires_grad
    assert all(p.grad is not None for p in table.adapter.parameters())
    assert "features" not in table.state_dict()


def test_sum_table_adds() -> None:
    ids, text = IdTable(5, 4), TextTable(torch.randn(5, 11), 4)
    assert torch.allclose(SumTable(ids, text)(), ids() + text())


def test_sum_table_of_one_is_that_one_bit_for_bit() -> None:
    ids = IdTable(5, 4)
    assert torch.equal(SumTable(ids)(), ids())


def test_sum_table_refuses_different_shapes() -> None:
    with pytest.raises(ValueError, match="one shape"):
        SumTable(IdTable(5, 4), IdTable(5, 3))

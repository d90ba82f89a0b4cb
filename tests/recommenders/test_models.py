"""What is particular to one model: its formula, computed another way."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from llmers_utils.data import Split
from llmers_utils.recommenders import (
    EASE,
    BERT4Rec,
    DeepFM,
    Histories,
    IdTable,
    ItemKNN,
    LightGCN,
    PairBatches,
    Popularity,
    SASRec,
    build_ctr_data,
)
from llmers_utils.recommenders.collaborative import NormalisedGraph


def dense(split: Split, *parts: str) -> np.ndarray:
    matrix = np.zeros((split.dataset.n_users, split.dataset.n_items))
    for part in parts:
        matrix[getattr(split, part)["user"], getattr(split, part)["item"]] = 1
    return matrix


def test_ease_is_the_ridge_regression_of_each_item_on_the_others(split: Split) -> None:
    x = dense(split, "train")
    weights = EASE(l2=5.0).fit(split).weights
    for item in (0, 11):
        others = np.delete(np.arange(x.shape[1]), item)
        ridge = Ridge(alpha=5.0, fit_intercept=False).fit(x[:, others], x[:, item])
        assert weights[others, item] == pytest.approx(ridge.coef_, abs=1e-5)
        assert weights[item, item] == 0


def test_item_to_item_scores_all_that_is_known(split: Split) -> None:
    model = EASE().fit(split)
    known = dense(split, "train", "valid")
    assert model.scorer(split, "test")(np.arange(40)).numpy() == pytest.approx(
        known @ model.weights, abs=1e-5
    )


def test_item_knn_by_hand(split: Split) -> None:
    x = dense(split, "train")
    weights = ItemKNN(k=29, shrink=2.0).fit(split).weights
    together = (x[:, 3] * x[:, 4]).sum()
    norms = np.sqrt(x[:, 3].sum() * x[:, 4].sum())
    assert weights[3, 4] == pytest.approx(together / (norms + 2))
    assert (np.diag(weights) == 0).all()


def test_item_knn_keeps_k_neighbours(split: Split) -> None:
    full, cut = ItemKNN(k=30).fit(split).weights, ItemKNN(k=4).fit(split).weights
    for item in range(30):
        kept = cut[:, item] > 0
        assert kept.sum() >= 4
        assert full[kept, item].min() >= full[~kept, item].max()


def test_popularity_counts(split: Split) -> None:
    scores = Popularity().fit(split).scorer(split, "test")(np.array([3, 1]))
    assert scores.tolist() == [dense(split, "train").sum(0).tolist()] * 2


@pytest.mark.parametrize("tile", [4096, 16])  # the whole graph, or five tiles of it
def test_light_gcn_propagates_any_e0(
    split: Split, tile: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NormalisedGraph, "TILE", tile)
    model = LightGCN(split, dim=8, layers=2)
    x = dense(split, "train")
    a = np.block([[np.zeros((40, 40)), x], [x.T, np.zeros((30, 30))]])
    degree = a.sum(1)
    a = a / np.sqrt(np.outer(degree, degree))
    e0 = torch.randn(70, 5)
    expected = (e0.numpy() + a @ e0.numpy() + a @ a @ e0.numpy()) / 3
    assert len(list(model.graph.buffers())) == -(-70 // tile)
    assert model.propagate(e0).numpy() == pytest.approx(expected, abs=1e-5)


def test_light_gcn_gradient_is_that_of_the_dense_product(split: Split) -> None:
    model = LightGCN(split, dim=8, layers=2)
    a, target = model.graph(torch.eye(70)), torch.randn(70, 5)
    sparse, plain = (torch.ones(70, 5, requires_grad=True) for _ in range(2))
    (model.propagate(sparse) * target).sum().backward()
    ((plain + a @ plain + a @ a @ plain) / 3 * target).sum().backward()
    assert torch.allclose(sparse.grad, plain.grad, atol=1e-6)


def test_negatives_are_never_seen_items(split: Split) -> None:
    x = dense(split, "train")
    source = PairBatches(Histories.of(split, "train"))
    drawn = 0
    for batch in source.epoch(np.random.default_rng(0), 64):
        drawn += len(batch["users"])
        assert x[batch["users"], batch["positives"]].all()
        assert not x[batch["users"], batch["negatives"]].any()
    assert drawn == len(source) == x.sum()


def test_a_user_who_saw_everything_has_no_negative() -> None:
    with pytest.raises(ValueError, match="seen every item"):
        PairBatches(Histories(np.arange(4), np.array([0, 4]), pad=4))


def test_sasrec_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="heads=3"):
        SASRec(IdTable(5, 8), heads=3)


def test_bert4rec_predicts_from_a_mask_after_the_past() -> None:
    model = BERT4Rec(IdTable(9, 8), max_length=4).eval()
    past = torch.tensor([[1, 2, 3, 4]])
    asked = torch.tensor([[2, 3, 4, model.mask]])
    assert torch.allclose(model.user_vectors(past), model.states(asked)[:, -1], atol=1e-6)
    assert past.tolist() == [[1, 2, 3, 4]]


def test_deepfm_pairs_are_all_inner_products(ctr_split: Split) -> None:
    data = build_ctr_data(ctr_split)
    model = DeepFM(data.spec, dim=8).eval()
    for part in (model.linear, *model.deep):
        for p in part.parameters():
            torch.nn.init.zeros_(p)
    x = model.fields(data.test)  # (B, F, 8)
    products = x @ x.transpose(1, 2)
    expected = products.triu(diagonal=1).sum((1, 2))
    assert torch.allclose(model(data.test), expected, atol=1e-6)


def test_taste_is_the_rated_mean_of_the_history(ctr_split: Split) -> None:
    data = build_ctr_data(ctr_split)
    fields = DeepFM(data.spec, dim=8).fields
    row = 10
    history, rating = data.test["history"][row], data.test["history_rating"][row]
    real = history != data.spec.n_items
    vectors = fields.item(history[real])
    expected = (rating[real, None] * vectors).mean(0)
    taste = fields(data.test)[row, -3]
    assert torch.allclose(taste, expected, atol=1e-6)

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from llmers_utils.recommenders import metrics


def samples(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    label = (rng.random(3000) < 0.4).astype(np.float32)
    p = np.round(rng.random(3000) * 0.7 + label * 0.1, 2)  # rounded: many ties
    return label, p, rng.integers(60, size=3000)


def test_auc_and_log_loss_equal_scikit_learn() -> None:
    label, p, user = samples()
    ours = metrics.ctr_metrics(label, p, user)
    assert ours["AUC"] == pytest.approx(roc_auc_score(label, p), abs=1e-12)
    assert ours["LogLoss"] == pytest.approx(log_loss(label, p), abs=1e-12)


def test_grouped_auc_equals_scikit_learn_per_user() -> None:
    label, p, user = samples(1)
    label[user == 7] = 1
    per_user = metrics.grouped_auc(label, p, user)
    for u in range(60):
        if u == 7:
            assert np.isnan(per_user[u])
        else:
            assert per_user[u] == pytest.approx(roc_auc_score(label[user == u], p[user == u]))


def test_gauc_weighs_by_impressions_and_leaves_out_single_class_users() -> None:
    label = np.array([1, 0, 1, 0, 0, 1, 1])
    p = np.array([0.9, 0.1, 0.2, 0.3, 0.4, 0.5, 0.5])
    user = np.array([3, 3, 5, 5, 5, 8, 8])
    assert metrics.ctr_metrics(label, p, user)["GAUC"] == pytest.approx((2 * 1 + 3 * 0) / 5)


def test_one_class_has_no_auc() -> None:
    result = metrics.ctr_metrics(np.ones(3), np.full(3, 0.5), np.zeros(3, dtype=int))
    assert np.isnan(result["AUC"])
    assert np.isnan(result["GAUC"])


def test_log_loss_of_certainty_is_finite() -> None:
    assert np.isfinite(metrics.log_loss(np.array([1, 0]), np.array([0.0, 1.0]))).all()


def test_ranking_metrics_by_hand() -> None:
    ranks, groups = np.array([1, 3, 6, 2, 9]), np.array([0, 1, 2, 3, 3])
    values = metrics.ranking_metrics(ranks, groups, (5,))
    assert values["HR@5"].tolist() == [1, 1, 0, 1]
    assert values["Recall@5"].tolist() == [1, 1, 0, 0.5]
    both = (1 / np.log2(3)) / (1 + 1 / np.log2(3))  # one of two targets, at rank 2
    assert values["NDCG@5"] == pytest.approx([1, 0.5, 0, both])
    assert values["MRR@5"] == pytest.approx([1, 1 / 3, 0, 1 / 2])

"""NRMS, NAML and NPA: what padding must not change, and that they learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from llmers_utils.recommenders import TrainingPlan, fit
from llmers_utils.recommenders.attention import AdditiveAttention
from llmers_utils.recommenders.impressions import (
    ImpressionBatches,
    Impressions,
    score_impressions,
)
from llmers_utils.recommenders.news import NAML, NPA, NRMS, NewsRecommender

MODELS = [NRMS, NAML, NPA]
N, T, WIDTH, USERS = 12, 6, 8, 4


def states(extra: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random states of texts of 2 to 6 tokens, with ``extra`` columns of padding."""
    rng = np.random.default_rng(0)
    mask = np.arange(T + extra) < rng.integers(2, T + 1, size=N)[:, None]
    values = np.zeros((N, T + extra, WIDTH), dtype=np.float16)
    values[:, :T] = rng.normal(size=(N, T, WIDTH))
    return values * mask[..., None], mask


def build(kind: type[NewsRecommender], extra: int = 0, **options) -> NewsRecommender:
    torch.manual_seed(0)
    return kind(*states(extra), dim=16, n_users=USERS, **options).eval()


def batch(length: int = 5) -> dict[str, torch.Tensor]:
    histories = torch.full((3, length), -1)
    histories[0, -3:] = torch.tensor([2, 0, 5])
    histories[1, -1] = 7
    return {
        "users": torch.tensor([0, 1, 3]),
        "histories": histories,
        "candidates": torch.tensor([[1, 2, 3], [4, 5, 6], [7, 8, 9]]),
    }


@pytest.mark.parametrize("kind", MODELS)
def test_padding_changes_nothing(kind):
    scores = build(kind)(batch())
    assert scores.shape == (3, 3)
    torch.testing.assert_close(build(kind, extra=4)(batch()), scores)  # of tokens
    torch.testing.assert_close(build(kind)(batch(length=9)), scores)  # of histories


@pytest.mark.parametrize("kind", MODELS)
def test_what_is_masked_is_not_seen(kind):
    model = build(kind)
    before = model(batch())
    model.states[~model.mask] = 100.0
    torch.testing.assert_close(model(batch()), before)


@pytest.mark.parametrize("kind", MODELS)
def test_a_reader_without_history_likes_nothing_more(kind):
    scores = build(kind)(batch())[2]
    assert torch.isfinite(scores).all()
    assert not scores.any()


@pytest.mark.parametrize("kind", MODELS)
def test_a_text_is_read_alike_in_any_company(kind):
    scores = build(kind)(batch())
    alone = {name: values[:1] for name, values in batch().items()}
    torch.testing.assert_close(build(kind)(alone), scores[:1])


@pytest.mark.parametrize("kind", MODELS)
def test_the_category_is_one_more_token(kind):
    numbers = np.arange(N) % 3
    none = np.full(N, -1)
    none[0] = 0  # a category that the batch below does not show
    shown = {
        "users": torch.tensor([0]),
        "histories": torch.tensor([[1, 2]]),
        "candidates": torch.tensor([[3, 4]]),
    }
    without = build(kind)(shown)
    torch.testing.assert_close(build(kind, categories=none)(shown), without)
    assert not torch.allclose(build(kind, categories=numbers)(shown), without)


def test_only_npa_knows_who_reads():
    other = batch() | {"users": torch.tensor([2, 2, 2])}
    for kind in (NRMS, NAML):
        torch.testing.assert_close(build(kind)(other), build(kind)(batch()))
    assert not torch.allclose(build(NPA)(other), build(NPA)(batch()))
    with pytest.raises(ValueError, match="vector for each user"):
        NPA(*states())


def test_attention_over_nothing_is_zero():
    x, real = torch.randn(2, 3, 4), torch.tensor([[True, False, True], [False] * 3])
    found = AdditiveAttention(4, 5)(x, real)
    assert found[0].any()
    assert not found[1].any()


def follow_the_topic(count: int) -> Impressions:
    """Readers click what belongs to the topic (news modulo 3) that they read before."""
    rng = np.random.default_rng(1)
    topic = rng.integers(3, size=count)
    histories = topic[:, None] + 3 * rng.integers(4, size=(count, 3))
    clicked = topic + 3 * rng.integers(4, size=count)
    others = (topic[:, None] + [1, 2]) % 3 + 3 * rng.integers(4, size=(count, 2))
    return Impressions(
        users=rng.integers(USERS, size=count),
        histories=histories,
        candidates=np.concatenate([clicked[:, None], others], axis=1).ravel(),
        labels=np.tile([True, False, False], count),
        offsets=np.arange(count + 1) * 3,
    )


@pytest.mark.parametrize("kind", MODELS)
def test_they_learn_and_score_all_candidates_of_an_impression(kind):
    impressions = follow_the_topic(200)
    model = build(kind, dropout=0.0)
    plan = TrainingPlan(epochs=10, batch_size=20, lr=1e-2)
    history = fit(model, ImpressionBatches(impressions, 2), plan, seed=0)
    assert history.losses[-1] < history.losses[0] / 2
    scores = score_impressions(model, impressions, batch_size=64).reshape(-1, 3)
    assert (scores.argmax(1) == 0).mean() > 0.8
    part = {
        "users": torch.from_numpy(impressions.users),
        "histories": torch.from_numpy(impressions.histories),
        "candidates": torch.from_numpy(impressions.candidates.reshape(-1, 3)),
    }
    with torch.no_grad():
        np.testing.assert_allclose(scores, model(part).numpy(), atol=1e-4)

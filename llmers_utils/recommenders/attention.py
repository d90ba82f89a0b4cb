"""The attentions of news recommenders. Each is masked: padding cannot be looked at."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from llmers_utils.recommenders.blocks import attention_mask


def attention_weights(scores: Tensor, real: Tensor) -> Tensor:
    """Softmax of scores (..., L) over what is real; all zero where nothing is."""
    weights = scores.masked_fill(~real, torch.finfo(scores.dtype).min).softmax(-1)
    return weights * real


class AdditiveAttention(nn.Module):
    """Sum (..., L, d) to (..., d), each weighted by how well it fits a learnt query.

    Source: Bahdanau et al., ICLR 2015, as used by Wu et al., NAML, IJCAI 2019.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.key = nn.Linear(dim, hidden)
        self.query = nn.Linear(hidden, 1, bias=False)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """Attend over the second last axis; ``real`` (..., L) is false at padding."""
        weights = attention_weights(self.query(self.key(x).tanh())[..., 0], real)
        return (weights[..., None, :] @ x)[..., 0, :]


class PersonalAttention(nn.Module):
    """As ``AdditiveAttention`` with a query of each user's own.

    Source: Wu et al., "NPA: Neural News Recommendation with Personalized Attention", KDD 2019.
    """

    def __init__(self, dim: int, user_dim: int, hidden: int) -> None:
        super().__init__()
        self.key = nn.Linear(dim, hidden)
        self.query = nn.Linear(user_dim, hidden)

    def forward(self, x: Tensor, real: Tensor, users: Tensor) -> Tensor:
        """x (B, ..., L, d), real (B, ..., L) and user vectors (B, user_dim) -> (B, ..., d)."""
        query = self.query(users).tanh()  # (B, hidden)
        query = query.view(len(query), *[1] * (x.dim() - 2), -1)
        weights = attention_weights((self.key(x).tanh() * query).sum(-1), real)
        return (weights[..., None, :] @ x)[..., 0, :]


class SelfAttention(nn.Module):
    """Multi-head self-attention, (B, L, d) -> (B, L, d), over what is real."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"heads={heads}: must divide the width {dim}")
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """Mix the positions; ``real`` (B, L) is false at padding."""
        query, key, value = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mask = attention_mask(real, causal=False)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return mixed.transpose(1, 2).flatten(2)


class Convolution(nn.Module):
    """Each token with its neighbours: (B, L, width) -> (B, L, dim), zero at padding."""

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, dim, kernel_size=3, padding=1)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """Padding counts as nothing, as beyond the end of the text."""
        inner = self.conv((x * real[..., None]).transpose(1, 2)).transpose(1, 2)
        return inner.relu() * real[..., None]

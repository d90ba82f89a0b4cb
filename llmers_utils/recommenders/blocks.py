"""The transformer that SASRec and BERT4Rec share."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from llmers_utils.recommenders.dropout import Dropout


def attention_mask(real: Tensor, *, causal: bool) -> Tensor:
    """Say which key each query may see, (B, 1, L, L), from ``real`` (B, L): not padding.

    Every position may see itself: a row of padding alone would have no softmax.
    """
    length = real.shape[1]
    allowed = real[:, None, None, :].expand(-1, 1, length, -1)
    if causal:
        allowed = allowed & torch.ones(length, length, dtype=torch.bool, device=real.device).tril()
    return allowed | torch.eye(length, dtype=torch.bool, device=real.device)


class TransformerBlock(nn.Module):
    """Attention and feed-forward, each normalised before and added to its input (pre-norm)."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"heads={heads}: must divide the width {dim}")
        self.heads = heads
        self.attention_norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.feed_norm = nn.LayerNorm(dim)
        self.feed = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim))
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Map (B, L, d) to (B, Q, d); ``mask`` (B, 1, Q, L) is true where a query may look.

        The queries are the last Q positions.
        """
        queries = mask.shape[-2]
        attend = self.attend_from_last if queries == 1 else self.attend
        x = x[:, -queries:] + self.dropout(attend(self.attention_norm(x), mask))
        return x + self.dropout(self.feed(self.feed_norm(x)))

    def attend(self, x: Tensor, mask: Tensor) -> Tensor:
        """Multi-head attention, (B, L, d) -> (B, Q, d)."""
        batch, length, dim = x.shape
        heads = self.qkv(x).view(batch, length, 3, self.heads, dim // self.heads)
        query, key, value = heads.permute(2, 0, 3, 1, 4)  # each (B, heads, L, d / heads)
        query = query[:, :, -mask.shape[-2] :]
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.out(mixed.transpose(1, 2).flatten(2))

    def attend_from_last(self, x: Tensor, mask: Tensor) -> Tensor:
        """``attend`` for a single query, (B, L, d) -> (B, 1, d), with a tenth of the work.

        The query goes through the keys' weights instead of L vectors, and what it mixes goes
        through the values' weights once. The keys' bias moves all scores alike: no softmax sees it.
        """
        to_query, to_key, to_value = self.qkv.weight.unflatten(0, (3, self.heads, -1))
        query_bias, _, value_bias = self.qkv.bias.unflatten(0, (3, self.heads, -1))
        query = torch.einsum("bd,hkd->bhk", x[:, -1], to_query) + query_bias
        sought = torch.einsum("bhk,hkd->bhd", query, to_key)
        scores = sought @ x.transpose(1, 2) / math.sqrt(query.shape[-1])  # (B, heads, L)
        weights = scores.masked_fill(~mask[:, 0], -torch.inf).softmax(-1)
        mixed = torch.einsum("bhd,hkd->bhk", weights @ x, to_value) + value_bias
        return self.out(mixed.flatten(1))[:, None]


class TransformerEncoder(nn.Module):
    """Vectors + positions -> blocks -> normalised states; positions count from the end."""

    def __init__(self, dim: int, max_length: int, layers: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.randn(max_length, dim) * 0.05)
        self.dropout = Dropout(dropout)
        self.blocks = nn.ModuleList(TransformerBlock(dim, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, real: Tensor, *, causal: bool, last_only: bool = False) -> Tensor:
        """Map (B, L, d) to (B, L, d); ``real`` (B, L) is false at padding.

        With ``last_only`` to (B, 1, d): the last block spares itself the other positions.
        """
        x = self.dropout(x + self.positions[-x.shape[1] :])
        mask = attention_mask(real, causal=causal)  # (B, 1, L, L)
        for number, block in enumerate(self.blocks, start=1):
            done = last_only and number == len(self.blocks)
            x = block(x, mask[:, :, -1:] if done else mask)
        return self.norm(x)

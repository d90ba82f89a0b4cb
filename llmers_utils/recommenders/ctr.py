"""Click-through models: DeepFM, DCNv2, DIN and AutoInt over one embedding of fields.

Each takes ``extra_fields`` further dense vectors per sample: an enhancement that knows something
about the user or the item hands it over as a field, and the model crosses it with all others.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from llmers_utils.recommenders.ctr_data import CTRSpec
from llmers_utils.recommenders.ctr_fields import FieldEmbedding
from llmers_utils.recommenders.dropout import Dropout
from llmers_utils.recommenders.training import Batch


def mlp(inputs: int, hidden: tuple[int, ...], dropout: float, outputs: int = 1) -> nn.Sequential:
    """Hidden layers with ReLU and dropout, then a linear one."""
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Linear(inputs, width), nn.ReLU(), Dropout(dropout)]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, outputs))


class CTRModel(nn.Module):
    """Fields -> logit. A subclass gives ``score``."""

    def __init__(self, spec: CTRSpec, dim: int, extra_fields: int) -> None:
        super().__init__()
        self.extra_fields = extra_fields
        self.fields = FieldEmbedding(spec, dim)
        self.n_fields = self.fields.count + extra_fields

    def score(self, x: Tensor, batch: Batch) -> Tensor:
        """Turn the field vectors x (B, F, dim) into logits (B,)."""
        raise NotImplementedError

    def forward(self, batch: Batch, extra: Tensor | None = None) -> Tensor:
        """Return logits (B,); ``extra`` (B, extra_fields, dim) are the additional fields."""
        x = self.fields(batch)  # (B, F, dim)
        given = 0 if extra is None else extra.shape[1]
        if given != self.extra_fields:
            raise ValueError(
                f"got {given} extra fields, the model was made for {self.extra_fields}"
            )
        return self.score(x if extra is None else torch.cat([x, extra], dim=1), batch)

    def loss(self, batch: Batch) -> Tensor:
        """Binary cross-entropy of the labels."""
        return F.binary_cross_entropy_with_logits(self(batch), batch["label"])

    def item_vectors(self) -> Tensor:
        """Return the item embeddings, (n_items, dim)."""
        return self.fields.item.weight[:-1]


class DeepFM(CTRModel):
    """First-order terms + pairwise products of all fields + a deep network on them.

    Source: Guo et al., "DeepFM: A Factorization-Machine based Neural Network", IJCAI 2017.
    """

    def __init__(
        self,
        spec: CTRSpec,
        dim: int = 16,
        extra_fields: int = 0,
        hidden: tuple[int, ...] = (128, 64),
        dropout: float = 0.3,
    ) -> None:
        super().__init__(spec, dim, extra_fields)
        self.linear = nn.Linear(self.n_fields * dim, 1)
        self.deep = mlp(self.n_fields * dim, hidden, dropout)

    def score(self, x: Tensor, batch: Batch) -> Tensor:
        """y = w·x + Σ_{i<j} <x_i, x_j> + MLP(x)."""
        pairs = (x.sum(1).square() - x.square().sum(1)).sum(1) / 2  # (B,)
        flat = x.flatten(1)  # (B, F dim)
        return (self.linear(flat) + self.deep(flat)).squeeze(1) + pairs


class DCNv2(CTRModel):
    """Explicit crosses of bounded degree beside a deep network.

    Source: Wang et al., "DCN V2: Improved Deep & Cross Network", WWW 2021.
    """

    def __init__(
        self,
        spec: CTRSpec,
        dim: int = 16,
        extra_fields: int = 0,
        hidden: tuple[int, ...] = (128, 64),
        dropout: float = 0.3,
        crosses: int = 2,
    ) -> None:
        super().__init__(spec, dim, extra_fields)
        width = self.n_fields * dim
        self.crosses = nn.ModuleList(nn.Linear(width, width) for _ in range(crosses))
        self.linear = nn.Linear(width, 1)
        self.deep = mlp(width, hidden, dropout)

    def score(self, x: Tensor, batch: Batch) -> Tensor:
        """x_{l+1} = x_0 ⊙ (W_l x_l + b_l) + x_l, and y = w·x_last + MLP(x_0)."""
        x0 = crossed = x.flatten(1)  # (B, F dim)
        for cross in self.crosses:
            crossed = x0 * cross(crossed) + crossed
        return (self.linear(crossed) + self.deep(x0)).squeeze(1)


class DIN(CTRModel):
    """Attention of the target item over the rated history, then a deep network.

    Source: Zhou et al., "Deep Interest Network for Click-Through Rate Prediction", KDD 2018; here
    each past item also carries its rating, so that a dislike pushes the other way.
    """

    def __init__(
        self,
        spec: CTRSpec,
        dim: int = 16,
        extra_fields: int = 0,
        hidden: tuple[int, ...] = (128, 64),
        dropout: float = 0.3,
    ) -> None:
        super().__init__(spec, dim, extra_fields)
        self.attention = mlp(3 * 2 * dim + 1, (32,), dropout=0.0)
        self.deep = mlp((self.n_fields + 2) * dim, hidden, dropout)

    def interest(self, batch: Batch) -> Tensor:
        """Σ_j a(k_j, q, r_j) r_j k_j over the history, (B, 2 dim); padding has r_j = 0."""
        items = self.fields.items().flatten(1)  # (N + 1, 2 dim)
        keys = F.embedding(batch["history"], items)  # (B, H, 2 dim)
        query = F.embedding(batch["item"], items)[:, None].expand_as(keys)  # (B, H, 2 dim)
        rating = batch["history_rating"][..., None]  # (B, H, 1)
        weights = self.attention(torch.cat([keys, query, keys * query, rating], dim=2))
        return (weights * rating * keys).sum(1)

    def score(self, x: Tensor, batch: Batch) -> Tensor:
        """y = MLP(x, interest)."""
        return self.deep(torch.cat([x.flatten(1), self.interest(batch)], dim=1)).squeeze(1)


class AutoInt(CTRModel):
    """Multi-head self-attention among the fields.

    Source: Song et al., "AutoInt: Automatic Feature Interaction Learning", CIKM 2019 (the AutoInt+
    form, with a deep network beside).
    """

    def __init__(
        self,
        spec: CTRSpec,
        dim: int = 16,
        extra_fields: int = 0,
        hidden: tuple[int, ...] = (128, 64),
        dropout: float = 0.3,
        layers: int = 2,
        heads: int = 2,
    ) -> None:
        super().__init__(spec, dim, extra_fields)
        self.attentions = nn.ModuleList(
            nn.MultiheadAttention(dim, heads, batch_first=True) for _ in range(layers)
        )
        self.linear = nn.Linear(self.n_fields * dim, 1)
        self.deep = mlp(self.n_fields * dim, hidden, dropout)

    def score(self, x: Tensor, batch: Batch) -> Tensor:
        """x_{l+1} = ReLU(attention(x_l) + x_l), and y = w·x_last + MLP(x_0)."""
        mixed = x  # (B, F, dim)
        for attention in self.attentions:
            mixed = F.relu(attention(mixed, mixed, mixed, need_weights=False)[0] + mixed)
        return (self.linear(mixed.flatten(1)) + self.deep(x.flatten(1))).squeeze(1)

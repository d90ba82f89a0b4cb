"""From a batch of samples to one dense vector per field: what all CTR models start with."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from llmers_utils.recommenders.ctr_data import CTRSpec
from llmers_utils.recommenders.training import Batch


class FieldEmbedding(nn.Module):
    """Embed each field of a sample: user profile, item, genres and history.

    The raw user id is left out: most users of the later parts are new, and their history says
    more. ``count`` is the number of fields F.
    """

    user_fields: Tensor
    item_genres: Tensor

    def __init__(self, spec: CTRSpec, dim: int, std: float = 0.05) -> None:
        super().__init__()
        self.pad = spec.n_items
        self.count = len(spec.user_cardinalities) + 5
        sizes = torch.tensor([0, *spec.user_cardinalities])
        genres = spec.item_genres / spec.item_genres.sum(1, keepdim=True).clamp(min=1)
        for name, values in (
            ("user_fields", spec.user_fields + sizes.cumsum(0)[:-1]),
            ("item_genres", torch.cat([genres, torch.zeros_like(genres[:1])])),
        ):
            self.register_buffer(name, values, persistent=False)
        self.profile = nn.Embedding(int(sizes.sum()), dim)
        self.item = nn.Embedding(spec.n_items + 1, dim, padding_idx=spec.n_items)
        self.genre = nn.Linear(genres.shape[1], dim, bias=False)
        self.mood = nn.Parameter(torch.randn(dim) * std)
        for module in (self.profile, self.item, self.genre):
            nn.init.normal_(module.weight, std=std)
        with torch.no_grad():
            self.item.weight[self.pad] = 0

    def user_vectors(self, users: Tensor) -> Tensor:
        """Return the profile of users (B,), one vector per profile field: (B, Fu, dim)."""
        return self.profile(self.user_fields[users])

    def items(self) -> Tensor:
        """Return what is known of each item, its id and its genres, (n_items + 1, 2, dim)."""
        return torch.stack([self.item.weight, self.genre(self.item_genres)], dim=1)

    def forward(self, batch: Batch) -> Tensor:
        """Return all fields of B samples, (B, F, dim)."""
        items = self.items().flatten(1)  # (n_items + 1, 2 dim)
        rating = batch["history_rating"]  # (B, H)
        length = (batch["history"] != self.pad).sum(1, keepdim=True).clamp(min=1)  # (B, 1)
        share = rating / length
        liked = items.index_select(0, batch["history"].flatten())  # twice as fast as a bag
        taste = (liked.view(*rating.shape, -1) * share[..., None]).sum(1)  # (B, 2 dim)
        target = items.index_select(0, batch["item"])  # (B, 2 dim)
        mood = share.sum(1, keepdim=True) * self.mood  # (B, dim)
        single = torch.cat([target, taste, mood], dim=1).unflatten(1, (5, -1))  # (B, 5, dim)
        return torch.cat([self.user_vectors(batch["user"]), single], dim=1)

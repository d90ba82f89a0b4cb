"""Sequential recommenders: SASRec, GRU4Rec and BERT4Rec over any item table.

They share one contract: item ids -> item vectors -> one state per position -> scores against the
same item table. An enhancement changes the table, or sets ``model.enrich`` to change the states.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from llmers_utils.recommenders.blocks import TransformerEncoder
from llmers_utils.recommenders.dropout import Dropout
from llmers_utils.recommenders.losses import catalogue_loss
from llmers_utils.recommenders.scoring import Scorer, dot_scorer, inference
from llmers_utils.recommenders.sequences import Histories, SequenceBatches
from llmers_utils.recommenders.tables import ItemTable
from llmers_utils.recommenders.training import Batch

if TYPE_CHECKING:
    from llmers_utils.data import Split

Enrich = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""(states (B, Q, d), sequences (B, L), users (B,)) -> states (B, Q, d).

The states are those of the last Q positions: all L in training, the last one when users are scored.
"""


class SequentialRecommender(nn.Module):
    """Next-item prediction with a full softmax over the catalogue, tied to the item table.

    A subclass gives ``encode``. Sequences are (B, L) item ids, left-padded with n_items.
    """

    def __init__(self, table: ItemTable, max_length: int) -> None:
        super().__init__()
        self.table = table
        self.max_length = max_length
        self.enrich: Enrich | None = None

    @property
    def pad(self) -> int:
        """The padding id: the row after the last item."""
        return self.table.n_items

    def encode(self, items: Tensor, sequences: Tensor) -> Tensor:
        """Turn item vectors (N, d) and sequences (B, L) into one state per position, (B, L, d)."""
        raise NotImplementedError

    def encode_last(self, items: Tensor, sequences: Tensor) -> Tensor:
        """Return the last of the states that ``encode`` gives, (B, 1, d)."""
        return self.encode(items, sequences)[:, -1:]

    def look_up(self, items: Tensor, sequences: Tensor) -> Tensor:
        """Return the vectors of a sequence's items, (B, L, d); padding is the zero vector."""
        real = (sequences != self.pad)[..., None]
        return F.embedding(sequences.clamp(max=self.pad - 1), items) * real

    def states(self, sequences: Tensor, users: Tensor | None = None) -> Tensor:
        """Return what the model knows after each position, (B, L, d)."""
        return self._states(self.item_vectors(), sequences, users)

    def _states(self, items: Tensor, sequences: Tensor, users: Tensor | None) -> Tensor:
        return self._enriched(self.encode(items, sequences), sequences, users)

    def _enriched(self, states: Tensor, sequences: Tensor, users: Tensor | None) -> Tensor:
        if self.enrich is None:
            return states
        return self.enrich(states, sequences.clamp(max=self.pad), users)

    def item_vectors(self) -> Tensor:
        """Return all item vectors, (N, d)."""
        return self.table()

    def user_vectors(self, sequences: Tensor, users: Tensor | None = None) -> Tensor:
        """Return the state after the last item, (B, d)."""
        return self._user_vectors(self.item_vectors(), sequences, users)

    def _user_vectors(self, items: Tensor, sequences: Tensor, users: Tensor | None) -> Tensor:
        return self._enriched(self.encode_last(items, sequences), sequences, users)[:, -1]

    def loss(self, batch: Batch) -> Tensor:
        """Cross-entropy of the next item at every real position."""
        items = self.item_vectors()  # (N, d)
        states = self._states(items, batch["sequences"], batch["users"])  # (B, L, d)
        real = batch["targets"] != self.pad
        return catalogue_loss(states[real], items, batch["targets"][real])

    def batches(self, split: Split) -> SequenceBatches:
        """Return windows over the training part."""
        return SequenceBatches(Histories.of(split, "train"), self.max_length)

    def scorer(self, split: Split, part: str = "test") -> Scorer:
        """Score the catalogue for users, given all they did before ``part``."""
        histories = Histories.before(split, part)
        with inference(self):
            items = self.item_vectors()

        def users(ids: np.ndarray) -> Tensor:
            sequences = torch.from_numpy(histories.last(ids, self.max_length)).to(items.device)
            users = torch.from_numpy(np.asarray(ids)).to(items.device)
            return self._user_vectors(items, sequences, users)

        return dot_scorer(self, lambda: items, users)


class SASRec(SequentialRecommender):
    """Self-attention over the past: items + positions -> causal blocks -> states.

    Source: Kang and McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018; with the full
    softmax of Klenitskiy and Vasilev, RecSys 2023, instead of one sampled negative.
    """

    def __init__(
        self,
        table: ItemTable,
        max_length: int = 50,
        layers: int = 1,
        heads: int = 2,
        dropout: float = 0.3,
    ) -> None:
        super().__init__(table, max_length)
        self.encoder = TransformerEncoder(table.dim, max_length, layers, heads, dropout)

    def encode(self, items: Tensor, sequences: Tensor) -> Tensor:
        """Attend from each position to itself and the items before it, (B, L, d)."""
        return self.encoder(self.look_up(items, sequences), sequences != self.pad, causal=True)

    def encode_last(self, items: Tensor, sequences: Tensor) -> Tensor:
        """Attend from the last position only, (B, 1, d)."""
        x, real = self.look_up(items, sequences), sequences != self.pad
        return self.encoder(x, real, causal=True, last_only=True)


class GRU4Rec(SequentialRecommender):
    """A recurrent network over the past: items -> GRU -> states.

    Source: Hidasi et al., "Session-based Recommendations with Recurrent Neural Networks", ICLR
    2016; with the full softmax instead of sampled ranking losses.
    """

    def __init__(
        self, table: ItemTable, max_length: int = 50, layers: int = 1, dropout: float = 0.3
    ) -> None:
        super().__init__(table, max_length)
        self.dropout = Dropout(dropout)
        between = dropout if layers > 1 else 0.0
        self.gru = nn.GRU(table.dim, table.dim, layers, batch_first=True, dropout=between)
        self.out = nn.Linear(table.dim, table.dim)

    def encode(self, items: Tensor, sequences: Tensor) -> Tensor:
        """Read each sequence from its first real item on, (B, L, d)."""
        return self._states_from(0, items, sequences)

    def encode_last(self, items: Tensor, sequences: Tensor) -> Tensor:
        """Read all, and turn only the last hidden state into an output, (B, 1, d)."""
        return self._states_from(sequences.shape[1] - 1, items, sequences)

    def _states_from(self, first: int, items: Tensor, sequences: Tensor) -> Tensor:
        """Return the states of the positions from ``first`` on."""
        length = sequences.shape[1]
        padding = (sequences == self.pad).sum(1, keepdim=True)  # (B, 1)
        step = torch.arange(length, device=sequences.device)
        # To the left for the GRU, so that it starts at the first item, and back afterwards.
        x = self.dropout(self.look_up(items, sequences.gather(1, (step + padding) % length)))
        hidden, _ = self.gru(x)  # (B, L, d)
        back = (step[first:] - padding) % length
        return self.out(self.dropout(hidden.take_along_dim(back[..., None], 1)))


class BERT4Rec(SequentialRecommender):
    """Bidirectional attention that fills masked positions; to predict, a mask follows the past.

    Its states see both sides, so only ``user_vectors`` stands for "what comes next".

    Source: Sun et al., "BERT4Rec", CIKM 2019.
    """

    def __init__(
        self,
        table: ItemTable,
        max_length: int = 50,
        layers: int = 1,
        heads: int = 2,
        dropout: float = 0.2,
        mask_share: float = 0.3,
    ) -> None:
        super().__init__(table, max_length)
        self.mask_share = mask_share
        self.mask_vector = nn.Parameter(torch.randn(1, table.dim) * 0.05)
        self.encoder = TransformerEncoder(table.dim, max_length, layers, heads, dropout)

    @property
    def mask(self) -> int:
        """The id that stands for a hidden item."""
        return self.pad + 1

    def encode(self, items: Tensor, sequences: Tensor) -> Tensor:
        """Attend from each position to all real ones, (B, L, d)."""
        x, real = self.look_up(items, sequences), sequences != self.pad
        return self.encoder(x, real, causal=False)

    def encode_last(self, items: Tensor, sequences: Tensor) -> Tensor:
        """Attend from the last position only, (B, 1, d)."""
        x, real = self.look_up(items, sequences), sequences != self.pad
        return self.encoder(x, real, causal=False, last_only=True)

    def look_up(self, items: Tensor, sequences: Tensor) -> Tensor:
        """Return the vectors of items, of the mask, and zero for padding, (B, L, d)."""
        rows = torch.cat([items, torch.zeros_like(self.mask_vector), self.mask_vector])
        return F.embedding(sequences, rows)

    def _user_vectors(self, items: Tensor, sequences: Tensor, users: Tensor | None) -> Tensor:
        """Return the state of a mask put after the last item, (B, d)."""
        shifted = sequences.roll(-1, dims=1)
        shifted[:, -1] = self.mask
        return super()._user_vectors(items, shifted, users)

    def loss(self, batch: Batch) -> Tensor:
        """Cross-entropy of the items hidden at random, the last one always among them."""
        sequences = batch["targets"]  # (B, L): the window up to its last item
        hidden = torch.rand(sequences.shape, device=sequences.device) < self.mask_share
        hidden[:, -1] = True
        hidden &= sequences != self.pad
        items = self.item_vectors()  # (N, d)
        states = self._states(items, sequences.masked_fill(hidden, self.mask), batch["users"])
        return catalogue_loss(states[hidden], items, sequences[hidden])

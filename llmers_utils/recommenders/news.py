"""News recommenders that read the tokens of a title: NRMS, NAML and NPA.

Each has a news encoder (token states of a frozen language model -> one vector) and a user encoder
(vectors of the news somebody read -> one vector); a score is their inner product. Here they see
one text for each piece of news, and no body, abstract or category of its own as the full NAML
does. Every attention is masked: neither padding tokens nor padding news can be looked at.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from llmers_utils.recommenders.attention import (
    AdditiveAttention,
    Convolution,
    PersonalAttention,
    SelfAttention,
)
from llmers_utils.recommenders.dropout import Dropout
from llmers_utils.recommenders.training import Batch

CHUNK = 256
"""Texts read at a time: their tokens stay in the cache."""


class NewsRecommender(nn.Module):
    """Scores news for readers; a subclass says how tokens and histories are read.

    Args:
        states: (N, T, width) of every piece of news, frozen; ``mask`` (N, T) says what is real.
            They are kept in half precision.
        dim: width of news and user vectors.
        n_users: for models with a vector for each user.
        categories: (N,) numbers from 0: adds to each text one token that is learnt for its
            category. -1 adds none.
    """

    def __init__(
        self,
        states: np.ndarray,
        mask: np.ndarray,
        dim: int = 64,
        *,
        n_users: int = 0,
        dropout: float = 0.1,
        hidden: int = 64,
        categories: np.ndarray | None = None,
    ) -> None:
        super().__init__()
        self.register_buffer("states", torch.tensor(states).half(), persistent=False)
        self.register_buffer("mask", torch.tensor(mask), persistent=False)
        self.n_news = len(states)
        self.dropout = Dropout(dropout)
        self._build(states.shape[2], dim, hidden, n_users)
        self.category_token = None
        if categories is not None:
            self.register_buffer("categories", torch.tensor(categories), persistent=False)
            self.category_token = nn.Embedding(int(categories.max()) + 1, states.shape[2])

    def _build(self, width: int, dim: int, hidden: int, n_users: int) -> None:
        raise NotImplementedError

    def tokens(self, news: Tensor) -> tuple[Tensor, Tensor]:
        """States (n, T, width) and mask (n, T) of news (n,), the category's token first.

        T is the longest of these texts.
        """
        real = self.mask[news]
        longest = int(real.sum(1).max())
        states, real = self.states[news, :longest].float(), real[:, :longest]
        if self.category_token is not None:
            number = self.categories[news]
            token = self.category_token(number.clamp(min=0))
            states = torch.cat([token[:, None], states], dim=1)
            real = torch.cat([(number >= 0)[:, None], real], dim=1)
        return self.dropout(states), real

    def read(self, news: Tensor) -> tuple[Tensor, ...]:
        """What can be said of news (n,) before the reader is known; each (n, ...)."""
        raise NotImplementedError

    def read_sorted(self, news: Tensor) -> tuple[Tensor, ...]:
        """As ``read``, but texts of like length together: padding is what costs the time."""
        order = self.mask[news].sum(1).argsort(stable=True)
        parts = [self.read(part) for part in news[order].split(CHUNK)]
        back = order.argsort()
        return tuple(torch.cat(some)[back] for some in zip(*parts, strict=True))

    def vectors(self, read: tuple[Tensor, ...], places: Tensor, users: Tensor) -> Tensor:
        """Vectors (B, L, d) of the news at ``places`` (B, L) of ``read``, for users (B,)."""
        return read[0][places]

    def person(self, clicked: Tensor, real: Tensor, users: Tensor) -> Tensor:
        """Vectors (B, d) of readers of news (B, L, d); zero for who read nothing."""
        raise NotImplementedError

    def scores(
        self, read: tuple[Tensor, ...], users: Tensor, histories: Tensor, candidates: Tensor
    ) -> Tensor:
        """Scores (B, C) of candidates (B, C), places in ``read``; histories (B, L), -1 padding."""
        clicked = self.vectors(read, histories.clamp(min=0), users)
        person = self.person(clicked, histories >= 0, users)
        return (self.vectors(read, candidates, users) @ person[..., None])[..., 0]

    def forward(self, batch: Batch) -> Tensor:
        """Scores (B, C) of a batch: users (B,), histories (B, L), candidates (B, C)."""
        mentioned = torch.cat([batch["histories"], batch["candidates"]], dim=1)
        # Each text is read once, however often it is mentioned; padding is read as news 0.
        news, places = mentioned.clamp(min=0).unique(return_inverse=True)
        places = torch.where(mentioned < 0, -1, places)
        length = batch["histories"].shape[1]
        read = self.read_sorted(news)
        return self.scores(read, batch["users"], places[:, :length], places[:, length:])

    def loss(self, batch: Batch) -> Tensor:
        """Cross-entropy of the clicked one, which is each row's first candidate."""
        scores = self(batch)
        return F.cross_entropy(scores, torch.zeros(len(scores), dtype=torch.long).to(scores.device))


class NRMS(NewsRecommender):
    """Self-attention and additive attention, over tokens and over news.

    Source: Wu et al., "Neural News Recommendation with Multi-Head Self-Attention", EMNLP 2019.
    """

    HEADS = 2

    def _build(self, width: int, dim: int, hidden: int, n_users: int) -> None:
        self.reduce = nn.Linear(width, dim)
        self.token_attention = SelfAttention(dim, self.HEADS)
        self.token_pooling = AdditiveAttention(dim, hidden)
        self.news_attention = SelfAttention(dim, self.HEADS)
        self.news_pooling = AdditiveAttention(dim, hidden)

    def read(self, news: Tensor) -> tuple[Tensor, ...]:
        """News vectors (n, d)."""
        states, real = self.tokens(news)
        mixed = self.dropout(self.token_attention(self.reduce(states), real))
        return (self.token_pooling(mixed, real),)

    def person(self, clicked: Tensor, real: Tensor, users: Tensor) -> Tensor:
        """News that were read look at each other before they are summed."""
        mixed = self.dropout(self.news_attention(clicked, real))
        return self.news_pooling(mixed, real)


class NAML(NewsRecommender):
    """A convolution over tokens, and additive attention over tokens and over news.

    Source: Wu et al., "Neural News Recommendation with Attentive Multi-View Learning", IJCAI
    2019; one view.
    """

    def _build(self, width: int, dim: int, hidden: int, n_users: int) -> None:
        self.convolution = Convolution(width, dim)
        self.token_pooling = AdditiveAttention(dim, hidden)
        self.news_pooling = AdditiveAttention(dim, hidden)

    def read(self, news: Tensor) -> tuple[Tensor, ...]:
        """News vectors (n, d)."""
        states, real = self.tokens(news)
        return (self.token_pooling(self.dropout(self.convolution(states, real)), real),)

    def person(self, clicked: Tensor, real: Tensor, users: Tensor) -> Tensor:
        """A weighted sum of what was read."""
        return self.news_pooling(clicked, real)


class NPA(NewsRecommender):
    """As NAML, but each reader's own vector asks the questions, of tokens and of news.

    Source: Wu et al., "NPA: Neural News Recommendation with Personalized Attention", KDD 2019.
    """

    USER_DIM = 32

    def _build(self, width: int, dim: int, hidden: int, n_users: int) -> None:
        if n_users < 1:
            raise ValueError(f"n_users={n_users}: NPA has a vector for each user")
        self.users = nn.Embedding(n_users, self.USER_DIM)
        self.convolution = Convolution(width, dim)
        self.token_pooling = PersonalAttention(dim, self.USER_DIM, hidden)
        self.news_pooling = PersonalAttention(dim, self.USER_DIM, hidden)

    def read(self, news: Tensor) -> tuple[Tensor, ...]:
        """Tokens (n, T, d) and mask (n, T): what a text says depends on who reads it."""
        states, real = self.tokens(news)
        inner = self.dropout(self.convolution(states, real))
        # Parts that were read together are joined, so all are as long as the longest text.
        missing = self.mask.shape[1] + (self.category_token is not None) - real.shape[1]
        return F.pad(inner, (0, 0, 0, missing)), F.pad(real, (0, missing))

    def vectors(self, read: tuple[Tensor, ...], places: Tensor, users: Tensor) -> Tensor:
        """Each news as this user reads it, (B, L, d)."""
        tokens, real = read
        return self.token_pooling(tokens[places], real[places], self.users(users))

    def person(self, clicked: Tensor, real: Tensor, users: Tensor) -> Tensor:
        """A sum weighted by this user's own questions."""
        return self.news_pooling(clicked, real, self.users(users))

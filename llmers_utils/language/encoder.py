"""Text -> vectors with a sentence encoder, cached text by text."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from llmers_utils.data import fetch
from llmers_utils.language.embedding_cache import EmbeddingCache, folder_fingerprint, text_key
from llmers_utils.language.quiet import no_loading_bars
from llmers_utils.paths import cache_dir

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

# Encoders that the project fetches and verifies itself; any other name is left to the model hub.
ASSETS = ("all-MiniLM-L6-v2",)
BATCH, WIDTH_STEP = 16, 16  # texts in a batch; batches are this many tokens wide, or a multiple


class TextEncoder:
    """A sentence encoder by name, by folder, or by its name on the model hub.

    ``name``: ``"all-MiniLM-L6-v2"`` (384 wide; Wang et al. 2020, MiniLM; Reimers and Gurevych 2019,
    Sentence-BERT), a folder in sentence-transformers' layout, or a hub name. Vectors are cached in
    ``cache_dir()/embeddings``; texts that were seen before, in any order, cost no encoding.
    """

    def __init__(self, name: str = "all-MiniLM-L6-v2", *, device: str = "cpu") -> None:
        self.name = name
        self.device = device
        self.encoded = 0  # texts that went through the network, for the curious and for tests

    @cached_property
    def source(self) -> str:
        """Folder of the weights, or the hub name."""
        if Path(self.name).is_dir():
            return str(Path(self.name).resolve())
        return str(fetch(self.name)) if self.name in ASSETS else self.name

    @cached_property
    def model(self) -> SentenceTransformer:
        """The network; loaded at the first text that is not in the cache."""
        from sentence_transformers import SentenceTransformer

        no_loading_bars()
        return SentenceTransformer(self.source, device=self.device)

    @cached_property
    def _cache(self) -> EmbeddingCache:
        folder = Path(self.source)
        revision = folder_fingerprint(folder) if folder.is_dir() else "hub"
        slug = self.name.rstrip("/").replace("/", "--")[-60:]
        return EmbeddingCache(
            cache_dir() / "embeddings" / f"{slug}-{revision}",
            {"encoder": Path(self.name).name, "revision": revision, "pooling": "the model's own"},
        )

    @property
    def dim(self) -> int:
        """Width D of the vectors."""
        return self._cache.dim or int(self.model.get_embedding_dimension())

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of texts: (N, D) float32, one row a text in the order given.

        Pooling and normalisation are what the model's own modules say (MiniLM: mean over tokens,
        then unit length). Texts longer than the model's window are cut by its tokenizer. Raises
        TypeError when a single string or a non-string is given.
        """
        _check_texts(texts)
        keys = [text_key(text) for text in texts]
        known = self._cache.lookup(keys)
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        if missing:
            rows = self._encode_new(list(missing.values()))
            self._cache.add(list(missing), rows)
            known |= dict(zip(missing, rows, strict=True))
        if not keys:
            return np.zeros((0, self.dim), dtype=np.float32)
        return np.stack([known[key] for key in keys])

    def token_states(
        self, texts: Sequence[str], max_length: int | None = None, *, batch_size: int = 64
    ) -> tuple[np.ndarray, np.ndarray]:
        """Last-layer states of every token: states (N, T, D) float32 and mask (N, T) bool.

        T is the longest text of the call in tokens, special tokens included, at most
        ``max_length``. States are not pooled, not normalised, and zero where the mask is False.
        Not cached.
        """
        import torch

        _check_texts(texts)
        limit = min(max_length or self.model.max_seq_length, self.model.max_seq_length)
        tokens = self.model.tokenizer(
            list(texts), padding=True, truncation=True, max_length=limit, return_tensors="pt"
        )
        mask = tokens["attention_mask"].bool()
        states = []
        with torch.inference_mode():
            for start in range(0, len(mask), batch_size):
                part = {k: v[start : start + batch_size].to(self.device) for k, v in tokens.items()}
                states.append(self.model[0](part)["token_embeddings"].float().cpu())
        return (torch.cat(states) * mask[..., None]).numpy(), mask.numpy()

    def _encode_new(self, texts: list[str]) -> np.ndarray:
        """Rows (N, D); those of a text do not depend on which others are encoded with it.

        The last bits of a matrix product depend on its shape, and training makes much of little.
        So all batches have the same number of rows, and a width that their own texts decide.
        """
        import torch

        self.encoded += len(texts)
        prompt = self.model.prompts.get(self.model.default_prompt_name or "", "")
        texts = [prompt + text for text in texts]
        cut = {"truncation": True, "max_length": self.model.max_seq_length}
        shape = {"padding": True, "pad_to_multiple_of": WIDTH_STEP, "return_tensors": "pt"}
        tokens = self.model.tokenizer(texts, **cut)["input_ids"]
        rows = np.zeros((len(texts), self.model.get_embedding_dimension()), dtype=np.float32)
        with torch.inference_mode():
            for members in _equal_widths([len(ids) for ids in tokens]):
                filled = members + members[-1:] * (BATCH - len(members))
                batch = self.model.tokenizer([texts[row] for row in filled], **cut, **shape)
                features = {name: values.to(self.device) for name, values in batch.items()}
                found = self.model(features)["sentence_embedding"].float().cpu().numpy()
                rows[members] = found[: len(members)]
        return rows


def _equal_widths(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Rows of texts of about the same length in tokens, at most BATCH at a time."""
    buckets: dict[int, list[int]] = defaultdict(list)
    for row, length in enumerate(lengths):
        buckets[-(-length // WIDTH_STEP)].append(row)
    for _, members in sorted(buckets.items()):
        for start in range(0, len(members), BATCH):
            yield members[start : start + BATCH]


def _check_texts(texts: Sequence[str]) -> None:
    if isinstance(texts, str):
        raise TypeError("texts: a list of strings is needed, not one string")
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"texts[{index}]: must be a string, not {type(text).__name__}")

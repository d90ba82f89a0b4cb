"""What a frozen encoder says of every token of every text: computed once, kept on disk."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from llmers_utils.language.embedding_cache import folder_fingerprint
from llmers_utils.language.encoder import TextEncoder
from llmers_utils.paths import cache_dir

FIT_TOKENS = 20_000
"""Tokens, evenly spaced, from which the principal directions are taken."""


@dataclass(frozen=True)
class TokenPair:
    """Input of an encoder of the BERT family: ``ids``, and ``segments`` (0 first, 1 second)."""

    ids: tuple[int, ...]
    segments: tuple[int, ...]


@dataclass(frozen=True)
class TokenStates:
    """States of texts of different lengths: ``values`` (N, T, d) float16, ``mask`` (N, T) bool.

    T is the longest text; values are zero where the mask is False.
    """

    values: np.ndarray
    mask: np.ndarray


def frozen_states(
    encoder: TextEncoder, pairs: Sequence[TokenPair], dim: int = 96, *, batch_size: int = 64
) -> TokenStates:
    """Last-layer states of every token, on their first ``dim`` principal directions.

    The encoder sees each distinct input once, with an attention mask, so that a state does not
    depend on the padding of its batch. States are centred and scaled to a mean variance of one
    over the tokens: what all tokens share tells nothing apart. Kept in
    ``cache_dir()/token_states``.

    Raises:
        ValueError: no inputs, or an input longer than the encoder's window.
    """
    if not pairs:
        raise ValueError("pairs: at least one is needed")
    distinct = list(dict.fromkeys(pairs))
    row_of = {pair: row for row, pair in enumerate(distinct)}
    lengths = np.array([len(pair.ids) for pair in distinct])
    path = cache_dir() / "token_states" / f"{_key(encoder, distinct, dim)}.safetensors"
    flat = load_file(path)["states"] if path.is_file() else None
    if flat is None or flat.shape != (lengths.sum(), min(dim, flat.shape[1])):
        flat = _principal(_forward(encoder, distinct, batch_size), dim).astype(np.float16)
        _write(path, flat)
    rows = np.array([row_of[pair] for pair in pairs])
    starts = np.concatenate([[0], np.cumsum(lengths)])[rows]
    mask = np.arange(lengths.max()) < lengths[rows][:, None]
    values = np.zeros((*mask.shape, flat.shape[1]), dtype=np.float16)
    places = starts[:, None] + np.arange(mask.shape[1])
    values[mask] = flat[places[mask]]
    return TokenStates(values, mask)


def _forward(encoder: TextEncoder, pairs: Sequence[TokenPair], batch_size: int) -> np.ndarray:
    """States (all tokens, D) float32 of the pairs, one after the other."""
    import torch

    longest = max(len(pair.ids) for pair in pairs)
    if longest > encoder.model.max_seq_length:
        raise ValueError(
            f"an input has {longest} tokens; {encoder.name} reads {encoder.model.max_seq_length}"
        )
    order = sorted(range(len(pairs)), key=lambda row: len(pairs[row].ids))
    states: list[np.ndarray] = [np.zeros(0)] * len(pairs)
    with torch.inference_mode():
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            width = max(len(pairs[row].ids) for row in rows)
            batch = torch.zeros(3, len(rows), width, dtype=torch.long)
            for i, row in enumerate(rows):
                length = len(pairs[row].ids)
                batch[0, i, :length] = torch.tensor(pairs[row].ids)
                batch[1, i, :length] = torch.tensor(pairs[row].segments)
                batch[2, i, :length] = 1
            names = ("input_ids", "token_type_ids", "attention_mask")
            features = dict(zip(names, batch.to(encoder.device), strict=True))
            found = encoder.model[0](features)["token_embeddings"].float().cpu().numpy()
            for i, row in enumerate(rows):
                states[row] = found[i, : len(pairs[row].ids)].copy()
    return np.concatenate(states)


def _principal(states: np.ndarray, dim: int) -> np.ndarray:
    """Centred states on their first directions, (M, dim), with a mean variance of one."""
    step = max(1, len(states) // FIT_TOKENS)
    centre = states.mean(0, dtype=np.float64)
    sample = states[::step] - centre
    _, directions = np.linalg.eigh(sample.T @ sample)  # ascending
    directions = directions[:, ::-1][:, :dim]
    # An eigenvector's sign is chance: let its largest component be positive on every machine.
    largest = np.abs(directions).argmax(0)
    directions = directions * np.sign(directions[largest, np.arange(directions.shape[1])])
    projected = (states - centre) @ directions
    return projected / max(projected.std(), 1e-12)


def _key(encoder: TextEncoder, pairs: Sequence[TokenPair], dim: int) -> str:
    folder = Path(encoder.source)
    revision = folder_fingerprint(folder) if folder.is_dir() else encoder.source
    digest = hashlib.sha256(f"{revision} {dim}".encode())
    for pair in pairs:
        digest.update(np.array([pair.ids, pair.segments], dtype="<i4").tobytes() + b"|")
    return digest.hexdigest()[:32]


def _write(path: Path, states: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    save_file({"states": np.ascontiguousarray(states)}, temporary)
    os.replace(temporary, path)

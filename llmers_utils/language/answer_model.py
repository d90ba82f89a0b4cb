"""Answers of a causal language model: how likely they are, and how to learn them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

_IGNORED = -100  # label of positions that bear no loss


class AnswerModel:
    """Scoring and tuning on (prompt, answer) pairs; ``CausalLM`` inherits it."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    max_length: int

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.device

    def answer_batch(
        self, pairs: Sequence[tuple[str, str]], *, end: bool = True
    ) -> dict[str, torch.Tensor]:
        """Prompts and answers as ``input_ids``, ``attention_mask`` and ``labels``, each (N, T).

        Labels are -100 outside the answer. ``end``: the answer closes with the end token.
        """
        closing = [self.tokenizer.eos_token_id] if end else []
        rows = []
        for prompt, answer in pairs:
            reply = self.tokenizer(answer, add_special_tokens=False)["input_ids"] + closing
            if not reply:
                raise ValueError(f"the answer to {prompt[:60]!r} has no tokens")
            if len(reply) >= self.max_length:
                raise ValueError(f"the answer to {prompt[:60]!r} alone has {len(reply)} tokens")
            rows.append((self._ids(prompt)[-(self.max_length - len(reply)) :], reply))
        ids, mask = self._padded([prompt + reply for prompt, reply in rows])
        labels = torch.full_like(ids, _IGNORED)
        for row, (prompt, reply) in enumerate(rows):
            labels[row, len(prompt) : len(prompt) + len(reply)] = torch.tensor(reply)
        return {"input_ids": ids, "attention_mask": mask.long(), "labels": labels}

    def fit_answers(
        self,
        pairs: Sequence[tuple[str, str]],
        *,
        epochs: int = 1,
        lr: float = 1e-3,
        batch_size: int = 8,
        weight_decay: float = 0.0,
        seed: int = 0,
    ) -> list[float]:
        """Supervised fine-tuning on (prompt, answer) pairs; loss on the answers' tokens only.

        Trains what requires gradients (with LoRA: the adapters). Returns the mean loss of each
        epoch, nats a token. AdamW, gradients cut at norm 1.
        """
        rng = np.random.default_rng(seed)
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(parameters, lr=lr, weight_decay=weight_decay)
        history = []
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.model.train()
            for _ in range(epochs):
                losses = []
                for rows in _chunks(rng.permutation(len(pairs)), batch_size):
                    batch = self.answer_batch([pairs[row] for row in rows])
                    loss = self.model(**batch, use_cache=False).loss
                    optimizer.zero_grad()
                    loss.backward()
                    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
                    optimizer.step()
                    losses.append(loss.item())
                history.append(float(np.mean(losses)))
            self.model.eval()
        return history

    @torch.no_grad()
    def logprobs(
        self,
        prompts: Sequence[str],
        answers: Sequence[str],
        *,
        average: bool = False,
        batch_size: int = 16,
    ) -> np.ndarray:
        """Log-probability (N,) in nats of each answer after its prompt: sum or token mean."""
        pairs = list(zip(prompts, answers, strict=True))
        scores = []
        for start in range(0, len(pairs), batch_size):
            batch = self.answer_batch(pairs[start : start + batch_size], end=False)
            labels = batch.pop("labels")[:, 1:]
            logits = self.model(**batch, use_cache=False).logits[:, :-1].float()
            at_answer = labels != _IGNORED
            chosen = torch.log_softmax(logits, dim=-1).gather(2, labels.clamp_min(0)[..., None])[
                ..., 0
            ]
            total = (chosen * at_answer).sum(dim=1)
            scores.append(total / at_answer.sum(dim=1) if average else total)
        return torch.cat(scores).cpu().numpy() if scores else np.zeros(0, dtype=np.float32)

    @torch.no_grad()
    def next_token_logprobs(
        self, prompts: Sequence[str], candidates: Sequence[str], *, batch_size: int = 16
    ) -> np.ndarray:
        """Log-probabilities (N, C) in nats of the first token of each candidate after each prompt.

        Over the whole vocabulary, not renormalised over the candidates. Raises ValueError where two
        candidates begin with the same token, since it could not tell them apart.
        """
        firsts = [
            self.tokenizer(text, add_special_tokens=False)["input_ids"][:1] for text in candidates
        ]
        columns = [ids[0] for ids in firsts if ids]
        if len(dict.fromkeys(columns)) != len(candidates):
            raise ValueError(
                f"candidates {list(candidates)}: each must begin with a token of its own"
            )
        rows = []
        for start in range(0, len(prompts), batch_size):
            ids = [self._ids(prompt) for prompt in prompts[start : start + batch_size]]
            batch, mask = self._padded(ids)
            logits = self.model(
                input_ids=batch, attention_mask=mask.long(), use_cache=False
            ).logits.float()
            last = logits[torch.arange(len(batch)), mask.sum(dim=1) - 1]
            rows.append(torch.log_softmax(last, dim=-1)[:, columns].cpu().numpy())
        return np.concatenate(rows) if rows else np.zeros((0, len(candidates)), dtype=np.float32)

    def _ids(self, text: str) -> list[int]:
        """Token ids of a text; a beginning that stands in the text already is not added again."""
        begin = self.tokenizer.bos_token
        special = not (begin and text.startswith(begin))
        ids = self.tokenizer(text, add_special_tokens=special)["input_ids"]
        if not ids:
            raise ValueError("an empty text has no tokens for this tokenizer")
        return ids[-self.max_length :]

    def _padded(
        self, rows: Sequence[list[int]], *, left: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids (N, T) and mask (N, T) bool of rows of ids."""
        width = max(map(len, rows))
        ids = torch.full((len(rows), width), self.tokenizer.pad_token_id)
        mask = torch.zeros((len(rows), width), dtype=torch.bool)
        for row, values in enumerate(rows):
            place = slice(width - len(values), width) if left else slice(len(values))
            ids[row, place] = torch.tensor(values)
            mask[row, place] = True
        return ids.to(self.device), mask.to(self.device)


def _chunks(values: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(values), size):
        yield values[start : start + size]

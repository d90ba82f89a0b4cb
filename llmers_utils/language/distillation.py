"""SLIM's distillation: a teacher's rationales in three steps, and a small student tuned on them.

The stored student is made by ``train_slim_student``.

Source of the method: Wang et al., "Can Small Language Models be Good Reasoners for Sequential
Recommendation?", WWW 2024 (no official code).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from llmers_utils.data import Dataset, Split, display_titles
from llmers_utils.language.causal_lm import CausalLM
from llmers_utils.language.responses import Request, Response
from llmers_utils.language.schemas import UserPreference
from llmers_utils.language.tasks import request_for
from llmers_utils.language.train_tiny_lm import without_ratings
from llmers_utils.paths import DATA

TASK = "rationale"
STUDENT = "slim-student"
FOLDER = DATA / "models" / STUDENT
SHOWN = 8  # films in a prompt
EXERCISES, EPOCHS = 6000, 4  # in the stored student's course
_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
START = "Step 1:"
_STEPS = re.compile(r"Step 1:.*Step 2:.*Step 3:", re.DOTALL)

Pair = tuple[str, str]
"""A prompt and the answer to learn."""


def rationale(split: Split) -> list[Request]:
    """One request a user: the latest films of the training view that they liked, three steps.

    Liked is what was rated no worse than the person's own mean.
    """
    raw, lines = split.dataset.users["raw_user"].to_list(), _lines(split.dataset)
    return [
        request_for(TASK, raw[user], "\n".join(lines[item] for item in items[-SHOWN:]))
        for user, items in enumerate(liked(split))
        if len(items)
    ]


def liked(split: Split) -> list[np.ndarray]:
    """For each user the items of the training view rated no worse than their mean, in order."""
    views = (split.training_view(user) for user in range(split.dataset.n_users))
    return [v.filter(v["rating"] >= v["rating"].mean())["item"].to_numpy() for v in views]


def three_steps(taste: UserPreference) -> str:
    """A recorded preference as a rationale: taste, then genres and styles, then kinds of film.

    Sentences that quote a rating are left out, since the student is not shown any.
    """
    summary = without_ratings(taste.summary) or f"Likes {', '.join(taste.preferences)}."
    kinds = f"{', '.join(taste.genres)}; {', '.join(taste.styles)}."
    return f"Step 1: {summary}\nStep 2: {kinds}\nStep 3: {'; '.join(taste.next)}."


def teacher_texts(answers: Sequence[Response], entities: Sequence[str]) -> list[str | None]:
    """The teacher's rationale for each raw id of ``entities``; None where no answer succeeded.

    Answers to ``user_preference`` are put into three steps, free text stays as it is.
    """
    found = {
        answer.entity: answer.text if answer.task == TASK else three_steps(answer.parsed())
        for answer in answers
        if answer.error is None
    }
    return [found.get(entity) for entity in entities]


@dataclass(frozen=True)
class Division:
    """Who is taught and who is kept apart: sorted dense user ids, disjoint.

    ``new`` are those of ``held`` about whom the tiny language model has never read anything.
    """

    taught: np.ndarray
    held: np.ndarray
    new: np.ndarray


def divide(dataset: Dataset, *, share: float = 0.3, held: int = 100, seed: int = 0) -> Division:
    """Draw ``share`` of the users to be taught on, and ``held`` others to measure on.

    Everybody of ``new`` is among the latter. Raises ValueError where there are too few users.
    """
    new = new_to_tiny(dataset)
    rest = np.random.default_rng(seed).permutation(np.setdiff1d(np.arange(dataset.n_users), new))
    taught = round(share * dataset.n_users)
    end = taught + max(0, held - len(new))
    if taught < 1 or end > len(rest):
        raise ValueError(f"share={share}, held={held}: too many for {dataset.n_users} users")
    return Division(np.sort(rest[:taught]), np.sort(np.append(new, rest[taught:end])), new)


def new_to_tiny(dataset: Dataset) -> np.ndarray:
    """Users whose early answer ``train_tiny_lm`` held out: no text about them made the weights.

    It draws them as that command does. For another data set the result is empty.
    """
    if dataset.name != "ml-100k":
        return np.zeros(0, dtype=np.int64)
    talks = dataset.n_items + dataset.n_users  # films first, then people by id
    drawn = np.random.default_rng(0).permutation(talks)[: talks // 50] - dataset.n_items
    return np.sort(drawn[drawn >= 0])


def reading_pairs(
    split: Split, lm: CausalLM, users: np.ndarray, count: int, seed: int = 0
) -> list[Pair]:
    """Exercises in reading, made by rule from the log: a list of films, its commonest genres.

    A model of four million parameters cannot read a list before it is taught to. ``count`` random
    windows of what ``users`` liked; no language model is asked.
    """
    rng = np.random.default_rng(seed)
    items, lines = liked(split), _lines(split.dataset)
    genres = split.dataset.items["genres"].to_list()
    pairs = []
    for user in rng.choice(users, count):
        end = rng.integers(min(SHOWN, len(items[user])), len(items[user]) + 1)
        window = items[user][max(0, end - SHOWN) : end]
        counts = Counter(genre for item in window for genre in genres[item])
        commonest = sorted(counts, key=lambda genre: (-counts[genre], genre))[:4]
        request = request_for(TASK, "", "\n".join(lines[item] for item in window))
        pairs.append((lm.chat(request.messages), f"Step 2: {', '.join(commonest)}"))
    return pairs


def new_student(rank: int = 16, base: str = "tiny") -> CausalLM:
    """A `CausalLM` with fresh adapters on all of its linear layers; only they are trained."""
    torch.manual_seed(0)
    return CausalLM(base).with_lora(rank, 2 * rank, _LINEAR)


def distil(
    student: CausalLM,
    pairs: Sequence[Pair],
    *,
    exercises: Sequence[Pair] = (),
    epochs: int = 1,
    lr: float = 1e-3,
    seed: int = 0,
) -> list[float]:
    """Tune the student on rationales, token by token; the prompt bears no loss.

    ``exercises`` are mixed in, as many as pairs and others in each epoch, so that it does not
    forget how to read. The rate falls linearly. Returns the mean loss of each epoch, nats a token.
    """
    losses = []
    for epoch in range(epochs):
        mixed = [*pairs, *exercises[epoch * len(pairs) : (epoch + 1) * len(pairs)]]
        losses += student.fit_answers(mixed, lr=lr * (1 - epoch / epochs), seed=seed + epoch)
    return losses


def answer_nll(lm: CausalLM, pairs: Sequence[Pair]) -> float:
    """Mean negative log-likelihood of the answers, nats a token, each answer counted alike."""
    prompts, answers = zip(*pairs, strict=True)
    return -float(lm.logprobs(prompts, answers, average=True).mean())


def student_texts(student: CausalLM, requests: Sequence[Request]) -> list[str]:
    """One rationale a request; where a step is missing it is asked once more, by sampling.

    The first words are given, since the same prompt also stands before the exercises.
    """
    prompts = [f"{student.chat(request.messages)}{START}" for request in requests]
    limit = max(request.max_tokens for request in requests)

    def write(rows: Sequence[int], temperature: float) -> list[str]:
        some = [prompts[row] for row in rows]
        texts = student.generate(some, limit, temperature=temperature, batch_size=32)
        return [f"{START} {text}" for text in texts]

    texts = write(range(len(prompts)), 0.0)
    poor = [row for row, text in enumerate(texts) if not _STEPS.search(text)]
    for row, text in zip(poor, write(poor, 0.7), strict=True):
        texts[row] = text if _STEPS.search(text) else texts[row]
    return texts


def save_student(student: CausalLM, folder: Path, facts: dict) -> None:
    """Keep the adapters (float16) and the facts of their training."""
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    weights = get_peft_model_state_dict(student.model)
    weights = {name: value.half().contiguous() for name, value in weights.items()}
    save_file(weights, folder / "adapter.safetensors", metadata={"format": "pt"})
    (folder / "training.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def open_student(folder: Path = FOLDER) -> CausalLM:
    """The stored student. Raises FileNotFoundError where there is none."""
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    path = folder / "adapter.safetensors"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: python -m llmers_utils.language.train_slim_student makes it"
        )
    weights = {name: value.float() for name, value in load_file(path).items()}
    student = new_student(next(len(w) for name, w in weights.items() if "lora_A" in name))
    set_peft_model_state_dict(student.model, weights)
    student.name = STUDENT
    return student


def _lines(dataset: Dataset) -> list[str]:
    """Title and genres of each item, as a prompt shows it."""
    genres = dataset.items["genres"].to_list()
    pairs = zip(display_titles(dataset), genres, strict=True)
    return [f"{title} | {', '.join(names)}" for title, names in pairs]

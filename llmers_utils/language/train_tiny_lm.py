"""Train the tiny language model on the project's recorded answers.

``python -m llmers_utils.language.train_tiny_lm`` rebuilds ``data/models/tiny-lm``: a byte-level
BPE tokenizer and a Llama-shaped model of about four million parameters. It learns to continue
"title, year, genres" with a description of the film, and a list of genres with a person's taste.
It is a stand-in for a large model where a notebook needs weights to open, not a source of
knowledge.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from llmers_utils.language.responses import ResponseStore
from llmers_utils.language.schemas import ItemKnowledge, UserPreference, as_text
from llmers_utils.language.tiny_lm import TINY, film_question, person_question
from llmers_utils.paths import DATA

Message = dict[str, str]
PAD, BEGIN, END = "<|pad|>", "<|begin|>", "<|end|>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
# `generation` marks what the assistant says, so that a trainer can mask all else.
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ '<|' + message['role'] + '|>\\n' }}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + eos_token }}{% endgeneration %}"
    "{% else %}{{ message['content'] + eos_token }}{% endif %}{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)
# Reasons quote a person's ratings ("earned a 5"); the model must not memorise them.
_QUOTES_RATING = re.compile(r"\b([1-5]s?|twos?|threes?|fours?|fives?)\b", re.IGNORECASE)


def without_ratings(text: str) -> str:
    """The sentences of a text that quote no rating."""
    sentences = re.split(r"(?<=[.!?])\s+", text)
    return " ".join(sentence for sentence in sentences if not _QUOTES_RATING.search(sentence))


def film_conversation(title: str, genres: Sequence[str], known: ItemKnowledge) -> list[Message]:
    """One film as a question and an answer."""
    return _exchange(film_question(title, genres), known.full_text())


def person_conversation(taste: UserPreference) -> list[Message]:
    """One person's taste as a question and an answer."""
    answer = without_ratings(f"{as_text(taste)} {taste.reasoning}")
    return _exchange(person_question(taste.genres, taste.styles), answer)


def recorded_conversations(dataset_name: str = "ml-100k") -> list[list[Message]]:
    """The recorded answers about films and about people, as conversations in a fixed order.

    Of the people only the early preferences are read: they were reasoned from interactions that are
    training data under every protocol, so nothing held out can reach the weights.
    """
    from llmers_utils.data import display_titles, load_dataset

    dataset = load_dataset(dataset_name)
    titles = dict(zip(dataset.items["raw_item"], display_titles(dataset), strict=True))
    genres = dict(zip(dataset.items["raw_item"], dataset.items["genres"].to_list(), strict=True))
    store = ResponseStore(DATA / "llm_responses" / dataset_name)
    conversations = [
        film_conversation(titles[row.entity], genres[row.entity], row.parsed())
        for row in store.rows("item_knowledge")
    ]
    conversations += [
        person_conversation(row.parsed()) for row in store.rows("user_preference_early")
    ]
    return conversations


def train_tokenizer(texts: Sequence[str], vocabulary: int = 4096) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer with the chat template."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PAD, BEGIN, END, *ROLES],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", special_tokens=[(BEGIN, tokenizer.token_to_id(BEGIN))]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=BEGIN,
        eos_token=END,
        additional_special_tokens=list(ROLES),
        model_max_length=1024,
        padding_side="left",
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def tiny_config(tokenizer: PreTrainedTokenizerFast, hidden: int, layers: int) -> LlamaConfig:
    """Llama in small: tied embeddings, heads of 32, rotary positions up to 1024."""
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=int(hidden * 2.75) // 16 * 16,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 32,
        num_key_value_heads=hidden // 32,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def _windows(documents: list[list[int]], length: int, rng: np.random.Generator) -> np.ndarray:
    """Shuffled documents end to end, cut into windows (W, length + 1)."""
    stream = np.concatenate([documents[i] for i in rng.permutation(len(documents))])
    count = (len(stream) - 1) // length
    return np.stack([stream[w * length : (w + 1) * length + 1] for w in range(count)])


def _batches(windows: np.ndarray, size: int) -> Iterator[torch.Tensor]:
    for start in range(0, len(windows) - size + 1, size):
        yield torch.from_numpy(windows[start : start + size])


def _loss(model: LlamaForCausalLM, batch: torch.Tensor) -> torch.Tensor:
    logits = model(input_ids=batch[:, :-1], use_cache=False).logits
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())


@torch.no_grad()
def _validation(model: LlamaForCausalLM, windows: np.ndarray) -> float:
    model.eval()
    losses = [_loss(model, torch.from_numpy(window[None])).item() for window in windows]
    model.train()
    return float(np.mean(losses))


def train(
    conversations: Sequence[list[Message]], folder: Path, options: argparse.Namespace
) -> dict:
    """Train tokenizer and model, save both in ``folder`` (fp16 safetensors), return the facts.

    Two percent of the conversations are held out; their loss, in nats a token, is reported.
    """
    rng = np.random.default_rng(options.seed)
    torch.manual_seed(options.seed)
    tokenizer = train_tokenizer([turn["content"] for talk in conversations for turn in talk])
    documents = [
        tokenizer(tokenizer.apply_chat_template(talk, tokenize=False), add_special_tokens=False)[
            "input_ids"
        ]
        for talk in conversations
    ]
    order = rng.permutation(len(documents))
    held = len(documents) // 50
    valid = _windows([documents[i] for i in order[:held]], options.length, rng)
    documents = [documents[i] for i in order[held:]]
    model = LlamaForCausalLM(tiny_config(tokenizer, options.hidden, options.layers))
    tokens = sum(map(len, documents))
    steps = max(1, int(options.epochs * tokens / (options.length * options.batch)))
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=options.lr, betas=(0.9, 0.98), weight_decay=0.05
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, options.lr, total_steps=steps + 1, pct_start=0.05
    )
    start, step = time.perf_counter(), 0
    while step < steps:
        for batch in _batches(_windows(documents, options.length, rng), options.batch):
            loss = _loss(model, batch)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            step += 1
            if step % options.log_every == 0 or step == steps:
                elapsed = time.perf_counter() - start
                print(f"step {step}/{steps}  loss {loss.item():.3f}  {elapsed:.0f} s", flush=True)
            if step == steps:
                break
    facts = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "training_tokens": tokens,
        "epochs": options.epochs,
        "seed": options.seed,
        "validation_loss": round(_validation(model, valid), 3),
    }
    model.half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "training.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return facts


def parser() -> argparse.ArgumentParser:
    """Options of the command."""
    result = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    result.add_argument("--dataset", default="ml-100k")
    result.add_argument("--output", type=Path, default=TINY)
    result.add_argument("--epochs", type=float, default=10.0)
    result.add_argument("--hidden", type=int, default=256)
    result.add_argument("--layers", type=int, default=4)
    result.add_argument("--length", type=int, default=192)
    result.add_argument("--batch", type=int, default=8)
    result.add_argument("--lr", type=float, default=3e-3)
    result.add_argument("--seed", type=int, default=0)
    result.add_argument("--log-every", type=int, default=50)
    return result


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    options = parser().parse_args(arguments)
    print(train(recorded_conversations(options.dataset), options.output, options))


def _exchange(question: str, answer: str) -> list[Message]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


if __name__ == "__main__":
    main()

"""A causal language model with its weights open: states, generation, LoRA, answer-only tuning."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from llmers_utils.language.answer_model import AnswerModel
from llmers_utils.language.quiet import no_loading_bars
from llmers_utils.language.tiny_lm import TINY


class CausalLM(AnswerModel):
    """A model of transformers and its tokenizer, float32.

    ``name``: ``"tiny"`` (the project's own, about four million parameters), a folder, or a name
    on the model hub. ``model`` and ``tokenizer`` are open. Prompts are plain strings; ``chat``
    makes one of messages. The first token of a text is the tokenizer's beginning, where it has
    one. Texts longer than ``max_length`` tokens are cut at the left, so that their end is kept.
    """

    def __init__(
        self, name: str = "tiny", *, device: str = "cpu", max_length: int | None = None
    ) -> None:
        source = str(TINY) if name == "tiny" else name
        if name == "tiny" and not (TINY / "config.json").is_file():
            raise FileNotFoundError(
                f"{TINY}: missing; python -m llmers_utils.language.train_tiny_lm makes it"
            )
        no_loading_bars()
        self.name = name
        self.tokenizer = AutoTokenizer.from_pretrained(source)
        self.model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
        self.model.to(device).eval()
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        self.max_length = max_length or self.model.config.max_position_embeddings

    @property
    def dim(self) -> int:
        """Width D of the hidden states."""
        return self.model.config.hidden_size

    def chat(self, messages: Sequence[dict[str, str]]) -> str:
        """Messages as one prompt that ends where the assistant begins."""
        return self.tokenizer.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=True
        )

    def count_tokens(self, text: str) -> int:
        """Number of tokens of a text, the beginning included."""
        return len(self._ids(text))

    @torch.no_grad()
    def hidden_states(
        self,
        texts: Sequence[str] | None = None,
        *,
        inputs_embeds: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        layer: int = -1,
        batch_size: int = 16,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """States of every token: (N, T, D) float32 and the mask (N, T) bool, padded at the right.

        Give either texts, or ``inputs_embeds`` (N, T, D) with an optional mask. ``layer`` counts
        as transformers does: 0 is the embedding, k the k-th block's output, -1 the last, after
        the final norm. For gradients call ``model`` itself.
        """
        if (texts is None) == (inputs_embeds is None):
            raise ValueError("give either texts or inputs_embeds")
        if inputs_embeds is None:
            ids, mask = self._padded([self._ids(text) for text in texts])
            inputs = {"input_ids": ids}
        else:
            given = torch.ones(inputs_embeds.shape[:2]) if mask is None else mask
            mask = given.bool().to(self.device)
            inputs = {"inputs_embeds": inputs_embeds.to(self.device)}
        [(name, values)] = inputs.items()
        parts = []
        for rows in torch.arange(len(mask)).split(batch_size):
            output = self.model(
                **{name: values[rows]},
                attention_mask=mask[rows].long(),
                output_hidden_states=True,
                use_cache=False,
            )
            parts.append(output.hidden_states[layer].float())
        return torch.cat(parts) * mask[..., None], mask

    def embed(self, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Embeddings (N, T, D), with gradients, and mask (N, T): what ``inputs_embeds`` takes."""
        ids, mask = self._padded([self._ids(text) for text in texts])
        return self.model.get_input_embeddings()(ids), mask

    @torch.no_grad()
    def generate(
        self,
        texts: Sequence[str],
        max_new_tokens: int = 128,
        *,
        temperature: float = 0.0,
        seed: int = 0,
        batch_size: int = 16,
    ) -> list[str]:
        """Continuations, one a text, without the text itself. Temperature 0 is greedy.

        One seed gives one answer for the same texts and batch size; the global generator of torch
        is left as it was.
        """
        sampling = {"do_sample": True, "temperature": temperature, "top_k": 50}
        how = sampling if temperature > 0 else {"do_sample": False}
        room = max(1, self.max_length - max_new_tokens)
        answers: list[str] = []
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for start in range(0, len(texts), batch_size):
                ids = [self._ids(text)[-room:] for text in texts[start : start + batch_size]]
                batch, mask = self._padded(ids, left=True)
                output = self.model.generate(
                    input_ids=batch,
                    attention_mask=mask.long(),
                    max_new_tokens=max_new_tokens,
                    pad_token_id=self.tokenizer.pad_token_id,
                    **how,
                )
                answers += self.tokenizer.batch_decode(
                    output[:, batch.shape[1] :], skip_special_tokens=True
                )
        return [answer.strip() for answer in answers]

    def add_tokens(self, tokens: Sequence[str]) -> list[int]:
        """Ids of tokens, new ones added with the mean embedding as their start."""
        known = set(self.tokenizer.get_vocab())
        fresh = [token for token in dict.fromkeys(tokens) if token not in known]
        if fresh:
            first = len(self.tokenizer)
            self.tokenizer.add_tokens(fresh)
            self.model.resize_token_embeddings(len(self.tokenizer), mean_resizing=False)
            for layer in (self.model.get_input_embeddings(), self.model.get_output_embeddings()):
                with torch.no_grad():
                    layer.weight[first:] = layer.weight[:first].mean(dim=0)
        return self.tokenizer.convert_tokens_to_ids(list(tokens))

    def truncate(self, n_layers: int) -> CausalLM:
        """Keep the first ``n_layers`` blocks (the final norm stays). In place; returns self."""
        blocks = self.model.model.layers
        if not 1 <= n_layers <= len(blocks):
            raise ValueError(f"n_layers={n_layers}: must be from 1 to {len(blocks)}")
        self.model.model.layers = blocks[:n_layers]
        self.model.config.num_hidden_layers = n_layers
        return self

    def with_lora(
        self, r: int = 8, alpha: float = 16, targets: Sequence[str] = ("q_proj", "v_proj")
    ) -> CausalLM:
        """Wrap the model in LoRA adapters (Hu et al. 2022); only they are trainable. In place.

        The adapters start at zero effect. ``targets`` are names of linear layers.
        """
        from peft import LoraConfig, get_peft_model

        config = LoraConfig(
            r=r, lora_alpha=alpha, target_modules=list(targets), task_type="CAUSAL_LM"
        )
        self.model = get_peft_model(self.model, config)
        return self

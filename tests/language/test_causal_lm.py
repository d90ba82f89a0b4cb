from __future__ import annotations

import numpy as np
import pytest
import torch

from llmers_utils.language.causal_lm import CausalLM
from llmers_utils.language.tiny_lm import film_question, tiny_samples

PROMPT = "The film is about"
PAIRS = [("Is Heat good?", " Yes, a fine crime drama."), ("Is Toy Story good?", " A warm tale.")]


def test_states_shape_and_padding(tiny):
    states, mask = tiny.hidden_states(["a film", "a much longer film about love and war"])
    assert states.shape == (*mask.shape, tiny.dim)
    assert mask.sum(dim=1).tolist() == [tiny.count_tokens("a film"), mask.shape[1]]
    assert not states[~mask].any()
    alone, _ = tiny.hidden_states(["a film"])
    torch.testing.assert_close(states[0, : alone.shape[1]], alone[0], atol=1e-4, rtol=1e-4)


def test_states_are_causal(tiny):
    first, _ = tiny.hidden_states(["a film about love"])
    second, _ = tiny.hidden_states(["a film about love and war in Rome"])
    torch.testing.assert_close(second[0, : first.shape[1]], first[0], atol=1e-4, rtol=1e-4)


def test_layers_are_counted_as_in_transformers(tiny):
    embedded, _ = tiny.embed([PROMPT])
    torch.testing.assert_close(tiny.hidden_states([PROMPT], layer=0)[0], embedded.detach())
    blocks = tiny.model.config.num_hidden_layers
    last = tiny.hidden_states([PROMPT], layer=blocks)[0]
    torch.testing.assert_close(tiny.hidden_states([PROMPT])[0], last)


def test_inputs_embeds_are_equivalent_to_texts(tiny):
    texts = ["a film", "a much longer film about love and war"]
    states, _ = tiny.hidden_states(texts)
    embedded, mask_too = tiny.embed(texts)
    again, _ = tiny.hidden_states(inputs_embeds=embedded, mask=mask_too)
    torch.testing.assert_close(states, again)
    assert embedded.requires_grad
    with pytest.raises(ValueError, match="either"):
        tiny.hidden_states(texts, inputs_embeds=embedded)


def test_logprobs_are_the_cross_entropy_of_the_answer(tiny):
    prompt, answer = PAIRS[0]
    begin = tiny.tokenizer(prompt)["input_ids"]
    reply = tiny.tokenizer(answer, add_special_tokens=False)["input_ids"]
    assert begin[0] == tiny.tokenizer.bos_token_id
    with torch.no_grad():
        logits = tiny.model(torch.tensor([begin + reply])).logits[0]
    at_answer = logits[len(begin) - 1 : -1]
    expected = -torch.nn.functional.cross_entropy(at_answer, torch.tensor(reply), reduction="sum")
    scores = tiny.logprobs(*zip(*PAIRS, strict=True))
    assert scores[0] == pytest.approx(expected.item(), abs=1e-3)
    mean = tiny.logprobs([prompt], [answer], average=True)
    assert mean[0] == pytest.approx(expected.item() / len(reply), abs=1e-4)


def test_next_token_logprobs(tiny):
    scores = tiny.next_token_logprobs([PROMPT, "A"], [" love", " war", "."])
    assert scores.shape == (2, 3)
    for column, candidate in enumerate([" love", " war", "."]):
        first = tiny.tokenizer(candidate, add_special_tokens=False)["input_ids"][0]
        with torch.no_grad():
            logits = tiny.model(torch.tensor([tiny.tokenizer(PROMPT)["input_ids"]])).logits[0, -1]
        expected = torch.log_softmax(logits, dim=-1)[first].item()
        assert scores[0, column] == pytest.approx(expected, abs=1e-4)
    with pytest.raises(ValueError, match="token of its own"):
        tiny.next_token_logprobs([PROMPT], ["1", "1"])


def test_loss_masks_all_but_the_answer(tiny):
    batch = tiny.answer_batch(PAIRS)
    for row, (prompt, answer) in enumerate(PAIRS):
        labels = batch["labels"][row]
        kept = labels[labels != -100]
        text = tiny.tokenizer.decode(kept)
        assert text == answer + tiny.tokenizer.eos_token
        start = int((labels != -100).nonzero()[0])
        assert start == tiny.count_tokens(prompt)
        torch.testing.assert_close(kept, batch["input_ids"][row, start : start + len(kept)])
    assert batch["labels"][batch["attention_mask"] == 0].eq(-100).all()


def test_long_prompt_is_cut_and_the_answer_kept():
    lm = CausalLM("tiny", max_length=24)
    batch = lm.answer_batch([("word " * 100, " yes")])
    assert batch["input_ids"].shape[1] == 24
    assert lm.tokenizer.decode(batch["labels"][batch["labels"] != -100]).startswith(" yes")
    with pytest.raises(ValueError, match="alone"):
        lm.answer_batch([("a", "word " * 100)])
    with pytest.raises(ValueError, match="no tokens"):
        lm.answer_batch([("a", "")], end=False)


def test_fitting_raises_the_answers_likelihood_and_is_repeatable():
    def fitted():
        lm = CausalLM("tiny")
        before = lm.logprobs(*zip(*PAIRS, strict=True))
        losses = lm.fit_answers(PAIRS, epochs=4, lr=1e-3, batch_size=2, seed=3)
        return before, losses, lm.logprobs(*zip(*PAIRS, strict=True))

    before, losses, after = fitted()
    assert losses[-1] < losses[0]
    assert (after > before).all()
    assert fitted()[1] == losses


def test_lora_starts_neutral_and_leaves_the_base_alone(tiny):
    base = {name: value.clone() for name, value in tiny.model.state_dict().items()}
    before, _ = tiny.hidden_states([PROMPT])
    tiny.with_lora(r=4, alpha=8, targets=("q_proj", "v_proj"))
    torch.testing.assert_close(tiny.hidden_states([PROMPT])[0], before)
    trainable = [name for name, p in tiny.model.named_parameters() if p.requires_grad]
    assert trainable
    assert all("lora_" in name for name in trainable)
    tiny.fit_answers(PAIRS, epochs=3, lr=1e-2)
    after, _ = tiny.hidden_states([PROMPT])
    assert not torch.allclose(after, before)
    now = tiny.model.unload().state_dict()
    assert now.keys() == base.keys()
    assert all(torch.equal(now[name], base[name]) for name in base)


def test_truncation_keeps_the_first_blocks(tiny):
    whole, _ = tiny.hidden_states([PROMPT], layer=2)
    count = sum(p.numel() for p in tiny.model.parameters())
    assert tiny.truncate(2) is tiny
    assert sum(p.numel() for p in tiny.model.parameters()) < count
    states, _ = tiny.hidden_states([PROMPT])
    torch.testing.assert_close(states, tiny.model.model.norm(whole))
    assert len(tiny.generate([PROMPT], 4)) == 1
    with pytest.raises(ValueError, match="from 1 to 2"):
        tiny.truncate(3)


def test_added_tokens_are_one_token_and_start_at_the_mean(tiny):
    size = len(tiny.tokenizer)
    mean = tiny.model.get_input_embeddings().weight[:size].mean(dim=0)
    before = tiny.logprobs([PROMPT], [" love"])
    ids = tiny.add_tokens(["<item_1>", "<item_2>", "<item_1>"])
    assert ids == [size, size + 1, size]
    assert tiny.tokenizer("<item_2>", add_special_tokens=False)["input_ids"] == [size + 1]
    rows = tiny.model.get_input_embeddings().weight[ids]
    torch.testing.assert_close(rows, mean.expand_as(rows))
    assert tiny.add_tokens(["<item_1>"]) == [size]
    assert len(tiny.tokenizer) == size + 2
    assert tiny.hidden_states(["<item_1> is a film"])[0].isfinite().all()
    assert tiny.logprobs([PROMPT], [" love"])[0] == pytest.approx(before[0], abs=0.05)


def test_generation_is_seeded_and_leaves_the_generator_alone(tiny):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one = tiny.generate([PROMPT, "A"], 12, temperature=1.0, seed=1)
    torch.testing.assert_close(torch.rand(3), expected)
    assert one == tiny.generate([PROMPT, "A"], 12, temperature=1.0, seed=1)
    assert one != tiny.generate([PROMPT, "A"], 12, temperature=1.0, seed=2)
    assert tiny.generate([PROMPT], 12) == tiny.generate([PROMPT], 12)
    assert tiny.generate(["word " * 2000], 5)


def test_beginning_is_not_doubled(tiny):
    chat = tiny.chat([{"role": "user", "content": "Hello"}])
    ids = tiny.answer_batch([(chat, "x")])["input_ids"][0].tolist()
    assert ids.count(tiny.tokenizer.bos_token_id) == 1


def test_tiny_model_writes_of_films():
    questions = [
        film_question("Heat (1995)", ["Action", "Crime", "Thriller"]),
        film_question("Emma (1996)", ["Drama", "Romance"]),
    ]
    texts = tiny_samples(questions)
    assert all(len(text.split()) > 25 for text in texts)
    assert sum("Themes:" in text for text in texts) >= 1


def test_tiny_model_is_small(tiny):
    from llmers_utils.language.tiny_lm import TINY

    assert (TINY / "model.safetensors").stat().st_size < 12_000_000
    assert sum(p.numel() for p in tiny.model.parameters()) < 6_000_000
    assert not list(TINY.glob("*.bin"))


def test_missing_tiny_names_the_command(monkeypatch, tmp_path):
    monkeypatch.setattr("llmers_utils.language.causal_lm.TINY", tmp_path)
    with pytest.raises(FileNotFoundError, match="train_tiny_lm"):
        CausalLM("tiny")


def test_empty_inputs(tiny):
    assert tiny.logprobs([], []).shape == (0,)
    assert tiny.next_token_logprobs([], ["a", "b"]).shape == (0, 2)
    assert tiny.generate([]) == []
    assert isinstance(tiny.logprobs(["a"], ["b"]), np.ndarray)

"""The project's own small language model: where it lies, what it was asked, what it writes."""

from __future__ import annotations

from collections.abc import Sequence

from llmers_utils.paths import DATA

TINY = DATA / "models" / "tiny-lm"


def film_question(title: str, genres: Sequence[str]) -> str:
    """The question about a film ("Toy Story (1995)") that the tiny model was trained on."""
    return f"Describe the film {title}. Genres: {', '.join(genres)}."


def person_question(genres: Sequence[str], styles: Sequence[str]) -> str:
    """The question about a person's taste that the tiny model was trained on."""
    return f"Which films suit a person who likes {', '.join([*genres, *styles])}?"


def tiny_samples(
    questions: Sequence[str], *, max_new_tokens: int = 120, temperature: float = 0.4, seed: int = 0
) -> list[str]:
    """What the tiny model writes on questions like ``film_question``, one text a question."""
    from llmers_utils.language.causal_lm import CausalLM

    lm = CausalLM("tiny")
    prompts = [lm.chat([{"role": "user", "content": question}]) for question in questions]
    return lm.generate(prompts, max_new_tokens, temperature=temperature, seed=seed)

"""Language: prompts, clients, recorded answers, encoders, causal language models, controls.

The names are loaded when they are first used, since torch and its libraries are slow to import.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

# Imported at once: the function must win over the module of the same name. It costs nothing.
from llmers_utils.language.serving import serving  # noqa: F401

_MODULE_OF = {
    "CONTROLS": "controls",
    "CandidateRanking": "schemas",
    "CausalLM": "causal_lm",
    "ChainFills": "schemas",
    "Client": "clients",
    "ItemKnowledge": "schemas",
    "Ledger": "ledger",
    "ReasoningChains": "schemas",
    "Request": "responses",
    "Response": "responses",
    "ResponseStore": "responses",
    "Template": "prompts",
    "TextEncoder": "encoder",
    "UserPreference": "schemas",
    "answer_texts": "features",
    "as_text": "schemas",
    "candidate_ranking": "tasks",
    "centred": "features",
    "chain_fills": "tasks",
    "entity_names": "knowledge_graph",
    "encode_known": "features",
    "history_texts": "controls",
    "item_comprehension": "tasks",
    "item_graph": "knowledge_graph",
    "item_knowledge": "tasks",
    "film_question": "tiny_lm",
    "ground_titles": "grounding",
    "load_template": "prompts",
    "metadata_texts": "controls",
    "open_client": "clients",
    "reasoning_chains": "tasks",
    "request_for": "tasks",
    "subgraph_texts": "knowledge_graph",
    "text_control": "controls",
    "title_key": "grounding",
    "titles_named": "probes",
    "person_question": "tiny_lm",
    "tiny_samples": "tiny_lm",
    "user_preference": "tasks",
    "user_preference_early": "tasks",
}

__all__ = sorted([*_MODULE_OF, "serving"])


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__

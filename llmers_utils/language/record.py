"""Ask a language model for the tutorial's answers and keep them.

``python -m llmers_utils.language.record TASK --dataset ml-100k --llm openai:MODEL`` builds the
task's requests from the reader's own data, asks for what the folder does not hold yet, and prints
the cost.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from llmers_utils.data import Dataset, leave_last_out, load_dataset, prefix
from llmers_utils.language import tasks
from llmers_utils.language.clients import SPEC_FORMS, open_client
from llmers_utils.language.responses import Request
from llmers_utils.paths import DATA

# Which view of the data each task was recorded on.
BUILDERS: dict[str, Callable[[Dataset], list[Request]]] = {
    "item_knowledge": tasks.item_knowledge,
    "item_comprehension": tasks.item_comprehension,
    "user_preference": lambda dataset: tasks.user_preference(leave_last_out(dataset)),
    "user_preference_early": lambda dataset: tasks.user_preference_early(prefix(dataset)),
    "reasoning_chains": lambda dataset: tasks.reasoning_chains(leave_last_out(dataset)),
    "candidate_ranking": lambda dataset: tasks.candidate_ranking(leave_last_out(dataset)),
    "chain_fills": tasks.chain_fills,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; exit code 1 when answers failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=BUILDERS)
    parser.add_argument("--dataset", default="ml-100k")
    parser.add_argument("--llm", required=True, help=", ".join(SPEC_FORMS))
    parser.add_argument("--store", type=Path, help="folder (default: the project's own)")
    parser.add_argument("--limit", type=int, help="only the first so many requests")
    options = parser.parse_args(arguments)
    dataset = load_dataset(options.dataset)
    store = options.store or DATA / "llm_responses" / Path(options.dataset).name
    client = open_client(options.llm, dataset=options.dataset, store=store)
    answers = client.complete(BUILDERS[options.task](dataset)[: options.limit], progress=True)
    print(f"{store / options.task}.jsonl: {client.ledger}")
    return int(any(answer.error for answer in answers))


if __name__ == "__main__":
    raise SystemExit(main())

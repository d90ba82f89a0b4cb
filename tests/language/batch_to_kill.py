"""Run by a test in a process of its own, which is killed: one batch against a server."""

from __future__ import annotations

import sys
from pathlib import Path

from llmers_utils.language.openai_client import OpenAIClient
from llmers_utils.language.responses import Request, ResponseStore


def requests(count: int) -> list[Request]:
    return [
        Request(
            task="candidate_ranking",
            template_version=1,
            entity=str(number),
            messages=[{"role": "user", "content": f"entity {number}"}],
            schema="CandidateRanking",
        )
        for number in range(count)
    ]


if __name__ == "__main__":
    client = OpenAIClient("m", ResponseStore(Path(sys.argv[1])), base_url=sys.argv[2])
    client.complete(requests(int(sys.argv[3])))

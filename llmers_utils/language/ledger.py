"""What a language model cost."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass
class Ledger:
    """Counts of one client since it was opened.

    Attributes:
        calls: answers asked of the client, however they were found.
        cached: those that the store had already.
        failed: those that ended without a valid answer.
        prompt_tokens, completion_tokens: what the answers cost when they were made, repairs and
            failed tries included where the engine reported them. Recorded answers count here too.
        seconds: wall time spent waiting inside the client.
    """

    calls: int = 0
    cached: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0

    def as_dict(self) -> dict[str, int | float]:
        """The counts by name, for a record."""
        return asdict(self) | {"seconds": round(self.seconds, 3)}

    def __str__(self) -> str:
        share = self.cached / self.calls if self.calls else 0.0
        return (
            f"{self.calls:,} calls ({share:.0%} from the store, {self.failed:,} failed), "
            f"{self.prompt_tokens:,} tokens in, {self.completion_tokens:,} out"
        )

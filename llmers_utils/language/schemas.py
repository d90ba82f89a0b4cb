"""What a language model must answer: one pydantic model for each task.

Every schema forbids unknown keys and can say itself as one readable paragraph (``text()``), which
is what an encoder reads.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

Phrase = Annotated[str, Field(min_length=1, max_length=300)]
Phrases = list[Phrase]


class Answer(BaseModel):
    """Base of all answers: unknown keys are errors, values do not change after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def text(self) -> str:
        """One readable paragraph of this answer."""
        raise NotImplementedError


class ItemKnowledge(Answer):
    """What the model knows of a film beyond its title and genres."""

    known: bool
    director: str | None
    cast: Phrases
    countries: Phrases
    language: str | None
    themes: Phrases
    tone: Phrases
    setting: str | None
    audience: str
    tags: Phrases
    similar: Phrases
    description: Annotated[str, Field(min_length=20, max_length=2000)]

    def text(self) -> str:
        """Description first, since an encoder may cut the end of a long text.

        The names of cast and similar films are left to ``full_text``: they double the cost of
        encoding and say little to a sentence encoder.
        """
        facts = [
            ("Themes", _join(self.themes)),
            ("Tone", _join(self.tone)),
            ("Setting", self.setting),
            ("Director", self.director),
        ]
        return " ".join([self.description, *_sentences(facts)])

    def full_text(self) -> str:
        """``text()`` and all the other facts."""
        facts = [
            ("Cast", _join(self.cast)),
            ("Country", _join(self.countries)),
            ("Audience", self.audience),
            ("Similar films", _join(self.similar)),
        ]
        return " ".join([self.text(), *_sentences(facts)])


class UserPreference(Answer):
    """A person's taste, reasoned from what they watched."""

    summary: Annotated[str, Field(min_length=1, max_length=1500)]
    preferences: Annotated[Phrases, Field(min_length=1)]
    dislikes: Phrases
    genres: Phrases
    styles: Phrases
    reasoning: Annotated[str, Field(min_length=1, max_length=3000)]
    next: Phrases

    def text(self) -> str:
        """Summary, likes, dislikes and wishes; the reasoning, which quotes ratings, is left out."""
        facts = [
            ("Likes", _join(self.preferences)),
            ("Dislikes", _join(self.dislikes)),
            ("Genres", _join(self.genres)),
            ("Style", _join(self.styles)),
            ("Next", _join(self.next, "; ")),
        ]
        return " ".join([self.summary, *_sentences(facts)])


class Chain(Answer):
    """Films watched for a shared reason, joined by the attributes that link them."""

    nodes: Annotated[Phrases, Field(min_length=2)]
    why: Annotated[str, Field(min_length=1, max_length=1000)]
    next: Phrases

    @field_validator("nodes")
    @classmethod
    def _node_form(cls, nodes: list[str]) -> list[str]:
        for node in nodes:
            if not re.fullmatch(r"item:\S+|[a-z ]+: .+", node):
                raise ValueError(f"node {node!r}: must be 'item:ID' or 'kind: value'")
        return nodes

    def items(self) -> list[str]:
        """Raw ids of the films of the chain, in order."""
        return [node.removeprefix("item:") for node in self.nodes if node.startswith("item:")]

    def text(self) -> str:
        """The links and the reason; films are ids here, so they are not named."""
        links = [node for node in self.nodes if not node.startswith("item:")]
        return " ".join([self.why, *_sentences([("Links", _join(links))])])


class ReasoningChains(Answer):
    """Two to four chains of one person."""

    chains: Annotated[list[Chain], Field(min_length=1)]

    def text(self) -> str:
        """All chains, one after another."""
        return " ".join(chain.text() for chain in self.chains)


class Fill(Answer):
    """The most plausible node at a masked place, with a confidence of 0-100."""

    node: Phrase
    confidence: Annotated[int, Field(ge=0, le=100)]

    def text(self) -> str:
        """The node."""
        return self.node


class ChainFills(Answer):
    """One fill for each chain."""

    fills: Annotated[list[Fill], Field(min_length=1)]

    def text(self) -> str:
        """The nodes, joined."""
        return _join([fill.node for fill in self.fills], "; ") + "."


class CandidateRanking(Answer):
    """Candidate ids, best first; the least wanted one; a reason."""

    ranking: Annotated[Phrases, Field(min_length=1)]
    dislike: Phrase
    reason: Annotated[str, Field(min_length=1, max_length=1000)]

    @field_validator("ranking")
    @classmethod
    def _no_repeats(cls, ranking: list[str]) -> list[str]:
        if len(set(ranking)) != len(ranking):
            raise ValueError("ranking names an id twice; each candidate may stand once")
        return ranking

    def text(self) -> str:
        """The reason; ids say nothing to an encoder."""
        return self.reason


SCHEMAS: dict[str, type[Answer]] = {
    schema.__name__: schema
    for schema in (ItemKnowledge, UserPreference, ReasoningChains, ChainFills, CandidateRanking)
}


def schema_class(name: str) -> type[Answer]:
    """The schema of that name. Raises KeyError with the known names."""
    if name not in SCHEMAS:
        raise KeyError(f"unknown schema {name!r}; allowed: {', '.join(SCHEMAS)}")
    return SCHEMAS[name]


def as_text(knowledge: BaseModel) -> str:
    """One readable paragraph of an answer, for an encoder.

    A reader's own pydantic model works too when it has a ``text()`` method.
    """
    return knowledge.text()  # type: ignore[attr-defined]


def _join(phrases: list[str], separator: str = ", ") -> str:
    return separator.join(phrases)


def _sentences(facts: list[tuple[str, str | None]]) -> list[str]:
    return [f"{name}: {value}." for name, value in facts if value]

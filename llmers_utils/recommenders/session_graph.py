"""A graph of a session and its vector: SR-GNN on small directed graphs, padded and dense.

A node is an id into any table of vectors: items, attributes, or both. Graphs of a few dozen nodes
are cheapest as dense matrices, a batch at a time; padding has no edges and changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

Edge = tuple[int, int, int, int]
"""(source, target, first step at which the edge is there, first step at which it no longer is)."""


class Graphs(NamedTuple):
    """A batch of directed graphs.

    ``nodes`` (B, n): node ids; a node without an edge is no part of its graph, whatever its id.
    ``edges`` (B, n, n) bool: [b, i, j] is true where i points to j. ``last`` (B,): index of the
    node at which the session stands, 0 where the graph is empty.
    """

    nodes: Tensor
    edges: Tensor
    last: Tensor

    @property
    def inside(self) -> Tensor:
        """Which nodes are part of their graph, (B, n) bool."""
        return self.edges.any(1) | self.edges.any(2)


class TimedGraphs(NamedTuple):
    """One growing graph a session; each edge lives from one step to another.

    ``nodes`` (S, n): node ids, padded; ``since`` and ``until`` (S, n, n) uint8: the life of an
    edge, zero and zero where there is none; ``reached`` (S, n) uint8: the step at which the session
    itself came to a node, 255 where it never did.
    """

    nodes: Tensor
    since: Tensor
    until: Tensor
    reached: Tensor

    @classmethod
    def pack(
        cls, edges: Sequence[Sequence[Edge]], reached: Sequence[Mapping[int, int]], pad: int
    ) -> TimedGraphs:
        """Pad the graphs of all sessions to the largest.

        Args:
            edges: those of each session; a pair given twice lives from the first to the last step.
            reached: for each session the step of each node that the session came to.
            pad: the id of a node that is none.

        Raises:
            ValueError: steps beyond 0 to 254, or not as many sessions in ``reached``.
        """
        if len(edges) != len(reached):
            raise ValueError(f"{len(edges)} sessions have edges, {len(reached)} have steps")
        if any(not 0 <= step <= 254 for some in edges for edge in some for step in edge[2:]):
            raise ValueError("steps must be 0 to 254")
        names = [list(dict.fromkeys(node for edge in some for node in edge[:2])) for some in edges]
        size = max(1, max(map(len, names), default=0))
        nodes = torch.full((len(edges), size), pad)
        since = torch.zeros(len(edges), size, size, dtype=torch.uint8)
        until, when = since.clone(), torch.full((len(edges), size), 255, dtype=torch.uint8)
        for row, (some, own) in enumerate(zip(edges, names, strict=True)):
            place = {node: index for index, node in enumerate(own)}
            lives: dict[tuple[int, int], tuple[int, int]] = {}
            for source, target, first, end in some:
                pair = place[source], place[target]
                old = lives.get(pair, (first, end))
                lives[pair] = min(old[0], first), max(old[1], end)
            for pair, (first, end) in lives.items():
                since[row][pair], until[row][pair] = first, end
            nodes[row, : len(own)] = torch.tensor(own, dtype=torch.int64)
            steps = [reached[row].get(node, 255) for node in own]
            when[row, : len(own)] = torch.tensor(steps, dtype=torch.uint8)
        return cls(nodes, since, until, when)

    def at(self, sessions: Tensor, steps: Tensor) -> Graphs:
        """Return the graphs of ``sessions`` (B,) at ``steps`` (B,), on the device of both.

        They are no wider than the largest of them: a graph that is small at its step costs little.
        """
        device, sessions = sessions.device, sessions.to(self.nodes.device)
        step = steps.to(self.nodes.device, torch.uint8)[:, None, None]
        edges = (self.since[sessions] <= step) & (step < self.until[sessions])
        inside = edges.any(1) | edges.any(2)
        size = max(1, int(inside.sum(1).max()))
        front = inside.int().argsort(dim=1, descending=True, stable=True)[:, :size]
        edges = edges.take_along_dim(front[:, :, None], 1).take_along_dim(front[:, None], 2)
        nodes, when, inside = (
            part.gather(1, front) for part in (self.nodes[sessions], self.reached[sessions], inside)
        )
        known = inside & (when <= step[:, 0])
        last = when.int().masked_fill(~known, -1).argmax(1)
        return Graphs(*(part.to(device) for part in (nodes, edges, last)))


def sequence_graphs(sequences: Tensor, pad: int) -> Graphs:
    """Return the plain session graphs of left-padded sequences (B, L): each item once, in order.

    Each item points to the one after it; n = L.
    """
    same = sequences[:, :, None] == sequences[:, None]  # (B, L, L)
    first = same.int().argmax(2)  # where each position's item stands for the first time
    edges = torch.zeros_like(same)
    real = (sequences[:, :-1] != pad).nonzero()
    batch, before = real.T
    edges[batch, first[batch, before], first[batch, before + 1]] = True
    return Graphs(sequences, edges, first[:, -1])


def normalised_adjacency(edges: Tensor) -> tuple[Tensor, Tensor]:
    """Return the outgoing and the incoming adjacency of ``edges`` (B, n, n).

    Each row sums to one, or to zero for a node without such edges.
    """
    weights = edges.float()
    out, into = weights, weights.transpose(1, 2)
    return tuple(a / a.sum(2, keepdim=True).clamp(min=1) for a in (out, into))


class SessionGNN(nn.Module):
    """From a graph's node vectors to one vector: gated messages both ways, then attention.

    Source: Wu et al., "Session-based Recommendation with Graph Neural Networks", AAAI 2019.

    Args:
        dim: width d of the node vectors and of the result.
        steps: rounds of messages.
    """

    def __init__(self, dim: int, steps: int = 1) -> None:
        super().__init__()
        self.steps = steps
        self.outgoing = nn.Linear(dim, dim)
        self.incoming = nn.Linear(dim, dim)
        self.gate = nn.GRUCell(2 * dim, dim)
        self.of_last = nn.Linear(dim, dim, bias=False)
        self.of_node = nn.Linear(dim, dim)
        self.query = nn.Linear(dim, 1, bias=False)
        self.result = nn.Linear(2 * dim, dim, bias=False)  # no bias: no graph, no vector

    def messages(self, h: Tensor, graphs: Graphs) -> Tensor:
        """Update the node states h (B, n, d) once from their neighbours; padding stays."""
        out, into = normalised_adjacency(graphs.edges)
        heard = torch.cat([out @ self.outgoing(h), into @ self.incoming(h)], dim=-1)
        inside = graphs.inside
        return h.index_put((inside,), self.gate(heard[inside], h[inside]))

    def forward(self, vectors: Tensor, graphs: Graphs) -> Tensor:
        """Read graphs over node vectors (B, n, d): (B, d), the zero vector for an empty graph."""
        h = vectors
        for _ in range(self.steps):
            h = self.messages(h, graphs)
        inside = graphs.inside[..., None]  # (B, n, 1)
        last = h.gather(1, graphs.last[:, None, None].expand(-1, 1, h.shape[2]))  # (B, 1, d)
        weights = self.query(torch.sigmoid(self.of_last(last) + self.of_node(h)))  # (B, n, 1)
        session = (inside * weights * h).sum(1)
        return inside.any(1) * self.result(torch.cat([last[:, 0], session], dim=-1))

from __future__ import annotations

import pytest
import torch

from llmers_utils.recommenders.session_graph import (
    Graphs,
    SessionGNN,
    TimedGraphs,
    normalised_adjacency,
    sequence_graphs,
)

PAD = 9


@pytest.fixture
def gnn() -> SessionGNN:
    torch.manual_seed(0)
    return SessionGNN(4).eval()


def padded(graphs: Graphs, more: int) -> Graphs:
    """The same graphs with more nodes that are none."""
    nodes = torch.nn.functional.pad(graphs.nodes, (0, more), value=PAD)
    return Graphs(nodes, torch.nn.functional.pad(graphs.edges, (0, more, 0, more)), graphs.last)


def vectors(graphs: Graphs) -> torch.Tensor:
    return torch.nn.functional.embedding(graphs.nodes, torch.randn(10, 4, generator=seeded()))


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def test_a_sequence_is_a_path_in_which_an_item_stands_once() -> None:
    graphs = sequence_graphs(torch.tensor([[PAD, 3, 5, 3, 7]]), PAD)
    assert graphs.edges[0].nonzero().tolist() == [[1, 2], [1, 4], [2, 1]]
    assert graphs.inside.tolist() == [[False, True, True, False, True]]
    assert graphs.nodes[0, graphs.last].item() == 7


def test_a_sequence_that_returns_stands_at_the_first_place_of_its_item() -> None:
    graphs = sequence_graphs(torch.tensor([[3, 5, 3]]), PAD)
    assert graphs.last.tolist() == [0]


def test_rows_sum_to_one_or_zero_and_in_is_out_transposed() -> None:
    edges = torch.rand(3, 5, 5, generator=seeded()) < 0.4
    out, into = normalised_adjacency(edges)
    for adjacency, given in ((out, edges), (into, edges.transpose(1, 2))):
        assert torch.equal(adjacency > 0, given)
        sums = adjacency.sum(2)
        assert torch.allclose(sums, given.any(2).float())


def test_padding_changes_nothing(gnn: SessionGNN) -> None:
    graphs = sequence_graphs(torch.tensor([[1, 2, 3], [PAD, 4, 5]]), PAD)
    wide = padded(graphs, 6)
    assert torch.allclose(gnn(vectors(graphs), graphs), gnn(vectors(wide), wide), atol=1e-6)


def test_the_order_of_the_nodes_changes_nothing(gnn: SessionGNN) -> None:
    graphs = sequence_graphs(torch.tensor([[1, 2, 3, 4]]), PAD)
    order = torch.tensor([2, 0, 3, 1])
    turned = Graphs(
        graphs.nodes[:, order],
        graphs.edges[:, order][:, :, order],
        (order == graphs.last).nonzero()[0],
    )
    assert torch.allclose(gnn(vectors(graphs), graphs), gnn(vectors(turned), turned), atol=1e-6)


def test_the_direction_of_an_edge_matters(gnn: SessionGNN) -> None:
    graphs = sequence_graphs(torch.tensor([[1, 2, 3]]), PAD)
    turned = graphs._replace(edges=graphs.edges.transpose(1, 2))
    assert not torch.allclose(gnn(vectors(graphs), graphs), gnn(vectors(graphs), turned))


def test_an_empty_graph_has_the_zero_vector_and_finite_gradients(gnn: SessionGNN) -> None:
    graphs = sequence_graphs(torch.tensor([[PAD, PAD, 3], [1, 2, 3]]), PAD)
    result = gnn(vectors(graphs), graphs)
    result.square().sum().backward()
    assert not result[0].any()
    assert result[1].any()
    assert all(p.grad.isfinite().all() for p in gnn.parameters())


def test_one_round_of_messages_by_hand(gnn: SessionGNN) -> None:
    h = torch.randn(1, 3, 4, generator=seeded())
    edges = torch.zeros(1, 3, 3, dtype=torch.bool)
    edges[0, 0, 1] = edges[0, 0, 2] = True
    updated = gnn.messages(h, Graphs(torch.tensor([[1, 2, 3]]), edges, torch.tensor([1])))
    mean = (gnn.outgoing(h[0, 1]) + gnn.outgoing(h[0, 2])) / 2
    first = gnn.gate(torch.cat([mean, torch.zeros(4)])[None], h[0, :1])
    second = gnn.gate(torch.cat([torch.zeros(4), gnn.incoming(h[0, 0])])[None], h[0, 1:2])
    assert torch.allclose(updated[0, :1], first, atol=1e-6)
    assert torch.allclose(updated[0, 1:2], second, atol=1e-6)


def test_it_can_learn_which_node_is_the_last(gnn: SessionGNN) -> None:
    graphs = sequence_graphs(torch.tensor([[1, 2, 3], [1, 3, 2], [2, 3, 1]]), PAD)
    table, wanted = vectors(graphs), torch.tensor([3, 2, 1]) - 1
    head = torch.nn.Linear(4, 3)
    optimizer = torch.optim.Adam([*gnn.parameters(), *head.parameters()], lr=0.05)
    for _ in range(150):
        loss = torch.nn.functional.cross_entropy(head(gnn(table, graphs)), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05


def timed() -> TimedGraphs:
    """Film 1, attribute 7, film 2 from step 2 on; from step 3 film 4, until step 5 film 5."""
    first = [(1, 7, 2, 9), (7, 2, 2, 9), (2, 4, 3, 9), (2, 5, 1, 5)]
    return TimedGraphs.pack([first, []], [{1: 1, 2: 2, 4: 3, 5: 8}, {}], PAD)


def test_a_growing_graph_shows_what_lives_at_a_step() -> None:
    shown = [timed().at(torch.tensor([0]), torch.tensor([step])) for step in (0, 1, 2, 4, 5)]
    nodes = [sorted(g.nodes[g.inside].tolist()) for g in shown]
    assert nodes == [[], [2, 5], [1, 2, 5, 7], [1, 2, 4, 5, 7], [1, 2, 4, 7]]


def test_the_last_node_is_the_latest_that_was_reached_by_then() -> None:
    graphs = timed().at(torch.tensor([0, 0, 1]), torch.tensor([2, 8, 4]))
    assert graphs.nodes[torch.arange(3), graphs.last].tolist() == [2, 4, PAD]
    assert not graphs.inside[2].any()


def test_graphs_are_no_wider_than_the_largest_of_their_step() -> None:
    one, three = torch.tensor([0, 1]), torch.tensor([0, 0, 1])
    assert timed().at(one, torch.tensor([1, 1])).nodes.shape == (2, 2)
    assert timed().at(three, torch.tensor([1, 2, 8])).nodes.shape == (3, 4)
    assert timed().at(torch.tensor([1]), torch.tensor([3])).nodes.tolist() == [[PAD]]


def test_an_edge_given_twice_lives_from_the_first_to_the_last_step() -> None:
    graphs = TimedGraphs.pack([[(1, 2, 5, 7), (1, 2, 3, 4)]], [{}], PAD)
    alive = [graphs.at(torch.tensor([0]), torch.tensor([s])).edges.any().item() for s in range(8)]
    assert alive == [False, False, False, True, True, True, True, False]


def test_wrong_steps_are_refused() -> None:
    with pytest.raises(ValueError, match="0 to 254"):
        TimedGraphs.pack([[(1, 2, 0, 300)]], [{}], PAD)
    with pytest.raises(ValueError, match="1 sessions have edges, 0"):
        TimedGraphs.pack([[]], [], PAD)

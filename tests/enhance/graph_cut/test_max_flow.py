import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow

from coarse2fine.enhance.graph_cut.max_flow import DIRECTIONS, Graph, minimum_cut

STEPS = [(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)]


def make_graph(terminal_capacity: NDArray[np.integer], weigh) -> Graph:
    """Build a grid of nodes; ``weigh()`` returns the capacity of each pair of neighbors."""
    height, width = terminal_capacity.shape
    count = terminal_capacity.size
    graph = Graph(
        np.full((count + 1, DIRECTIONS), count, np.uint32),
        np.zeros((count + 1, DIRECTIONS), np.int32),
        np.append(terminal_capacity.ravel(), 0).astype(np.int32),
    )
    for node in range(count):
        for direction in range(4, DIRECTIONS):
            y, x = node // width + STEPS[direction][0], node % width + STEPS[direction][1]
            if y < height and 0 <= x < width:
                other = y * width + x
                graph.neighbor[node, direction], graph.neighbor[other, 7 - direction] = other, node
                graph.capacity[node, direction] = graph.capacity[other, 7 - direction] = weigh()
    return graph


def copy(graph: Graph) -> Graph:
    return Graph(*(array.copy() for array in graph))


def cost(graph: Graph, side: NDArray[np.uint8]) -> int:
    """Sum the capacities of the edges from the source side to the sink side."""
    padded = np.append(side, 0)
    terminal_capacity = graph.terminal_capacity[:-1].astype(np.int64)
    terminals = (
        terminal_capacity[(terminal_capacity > 0) & (side == 0)].sum()
        - terminal_capacity[(terminal_capacity < 0) & (side == 1)].sum()
    )
    across = (padded[:, None] == 1) & (padded[graph.neighbor] == 0)
    return int(terminals + graph.capacity[across].sum())


def exact_flow(graph: Graph) -> int:
    count = graph.terminal_capacity.size - 1
    node, direction = np.nonzero(graph.capacity[:count])
    to_node, to_sink = np.flatnonzero(graph.terminal_capacity > 0), np.flatnonzero(graph.terminal_capacity < 0)
    rows = np.concatenate([node, np.full(len(to_node), count), to_sink])
    columns = np.concatenate([graph.neighbor[node, direction], to_node, np.full(len(to_sink), count + 1)])
    values = np.concatenate(
        [graph.capacity[node, direction], graph.terminal_capacity[to_node], -graph.terminal_capacity[to_sink]]
    )
    matrix = csr_array((values.astype(np.int32), (rows, columns)), shape=(count + 2, count + 2))
    return int(maximum_flow(matrix, count, count + 1).flow_value)


def test_minimum_cut__cuts_the_weakest_edge_of_a_chain():
    weights = iter([5, 2, 7])
    graph = make_graph(np.array([[9, 0, 0, -9]]), lambda: next(weights))
    assert minimum_cut(graph).tolist() == [1, 1, 0, 0]
    assert graph.terminal_capacity.tolist() == [7, 0, 0, -7, 0]


def test_minimum_cut__smallest_source_side_of_equal_cuts():
    graph = make_graph(np.array([[9, 0, 0, -9]]), lambda: 3)
    assert minimum_cut(graph).tolist() == [1, 0, 0, 0]


def test_minimum_cut__cuts_a_terminal_edge_if_it_is_cheaper():
    graph = make_graph(np.array([[-4, 3, -4]]), lambda: 2)
    assert minimum_cut(graph).tolist() == [0, 0, 0]


@pytest.mark.parametrize("seed", range(12))
def test_minimum_cut__cost_equals_the_maximum_flow(seed):
    random = np.random.default_rng(seed)
    height, width = random.integers(1, 14, 2)
    strongest = int(random.choice([1, 40, 900]))
    graph = make_graph(random.integers(-500, 500, (height, width)), lambda: random.integers(0, strongest + 1))
    before = copy(graph)
    side = minimum_cut(graph)
    assert (
        cost(before, side)
        == exact_flow(before)
        == before.terminal_capacity.clip(0).sum() - graph.terminal_capacity.clip(0).sum()
    )
    assert 0 < side.sum() < side.size or height * width < 4 or strongest == 900


@pytest.mark.parametrize("seed", range(6))
def test_minimum_cut__reuses_the_flow_of_an_earlier_cut(seed):
    random = np.random.default_rng(seed)
    graph = make_graph(random.integers(-300, 300, (9, 11)), lambda: random.integers(0, 200))
    change = np.append(random.integers(-200, 200, 99), 0).astype(np.int32)
    changed = copy(graph)._replace(terminal_capacity=graph.terminal_capacity + change)
    minimum_cut(graph)
    graph.terminal_capacity[:] += change
    again, fresh = minimum_cut(graph), minimum_cut(copy(changed))
    assert cost(changed, again) == cost(changed, fresh) == exact_flow(changed)
    assert (again == fresh).all()


def test_minimum_cut__nodes_without_edges_follow_their_terminal():
    graph = make_graph(np.array([[5, -5], [0, 1]]), lambda: 0)
    assert minimum_cut(graph).tolist() == [1, 0, 0, 1]


def test_minimum_cut__empty_graph():
    assert minimum_cut(make_graph(np.zeros((0, 3), np.int32), lambda: 1)).size == 0

"""Maximum flow and minimum cut on a graph of pixels, compiled.

Two search trees grow from source and sink along edges with residual capacity. Where they meet, flow is pushed along the
augmenting path. Edges saturated by it cut nodes off their tree; these orphans look for another parent in the same tree.
When no edge with residual capacity joins the trees, the flow is a maximum, and the nodes of the source tree are the
source side of a minimum cut.

Source: Boykov, Kolmogorov, "An experimental comparison of min-cut/max-flow algorithms for energy minimization in
vision" (PAMI 2004), with its distance heuristic; for reusing the flow of an earlier cut: Kohli, Torr, "Dynamic graph
cuts" (PAMI 2007).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from coarse2fine.enhance.graph_cut.compilation import compiled, compiled_no_refcount

FREE, SOURCE, SINK = 0, 1, 2  # the search tree of a node
TERMINAL, ORPHAN, NO_PARENT = 8, 9, 10  # values of `_SearchTrees.parent` that are no direction
DIRECTIONS = 8
NO_DIRECTION = 8


class Graph(NamedTuple):
    """Residual graph in which every node has up to 8 neighbors.

    Nodes are numbered in raster order. Node N is a placeholder for missing neighbors; no edge connects to it.

    Attributes:
        neighbor: Neighbor of each node in each direction, shape (N + 1, 8); ``d`` and ``7 - d`` are opposite.
        capacity: Residual capacity of the edge in each direction, at least 0, shape (N + 1, 8).
        terminal_capacity: Residual capacity of the edge from the source (positive) or to the sink (negative), shape
            (N + 1,).
    """

    neighbor: NDArray[np.uint32]
    capacity: NDArray[np.int32]
    terminal_capacity: NDArray[np.int32]


class _SearchTrees(NamedTuple):
    tree: NDArray[np.uint8]  # FREE, SOURCE or SINK
    parent: NDArray[np.uint8]  # direction of the parent, or TERMINAL, ORPHAN, NO_PARENT
    timestamp: NDArray[np.int32]  # number of the augmentation after which the distance was last known to be valid
    distance: NDArray[np.int32]  # number of edges to the terminal
    is_active: NDArray[np.uint8]


class _Queue(NamedTuple):
    nodes: NDArray[np.uint32]  # ring buffer
    ends: NDArray[np.int64]  # index of the first node, and of the free place after the last one


@compiled
def minimum_cut(graph: Graph) -> NDArray[np.uint8]:
    """Compute a minimum cut of a graph.

    To cut again with other unary terms, add their difference to ``graph.terminal_capacity`` and call this function
    again: the flow so far is kept, which makes the second cut faster.

    Args:
        graph: Capacities of the graph; replaced in place by the residual capacities of the maximum flow.

    Returns:
        1 for nodes on the source side, 0 for nodes on the sink side, shape (N,). If several cuts have the minimum cost,
        the one with the smallest source side.
    """
    count = graph.terminal_capacity.size
    trees = _SearchTrees(
        np.zeros(count, np.uint8),
        np.full(count, NO_PARENT, np.uint8),
        np.zeros(count, np.int32),
        np.zeros(count, np.int32),
        np.zeros(count, np.uint8),
    )
    active = _Queue(np.empty(count + 1, np.uint32), np.zeros(2, np.int64))
    orphans = _Queue(np.empty(count + 1, np.uint32), np.zeros(2, np.int64))
    _augment_straight_paths(graph)
    _initialize_trees(graph, trees, active)
    time = 0
    while active.ends[0] != active.ends[1]:
        node = active.nodes[active.ends[0]]
        direction = _grow(graph, trees, active, node) if trees.tree[node] != FREE else NO_DIRECTION
        if direction == NO_DIRECTION:
            trees.is_active[node] = 0
            _remove_first(active)
            continue
        time += 1
        if trees.tree[node] == SOURCE:
            _augment(graph, trees, orphans, node, direction)
        else:
            _augment(graph, trees, orphans, graph.neighbor[node, direction], direction ^ 7)
        while orphans.ends[0] != orphans.ends[1]:
            _adopt_orphan(graph, trees, active, orphans, time)
    return (trees.tree[:-1] == SOURCE).astype(np.uint8)


@compiled_no_refcount
def _append(queue: _Queue, node: int) -> None:
    end = queue.ends[1]
    queue.nodes[end] = node
    queue.ends[1] = end + 1 if end + 1 < queue.nodes.size else 0


@compiled_no_refcount
def _remove_first(queue: _Queue) -> None:
    end = queue.ends[0]
    queue.ends[0] = end + 1 if end + 1 < queue.nodes.size else 0


@compiled_no_refcount
def _activate(trees: _SearchTrees, active: _Queue, node: int) -> None:
    if not trees.is_active[node]:
        trees.is_active[node] = 1
        _append(active, node)


@compiled
def _augment_straight_paths(graph: Graph) -> None:
    """Push flow from source to sink along straight paths, which is faster than finding these paths with the trees."""
    demand = np.empty(graph.terminal_capacity.size, np.int32)
    for direction in range(DIRECTIONS):
        _augment_in_direction(graph, demand, direction)


@compiled_no_refcount
def _augment_in_direction(graph: Graph, demand: NDArray[np.int32], direction: int) -> None:
    """Compute how much flow the sinks ahead of every node can take, then push it; ``demand`` is a work buffer."""
    neighbor, capacity, terminal_capacity = graph
    count = terminal_capacity.size - 1
    forwards = direction >= DIRECTIONS // 2  # neighbors in this direction come later in raster order
    demand[count] = 0
    for number in range(count):
        node = count - 1 - number if forwards else number
        ahead = min(capacity[node, direction], demand[neighbor[node, direction]])
        demand[node] = max(0, ahead - terminal_capacity[node])
    for number in range(count):
        node = number if forwards else count - 1 - number
        if terminal_capacity[node] > 0:
            other = neighbor[node, direction]
            flow = min(terminal_capacity[node], capacity[node, direction], demand[other])
            capacity[node, direction] -= flow
            capacity[other, direction ^ 7] += flow
            terminal_capacity[node] -= flow
            terminal_capacity[other] += flow


@compiled_no_refcount
def _initialize_trees(graph: Graph, trees: _SearchTrees, active: _Queue) -> None:
    """Start the trees with the nodes that have residual capacity from the source or to the sink."""
    for node in range(np.uint32(graph.terminal_capacity.size - 1)):
        if graph.terminal_capacity[node] != 0:
            trees.tree[node] = SOURCE if graph.terminal_capacity[node] > 0 else SINK
            trees.parent[node] = TERMINAL
            trees.distance[node] = 1
            _activate(trees, active, node)


@compiled_no_refcount
def _grow(graph: Graph, trees: _SearchTrees, active: _Queue, node: int) -> int:
    """Add free neighbors of a node to its tree.

    Returns:
        The direction of a neighbor in the other tree, or `NO_DIRECTION` if no neighbor is.
    """
    tree, parent, timestamp, distance, _ = trees
    own_tree = tree[node]
    for direction in range(DIRECTIONS):
        other = graph.neighbor[node, direction]
        residual = graph.capacity[node, direction] if own_tree == SOURCE else graph.capacity[other, direction ^ 7]
        if residual <= 0:
            continue
        if tree[other] == FREE:
            tree[other] = own_tree
            _activate(trees, active, other)
        elif tree[other] != own_tree:
            return direction
        elif timestamp[other] > timestamp[node] or distance[other] <= distance[node]:
            continue
        parent[other] = direction ^ 7
        timestamp[other] = timestamp[node]
        distance[other] = distance[node] + 1
    return NO_DIRECTION


@compiled_no_refcount
def _augment(graph: Graph, trees: _SearchTrees, orphans: _Queue, start: int, direction: int) -> None:
    """Push the bottleneck flow along the path through the edge from ``start`` (source tree) to the sink tree."""
    neighbor, capacity, _ = graph
    end = neighbor[start, direction]
    flow = min(
        capacity[start, direction],
        _find_bottleneck(graph, trees, start, SOURCE),
        _find_bottleneck(graph, trees, end, SINK),
    )
    capacity[start, direction] -= flow
    capacity[end, direction ^ 7] += flow
    _push_flow_to_terminal(graph, trees, orphans, start, flow, SOURCE)
    _push_flow_to_terminal(graph, trees, orphans, end, flow, SINK)


@compiled_no_refcount
def _find_bottleneck(graph: Graph, trees: _SearchTrees, node: int, own_tree: int) -> int:
    """Compute the smallest residual capacity on the path between a node and its terminal."""
    neighbor, capacity, terminal_capacity = graph
    bottleneck = np.int32(2**31 - 1)
    while trees.parent[node] != TERMINAL:
        direction = trees.parent[node]
        ancestor = neighbor[node, direction]
        residual = capacity[ancestor, direction ^ 7] if own_tree == SOURCE else capacity[node, direction]
        bottleneck = min(bottleneck, residual)
        node = ancestor
    return min(bottleneck, abs(terminal_capacity[node]))


@compiled_no_refcount
def _push_flow_to_terminal(
    graph: Graph, trees: _SearchTrees, orphans: _Queue, node: int, flow: int, own_tree: int
) -> None:
    neighbor, capacity, terminal_capacity = graph
    sign = np.int32(1) if own_tree == SOURCE else np.int32(-1)
    while trees.parent[node] != TERMINAL:
        direction = trees.parent[node]
        ancestor = neighbor[node, direction]
        capacity[node, direction] += sign * flow
        capacity[ancestor, direction ^ 7] -= sign * flow
        residual = capacity[ancestor, direction ^ 7] if own_tree == SOURCE else capacity[node, direction]
        if residual == 0:
            trees.parent[node] = ORPHAN
            _append(orphans, node)
        node = ancestor
    terminal_capacity[node] -= sign * flow
    if terminal_capacity[node] == 0:
        trees.parent[node] = ORPHAN
        _append(orphans, node)


@compiled_no_refcount
def _adopt_orphan(graph: Graph, trees: _SearchTrees, active: _Queue, orphans: _Queue, time: int) -> None:
    """Give the next orphan the possible parent nearest to the terminal.

    If there is none, the orphan becomes free and its children become orphans.
    """
    tree, parent, timestamp, distance, _ = trees
    orphan = orphans.nodes[orphans.ends[0]]
    _remove_first(orphans)
    own_tree = tree[orphan]
    best, nearest = NO_PARENT, 2**30
    for direction in range(DIRECTIONS):
        other = graph.neighbor[orphan, direction]
        if tree[other] == own_tree and _residual_capacity(graph, orphan, other, direction, own_tree) > 0:
            edges = _measure_distance(graph, trees, other, time)
            if 0 < edges < nearest:
                best, nearest = direction, edges
    if best != NO_PARENT:
        parent[orphan] = best
        timestamp[orphan] = time
        distance[orphan] = nearest + 1
        return
    parent[orphan] = NO_PARENT
    for direction in range(DIRECTIONS):
        other = graph.neighbor[orphan, direction]
        if tree[other] != own_tree:
            continue
        if _residual_capacity(graph, orphan, other, direction, own_tree) > 0:
            _activate(trees, active, other)
        if parent[other] == direction ^ 7:
            parent[other] = ORPHAN
            _append(orphans, other)
    tree[orphan] = FREE


@compiled_no_refcount
def _residual_capacity(graph: Graph, node: int, parent: int, direction: int, own_tree: int) -> int:
    """Return the residual capacity between a possible parent and a node in the direction of the flow."""
    return graph.capacity[parent, direction ^ 7] if own_tree == SOURCE else graph.capacity[node, direction]


@compiled_no_refcount
def _measure_distance(graph: Graph, trees: _SearchTrees, node: int, time: int) -> int:
    """Count the edges from a node to its terminal, 0 if the node is cut off; marks the distances as valid."""
    _, parent, timestamp, distance, _ = trees
    edges, ancestor = 0, node
    while timestamp[ancestor] != time:
        direction = parent[ancestor]
        if direction == TERMINAL:
            timestamp[ancestor] = time
            distance[ancestor] = 1
            break
        if direction > TERMINAL:
            return 0
        edges += 1
        ancestor = graph.neighbor[ancestor, direction]
    edges += distance[ancestor]
    total, ancestor = edges, node
    while timestamp[ancestor] != time:
        timestamp[ancestor] = time
        distance[ancestor] = edges
        edges -= 1
        ancestor = graph.neighbor[ancestor, parent[ancestor]]
    return total

"""The cheapest cut of a graph of pixels: a maximum flow, compiled.

Two trees grow from the terminals along edges with capacity left. Where they meet, flow is pushed along the path; what
an exhausted edge tears off a tree looks for another parent in it. When no edge joins the trees, the flow is a
maximum, and what the source's tree holds is the source's side of a minimum cut.

Source: Boykov, Kolmogorov, "An experimental comparison of min-cut/max-flow algorithms for energy minimization in
vision" (PAMI 2004), with its distance heuristic; for going on from a flow: Kohli, Torr, "Dynamic graph cuts" (PAMI
2007).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from coarse2fine.enhance.graph_cut.compilation import compiled, compiled_lean

FREE, SOURCE, SINK = 0, 1, 2  # which tree holds a node
TERMINAL, ORPHAN, NO_PARENT = 8, 9, 10  # parents that are no direction
DIRECTIONS = 8
NOWHERE = 8


class Graph(NamedTuple):
    """A graph in which every node has up to 8 neighbors; after a cut it holds what is left of its capacities.

    Nodes are numbered in raster order. The last one is none: it stands for every neighbor that is missing, and no edge
    leads there.

    Attributes:
        neighbor: Node in each direction, shape (N + 1, 8); directions ``d`` and ``7 - d`` are opposite.
        capacity: Of the edge in each direction, shape (N + 1, 8), from 0.
        excess: Capacity from the source where positive, to the sink where negative, shape (N + 1,).
    """

    neighbor: NDArray[np.uint32]
    capacity: NDArray[np.int32]
    excess: NDArray[np.int32]


class _Forest(NamedTuple):
    tree: NDArray[np.uint8]
    parent: NDArray[np.uint8]  # a direction, or TERMINAL, ORPHAN, NO_PARENT
    stamp: NDArray[np.int32]  # when the distance was last known to hold
    distance: NDArray[np.int32]  # steps to the terminal
    queued: NDArray[np.uint8]


class _Queue(NamedTuple):
    nodes: NDArray[np.uint32]
    ends: NDArray[np.int64]  # where the next one leaves and where it enters, in a ring


@compiled
def minimum_cut(graph: Graph) -> NDArray[np.uint8]:
    """Cut a graph where it is cheapest.

    Change ``graph.excess`` and cut it again: the flow so far is kept, and only the difference is work.

    Args:
        graph: Its capacities and excesses become what the flow leaves of them.

    Returns:
        1 for nodes on the source's side, shape (N,). Of several cheapest cuts, the one whose source side is smallest.
    """
    count = graph.excess.size
    forest = _Forest(
        np.zeros(count, np.uint8),
        np.full(count, NO_PARENT, np.uint8),
        np.zeros(count, np.int32),
        np.zeros(count, np.int32),
        np.zeros(count, np.uint8),
    )
    active = _Queue(np.empty(count + 1, np.uint32), np.zeros(2, np.int64))
    orphans = _Queue(np.empty(count + 1, np.uint32), np.zeros(2, np.int64))
    _push_along_lines(graph)
    _plant(graph, forest, active)
    time = 0
    while active.ends[0] != active.ends[1]:
        node = active.nodes[active.ends[0]]
        direction = _grow(graph, forest, active, node) if forest.tree[node] != FREE else NOWHERE
        if direction == NOWHERE:
            forest.queued[node] = 0
            _leave(active)
            continue
        time += 1
        if forest.tree[node] == SOURCE:
            _augment(graph, forest, orphans, node, direction)
        else:
            _augment(graph, forest, orphans, graph.neighbor[node, direction], direction ^ 7)
        while orphans.ends[0] != orphans.ends[1]:
            _adopt(graph, forest, active, orphans, time)
    return (forest.tree[:-1] == SOURCE).astype(np.uint8)


@compiled_lean
def _enter(queue: _Queue, node: int) -> None:
    end = queue.ends[1]
    queue.nodes[end] = node
    queue.ends[1] = end + 1 if end + 1 < queue.nodes.size else 0


@compiled_lean
def _leave(queue: _Queue) -> None:
    end = queue.ends[0]
    queue.ends[0] = end + 1 if end + 1 < queue.nodes.size else 0


@compiled_lean
def _activate(forest: _Forest, active: _Queue, node: int) -> None:
    if not forest.queued[node]:
        forest.queued[node] = 1
        _enter(active, node)


@compiled
def _push_along_lines(graph: Graph) -> None:
    """Push what can flow from source to sink along straight lines: trees would find it, but slower."""
    demand = np.empty(graph.excess.size, np.int32)
    for direction in range(DIRECTIONS):
        _push_one_way(graph, demand, direction)


@compiled_lean
def _push_one_way(graph: Graph, demand: NDArray[np.int32], direction: int) -> None:
    """Find what the sinks ahead of every node can take, then push as much; ``demand`` is room to work in."""
    neighbor, capacity, excess = graph
    count = excess.size - 1
    forwards = direction >= DIRECTIONS // 2  # neighbors there come later in raster order
    demand[count] = 0
    for number in range(count):
        node = count - 1 - number if forwards else number
        ahead = min(capacity[node, direction], demand[neighbor[node, direction]])
        demand[node] = max(0, ahead - excess[node])
    for number in range(count):
        node = number if forwards else count - 1 - number
        if excess[node] > 0:
            other = neighbor[node, direction]
            flow = min(excess[node], capacity[node, direction], demand[other])
            capacity[node, direction] -= flow
            capacity[other, direction ^ 7] += flow
            excess[node] -= flow
            excess[other] += flow


@compiled_lean
def _plant(graph: Graph, forest: _Forest, active: _Queue) -> None:
    """Begin the trees with the nodes that have capacity from or to a terminal."""
    for node in range(np.uint32(graph.excess.size - 1)):
        if graph.excess[node] != 0:
            forest.tree[node] = SOURCE if graph.excess[node] > 0 else SINK
            forest.parent[node] = TERMINAL
            forest.distance[node] = 1
            _activate(forest, active, node)


@compiled_lean
def _grow(graph: Graph, forest: _Forest, active: _Queue, node: int) -> int:
    """Take free neighbors into the node's tree; the direction in which the other tree is met, or NOWHERE."""
    tree, parent, stamp, distance, _ = forest
    own = tree[node]
    for direction in range(DIRECTIONS):
        other = graph.neighbor[node, direction]
        left = graph.capacity[node, direction] if own == SOURCE else graph.capacity[other, direction ^ 7]
        if left <= 0:
            continue
        if tree[other] == FREE:
            tree[other] = own
            _activate(forest, active, other)
        elif tree[other] != own:
            return direction
        elif stamp[other] > stamp[node] or distance[other] <= distance[node]:
            continue
        parent[other] = direction ^ 7
        stamp[other] = stamp[node]
        distance[other] = distance[node] + 1
    return NOWHERE


@compiled_lean
def _augment(graph: Graph, forest: _Forest, orphans: _Queue, start: int, direction: int) -> None:
    """Push all that fits along the path through the edge from ``start``, in the source's tree, to the sink's tree."""
    neighbor, capacity, _ = graph
    end = neighbor[start, direction]
    flow = min(
        capacity[start, direction],
        _measure_branch(graph, forest, start, SOURCE),
        _measure_branch(graph, forest, end, SINK),
    )
    capacity[start, direction] -= flow
    capacity[end, direction ^ 7] += flow
    _push_along_branch(graph, forest, orphans, start, flow, SOURCE)
    _push_along_branch(graph, forest, orphans, end, flow, SINK)


@compiled_lean
def _measure_branch(graph: Graph, forest: _Forest, node: int, own: int) -> int:
    """The most that still flows between a node and its terminal."""
    neighbor, capacity, excess = graph
    most = np.int32(2**31 - 1)
    while forest.parent[node] != TERMINAL:
        direction = forest.parent[node]
        above = neighbor[node, direction]
        left = capacity[above, direction ^ 7] if own == SOURCE else capacity[node, direction]
        most = min(most, left)
        node = above
    return min(most, abs(excess[node]))


@compiled_lean
def _push_along_branch(graph: Graph, forest: _Forest, orphans: _Queue, node: int, flow: int, own: int) -> None:
    neighbor, capacity, excess = graph
    sign = np.int32(1) if own == SOURCE else np.int32(-1)
    while forest.parent[node] != TERMINAL:
        direction = forest.parent[node]
        above = neighbor[node, direction]
        capacity[node, direction] += sign * flow
        capacity[above, direction ^ 7] -= sign * flow
        left = capacity[above, direction ^ 7] if own == SOURCE else capacity[node, direction]
        if left == 0:
            forest.parent[node] = ORPHAN
            _enter(orphans, node)
        node = above
    excess[node] -= sign * flow
    if excess[node] == 0:
        forest.parent[node] = ORPHAN
        _enter(orphans, node)


@compiled_lean
def _adopt(graph: Graph, forest: _Forest, active: _Queue, orphans: _Queue, time: int) -> None:
    """Find the next orphan the parent nearest to the terminal; without one it leaves the tree, its children follow."""
    tree, parent, stamp, distance, _ = forest
    orphan = orphans.nodes[orphans.ends[0]]
    _leave(orphans)
    own = tree[orphan]
    best, nearest = NO_PARENT, 2**30
    for direction in range(DIRECTIONS):
        other = graph.neighbor[orphan, direction]
        if tree[other] == own and _left_from(graph, orphan, other, direction, own) > 0:
            steps = _find_distance(graph, forest, other, time)
            if 0 < steps < nearest:
                best, nearest = direction, steps
    if best != NO_PARENT:
        parent[orphan] = best
        stamp[orphan] = time
        distance[orphan] = nearest + 1
        return
    parent[orphan] = NO_PARENT
    for direction in range(DIRECTIONS):
        other = graph.neighbor[orphan, direction]
        if tree[other] != own:
            continue
        if _left_from(graph, orphan, other, direction, own) > 0:
            _activate(forest, active, other)
        if parent[other] == direction ^ 7:
            parent[other] = ORPHAN
            _enter(orphans, other)
    tree[orphan] = FREE


@compiled_lean
def _left_from(graph: Graph, node: int, parent: int, direction: int, own: int) -> int:
    """What is left of the edge between a node and a possible parent, in the direction of the flow."""
    return graph.capacity[parent, direction ^ 7] if own == SOURCE else graph.capacity[node, direction]


@compiled_lean
def _find_distance(graph: Graph, forest: _Forest, node: int, time: int) -> int:
    """Steps from a node to its terminal, 0 where it has lost it; what the walk learns is stamped."""
    _, parent, stamp, distance, _ = forest
    steps, above = 0, node
    while stamp[above] != time:
        direction = parent[above]
        if direction == TERMINAL:
            stamp[above] = time
            distance[above] = 1
            break
        if direction > TERMINAL:
            return 0
        steps += 1
        above = graph.neighbor[above, direction]
    steps += distance[above]
    whole, above = steps, node
    while stamp[above] != time:
        stamp[above] = time
        distance[above] = steps
        steps -= 1
        above = graph.neighbor[above, parent[above]]
    return whole

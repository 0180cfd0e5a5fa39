"""Smoothing vectors over a graph: LightGCN's propagation (equations 3 and 4), as sums over each node's edges."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import torch

__all__ = ["Graph", "edge_weights", "propagate"]


class Graph(NamedTuple):
    """An undirected graph, each edge seen from both of its ends: by node, the ends of its edges in their order.

    Attributes:
        starts: int32 [nodes]: where each node's part of `ends` begins.
        ends: int32 [2 * edges].
        weights: [2 * edges].
        places: int64 [edges, 2]: where an edge stands in `ends`, seen from the one node and from the other.
    """

    starts: torch.Tensor
    ends: torch.Tensor
    weights: torch.Tensor
    places: torch.Tensor

    @classmethod
    def of(cls, edges: torch.Tensor, weights: torch.Tensor, nodes: int) -> Graph:
        """From edges int [2, edges], each once, and their weights [edges]."""
        import torch

        both = torch.cat([edges, edges.flip(0)], dim=1)
        order = torch.argsort(both[0] * nodes + both[1])
        counts = torch.bincount(both[0], minlength=nodes)
        places = torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=order.device)).reshape(2, -1).T
        return cls((counts.cumsum(0) - counts).int(), both[1][order].int(), torch.cat([weights, weights])[order], places)

    def to(self, device: torch.device | str) -> Graph:
        """The graph on another device."""
        return Graph(*(part.to(device) for part in self))

    def without(self, edges: torch.Tensor) -> Graph:
        """The graph less the edges of these numbers."""
        return self._replace(weights=self.weights.index_fill(0, self.places[edges].flatten(), 0.0))


def propagate(nodes: torch.Tensor, graph: Graph, layers: int) -> torch.Tensor:
    """Mean of the nodes' vectors [nodes, dim] after 0, 1, ..., `layers` steps over the graph.

    A step is a weighted sum over each node's edges, the same sum back and forth, as the graph has no direction: no sparse matrix is made.
    """
    step = _step()
    total = stepped = nodes
    for _ in range(layers):
        stepped = step(stepped, graph)
        total = total + stepped
    return total / (layers + 1)


@cache
def _step() -> Any:
    import torch
    from torch.nn import functional

    def summed(nodes: torch.Tensor, graph: Graph) -> torch.Tensor:
        weights = graph.weights.to(nodes.dtype)
        return functional.embedding_bag(graph.ends, nodes, graph.starts, mode="sum", per_sample_weights=weights)

    class Step(torch.autograd.Function):
        """Its gradient with respect to the nodes is itself; weights have none."""

        @staticmethod
        def forward(ctx: Any, nodes: torch.Tensor, graph: Graph) -> torch.Tensor:
            ctx.graph = graph
            return summed(nodes, graph)

        @staticmethod
        def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
            return summed(gradient.contiguous(), ctx.graph), None

    return Step.apply


def edge_weights(edges: torch.Tensor, nodes: int) -> torch.Tensor:
    """float32 [edges]: 1 / sqrt(degree · degree) of the ends (equation 3)."""
    import torch

    degree = torch.bincount(edges.flatten(), minlength=nodes).float()
    return (degree[edges[0]] * degree[edges[1]]).rsqrt()

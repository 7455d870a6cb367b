"""Learned queries that look at each other, at a question, and then at tokens (Q-Former).

Letters beyond the shared ones: ``Q`` queries, ``S`` tokens that are read, ``n`` text
tokens, ``Dq`` width of the text features.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dynfocus.methods.connectors.blocks import Attention, build_perceptron


class QueryLayer(nn.Module):
    """A layer: attention among queries, attention to tokens, a perceptron.

    Args:
        dim: Width of all that comes and goes.
        reads: Whether it attends to tokens at all.
    """

    def __init__(self, dim: int, *, reads: bool = True) -> None:
        super().__init__()
        self.self_attention = Attention(dim)
        self.cross_attention = Attention(dim) if reads else None
        self.perceptron = build_perceptron(dim)

    def forward(
        self,
        queries: Tensor,
        beside: Tensor,
        tokens: Tensor,
        beside_mask: Tensor | None = None,
    ) -> Tensor:
        """Read tokens.

        Args:
            queries: Shape ``[B, Q, D]``.
            beside: What queries see beside each other, ``[B, n, D]``.
            tokens: What is read, ``[B, S, D]``.
            beside_mask: True where ``beside`` may be seen, ``[B, n]``.

        Returns:
            The queries, ``[B, Q, D]``.
        """
        mask = None
        if beside_mask is not None:
            own = beside_mask.new_ones(queries.shape[:2])
            mask = torch.cat([own, beside_mask], dim=1)[:, None, None]
        seen = torch.cat([queries, beside.to(queries)], dim=1)
        queries = queries + self.self_attention(queries, seen, mask)
        if self.cross_attention is not None:
            queries = queries + self.cross_attention(queries, tokens)
        return queries + self.perceptron(queries)


class QueryReader(nn.Module):
    """Queries that read a question and tokens, in a few layers.

    Smaller than the Q-Former of InstructBLIP (BERT base, whose text tokens change from
    layer to layer and whose every second layer reads): drawn anew, of the width of the
    tokens, and it reads the features that the model's text encoder has of a question.

    Args:
        dim: Width of queries and tokens, ``D``.
        text_dim: Width of the text features.
        num_queries: Queries, ``Q``.
        depth: Layers.
    """

    def __init__(self, dim: int, text_dim: int, num_queries: int, depth: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(0.02 * torch.randn(num_queries, dim))
        self.text_projector = nn.Linear(text_dim, dim)
        self.layers = nn.ModuleList(QueryLayer(dim) for _ in range(depth))
        self.norm = nn.LayerNorm(dim)

    def forward(self, tokens: Tensor, text: Tensor, text_mask: Tensor) -> Tensor:
        """Read tokens for a question.

        Args:
            tokens: Shape ``[B, S, D]``.
            text: Text features, ``[B, n, Dq]``.
            text_mask: True at real text tokens, ``[B, n]``.

        Returns:
            The queries, ``[B, Q, D]``.
        """
        found = self.queries.to(tokens).expand(len(tokens), -1, -1)
        words = self.text_projector(text.masked_fill(~text_mask[..., None], 0))
        for layer in self.layers:
            found = layer(found, words, tokens, text_mask)
        return self.norm(found)

"""LLaMA-VID: a context and a content token a frame (Li et al., ECCV 2024).

Letters beyond the shared ones: ``n`` text tokens, ``Dq`` width of the text features,
``H`` width of the language model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from dynfocus.focus import VideoFeatures, VideoTokens
from dynfocus.focus.cooperative import text_weights
from dynfocus.methods.connectors.interface import (
    ConnectorSizes,
    build_projector,
    frame_tokens,
)


class LlamaVid(nn.Module):
    r"""Sketch every frame in two tokens.

    .. math::
        e_t = \mathrm{mean}_n\, \mathrm{Softmax}_N\Big(
            \frac{W_q Q\, (W_k v_t)^\top}{\sqrt D}\Big) v_t
        \qquad
        O_t = W_v e_t \,\Vert\, \mathrm{MLP}(\mathrm{mean}_N v_t)

    Differs from the original:
        ``Q`` are the text features of the question, as for our Rods, not the queries of
        a Q-Former that also reads the frame.

    Args:
        sizes: What it connects.
    """

    def __init__(self, sizes: ConnectorSizes) -> None:
        super().__init__()
        self.projector = build_projector(sizes.dim, sizes.hidden_size)
        self.query_projector = nn.Linear(sizes.text_dim, sizes.dim)
        self.key_projector = nn.Linear(sizes.dim, sizes.dim)
        self.context_projector = nn.Linear(sizes.dim, sizes.hidden_size)

    def num_tokens(self, num_frames: int) -> int:
        """Count the tokens of a video from its number of frames alone."""
        return 2 * num_frames

    def forward(
        self, videos: Sequence[VideoFeatures], text: Tensor, text_mask: Tensor
    ) -> list[VideoTokens]:
        """Make the two tokens of each frame."""
        patches = pad_sequence([v.spatial for v in videos], batch_first=True)
        context = self.context_projector(self._attend(patches, text, text_mask))
        content = self.projector(patches.mean(2))
        pairs = torch.stack([context, content], dim=2)  # [B, T, 2, H]
        return [
            frame_tokens(video, pairs[row, : video.num_frames], fine=False)
            for row, video in enumerate(videos)
        ]

    def _attend(self, patches: Tensor, text: Tensor, text_mask: Tensor) -> Tensor:
        """Average over text tokens what each finds in a frame, ``[B, T, D]``."""
        weights = text_weights(text, text_mask)  # [B, n]
        queries = self.query_projector(text.masked_fill(~text_mask[..., None], 0))
        keys = self.key_projector(patches)  # [B, T, N, D]
        logits = torch.einsum("bqd,btnd->btqn", queries, keys)
        attention = (logits / math.sqrt(keys.shape[3])).softmax(dim=3)
        attention = torch.einsum("bq,btqn->btn", weights.to(attention), attention)
        return torch.einsum("btn,btnd->btd", attention, patches)

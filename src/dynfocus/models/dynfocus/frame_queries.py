"""The text side of the published code: image-conditioned queries of every frame.

Letters: B blocks, V videos, T frames of the longest, N patches, n query tokens, D_q
width of the Q-Former.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from dynfocus.focus import VideoFeatures


def ask_frames(
    text_encoder: Any,
    query_tokens: Tensor,
    videos: Sequence[VideoFeatures],
    *,
    input_ids: Tensor,
    attention_mask: Tensor,
    window: int,
) -> Tensor:
    """Ask the Q-Former about every frame of every block.

    Args:
        text_encoder: The Q-Former.
        query_tokens: Its learned queries, shape ``[1, n, D_q]``.
        videos: The video of each block, with its patches.
        input_ids: The question of each block, shape ``[B, L]``.
        attention_mask: True at the questions' tokens, shape ``[B, L]``.
        window: Frames that go through the Q-Former together.

    Returns:
        The answers of the queries, shape ``[B, T, n, D_q]``, zero after a block's end.
    """
    if any(video.patches is None for video in videos):
        raise ValueError(
            'text_side "frame_queries" needs the patches of every frame, but the video '
            "features hold none; encode the video again with this model"
        )
    patches = torch.cat([v.patches for v in videos if v.patches is not None])
    num_frames = [video.num_frames for video in videos]
    pairs = _pairs(num_frames).to(input_ids.device)
    num_queries = query_tokens.shape[1]
    answers = []
    for block, frame in (part.unbind(1) for part in torch.split(pairs, window)):
        mask = attention_mask[block]
        outputs = text_encoder(
            input_ids=input_ids[block],
            attention_mask=torch.cat(
                [mask.new_ones(len(mask), num_queries), mask], dim=1
            ),
            query_embeds=query_tokens.expand(len(mask), -1, -1),
            encoder_hidden_states=patches[frame],
        )
        answers.append(outputs.last_hidden_state[:, :num_queries])
    per_block = torch.split(torch.cat(answers), num_frames)
    return pad_sequence(list(per_block), batch_first=True)


def _pairs(num_frames: Sequence[int]) -> Tensor:
    """List (block, place of the frame among the packed frames of all blocks)."""
    blocks = torch.arange(len(num_frames)).repeat_interleave(torch.tensor(num_frames))
    return torch.stack([blocks, torch.arange(len(blocks))], dim=1)

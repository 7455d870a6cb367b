"""VideoStreaming: a memory that is carried from clip to clip (Qian et al., NeurIPS 2024).

Letters beyond the shared ones: ``C`` clips, ``F`` tokens of a clip's frames, ``S``
summary tokens, ``I`` indicator tokens, ``V`` clips that are read.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dynfocus.focus import VideoFeatures, VideoTokens
from dynfocus.methods.connectors.blocks import (
    Attention,
    build_perceptron,
    fold_grid,
    grid_side,
    sinusoids,
)
from dynfocus.methods.connectors.interface import (
    ConnectorSizes,
    QuestionByQuestion,
    build_projector,
    loose_tokens,
)
from dynfocus.methods.connectors.query_reader import QueryReader


class StreamingLayer(nn.Module):
    """Attention with a mask, then a perceptron.

    Args:
        dim: Width of the tokens.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.attention = Attention(dim)
        self.perceptron = build_perceptron(dim)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Mix tokens ``[1, S, D]``; the mask is ``[S, S]``, true where a key is seen."""
        tokens = tokens + self.attention(tokens, mask=mask[None, None])
        return tokens + self.perceptron(tokens)


class VideoStreaming(QuestionByQuestion):
    r"""Summarise clip after clip with the summary of the one before, and read the best.

    .. math:: [\cdot, \cdot, H_k, \hat H_k] = \mathrm{Encoder}([H_{k-1}, F_k, S, I])

    ``F`` are the tokens of a clip's frames, four patches each, ``S`` learned summary and
    ``I`` learned indicator tokens. Frames see no summaries, earlier ones neither; what
    comes later in the row sees all before it. The question with the last ``H`` gives an
    indicator, and the clips whose own has the largest cosine with it are read, in order.

    Differs from the original:
        The encoder is a small one drawn anew, in place of half of Phi-2; sines tell it the
        number of a frame in its clip, and no prompts the seconds and the history. How many indicator tokens there are was not
        published; one is our choice, and so is how the choice of clips learns: each clip's
        tokens are multiplied by one, whose gradient is that of its share of the cosines'
        softmax. Noise of the choice, and its warm-up, are left out.

    Args:
        sizes: What it connects; patches stand on a square grid.
        clip_frames: Frames of a clip; the last may have fewer.
        frame_summaries: Summary tokens for each frame of a clip.
        num_clips: Clips that are read, ``V``.
        depth: Layers of the encoder.
    """

    def __init__(
        self,
        sizes: ConnectorSizes,
        clip_frames: int = 16,
        frame_summaries: int = 4,
        num_clips: int = 4,
        depth: int = 4,
    ) -> None:
        super().__init__()
        grid_side(sizes.num_patches)
        self.clip_frames, self.num_clips = clip_frames, num_clips
        self.clip_tokens = clip_frames * frame_summaries
        self.inputs = nn.Linear(4 * sizes.dim, sizes.dim)
        self.summaries = nn.Parameter(0.02 * torch.randn(self.clip_tokens, sizes.dim))
        self.indicator = nn.Parameter(0.02 * torch.randn(1, sizes.dim))
        self.layers = nn.ModuleList(StreamingLayer(sizes.dim) for _ in range(depth))
        self.asker = QueryReader(sizes.dim, sizes.text_dim, 1, depth=1)
        self.projector = build_projector(sizes.dim, sizes.hidden_size)

    def num_tokens(self, num_frames: int) -> int:
        """Count the tokens of a video from its number of frames alone."""
        clips = -(-num_frames // self.clip_frames)
        return min(clips, self.num_clips) * self.clip_tokens

    def _connect(
        self, video: VideoFeatures, text: Tensor, text_mask: Tensor
    ) -> VideoTokens:
        memories, indicators = self.summarise(video.spatial)
        asked = self.asker(memories[-1:], text, text_mask)[0, 0]
        alike = F.cosine_similarity(indicators, asked[None], dim=1)
        best = alike.argsort(descending=True, stable=True)[: self.num_clips]
        chosen = best.sort().values
        shares = alike.softmax(0)[chosen]
        weights = 1 + shares - shares.detach()
        tokens = self.projector(memories[chosen] * weights[:, None, None])
        times = torch.split(video.pts_seconds.double(), self.clip_frames)
        seconds = torch.stack([times[clip].mean() for clip in chosen.tolist()])
        stamps = seconds.repeat_interleave(self.clip_tokens)
        return loose_tokens(video, tokens.flatten(0, 1), stamps)

    def summarise(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """Summarise the clips of a video, ``[T, N, D]``, one after another.

        Returns:
            The memory after each clip, ``[C, S, D]``, and its indicator, ``[C, D]``.
        """
        memories, indicators = [], []
        memory = patches.new_zeros(0, patches.shape[2])
        for clip in torch.split(patches, self.clip_frames):
            memory, indicator = self.encode_clip(clip, memory)[1:]
            memories.append(memory)
            indicators.append(indicator)
        return torch.stack(memories), torch.stack(indicators)

    def encode_clip(
        self, clip: Tensor, memory: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Encode a clip, ``[T, N, D]``, with the memory before it, ``[S, D]`` or empty.

        Returns:
            Its frames' tokens ``[F, D]``, the new memory ``[S, D]`` and the indicator
            ``[D]``.
        """
        frames = self.inputs(fold_grid(clip))
        numbers = torch.arange(len(clip), device=clip.device)
        waves = sinusoids(numbers, frames.shape[2]).to(frames)
        frames = (frames + waves[:, None]).flatten(0, 1)
        row = torch.cat([memory, frames, self.summaries, self.indicator])[None]
        mask = streaming_mask(len(memory), len(frames), row.shape[1]).to(row.device)
        for layer in self.layers:
            row = layer(row, mask)
        parts = [len(memory), len(frames), len(self.summaries), 1]
        _, seen, summary, indicator = torch.split(row[0], parts)
        return seen, summary, indicator[0]


def streaming_mask(num_memory: int, num_frames: int, length: int) -> Tensor:
    """Tell what each token of a clip's row may see, ``[length, length]``.

    Each sees itself and all before it, but tokens of frames do not see the memory.

    Args:
        num_memory: Tokens of the memory, which stand first.
        num_frames: Tokens of the frames, which stand next.
        length: Tokens in all.
    """
    mask = torch.ones(length, length, dtype=torch.bool).tril()
    mask[num_memory : num_memory + num_frames, :num_memory] = False
    return mask

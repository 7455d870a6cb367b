"""B-VLLM: queries choose mixtures of frames, alike ones merge (Lu et al., 2024).

Letters beyond the shared ones: ``R`` mixtures of frames, ``n`` text tokens, ``Q`` tokens
of a mixture.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dynfocus.focus import VideoFeatures, VideoTokens
from dynfocus.methods.connectors.blocks import gumbel
from dynfocus.methods.connectors.interface import (
    ConnectorSizes,
    QuestionByQuestion,
    loose_tokens,
)
from dynfocus.methods.connectors.query_reader import QueryReader
from dynfocus.text import check_choice

Noise = Literal["training", "always"]
_TEMPERATURE = 0.5


class BVllm(QuestionByQuestion):
    r"""Choose mixtures of frames for a question, merge alike ones, and read each.

    .. math::
        S = \mathrm{Softmax}_t\Big(\frac{W Q(c)\, c^\top / \sqrt D + \mathrm{Gumbel}}{0.5}
        \Big) \qquad F = S v

    ``c`` are the frames' mean patches and ``Q`` queries that read them with the question.
    A mixture whose row of ``S`` has ``(cos + 1) / 2 > 0.75`` with an earlier row joins the
    one most like it; those that join one are one mean. 32 queries that know the question
    read each mixture that is left. How many are left depends on the video.

    Differs from the original:
        Mean patches stand for class tokens, and both Q-Formers are small ones drawn anew
        that read the model's features of a question. Noise is drawn in training alone, unless asked for. A
        mixture that joins one which has joined another goes where that went; in the code
        it is lost. What is left stands in the order of its mean time, not of the queries.
        Merging of tokens within a mixture never happens there and is left out. Depth is
        our choice.

    Args:
        sizes: What it connects.
        num_mixtures: Mixtures of frames before merging, ``R``.
        mixture_tokens: Tokens of each that is left, ``Q``.
        threshold: From which likeness on mixtures merge.
        noise: When noise is drawn: in ``training`` alone, or ``always`` as in the code,
            then the same for every question that is asked.
        depth: Layers of each reader.
    """

    varies = True

    def __init__(
        self,
        sizes: ConnectorSizes,
        num_mixtures: int = 16,
        mixture_tokens: int = 32,
        threshold: float = 0.75,
        noise: Noise = "training",
        depth: int = 2,
    ) -> None:
        super().__init__()
        self.num_mixtures, self.mixture_tokens = num_mixtures, mixture_tokens
        check_choice(noise, "noise", get_args(Noise))
        self.threshold, self.noise = threshold, noise
        dims = (sizes.dim, sizes.text_dim)
        self.chooser = QueryReader(*dims, num_mixtures, depth)
        self.selector = nn.Linear(sizes.dim, sizes.dim)
        self.reader = QueryReader(*dims, mixture_tokens, depth)
        self.projector = nn.Sequential(
            nn.Linear(sizes.dim, sizes.dim), nn.Linear(sizes.dim, sizes.hidden_size)
        )

    def num_tokens(self, num_frames: int) -> int:
        """Bound the tokens of a video by its number of frames."""
        return self.mixture_tokens * (self.num_mixtures if num_frames > 1 else 1)

    def _connect(
        self, video: VideoFeatures, text: Tensor, text_mask: Tensor
    ) -> VideoTokens:
        shares = self.choose(video.spatial.mean(1), text, text_mask)  # [R, T]
        with torch.no_grad():
            roots = find_roots(shares, self.threshold)
            left = torch.unique(roots)
            joins = (roots == left[:, None]).to(shares)
            joins = joins / joins.sum(1, keepdim=True)
            times = (
                joins.double() @ shares.double() @ video.pts_seconds.to(shares.device)
            )
            order = times.argsort(stable=True)
        mixed = (joins[order] @ shares) @ video.spatial.flatten(1)
        frames = mixed.unflatten(1, video.spatial.shape[1:])
        count = len(frames)
        found = self.reader(
            frames, text.expand(count, -1, -1), text_mask.expand(count, -1)
        )
        seconds = times[order].repeat_interleave(self.mixture_tokens)
        return loose_tokens(video, self.projector(found).flatten(0, 1), seconds)

    def choose(self, means: Tensor, text: Tensor, text_mask: Tensor) -> Tensor:
        """Share mixtures among frames ``[T, D]`` by a question, ``[R, T]``."""
        queries = self.selector(self.chooser(means[None], text, text_mask))[0]
        logits = queries @ means.mT / math.sqrt(means.shape[1])
        if self.training:
            logits = logits + gumbel(torch.rand_like(logits))
        elif self.noise == "always":
            drawn = torch.rand(logits.shape, generator=torch.Generator().manual_seed(0))
            logits = logits + gumbel(drawn.to(logits))
        return (logits / _TEMPERATURE).softmax(1)


def find_roots(shares: Tensor, threshold: float) -> Tensor:
    """Tell which mixture each one ends in, ``[R]``: itself, or an earlier one.

    Args:
        shares: Shares of frames in mixtures, ``[R, T]``.
        threshold: A mixture joins the earlier one that is most like it, the first of
            alike ones, if ``(cos + 1) / 2`` is above this.
    """
    units = F.normalize(shares.float(), dim=1)
    alike = ((units @ units.mT + 1) / 2).tril(-1)
    best, nearest = alike.max(1)
    roots = torch.arange(len(shares), device=shares.device)
    for row in range(1, len(shares)):  # an earlier one has its root already
        if best[row] > threshold:
            roots[row] = roots[nearest[row]]
    return roots

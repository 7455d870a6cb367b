"""KFFocus in our reading: key frames whole, the others condensed (Zhao et al., 2025)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dynfocus.focus import VideoFeatures, VideoTokens
from dynfocus.methods.connectors.blocks import part_of_side, pool_grid, sinusoids
from dynfocus.methods.connectors.interface import (
    ConnectorSizes,
    VideoByVideo,
    build_projector,
)

_WAVES = 16


def frame_novelty(patches: Tensor) -> Tensor:
    """Tell how unlike each frame is to the one before it, from ``[T, N, D]``.

    ``1 - mean_n cos(v[t, n], v[t - 1, n])``, shape ``[T]``; zero for the first.
    """
    alike = F.cosine_similarity(patches[1:], patches[:-1], dim=2).mean(1)
    return F.pad(1 - alike, (1, 0))


def choose_keyframes(novelty: Tensor, strictness: float, max_gap: int) -> Tensor:
    """Choose the first frame, maxima of novelty, and one in every long stretch.

    Args:
        novelty: How unlike each frame is to the one before, ``[T]``.
        strictness: Standard deviations above the mean from which a local maximum counts.
        max_gap: A frame later than this after the last key frame is one, too.

    Returns:
        True at key frames, shape ``[T]``.
    """
    inf = novelty.new_full((1,), -torch.inf)
    before, after = torch.cat([inf, novelty[:-1]]), torch.cat([novelty[1:], inf])
    bar = novelty.mean() + strictness * novelty.std(correction=0)
    is_key = (novelty > before) & (novelty >= after) & (novelty > bar)
    is_key[0] = True
    last, flags = 0, is_key.tolist()
    for frame, is_peak in enumerate(flags):
        flags[frame] = is_peak or frame - last > max_gap
        last = frame if flags[frame] else last
    return torch.tensor(flags, device=novelty.device)


class KeyframeRatio(VideoByVideo):
    r"""Give key frames a fine grid and the others a coarse one.

    .. math:: r_t = 1 - \mathrm{mean}_n \cos(v_{t,n}, v_{t-1,n})

    Key frames are the first, those where ``r`` has a local maximum above
    ``mean + std / 2``, and each that comes more than 16 frames after the last; each token
    is told its time, row and column before it is projected.

    Differs from the original:
        Neither code nor full text could be found; the abstract says that key frames are
        found by redundancy over time as video codecs do, that condensation differs from
        frame to frame, and that a module encodes order and place. All else is our choice,
        and so this is not called KFFocus: the rule above; grids of 64 and 16 tokens for
        16 x 16 patches; sines and cosines, behind a gate that starts at zero.

    Args:
        sizes: What it connects; patches stand on a square grid.
        strictness: Standard deviations above the mean from which a maximum counts.
        max_gap: Most frames from one key frame to the next.
    """

    varies = True

    def __init__(
        self, sizes: ConnectorSizes, strictness: float = 0.5, max_gap: int = 16
    ) -> None:
        super().__init__()
        self.strictness, self.max_gap = strictness, max_gap
        self.fine_side = part_of_side(sizes.num_patches, 2)
        self.coarse_side = part_of_side(sizes.num_patches, 4)
        self.position_projector = nn.Linear(3 * _WAVES, sizes.dim)
        self.position_gate = nn.Parameter(torch.zeros(sizes.dim))
        self.projector = build_projector(sizes.dim, sizes.hidden_size)

    def num_tokens(self, num_frames: int) -> int:
        """Bound the tokens of a video: no two maxima are neighbours."""
        most = 1 + num_frames // 2
        return most * self.fine_side**2 + (num_frames - most) * self.coarse_side**2

    def _connect(self, video: VideoFeatures) -> VideoTokens:
        novelty = frame_novelty(video.spatial)
        is_key = choose_keyframes(novelty, self.strictness, self.max_gap)
        fine = self._place(video, is_key, self.fine_side)
        coarse = self._place(video, ~is_key, self.coarse_side)
        lengths = is_key * self.fine_side**2 + ~is_key * self.coarse_side**2
        of_key = is_key.repeat_interleave(lengths)
        embeds = fine.new_empty(len(of_key), fine.shape[1])
        embeds[of_key], embeds[~of_key] = fine, coarse
        return VideoTokens(
            embeds=self.projector(embeds),
            frame_indices=torch.arange(video.num_frames),
            pts_seconds=video.pts_seconds.cpu().double(),
            is_cone=is_key.cpu(),
            lengths=lengths.cpu(),
            scores=novelty.detach().float().cpu(),
        )

    def _place(self, video: VideoFeatures, chosen: Tensor, side: int) -> Tensor:
        """Pool the chosen frames and tell each token where it is, in a row."""
        tokens = pool_grid(video.spatial[chosen], side)
        cells = torch.arange(side * side, device=tokens.device)
        middle = (self.fine_side / side) / 2
        rows = middle * (2 * (cells // side) + 1)
        columns = middle * (2 * (cells % side) + 1)
        seconds = video.pts_seconds[chosen].to(tokens.device)
        places = torch.stack(
            [
                seconds[:, None].expand(-1, len(cells)),
                rows.expand(len(seconds), -1),
                columns.expand(len(seconds), -1),
            ],
            dim=2,
        )
        waves = sinusoids(places, _WAVES).flatten(2).to(tokens)
        moved = tokens + self.position_gate * self.position_projector(waves)
        return moved.flatten(0, 1)

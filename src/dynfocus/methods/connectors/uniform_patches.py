"""All patches of a few evenly spaced frames: what a budget buys without compression."""

from __future__ import annotations

from dataclasses import replace

from dynfocus.focus import (
    FocusBudget,
    FocusSettings,
    VideoFeatures,
    VideoTokens,
    uniform_indices,
)
from dynfocus.methods.connectors.interface import frame_tokens


class UniformPatches:
    """Keep every patch of as many uniform frames as the budget of DynFocus pays for.

    Args:
        num_patches: Patches of a frame.
        settings: The network whose number of tokens is the budget.
    """

    def __init__(self, num_patches: int, settings: FocusSettings) -> None:
        self.num_patches = num_patches
        self.settings = settings

    def num_kept(self, num_frames: int) -> int:
        """Count the frames that the budget pays for; one at least."""
        budget = FocusBudget(settings=self.settings).num_tokens(num_frames)
        return min(num_frames, max(1, budget // self.num_patches))

    def num_tokens(self, num_frames: int) -> int:
        """Count the tokens of a video from its number of frames alone."""
        return self.num_kept(num_frames) * self.num_patches

    def __call__(self, video: VideoFeatures) -> VideoTokens:
        """Keep the patches of frames, evenly."""
        frames = uniform_indices(video.num_frames, self.num_kept(video.num_frames))
        kept = video.take(frames)
        tokens = frame_tokens(kept, kept.spatial, fine=True)
        return replace(tokens, frame_indices=frames)

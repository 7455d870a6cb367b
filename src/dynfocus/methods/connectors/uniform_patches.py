"""All patches of a few evenly spaced frames: what a budget buys without compression."""

from __future__ import annotations

from dynfocus.focus import FocusBudget, FocusSettings, uniform_indices
from dynfocus.methods.connectors.projected import CompressedVideo
from dynfocus.methods.patches import VideoPatches


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

    def __call__(self, video: VideoPatches) -> CompressedVideo:
        """Take the middle frame of each of equal stretches of the video."""
        count = self.num_kept(video.num_frames)
        frames = uniform_indices(video.num_frames, count)
        return CompressedVideo(
            num_frames=video.num_frames,
            tokens=video.patches[frames].flatten(0, 1),
            pts_seconds=video.pts_seconds[frames].repeat_interleave(self.num_patches),
            fine_frames=frames,
        )

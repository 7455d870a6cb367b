"""How many frames a server is sent, how large and in which way, and what they cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias, get_args

from pydantic import Field

from dynfocus.methods import fit_size
from dynfocus.validation import checked

Layout = Literal["images", "sheets", "video"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
"""The layouts by name."""
Sending: TypeAlias = Layout | Literal["file"]
PIXELS_PER_TOKEN = 784
"""Many models take one token for so many pixels; the server's own may take another."""


_Pixels = Annotated[int, Field(ge=32)]


@checked
class FrameSizes:
    """How large frames are sent."""

    cone_pixels: _Pixels = 768
    """Longer side of a Cone, and of every frame of a video."""
    rod_pixels: _Pixels = 192
    """Longer side of a Rod."""

    def cost(self, size: tuple[int, int], kind: str) -> int:
        """Estimate the tokens of a frame.

        Args:
            size: Height and width of its video.
            kind: ``"cone"`` or ``"rod"``.
        """
        longer = self.cone_pixels if kind == "cone" else self.rod_pixels
        height, width = fit_size(size, min(longer, max(size)))
        return -(-height * width // PIXELS_PER_TOKEN)


@dataclass(frozen=True, kw_only=True)
class FrameBudget:
    """How many frames are sent, how large, and among which they are chosen."""

    num_frames: int = 16
    """Frames of a question without ``max_video_tokens``; fewer of a shorter video."""
    num_cones: int | None = None
    """How many of them are Cones; by default as `select_frames` has it."""
    sizes: FrameSizes = FrameSizes()
    """Their sizes."""
    layout: Sending = "sheets"
    """How they are sent; ``"file"`` sends the video, and the server chooses."""
    fps: float | None = None
    """Frames looked at a second; by default as `select_frames` has it."""

    def count(
        self, size: tuple[int, int], max_video_tokens: int | None, taken: int = 0
    ) -> int:
        """Find how many frames fit into a budget of tokens, a quarter of them Cones.

        Args:
            size: Height and width of the video.
            max_video_tokens: The budget; None for that of `num_frames`.
            taken: What is taken of it already, by pictures.

        Raises:
            ValueError: None does.
        """
        if max_video_tokens is None:
            return self.num_frames
        cone, rod = self.sizes.cost(size, "cone"), self.sizes.cost(size, "rod")
        if max_video_tokens < cone + taken:
            raise ValueError(
                f"max_video_tokens must be at least {cone + taken}, about what one frame "
                f"{'and the pictures take' if taken else 'takes'}, got {max_video_tokens}"
            )
        max_video_tokens -= taken
        count = 1
        while count < max_video_tokens:
            num_cones = min(count + 1, max(4, (count + 1) // 4))
            if num_cones * cone + (count + 1 - num_cones) * rod > max_video_tokens:
                break
            count += 1
        return count

"""What all connectors share: sizes, what is asked of them, and how the product uses one.

Letters beyond the shared ones: ``S`` tokens of a video, ``H`` width of the language model,
``n`` text tokens, ``Dq`` width of the text features.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, cast

import torch
from torch import Tensor, nn

from dynfocus.focus import (
    CountedBudget,
    FocusBudget,
    FocusSettings,
    FrameEncoding,
    QuestionSettings,
    TokenBudget,
    TokenPlan,
    VideoFeatures,
    VideoTokens,
)

if TYPE_CHECKING:
    from dynfocus.focus.question import QuestionHead


@dataclass(frozen=True, kw_only=True)
class ConnectorSizes:
    """The widths between which a connector stands."""

    num_patches: int
    """Patches of a frame, ``N``."""
    dim: int
    """Width of a patch, ``D``."""
    text_dim: int
    """Width of the text features."""
    hidden_size: int
    """Width of the language model, ``H``."""


class Connector(Protocol):
    """Turns the patches of videos into tokens for the language model.

    One whose number of tokens depends on the content declares it with an attribute
    ``varies = True``; what it does not use of a prompt's room is masked.
    """

    def num_tokens(self, num_frames: int) -> int:
        """Count the tokens of a video from its number of frames alone.

        Where the number ``varies``, this is the most that there can be.
        """

    def __call__(
        self, videos: Sequence[VideoFeatures], text: Tensor, text_mask: Tensor
    ) -> list[VideoTokens]:
        """Make the tokens of each video for its question.

        Args:
            videos: Videos whose ``spatial`` are all patches of every frame that is read,
                ``B`` of them.
            text: Text features of the questions, shape ``[B, n, Dq]``.
            text_mask: True at real text tokens, shape ``[B, n]``.

        Returns:
            The tokens of each video in the order in which they are read. A row of
            `VideoTokens` stands for tokens that lie together: those of a frame, or of
            several that are merged, with the number of one of them and their time; NaN
            where they have none.
        """


class VideoByVideo(nn.Module, ABC):
    """A connector that reads each video by itself and does not look at its question."""

    def forward(
        self, videos: Sequence[VideoFeatures], text: Tensor, text_mask: Tensor
    ) -> list[VideoTokens]:
        """Make the tokens of each video; the question is not looked at."""
        return [self._connect(video) for video in videos]

    @abstractmethod
    def _connect(self, video: VideoFeatures) -> VideoTokens:
        """Make the tokens of a video."""


class QuestionByQuestion(nn.Module, ABC):
    """A connector that reads each video by itself, for its question."""

    def forward(
        self, videos: Sequence[VideoFeatures], text: Tensor, text_mask: Tensor
    ) -> list[VideoTokens]:
        """Make the tokens of each video for its question."""
        return [
            self._connect(video, text[row, None], text_mask[row, None])
            for row, video in enumerate(videos)
        ]

    @abstractmethod
    def _connect(
        self, video: VideoFeatures, text: Tensor, text_mask: Tensor
    ) -> VideoTokens:
        """Make the tokens of a video for a question, ``[1, n, Dq]``."""


class PatchKeeper:
    """The half of a network before a question, for one that keeps videos as patches."""

    def encode(self, patches: Tensor) -> FrameEncoding:
        """Keep the patches of some frames, ``[F, N, D]``, as they are."""
        return FrameEncoding(None, patches)

    def add_events(self, video: VideoFeatures) -> VideoFeatures:
        """Give the video back: nothing else is made of it before a question."""
        return video


class ConnectedNetwork(PatchKeeper, nn.Module):
    """Any connector in the place of `FocusNetwork`, with its methods.

    Videos are kept as patches, and frames that a budget leaves out are left out evenly.

    Args:
        connector: What makes the tokens.
        sizes: What it connects.
        settings: The model's settings, of which only ``use_clock`` matters here: without
            a clock no connector could tell the time of its tokens.
    """

    def __init__(
        self, connector: nn.Module, sizes: ConnectorSizes, settings: FocusSettings
    ) -> None:
        super().__init__()
        self.connector = connector
        self.varies = bool(getattr(connector, "varies", False))
        self.settings = settings
        self.question_head: QuestionHead | None = None
        if settings.extensions.use_clock:
            # here and not above, as in `FocusNetwork`
            from dynfocus.focus.question import QuestionHead

            self.question_head = QuestionHead(
                QuestionSettings(use_clock=True),
                sizes.dim,
                sizes.text_dim,
                sizes.hidden_size,
            )

    def budget(self, max_video_tokens: int | None = None) -> TokenBudget:
        """Give what counts the tokens of a video, and fits it into a budget."""
        return CountedBudget(
            max_video_tokens=max_video_tokens,
            count=self.num_tokens,
            varies=self.varies,
        )

    def num_tokens(self, num_frames: int) -> int:
        """Count the tokens of a video, or bound them, from its number of frames."""
        return cast("Connector", self.connector).num_tokens(num_frames)

    def forward(
        self,
        videos: Sequence[VideoFeatures],
        text: Tensor,
        text_mask: Tensor | None = None,
        *,
        owners: Sequence[int] | None = None,
        plans: Sequence[TokenPlan] | None = None,
        **_: Any,
    ) -> list[VideoTokens]:
        """Make the tokens for each question; see `FocusNetwork.forward`."""
        if text_mask is None:
            text_mask = torch.ones_like(text[..., 0], dtype=torch.bool)
        shown = [
            videos[owner].thin(None if plans is None else plans[owner].num_frames)
            for owner in (range(len(videos)) if owners is None else owners)
        ]
        tokens = []
        for block, video in zip(
            self.connector(shown, text, text_mask), shown, strict=True
        ):
            self._check_count(len(block.embeds), video.num_frames)
            numbers = video.number(block.frame_indices).cpu()
            tokens.append(replace(block, frame_indices=numbers))
        if self.question_head is None:
            return tokens
        return self.question_head.mark(tokens, None, None)

    def _check_count(self, num_made: int, num_frames: int) -> None:
        """Refuse a connector that does not keep to its own count."""
        said = self.num_tokens(num_frames)
        if num_made > said or (num_made < said and not self.varies):
            most = " at most" if self.varies else ""
            raise ValueError(
                f"{type(self.connector).__name__} made {num_made} tokens of {num_frames} "
                f"frames, and its num_tokens says {said}{most}; correct one of the two"
            )


def frame_tokens(video: VideoFeatures, tokens: Tensor, *, fine: bool) -> VideoTokens:
    """Hold tokens of which every frame of a video has as many, ``[T, k, H]``."""
    num_frames = len(tokens)
    return VideoTokens(
        embeds=tokens.flatten(0, 1),
        frame_indices=torch.arange(num_frames),
        pts_seconds=video.pts_seconds.cpu().double(),
        is_cone=torch.full((num_frames,), fine),
        lengths=torch.full((num_frames,), tokens.shape[1]),
        scores=torch.zeros(num_frames),
    )


def loose_tokens(video: VideoFeatures, tokens: Tensor, seconds: Tensor) -> VideoTokens:
    """Hold tokens ``[S, H]`` that belong to no frame, with their times, ``[S]``.

    Each is counted to the frame that is nearest in time; one without a time, NaN, to the
    last.
    """
    times = video.pts_seconds.cpu().double()
    seconds = seconds.cpu().double()
    apart = (seconds[:, None] - times).abs()  # [S, T]
    nearest = apart.argmin(1).where(~seconds.isnan(), len(times) - 1)
    return VideoTokens(
        embeds=tokens,
        frame_indices=nearest,
        pts_seconds=seconds,
        is_cone=torch.zeros(len(tokens), dtype=torch.bool),
        lengths=torch.ones(len(tokens), dtype=torch.long),
        scores=torch.zeros(len(tokens)),
    )


def network_tokens(settings: Mapping[str, Any] | None) -> Callable[[int], int]:
    """Give what counts the tokens of so many frames in a dynamic cooperative network.

    Args:
        settings: Settings of that network; the paper's by default.
    """
    own = FocusSettings.from_dict(dict(settings or {}))
    return FocusBudget(settings=own).num_tokens


def build_projector(dim: int, hidden_size: int) -> nn.Sequential:
    """Build the two-layer perceptron between vision and language (LLaVA-1.5)."""
    return nn.Sequential(
        nn.Linear(dim, hidden_size), nn.GELU(), nn.Linear(hidden_size, hidden_size)
    )

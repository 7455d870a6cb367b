"""The dynamic cooperative network: Fig. 3, from patches and a question to video tokens.

Letters beyond the shared ones: V videos, B questions, P event tokens, M spatial prototypes
of a frame, n text tokens, Dq width of the text features, H width of the language model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from dynfocus.focus.cooperative import CooperativeEncoding
from dynfocus.focus.events import EventBatch, EventPrototypes, EventSelection
from dynfocus.focus.features import FrameEncoding, VideoFeatures
from dynfocus.focus.settings import FocusSettings
from dynfocus.focus.spatial import SpatialPrototypes
from dynfocus.focus.tokens import FocusBudget, TokenPlan, VideoTokens

if TYPE_CHECKING:
    from dynfocus.focus.question import QuestionHead

FrameText = Callable[[Sequence[VideoFeatures]], Tensor]
"""Gives the text features of every frame of the video of each question,
``[B, T, n, Dq]``, zero after a video's end."""


AskedText = tuple[Tensor | None, Tensor | None]
"""Text features, and a mask that is True at real text tokens."""


class AskedVideos(NamedTuple):
    """The video of each question side by side, and what is kept of it."""

    spatial: Tensor
    """Spatial prototypes, ``[B, T, M, D]``."""
    pts_seconds: Tensor
    """Presentation times, ``[B, T]``."""
    mask: Tensor
    """True at real frames, ``[B, T]``."""
    selection: EventSelection
    """The kept events."""
    ratings: Tensor | None
    """How well each frame fits, ``[B, T]``; ours, None without."""


class FocusNetwork(nn.Module):
    """Encode videos once, and turn them into few tokens for each question.

    ``encode`` and ``add_events`` need no question: S-DPC and T-DPC. The call scores the
    events, keeps the best and encodes their frames as Cones and all frames as Rods.

    What is ours (``question_head``) enters at three places, marked in the code; without
    ``settings.question`` there is no such module, and nothing of its file is needed.

    Args:
        settings: What the parts are; they get plain arguments.
        dim: Width of the patches, ``D``.
        text_dim: Width of the text features, ``Dq``.
        hidden_size: Width of the language model, ``H``.
    """

    def __init__(
        self, settings: FocusSettings, dim: int, text_dim: int, hidden_size: int
    ) -> None:
        super().__init__()
        self.settings = settings
        ours = settings.extensions
        self.event_prototypes = EventPrototypes(
            dim,
            **settings.event_arguments,
            num_context=2 * dim if ours.use_question_scores else 0,
        )
        self.spatial_prototypes = SpatialPrototypes(**settings.spatial_arguments)
        self.cooperative_encoding = CooperativeEncoding(
            dim,
            text_dim,
            hidden_size,
            cones_with_rods=settings.cones_with_rods,
            content_first=settings.rods_order == "content_first",
        )
        self.question_head: QuestionHead | None = None
        if settings.question is not None:
            # here and not above, so that the network works without that file
            from dynfocus.focus.question import QuestionHead

            self.question_head = QuestionHead(ours, dim, text_dim, hidden_size)

    def encode(self, patches: Tensor) -> FrameEncoding:
        """Encode some frames, each by itself.

        Args:
            patches: Patch features on a square grid, shape ``[F, N, D]``.
        """
        pooled = self.event_prototypes.pool(patches)
        return FrameEncoding(pooled, self.spatial_prototypes(patches))

    def add_events(
        self, video: VideoFeatures, among: Tensor | None = None
    ) -> VideoFeatures:
        """Estimate the event prototypes of a video, unless they are known.

        Where only the patches of a video are there, they are encoded first.

        Args:
            video: The video.
            among: True at the frames that may become Cones, ``[T]``: events are of these
                alone. By default all may.
        """
        if video.prototypes is not None:
            return video
        if video.is_raw:
            encoded = self.encode(video.spatial)
            video = replace(video, pooled=encoded.pooled, spatial=encoded.spatial)
        assert video.pooled is not None  # made from patches, or given
        pooled = video.pooled if among is None else video.pooled[among]
        mask = torch.ones((1, len(pooled)), dtype=torch.bool, device=pooled.device)
        events = self.event_prototypes.estimate(pooled[None], mask)
        if among is not None:
            events = events.within(among)
        return replace(video, prototypes=events)

    def budget(self, max_video_tokens: int | None = None) -> FocusBudget:
        """Give what counts the tokens of a video, and fits it into a budget."""
        return FocusBudget(settings=self.settings, max_video_tokens=max_video_tokens)

    def num_tokens(self, num_frames: int) -> int:
        """Count the tokens of a video from its number of frames alone (Eq. 13)."""
        return self.budget().num_tokens(num_frames)

    def forward(
        self,
        videos: Sequence[VideoFeatures],
        text: Tensor | None,
        text_mask: Tensor | None = None,
        *,
        owners: Sequence[int] | None = None,
        plans: Sequence[TokenPlan] | None = None,
        frame_text: FrameText | None = None,
        generator: torch.Generator | None = None,
    ) -> list[VideoTokens]:
        """Turn videos and questions into video tokens (Eq. 6-13).

        Args:
            videos: The videos, ``V`` of them.
            text: Text features of each question, ``[B, n, Dq]``; None where ``frame_text``
                is all that is read.
            text_mask: True at real text tokens, ``[B, n]``.
            owners: The video of each question, ``B`` numbers; by default question i is
                about video i.
            plans: How many of its frames have tokens and are Cones, for each video; by
                default as the settings say.
            frame_text: Gives text features for each frame, in place of ``text``.
            generator: Source of the noise in training.

        Returns:
            The tokens for each question.
        """
        shown, num_cones = self.choose_frames(
            videos,
            None if frame_text is not None else text,
            text_mask,
            owners=owners,
            plans=plans,
        )
        frames = (text, text_mask) if frame_text is None else (frame_text(shown), None)
        asked = self.select(shown, num_cones, (text, text_mask), frames, generator)
        tokens = self.cooperative_encoding(
            asked.spatial, asked.mask, asked.selection, *frames, asked.pts_seconds
        )
        return self.finish(tokens, shown, asked)

    def choose_frames(
        self,
        videos: Sequence[VideoFeatures],
        text: Tensor | None,
        text_mask: Tensor | None,
        *,
        owners: Sequence[int] | None = None,
        plans: Sequence[TokenPlan] | None = None,
    ) -> tuple[list[VideoFeatures], list[int]]:
        """Leave the frames that have tokens, and the events of all frames.

        The arguments are those of the call; without ``text`` no question has a say.

        Returns:
            The video of each question, and how many of its frames become Cones.
        """
        if plans is None:
            plans = [self.budget().plan(video.num_frames) for video in videos]
        if owners is None:
            owners = range(len(videos))
        known = [self.add_events(video) for video in videos]
        shown = []
        for row, owner in enumerate(owners):
            video, num_keep = known[owner], plans[owner].num_frames
            if self.question_head is None or num_keep >= video.num_frames:
                shown.append(video.thin(num_keep))
                continue
            # Ours, 1 of 3: which frames of a long video have tokens.
            one = slice(row, row + 1)
            frames = self.question_head.choose_frames(
                video,
                num_keep,
                None if text is None else text[one],
                None if text_mask is None else text_mask[one],
            )
            shown.append(video.at(frames))
        return shown, [plans[owner].num_cones for owner in owners]

    def select(
        self,
        videos: Sequence[VideoFeatures],
        num_cones: Sequence[int],
        question: AskedText,
        frame_text: AskedText,
        generator: torch.Generator | None = None,
    ) -> AskedVideos:
        """Keep the events that matter of the video of each question (Eq. 6-9).

        Args:
            videos: The video of each question, with its events.
            num_cones: How many events of each are kept.
            question: Text features of the questions and their mask.
            frame_text: What frames are compared with, and its mask.
            generator: Source of the noise in training.
        """
        events = _pad_events([v.prototypes for v in videos if v.prototypes])
        spatial = _pad([video.spatial for video in videos])
        scores, frames, ratings = self.score_events(
            events, spatial, question, frame_text
        )
        selection = self.event_prototypes.select(
            events, scores, num_cones, frames=frames, generator=generator
        )
        real = [torch.ones_like(v.pts_seconds, dtype=torch.bool) for v in videos]
        times = _pad([video.pts_seconds for video in videos])
        return AskedVideos(spatial, times, _pad(real), selection, ratings)

    def score_events(
        self,
        events: EventBatch,
        spatial: Tensor,
        question: AskedText,
        frame_text: AskedText,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Score events (Eq. 6); ours may say besides which frame stands for each.

        Args:
            events: The prototypes of each video.
            spatial: Spatial prototypes, shape ``[B, T, M, D]``.
            question: Text features of the questions and their mask.
            frame_text: What frames are compared with, and its mask.

        Returns:
            Raw scores ``[B, L]``, the frame of each prototype ``[B, L]`` in place of its
            centre, or None, and the rating of each frame ``[B, T]``, or None.
        """
        if self.question_head is None:
            return self.event_prototypes.score(events), None, None
        # Ours, 2 of 3: which events are kept, and which of their frames.
        return self.question_head.score(
            self.event_prototypes, events, spatial, question, frame_text
        )

    def finish(
        self,
        tokens: list[VideoTokens],
        videos: Sequence[VideoFeatures],
        asked: AskedVideos,
    ) -> list[VideoTokens]:
        """Number the frames as they were sampled, and add what is ours to their tokens."""
        if self.question_head is not None:
            # Ours, 3 of 3: what is said to the language model beside the tokens.
            tokens = self.question_head.mark(tokens, asked.ratings, asked.mask)
        return [
            replace(block, frame_indices=video.number(block.frame_indices).cpu())
            for block, video in zip(tokens, videos, strict=True)
        ]


def _pad(tensors: Sequence[Tensor], filler: float = 0) -> Tensor:
    """Put tensors side by side, padded to the longest; one alone is not copied."""
    if len(tensors) == 1:
        return tensors[0][None]
    return pad_sequence(list(tensors), batch_first=True, padding_value=filler)


def _pad_events(events: Sequence[EventBatch]) -> EventBatch:
    """Put the prototypes of several videos side by side."""
    return EventBatch(
        features=_pad([e.features[0] for e in events]),
        frames=_pad([e.frames[0] for e in events], -1),
        mask=_pad([e.mask[0] for e in events]),
        assignment=_pad([e.assignment[0] for e in events], -1),
    )

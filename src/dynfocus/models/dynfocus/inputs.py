"""What a pass needs to know about its videos, checked in one place.

Letters: V videos, T frames, n question tokens, B prompts, L text tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import torch
from torch import Tensor

from dynfocus.focus import FocusBudget, FocusSettings, VideoFeatures
from dynfocus.models.dynfocus.placement import rows_of_blocks


@dataclass(frozen=True, kw_only=True)
class VideoInputs:
    """Hold the video half of the model's inputs."""

    pixel_values_videos: Tensor | None = None
    """Normalised frames of all videos, ``[sum T, 3, H, W]``."""
    video_num_frames: Tensor | None = None
    """Frames of each video, ``[V]``."""
    video_pts_seconds: Tensor | None = None
    """Times of all frames, ``[sum T]``."""
    video_features: Sequence[VideoFeatures] | None = None
    """Videos encoded before, in place of the three above."""
    block_videos: Tensor | None = None
    """The video of each block, ``[num_blocks]``; block i shows video i by default."""
    qformer_input_ids: Tensor | None = None
    """The question of each block, ``[num_blocks, n]``."""
    qformer_attention_mask: Tensor | None = None
    """True at the questions' tokens, ``[num_blocks, n]``."""
    block_max_cones: Tensor | None = None
    """At most so many cones in each block, ``[num_blocks]``."""

    video_max_frames: Tensor | None = None
    """At most so many frames of each video have tokens, ``[V]``."""

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """List the inputs by name."""
        return tuple(field.name for field in fields(cls))

    @classmethod
    def of(cls, model_inputs: Mapping[str, Any]) -> Self:
        """Pick the video inputs out of all the inputs of a pass."""
        return cls(**{n: model_inputs[n] for n in cls.names() if n in model_inputs})

    @property
    def has_video(self) -> bool:
        """Tell whether a video is there at all."""
        return self.pixel_values_videos is not None or bool(self.video_features)

    def frame_counts(self) -> list[int]:
        """Count the frames of each video, after checking that they are whole."""
        if self.video_features is not None:
            if self.pixel_values_videos is not None:
                raise ValueError(
                    "pixel_values_videos and video_features cannot be given together; "
                    "leave one out"
                )
            return [video.num_frames for video in self.video_features]
        if self.pixel_values_videos is None:
            return []
        if self.video_num_frames is None or self.video_pts_seconds is None:
            raise ValueError(
                "pixel_values_videos needs video_num_frames and video_pts_seconds; "
                "prepare the inputs with DynFocusProcessor"
            )
        counts: list[int] = self.video_num_frames.tolist()
        num_frames = len(self.pixel_values_videos)
        if sum(counts) != num_frames:
            raise ValueError(
                f"video_num_frames must add up to the {num_frames} frames of "
                f"pixel_values_videos, got {counts}; prepare the inputs with "
                "DynFocusProcessor"
            )
        return counts

    def read_counts(self, settings: FocusSettings) -> list[int]:
        """Count the frames of each video that have tokens."""
        counts = [settings.num_read_frames_for(n) for n in self.frame_counts()]
        if self.video_max_frames is None:
            return counts
        most = self.video_max_frames.tolist()
        if len(most) != len(counts):
            raise ValueError(
                f"video_max_frames must have one entry a video ({len(counts)}), got "
                f"{len(most)}; prepare the inputs with DynFocusProcessor"
            )
        return [min(pair) for pair in zip(counts, most, strict=True)]

    def questions(self) -> tuple[Tensor, Tensor]:
        """Give the question of each block and the mask of its tokens."""
        if self.qformer_input_ids is None:
            raise ValueError(
                "a video needs qformer_input_ids, the question of each block; prepare "
                "the inputs with DynFocusProcessor"
            )
        mask = self.qformer_attention_mask
        ids = self.qformer_input_ids
        return ids, torch.ones_like(ids) if mask is None else mask

    def owners(self) -> list[int]:
        """Give the video of each block, checked."""
        num_blocks, num_videos = len(self.questions()[0]), len(self.frame_counts())
        if self.block_videos is None:
            owners = list(range(num_blocks))
        else:
            owners = self.block_videos.tolist()
        if len(owners) != num_blocks:
            raise ValueError(
                f"block_videos must have one entry a question ({num_blocks}), got "
                f"{len(owners)}; prepare the inputs with DynFocusProcessor"
            )
        if any(not 0 <= owner < num_videos for owner in owners):
            raise ValueError(
                f"block_videos must name videos from 0 to {num_videos - 1}, got "
                f"{owners}; prepare the inputs with DynFocusProcessor"
            )
        return owners

    def block_lengths(self, settings: FocusSettings) -> list[int]:
        """Count the tokens of each block from its number of frames alone."""
        counts, owners = self.read_counts(settings), self.owners()
        caps = self.block_max_cones
        limits = [None] * len(owners) if caps is None else caps.tolist()
        budget = FocusBudget(settings=settings)
        return [
            budget.num_tokens(counts[owner], limit)
            for owner, limit in zip(owners, limits, strict=True)
        ]

    def repeat_blocks(
        self, placeholders: Tensor, expand_size: int, settings: FocusSettings
    ) -> dict[str, Any]:
        """Repeat the blocks of each prompt as beam search repeats the prompts.

        Args:
            placeholders: True where a video token belongs, shape ``[B, L]``.
            expand_size: Copies of each prompt, which stand next to each other.
            settings: The settings that tell the length of a block.

        Returns:
            The inputs by name; videos stay single.
        """
        given = {name: getattr(self, name) for name in self.names()}
        if not self.has_video:
            return given
        ids, mask = self.questions()
        rows = rows_of_blocks(placeholders, self.block_lengths(settings)).tolist()
        order = [
            block
            for row in range(len(placeholders))
            for _ in range(expand_size)
            for block, owner in enumerate(rows)
            if owner == row
        ]
        owners = torch.tensor(self.owners(), device=ids.device)
        given["block_videos"] = owners[order]
        given["qformer_input_ids"] = ids[order]
        given["qformer_attention_mask"] = mask[order]
        if self.block_max_cones is not None:
            given["block_max_cones"] = self.block_max_cones[order]
        return given


def check_question_length(input_ids: Tensor, limit: int) -> None:
    """Refuse questions, ``[num_blocks, n]``, that the text encoder cannot read."""
    if input_ids.shape[1] > limit:
        raise ValueError(
            f"a question has {input_ids.shape[1]} tokens, the text encoder reads at "
            f"most {limit}; shorten the question"
        )

"""What a pass needs to know about its videos, and where their tokens stand.

Letters: V videos, T frames, n question tokens, B prompts, L text tokens, H width of the
language model, S tokens of a block.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from dynfocus.focus import TokenBudget, TokenPlan, VideoFeatures, VideoTokens


@dataclass(frozen=True, kw_only=True)
class VideoInputs:
    """Hold the video half of the model's inputs."""

    pixel_values_videos: Tensor | None = None
    """Normalised frames of all videos, ``[sum T, 3, H, W]``."""
    video_num_frames: Tensor | None = None
    """Frames of each video, ``[V]``."""
    video_pts_seconds: Tensor | None = None
    """Times of all frames, ``[sum T]``."""
    video_is_high: Tensor | None = None
    """True at frames of a second, higher frequency, ``[sum T]``; without, none is."""
    video_durations: Tensor | None = None
    """Length of each video in seconds, ``[V]``, 0 where it is not known."""
    video_features: Sequence[VideoFeatures] | None = None
    """Videos encoded before, in place of the three above."""
    block_videos: Tensor | None = None
    """The video of each block, ``[num_blocks]``; block i shows video i by default."""
    qformer_input_ids: Tensor | None = None
    """The question of each block, ``[num_blocks, n]``."""
    qformer_attention_mask: Tensor | None = None
    """True at the questions' tokens, ``[num_blocks, n]``."""
    video_plans: Tensor | None = None
    """Frames of each video that have tokens, Cones among them, and their tokens,
    ``[V, 3]``; without, as many as the model's settings say."""

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
                "prepare the inputs with the model's processor"
            )
        counts: list[int] = self.video_num_frames.tolist()
        num_frames = len(self.pixel_values_videos)
        if sum(counts) != num_frames:
            raise ValueError(
                f"video_num_frames must add up to the {num_frames} frames of "
                f"pixel_values_videos, got {counts}; prepare the inputs with "
                "the model's processor"
            )
        return counts

    def plans(self, budget: TokenBudget) -> list[TokenPlan]:
        """Tell how many frames of each video have tokens, and how many are Cones.

        Args:
            budget: What plans a video that comes without a plan.
        """
        counts = self.frame_counts()
        if self.video_plans is None:
            return [budget.plan(count) for count in counts]
        plans = [TokenPlan(*row) for row in self.video_plans.tolist()]
        if len(plans) != len(counts) or any(
            not 1 <= plan.num_frames <= count
            for plan, count in zip(plans, counts, strict=False)
        ):
            raise ValueError(
                f"video_plans must have one row a video, for at most its {counts} frames, "
                f"got {self.video_plans.tolist()}; prepare the inputs with "
                "the model's processor"
            )
        return plans

    def rooms(self, budget: TokenBudget, tokens: Sequence[VideoTokens]) -> list[int]:
        """Give the placeholders of each block: its tokens, or the most it could have.

        Args:
            budget: What plans a video that comes without a plan.
            tokens: The tokens of each block.
        """
        if not budget.varies:
            return [len(block.embeds) for block in tokens]
        plans = self.plans(budget)
        return [plans[owner].num_tokens for owner in self.owners()]

    def questions(self) -> tuple[Tensor, Tensor]:
        """Give the question of each block and the mask of its tokens."""
        if self.qformer_input_ids is None:
            raise ValueError(
                "a video needs qformer_input_ids, the question of each block; prepare "
                "the inputs with the model's processor"
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
                f"{len(owners)}; prepare the inputs with the model's processor"
            )
        if any(not 0 <= owner < num_videos for owner in owners):
            raise ValueError(
                f"block_videos must name videos from 0 to {num_videos - 1}, got "
                f"{owners}; prepare the inputs with the model's processor"
            )
        return owners

    def repeat_blocks(
        self, placeholders: Tensor, expand_size: int, budget: TokenBudget
    ) -> dict[str, Any]:
        """Repeat the blocks of each prompt as beam search repeats the prompts.

        Args:
            placeholders: True where a video token belongs, shape ``[B, L]``.
            expand_size: Copies of each prompt, which stand next to each other.
            budget: What tells the length of a block.

        Returns:
            The inputs by name; videos stay single.
        """
        given = {name: getattr(self, name) for name in self.names()}
        if not self.has_video:
            return given
        ids, mask = self.questions()
        plans = self.plans(budget)
        lengths = [plans[owner].num_tokens for owner in self.owners()]
        rows = rows_of_blocks(placeholders, lengths).tolist()
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
        return given


def check_question_length(input_ids: Tensor, limit: int) -> None:
    """Refuse questions, ``[num_blocks, n]``, that the text encoder cannot read."""
    if input_ids.shape[1] > limit:
        raise ValueError(
            f"a question has {input_ids.shape[1]} tokens, the text encoder reads at "
            f"most {limit}; shorten the question"
        )


def place_video_tokens(
    inputs_embeds: Tensor,
    placeholders: Tensor,
    blocks: list[Tensor],
    rooms: list[int] | None = None,
) -> Tensor:
    """Put the tokens of each block where the prompt holds room for them.

    Args:
        inputs_embeds: The embedded prompts, shape ``[B, L, H]``.
        placeholders: True where a video token belongs, shape ``[B, L]``.
        blocks: The tokens of each block in reading order, each ``[S, H]``.
        rooms: Placeholders of each block, no fewer than its tokens; as many by default.
            What is left behind a block's tokens is filled with zeros: `unread_places`.

    Returns:
        The prompts with their video tokens, shape ``[B, L, H]``.

    Raises:
        ValueError: A room is not exactly one stretch of placeholders.
    """
    rooms = [len(block) for block in blocks] if rooms is None else rooms
    check_placement(placeholders, rooms)
    if not blocks:
        return inputs_embeds
    padded = [
        F.pad(block, (0, 0, 0, room - len(block)))
        for block, room in zip(blocks, rooms, strict=True)
    ]
    tokens = torch.cat(padded).to(inputs_embeds)
    return inputs_embeds.masked_scatter(placeholders.unsqueeze(-1), tokens)


def unread_places(placeholders: Tensor, lengths: list[int], rooms: list[int]) -> Tensor:
    """Mark the room that videos did not fill, which no other token may look at.

    Args:
        placeholders: True where a video token belongs, shape ``[B, L]``.
        lengths: Tokens of each block in reading order.
        rooms: Placeholders of each block.

    Returns:
        True where a placeholder holds nothing, shape ``[B, L]``.
    """
    is_empty = [
        torch.arange(room, device=placeholders.device) >= length
        for length, room in zip(lengths, rooms, strict=True)
    ]
    found = torch.zeros_like(placeholders)
    found[placeholders] = torch.cat(is_empty)
    return found


def check_placement(placeholders: Tensor, lengths: list[int]) -> None:
    """Refuse prompts whose placeholders do not fit the blocks.

    Args:
        placeholders: True where a video token belongs, shape ``[B, L]``.
        lengths: Tokens of each block in reading order.
    """
    row, column = placeholders.nonzero(as_tuple=True)
    num_expected = sum(lengths)
    if row.numel() != num_expected:
        raise ValueError(
            f"the prompts hold {row.numel()} video placeholders, but their "
            f"{len(lengths)} video blocks need {num_expected} tokens; prepare the "
            "inputs with the model's processor and the same settings as the model"
        )
    counts = torch.tensor(lengths, dtype=torch.long, device=row.device)
    block = torch.arange(len(lengths), device=row.device).repeat_interleave(counts)
    same_block = block[1:] == block[:-1]
    follows = (row[1:] == row[:-1]) & (column[1:] == column[:-1] + 1)
    if bool((same_block & ~follows).any()):
        raise ValueError(
            f"the video placeholders do not come in stretches of {lengths} tokens; "
            "prepare the inputs with the model's processor and the same settings as the "
            "model"
        )


def rows_of_blocks(placeholders: Tensor, lengths: list[int]) -> Tensor:
    """Tell which prompt each block stands in.

    Args:
        placeholders: True where a video token belongs, shape ``[B, L]``.
        lengths: Tokens of each block in reading order.

    Returns:
        The row of each block, shape ``[num_blocks]``, int64.
    """
    check_placement(placeholders, lengths)
    row = placeholders.nonzero(as_tuple=True)[0]
    starts = torch.tensor([0, *lengths[:-1]], device=row.device).cumsum(0)
    return row[starts] if lengths else row[:0]

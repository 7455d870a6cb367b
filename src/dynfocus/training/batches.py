"""Samples become batches: padded rows, with their videos and questions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from dynfocus.training.dataset import ConversationDataset
from dynfocus.training.encoded_videos import Pixels
from dynfocus.training.failures import BatchFacts
from dynfocus.training.labels import pad_rows, pad_samples, padding_id


def collate(
    samples: Sequence[dict[str, Any]],
    pad_id: int,
    question_pad_id: int | None = None,
) -> dict[str, Any]:
    """Bring a batch into padded rows and gather its videos and questions.

    There is no attention mask: padding stands on the right, where a causal model never
    looks back at it, and without a mask attention is faster.

    Args:
        samples: What a `ConversationDataset` gives, without failures.
        pad_id: The language model's padding.
        question_pad_id: The text encoder's; the same by default.
    """
    batch: dict[str, Any] = dict(pad_samples(samples, pad_id))
    del batch["attention_mask"]
    seen = [sample for sample in samples if "shown" in sample]
    filler = pad_id if question_pad_id is None else question_pad_id
    return {**batch, **_gather_videos(seen, filler)} if seen else batch


def _gather_videos(seen: Sequence[dict[str, Any]], filler: int) -> dict[str, Any]:
    """Put the videos and questions of samples, in reading order, side by side."""
    asked = [question for sample in seen for question in sample["questions"]]
    ids, mask = pad_rows(asked, filler)
    batch: dict[str, Any] = {
        "qformer_input_ids": ids,
        "qformer_attention_mask": mask.long(),
    }
    if len(asked) > len(seen):
        counts = torch.tensor([len(sample["questions"]) for sample in seen])
        batch["block_videos"] = torch.arange(len(seen)).repeat_interleave(counts)
    if any("shows_answer" in sample for sample in seen):
        batch["shows_answer"] = [
            shows
            for sample in seen
            for shows in sample.get("shows_answer", [None] * len(sample["questions"]))
        ]
        words = [s.get("answers", [0] * len(s["questions"])) for s in seen]
        batch["answers"] = torch.tensor([word for row in words for word in row])
    videos = [sample["shown"] for sample in seen]
    if not isinstance(videos[0], Pixels):
        return {**batch, "video_features": videos}
    return {
        **batch,
        "pixel_values_videos": torch.cat([video.pixel_values for video in videos]),
        "video_pts_seconds": torch.cat([video.pts_seconds for video in videos]),
        "video_num_frames": torch.tensor([video.num_frames for video in videos]),
    }


class Collator:
    """Make batches, leave out what failed and say so.

    Args:
        dataset: Where the samples come from.
        blank_video: What a batch without a video shows; nothing by default.
    """

    def __init__(self, dataset: ConversationDataset, blank_video: Any = None) -> None:
        self._blank = dataset.blank(blank_video)
        self._needs_video = blank_video is not None
        self._pad_id = padding_id(dataset.tokenizer)
        self._question_pad_id = padding_id(dataset.processor.qformer_tokenizer)

    def __call__(self, samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Make a batch of what the dataset gave."""
        whole = [sample for sample in samples if "failure" not in sample]
        facts = BatchFacts(
            num_tokens=sum(len(sample["input_ids"]) for sample in whole),
            num_frames=sum(s["shown"].num_frames for s in whole if "shown" in s),
            num_cut=sum("is_cut" in sample for sample in whole),
            failures=tuple(s["failure"] for s in samples if "failure" in s),
        )
        lacks_video = not any("shown" in sample for sample in whole)
        if not whole or (self._needs_video and lacks_video):
            whole.append(self._blank)
        batch = collate(whole, self._pad_id, self._question_pad_id)
        return {**batch, "facts": facts}

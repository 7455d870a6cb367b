"""Questions whose evidence is known, with what is rated of their videos.

Letters: B questions of a batch, n question tokens, T things of a video that are rated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from dynfocus.focus import VideoFeatures
from dynfocus.models.dynfocus import DynFocusProcessor
from dynfocus.training.conversation import pad_rows, padding_id
from dynfocus.training.evidence import asked_of, shows_answer
from dynfocus.training.failures import BatchFacts
from dynfocus.training.features import FeatureCache, medium_of
from dynfocus.training.sources import Sample

View = Callable[[VideoFeatures], tuple[dict[str, Tensor], Tensor]]
"""Gives what is rated of a video by name, each ``[T, ..]``, and its times ``[T]``."""


class EvidenceDataset(Dataset[dict[str, Any]]):
    """Questions with what is rated of their videos, and which of it shows the answer.

    Args:
        samples: Conversations with ``evidence``: for each question the half-open
            intervals of seconds that show its answer, or none.
        media: The encoded videos.
        processor: Its tokenizer of questions.
        view: What is rated of a video.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        media: FeatureCache,
        processor: DynFocusProcessor,
        view: View,
    ) -> None:
        self._media, self._view = media, view
        self._tokenizer = processor.qformer_tokenizer
        self._kept: dict[str, tuple[dict[str, Tensor], Tensor]] = {}
        self.questions = [
            (medium_of(sample)[1], question, evidence)
            for sample in samples
            for question, _, evidence in asked_of(sample)
            if evidence
        ]
        if not self.questions:
            raise ValueError(
                "data.sources: no question says under 'evidence' when its video shows "
                "the answer; use world_videos, or add the intervals to the samples"
            )

    def __len__(self) -> int:
        return len(self.questions)

    def __getitem__(self, number: int) -> dict[str, Any]:
        medium, question, evidence = self.questions[number]
        if medium not in self._kept:
            self._kept[medium] = self._view(self._media.load(medium))
        rated, times = self._kept[medium]
        return {
            **rated,
            "question": torch.tensor(self._tokenizer(question)["input_ids"]),
            "shows_answer": shows_answer(times, evidence),
        }


def make_evidence_collator(
    processor: DynFocusProcessor, rated: Sequence[str], mask_name: str
) -> Callable[[list[dict[str, Any]]], dict[str, Any]]:
    """Return what makes a batch of questions.

    Args:
        processor: Its padding of questions.
        rated: Names of what is rated, as the dataset's ``view`` gives them.
        mask_name: Name of what is True at real things, ``[B, T]``.
    """
    filler = padding_id(processor.qformer_tokenizer)

    def collate(samples: list[dict[str, Any]]) -> dict[str, Any]:
        ids, mask = pad_rows([sample["question"] for sample in samples], filler)
        answers = [sample["shows_answer"] for sample in samples]
        there = [torch.ones_like(answer) for answer in answers]
        return {
            **{
                name: pad_sequence([sample[name] for sample in samples], True)
                for name in rated
            },
            mask_name: pad_sequence(there, True),
            "shows_answer": pad_sequence(answers, True),
            "qformer_input_ids": ids,
            "qformer_attention_mask": mask.long(),
            "facts": BatchFacts(
                num_tokens=int(mask.sum()), num_frames=sum(map(len, there))
            ),
        }

    return collate

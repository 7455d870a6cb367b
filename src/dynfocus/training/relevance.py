r"""Teach how well a frame fits the question: the relevance encoding alone learns.

Task ``relevance``. Where it is known when a video shows an answer, every frame can be told
whether it does, instead of finding out through the language model:

.. math::
    \mathcal L = \frac1T \sum_{t=1}^T \mathrm{BCE}\big(\sigma(s_t), y_t\big)

``s_t`` is the rating of frame ``t`` (`dynfocus.focus.RelevanceEncoding`), ``y_t`` is 1
inside the evidence. This loss is not in the paper. The marks that the language model reads
are drawn as loud as its words, and learn with it in stage 2 afterwards.

Letters: B questions of a batch, T frames, M spatial prototypes of a frame, D their width,
n question tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from dynfocus.focus import RelevanceEncoding
from dynfocus.models.dynfocus import (
    DynFocusForConditionalGeneration,
    DynFocusProcessor,
)
from dynfocus.models.loading import load_parts
from dynfocus.training.conversation import pad_rows, padding_id
from dynfocus.training.evidence import asked_of, shows_answer
from dynfocus.training.failures import BatchFacts
from dynfocus.training.features import FeatureCache, medium_of
from dynfocus.training.lessons import (
    Lesson,
    check_task,
    encode_videos,
    make_finish,
    with_settings,
)
from dynfocus.training.loop import Job
from dynfocus.training.recipe import Recipe
from dynfocus.training.sources import Sample, load_samples

_PLACE = "cooperative_encoding.relevance_encoding."
LEARNS = tuple(
    f"{_PLACE}{part}."
    for part in (
        "word_weights",
        "question_projector",
        "key_projector",
        "combine",
        "decide",
    )
)
"""What this task trains, by the start of parameters' names."""

_DATA_KEYS = {"sources", "cache", "fps", "max_frames"}


class VisibilityDataset(Dataset[dict[str, Any]]):
    """Questions with their videos and the frames that show the answer.

    Args:
        samples: Conversations with ``evidence``, as in task ``selection``.
        media: The encoded videos.
        processor: Its tokenizer of questions.
    """

    def __init__(
        self,
        samples: list[Sample],
        media: FeatureCache,
        processor: DynFocusProcessor,
    ) -> None:
        self._tokenizer = processor.qformer_tokenizer
        self._media = media
        self._kept: dict[str, tuple[Tensor, Tensor]] = {}
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
            video = self._media.load(medium)
            self._kept[medium] = video.spatial, video.pts_seconds
        spatial, times = self._kept[medium]
        return {
            "spatial": spatial,
            "question": torch.tensor(self._tokenizer(question)["input_ids"]),
            "shows_answer": shows_answer(times, evidence),
        }


class RelevanceLesson(Lesson):
    """A model whose loss is how far its relevance of frames is from the evidence.

    Args:
        model: The model; all but what rates frames is frozen.
    """

    def __init__(self, model: DynFocusForConditionalGeneration) -> None:
        super().__init__(model, LEARNS)
        relevance = model.cooperative_encoding.relevance_encoding
        assert isinstance(relevance, RelevanceEncoding)
        self._rate = relevance.rate

    def forward(
        self,
        spatial: Tensor,
        frame_mask: Tensor,
        qformer_input_ids: Tensor,
        qformer_attention_mask: Tensor,
        shows_answer: Tensor,
    ) -> dict[str, Tensor]:
        """Rate the frames of the video of each question.

        Args:
            spatial: Spatial prototypes, shape ``[B, T, M, D]``.
            frame_mask: True at real frames, ``[B, T]``.
            qformer_input_ids: The questions, shape ``[B, n]``.
            qformer_attention_mask: 1 at their tokens, shape ``[B, n]``.
            shows_answer: True at frames in the evidence, ``[B, T]``.

        Returns:
            ``loss``, and ``missed`` and ``false``: the share of the frames in the
            evidence rated below one half, and of the others rated above.
        """
        with torch.no_grad():
            text = self.model.encode_question(qformer_input_ids, qformer_attention_mask)
        ratings = self._rate(spatial, text, qformer_attention_mask.bool())[frame_mask]
        wanted = shows_answer[frame_mask]
        is_above = ratings > 0
        return {
            "loss": binary_cross_entropy_with_logits(ratings, wanted.to(ratings.dtype)),
            "missed": (wanted & ~is_above).sum() / wanted.sum().clamp(min=1),
            "false": (~wanted & is_above).sum() / (~wanted).sum().clamp(min=1),
        }


def make_collator(
    processor: DynFocusProcessor,
) -> Callable[[list[dict[str, Any]]], dict[str, Any]]:
    """Return what makes a batch of questions."""
    filler = padding_id(processor.qformer_tokenizer)

    def collate(samples: list[dict[str, Any]]) -> dict[str, Any]:
        ids, mask = pad_rows([sample["question"] for sample in samples], filler)
        answers = [sample["shows_answer"] for sample in samples]
        return {
            "spatial": pad_sequence([sample["spatial"] for sample in samples], True),
            "frame_mask": pad_sequence([torch.ones_like(a) for a in answers], True),
            "shows_answer": pad_sequence(answers, True),
            "qformer_input_ids": ids,
            "qformer_attention_mask": mask.long(),
            "facts": BatchFacts(
                num_tokens=int(mask.sum()), num_frames=sum(map(len, answers))
            ),
        }

    return collate


def make_relevance_job(recipe: Recipe) -> Job:
    """Build the job of task ``relevance``.

    Raises:
        ValueError: If the recipe holds something wrong.
    """
    check_task(
        recipe, model={"focus"}, data=_DATA_KEYS, of_start="relevance is to be taught"
    )
    start, processor = load_parts(
        recipe.start["model"], device="cpu", dtype=torch.float32
    )
    changes = {**recipe.model.get("focus", {}), "relevance_encoding": "question"}
    model = with_settings(start, processor, changes, (_PLACE,))
    if start.cooperative_encoding.relevance_encoding is None:
        _draw_marks(model)
    samples = load_samples(recipe.data.get("sources") or ())
    media = encode_videos(recipe, model, processor, samples)
    return Job(
        model=RelevanceLesson(model),
        dataset=VisibilityDataset(samples, media, processor),
        finish=make_finish(processor),
        collator=make_collator(processor),
    )


def _draw_marks(model: DynFocusForConditionalGeneration) -> None:
    relevance = model.cooperative_encoding.relevance_encoding
    assert isinstance(relevance, RelevanceEncoding)
    words = float(model.get_input_embeddings().weight.detach().float().std())
    nn.init.normal_(relevance.marks.weight, std=words)

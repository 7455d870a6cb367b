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

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from dynfocus.focus import RelevanceEncoding, VideoFeatures
from dynfocus.models.dynfocus import DynFocusForConditionalGeneration
from dynfocus.models.loading import load_parts
from dynfocus.training.evidence_data import EvidenceDataset, make_evidence_collator
from dynfocus.training.lessons import (
    Lesson,
    check_task,
    encode_videos,
    make_finish,
    with_settings,
)
from dynfocus.training.loop import Job
from dynfocus.training.recipe import Recipe
from dynfocus.training.sources import load_samples

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


def _frames(video: VideoFeatures) -> tuple[dict[str, Tensor], Tensor]:
    """Return what is rated of a video, ``[T, M, D]``, and its times ``[T]``."""
    return {"spatial": video.spatial}, video.pts_seconds


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
    changes = dict(recipe.model.get("focus", {}))
    changes["question"] = {**(changes.get("question") or {}), "use_ratings": True}
    model = with_settings(start, processor, changes, (_PLACE,))
    _draw_marks(model, start)
    samples = load_samples(recipe.data.get("sources") or ())
    media = encode_videos(recipe, model, processor, samples)
    return Job(
        model=RelevanceLesson(model),
        dataset=EvidenceDataset(samples, media, processor, _frames),
        finish=make_finish(processor),
        collator=make_evidence_collator(processor, ("spatial",), "frame_mask"),
    )


def _draw_marks(
    model: DynFocusForConditionalGeneration, start: DynFocusForConditionalGeneration
) -> None:
    """Draw the marks that the model at the start has not, as loud as its words."""
    relevance = model.cooperative_encoding.relevance_encoding
    earlier = start.cooperative_encoding.relevance_encoding
    assert isinstance(relevance, RelevanceEncoding)
    if relevance is earlier:
        return
    words = float(model.get_input_embeddings().weight.detach().float().std())
    relevance.draw_marks(words)
    if earlier is not None:
        relevance.load_state_dict(earlier.state_dict(), strict=False)

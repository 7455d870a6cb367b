r"""Teach the selection where the answer is: the score network alone learns.

Task ``selection``. Where it is known when a video shows an answer, the score network can be
told which event prototypes to keep, instead of finding out through the language model:

.. math::
    \mathcal L = -\frac{1}{|E|} \sum_{l \in E} \log \frac{e^{s_l}}{\sum_{j=1}^{L} e^{s_j}}

``s_l`` is the raw score of prototype ``l`` (Eq. 6, before the min-max), ``E`` the prototypes
whose centre frames lie in the evidence. This loss is not in the paper. Vision tower, text
encoder and language model stay as they are, so a run takes minutes on two CPU cores.

Letters: B questions of a batch, L prototypes, P event tokens and M spatial prototypes
of each, n question tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dynfocus.focus import TimePrototypes, VideoFeatures
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

LEARNS = ("event_prototypes.score_network.", "event_prototypes.question_context.")
"""What this task trains, by the start of parameters' names."""

_MODEL_KEYS = {"fresh_scores", "focus"}
_DATA_KEYS = {"sources", "cache", "fps", "max_frames"}


def _centres(video: VideoFeatures) -> tuple[dict[str, Tensor], Tensor]:
    """Return what is scored of a video.

    Returns:
        Event tokens ``[L, P, D]`` and spatial prototypes of the centre frames
        ``[L, M, D]``, and the times of these frames ``[L]``.
    """
    assert video.prototypes is not None
    frames = video.prototypes.frames[0]
    rated = {
        "events": video.prototypes.features[0],
        "spatial": video.spatial[frames],
    }
    return rated, video.pts_seconds[frames]


class EvidenceLesson(Lesson):
    """A model whose loss is how far its scores are from the evidence.

    Args:
        model: The model; what does not score is frozen.
    """

    def __init__(self, model: DynFocusForConditionalGeneration) -> None:
        super().__init__(model, LEARNS)

    def forward(
        self,
        events: Tensor,
        spatial: Tensor,
        prototype_mask: Tensor,
        qformer_input_ids: Tensor,
        qformer_attention_mask: Tensor,
        shows_answer: Tensor,
    ) -> dict[str, Tensor]:
        """Score the prototypes of the video of each question.

        Args:
            events: Event tokens of the prototypes, shape ``[B, L, P, D]``.
            spatial: Spatial prototypes of their centre frames, ``[B, L, M, D]``.
            prototype_mask: True where there is a prototype, ``[B, L]``.
            qformer_input_ids: The questions, shape ``[B, n]``.
            qformer_attention_mask: 1 at their tokens, shape ``[B, n]``.
            shows_answer: True at prototypes that show the answer, ``[B, L]``.

        Returns:
            ``loss``, and ``hits``: the share of questions whose best prototype shows
            the answer, both over the questions that some prototype can answer.
        """
        with torch.no_grad():
            text = self.model.encode_question(qformer_input_ids, qformer_attention_mask)
        nowhere = torch.full_like(prototype_mask, -1, dtype=torch.long)
        prototypes = TimePrototypes(events, nowhere, prototype_mask, nowhere)
        scores = self.model.event_prototypes.rate(
            prototypes, spatial, text, qformer_attention_mask.bool()
        ).masked_fill(~prototype_mask, -torch.inf)
        right = shows_answer
        wanted = scores.log_softmax(1).where(right, 0).sum(1) / right.sum(1).clamp(
            min=1
        )
        num_answerable = right.any(1).sum().clamp(min=1)
        best = scores.argmax(1, keepdim=True)
        return {
            "loss": -wanted.sum() / num_answerable,
            "hits": right.gather(1, best).sum() / num_answerable,
        }


def make_selection_job(recipe: Recipe) -> Job:
    """Build the job of task ``selection``.

    Raises:
        ValueError: If the recipe holds something wrong.
    """
    _check(recipe)
    model, processor = load_parts(
        recipe.start["model"], device="cpu", dtype=torch.float32
    )
    changes = dict(recipe.model.get("focus", {}))
    settings = model.settings
    forgets = recipe.model.get("fresh_scores", False) or (
        settings.changed(changes).extensions.use_question_scores
        != settings.extensions.use_question_scores
    )
    model = with_settings(model, processor, changes, LEARNS, forgets=forgets)
    samples = load_samples(recipe.data.get("sources") or ())
    media = encode_videos(recipe, model, processor, samples)
    return Job(
        model=EvidenceLesson(model),
        dataset=EvidenceDataset(samples, media, processor, _centres),
        finish=make_finish(processor),
        collator=make_evidence_collator(
            processor, ("events", "spatial"), "prototype_mask"
        ),
    )


def _check(recipe: Recipe) -> None:
    check_task(
        recipe, model=_MODEL_KEYS, data=_DATA_KEYS, of_start="selection is to be taught"
    )

r"""Teach Rods where to look: the projections of Eq. 11 alone learn.

Task ``rods``. A Rod has one token for what the question finds in its frame. Where it is
known when a video shows an answer, that token can be told to say it, on its own, instead
of finding out through the whole language model what would have helped:

.. math::
    \mathcal L = -\log p(a \mid \mathrm{Avg}(E_t)), \qquad
    p(\cdot \mid x) = \mathrm{Softmax}\big(W_e\, g(x)\big)

``t`` is a frame inside the evidence, ``Avg(E_t)`` what the question finds there (Eq. 11 and
12), ``a`` the first token of the answer, ``W_e`` the language model's word embeddings and
``g`` a small perceptron that is thrown away afterwards. This loss is not in the paper. Give
it kinds of questions that one frame answers with one word.

Letters: B questions of a batch, M spatial prototypes, D their width, n question tokens,
H width of the language model, V words.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import Dataset

from dynfocus.focus import uniform_indices
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
)
from dynfocus.training.loop import Job
from dynfocus.training.recipe import Recipe
from dynfocus.training.sources import Sample, load_samples

LEARNS = (
    "cooperative_encoding.query_projector.",
    "cooperative_encoding.key_projector.",
)
"""What this task trains, by the start of parameters' names."""

_MOST_FRAMES = 4
_DATA_KEYS = {"sources", "cache", "fps", "max_frames"}


class GlanceDataset(Dataset[dict[str, Any]]):
    """Questions, each with one frame that shows the answer.

    Args:
        samples: Conversations with ``evidence``, as in task ``selection``; of each
            question up to four frames are taken, evenly.
        media: The encoded videos.
        processor: Its tokenizers.
    """

    def __init__(
        self,
        samples: list[Sample],
        media: FeatureCache,
        processor: DynFocusProcessor,
    ) -> None:
        self._processor = processor
        self.glances: list[tuple[Tensor, str, str]] = []
        for sample in samples:
            self.glances += _glances(sample, media)
        if not self.glances:
            raise ValueError(
                "data.sources: no question has a sampled frame in its 'evidence'; use "
                "world_videos, add the intervals to the samples, or raise data.fps"
            )

    def __len__(self) -> int:
        return len(self.glances)

    def __getitem__(self, number: int) -> dict[str, Any]:
        spatial, question, answer = self.glances[number]
        words = self._processor.tokenizer.encode(f" {answer}", add_special_tokens=False)
        ids = self._processor.qformer_tokenizer(question)["input_ids"]
        return {
            "spatial": spatial,
            "question": torch.tensor(ids),
            "answer": words[0],
        }


def _glances(sample: Sample, media: FeatureCache) -> list[tuple[Tensor, str, str]]:
    video = media.load(medium_of(sample)[1])
    found = []
    for question, answer, evidence in asked_of(sample):
        if not evidence:
            continue
        inside = shows_answer(video.pts_seconds, evidence).nonzero()[:, 0]
        count = min(len(inside), _MOST_FRAMES)
        frames = inside[uniform_indices(len(inside), count, inside.device)]
        found += [(seen, question, answer) for seen in video.spatial[frames]]
    return found


class GlanceLesson(Lesson):
    """A model whose loss is how badly a Rod says the answer on its own.

    Args:
        model: The model; what does not attend is frozen.
    """

    def __init__(self, model: DynFocusForConditionalGeneration) -> None:
        super().__init__(model, LEARNS)
        dim = model.cooperative_encoding.key_projector.in_features
        width = model.get_input_embeddings().embedding_dim
        self.speaks = nn.Sequential(
            nn.Linear(dim, width), nn.GELU(), nn.Linear(width, width)
        )

    def forward(
        self,
        spatial: Tensor,
        qformer_input_ids: Tensor,
        qformer_attention_mask: Tensor,
        answers: Tensor,
    ) -> dict[str, Tensor]:
        """Let one Rod answer each question.

        Args:
            spatial: Spatial prototypes of a frame in the evidence, ``[B, M, D]``.
            qformer_input_ids: The questions, shape ``[B, n]``.
            qformer_attention_mask: 1 at their tokens, shape ``[B, n]``.
            answers: First token of each answer, ``[B]``.

        Returns:
            ``loss``, and ``hits``: the share of answers that are the likeliest token.
        """
        with torch.no_grad():
            text = self.model.encode_question(qformer_input_ids, qformer_attention_mask)
        context = self.model.cooperative_encoding.attend(
            spatial[:, None], text, qformer_attention_mask.bool()
        )[:, 0]
        words = self.model.get_input_embeddings().weight
        logits = self.speaks(context) @ words.T  # [B, V]
        hits = (logits.argmax(1) == answers).float().mean()
        return {"loss": cross_entropy(logits, answers), "hits": hits}


def make_collator(
    processor: DynFocusProcessor,
) -> Callable[[list[dict[str, Any]]], dict[str, Any]]:
    """Return what makes a batch of glances."""
    filler = padding_id(processor.qformer_tokenizer)

    def collate(samples: list[dict[str, Any]]) -> dict[str, Any]:
        ids, mask = pad_rows([sample["question"] for sample in samples], filler)
        return {
            "spatial": torch.stack([sample["spatial"] for sample in samples]),
            "qformer_input_ids": ids,
            "qformer_attention_mask": mask.long(),
            "answers": torch.tensor([sample["answer"] for sample in samples]),
            "facts": BatchFacts(num_tokens=int(mask.sum()), num_frames=len(samples)),
        }

    return collate


def make_rods_job(recipe: Recipe) -> Job:
    """Build the job of task ``rods``.

    Raises:
        ValueError: If the recipe holds something wrong.
    """
    _check(recipe)
    model, processor = load_parts(
        recipe.start["model"], device="cpu", dtype=torch.float32
    )
    samples = load_samples(recipe.data.get("sources") or ())
    media = encode_videos(recipe, model, processor, samples)
    return Job(
        model=GlanceLesson(model),
        dataset=GlanceDataset(samples, media, processor),
        finish=make_finish(processor),
        collator=make_collator(processor),
    )


def _check(recipe: Recipe) -> None:
    check_task(recipe, model=set(), data=_DATA_KEYS, of_start="Rods are to be taught")

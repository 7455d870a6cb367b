r"""Teach a small dual encoder which frames show the answer to a question.

Task ``scorer``. Methods that choose frames for a question need something that compares the
two. For FocusWorld no published dual encoder will do, so this task makes one: SigLIP's
classes, whose vision tower is the frozen tower of a DynFocus model with a fresh pooling
head, beside a small fresh text model. Its loss is SigLIP's

.. math::
    \mathcal L = -\frac{1}{Q} \sum_{q} \frac{1}{T} \sum_{t}
    \log \sigma\bigl(z_{qt} (a \cos(v_t, w_q) + b)\bigr)

over the frames ``t`` of the question's own video, with ``z`` 1 where the frame lies in the
evidence and -1 elsewhere. Frames of other videos are left out: whether they show what is
asked for is not known.

Letters: V videos of a batch, T frames, N patches a frame, Q questions, n tokens of each.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset
from transformers import SiglipModel

from dynfocus.conversion.siglip import siglip_dual_encoder, siglip_processor
from dynfocus.models.loading import load_parts
from dynfocus.training.encoded_videos import EncodedVideos
from dynfocus.training.evidence import asked_of, shows_answer
from dynfocus.training.failures import BatchFacts
from dynfocus.training.loop import Job
from dynfocus.training.recipe import ModelStart, Recipe
from dynfocus.training.samples import Sample, name_media
from dynfocus.training.sources import Source, VideoData, load_samples
from dynfocus.validation import Count, checked

logger = logging.getLogger(__name__)

SCORER = "scorer"
"""Folder of the result in the output of a run."""
RANKING = "ranking.json"

_FIRST_SCALE, _FIRST_BIAS = math.log(10.0), -3.0


@checked
class ScorerModel:
    """Sizes of the text model."""

    num_text_layers: Count = 2
    """Its layers."""
    max_question_tokens: Count = 16
    """Tokens of a question that it reads."""


@checked
class ScorerRecipe(Recipe):
    """A run of task ``scorer``."""

    task: Literal["scorer"]
    """The name of the task."""
    start: ModelStart
    """The model whose vision tower looks at the frames."""
    model: ScorerModel = ScorerModel()
    """Sizes of the text model."""
    data: VideoData
    """What it learns from."""
    eval_sources: tuple[Source, ...]
    """Unseen videos that the result is measured on."""


class EvidenceFrames(Dataset[dict[str, Any]]):
    """Videos with all their questions, and the frames that show the answer to each.

    Args:
        samples: Conversations with ``evidence``: for each question the half-open
            intervals of seconds that show its answer, or none.
        cache: The encoded videos.
        tokenizer: What makes tokens of questions, all of one length.
    """

    def __init__(
        self, samples: Sequence[Sample], cache: EncodedVideos, tokenizer: Any
    ) -> None:
        self._cache = cache
        self._tokenizer = tokenizer
        self.videos: dict[str, dict[str, list[tuple[float, float]]]] = {}
        for sample in samples:
            asked = {a.question: a.evidence for a in asked_of(sample) if a.evidence}
            if asked:
                self.videos.setdefault(name_media(sample), {}).update(asked)
        if not self.videos:
            raise ValueError(
                "data.sources: no question says under 'evidence' when its video shows "
                "the answer; use world_videos, or add the intervals to the samples"
            )
        self._media = list(self.videos)

    def __len__(self) -> int:
        return len(self._media)

    def __getitem__(self, number: int) -> dict[str, Any]:
        medium = self._media[number]
        video = self._cache.load(medium)
        asked = self.videos[medium]
        return {
            "patches": video.spatial,
            "input_ids": tokenize(self._tokenizer, list(asked)),
            "shows_answer": torch.stack(
                [shows_answer(video.pts_seconds, e) for e in asked.values()]
            ),
        }


def tokenize(tokenizer: Any, questions: list[str]) -> Tensor:
    """Give the tokens of questions as a dual encoder reads them, ``[Q, n]``."""
    ids: Tensor = tokenizer(
        questions, padding="max_length", truncation=True, return_tensors="pt"
    )["input_ids"]
    return ids


def collate(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """Make a batch of videos, padded to the longest."""
    patches = [sample["patches"] for sample in samples]
    answers = [sample["shows_answer"] for sample in samples]
    ids = torch.cat([sample["input_ids"] for sample in samples])
    counts = torch.tensor([len(answer) for answer in answers])
    num_frames = torch.tensor([len(video) for video in patches])
    return {
        "patches": pad_sequence(patches, True),
        "num_frames": num_frames,
        "input_ids": ids,
        "video": torch.arange(len(samples)).repeat_interleave(counts),
        "shows_answer": pad_sequence([a for rows in answers for a in rows], True),
        "facts": BatchFacts(
            num_tokens=int(ids.numel()), num_frames=int(num_frames.sum())
        ),
    }


class ScorerModule(nn.Module):
    """A dual encoder whose loss is how far its similarities are from the evidence.

    Args:
        model: The dual encoder; all of its vision tower that comes before the final norm
            is frozen, and does not run.
    """

    def __init__(self, model: SiglipModel) -> None:
        super().__init__()
        self.model = model
        model.vision_model.embeddings.requires_grad_(False)
        model.vision_model.encoder.requires_grad_(False)
        with torch.no_grad():
            model.logit_scale.fill_(_FIRST_SCALE)
            model.logit_bias.fill_(_FIRST_BIAS)

    def forward(
        self,
        patches: Tensor,
        num_frames: Tensor,
        input_ids: Tensor,
        video: Tensor,
        shows_answer: Tensor,
    ) -> dict[str, Tensor]:
        """Compare each question with the frames of its video.

        Args:
            patches: What the tower gives before its final norm, ``[V, T, N, D]``.
            num_frames: Frames that each video has, ``[V]``.
            input_ids: The questions, ``[Q, n]``.
            video: Row of each question's video, ``[Q]``.
            shows_answer: True at frames that show the answer, ``[Q, T]``.

        Returns:
            ``loss``, and ``hits``: the share of questions whose most similar frame shows
            the answer, over those that some frame answers.
        """
        frames = torch.arange(patches.shape[1], device=num_frames.device)
        is_there = (frames < num_frames[:, None])[video]  # [Q, T]
        similarity = self.similarity(patches, input_ids, video)
        scale, bias = self.model.logit_scale.exp(), self.model.logit_bias
        signs = 2.0 * shows_answer - 1.0
        pairs = functional.logsigmoid(signs * (scale * similarity + bias))
        losses = pairs.where(is_there, 0).sum(1) / is_there.sum(1)
        best = similarity.masked_fill(~is_there, -torch.inf).argmax(1, keepdim=True)
        num_answerable = shows_answer.any(1).sum().clamp(min=1)
        return {
            "loss": -losses.mean(),
            "hits": shows_answer.gather(1, best).sum() / num_answerable,
        }

    def similarity(self, patches: Tensor, input_ids: Tensor, video: Tensor) -> Tensor:
        """Give the cosine of each question and the frames of its video, ``[Q, T]``."""
        tower = self.model.vision_model
        pooled = tower.head(tower.post_layernorm(patches.flatten(0, 1)))
        seen = functional.normalize(pooled, dim=1).view(*patches.shape[:2], -1)
        text = self.model.get_text_features(input_ids).pooler_output
        words = functional.normalize(text, dim=1)
        return torch.einsum("qtd,qd->qt", seen[video], words)


@torch.inference_mode()
def measure_ranking(module: ScorerModule, data: EvidenceFrames) -> dict[str, float]:
    """Tell how well a dual encoder ranks the frames of some videos.

    Returns:
        ``best_frame``, the share of questions whose most similar frame shows the answer;
        ``any_frame``, the share that a frame taken at random would have; ``questions``
        that some frame answers.
    """
    best, chance, count = 0.0, 0.0, 0
    for number in range(len(data)):
        batch = collate([data[number]])
        answers = batch["shows_answer"]
        answers, ids = answers[answers.any(1)], batch["input_ids"][answers.any(1)]
        rows = torch.zeros(len(ids), dtype=torch.long)
        top = module.similarity(batch["patches"], ids, rows).argmax(1, keepdim=True)
        best += float(answers.gather(1, top).sum())
        chance += float(answers.float().mean(1).sum())
        count += len(answers)
    most = max(count, 1)
    return {
        "best_frame": best / most,
        "any_frame": chance / most,
        "questions": float(count),
    }


def make_scorer_job(recipe: ScorerRecipe) -> Job:
    """Build the job of task ``scorer``.

    Raises:
        FileNotFoundError: If a file that the recipe names is missing.
        ValueError: If the recipe holds something wrong.
    """
    learned, failures = load_samples(recipe.data.sources)
    unseen, _ = load_samples(recipe.eval_sources, "eval_sources")
    start, own = load_parts(recipe.start.model, device="cpu", dtype=torch.float32)
    processor = siglip_processor(own, recipe.model.max_question_tokens)
    model = siglip_dual_encoder(
        start.vision_tower,
        vocab_size=len(processor.tokenizer),
        num_text_layers=recipe.model.num_text_layers,
        max_question_tokens=recipe.model.max_question_tokens,
    )
    cache = EncodedVideos(
        recipe.data.cache or Path(recipe.output) / "patches",
        start,
        own,
        recipe.data.fps,
        recipe.data.max_frames,
        storage="patches",
    )
    sets = [EvidenceFrames(s, cache, processor.tokenizer) for s in (learned, unseen)]
    for data in sets:
        cache.fill([{"video": medium} for medium in data.videos])
    return Job(
        model=ScorerModule(model),
        dataset=sets[0],
        finish=partial(_finish, processor=processor, unseen=sets[1]),
        collator=collate,
        max_failures=recipe.data.max_failures,
        failures=failures,
    )


def _finish(
    trained: nn.Module, output: Path, *, processor: Any, unseen: EvidenceFrames
) -> None:
    """Write the dual encoder, and how well it ranks the frames of unseen videos."""
    assert isinstance(trained, ScorerModule)
    trained.cpu().eval()
    trained.model.save_pretrained(output / SCORER)
    processor.save_pretrained(output / SCORER)
    figures = measure_ranking(trained, unseen)
    logger.warning(
        "the best-scored frame shows the answer to %.1f %% of %d questions about unseen "
        "videos; a frame at random would to %.1f %%",
        100 * figures["best_frame"],
        figures["questions"],
        100 * figures["any_frame"],
    )
    (output / RANKING).write_text(json.dumps(figures, indent=1) + "\n")

r"""Losses that say when a video shows an answer, beside the language model's in one step.

None of them is in the paper. ``y_t`` is 1 at frames ``t`` inside the evidence of a
question and 0 elsewhere.

``relevance`` teaches how well each frame fits the question; ``s_t`` is the rating of a
frame (`dynfocus.focus.question.FrameRating`):

.. math::
    \mathcal L = \frac1T \sum_{t=1}^T \mathrm{BCE}\big(\sigma(s_t), y_t\big)

``selection`` teaches which events to keep; ``s_l`` is the raw score of event prototype
``l`` (Eq. 6, before the min-max) and ``E`` holds the prototypes whose centre frames lie in
the evidence:

.. math::
    \mathcal L = -\frac{1}{|E|} \sum_{l \in E} \log \frac{e^{s_l}}{\sum_{j=1}^{L} e^{s_j}}

``rods`` teaches where the attention of Eq. 11 looks, and both projectors the language
model's own words: in a frame inside the evidence ``Avg(E_t)`` must say the words ``W`` of
what is seen, through ``f``, each projector of Eq. 12 in turn; ``v_w`` is the embedding of
word ``w``, which does not learn from it:

.. math::
    \mathcal L = -\frac{1}{|W|} \sum_{w \in W} \log \mathrm{Softmax}_w\big(
        16 \cos(f(\mathrm{Avg}(E_t)), v_w)\big)

Letters: B questions of a batch, T frames, L event prototypes, P event tokens and M
spatial prototypes of each, D their width, n question tokens, V words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, normalize
from torch.nn.utils.rnn import pad_sequence

from dynfocus.focus import EventBatch, VideoFeatures, uniform_indices
from dynfocus.models.dynfocus import DynFocusForConditionalGeneration
from dynfocus.training.labels import IGNORED, conversation_turns
from dynfocus.training.samples import Sample
from dynfocus.validation import checked

Interval = tuple[float, float]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_MOST_FRAMES = 4
_SHARPNESS = 16.0


@checked
class EvidenceWeights:
    """How much each loss counts; one of weight 0 is not computed."""

    relevance: Weight = 0.0
    """How well each frame fits the question."""
    selection: Weight = 0.0
    """Which events are kept."""
    rods: Weight = 0.0
    """Where in a frame Rods look, and that they say what is seen there."""
    language: Weight = 1.0
    """The language model's own loss; at 0 it does not run."""

    def __post_init__(self) -> None:
        if not (self.relevance or self.selection or self.rods):
            raise ValueError(
                "evidence: relevance, selection and rods are all 0; give one of them a "
                "weight, or leave the group out"
            )


class Asked(NamedTuple):
    """A question of a sample."""

    question: str
    answer: str
    evidence: list[Interval]
    """Half-open intervals of seconds that show the answer; none if none is known, and an
    empty one, such as ``(0, 0)``, if it is known that no frame does."""
    shows: str | None = None
    """What is seen then, in words, empty for nothing of use; None where the sample
    describes nothing."""


def asked_of(sample: Sample) -> list[Asked]:
    """Return the questions of a sample with their answers and evidence.

    Raises:
        ValueError: If ``evidence`` or ``shows`` has not one entry a question.
    """
    turns = conversation_turns(sample)
    evidence = sample.get("evidence", [[]] * len(turns))
    shows = sample.get("shows", [None] * len(turns))
    for name, entries, entry in (
        ("evidence", evidence, "list of [start, end]"),
        ("shows", shows, "description"),
    ):
        if len(entries) != len(turns):
            raise ValueError(
                f"sample {sample.get('id', '?')}: '{name}' must have one {entry} a "
                f"question ({len(turns)}), got {len(entries)}"
            )
    return [
        Asked(
            question, answer, [(float(a), float(b)) for a, b in intervals or ()], seen
        )
        for (question, answer), intervals, seen in zip(
            turns, evidence, shows, strict=True
        )
    ]


def shows_answer(times: Tensor, evidence: Sequence[Interval]) -> Tensor:
    """Tell which frames show the answer.

    Args:
        times: Times in seconds, shape ``[T]``.
        evidence: Half-open intervals in seconds.

    Returns:
        True inside the evidence, shape ``[T]``.
    """
    bounds = torch.tensor(evidence, dtype=times.dtype)  # [intervals, 2]
    after = times[:, None] >= bounds[:, 0]
    return (after & (times[:, None] < bounds[:, 1])).any(1)


@dataclass(frozen=True)
class Questions:
    """Questions whose evidence is known, with their videos."""

    videos: Sequence[VideoFeatures]
    """The video of each question, B of them."""
    text: Tensor
    """Text features, ``[B, n, Dq]``."""
    text_mask: Tensor
    """True at real tokens, ``[B, n]``."""
    shows_answer: Sequence[Tensor]
    """True at frames in the evidence, ``[T]`` each."""
    words: Tensor
    """Tokens that say what is seen, ``[B, W]``, -100 in padding."""


def relevance_loss(model: DynFocusForConditionalGeneration, asked: Questions) -> Tensor:
    """Tell how far the ratings of frames are from the evidence."""
    head = model.focus_network.question_head
    assert head is not None
    spatial = pad_sequence([video.spatial for video in asked.videos], True)
    ratings = head.rate(spatial, asked.text, asked.text_mask)  # [B, T]
    assert ratings is not None
    there = [torch.ones_like(shows) for shows in asked.shows_answer]
    mask = pad_sequence(there, True)
    wanted = pad_sequence(list(asked.shows_answer), True)[mask]
    return binary_cross_entropy_with_logits(ratings[mask], wanted.to(ratings.dtype))


def selection_loss(model: DynFocusForConditionalGeneration, asked: Questions) -> Tensor:
    """Tell how far the scores of events are from the evidence."""
    events, spatial, right = [], [], []
    for video, shows in zip(asked.videos, asked.shows_answer, strict=True):
        prototypes = video.prototypes
        assert prototypes is not None
        frames = prototypes.frames[0]
        events.append(prototypes.features[0])  # [L, P, D]
        spatial.append(video.spatial[frames])  # [L, M, D]
        right.append(shows[frames])  # [L]
    mask = pad_sequence([torch.ones_like(r) for r in right], True)  # [B, L]
    nowhere = torch.full_like(mask, -1, dtype=torch.long)
    batch = EventBatch(pad_sequence(events, True), nowhere, mask, nowhere)
    network = model.focus_network
    context = None
    if network.question_head is not None:
        context = network.question_head.see_events(
            batch, pad_sequence(spatial, True), asked.text, asked.text_mask
        )
    scores = network.event_prototypes.score(batch, context)
    scores = scores.masked_fill(~mask, -torch.inf)
    wanted = pad_sequence(right, True)
    losses = scores.log_softmax(1).where(wanted, 0).sum(1)
    losses = losses / wanted.sum(1).clamp(min=1)
    return -losses.sum() / wanted.any(1).sum().clamp(min=1)


def rods_loss(model: DynFocusForConditionalGeneration, asked: Questions) -> Tensor:
    """Tell how badly what Rods find in a frame says what is seen there."""
    spatial, rows = [], []
    for row, (video, shows) in enumerate(
        zip(asked.videos, asked.shows_answer, strict=True)
    ):
        if not (asked.words[row] != IGNORED).any():
            continue
        inside = shows.nonzero()[:, 0]
        count = min(len(inside), _MOST_FRAMES)
        frames = inside[uniform_indices(len(inside), count)]
        spatial.append(video.spatial[frames])
        rows += [row] * count
    if not rows:
        return asked.text.new_zeros(())
    encoding = model.focus_network.cooperative_encoding
    context = encoding.attend(
        torch.cat(spatial)[:, None], asked.text[rows], asked.text_mask[rows]
    )[:, 0]
    embeddings = normalize(model.get_input_embeddings().weight.detach().float(), dim=1)
    words = asked.words[rows]  # [frames, W]
    is_word = words != IGNORED
    losses = []
    for projector in (encoding.context_projector, encoding.multi_modal_projector):
        said = normalize(projector(context).float(), dim=1)
        chances = (_SHARPNESS * said @ embeddings.T).log_softmax(1)  # [frames, V]
        each = chances.gather(1, words.where(is_word, 0)).where(is_word, 0)
        losses.append(-(each.sum(1) / is_word.sum(1)).mean())
    return torch.stack(losses).mean()


class EvidenceModel(nn.Module):
    """A model whose loss has the evidence in it.

    Args:
        model: The model.
        weights: How much each loss counts.
    """

    def __init__(
        self, model: DynFocusForConditionalGeneration, weights: EvidenceWeights
    ) -> None:
        super().__init__()
        network = model.focus_network
        if not model.config.is_plain:
            raise ValueError(
                "evidence teaches DynFocus as it is, got a model with connector "
                f"{model.config.methods[0]!r}; leave the group out"
            )
        if weights.relevance and not network.settings.extensions.use_ratings:
            raise ValueError(
                "evidence.relevance needs a model that rates frames; set "
                "question.use_ratings in its focus settings, or leave it out"
            )
        self.model = model
        self.weights = weights

    def forward(
        self,
        shows_answer: Sequence[Tensor | None] = (),
        words: Tensor | None = None,
        num_items_in_batch: Tensor | int | None = None,
        **batch: Any,
    ) -> dict[str, Tensor]:
        """Compute all losses of a batch.

        Args:
            shows_answer: Of each question the frames in its evidence, ``[T]``, or None.
            words: Tokens that say what each question's evidence shows, ``[B, W]``, -100
                in padding.
            num_items_in_batch: Tokens that the loss is taken over in the whole step,
                where batches add up; the evidence of a batch counts by its share.
            **batch: What the model reads.

        Returns:
            ``loss``, the weighted sum, and each loss alone, such as ``relevance_loss``.
        """
        losses: dict[str, Tensor] = {}
        share: Tensor | float = 1.0
        text: Tensor | None = None
        if self.weights.language:
            with self._reading() as read:
                outputs = self.model(**batch, num_items_in_batch=num_items_in_batch)
            losses["language_loss"] = outputs.loss
            text = read[0] if read else None
        if num_items_in_batch is not None:
            share = (batch["labels"] != IGNORED).sum() / num_items_in_batch
        known = [b for b, shows in enumerate(shows_answer) if shows is not None]
        if known:
            assert words is not None
            if text is None:
                text = self.model.encode_question(
                    batch["qformer_input_ids"], batch["qformer_attention_mask"]
                )
            asked = self._questions(known, text, shows_answer, words, batch)
            if self.weights.relevance:
                losses["relevance_loss"] = share * relevance_loss(self.model, asked)
            if self.weights.selection:
                losses["selection_loss"] = share * selection_loss(self.model, asked)
            if self.weights.rods:
                losses["rods_loss"] = share * rods_loss(self.model, asked)
        weighted = [
            getattr(self.weights, name.removesuffix("_loss")) * loss
            for name, loss in losses.items()
        ]
        zero = next(p for p in self.parameters() if p.requires_grad).sum() * 0
        return {"loss": sum(weighted, zero), **losses}

    @contextmanager
    def _reading(self) -> Iterator[list[Tensor]]:
        """Collect what the text encoder gives, so that it reads a question once."""
        read: list[Tensor] = []

        def keep(module: nn.Module, given: Any, outputs: Any) -> None:
            read.append(outputs.last_hidden_state)

        hook = self.model.text_encoder.register_forward_hook(keep)
        try:
            yield read
        finally:
            hook.remove()

    def _questions(
        self,
        known: list[int],
        text: Tensor,
        shows: Sequence[Tensor | None],
        words: Tensor,
        batch: dict[str, Any],
    ) -> Questions:
        """Gather the questions whose evidence is known."""
        owners = batch.get("block_videos")
        videos = batch["video_features"]
        place, kind = self.model.device, self.model.dtype
        return Questions(
            videos=[
                videos[b if owners is None else int(owners[b])].to(place, kind)
                for b in known
            ],
            text=text[known],
            text_mask=batch["qformer_attention_mask"][known].bool(),
            shows_answer=[s for b in known if (s := shows[b]) is not None],
            words=words[known],
        )

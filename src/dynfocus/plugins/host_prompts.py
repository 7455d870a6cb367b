"""A host's prompt with every placeholder, and the same with what is kept of the video.

Letters: S steps, N tokens a step, H width, E layers, L prompt tokens, V visual tokens
that are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from dynfocus.methods import KeptStep
from dynfocus.models.conversation import (
    FrameReport,
    PreparedTurn,
    Turn,
    build_conversation,
)
from dynfocus.plugins.family import Family, HostFeatures


def lay_out(
    family: Family, video: HostFeatures, question: str, history: Sequence[Turn] = ()
) -> Tensor:
    """Write the host's own prompt, with a placeholder for every token of the video.

    Args:
        family: The host.
        video: The video; it stands at the front of the first turn.
        question: The question to answer.
        history: Earlier turns.

    Returns:
        Token ids, shape ``[1, L]``.
    """
    processor = family.processor
    text = processor.render(build_conversation(history, question))
    num_marks = text.count(family.video_mark)
    if num_marks != 1:
        raise ValueError(
            f"the prompt must name the video once, as {family.video_mark}, but does so "
            f"{num_marks} times; leave it out of questions, and use the chat template "
            "that belongs to the model"
        )
    text = text.replace(family.video_mark, family.write(video))
    ids = torch.tensor([processor.token_ids(text)])
    found = int((ids == family.placeholder).sum())
    if found != video.num_tokens:
        raise ValueError(
            f"the prompt has {found} places for the {video.num_tokens} tokens of the "
            "video; leave its marks out of questions, and use the processor that "
            "belongs to the model"
        )
    return ids.to(video.tokens.device)


def fill(
    family: Family,
    video: HostFeatures,
    kept: Sequence[KeptStep],
    question: str,
    history: Sequence[Turn] = (),
) -> PreparedTurn:
    """Write the host's prompt with what is kept of a video; nothing else of it changes.

    Runs of placeholders shrink to what is kept of their step. What was kept has the
    position of the token it stands for, where the host has positions of its own.

    Args:
        family: The host.
        video: The video.
        kept: What is kept of each step.
        question: The question to answer.
        history: Earlier turns.

    Returns:
        The prompt as the host reads it.
    """
    ids = lay_out(family, video, question, history)
    size, num_tail = video.tokens_per_step, len(video.tail)
    places = (ids[0] == family.placeholder).nonzero()[:, 0].cpu()
    runs = places[: len(places) - num_tail].view(-1, size)  # [S, N]
    picked = [run[step.places] for run, step in zip(runs, kept, strict=True)]
    visual = torch.cat([*picked, places[len(places) - num_tail :]])
    is_text = torch.ones(ids.shape[1], dtype=torch.bool)
    is_text[places] = False
    sources = torch.cat([is_text.nonzero()[:, 0], visual]).sort(stable=True).values
    is_visual = ~is_text[sources]
    sources = sources.to(ids.device)
    input_ids = ids[:, sources]
    features = [
        step.mix(tokens) for step, tokens in zip(kept, video.tokens, strict=True)
    ]
    embeds = family.model.get_input_embeddings()(input_ids)
    rows = torch.cat([*features, video.tail.to(video.tokens)]).to(embeds)
    is_visual = is_visual.to(embeds.device)
    embeds = embeds.masked_scatter(is_visual[None, :, None], rows)
    positions = family.positions(ids, video)
    return PreparedTurn(
        question=question,
        history=tuple(history),
        frames=_report(video, kept),
        input_ids=input_ids,
        embeds=embeds,
        placeholder=family.placeholder,
        position_ids=None if positions is None else _at(positions, sources),
        layers=_mix_layers(video, kept),
    )


def _at(positions: Tensor, sources: Tensor) -> Tensor:
    """Take the positions of what was kept; the first row counts the tokens anew."""
    taken = positions[..., sources].clone()
    taken[0] = torch.arange(len(sources), device=taken.device)
    return taken


def _mix_layers(video: HostFeatures, kept: Sequence[KeptStep]) -> Tensor | None:
    if video.layers is None:
        return None
    mixed = [step.mix(layer) for step, layer in zip(kept, video.layers, strict=True)]
    rows = torch.cat(mixed)
    tail = rows.new_zeros(len(video.tail), *rows.shape[1:])
    return torch.cat([rows, tail])


def _report(video: HostFeatures, kept: Sequence[KeptStep]) -> list[FrameReport]:
    """Tell what became of each step; tokens after the last count to it."""
    rows = zip(video.steps.tolist(), video.pts_seconds.tolist(), kept, strict=True)
    reports = [
        FrameReport(
            index=index,
            time=seconds,
            score=step.score,
            kind=step.kind,
            tokens=len(step.places),
        )
        for index, seconds, step in rows
    ]
    last = reports[-1]
    reports[-1] = replace(last, tokens=last.tokens + len(video.tail))
    return reports

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
from dynfocus.text import label_media, plural


def lay_out(
    family: Family,
    videos: Sequence[HostFeatures],
    question: str,
    history: Sequence[Turn] = (),
    *,
    use_timestamps: bool = False,
) -> Tensor:
    """Write the host's own prompt, with a placeholder for every token of the videos.

    Args:
        family: The host.
        videos: The videos; they stand at the front of the first turn, each of several
            behind its number.
        question: The question to answer.
        history: Earlier turns.
        use_timestamps: Write the time of each step behind it.

    Returns:
        Token ids, shape ``[1, L]``.
    """
    processor = family.processor
    text = processor.render(build_conversation(history, question, len(videos)))
    before, *rest = text.split(family.video_mark)
    if len(rest) != len(videos):
        raise ValueError(
            f"the prompt must name {plural(len(videos), 'video')}, as "
            f"{family.video_mark}, but names {len(rest)}; leave it out of questions, and "
            "use the chat template that belongs to the model"
        )
    text = ""
    write = family.write_timed if use_timestamps else family.write
    for label, video, after in zip(label_media(len(videos)), videos, rest, strict=True):
        if label:  # stands outside of what surrounds the video
            words = before.removesuffix(family.video_start)
            before = words + label + before[len(words) :]
        text += before + write(video)
        before = after
    ids = torch.tensor([processor.token_ids(text + before)])
    found = int((ids == family.placeholder).sum())
    num_tokens = sum(video.num_tokens for video in videos)
    if found != num_tokens:
        raise ValueError(
            f"the prompt has {found} places for the {num_tokens} tokens of the "
            "video; leave its marks out of questions, and use the processor that "
            "belongs to the model"
        )
    return ids.to(family.model.get_input_embeddings().weight.device)


def fill(
    family: Family,
    spent: Sequence[tuple[HostFeatures, Sequence[KeptStep]]],
    question: str,
    history: Sequence[Turn] = (),
    *,
    words: str = "",
    use_timestamps: bool = False,
) -> PreparedTurn:
    """Write the host's prompt with what is kept of videos; nothing else of it changes.

    Runs of placeholders shrink to what is kept of their step. What was kept has the
    position of the token it stands for, where the host has positions of its own.

    Args:
        family: The host.
        spent: Each video, and what is kept of each of its steps; none for words alone.
        question: The question to answer.
        history: Earlier turns.
        words: Words of the videos, which stand before the question.
        use_timestamps: Write the time of each step behind it.

    Returns:
        The prompt as the host reads it.
    """
    videos = [video for video, _ in spent]
    asked = f"{words}\n\n{question}" if words else question
    ids = lay_out(family, videos, asked, history, use_timestamps=use_timestamps)
    if not videos:
        return PreparedTurn(
            question=question,
            history=tuple(history),
            frames=[],
            input_ids=ids,
            embeds=family.model.get_input_embeddings()(ids),
            placeholder=family.placeholder,
        )
    places = (ids[0] == family.placeholder).nonzero()[:, 0].cpu()
    own = torch.split(places, [video.num_tokens for video in videos])
    visual = torch.cat(
        [_pick(one, *parts) for one, parts in zip(own, spent, strict=True)]
    )
    is_text = torch.ones(ids.shape[1], dtype=torch.bool)
    is_text[places] = False
    sources = torch.cat([is_text.nonzero()[:, 0], visual]).sort(stable=True).values
    is_visual = ~is_text[sources]
    sources = sources.to(ids.device)
    input_ids = ids[:, sources]
    embeds = family.model.get_input_embeddings()(input_ids)
    rows = torch.cat([_mix(*parts) for parts in spent]).to(embeds)
    is_visual = is_visual.to(embeds.device)
    embeds = embeds.masked_scatter(is_visual[None, :, None], rows)
    find = family.timed_positions if use_timestamps else family.positions
    positions = find(ids, videos)
    layers = [mixed for parts in spent if (mixed := _mix_layers(*parts)) is not None]
    return PreparedTurn(
        question=question,
        history=tuple(history),
        frames=[
            frame
            for number, parts in enumerate(spent)
            for frame in _report(*parts, number)
        ],
        input_ids=input_ids,
        embeds=embeds,
        placeholder=family.placeholder,
        position_ids=None if positions is None else _at(positions, sources),
        layers=torch.cat(layers) if layers else None,
    )


def _pick(places: Tensor, video: HostFeatures, kept: Sequence[KeptStep]) -> Tensor:
    """Pick the places in the prompt of what is kept of a video."""
    num_steps = len(places) - len(video.tail)
    runs = places[:num_steps].view(-1, video.tokens_per_step)  # [S, N]
    picked = [run[step.places] for run, step in zip(runs, kept, strict=True)]
    return torch.cat([*picked, places[num_steps:]])


def _mix(video: HostFeatures, kept: Sequence[KeptStep]) -> Tensor:
    """Merge the tokens of a video; those after the last step follow."""
    mixed = [step.mix(one) for step, one in zip(kept, video.tokens, strict=True)]
    return torch.cat([*mixed, video.tail.to(video.tokens)])


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


def _report(
    video: HostFeatures, kept: Sequence[KeptStep], number: int
) -> list[FrameReport]:
    """Tell what became of each step; tokens after the last count to it."""
    rows = zip(video.steps.tolist(), video.pts_seconds.tolist(), kept, strict=True)
    reports = [
        FrameReport(
            index=index,
            time=seconds,
            score=step.score,
            kind=step.kind,
            tokens=len(step.places),
            video=number,
            rating=step.rating,
        )
        for index, seconds, step in rows
    ]
    last = reports[-1]
    reports[-1] = replace(last, tokens=last.tokens + len(video.tail))
    return reports

"""Video tokens take their places in the embedded prompt.

Letters: B prompts, L text tokens, H width of the language model, S tokens of a block.
"""

from __future__ import annotations

import torch
from torch import Tensor


def place_video_tokens(
    inputs_embeds: Tensor, placeholders: Tensor, blocks: list[Tensor]
) -> Tensor:
    """Put the tokens of each block where the prompt holds room for them.

    Args:
        inputs_embeds: The embedded prompts, shape ``[B, L, H]``.
        placeholders: True where a video token belongs, shape ``[B, L]``.
        blocks: The tokens of each block in reading order, each ``[S, H]``.

    Returns:
        The prompts with their video tokens, shape ``[B, L, H]``.

    Raises:
        ValueError: A block does not fill exactly one stretch of placeholders.
    """
    check_placement(placeholders, [block.shape[0] for block in blocks])
    if not blocks:
        return inputs_embeds
    tokens = torch.cat(blocks).to(inputs_embeds)
    return inputs_embeds.masked_scatter(placeholders.unsqueeze(-1), tokens)


def check_placement(placeholders: Tensor, lengths: list[int]) -> None:
    """Refuse prompts whose placeholders do not fit the blocks.

    Args:
        placeholders: True where a video token belongs, shape ``[B, L]``.
        lengths: Tokens of each block in reading order.
    """
    row, column = placeholders.nonzero(as_tuple=True)
    num_expected = sum(lengths)
    if row.numel() != num_expected:
        raise ValueError(
            f"the prompts hold {row.numel()} video placeholders, but their "
            f"{len(lengths)} video blocks need {num_expected} tokens; prepare the "
            "inputs with DynFocusProcessor and the same settings as the model"
        )
    counts = torch.tensor(lengths, dtype=torch.long, device=row.device)
    block = torch.arange(len(lengths), device=row.device).repeat_interleave(counts)
    same_block = block[1:] == block[:-1]
    follows = (row[1:] == row[:-1]) & (column[1:] == column[:-1] + 1)
    if bool((same_block & ~follows).any()):
        raise ValueError(
            f"the video placeholders do not come in stretches of {lengths} tokens; "
            "prepare the inputs with DynFocusProcessor and the same settings as the "
            "model"
        )


def rows_of_blocks(placeholders: Tensor, lengths: list[int]) -> Tensor:
    """Tell which prompt each block stands in.

    Args:
        placeholders: True where a video token belongs, shape ``[B, L]``.
        lengths: Tokens of each block in reading order.

    Returns:
        The row of each block, shape ``[num_blocks]``, int64.
    """
    check_placement(placeholders, lengths)
    row = placeholders.nonzero(as_tuple=True)[0]
    starts = torch.tensor([0, *lengths[:-1]], device=row.device).cumsum(0)
    return row[starts] if lengths else row[:0]

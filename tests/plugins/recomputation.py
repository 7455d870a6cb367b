"""What a host should read and say, worked out without the code under test."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from dynfocus.plugins.host_pixels import to_pixels


def host_arguments(plugged: Any, videos: Any, ids: Tensor, fps: float) -> dict:
    """Give the host's own inputs for ``generate``, as its processor would name them."""
    family = plugged.backbone.family
    made = [
        to_pixels(frames, family.plan_frames(frames.shape[1:3], len(frames)).pixels)
        for frames in videos
    ]
    kind = plugged.model.config.model_type
    given: dict[str, Any] = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if kind == "internvl":
        return given | {"pixel_values": torch.cat(made)}
    if kind == "smolvlm":
        pixels = torch.cat(made)
        mask = torch.ones(1, *pixels[:, 0].shape, dtype=torch.long)
        return given | {"pixel_values": pixels[None], "pixel_attention_mask": mask}
    if kind not in ("qwen2_5_vl", "qwen3_vl"):
        return given | {"pixel_values_videos": torch.stack(made)}
    cut = [flat_patches(pixels, plugged.processor.numbers) for pixels in made]
    given |= {
        "pixel_values_videos": torch.cat([patches for patches, _ in cut]),
        "video_grid_thw": torch.cat([grid for _, grid in cut]),
        "mm_token_type_ids": 2 * (ids == family.placeholder).int(),
    }
    if kind == "qwen2_5_vl":
        given["second_per_grid_ts"] = torch.tensor([2 / fps] * len(videos))
    return given


def flat_patches(pixels: Tensor, numbers: Any) -> tuple[Tensor, Tensor]:
    """Cut patches one by one, in the order of merged blocks."""
    size, merge = numbers["patch_size"], numbers["merge_size"]
    if len(pixels) % 2:
        pixels = torch.cat([pixels, pixels[-1:]])
    steps, rows, columns = (
        len(pixels) // 2,
        pixels.shape[2] // size,
        pixels.shape[3] // size,
    )
    found = []
    for step in range(steps):
        for top in range(0, rows, merge):
            for left in range(0, columns, merge):
                for row in range(top, top + merge):
                    for column in range(left, left + merge):
                        block = pixels[
                            2 * step : 2 * step + 2,
                            :,
                            row * size : (row + 1) * size,
                            column * size : (column + 1) * size,
                        ]
                        found.append(block.transpose(0, 1).flatten())
    return torch.stack(found), torch.tensor([[steps, rows, columns]])


def language_model(host: Any) -> Any:
    model = host.model
    return getattr(model, "language_model", None) or model.text_model


def whole_positions(plugged: Any, ids: Tensor, video: Any, fps: float) -> Tensor | None:
    """Give the host's positions of the whole prompt, ``[3, L]``, or None."""
    kind = plugged.model.config.model_type
    if not kind.startswith("qwen"):
        return None
    grid = torch.tensor([[video.num_steps, 2 * video.grid[0], 2 * video.grid[1]]])
    more = {"second_per_grid_ts": [2 / fps]} if kind == "qwen2_5_vl" else {}
    types = 2 * (ids == plugged.backbone.family.placeholder).int()
    positions, _ = plugged.model.model.get_rope_index(
        ids, mm_token_type_ids=types, video_grid_thw=grid, **more
    )
    return positions[:, 0]


def expected_prompt(
    plugged: Any, video: Any, ids: Tensor, kept: Any, fps: float
) -> tuple[Tensor, Tensor | None, list[Tensor] | None, Tensor]:
    """Build the shorter prompt token by token.

    Returns:
        Embeddings ``[L, H]``, positions ``[3, L]``, added features of each layer at
        visual tokens, and which tokens are visual.
    """
    table = plugged.model.get_input_embeddings().weight
    whole = whole_positions(plugged, ids, video, fps)
    rows, positions, added, is_visual = [], [], [], []
    step = place = 0
    for index, token in enumerate(ids[0].tolist()):
        if token != plugged.backbone.family.placeholder:
            rows.append(table[token])
            is_visual.append(False)
            positions.append(index)
            continue
        if step == video.num_steps:  # what follows the video
            rows.append(video.tail[0])
            is_visual.append(True)
            positions.append(index)
            continue
        one = kept[step]
        for kept_index, at in enumerate(one.places.tolist()):
            if at != place:
                continue
            if one.weights is None:
                rows.append(video.tokens[step, at])
            else:
                mixed = (one.weights[kept_index, :, None] * video.tokens[step]).sum(0)
                rows.append(mixed)
            if video.layers is not None:
                share = torch.zeros(video.tokens_per_step)
                share[at] = 1.0
                share = share if one.weights is None else one.weights[kept_index]
                added.append((share[:, None, None] * video.layers[step]).sum(0))
            is_visual.append(True)
            positions.append(index)
        place += 1
        if place == video.tokens_per_step:
            step, place = step + 1, 0
    layers = None
    if video.layers is not None:
        layers = list(torch.stack(added).unbind(1))
    taken = None if whole is None else whole[:, positions]
    return torch.stack(rows), taken, layers, torch.tensor(is_visual)


@torch.no_grad()
def greedy(
    plugged: Any,
    embeds: Tensor,
    positions: Tensor | None,
    layers: list[Tensor] | None,
    is_visual: Tensor,
    num_new: int,
) -> tuple[list[int], list[Tensor]]:
    """Continue a prompt without a cache, reading all of it again for every token."""
    host = plugged.model
    tokens, logits = [], []
    for _ in range(num_new):
        named: dict[str, Any] = {}
        if positions is not None:
            named["position_ids"] = positions[:, None]
        if layers is not None:
            named["visual_pos_masks"] = is_visual[None]
            named["deepstack_visual_embeds"] = layers
        output = language_model(host)(
            inputs_embeds=embeds[None],
            attention_mask=torch.ones(1, len(embeds), dtype=torch.long),
            use_cache=False,
            **named,
        )
        logits.append(host.lm_head(output.last_hidden_state[0, -1]))
        tokens.append(int(logits[-1].argmax()))
        word = host.get_input_embeddings().weight[tokens[-1]]
        embeds = torch.cat([embeds, word[None]])
        is_visual = torch.cat([is_visual, torch.tensor([False])])
        if positions is not None:
            positions = torch.cat([positions, positions[:, -1:] + 1], dim=1)
    return tokens, logits

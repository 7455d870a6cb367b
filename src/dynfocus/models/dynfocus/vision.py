"""From pixels to patch features, for every vision tower of transformers.

Letters: F frames, N patches per frame, D_v width.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor
from transformers import AutoModel, InstructBlipVisionConfig, InstructBlipVisionModel


class PatchFeatures(NamedTuple):
    """The two readings of a vision tower."""

    content: Tensor
    """Last hidden states before the final norm, class token dropped, ``[F, N, D_v]``."""
    normalised: Tensor
    """Those after it, with the class token if any, ``[F, N + 1, D_v]``, for a Q-Former."""


def build_vision_tower(config: Any) -> Any:
    """Build an untrained vision tower from its configuration."""
    if isinstance(config, InstructBlipVisionConfig):
        return InstructBlipVisionModel(config)
    return AutoModel.from_config(config)


def count_patches(config: Any) -> int:
    """Count the patches of one frame, ``N``."""
    side = config.image_size if isinstance(config.image_size, int) else None
    size = config.image_size if side is None else (side, side)
    patch = config.patch_size
    height, width = (patch, patch) if isinstance(patch, int) else patch
    return int((size[0] // height) * (size[1] // width))


def encode_pixels(tower: Any, pixel_values: Tensor) -> PatchFeatures:
    """Run the tower over some frames.

    InstructBLIP's tower is run piece by piece, so that the hidden states of its 39
    layers are not all kept in memory for the sake of the last one. CLIP's class applies
    its final norm to the class token alone; here it is applied to all of them.

    Args:
        tower: What `build_vision_tower` gave.
        pixel_values: Normalised frames, shape ``[F, 3, H, W]``.

    Returns:
        Content features and normalised features.
    """
    pixels = pixel_values.to(device=tower.device, dtype=tower.dtype)
    if isinstance(tower, InstructBlipVisionModel):
        embeddings = tower.embeddings(pixels)
        hidden = tower.encoder(inputs_embeds=embeddings).last_hidden_state
        normalised = tower.post_layernorm(hidden)
    else:
        outputs = tower(pixels, output_hidden_states=True, return_dict=True)
        hidden = outputs.hidden_states[-1]
        norm = getattr(_inner(tower), "post_layernorm", None)  # CLIP, SigLIP
        normalised = outputs.last_hidden_state if norm is None else norm(hidden)
    num_prefix = hidden.shape[1] - count_patches(tower.config)  # class token, registers
    return PatchFeatures(content=hidden[:, num_prefix:], normalised=normalised)


def _inner(tower: Any) -> Any:
    """Give the module that holds the layers; older classes wrap it once."""
    return getattr(tower, "vision_model", tower)

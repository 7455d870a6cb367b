"""What tower methods share: sizes, what is asked of them, and a ViT taken apart.

Letters beyond the shared ones: ``F`` frames of a window, ``P`` tokens before the patches
(a class token), ``S`` tokens of a frame, ``h`` heads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True, kw_only=True)
class TowerSizes:
    """The vision tower that a method runs over."""

    frame_size: int
    """Side of a frame in pixels."""
    patch_size: int
    """Side of a patch in pixels."""
    dim: int
    """Width of a patch, ``D``."""
    num_layers: int
    """Layers of the tower."""

    @property
    def num_patches(self) -> int:
        """Count the patches of a frame, ``N``."""
        return (self.frame_size // self.patch_size) ** 2


class TowerMethod(Protocol):
    """Turns the pixels of a window of frames into tokens."""

    needs_tower: bool
    """Whether it runs over a tower, or stands in its place."""
    num_patches: int
    """Tokens that it gives of a frame."""

    def __call__(self, tower: Any, pixels: Tensor) -> Tensor:
        """Encode frames that follow each other in time.

        Args:
            tower: The vision tower, a ViT of transformers; None if none is needed.
            pixels: Normalised frames of one video, shape ``[F, 3, H, W]``.

        Returns:
            Tokens, shape ``[F, num_patches, D]``.
        """


class WrappedTower(nn.Module):
    """A vision tower behind a method, in the place of the tower.

    Args:
        method: A `TowerMethod`.
        tower: The tower; None if the method needs none.
    """

    def __init__(self, method: nn.Module, tower: nn.Module | None) -> None:
        super().__init__()
        self.method, self.tower = method, tower

    @property
    def device(self) -> torch.device:
        """Tell where the weights are."""
        return self._first.device

    @property
    def dtype(self) -> torch.dtype:
        """Tell the precision of the weights."""
        return self._first.dtype

    @property
    def _first(self) -> Tensor:
        return next(self.parameters())

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode frames of one video, ``[F, 3, H, W]``, into ``[F, n, D]``."""
        return self.method(self.tower, pixels)


class Layers:
    """The pieces of a ViT of transformers: CLIP, SigLIP, or InstructBLIP's.

    Args:
        tower: The tower.

    Raises:
        ValueError: It is no such ViT.
    """

    def __init__(self, tower: Any) -> None:
        inner = getattr(tower, "vision_model", tower)
        layers = getattr(getattr(inner, "encoder", None), "layers", None)
        if layers is None or not hasattr(layers[0], "layer_norm1"):
            raise ValueError(
                f"a tower method needs a ViT as of CLIP, SigLIP or InstructBLIP, got "
                f"{type(tower).__name__}; leave tower_method out"
            )
        self._inner = inner
        self.layers = list(layers)
        self.num_prefix = int(hasattr(inner.embeddings, "class_embedding"))

    def embed(self, pixels: Tensor) -> Tensor:
        """Embed frames ``[F, 3, H, W]`` with their positions, ``[F, P + N, D]``."""
        embedded = self._inner.embeddings(pixels)
        norm = getattr(self._inner, "pre_layrnorm", None)  # CLIP's, spelled so
        return embedded if norm is None else norm(embedded)

    def run(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """Run all layers over ``[F, S, D]``; see `attend`."""
        for layer in self.layers:
            x = think(layer, x + attend(layer, layer.layer_norm1(x), bias))
        return x


def attend(layer: Any, normed: Tensor, bias: Tensor | None = None) -> Tensor:
    """Run the attention of a layer over ``[F, S, D]``, normed before.

    Args:
        layer: The layer.
        normed: What its first norm gave.
        bias: Added to the logits, what becomes ``[F, h, S, S]``.
    """
    attention = layer.self_attn
    queries, keys, values = _read(attention, normed)
    found = F.scaled_dot_product_attention(
        queries, keys, values, attn_mask=bias, scale=attention.scale
    )
    out = getattr(attention, "out_proj", None) or attention.projection
    return out(found.transpose(1, 2).flatten(2))


def think(layer: Any, x: Tensor) -> Tensor:
    """Run the perceptron of a layer, with its residual."""
    return x + layer.mlp(layer.layer_norm2(x))


def mean_keys(layer: Any, normed: Tensor) -> Tensor:
    """Give the keys of a layer, averaged over heads, ``[F, S, D / h]``."""
    return _read(layer.self_attn, normed)[1].mean(1)


def _read(attention: Any, normed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Give queries, keys and values, each ``[F, h, S, D / h]``."""
    heads = attention.num_heads
    joined = getattr(attention, "qkv", None)  # InstructBLIP's
    if joined is not None:
        parts = joined(normed).chunk(3, dim=2)
    else:
        parts = (
            attention.q_proj(normed),
            attention.k_proj(normed),
            attention.v_proj(normed),
        )
    q, k, v = (part.unflatten(2, (heads, -1)).transpose(1, 2) for part in parts)
    return q, k, v


def hide(is_there: Tensor, dtype: torch.dtype) -> Tensor:
    """Make the bias that hides keys that are not there, from ``[F, S]``."""
    bias = torch.zeros(is_there.shape, dtype=dtype, device=is_there.device)
    return bias.masked_fill(~is_there, -torch.inf)[:, None, None]


def cut_patches(pixels: Tensor, patch_size: int) -> Tensor:
    """Cut frames ``[F, 3, H, W]`` into patches, ``[F, N, 3 * size * size]``."""
    return F.unfold(pixels, patch_size, stride=patch_size).mT


def take_tokens(x: Tensor, places: Tensor) -> Tensor:
    """Take tokens ``[F, S, D]`` at places ``[F, k]``."""
    return x.gather(1, places[..., None].expand(-1, -1, x.shape[2]))

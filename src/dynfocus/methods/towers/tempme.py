"""TempMe: merge tokens in frames, then across frames that grow into clips.

Shen et al., ICLR 2025. Letters beyond the shared ones: ``C`` clips, ``S`` tokens of a
clip, ``k`` class tokens in it, ``r`` tokens to merge.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from dynfocus.methods.towers.interface import (
    Layers,
    TowerSizes,
    attend,
    mean_keys,
    take_tokens,
    think,
)


class Merged(NamedTuple):
    """Tokens of clips, how many patches each is of, and where every patch went."""

    tokens: Tensor
    """Shape ``[C, S, D]``; class tokens first."""
    sizes: Tensor
    """Patches in each token, ``[C, S]``."""
    places: Tensor
    """The token of each token of the beginning, ``[C, all]``."""
    num_class: int
    """Class tokens of a clip, ``k``."""


def merge_alike(clip: Merged, metric: Tensor, num_merged: int) -> Merged:
    """Merge tokens into those that are most alike (bipartite soft matching).

    Patches alternate between sources and targets: with an even number of class tokens the
    first is a source, with an odd one a target. The sources whose best target is most
    alike go into it, weighed by sizes; several may share one. Behind the class tokens
    stand the other sources, then all targets.

    Args:
        clip: The tokens.
        metric: What tokens are compared by, ``[C, S, ...]``.
        num_merged: Tokens that disappear, ``r``; no more than there are sources.
    """
    count = clip.tokens.shape[1]
    patches = torch.arange(clip.num_class, count, device=metric.device)
    first = clip.num_class % 2
    sources, targets = patches[first::2], patches[1 - first :: 2]
    num_merged = min(num_merged, len(sources)) if len(targets) else 0
    if num_merged <= 0:
        return clip
    unit = nn.functional.normalize(metric.float(), dim=2)
    alike, best = (unit[:, sources] @ unit[:, targets].mT).max(2)  # [C, sources]
    order = alike.argsort(dim=1, descending=True, stable=True)
    gone, rest = order[:, :num_merged], order[:, num_merged:].sort(dim=1).values
    num_before = clip.num_class + rest.shape[1]
    moved = torch.empty(metric.shape[:2], dtype=torch.long, device=metric.device)
    moved[:, : clip.num_class] = torch.arange(clip.num_class, device=metric.device)
    numbers = torch.arange(rest.shape[1], device=metric.device) + clip.num_class
    moved.scatter_(1, sources[rest], numbers.expand_as(rest))
    moved[:, targets] = torch.arange(len(targets), device=metric.device) + num_before
    moved.scatter_(1, sources[gone], best.gather(1, gone) + num_before)
    sizes = clip.sizes.new_zeros(len(moved), count - num_merged)
    sizes = sizes.scatter_add(1, moved, clip.sizes)
    weighed = clip.tokens * clip.sizes[..., None].to(clip.tokens)
    wide = moved[..., None].expand_as(weighed)
    sums = weighed.new_zeros(*sizes.shape, weighed.shape[2]).scatter_add(
        1, wide, weighed
    )
    return Merged(
        tokens=sums / sizes[..., None].to(sums),
        sizes=sizes,
        places=moved.gather(1, clip.places),
        num_class=clip.num_class,
    )


def join_clips(clip: Merged, number: int, positions: Tensor) -> Merged:
    """Join so many clips in a row: all class tokens, then all patches.

    Args:
        clip: The tokens of the clips, whose number is a multiple.
        number: Clips that become one.
        positions: Added to the tokens of each, ``[number, D]``.
    """
    count, num_class = clip.tokens.shape[1], clip.num_class
    tokens = torch.unflatten(clip.tokens, 0, (-1, number)) + positions[:, None]
    spread = torch.arange(number * count, device=tokens.device).view(number, count)
    order = torch.cat(
        [spread[:, :num_class].flatten(), spread[:, num_class:].flatten()]
    )
    there = order.argsort()
    offsets = torch.arange(number, device=tokens.device)[:, None] * count
    places = torch.unflatten(clip.places, 0, (-1, number)) + offsets
    return Merged(
        tokens=tokens.flatten(1, 2)[:, order],
        sizes=torch.unflatten(clip.sizes, 0, (-1, number)).flatten(1)[:, order],
        places=there[places.flatten(1)],
        num_class=number * num_class,
    )


class TempMe(nn.Module):
    r"""Thin the tokens of a clip from layer to layer.

    In the first layers ``per_layer`` tokens of each frame are merged after attention, by
    their keys. Then, in a layer each, 2, 2 and 3 clips are joined, 30 % of their tokens
    merged before attention and 10 % after; in the last layer 10 %. Attention counts a
    token as often as it has patches: ``+ log size`` on its key. Twelve frames of 50
    tokens become 97.

    Differs from the original:
        There a video is its mean class token; here a connector reads patches, each of
        which is again what the token is that it was merged into, so that time is saved
        and not tokens; and no class token is read. A clip that is not full repeats its
        last frame. LoRA is not part of it: the tower learns whole or not at all. That 95 %
        of the tokens disappear, as the abstract says, follows from no count of ours.

    Args:
        sizes: The tower, of more layers than clips are joined.
        per_layer: Tokens of a frame that are merged in each early layer.
        joins: Clips that are joined in each of the layers before the last.
        cross_share: Share that is merged of joined clips before attention.
        late_share: Share that is merged after attention.
    """

    needs_tower = True

    def __init__(
        self,
        sizes: TowerSizes,
        per_layer: int = 2,
        joins: tuple[int, ...] = (2, 2, 3),
        cross_share: float = 0.3,
        late_share: float = 0.1,
    ) -> None:
        super().__init__()
        self.joins = tuple(joins)
        if sizes.num_layers <= len(self.joins):
            raise ValueError(
                f"joins must be fewer than the {sizes.num_layers} layers of the tower, got "
                f"{list(self.joins)}"
            )
        self.per_layer = per_layer
        self.cross_share, self.late_share = cross_share, late_share
        self.num_patches, self.num_layers = sizes.num_patches, sizes.num_layers
        self.positions = nn.ParameterList(
            nn.Parameter(torch.zeros(number, sizes.dim)) for number in self.joins
        )

    @property
    def clip_frames(self) -> int:
        """Count the frames that become one clip."""
        return math.prod(self.joins)

    def count_left(self, num_tokens: int) -> list[int]:
        """Count the tokens of a clip: early, after each join, and at the end.

        Args:
            num_tokens: Tokens of a frame, with its class token.
        """
        left = [num_tokens - self.per_layer * (self.num_layers - len(self.joins) - 1)]
        for number in self.joins:
            joined = left[-1] * number
            joined -= int(self.cross_share * joined)
            left.append(joined - int(self.late_share * joined))
        return [*left, left[-1] - int(self.late_share * left[-1])]

    def forward(self, tower: Any, pixels: Tensor) -> Tensor:
        """Encode a window of frames."""
        layers = Layers(tower)
        embedded = layers.embed(pixels)
        spare = -len(pixels) % self.clip_frames
        embedded = torch.cat([embedded, embedded[-1:].expand(spare, -1, -1)])
        clip = self.merge(layers, embedded)
        counts = embedded.shape[1]
        spread = take_tokens(clip.tokens, clip.places)
        per_frame = torch.unflatten(spread, 1, (-1, counts))
        return per_frame.flatten(0, 1)[: len(pixels), layers.num_prefix :]

    def merge(self, layers: Layers, embedded: Tensor) -> Merged:
        """Run all layers over frames ``[F, S, D]``, whole clips of them."""
        count = embedded.shape[1]
        clip = Merged(
            tokens=embedded,
            sizes=torch.ones(embedded.shape[:2], device=embedded.device),
            places=torch.arange(count, device=embedded.device).expand(
                len(embedded), -1
            ),
            num_class=layers.num_prefix,
        )
        first_join = self.num_layers - 1 - len(self.joins)
        for number, layer in enumerate(layers.layers):
            if first_join <= number < self.num_layers - 1:
                join = number - first_join
                clip = join_clips(clip, self.joins[join], self.positions[join])
                most = int(self.cross_share * clip.tokens.shape[1])
                clip = merge_alike(clip, clip.tokens, most)
            normed = layer.layer_norm1(clip.tokens)
            bias = clip.sizes.log()[:, None, None].to(normed)
            clip = clip._replace(tokens=clip.tokens + attend(layer, normed, bias))
            late = int(self.late_share * clip.tokens.shape[1])
            most = self.per_layer if number < first_join else late
            clip = merge_alike(clip, mean_keys(layer, normed), most)
            clip = clip._replace(tokens=think(layer, clip.tokens))
        return clip

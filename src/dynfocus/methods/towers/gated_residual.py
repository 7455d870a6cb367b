"""GRT: run the tower over what changed, and join scenes alike (Zhang et al., 2025).

Letters beyond the shared ones: ``F`` frames of a window, ``k`` entries of a codebook.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dynfocus.focus import dpc_knn
from dynfocus.methods.towers.interface import (
    Layers,
    TowerSizes,
    cut_patches,
    hide,
    take_tokens,
)


def structural_similarity(one: Tensor, other: Tensor, value_range: float) -> Tensor:
    r"""Compare patches ``[..., C]`` (SSIM), shape ``[...]``.

    .. math::
        \frac{(2 \mu_a \mu_b + c_1)(2 \sigma_{ab} + c_2)}
             {(\mu_a^2 + \mu_b^2 + c_1)(\sigma_a^2 + \sigma_b^2 + c_2)},
        \quad c_1 = (0.01 R)^2, \; c_2 = (0.03 R)^2
    """
    c1, c2 = (0.01 * value_range) ** 2, (0.03 * value_range) ** 2
    mean_a, mean_b = one.mean(-1), other.mean(-1)
    apart_a, apart_b = one - mean_a[..., None], other - mean_b[..., None]
    spread_a, spread_b = apart_a.square().mean(-1), apart_b.square().mean(-1)
    together = (apart_a * apart_b).mean(-1)
    alike = (2 * mean_a * mean_b + c1) * (2 * together + c2)
    return alike / ((mean_a**2 + mean_b**2 + c1) * (spread_a + spread_b + c2))


def jensen_shannon(one: Tensor, other: Tensor) -> Tensor:
    """Compare distributions ``[k]`` by their divergence from their mean, in nats."""
    middle = (one + other) / 2
    parts = [torch.xlogy(d, d / middle).nan_to_num(0) for d in (one, other)]
    return (parts[0] + parts[1]).sum() / 2


class GatedResidual(nn.Module):
    r"""Run the tower over patches that changed; the others stay what they were.

    A patch is computed again where ``1 - SSIM`` to the pixels that it was last computed
    from is above a threshold; the first frame of every ``refresh`` is computed whole and
    begins a scene. Of scenes that follow each other, whose first frames have token
    distributions with a Jensen-Shannon divergence below ``merge_threshold``, the tokens
    of these first frames are averaged place by place, also where later frames hold them.

    Differs from the original:
        The released code gates the embedding of patches alone and computes all layers;
        here unchanged patches pass no layer, as the paper says, but a connector still
        reads them: one that drops repeated tokens, such as ``longvu``, has the paper's
        gain. Thresholds of the paper are not known: that of the gate is the released one,
        that of scenes, the codebook (density peaks of the first frames' tokens) and
        scenes of ``refresh`` frames are our choice. Nothing is learned.

    Args:
        sizes: The tower.
        threshold: Dissimilarity above which a patch is computed again.
        refresh: One frame in so many is computed whole.
        merge_threshold: Divergence below which scenes are joined; 0 for none.
        codebook: Entries of the codebook.
    """

    needs_tower = True

    def __init__(
        self,
        sizes: TowerSizes,
        threshold: float = 0.001,
        refresh: int = 16,
        merge_threshold: float = 0.02,
        codebook: int = 16,
    ) -> None:
        super().__init__()
        self.threshold, self.refresh = threshold, refresh
        self.merge_threshold, self.codebook = merge_threshold, codebook
        self.patch_size, self.num_patches = sizes.patch_size, sizes.num_patches

    def forward(self, tower: Any, pixels: Tensor) -> Tensor:
        """Encode a window of frames."""
        layers = Layers(tower)
        source = self.find_sources(pixels)  # [F, N]
        numbers = torch.arange(len(pixels), device=pixels.device)
        computed = self._run(layers, layers.embed(pixels), source == numbers[:, None])
        computed = self.join_scenes(computed)
        return computed[source, torch.arange(self.num_patches, device=pixels.device)]

    def find_sources(self, pixels: Tensor) -> Tensor:
        """Tell for each patch the frame in which it was last computed, ``[F, N]``."""
        patches = cut_patches(pixels.float(), self.patch_size)
        value_range = max(1.0, float(pixels.max() - pixels.min()))
        held = patches[0].clone()
        since = torch.zeros(patches.shape[1], dtype=torch.long, device=pixels.device)
        sources = []
        for frame, now in enumerate(patches):
            alike = structural_similarity(now, held, value_range)
            changed = (1 - alike).clamp(0, 2) > self.threshold
            changed |= torch.full_like(changed, frame % self.refresh == 0)
            held[changed] = now[changed]
            since = since.masked_fill(changed, frame)
            sources.append(since)
        return torch.stack(sources)

    def _run(self, layers: Layers, embedded: Tensor, is_new: Tensor) -> Tensor:
        """Run the tower over new patches; the others are left empty, ``[F, N, D]``."""
        prefix = layers.num_prefix
        found = embedded.new_zeros(*is_new.shape, embedded.shape[2])
        for frames in (is_new.all(1), is_new.any(1) & ~is_new.all(1)):
            if not frames.any():
                continue
            own = is_new[frames]
            most = int(own.sum(1).max())
            places = own.long().argsort(dim=1, descending=True, stable=True)[:, :most]
            there = own.gather(1, places)
            tokens = take_tokens(embedded[frames, prefix:], places)
            seen = torch.cat([embedded[frames, :prefix], tokens], dim=1)
            bias = (
                None
                if there.all()
                else hide(F.pad(there, (prefix, 0), value=True), seen.dtype)
            )
            made = layers.run(seen, bias)[:, prefix:]
            rows = frames.nonzero()[:, 0][:, None].expand_as(places)
            found = found.index_put((rows[there], places[there]), made[there])
        return found

    def join_scenes(self, computed: Tensor) -> Tensor:
        """Average the first frames of scenes alike, of what was computed ``[F, N, D]``."""
        firsts = torch.arange(0, len(computed), self.refresh, device=computed.device)
        if len(firsts) < 2 or self.merge_threshold <= 0:
            return computed
        tokens = computed[firsts]
        count = min(self.codebook, tokens.shape[0] * tokens.shape[1])
        clusters = dpc_knn(
            tokens.detach().float().flatten(0, 1)[None], count, min(5, count)
        )
        codes = torch.unflatten(clusters.assignment[0], 0, tokens.shape[:2])
        shares = F.one_hot(codes, count).double().mean(1)  # [scenes, k]
        scene, joined = 0, [0]
        for one, other in zip(shares[:-1], shares[1:], strict=True):
            scene += int(jensen_shannon(one, other) >= self.merge_threshold)
            joined.append(scene)
        groups = F.one_hot(torch.tensor(joined, device=computed.device)).to(tokens)
        means = torch.einsum("sg,snd->gnd", groups / groups.sum(0), tokens)
        own = means[torch.tensor(joined, device=computed.device)]
        return computed.index_copy(0, firsts, own)

"""Spatial prototypes: S-DPC (Eq. 1, 4, 5).

Letters beyond the shared ones: ``F`` frames of any videos, ``M`` spatial
prototypes of a frame, ``S`` layers.
"""

import torch
from torch import Tensor, nn

from dynfocus.focus.centroids import cluster_points
from dynfocus.focus.clustering import merge_clusters
from dynfocus.focus.settings import FocusSettings
from dynfocus.focus.threads import map_parts

_COORDINATES = 1 << 24
"""Coordinates of the frames that are clustered together, 64 MiB in single precision."""


class SpatialPrototypes(nn.Module):
    r"""Cluster the patches of each frame, layer upon layer: S-DPC (Eq. 1, 4, 5).

    .. math::
        G_t = g^{(1)} \,\Vert\, g^{(2)} \,\Vert \dots \in \mathbb R^{M \times D},
        \qquad
        g^{(s)} = \mathrm{DPC}(g^{(s-1)}) \in \mathbb R^{M_s \times D},
        \quad g^{(0)} = v_t

    Symbols: ``v_t`` is a row of ``patches``, ``M_s`` is
    ``num_spatial_prototypes[s - 1]``, ``M`` their sum, ``G_t`` a row of the result.
    The tokens of layer 1 come first, then those of layer 2 and so on; within a
    layer they are ordered by the position of their centre.

    Differs from the paper:
        With ``spatial_gate``, as in the published code: the layers are numbered by
        falling score instead of position; ``softmax(Linear(channel means of the
        last layer))`` gives one weight a cluster of the last layer, which scales
        its token and all tokens merged into it; and each cluster's token is
        followed by its members in index order.
    """

    def __init__(self, settings: FocusSettings) -> None:
        super().__init__()
        self.settings = settings
        last = settings.num_spatial_prototypes[-1]
        self.gate = nn.Linear(last, last) if settings.spatial_gate else None

    def forward(self, patches: Tensor) -> Tensor:
        """Cluster patches.

        Args:
            patches: Patch features, shape ``[F, N, D]``.

        Returns:
            Spatial prototypes, shape ``[F, M, D]``.
        """
        num_frames = max(1, _COORDINATES // max(1, patches[:1].numel()))
        size = sum(self.settings.num_spatial_prototypes)
        prototypes = patches.new_empty(len(patches), size, patches.shape[2])
        start = 0
        for tokens in map_parts(self._prototypes, patches, num_frames):
            stop, row = start + len(tokens[0]), 0
            for layer in tokens:
                prototypes[start:stop, row : row + layer.shape[1]] = layer
                row += layer.shape[1]
            start = stop
        return prototypes

    def _prototypes(self, patches: Tensor) -> list[Tensor]:
        """Cluster the patches of a few frames, and give parts of their prototypes."""
        sizes = self.settings.num_spatial_prototypes
        layers, assignments = self._cluster(patches)
        if self.gate is None:
            return layers
        prototypes = torch.cat(layers, dim=1)
        weights = self.gate(layers[-1].mean(2)).softmax(1)  # [F, M_last]
        ancestors = _ancestors(assignments, sizes)
        scaled = prototypes * weights.gather(1, ancestors[-1])[..., None]
        order = _group_order(ancestors, sizes)
        return [scaled.gather(1, order[..., None].expand_as(scaled))]

    @torch.no_grad()
    def assignments(self, patches: Tensor) -> Tensor:
        """Tell which spatial prototype each patch was merged into, layer by layer.

        Args:
            patches: Patch features, shape ``[F, N, D]``.

        Returns:
            For each frame, layer and patch the row of what ``forward`` gives, shape
            ``[F, S, N]``, with ``S`` layers.
        """
        sizes = self.settings.num_spatial_prototypes
        _, assignments = self._cluster(patches)
        member = assignments[0]
        rows, first = [member], sizes[0]
        for assignment, size in zip(assignments[1:], sizes[1:], strict=True):
            member = assignment.gather(1, member)
            rows.append(first + member)
            first += size
        merged = torch.stack(rows, dim=1)  # [F, S, N]
        if self.gate is None:
            return merged
        place = _group_order(_ancestors(assignments, sizes), sizes).argsort(dim=1)
        return place.gather(1, merged.flatten(1)).view_as(merged)

    def _cluster(self, patches: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return the tokens of each layer and the cluster of each of its inputs."""
        settings = self.settings
        first = settings.num_spatial_prototypes[0]
        if patches.shape[1] < first:
            raise ValueError(
                f"patches must number at least {first}, the first of "
                f"num_spatial_prototypes, got {patches.shape[1]} a frame; "
                "use larger frames or fewer spatial prototypes"
            )
        tokens, layers, assignments = patches, [], []
        for num_clusters, num_neighbors in zip(
            settings.num_spatial_prototypes,
            settings.num_spatial_neighbors,
            strict=True,
        ):
            clusters = cluster_points(
                tokens, num_clusters, num_neighbors, settings.spatial_clustering
            )
            if self.gate is None:
                clusters = clusters.in_point_order()
            tokens = merge_clusters(tokens, clusters, settings.spatial_merge)
            layers.append(tokens)
            assignments.append(clusters.assignment)
        return layers, assignments


def _ancestors(assignments: list[Tensor], sizes: tuple[int, ...]) -> list[Tensor]:
    """Return the cluster of each token in each layer, ``S`` times ``[F, M]``.

    Tokens of a layer above have no cluster there: -1.
    """
    num_frames, device = assignments[0].shape[0], assignments[0].device
    layers: list[Tensor] = []
    for layer, size in enumerate(sizes):
        own = torch.arange(size, device=device).expand(num_frames, -1)
        parts = [own, own.new_full((num_frames, sum(sizes[layer + 1 :])), -1)]
        if layer:
            parts.insert(
                0, assignments[layer].gather(1, layers[-1][:, : sum(sizes[:layer])])
            )
        layers.append(torch.cat(parts, dim=1))
    return layers


def _group_order(ancestors: list[Tensor], sizes: tuple[int, ...]) -> Tensor:
    """Return the order cluster by cluster: its token, then its members."""
    key = torch.zeros_like(ancestors[0])
    for layer in reversed(range(len(sizes))):
        key = key * (sizes[layer] + 1) + ancestors[layer] + 1
    return key.argsort(dim=1)

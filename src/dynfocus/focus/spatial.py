"""Spatial prototypes: S-DPC (Eq. 1, 4, 5).

Letters beyond the shared ones: ``F`` frames of any videos, ``M`` spatial
prototypes of a frame, ``S`` layers.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dynfocus.focus.clustering import MergeWeight, merge_clusters
from dynfocus.focus.official import (
    Clustering,
    cluster_points,
    gated_groups,
)


class SpatialPrototypes(nn.Module):
    r"""Cluster the patches of each frame, layer upon layer: S-DPC (Eq. 1, 4, 5).

    .. math::
        G_t = g^{(1)} \,\Vert\, g^{(2)} \,\Vert \dots \in \mathbb R^{M \times D},
        \qquad
        g^{(s)} = \mathrm{DPC}(g^{(s-1)}) \in \mathbb R^{M_s \times D},
        \quad g^{(0)} = v_t

    Symbols: ``v_t`` is a row of ``patches``, ``M_s`` is ``num_prototypes[s - 1]``,
    ``M`` their sum, ``G_t`` a row of the result. The tokens of layer 1 come first, then
    those of layer 2 and so on; within a layer they are ordered by the position of their
    centre.

    Differs from the paper:
        With ``gate``, as in the published code, clusters are numbered by falling score,
        and their tokens scaled and grouped, see ``official.gated_groups``.

    Args:
        num_prototypes: Tokens of each layer, never increasing.
        num_neighbors: Neighbours of a token in its density, one number a layer.
        clustering: ``dpc``, or as ``official.cluster_points`` says.
        merge: Weights of the tokens merged (Eq. 5).
        gate: Whether clusters are gated and grouped.
    """

    def __init__(
        self,
        num_prototypes: Sequence[int] = (16, 6),
        num_neighbors: Sequence[int] = (8, 3),
        *,
        clustering: Clustering = "dpc",
        merge: MergeWeight = "importance",
        gate: bool = False,
    ) -> None:
        super().__init__()
        self.num_prototypes, self.num_neighbors = num_prototypes, num_neighbors
        self.clustering, self.merge = clustering, merge
        last = num_prototypes[-1]
        self.gate = nn.Linear(last, last) if gate else None

    def forward(self, patches: Tensor) -> Tensor:
        """Cluster patches.

        Args:
            patches: Patch features, shape ``[F, N, D]``.

        Returns:
            Spatial prototypes, shape ``[F, M, D]``.

        Raises:
            ValueError: If there are too few patches, or one is not finite.
        """
        layers, assignments = self.cluster(patches)
        if self.gate is None:
            return torch.cat(layers, dim=1)
        return gated_groups(self.gate, layers, assignments)

    def cluster(self, patches: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return the tokens of each layer and the cluster of each of its inputs."""
        if patches.shape[1] < self.num_prototypes[0]:
            raise ValueError(
                f"patches must number at least {self.num_prototypes[0]}, the first of "
                f"num_prototypes, got {patches.shape[1]} a frame; "
                "use larger frames or fewer spatial prototypes"
            )
        tokens, layers, assignments = patches, [], []
        for size, near in zip(self.num_prototypes, self.num_neighbors, strict=True):
            clusters = cluster_points(tokens, size, near, self.clustering)
            if self.gate is None:
                clusters = clusters.in_point_order()
            tokens = merge_clusters(tokens, clusters, self.merge)
            layers.append(tokens)
            assignments.append(clusters.assignment)
        return layers, assignments

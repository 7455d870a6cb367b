from typing import Any

import pytest
import torch
from torch import Tensor

from dynfocus.focus import (
    FocusSettings,
    SpatialPrototypes,
    dpc_knn,
    merge_clusters,
)

DIM, NUM_PATCHES = 6, 16
SMALL: dict[str, Any] = {
    "num_spatial_prototypes": (5, 2),
    "num_spatial_neighbors": (3, 2),
}


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("sizes", [(9,), (5, 2), (6, 4, 3)])
def test_spatial_layers_cluster_each_other_in_patch_order(
    sizes: tuple[int, ...],
) -> None:
    settings = FocusSettings(
        num_spatial_prototypes=sizes, num_spatial_neighbors=(3,) * len(sizes)
    )
    patches = draw(4, NUM_PATCHES, DIM)
    tokens, wanted = patches, []
    for size in sizes:
        clusters = dpc_knn(tokens, size, 3)
        merged = merge_clusters(tokens, clusters)
        order = clusters.centers.argsort(dim=1)
        tokens = torch.stack([m[o] for m, o in zip(merged, order, strict=True)])
        wanted.append(tokens)
    result = SpatialPrototypes(**settings.spatial_arguments)(patches)
    torch.testing.assert_close(result, torch.cat(wanted, dim=1))


def test_gated_groups_equal_the_literal_loop() -> None:
    torch.manual_seed(0)
    module = SpatialPrototypes((5, 2), (3, 2), merge="uniform", gate=True)
    patches = draw(3, NUM_PATCHES, DIM)
    result = module(patches)
    for frame in range(3):
        one = patches[frame : frame + 1]
        first = dpc_knn(one, 5, 3)
        fine = merge_clusters(one, first, "uniform")
        second = dpc_knn(fine, 2, 2)
        coarse = merge_clusters(fine, second, "uniform")
        assert module.gate is not None
        weights = module.gate(coarse[0].mean(1)).softmax(0)
        wanted = []
        for cluster in range(2):
            wanted.append(weights[cluster] * coarse[0, cluster])
            for member in range(5):
                if int(second.assignment[0, member]) == cluster:
                    wanted.append(weights[cluster] * fine[0, member])
        torch.testing.assert_close(result[frame], torch.stack(wanted))


def test_too_few_patches_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 16, .* got 9 a frame"):
        SpatialPrototypes()(torch.zeros(2, 9, DIM))

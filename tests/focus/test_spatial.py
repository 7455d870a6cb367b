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


@pytest.mark.parametrize("preset", ["paper", "official"])
@pytest.mark.parametrize("clustering", ["dpc", "kmeans"])
@pytest.mark.parametrize("sizes", [(9,), (5, 2), (6, 4, 3)])
def test_assignments_name_the_tokens_that_hold_each_patch(
    preset: str, clustering: str, sizes: tuple[int, ...]
) -> None:
    """A token has a gradient at the patches that it merged and at no other."""
    settings = getattr(FocusSettings, preset)(
        num_spatial_prototypes=sizes,
        num_spatial_neighbors=(3,) * len(sizes),
        spatial_clustering=clustering,
        spatial_merge="uniform",
    )
    module = SpatialPrototypes(**settings.spatial_arguments)
    if module.gate is not None:  # else every token depends on every patch
        torch.nn.init.zeros_(module.gate.weight)
    patches = draw(3, NUM_PATCHES, DIM).requires_grad_()
    assignments = module.assignments(patches)
    assert assignments.shape == (3, len(sizes), NUM_PATCHES)
    tokens = module(patches)
    for row in range(sum(sizes)):
        (gradient,) = torch.autograd.grad(
            tokens[:, row].sum(), patches, retain_graph=True
        )
        merged = (assignments == row).any(1)  # [F, N]
        assert torch.equal(gradient.abs().sum(2) > 0, merged)
        assert merged.any(1).all()


def test_the_mean_of_the_assigned_patches_is_the_token() -> None:
    settings = FocusSettings(**SMALL, spatial_merge="uniform")
    patches = draw(2, NUM_PATCHES, DIM, seed=1)
    module = SpatialPrototypes(**settings.spatial_arguments)
    first = module.assignments(patches)[:, 0]
    tokens = module(patches)
    for frame in range(2):
        for row in range(5):
            members = patches[frame][first[frame] == row]
            torch.testing.assert_close(tokens[frame, row], members.mean(0))

import pytest
import torch

from dynfocus.focus import kmeans, merge_clusters


def loop_kmeans(
    x: torch.Tensor, seeds: list[int], max_iterations: int
) -> tuple[list[int], torch.Tensor]:
    centroids = x[seeds].clone()
    for _ in range(max_iterations):
        assignment = [int((point - centroids).norm(dim=1).argmin()) for point in x]
        means = torch.stack(
            [
                x[[i for i, a in enumerate(assignment) if a == cluster]].mean(0)
                for cluster in range(len(seeds))
            ]
        )
        shift = sum(float((means - centroids)[c].norm()) for c in range(len(seeds)))
        centroids = means
        if shift < 1e-4:
            break
    return assignment, centroids


@pytest.mark.parametrize("max_iterations", [1, 2, 10])
def test_kmeans_equals_the_literal_loop(max_iterations: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 24, 3, dtype=torch.float64)
    result = kmeans(x, 4, max_iterations=max_iterations)
    for entry in range(2):
        assignment, centroids = loop_kmeans(x[entry], [3, 9, 15, 21], max_iterations)
        assert result.assignment[entry].tolist() == assignment
        merged = merge_clusters(x, result, "uniform")[entry]
        torch.testing.assert_close(merged, centroids)


def test_a_center_is_the_member_nearest_to_its_centroid() -> None:
    torch.manual_seed(1)
    x = torch.randn(3, 30, 4)
    result = kmeans(x, 6)
    centroids = merge_clusters(x, result, "uniform")
    for entry in range(3):
        for cluster, center in enumerate(result.centers[entry].tolist()):
            members = (result.assignment[entry] == cluster).nonzero().squeeze(1)
            gaps = (x[entry, members] - centroids[entry, cluster]).norm(dim=1)
            nearest = members[gaps <= gaps.min() + 1e-6]  # two members always tie
            assert int(nearest[0]) == center


def test_no_cluster_is_empty_even_among_equal_points() -> None:
    x = torch.zeros(1, 7, 2)
    x[0, 6] = 5
    result = kmeans(x, 4)
    assert len(set(result.centers[0].tolist())) == 4
    assert set(result.assignment[0].tolist()) == {0, 1, 2, 3}


def test_a_batch_equals_its_entries() -> None:
    torch.manual_seed(2)
    x = torch.randn(3, 20, 5)
    lengths = [20, 11, 4]
    mask = torch.arange(20) < torch.tensor(lengths)[:, None]
    batch = kmeans(x, 6, mask)
    for entry, length in enumerate(lengths):
        alone = kmeans(x[entry : entry + 1, :length], min(6, length))
        count = alone.centers.shape[1]
        assert torch.equal(batch.centers[entry, :count], alone.centers[0])
        assert (batch.centers[entry, count:] == -1).all()
        assert torch.equal(batch.assignment[entry, :length], alone.assignment[0])
        assert (batch.assignment[entry, length:] == -1).all()


def test_random_seeds_follow_the_generator() -> None:
    torch.manual_seed(3)
    x = torch.randn(1, 60, 8)
    runs = [kmeans(x, 9, generator=torch.Generator().manual_seed(s)) for s in (0, 0, 1)]
    assert torch.equal(runs[0].assignment, runs[1].assignment)
    assert not torch.equal(runs[0].assignment, runs[2].assignment)


def test_wrong_iterations_are_refused() -> None:
    with pytest.raises(ValueError, match="max_iterations must be at least 1, got 0"):
        kmeans(torch.randn(1, 4, 2), 2, max_iterations=0)

import pytest
import torch

from dynfocus.focus import EventBatch, kmeans, merge_clusters
from dynfocus.focus.official import GlobalScoreNetwork, group_order, lone_frames


def loop_kmeans(x: torch.Tensor, seeds: list[int]) -> tuple[list[int], torch.Tensor]:
    centroids = x[seeds].clone()
    for _ in range(10):
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


def test_kmeans_equals_the_literal_loop() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 24, 3, dtype=torch.float64)
    result = kmeans(x, 4)
    for entry in range(2):
        assignment, centroids = loop_kmeans(x[entry], [3, 9, 15, 21])
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


def test_points_that_are_not_finite_are_refused() -> None:
    x = torch.randn(1, 4, 2)
    x[0, 1] = torch.inf
    with pytest.raises(ValueError, match="finite numbers at valid points, got inf"):
        kmeans(x, 2)


def test_published_network_has_the_published_size() -> None:
    with torch.device("meta"):
        network = GlobalScoreNetwork(1408)
    assert sum(p.numel() for p in network.parameters()) == 12_897_281


def test_published_network_equals_the_literal_loop() -> None:
    torch.manual_seed(0)
    network = GlobalScoreNetwork(4).double()
    tokens = torch.randn(2, 5, 3, 4, dtype=torch.float64)
    mask = torch.arange(5) < torch.tensor([[5], [3]])
    nowhere = torch.zeros(2, 5, dtype=torch.long)
    scores = network(EventBatch(tokens, nowhere, mask, nowhere))
    summaries = torch.cat([tokens.mean(2), tokens.amax(2)], dim=2)
    for entry, count in enumerate((5, 3)):
        hidden = [network.in_conv(row) for row in summaries[entry, :count]]
        shared = sum(row[4:] for row in hidden) / count
        for slot, row in enumerate(hidden):
            wanted = network.out_conv(torch.cat([row[:4], shared]))
            torch.testing.assert_close(scores[entry, slot : slot + 1], wanted)


@pytest.mark.parametrize("sizes", [(4,), (6, 4, 2)])
def test_gated_groups_of_any_depth_nest(sizes: tuple[int, ...]) -> None:
    torch.manual_seed(3)
    assignments = [
        torch.randint(0, sizes[layer], (2, sizes[layer - 1] if layer else 9))
        for layer in range(len(sizes))
    ]
    order = group_order(assignments, sizes)
    firsts = [sum(sizes[:layer]) for layer in range(len(sizes))]

    def visit(frame: int, layer: int, cluster: int) -> list[int]:
        tokens = [firsts[layer] + cluster]
        for member in range(sizes[layer - 1] if layer else 0):
            if int(assignments[layer][frame, member]) == cluster:
                tokens += visit(frame, layer - 1, member)
        return tokens

    for frame in range(2):
        last = len(sizes) - 1
        wanted = [t for c in range(sizes[-1]) for t in visit(frame, last, c)]
        assert order[frame].tolist() == wanted


def test_a_frame_is_alone_if_its_video_has_no_other() -> None:
    mask = torch.tensor([[True, True], [True, False], [False, False]])
    assert lone_frames(mask).tolist() == [False, False, True]

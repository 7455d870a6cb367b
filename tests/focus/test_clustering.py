import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dynfocus.focus import ClusterResult, _distances, dpc_knn, merge_clusters


def loop_dpc(
    x: list[list[float]], num_clusters: int, num_neighbors: int, valid: list[bool]
) -> dict[str, list[Any]]:
    """Follow Eq. 1 and 4 literally for one entry in Python floats."""
    points = [i for i in range(len(x)) if valid[i]]
    squared = {
        (i, j): sum((a - b) ** 2 for a, b in zip(x[i], x[j], strict=True)) / len(x[i])
        for i in points
        for j in points
    }
    k = min(num_neighbors, len(points))
    log_density = {
        i: -sum(sorted(squared[i, j] for j in points)[:k]) / k for i in points
    }
    distance = {}
    for i in points:
        denser = [
            squared[i, j]
            for j in points
            if log_density[j] > log_density[i]
            or (log_density[j] == log_density[i] and j < i)
        ]
        distance[i] = math.sqrt(min(denser) if denser else max(squared.values()))
    log_score = {
        i: log_density[i] + (math.log(distance[i]) if distance[i] else -math.inf)
        for i in points
    }
    centers = sorted(points, key=lambda i: (-log_score[i], i))[:num_clusters]
    assignment = []
    for i in range(len(x)):
        if not valid[i]:
            assignment.append(-1)
        elif i in centers:
            assignment.append(centers.index(i))
        else:
            assignment.append(
                min(range(len(centers)), key=lambda c: (squared[i, centers[c]], c))
            )
    density = {i: math.exp(log_density[i]) for i in points}
    row = range(len(x))
    return {
        "centers": centers + [-1] * (num_clusters - len(centers)),
        "assignment": assignment,
        "density": [density.get(i, 0) for i in row],
        "distance": [distance.get(i, 0) for i in row],
        "score": [density.get(i, 0) * distance.get(i, 0) for i in row],
    }


def assert_like_loop(
    x: Tensor,
    num_clusters: int,
    num_neighbors: int,
    mask: Tensor | None = None,
) -> ClusterResult:
    result = dpc_knn(x, num_clusters, num_neighbors, mask)
    rtol, atol = (1e-8, 1e-12) if x.dtype == torch.float64 else (1e-5, 1e-6)
    for entry in range(x.shape[0]):
        valid = [True] * x.shape[1] if mask is None else mask[entry].tolist()
        wanted = loop_dpc(x[entry].tolist(), num_clusters, num_neighbors, valid)
        for name, numbers in wanted.items():
            value = getattr(result, name)[entry]
            torch.testing.assert_close(
                value, torch.tensor(numbers, dtype=value.dtype), rtol=rtol, atol=atol
            )
    return result


def loop_merge(x: Tensor, result: ClusterResult, weight: str) -> Tensor:
    """Follow Eq. 5 literally."""
    merged = torch.zeros(x.shape[0], result.centers.shape[1], x.shape[2], dtype=x.dtype)
    for entry in range(x.shape[0]):
        for cluster in range(result.centers.shape[1]):
            members = [
                i
                for i in range(x.shape[1])
                if int(result.assignment[entry, i]) == cluster
            ]
            weights = {
                "uniform": [1.0 for _ in members],
                "importance": [float(result.score[entry, i]) for i in members],
                "exponential": [math.exp(result.score[entry, i]) for i in members],
            }[weight]
            for i, w in zip(members, weights, strict=True):
                merged[entry, cluster] += w / sum(weights) * x[entry, i]
    return merged


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_clusters_equal_the_literal_loop(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    assert_like_loop(torch.randn(3, 20, 7, dtype=dtype), 6, 4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("num_neighbors", [1, 3, 50])
@pytest.mark.parametrize("num_clusters", [1, 4, 9])
def test_masked_clusters_equal_the_literal_loop(
    num_clusters: int, num_neighbors: int, dtype: torch.dtype
) -> None:
    torch.manual_seed(1)
    x = torch.randn(4, 9, 5, dtype=dtype)
    mask = torch.rand(4, 9) > 0.4
    mask[:, 2] = True
    assert_like_loop(x, num_clusters, num_neighbors, mask)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_ties_break_by_index(data: st.DataObject) -> None:
    num_points = data.draw(st.integers(1, 9))
    row = st.lists(st.integers(-3, 3), min_size=2, max_size=2)
    rows = data.draw(st.lists(row, min_size=num_points, max_size=num_points))
    offset = data.draw(st.sampled_from([0, 1000]))
    x = torch.tensor([rows], dtype=torch.float64) + offset
    num_clusters = data.draw(st.integers(1, num_points))
    num_neighbors = data.draw(st.integers(1, num_points + 1))
    result = dpc_knn(x, num_clusters, num_neighbors)
    wanted = loop_dpc(x[0].tolist(), num_clusters, num_neighbors, [True] * num_points)
    torch.testing.assert_close(
        result.distance[0], torch.tensor(wanted["distance"], dtype=torch.float64)
    )
    single = dpc_knn(x.float(), num_clusters, num_neighbors)
    assert torch.equal(single.centers, result.centers)
    assert torch.equal(single.assignment, result.assignment)


def test_duplicates_of_random_points_tie_exactly() -> None:
    torch.manual_seed(2)
    x = torch.randn(1, 8, 33).repeat(1, 3, 1)
    result = dpc_knn(x, 8, 6)
    assert set(result.centers[0].tolist()) == set(range(8))
    for copy in (8, 16):
        part = slice(copy, copy + 8)
        assert torch.equal(result.assignment[:, part], result.assignment[:, :8])
        assert torch.equal(result.density[:, part], result.density[:, :8])
        assert not result.distance[:, part].any()


def test_equal_points_give_the_first_as_centers() -> None:
    result = dpc_knn(torch.full((1, 6, 3), 0.1), 3, 2)
    assert result.centers.tolist() == [[0, 1, 2]]
    assert result.assignment.tolist() == [[0, 1, 2, 0, 0, 0]]
    assert not result.score.any()


def test_a_single_point_is_its_own_cluster() -> None:
    result = dpc_knn(torch.randn(2, 1, 4), 1, 5)
    assert result.centers.tolist() == [[0], [0]]
    assert result.assignment.tolist() == [[0], [0]]
    assert result.density.tolist() == [[1], [1]]
    assert result.distance.tolist() == [[0], [0]]


def test_as_many_clusters_as_points_give_every_point_its_own() -> None:
    torch.manual_seed(3)
    x = torch.randn(2, 12, 4)
    x[:, 5] = x[:, 2]
    result = dpc_knn(x, 12, 3)
    assert torch.equal(result.centers.sort().values, torch.arange(12).expand(2, -1))
    own = result.assignment.gather(1, result.centers)
    assert torch.equal(own, torch.arange(12).expand(2, -1))


def test_underflowing_densities_still_have_an_order() -> None:
    torch.manual_seed(4)
    x = torch.randn(1, 30, 4, dtype=torch.float64)
    near, far = dpc_knn(x, 5, 3), dpc_knn(x * 1e4, 5, 3)
    assert not far.score.any()
    log_density = near.density.log() * 1e8
    order = (log_density + near.distance.log()).argsort(dim=1, descending=True)
    assert torch.equal(far.centers, order[:, :5])
    assert merge_clusters(x, far).isfinite().all()


def test_surplus_slots_are_marked_and_merge_to_zeros() -> None:
    mask = torch.tensor([[True, False, True, False], [False] * 4])
    x = torch.randn(2, 4, 3)
    x[~mask] = torch.nan
    result = dpc_knn(x, 3, 2, mask)
    assert result.centers.tolist() == [[0, 2, -1], [-1, -1, -1]]
    assert result.assignment.tolist() == [[0, -1, 1, -1], [-1] * 4]
    merged = merge_clusters(x, result)
    torch.testing.assert_close(merged[0, :2], x[0, [0, 2]])
    assert not merged[0, 2].any()
    assert not merged[1].any()


def test_masked_points_have_no_influence() -> None:
    torch.manual_seed(5)
    x = torch.randn(1, 10, 6)
    padded = torch.cat([x, torch.full((1, 5, 6), 1e3)], dim=1)
    mask = torch.arange(15)[None] < 10
    alone, masked = dpc_knn(x, 4, 3), dpc_knn(padded, 4, 3, mask)
    assert torch.equal(alone.centers, masked.centers)
    torch.testing.assert_close(alone.score, masked.score[:, :10])
    for weight in ("uniform", "importance", "exponential"):
        torch.testing.assert_close(
            merge_clusters(x, alone, weight), merge_clusters(padded, masked, weight)
        )


def test_the_largest_distance_is_between_valid_points() -> None:
    draw = torch.Generator().manual_seed(8)
    x = torch.rand(1, 10, 300, generator=draw).square()  # the origin is an outlier
    mask = torch.arange(10)[None] < 7
    wanted = dpc_knn(x[:, :7], 3, 3).distance
    torch.testing.assert_close(dpc_knn(x, 3, 3, mask).distance[:, :7], wanted)


@pytest.mark.parametrize("tile", [1, 50, 333])
def test_tiles_equal_the_whole(monkeypatch: pytest.MonkeyPatch, tile: int) -> None:
    torch.manual_seed(6)
    x = torch.randn(5, 23, 6, dtype=torch.float64)
    mask = torch.rand(5, 23) > 0.3
    whole = dpc_knn(x, 4, 3, mask)
    monkeypatch.setattr(_distances, "TILE", tile)
    tiled = dpc_knn(x, 4, 3, mask)
    assert torch.equal(whole.centers, tiled.centers)
    assert torch.equal(whole.assignment, tiled.assignment)
    torch.testing.assert_close(whole.score, tiled.score, rtol=1e-9, atol=0)


def dense_dpc(
    x: Tensor, num_clusters: int, num_neighbors: int
) -> tuple[list[int], Tensor, list[int]]:
    """Follow Eq. 1 and 4 with all distances at once, in double precision."""
    points = x.double()
    squared = (points[:, None] - points).square().mean(2)
    k = min(num_neighbors, len(x))
    log_density = -squared.sort(dim=1).values[:, :k].sum(1) / k
    order = log_density.sort(descending=True, stable=True).indices
    rank = order.argsort()
    distance = squared.where(rank < rank[:, None], torch.inf).amin(1)
    distance = distance.where(rank > 0, squared.max()).sqrt()
    log_score = log_density + distance.log()
    centers = log_score.sort(descending=True, stable=True).indices[:num_clusters]
    assignment = squared[:, centers].argmin(1)
    assignment[centers] = torch.arange(num_clusters)
    return centers.tolist(), log_score.exp(), assignment.tolist()


@pytest.mark.parametrize("num_points", [1, 2, 3, 70, 300, 600, 640])
@pytest.mark.parametrize("tile", [4096, 1 << 24])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_clusters_equal_the_dense_form(
    monkeypatch: pytest.MonkeyPatch, num_points: int, tile: int, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(_distances, "TILE", tile)  # 4096: 64 points at a time
    draw = torch.Generator().manual_seed(num_points)
    x = torch.randn(num_points, 40, generator=draw).to(dtype)
    num_clusters = min(8, num_points)
    result = dpc_knn(x[None], num_clusters, 5)
    centers, score, assignment = dense_dpc(x, num_clusters, 5)
    assert result.centers[0].tolist() == centers
    assert result.assignment[0].tolist() == assignment
    torch.testing.assert_close(result.score[0].double(), score, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("tile", [1 << 24, 900])
def test_duplicates_tie_exactly_in_tiles(
    monkeypatch: pytest.MonkeyPatch, tile: int
) -> None:
    monkeypatch.setattr(_distances, "TILE", tile)
    draw = torch.Generator().manual_seed(2)
    x = torch.randn(50, 333, generator=draw)[torch.randint(0, 50, (120,))]
    result = dpc_knn(x[None], 12, 7)
    exact = dpc_knn(x[None].double(), 12, 7)
    assert torch.equal(result.centers, exact.centers)
    assert torch.equal(result.assignment, exact.assignment)
    same = (x[:, None] == x).all(2)
    first = same.to(torch.uint8).argmax(1)
    assert torch.equal(result.density[0], result.density[0, first])
    assert not result.distance[0, first != torch.arange(120)].any()


@pytest.mark.parametrize("outlier", [None, 0.0, 3e4])
def test_a_large_offset_changes_no_cluster(outlier: float | None) -> None:
    """Nor does it if the first point is far from all others."""
    draw = torch.Generator().manual_seed(3)
    x = torch.randint(-9, 9, (1, 60, 30), generator=draw).float()
    moved = x + 10_000
    if outlier is not None:
        moved = torch.cat([torch.full((1, 1, 30), outlier), moved], dim=1)
    wanted = dpc_knn(moved.double(), 8, 5)
    result = dpc_knn(moved, 8, 5)
    assert torch.equal(result.centers, wanted.centers)
    assert torch.equal(result.assignment, wanted.assignment)
    torch.testing.assert_close(result.score.double(), wanted.score)


def test_memory_does_not_grow_with_the_square(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_distances, "TILE", 10_000)
    monkeypatch.setattr(_distances, "_SLICE", 10_000)
    x = torch.randn(1, 2000, 300)
    sizes = []

    class Recorder(TorchDispatchMode):
        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            out = func(*args, **(kwargs or {}))
            made = [
                t.untyped_storage() for t in tree_leaves(out) if isinstance(t, Tensor)
            ]
            sizes.extend(m.nbytes() for m in made if m.data_ptr() != storage)
            return out

    storage = x.untyped_storage().data_ptr()
    with Recorder():
        dpc_knn(x, 10, 5)
    assert max(sizes) < 2000**2 * 4 / 10


def test_mutual_neighbors_are_equally_dense() -> None:
    """Rounding is alike in both halves of the distances."""
    draw = torch.Generator().manual_seed(5)
    x = torch.randn(300, 20, 12, generator=draw)
    far = torch.cdist(x.double(), x.double())
    far.diagonal(0, 1, 2).fill_(torch.inf)
    nearest = far.argmin(2)
    mutual = nearest.gather(1, nearest) == torch.arange(20)
    density = dpc_knn(x, 2, 2).density
    assert mutual.any()
    assert torch.equal(density[mutual], density.gather(1, nearest)[mutual])


def test_an_entry_is_clustered_alike_whatever_stands_beside_it() -> None:
    draw = torch.Generator().manual_seed(7)
    x = torch.randn(3, 40, 300, generator=draw)
    x[1] += 50  # only this one is far from the origin
    together = dpc_knn(x, 5, 4)
    for entry in range(3):
        alone = dpc_knn(x[entry : entry + 1], 5, 4)
        assert torch.equal(alone.centers[0], together.centers[entry])
        torch.testing.assert_close(alone.score[0], together.score[entry])


def test_wide_points_in_parts_equal_the_dense_form() -> None:
    draw = torch.Generator().manual_seed(9)
    x = torch.randn(2, 30, 5000, generator=draw)
    x[1] += 100  # only this entry is shifted
    result = dpc_knn(x, 4, 3)
    for entry in range(2):
        centers, score, assignment = dense_dpc(x[entry], 4, 3)
        assert result.centers[entry].tolist() == centers
        assert result.assignment[entry].tolist() == assignment
        torch.testing.assert_close(
            result.score[entry].double(), score, rtol=1e-4, atol=0
        )


def test_points_without_a_gradient_of_their_own_are_clustered() -> None:
    x = torch.randn(2, 30, 8, requires_grad=True)
    assert not dpc_knn(x, 4, 3).score.requires_grad


def test_autocast_changes_nothing() -> None:
    x = torch.randn(1, 40, 16)
    plain = dpc_knn(x, 5, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(dpc_knn(x, 5, 4).score, plain.score)


def test_an_empty_batch_has_no_clusters() -> None:
    result = dpc_knn(torch.zeros(0, 5, 3), 2, 2)
    assert result.centers.shape == (0, 2)
    assert merge_clusters(torch.zeros(0, 5, 3), result).shape == (0, 2, 3)


def test_half_precision_points_give_single_precision_numbers() -> None:
    x = torch.randn(2, 9, 4).bfloat16()
    half, single = dpc_knn(x, 3, 3), dpc_knn(x.float(), 3, 3)
    assert half.score.dtype == torch.float32
    assert torch.equal(half.score, single.score)
    assert merge_clusters(x, half).dtype == torch.bfloat16


def test_single_precision_agrees_with_double() -> None:
    torch.manual_seed(7)
    x = torch.randn(3, 40, 16) + 100
    single, double = dpc_knn(x, 8, 5), dpc_knn(x.double(), 8, 5)
    assert torch.equal(single.centers, double.centers)
    torch.testing.assert_close(single.score, double.score.float())


@pytest.mark.parametrize("weight", ["uniform", "importance", "exponential"])
def test_merging_equals_the_literal_loop(weight: str) -> None:
    torch.manual_seed(8)
    x = torch.randn(2, 15, 4, dtype=torch.float64)
    result = dpc_knn(x, 4, 3)
    merged = merge_clusters(x, result, weight)  # type: ignore[arg-type]
    torch.testing.assert_close(merged, loop_merge(x, result, weight))


def test_merging_passes_gradients_to_the_points() -> None:
    torch.manual_seed(9)
    x = torch.randn(1, 8, 3, dtype=torch.float64, requires_grad=True)
    result = dpc_knn(x, 2, 3)
    assert not result.score.requires_grad
    assert torch.autograd.gradcheck(lambda v: merge_clusters(v, result), (x,))


def test_clusters_in_point_order_keep_their_members() -> None:
    torch.manual_seed(10)
    x = torch.randn(3, 12, 4)
    mask = torch.arange(12) < torch.tensor([[12], [3], [1]])
    result = dpc_knn(x, 5, 3, mask)
    ordered = result.in_point_order()
    for entry, count in enumerate((5, 3, 1)):
        centers = ordered.centers[entry].tolist()
        assert centers[:count] == sorted(centers[:count])
        assert centers[count:] == [-1] * (5 - count)
    before = result.centers.gather(1, result.assignment.clamp(min=0))
    after = ordered.centers.gather(1, ordered.assignment.clamp(min=0))
    assert torch.equal(before[mask], after[mask])


def test_wrong_arguments_are_refused() -> None:
    x = torch.randn(1, 4, 2)
    with pytest.raises(ValueError, match=r"num_clusters must be in \[1, 4\].* got 5"):
        dpc_knn(x, 5, 2)
    with pytest.raises(ValueError, match=r"num_clusters must be in \[1, 4\].* got 0"):
        dpc_knn(x, 0, 2)
    with pytest.raises(ValueError, match="num_neighbors must be at least 1, got 0"):
        dpc_knn(x, 2, 0)
    with pytest.raises(ValueError, match=r"shape \[B, N, C\], got .* \(4, 2\)"):
        dpc_knn(x[0], 2, 2)
    with pytest.raises(ValueError, match=r"mask must be a bool tensor .*\(1, 4\)"):
        dpc_knn(x, 2, 2, torch.ones(1, 4))
    with pytest.raises(ValueError, match="weight must be .* got 'mean'"):
        merge_clusters(x, dpc_knn(x, 2, 2), "mean")  # type: ignore[arg-type]


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("shape", [(3, 20, 6), (1, 600, 6)])
def test_points_that_are_not_finite_are_refused(
    number: float, shape: tuple[int, int, int]
) -> None:
    torch.manual_seed(11)
    x = torch.randn(shape)
    clusters = dpc_knn(x, 4, 3)
    x[-1, 7, 2] = number
    with pytest.raises(ValueError, match=f"finite numbers .* got {number};"):
        dpc_knn(x, 4, 3)
    with pytest.raises(ValueError, match=f"finite numbers .* got {number};"):
        merge_clusters(x, clusters)
    with pytest.raises(ValueError, match="got numbers whose squares overflow;"):
        dpc_knn(x.nan_to_num(1e30, 1e30, -1e30), 4, 3)
    mask = torch.ones(shape[:2], dtype=torch.bool)
    mask[-1, 7] = False
    assert merge_clusters(x, dpc_knn(x, 4, 3, mask)).isfinite().all()

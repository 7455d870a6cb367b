import pytest
import torch

from dynfocus.focus import dpc_knn, neighbors, rescoring


def scenes(num_points: int, width: int, seed: int) -> torch.Tensor:
    """Draw points of scenes of twenty, which differ little within a scene."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(num_points, width, generator=draw).mul_(0.2)
    for start in range(0, num_points, 20):
        x[start : start + 20] += torch.randn(width, generator=draw)
    return x


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("tile", [6000, 1 << 24])
def test_reduced_distances_give_the_centers_of_exact_ones(
    monkeypatch: pytest.MonkeyPatch, native: bool, tile: int
) -> None:
    monkeypatch.setattr(neighbors, "multiplies_bfloat16", lambda _: native)
    monkeypatch.setattr(neighbors, "TILE", tile)  # 6000: 77 points at a time
    for seed in range(4):
        x = scenes(200, 2048, seed)[None]
        reduced = dpc_knn(x, 15, 5, precision="bfloat16")
        exact = dpc_knn(x, 15, 5, precision="float64")
        assert torch.equal(reduced.centers, exact.centers)
        best = exact.centers
        torch.testing.assert_close(
            reduced.score.gather(1, best),
            exact.score.gather(1, best),
            rtol=2e-3,
            atol=0,
        )
        torch.testing.assert_close(reduced.density, exact.density, rtol=2e-4, atol=0)


@pytest.mark.parametrize("native", [False, True])
def test_masked_and_equal_points_are_no_centers(
    monkeypatch: pytest.MonkeyPatch, native: bool
) -> None:
    monkeypatch.setattr(neighbors, "multiplies_bfloat16", lambda _: native)
    x = scenes(60, 300, 9)[torch.arange(120) // 2].view(2, 60, 300)
    mask = torch.ones(2, 60, dtype=torch.bool)
    mask[0, 20:], mask[1, 50:] = False, False
    x[0, 20:] = torch.nan
    reduced = dpc_knn(x, 8, 5, mask, precision="bfloat16")
    exact = dpc_knn(x, 8, 5, mask, precision="float64")
    assert torch.equal(reduced.centers, exact.centers)
    assert torch.equal(reduced.assignment, exact.assignment)
    nothing = dpc_knn(x, 8, 5, torch.zeros_like(mask), precision="bfloat16")
    assert (nothing.centers == -1).all()
    assert (nothing.assignment == -1).all()


def test_pairs_are_measured_by_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rescoring, "_SLICE", 100)
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(2, 9, 30, generator=draw)
    rows = torch.randint(9, (2, 4), generator=draw)
    columns = torch.randint(9, (2, 4, 3), generator=draw)
    before = torch.zeros(2, 4, 3)
    before[1, 2, 0] = torch.inf
    found = rescoring._measured(x, rows, columns, before)
    for b in range(2):
        for i in range(4):
            for j in range(3):
                square = (x[b, rows[b, i]] - x[b, columns[b, i, j]]).square().mean()
                wanted = before[b, i, j] + square
                torch.testing.assert_close(found[b, i, j], wanted)

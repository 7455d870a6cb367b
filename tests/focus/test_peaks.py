import torch

from dynfocus.focus.neighbors import Distances
from dynfocus.focus.peaks import by_density, listed, squared_to_denser


def test_of_equally_dense_points_the_first_is_denser() -> None:
    order, rank = by_density(torch.tensor([[-2.0, -1, -2, -torch.inf, -1]]))
    assert order.tolist() == [[1, 4, 0, 2, 3]]
    assert rank.tolist() == [[2, 0, 3, 4, 1]]


def test_chosen_points_come_first_in_order() -> None:
    chosen = torch.tensor([[True, False, True], [False, True, False]])
    order = torch.tensor([[2, 1, 0], [0, 1, 2]])
    assert listed(chosen, order).tolist() == [[2, 0], [1, 0]]
    assert listed(torch.zeros_like(chosen), order).shape == (2, 0)


def test_denser_are_the_points_of_lower_rank_than_the_limit() -> None:
    x = torch.tensor([0.0, 1, 3, 7])[None, :, None]
    valid = torch.ones(1, 4, dtype=torch.bool)
    distances = Distances(x, valid, "float64")
    nearest = distances.nearest(2, valid)
    order, rank = by_density(torch.tensor([[-1.0, -2, -3, -4]]))
    own = squared_to_denser(distances, nearest, valid, order, rank, rank)
    assert own.tolist() == [[49, 1, 4, 16]]
    strict = torch.tensor([[0, 0, 1, 2]])
    found = squared_to_denser(distances, nearest, valid, order, rank, strict)
    assert found.tolist() == [[49, 49, 9, 36]]

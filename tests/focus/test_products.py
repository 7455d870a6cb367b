import pytest
import torch

from dynfocus.focus.products import (
    DistanceFactors,
    add_products,
    check_precision,
    multiplies_bfloat16,
    multiply_distances,
    products_of,
)


def test_products_of_factors_are_squared_distances() -> None:
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(2, 7, 50, generator=draw) + 3
    factors = DistanceFactors(20, 60)
    for part in (x, x[:1, :, :40]):  # room is used again
        left, right = factors(part)
        total = torch.ones(len(part), 5, 7)
        multiply_distances(left[:, 2:], right, total)
        rounded = part.bfloat16().double()
        wanted = torch.cdist(rounded[:, 2:], rounded).square() + 1
        torch.testing.assert_close(total.double(), wanted, rtol=2**-8, atol=1e-4)


def test_near_points_far_from_the_origin_keep_their_distance() -> None:
    x = torch.full((1, 2, 64), 100.0)
    x[0, 1, 0] = 101
    left, right = DistanceFactors(2, 64)(x)
    total = torch.zeros(1, 2, 2)
    multiply_distances(left, right, total)
    assert total[0].tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_products_of_points_with_each_other_add_up(dtype: torch.dtype) -> None:
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(3, 70, 40, generator=draw, dtype=dtype)
    total = torch.full((3, 70, 70), torch.nan, dtype=dtype)
    add_products(x[..., :25], total, first=True)
    add_products(x[..., 25:], total, first=False)
    wanted = x.double() @ x.double().mT
    torch.testing.assert_close(total.double(), wanted, rtol=1e-5, atol=1e-5)
    assert torch.equal(total, total.mT)


def test_only_processors_multiply_bfloat16_themselves() -> None:
    assert multiplies_bfloat16(torch.device("cpu")) in (True, False)
    assert not multiplies_bfloat16(torch.device("cuda"))


def test_the_precision_of_products_is_put_back() -> None:
    before = torch.get_float32_matmul_precision()
    with products_of(torch.zeros(1), "float32"):
        assert torch.get_float32_matmul_precision() == "highest"
    assert torch.get_float32_matmul_precision() == before


def test_an_unknown_precision_is_refused() -> None:
    check_precision("bfloat16")
    with pytest.raises(ValueError, match="got 'int8'; choose one of these"):
        check_precision("int8")

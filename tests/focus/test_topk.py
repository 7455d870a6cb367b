import pytest
import torch

from dynfocus.focus import hard_topk, perturbed_topk

SCORES = torch.tensor([[0.9, 0.1, 0.2, 0.6, 0.55, 1.0]], dtype=torch.float64)


def loop_indicator(
    scores: torch.Tensor, noise: torch.Tensor, k: int, sigma: float
) -> torch.Tensor:
    """Follow Eq. 8 literally."""
    num_rows, num_samples, num_scores = noise.shape
    indicator = torch.zeros(num_rows, k, num_scores, dtype=scores.dtype)
    for row in range(num_rows):
        for sample in range(num_samples):
            noisy = (scores[row] + sigma * noise[row, sample]).tolist()
            best = sorted(range(num_scores), key=lambda j: -noisy[j])[:k]
            for slot, j in enumerate(sorted(best)):
                indicator[row, slot, j] += 1 / num_samples
    return indicator


def loop_gradient(
    grad: torch.Tensor,
    scores: torch.Tensor,
    noise: torch.Tensor,
    sigma: float,
    gradient: str,
) -> torch.Tensor:
    """Follow Eq. 9 literally, or keep its diagonal as the published code."""
    k = grad.shape[1]
    num_samples = noise.shape[1]
    result = torch.zeros_like(scores)
    for row in range(scores.shape[0]):
        chosen = [
            loop_indicator(
                scores[row : row + 1], noise[row : row + 1, i : i + 1], k, sigma
            )[0]
            for i in range(num_samples)
        ]
        inner = [(grad[row] * one).sum() for one in chosen]
        baseline = sum(inner) / num_samples
        for i in range(num_samples):
            for j in range(scores.shape[1]):
                if gradient == "exact":
                    term = (inner[i] - baseline) / (num_samples - 1)
                else:
                    term = (grad[row, :, j] * chosen[i][:, j]).sum() / num_samples
                result[row, j] += term * noise[row, i, j] / sigma
    return result


def draw(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("gradient", ["exact", "diagonal"])
@pytest.mark.parametrize("k", [1, 3, 5])
def test_selection_equals_the_literal_loop(k: int, gradient: str) -> None:
    scores = draw((2, 5), 0).requires_grad_()
    noise = draw((2, 30, 5), 1)
    indicator = perturbed_topk(
        scores,
        k,
        30,
        0.7,
        torch.Generator().manual_seed(1),
        gradient,  # type: ignore[arg-type]
    )
    wanted = loop_indicator(scores.detach(), noise, k, 0.7)
    torch.testing.assert_close(indicator.detach(), wanted)
    grad = draw((2, k, 5), 2)
    indicator.backward(grad)  # type: ignore[no-untyped-call]
    wanted = loop_gradient(grad, scores.detach(), noise, 0.7, gradient)
    torch.testing.assert_close(scores.grad, wanted)


def estimate(scores: torch.Tensor, weights: torch.Tensor, seed: int) -> float:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        indicator = perturbed_topk(scores, 3, 200_000, 0.1, generator)
    return float((indicator * weights).sum())


def test_exact_gradient_equals_finite_differences() -> None:
    weights = draw((1, 3, 6), 3)
    scores = SCORES.clone().requires_grad_()
    generator = torch.Generator().manual_seed(4)
    indicator = perturbed_topk(scores, 3, 200_000, 0.1, generator)
    (indicator * weights).sum().backward()  # type: ignore[no-untyped-call]
    step = 0.02
    differences = []
    for j in range(6):
        shift = torch.zeros_like(SCORES)
        shift[0, j] = step
        high, low = (estimate(SCORES + sign * shift, weights, 5) for sign in (1, -1))
        differences.append((high - low) / (2 * step))
    assert scores.grad is not None
    wanted = torch.tensor([differences], dtype=torch.float64)
    assert wanted.abs().max() > 1
    torch.testing.assert_close(scores.grad, wanted, rtol=0.05, atol=0.06)


def test_diagonal_gradient_has_the_sign_but_less_of_the_size() -> None:
    weights = torch.zeros(1, 3, 6, dtype=torch.float64)
    weights[:, :, 0], weights[:, :, 4] = 1, -1
    grads = {}
    for gradient in ("exact", "diagonal"):
        scores = torch.tensor(
            [[0.5, 0.0, 0.05, 0.6, 0.55, 0.5]], dtype=torch.float64, requires_grad=True
        )
        generator = torch.Generator().manual_seed(6)
        indicator = perturbed_topk(
            scores,
            3,
            100_000,
            0.1,
            generator,
            gradient,
        )
        (indicator * weights).sum().backward()  # type: ignore[no-untyped-call]
        assert scores.grad is not None
        grads[gradient] = scores.grad[0]
    for j in (0, 4):
        ratio = float(grads["diagonal"][j] / grads["exact"][j])
        assert 0.3 < ratio < 0.95
    assert grads["exact"][3].abs() > 0.1
    assert grads["diagonal"][3] == 0


def test_indicator_rows_are_distributions_in_order() -> None:
    scores = draw((4, 9), 7).float()
    indicator = perturbed_topk(scores, 4, 200, 0.3)
    torch.testing.assert_close(indicator.sum(2), torch.ones(4, 4))
    assert (indicator.sum(1) <= 1 + 1e-6).all()
    position = (indicator * torch.arange(9)).sum(2)
    assert (position.diff(dim=1) > 0).all()


def test_little_noise_gives_the_hard_selection() -> None:
    scores = torch.randperm(12, generator=torch.Generator().manual_seed(8))[
        None
    ].float()
    indicator = perturbed_topk(scores, 5, 20, 1e-4)
    assert torch.equal(indicator.argmax(2), hard_topk(scores, 5))
    assert torch.equal(indicator.amax(2), torch.ones(1, 5))


def test_hard_selection_is_in_order_and_ties_keep_the_lower_index() -> None:
    scores = torch.tensor([[0.0, 1.0, 0.0, 1.0, 1.0], [5.0, 4.0, 3.0, 2.0, 1.0]])
    assert hard_topk(scores, 2).tolist() == [[1, 3], [0, 1]]
    assert hard_topk(scores, 4).tolist() == [[0, 1, 3, 4], [0, 1, 2, 3]]


def test_same_generator_state_gives_the_same_indicator() -> None:
    scores = draw((2, 7), 9)
    runs = [
        perturbed_topk(scores, 3, 50, 0.1, torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    ]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


def test_half_precision_scores_keep_their_gradient() -> None:
    scores = draw((1, 6), 10).bfloat16().requires_grad_()
    indicator = perturbed_topk(scores, 2, 100, 0.1)
    assert indicator.dtype == torch.float32
    (indicator * torch.randn(1, 2, 6)).sum().backward()  # type: ignore[no-untyped-call]
    assert scores.grad is not None
    assert scores.grad.isfinite().all()


def test_one_sample_has_a_gradient() -> None:
    scores = draw((1, 6), 11).requires_grad_()
    indicator = perturbed_topk(scores, 2, 1, 0.1)
    (indicator * draw((1, 2, 6), 12)).sum().backward()  # type: ignore[no-untyped-call]
    assert scores.grad is not None
    assert scores.grad.any()


def test_wrong_arguments_are_refused() -> None:
    scores = torch.zeros(1, 4)
    with pytest.raises(
        ValueError, match=r"k be from 1 to L, got shape \[1, 4\] and \[5\]"
    ):
        perturbed_topk(scores, 5, 10, 0.1)
    with pytest.raises(
        ValueError, match=r"k be from 1 to L, got shape \[1, 4\] and \[0\]"
    ):
        hard_topk(scores, 0)
    with pytest.raises(ValueError, match=r"shape \[B, L\] .* got shape \[4\]"):
        hard_topk(scores[0], 1)
    with pytest.raises(ValueError, match="sigma above 0 .* got 10, 0"):
        perturbed_topk(scores, 2, 10, 0.0)
    with pytest.raises(ValueError, match="num_samples must be at least 1.* got 0"):
        perturbed_topk(scores, 2, 0, 0.1)
    with pytest.raises(
        ValueError, match="gradient 'exact' or .* got 5, 0.1 and 'none'"
    ):
        perturbed_topk(scores, 2, 5, 0.1, gradient="none")  # type: ignore[arg-type]
    for number in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="scores must be finite, got NaN or inf"):
            hard_topk(torch.full((1, 4), number), 2)

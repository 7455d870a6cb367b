"""Muon for the matrices of a network, AdamW for everything else, as one optimizer.

Nano learns from nothing in few steps, where orthogonalised updates learn faster than
AdamW's; fine-tuning of pretrained parts keeps AdamW, as in the paper. ``torch.optim.Muon``
works in bfloat16 one matrix at a time; on a CPU that cannot multiply in bfloat16 a step
takes 23 times as long (docs/experiments.md). Here matrices of one shape go together, in
float32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from dynfocus.training.parts import check_groups, group_of

_NOT_MATRICES = ("embed", "lm_head", "heads", "place", "table")
"""Parts of names whose weights AdamW keeps: tables and read-outs."""

_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic iteration (Jordan et al., 2024)."""
_MOMENTUM = 0.95


def orthogonalise(matrices: Tensor, num_steps: int = 5) -> Tensor:
    """Move the singular values of matrices towards 1 by Newton-Schulz iterations.

    Args:
        matrices: Shape ``[B, R, C]`` with ``R <= C``, float32.
        num_steps: Iterations.

    Returns:
        Matrices of the same shape whose singular values are about 0.7 to 1.2.
    """
    a, b, c = _NEWTON_SCHULZ
    x = matrices / matrices.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(num_steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


class Muon(torch.optim.AdamW):
    """Momentum whose matrix update is orthogonalised (Jordan et al., 2024).

    Groups with ``is_muon`` are matrices, or filters whose rows are those of one output, and
    go that way; all others go AdamW's. The step
    is scaled to the root mean square of AdamW's (Liu et al., 2025), so that one learning
    rate fits both.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step; matrices of one shape are treated together."""
        loss = closure() if closure is not None else None
        for group in self.param_groups:
            shapes: dict[tuple[int, int], list[Tensor]] = {}
            for parameter in group["params"] if group["is_muon"] else ():
                if parameter.grad is not None:
                    low, high = sorted(parameter.flatten(1).shape)
                    shapes.setdefault((low, high), []).append(parameter)
            for parameters in shapes.values():
                self._turn(parameters, group["lr"], group["weight_decay"])
        super().step()
        return loss

    def _turn(self, parameters: list[Tensor], rate: float, weight_decay: float) -> None:
        """Update matrices of one shape, lying or standing, and take their gradients."""
        wide = []
        for parameter in parameters:
            assert parameter.grad is not None
            gradient, parameter.grad = parameter.grad.flatten(1).float(), None
            state = self.state[parameter]
            if "momentum_buffer" not in state:
                state["step"] = torch.tensor(0.0)  # AdamW reads it of every state
                state["momentum_buffer"] = torch.zeros_like(gradient)
            average = state["momentum_buffer"]
            average.lerp_(gradient, 1 - _MOMENTUM)
            update = gradient.lerp(average, _MOMENTUM)  # Nesterov
            wide.append(update if update.shape[0] <= update.shape[1] else update.mT)
        steps = orthogonalise(torch.stack(wide))
        scale = 0.2 * max(steps.shape[1:]) ** 0.5
        for parameter, step in zip(parameters, steps, strict=True):
            parameter.mul_(1 - rate * weight_decay)
            turned = step if len(parameter) == len(step) else step.mT
            turned = turned.to(parameter.dtype).reshape(parameter.shape)
            parameter.add_(turned, alpha=-rate * scale)


def muon_groups(model: nn.Module, weight_decay: float = 0.0) -> list[dict[str, Any]]:
    """Group trainable parameters for `Muon`.

    Args:
        model: The model; matrices inside layers go to Muon, embeddings, read-outs,
            biases and norms to AdamW.
        weight_decay: Applied to those matrices only.
    """
    matrices, others = split_parameters(model)
    groups = [
        {"params": matrices, "weight_decay": weight_decay, "is_muon": True},
        {"params": others, "weight_decay": 0.0, "is_muon": False},
    ]
    return [group for group in groups if group["params"]]


def split_parameters(model: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """Return the trainable matrices and filters inside layers, and all the others."""
    matrices: list[Tensor] = []
    others: list[Tensor] = []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        inside = not any(word in name for word in _NOT_MATRICES)
        (matrices if inside and parameter.ndim in (2, 4) else others).append(parameter)
    return matrices, others


def parameter_groups(
    model: nn.Module,
    learning_rate: float,
    learning_rates: Mapping[str, float],
    weight_decay: float = 0.0,
) -> list[dict[str, Any]]:
    """Group trainable parameters by their learning rate and by whether they decay.

    Args:
        model: The model; biases and norms do not decay.
        learning_rate: Rate of groups that are not named.
        learning_rates: Rates by groups of the model (`dynfocus.training.parts.GROUPS`).
        weight_decay: Of the parameters that decay.

    Raises:
        ValueError: If a group is unknown, or none of it learns.
    """
    check_groups(learning_rates, "schedule.learning_rates")
    groups: dict[tuple[str, bool], list[Tensor]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((group_of(name), parameter.ndim > 1), []).append(
                parameter
            )
    for group in learning_rates:
        if not any(group == learning for learning, _ in groups):
            raise ValueError(
                f"schedule.learning_rates: nothing of {group!r} learns; leave it out or "
                "name it under trains"
            )
    return [
        {
            "params": parameters,
            "lr": learning_rates.get(group, learning_rate),
            "weight_decay": weight_decay if decays else 0.0,
        }
        for (group, decays), parameters in groups.items()
    ]

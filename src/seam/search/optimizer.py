"""Gradient descent on scores in units of their own: one step size for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn


class NormalizedSGD(torch.optim.Optimizer):
    """Momentum descent on gradients divided by their common root mean square.

    Adam divides each score's gradient by that score's own history, so scores that do not matter
    drift as fast as those that do. Here all share one divisor: a step moves the average score by
    about ``lr``, however large the loss and however many the scores, and the differences between
    scores stay.

    >>> score = nn.Parameter(torch.zeros(2))
    >>> optimizer = NormalizedSGD([score], lr=0.1, momentum=0.0)
    >>> score.grad = torch.tensor([3.0, 4.0])
    >>> optimizer.step()
    >>> [round(value, 3) for value in score.tolist()]
    [-0.085, -0.113]
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        *,
        lr: float,
        momentum: float = 0.9,
        memory: float = 0.99,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "memory": memory})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step; ``closure`` is not supported."""
        assert closure is None
        for group in self.param_groups:
            moved = [p for p in group["params"] if p.grad is not None]
            if moved:
                self._step(moved, group)

    def _step(self, moved: list[nn.Parameter], group: dict[str, Any]) -> None:
        grads: list[Tensor] = [p.grad for p in moved if p.grad is not None]
        count = sum(grad.numel() for grad in grads)
        square = torch.stack(torch._foreach_norm(grads)).square().sum() / count
        first = self.state[moved[0]]
        if not first:
            first["square"] = torch.zeros_like(square)
            first["step"] = torch.zeros_like(square)
        for p in moved:
            self.state[p].setdefault("momentum", torch.zeros_like(p))
        first["step"] += 1
        first["square"].lerp_(square, 1 - group["memory"])
        size = (first["square"] / (1 - group["memory"] ** first["step"])).sqrt()
        momenta = [self.state[p]["momentum"] for p in moved]
        torch._foreach_mul_(momenta, group["momentum"])
        # In place: the gradients are not needed again, and a copy of them would be memory.
        torch._foreach_mul_(grads, (1 - group["momentum"]) / size.clamp_min(1e-30))
        torch._foreach_add_(momenta, grads)
        torch._foreach_add_(list[Tensor](moved), momenta, alpha=-group["lr"])

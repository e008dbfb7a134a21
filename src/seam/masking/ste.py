"""The step function from scores to mask bits, with a straight-through gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, score: Tensor, threshold: float) -> Tensor:
        return (score > threshold).to(score.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0].clamp(-1, 1), None


def step(score: Tensor, threshold: float = 0.0) -> Tensor:
    """1 where ``score > threshold``, else 0; backward passes the gradient on, clipped to [-1, 1].

    >>> step(torch.tensor([-1.0, 0.0, 2.0])).tolist()
    [0.0, 0.0, 1.0]

    Any shape; the result has the shape and type of ``score``. Source: SeaM, section 3.1 (the
    straight-through estimator of Bengio et al. 2013).
    """
    result: Tensor = _Step.apply(score, threshold)
    return result

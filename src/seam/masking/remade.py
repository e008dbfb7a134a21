"""Masked parameters that the backward pass computes again instead of keeping.

Every layer keeps its weight for the gradient of its input. A masked weight is a tensor of its own,
as large as the weight; computed again from weight and score, it costs one multiplication and no
memory between the passes.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


class _Masked(torch.autograd.Function):
    """``parameter * (score > threshold)``; the step's gradient is passed on, clipped."""

    @staticmethod
    def forward(ctx: Any, parameter: Tensor, score: Tensor, threshold: float) -> Tensor:
        ctx.save_for_backward(parameter, score)
        ctx.threshold = threshold
        return parameter * (score > threshold)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        parameter, score = ctx.saved_tensors
        own, scores, _ = ctx.needs_input_grad
        return (
            grads[0] * (score > ctx.threshold) if own else None,
            (grads[0] * parameter).clamp_(-1, 1) if scores else None,
            None,
        )


@dataclass(frozen=True)
class _Recipe:
    """How a kept tensor is had again: a masked parameter, seen with these strides."""

    make: Callable[[], Tensor]
    size: torch.Size
    stride: tuple[int, ...]
    offset: int

    def made(self) -> Tensor:
        with torch.no_grad():
            return self.make().as_strided(self.size, self.stride, self.offset)


@dataclass(frozen=True, eq=False)
class _Made:
    """What a masked tensor was made from; it lives as long as the tensor."""

    make: Callable[[], Tensor]


_made: weakref.WeakValueDictionary[int, _Made] = weakref.WeakValueDictionary()
"""By the place of the tensor's values, which is nobody else's while it lives."""


def masked(parameter: Tensor, score: Tensor, threshold: float) -> Tensor:
    """The parameter where ``score > threshold``, else zeros; same shape and type.

    >>> score = torch.tensor([-1.0, 0.0, 2.0], requires_grad=True)
    >>> found = masked(torch.tensor([5.0, 6.0, 7.0]), score, 0.0)
    >>> found.tolist()
    [0.0, 0.0, 7.0]
    >>> found.sum().backward()
    >>> score.grad.tolist()
    [1.0, 1.0, 1.0]
    """
    found: Tensor = _Masked.apply(parameter, score, threshold)
    made = _Made(lambda: parameter * (score > threshold))
    found._seam_made = made  # type: ignore[attr-defined]
    _made[found.untyped_storage().data_ptr()] = made
    return found


@contextmanager
def remade() -> Iterator[None]:
    """What is computed within keeps no masked parameters for its gradients."""
    with torch.autograd.graph.saved_tensors_hooks(_pack, _unpack):
        yield


def _pack(tensor: Tensor) -> Tensor | _Recipe:
    made = _made.get(tensor.untyped_storage().data_ptr())
    if made is None:
        return tensor
    return _Recipe(made.make, tensor.shape, tensor.stride(), int(tensor.storage_offset()))


def _unpack(kept: Tensor | _Recipe) -> Tensor:
    return kept if isinstance(kept, Tensor) else kept.made()

"""Proof that removal changes nothing: the smaller module against the masked one."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seam.errors import in_line
from seam.masking.axes import Axis
from seam.masking.gates import attach_channels
from seam.shrink.remove import Bits, element_masks, remove

TOLERANCE = 1e-5
"""Largest difference of outputs, relative to the largest output, that float32 rounding explains."""
TRIAL_TOLERANCE = 1e-4


@torch.no_grad()
def difference(one: nn.Module, other: nn.Module, images: Tensor) -> float:
    """Largest difference of two modules' outputs, relative to the largest output of the first.

    >>> difference(nn.ReLU(), nn.Identity(), torch.tensor([1.0, -0.5]))
    0.5
    """
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # float32 all through
        expected, found = one(images), other(images)
    if expected.shape != found.shape:
        return float("inf")
    largest = float((expected - found).abs().max())
    return largest / max(float(expected.abs().max()), 1e-12)


@torch.no_grad()
def masked(module: nn.Module, axes: Sequence[Axis], bits: Bits) -> nn.Module:
    """A copy of ``module`` with zeros where units are removed."""
    silent = copy.deepcopy(module)
    parameters = dict(silent.named_parameters())
    for name, mask in element_masks(module, axes, bits).items():
        parameters[name].masked_fill_(~mask.to(parameters[name].device), 0)
    return silent


def gated(module: nn.Module, axes: Sequence[Axis], bits: Bits) -> nn.Module:
    """A copy of ``module`` with gates that are shut for removed units, as a search runs it."""
    copied = copy.deepcopy(module)
    channels = attach_channels(copied, axes, meter=lambda _widths: 1.0)
    channels.load_bits(bits)
    return copied


@dataclass(frozen=True)
class Checked:
    """Axes along which removal was seen to change nothing, and why the others were refused."""

    axes: list[Axis]
    refused: dict[str, str]


def checked(module: nn.Module, axes: Sequence[Axis], example: Tensor, *, seed: int = 0) -> Checked:
    """Try removal along every axis on random input; those that change the outputs are refused.

    The dependency graph guesses what a reshape or an unknown operation does to channels; this is
    what turns its guess into knowledge. All axes are tried at once, then, if need be, halves.

    Args:
        module: the plain module, in evaluation mode.
        axes: from `find_axes`.
        example: a batch, for its shape and device.
        seed: of the trial's random input and of what it removes.
    """
    generator = torch.Generator().manual_seed(seed)
    images = _random(example, 2, generator)
    good: list[Axis] = []
    refused: dict[str, str] = {}

    def visit(some: Sequence[Axis]) -> None:
        reason = _trial(module, some, images, generator) if some else None
        if reason is None:
            good.extend(some)
        elif len(some) == 1:
            refused[some[0].name] = reason
        else:
            visit(some[: len(some) // 2])
            visit(some[len(some) // 2 :])

    visit(axes)
    return Checked(good, refused)


def _random(example: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Random input like ``example``; whole numbers are at most its largest."""
    shape = (count, *example.shape[1:])
    if example.is_floating_point():
        return torch.randn(shape, generator=generator).to(example)
    return torch.randint(int(example.max()) + 1, shape, generator=generator).to(example)


def _trial(
    module: nn.Module, axes: Sequence[Axis], images: Tensor, generator: torch.Generator
) -> str | None:
    """Why removing half of the axes' units changes the outputs, or None if it does not."""
    bits = {}
    for axis in axes:
        order = torch.rand(axis.size, generator=generator).argsort()
        bits[axis.name] = order < max(1, axis.size // 2)
    try:
        smaller = remove(module, axes, bits)
        found = max(
            difference(silent, smaller, images)
            for silent in (masked(module, axes, bits), gated(module, axes, bits))
        )
    except Exception as error:  # a wrong guess fails in any layer
        return in_line(error, 160)
    if not found <= TRIAL_TOLERANCE:
        return f"removing its channels changed the outputs by {found:.1e}"
    return None

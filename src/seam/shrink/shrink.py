"""From a masked model to the small one: remove, fold, prove."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from seam.errors import ModelError
from seam.masking.axes import Axis
from seam.shrink.check import TOLERANCE, difference
from seam.shrink.fold import fold_norms
from seam.shrink.remove import Bits, remove


@dataclass(frozen=True)
class Shrunk:
    """A smaller module, what was folded in it, and how far its outputs are from the masked one's.

    ``difference`` is relative to the largest output, over ``samples`` real samples.
    """

    module: nn.Module
    folded: list[str]
    difference: float
    samples: int


def shrink(masked: nn.Module, axes: Sequence[Axis], bits: Bits, images: Tensor) -> Shrunk:
    """Remove what ``bits`` mask from ``masked``, fold its norm layers, and prove it is the same.

    >>> import torch
    >>> from seam.masking.channels import find_axes
    >>> net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).eval()
    >>> _ = net[0].weight.data[1].zero_(), net[0].bias.data[1].zero_()
    >>> axes = find_axes(net, torch.zeros(1, 4))
    >>> kept = {"0": torch.tensor([True, False, True])}
    >>> shrink(net, axes, kept, torch.randn(8, 4)).module[0].out_features
    2

    Args:
        masked: a plain module with zeros where units are removed, in evaluation mode.
        axes: of the module.
        bits: which units of each axis are kept.
        images: real preprocessed samples, (n, C, H, W).

    Raises:
        ModelError: the outputs differ by more than 1e-5 of the largest: the dependency graph has
            misread the module.
    """
    smaller = remove(masked, axes, bits)
    found = difference(masked, smaller, images)
    if not found <= TOLERANCE:
        raise ModelError(
            f"the shrunk model's outputs differ from the masked one's by {found:.1e} of the "
            f"largest (allowed: {TOLERANCE:.0e}); choose --granularity weight, or leave layers "
            "out with --exclude"
        )
    folded, names = _folded(smaller, images[:1])
    after = difference(masked, folded, images)
    if names and after <= TOLERANCE:
        return Shrunk(folded, names, after, len(images))
    return Shrunk(smaller, [], found, len(images))


def _folded(module: nn.Module, example: Tensor) -> tuple[nn.Module, list[str]]:
    """With norms folded; as it is where it cannot be exported."""
    try:
        return fold_norms(module, example)
    except ModelError:
        return module, []

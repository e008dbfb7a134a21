"""How much each weight matters to the target data: where the scores of a search start."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from seam.masking.gates import ChannelSet
from seam.masking.parametrization import MaskSet


def saliency(
    masks: MaskSet | ChannelSet, losses: Iterable[Callable[[], Tensor]]
) -> dict[str, Tensor]:
    """Mean over batches of ``(weight * gradient) ** 2``: the loss that removing a weight costs.

    Masks must keep everything. The gradient of a mask bit *is* ``weight * gradient``, so the
    backward pass through the masks gives it at once.

    Args:
        masks: attached to the model.
        losses: one function a batch that runs the model and gives the batch's mean loss.

    Returns:
        One tensor a mask, of its shape. Source: Molchanov et al. 2019, equation 8 (first-order
        Taylor importance), at the granularity of single weights.
    """
    scores = masks.scores()
    totals = {name: torch.zeros_like(score) for name, score in scores.items()}
    count = 0
    for loss in losses:
        grads = torch.autograd.grad(loss(), list(scores.values()), allow_unused=True)
        for name, grad in zip(totals, grads, strict=True):
            if grad is not None:
                totals[name] += grad.square()
        count += 1
    return {name: total / max(count, 1) for name, total in totals.items()}


@torch.no_grad()
def start_from(masks: MaskSet | ChannelSet, importance: dict[str, Tensor]) -> None:
    """Set scores to the root of ``importance``, in units of its root mean over all weights.

    So scores have the scale of a mask bit's normalised gradient, which is what moves them; neither
    the scale of the loss nor the number of weights matters.
    """
    count = sum(value.numel() for value in importance.values())
    total = torch.stack([value.sum() for value in importance.values()]).sum()
    unit = (total / count).sqrt().clamp_min(torch.finfo(total.dtype).tiny)
    for name, value in importance.items():
        masks.scores()[name].copy_(value.sqrt() / unit)

"""Whether an exported model gives what the model gives, on the same images."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from seam.core.figures import Share
from seam.errors import SeamError

BATCH_SIZES = (1, 16)
MOST_SAMPLES = 256
"""How many images are compared, once for each batch size."""


def compare(
    exported: Callable[[Tensor], Tensor],
    reference: Callable[[Tensor], Tensor],
    images: Tensor,
    *,
    tolerance: float | None,
) -> dict[str, Any]:
    """Run both on ``images`` in batches of 1 and of 16, and set their logits side by side.

    >>> double = lambda images: 2 * images
    >>> found = compare(double, double, torch.eye(3), tolerance=1e-4)
    >>> found["agrees"], found["top1_agreement"]["value"], found["largest_difference"]
    (True, 1.0, 0.0)

    Args:
        exported: gives the logits in the runtime.
        reference: gives the logits (b, K) they should be, on the CPU.
        images: (n, C, H, W), preprocessed, at least one.
        tolerance: of the largest relative difference; None where equality is not expected, as after
            quantization. Then finite logits agree.

    Returns:
        ``n``, ``batch_sizes``, ``top1_agreement`` (share of images whose argmax is the same in
        batches of either size), ``largest_difference``
        and ``largest_relative_difference`` (divided by the largest logit of the reference) over
        images, outputs and batch sizes (None where a logit is not finite), ``tolerance``,
        ``error`` (why the runtime would not run it, or None), ``agrees``.
    """
    error = None
    with torch.no_grad():
        wanted = _in_batches(reference, images, BATCH_SIZES[-1])
        try:
            found = [_in_batches(exported, images, size) for size in BATCH_SIZES]
        except SeamError as refused:
            found, error = [], str(refused)
    comparable = bool(found) and all(each.shape == wanted.shape for each in found)
    same = torch.full((len(wanted),), comparable)
    for each in found if comparable else []:
        same &= each.argmax(1) == wanted.argmax(1)
    worst = max((_distance(each, wanted) for each in found), default=math.inf)
    relative = worst / max(wanted.abs().max().item(), torch.finfo(wanted.dtype).tiny)
    finite = math.isfinite(relative)
    return {
        "n": len(images),
        "batch_sizes": list(BATCH_SIZES),
        "top1_agreement": Share.of(int(same.sum()), len(same)).to_dict(),
        "largest_difference": worst if finite else None,
        "largest_relative_difference": relative if finite else None,
        "tolerance": tolerance,
        "error": error,
        "agrees": finite and (tolerance is None or relative <= tolerance),
    }


def _in_batches(model: Callable[[Tensor], Tensor], images: Tensor, size: int) -> Tensor:
    return torch.cat([model(batch).float().cpu() for batch in images.split(size)])


def _distance(found: Tensor, wanted: Tensor) -> float:
    """Largest absolute difference; infinite where the shapes differ or a logit is not finite."""
    if found.shape != wanted.shape or not bool(found.isfinite().all()):
        return math.inf
    return (found - wanted).abs().max().item()
